import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import rel_entr
from torch.distributions import Categorical, Normal
from torch.distributions import kl_divergence as torch_kl

from coursekit.theory import jensen_shannon, kl_divergence

LOG_2 = math.log(2)
tables = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=5, max_size=5).filter(lambda v: sum(v) > 1e-3)


def normalised(values):
    return np.array(values) / np.sum(values)


def test_kl_matches_torch_distributions():
    p = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64)
    q = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    torch.testing.assert_close(kl_divergence(p, q), torch_kl(Categorical(p), Categorical(q)))


def test_kl_by_hand_and_not_symmetric():
    # ½ log(½ / ¼) + ½ log(½ / ¾), and ¼ log(¼ / ½) + ¾ log(¾ / ½)
    p, q = [0.5, 0.5], [0.25, 0.75]
    assert kl_divergence(p, q).item() == pytest.approx(0.5 * math.log(4 / 3))
    assert kl_divergence(q, p).item() == pytest.approx(0.75 * math.log(3) - LOG_2)


def test_zero_log_zero_is_zero():
    assert kl_divergence([0.0, 1.0], [0.5, 0.5]).item() == pytest.approx(LOG_2)
    assert kl_divergence([0.0, 1.0], [0.0, 1.0]).item() == 0
    assert jensen_shannon([0.0, 1.0], [0.0, 1.0]).item() == 0


def test_kl_is_infinite_where_q_misses_p():
    assert kl_divergence([0.5, 0.5], [1.0, 0.0]).item() == math.inf


def test_jensen_shannon_of_disjoint_tables_is_log_2():
    assert jensen_shannon([1.0, 0.0], [0.0, 1.0]).item() == pytest.approx(LOG_2)


def test_jensen_shannon_survives_the_smallest_numbers():
    tiny = 5e-324  # half of it rounds to 0
    assert jensen_shannon(np.array([tiny, 1.0]), np.array([0.0, 1.0])).item() == pytest.approx(0, abs=1e-15)


@settings(deadline=None, derandomize=True)
@given(tables, tables)
def test_jensen_shannon_matches_scipy(p, q):
    p, q = normalised(p), normalised(q)
    m = (p + q) / 2
    expected = (rel_entr(p, m).sum() + rel_entr(q, m).sum()) / 2
    assert jensen_shannon(p, q).item() == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, derandomize=True)
@given(tables, tables)
def test_divergences_of_tables_keep_their_bounds(p, q):
    p, q = normalised(p), normalised(q)
    assert kl_divergence(p, q).item() >= -1e-12
    assert kl_divergence(p, p).item() == 0
    assert 0 <= jensen_shannon(p, q).item() <= LOG_2 + 1e-12
    assert jensen_shannon(p, q).item() == pytest.approx(jensen_shannon(q, p).item(), abs=1e-15)


def grid():
    """Points and trapezoid weights that hold all but 1e-15 of the densities below."""
    x = torch.linspace(-12, 14, 4001, dtype=torch.float64)
    weights = torch.full_like(x, (x[1] - x[0]).item())
    weights[[0, -1]] /= 2
    return x, weights


def test_kl_of_densities_on_a_grid_matches_the_closed_form():
    x, weights = grid()
    p, q = Normal(torch.tensor(0.0, dtype=torch.float64), 1.0), Normal(torch.tensor(1.0, dtype=torch.float64), 1.5)
    on_grid = kl_divergence(p.log_prob(x).exp(), q.log_prob(x).exp(), weights)
    torch.testing.assert_close(on_grid, torch_kl(p, q), rtol=0, atol=1e-10)


def test_jensen_shannon_of_densities_on_a_grid_matches_quadrature():
    x, weights = grid()
    p, q = stats.norm(0, 1), stats.norm(1, 1.5)

    def integrand(t):
        a, b = p.pdf(t), q.pdf(t)
        return 0.5 * a * np.log(2 * a / (a + b)) + 0.5 * b * np.log(2 * b / (a + b))

    expected, _ = integrate.quad(integrand, -12, 14, epsabs=1e-12)
    assert jensen_shannon(p.pdf(x.numpy()), q.pdf(x.numpy()), weights).item() == pytest.approx(expected, abs=1e-9)


def test_one_weight_stands_for_an_even_grid():
    p, q = torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, 2.0]])
    expected = 0.25 * (math.log(1 / 2) + 3 * math.log(3 / 2))
    assert kl_divergence(p, q, 0.25).item() == pytest.approx(expected, rel=1e-6)
    assert kl_divergence(p, q, weights=torch.full((1, 2), 0.25)).item() == pytest.approx(expected, rel=1e-6)


def test_a_point_of_weight_zero_does_not_count():
    p, q = [1.0, 1.0], [1.0, 0.0]
    assert kl_divergence(p, q, [1.0, 0.0]).item() == 0


def test_precision_is_that_of_the_input():
    table = [0.5, 0.5]
    assert kl_divergence(torch.tensor(table), torch.tensor(table)).dtype == torch.float32
    assert kl_divergence(torch.tensor(table), np.array(table)).dtype == torch.float64
    assert jensen_shannon(table, [1, 0]).dtype == torch.float64


@pytest.mark.parametrize("divergence", [kl_divergence, jensen_shannon])
@pytest.mark.parametrize(
    ("p", "q", "weights", "complaint"),
    [
        ([1.5, -0.5], [0.5, 0.5], None, "p must be finite and at least 0"),
        ([0.5, 0.5], [math.nan, 1.0], None, "q must be finite and at least 0"),
        ([0.5, 0.5], [math.inf, 1.0], 0.1, "q must be finite and at least 0"),
        ([0.5, 0.5], [0.2, 0.3, 0.5], None, "same shape"),
        ([[0.5, 0.5]], [0.5, 0.5], None, "same shape"),
        (1.0, 1.0, None, "same shape"),
        ([0.5, 0.5], [0.5, 0.5], [1.0, 1.0, 1.0], "weights must be one number or of shape"),
        ([0.5, 0.5], [0.5, 0.5], [1.0, -1.0], "weights must be finite and at least 0"),
        ([0.5, 0.5], [3.0, 4.0], None, "q is a table of probabilities but sums to 7.*weights="),
    ],
)
def test_what_is_no_distribution_is_refused(divergence, p, q, weights, complaint):
    with pytest.raises(ValueError, match=complaint):
        divergence(p, q, weights)
