import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal

from coursekit.losses.reconstruction import bernoulli_nll, gaussian_nll, squared_error


def test_bernoulli_nll_matches_torch_distributions(rng):
    logits = 3 * torch.randn(5, 1, 4, 3, generator=rng, dtype=torch.float64)
    x = torch.bernoulli(torch.full_like(logits, 0.5), generator=rng)
    expected = -Independent(Bernoulli(logits=logits), 3).log_prob(x)
    torch.testing.assert_close(bernoulli_nll(logits, x), expected)


def test_bernoulli_nll_of_an_undecided_decoder_is_log_2_per_pixel():
    x = torch.tensor([[0.0, 1.0, 0.3]])
    assert bernoulli_nll(torch.zeros(1, 3), x).item() == pytest.approx(3 * math.log(2), rel=1e-6)


def test_bernoulli_nll_on_grey_pixels_is_least_at_the_pixel_value():
    x = torch.full((1, 1), 0.3, dtype=torch.float64)
    at = [bernoulli_nll(torch.logit(torch.full_like(x, y)), x).item() for y in (0.25, 0.3, 0.35)]
    assert at[1] == min(at)
    assert at[1] == pytest.approx(-0.3 * math.log(0.3) - 0.7 * math.log(0.7))


def test_bernoulli_nll_is_finite_where_the_sigmoid_saturates():
    nll = bernoulli_nll(torch.tensor([[200.0, -200.0]]), torch.tensor([[0.0, 1.0]]))
    assert nll.item() == pytest.approx(400.0)


@pytest.mark.parametrize("sigma", [1.0, 0.1, 2.5])
def test_gaussian_nll_matches_torch_distributions(rng, sigma):
    x_hat, x = torch.rand(2, 5, 3, 4, 2, generator=rng, dtype=torch.float64)
    expected = -Independent(Normal(x_hat, sigma), 3).log_prob(x)
    torch.testing.assert_close(gaussian_nll(x_hat, x, sigma), expected)


def test_gaussian_nll_with_a_learned_sigma_has_its_minimum_at_the_root_mean_square_error():
    x_hat, x = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[1.0, 7.0]], dtype=torch.float64)
    sigma = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)  # sqrt((1 + 49) / 2)
    (gradient,) = torch.autograd.grad(gaussian_nll(x_hat, x, sigma).sum(), sigma)
    assert gradient.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("sigma", [0.0, -1.0])
def test_gaussian_nll_refuses_a_sigma_that_is_not_positive(sigma):
    with pytest.raises(ValueError, match="sigma must be positive"):
        gaussian_nll(torch.zeros(1, 2), torch.zeros(1, 2), sigma)


def test_squared_error_is_the_squared_distance():
    assert squared_error(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[4.0, 6.0], [0.0, 1.0]])).tolist() == [
        25.0,
        1.0,
    ]


@pytest.mark.parametrize("loss", [bernoulli_nll, gaussian_nll, squared_error])
def test_shapes_are_never_broadcast(loss):
    with pytest.raises(ValueError, match="same shape"):
        loss(torch.zeros(4, 1, 2, 2), torch.zeros(4, 4))
    with pytest.raises(ValueError, match="same shape"):
        loss(torch.zeros(4, 1), torch.zeros(4, 3))
