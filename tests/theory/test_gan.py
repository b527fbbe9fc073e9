import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import rel_entr
from scipy.stats import wasserstein_distance

from coursekit.theory import (
    criterion,
    exponentiated_gradient_step,
    generator_gradient,
    kl_divergence,
    non_saturating_criterion,
    optimal_discriminator,
    value,
    wasserstein_1,
)

DOUBLE = torch.float64
LOG_2, LOG_4 = math.log(2), math.log(4)
entries = st.one_of(st.just(0.0), st.floats(0, 1, allow_subnormal=False), st.floats(1e-300, 1e-15))
tables = st.lists(entries, min_size=4, max_size=4).filter(lambda v: sum(v) > 1e-3)


def normalised(values):
    return np.array(values) / np.sum(values)


def grid(low=-12.0, high=14.0, points=4001):
    x = torch.linspace(low, high, points, dtype=DOUBLE)
    weights = torch.full_like(x, (x[1] - x[0]).item())
    weights[[0, -1]] /= 2
    return x, weights


# --- D* ----------------------------------------------------------------------------------------------------


def test_optimal_discriminator_by_hand():
    d = optimal_discriminator([0.5, 0.3, 0.2, 0.0], [0.1, 0.3, 0.0, 0.6])
    assert d.tolist() == pytest.approx([5 / 6, 0.5, 1.0, 0.0])


def test_optimal_discriminator_is_nan_exactly_where_nothing_ever_is():
    d = optimal_discriminator([0.5, 0.5, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0])
    assert d.isnan().tolist() == [False, False, False, True]


def test_optimal_discriminator_takes_densities_at_any_points():
    assert optimal_discriminator([3.0], [1.0]).item() == 0.75


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e300, 1.7e308])
def test_optimal_discriminator_does_not_depend_on_the_unit_of_the_density(size):
    assert optimal_discriminator([size], [size]).item() == 0.5


def test_optimal_discriminator_keeps_shape_and_precision():
    table = torch.full((2, 3), 1 / 6)
    assert optimal_discriminator(table, table).shape == (2, 3)
    assert optimal_discriminator(table, table).dtype == torch.float32
    assert optimal_discriminator(table, table.double()).dtype == DOUBLE
    assert optimal_discriminator([1, 0], [0, 1]).dtype == DOUBLE


# --- V -----------------------------------------------------------------------------------------------------


def test_value_by_hand():
    # 0.5 log 0.8 + 0.5 log 0.4, and 0.25 log 0.2 + 0.75 log 0.6
    expected = 0.5 * math.log(0.8) + 0.5 * math.log(0.4) + 0.25 * math.log(0.2) + 0.75 * math.log(0.6)
    assert value([0.5, 0.5], [0.25, 0.75], [0.8, 0.4]).item() == pytest.approx(expected)


def test_value_of_certainty():
    assert value([1.0, 0.0], [0.0, 1.0], [1.0, 0.0]).item() == 0
    assert value([1.0, 0.0], [0.0, 1.0], [0.0, 1.0]).item() == -math.inf
    assert value([0.5, 0.5], [0.5, 0.5], [1.0, 0.5]).item() == -math.inf
    assert value([0.5, 0.5], [0.5, 0.5], [0.5, 0.0]).item() == -math.inf


def test_value_ignores_d_where_nothing_ever_is():
    p_data, p_g = [0.5, 0.5, 0.0], [0.5, 0.5, 0.0]
    for anything in (math.nan, 0.0, 1.0, 0.3, 7.0):
        assert value(p_data, p_g, [0.5, 0.5, anything]).item() == pytest.approx(-LOG_4)


def test_value_matches_quadrature():
    x, weights = grid()
    p, q = stats.norm(0, 1), stats.norm(1, 1.5)

    def integrand(t):
        d = 1 / (1 + math.exp(-(0.3 - 0.8 * t)))
        return p.pdf(t) * math.log(d) + q.pdf(t) * math.log(1 - d)

    expected, _ = integrate.quad(integrand, -12, 14, epsabs=1e-12)
    on_grid = value(p.pdf(x.numpy()), q.pdf(x.numpy()), torch.sigmoid(0.3 - 0.8 * x), weights)
    assert on_grid.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("std", [0.1, 0.5, 1.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_of_the_optimal_discriminator_survives_the_tails(std, dtype):
    """Far out, one density is so much smaller that D* rounds to exactly 0 or 1."""
    x, weights = grid()
    p_data = torch.exp(-0.5 * x**2).div(math.sqrt(2 * math.pi)).to(dtype)
    p_g = torch.exp(-0.5 * (x / std) ** 2).div(std * math.sqrt(2 * math.pi)).to(dtype)
    for first, second in ((p_data, p_g), (p_g, p_data)):
        d_star = optimal_discriminator(first, second)
        computed = value(first, second, d_star, weights.to(dtype)).item()
        assert computed == pytest.approx(criterion(first, second, weights.to(dtype)).item(), abs=1e-5)


@settings(deadline=None, derandomize=True)
@given(tables, tables)
def test_value_of_the_optimal_discriminator_is_the_criterion(p, q):
    p, q = normalised(p), normalised(q)
    assert value(p, q, optimal_discriminator(p, q)).item() == pytest.approx(criterion(p, q).item(), abs=1e-9)


# --- the criteria ------------------------------------------------------------------------------------------


def test_criterion_by_hand():
    assert criterion([0.5, 0.5, 0.0], [0.0, 0.5, 0.5]).item() == pytest.approx(-LOG_2)
    assert criterion([0.2, 0.8], [0.2, 0.8]).item() == pytest.approx(-LOG_4)
    assert criterion([1.0, 0.0], [0.0, 1.0]).item() == pytest.approx(0, abs=1e-15)


@settings(deadline=None, derandomize=True)
@given(tables, tables)
def test_criterion_matches_scipy(p, q):
    p, q = normalised(p), normalised(q)
    m = (p + q) / 2
    expected = -LOG_4 + rel_entr(p, m).sum() + rel_entr(q, m).sum()
    assert criterion(p, q).item() == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, derandomize=True)
@given(tables, tables)
def test_non_saturating_criterion_matches_scipy(p, q):
    p, q = normalised(p), normalised(q)
    assume((p + q)[p == 0].sum() == 0 or q[p == 0].sum() > 1e-12)
    expected = 2 * rel_entr((p + q) / 2, p).sum()
    assert non_saturating_criterion(p, q).item() == pytest.approx(expected, rel=1e-9, abs=1e-11)


def test_non_saturating_criterion_by_hand():
    # m = (3/8, 5/8): 2 (3/8 log(3/4) + 5/8 log(5/4))
    expected = 0.75 * math.log(0.75) + 1.25 * math.log(1.25)
    assert non_saturating_criterion([0.5, 0.5], [0.25, 0.75]).item() == pytest.approx(expected)
    assert non_saturating_criterion([1.0, 0.0], [0.5, 0.5]).item() == math.inf
    assert non_saturating_criterion([0.5, 0.5], [1.0, 0.0]).item() < math.inf


def test_criteria_on_a_grid_match_quadrature():
    x, weights = grid()
    p, q = stats.norm(0, 1), stats.norm(1, 1.5)

    def entropy_part(t, first, second):
        return first.pdf(t) * math.log(first.pdf(t) / (first.pdf(t) + second.pdf(t)))

    expected = sum(
        integrate.quad(entropy_part, -12, 14, args=pair, epsabs=1e-12, limit=200)[0] for pair in ((p, q), (q, p))
    )
    on_grid = p.pdf(x.numpy()), q.pdf(x.numpy()), weights
    assert criterion(*on_grid).item() == pytest.approx(expected, abs=1e-9)
    kl, _ = integrate.quad(lambda t: q.pdf(t) * (q.logpdf(t) - p.logpdf(t)), -12, 14, epsabs=1e-12)
    assert non_saturating_criterion(*on_grid).item() == pytest.approx(kl - (expected + LOG_4), abs=1e-9)


# --- the generator's gradient and step ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["saturating", "non_saturating"])
def test_generator_gradient_is_that_of_autograd_with_d_star_held_fixed(kind):
    p_data = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)
    p_g = torch.tensor([0.2, 0.2, 0.6], dtype=DOUBLE, requires_grad=True)
    d_star = optimal_discriminator(p_data, p_g).detach()
    loss = (p_g * (torch.log(1 - d_star) if kind == "saturating" else -torch.log(d_star))).sum()
    (expected,) = torch.autograd.grad(loss, p_g)
    torch.testing.assert_close(generator_gradient(p_data, p_g.detach(), kind), expected)


def test_generator_gradient_at_the_edges():
    p_data, p_g = [0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]
    saturating = generator_gradient(p_data, p_g).tolist()
    assert saturating[:3] == pytest.approx([-math.inf, -LOG_2, 0.0]) and math.isnan(saturating[3])
    non_saturating = generator_gradient(p_data, p_g, "non_saturating").tolist()
    assert non_saturating[:3] == pytest.approx([0.0, LOG_2, math.inf]) and math.isnan(non_saturating[3])


def test_a_step_of_size_one_goes_half_way():
    p_data, p_g = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE), torch.tensor([0.1, 0.2, 0.7], dtype=DOUBLE)
    torch.testing.assert_close(exponentiated_gradient_step(p_data, p_g, 1.0), (p_data + p_g) / 2)


def test_a_step_by_hand():
    # Saturating with lr 2: p_g / (1 - D*)^-2 = (p_data + p_g)^2 / p_g, here 1/0.25 * (0.75^2, 1.25^2 / 3)
    stepped = exponentiated_gradient_step([0.5, 0.5], [0.25, 0.75], 2.0)
    assert stepped.tolist() == pytest.approx([27 / 52, 25 / 52])
    # Non-saturating with lr 1: p_g D* = (0.25 * 2/3, 0.75 * 2/5) = (1/6, 3/10)
    stepped = exponentiated_gradient_step([0.5, 0.5], [0.25, 0.75], 1.0, "non_saturating")
    assert stepped.tolist() == pytest.approx([5 / 14, 9 / 14])


@settings(deadline=None, derandomize=True)
@given(tables, tables, st.floats(0.01, 3), st.sampled_from(["saturating", "non_saturating"]))
def test_a_step_gives_a_table_with_no_new_letters(p, q, lr, kind):
    p, q = normalised(p), normalised(q)
    assume((p * q).max() > 1e-12)
    stepped = exponentiated_gradient_step(p, q, lr, kind)
    assert stepped.sum().item() == pytest.approx(1)
    assert (stepped >= 0).all() and (stepped[torch.from_numpy(q == 0)] == 0).all()


# --- Wasserstein-1 ------------------------------------------------------------------------------------------


def test_wasserstein_by_hand():
    # A quarter of the mass goes from 0 to 1 and a quarter from 0 to 3.
    assert wasserstein_1([0.5, 0.5, 0.0], [0.0, 0.75, 0.25], [0.0, 1.0, 3.0]).item() == pytest.approx(1.0)
    assert wasserstein_1([1.0, 0.0], [0.0, 1.0], [-2.0, 5.0]).item() == 7


@settings(deadline=None, derandomize=True)
@given(tables, tables, st.lists(st.floats(-100, 100), min_size=4, max_size=4))
def test_wasserstein_matches_scipy(p, q, points):
    p, q = normalised(p), normalised(q)
    expected = wasserstein_distance(points, points, p, q)
    assert wasserstein_1(p, q, points).item() == pytest.approx(expected, abs=1e-9)


def test_wasserstein_does_not_depend_on_the_order_of_the_points():
    p, q, points = torch.tensor([[0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [2.0, -1.0, 5.0]], dtype=DOUBLE)
    mixed = torch.tensor([2, 0, 1])
    torch.testing.assert_close(wasserstein_1(p, q, points), wasserstein_1(p[mixed], q[mixed], points[mixed]))


# --- bad input -----------------------------------------------------------------------------------------------

OF_TWO = [
    pytest.param(value, id="value"),
    pytest.param(criterion, id="criterion"),
    pytest.param(non_saturating_criterion, id="non_saturating_criterion"),
]


def call(function, p, q, weights=None):
    return function(p, q, torch.full((2,), 0.5), weights) if function is value else function(p, q, weights)


@pytest.mark.parametrize("function", OF_TWO)
@pytest.mark.parametrize(
    ("p", "q", "weights", "complaint"),
    [
        ([1.5, -0.5], [0.5, 0.5], None, "p_data must be finite and at least 0"),
        ([0.5, 0.5], [math.nan, 1.0], None, "p_g must be finite and at least 0"),
        ([0.5, 0.5], [math.inf, 1.0], None, "p_g must be finite and at least 0"),
        ([0.5, 0.5], [0.2, 0.3, 0.5], None, "same shape"),
        ([], [], None, "same shape"),
        ([0.5, 0.5], [3.0, 4.0], None, "p_g is a table of probabilities but sums to 7.*weights="),
        ([1.0, 1.0], [1.0, 1.2], 0.5, "p_g is a density on a grid but integrates to 1.1"),
        ([0.5, 0.5], [0.5, 0.5], [1.0, math.nan], "weights must be finite"),
    ],
)
def test_what_is_no_distribution_is_refused(function, p, q, weights, complaint):
    with pytest.raises(ValueError, match=complaint):
        call(function, p, q, weights)


@pytest.mark.parametrize(
    ("d", "complaint"),
    [
        ([0.5, 1.1], r"d must lie in \[0, 1\]"),
        ([-0.1, 0.5], r"d must lie in \[0, 1\]"),
        ([math.nan, 0.5], r"d must lie in \[0, 1\]"),
        ([0.5, 0.5, 0.5], "d must have the shape"),
        (0.5, "d must have the shape"),
    ],
)
def test_what_is_no_discriminator_is_refused(d, complaint):
    with pytest.raises(ValueError, match=complaint):
        value([0.5, 0.5], [0.2, 0.8], d)


@pytest.mark.parametrize("function", [optimal_discriminator, generator_gradient])
@pytest.mark.parametrize(
    ("p", "q", "complaint"),
    [
        ([-0.1], [0.5], "p_data must be finite and at least 0"),
        ([0.1], [math.nan], "p_g must be finite and at least 0"),
        ([0.5, 0.5], [1.0], "same shape"),
    ],
)
def test_densities_at_points_are_checked_too(function, p, q, complaint):
    with pytest.raises(ValueError, match=complaint):
        function(p, q)


def test_bad_steps_are_refused():
    for lr in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="lr must be positive"):
            exponentiated_gradient_step([0.5, 0.5], [0.2, 0.8], lr)
    with pytest.raises(ValueError, match="kind must be"):
        exponentiated_gradient_step([0.5, 0.5], [0.2, 0.8], 1.0, "saturated")
    with pytest.raises(ValueError, match="sums to"):
        exponentiated_gradient_step([0.5, 0.5], [0.2, 0.9], 1.0)
    with pytest.raises(ValueError, match="no probability is left"):
        exponentiated_gradient_step([1.0, 0.0], [0.0, 1.0], 1.0, "non_saturating")


@pytest.mark.parametrize(
    ("points", "complaint"),
    [([0.0], "one length"), ([[0.0, 1.0]], "one length"), ([0.0, math.nan], "points must be finite")],
)
def test_bad_points_are_refused(points, complaint):
    with pytest.raises(ValueError, match=complaint):
        wasserstein_1([0.5, 0.5], [0.2, 0.8], points)


def test_a_density_that_runs_off_its_grid_is_refused_everywhere():
    x, weights = grid(-2.0, 2.0, 401)
    inside, off = stats.norm(0, 0.3).pdf(x.numpy()), stats.norm(0, 1).pdf(x.numpy())
    for function in (criterion, kl_divergence):
        with pytest.raises(ValueError, match="integrates to 0.954"):
            function(inside, off, weights)
