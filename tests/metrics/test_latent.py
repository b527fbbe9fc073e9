import pytest
import torch
from torch.distributions import Normal, kl_divergence

from coursekit.losses.vae import kl_standard_normal
from coursekit.metrics import active_units, kl_per_dimension


def test_active_units_counts_dimensions_whose_mean_varies():
    generator = torch.Generator().manual_seed(0)
    mu = torch.randn(1000, 4, generator=generator) * torch.tensor([1.0, 0.2, 0.05, 0.0])
    assert active_units(mu) == 2


def test_active_units_compares_the_variance_not_the_deviation():
    mu = torch.tensor([[0.0, 0.0], [0.2, 0.1]])  # variances 0.02 and 0.005
    assert active_units(mu) == 1
    assert active_units(mu, threshold=0.001) == 2


def test_active_units_ignores_a_constant_offset():
    assert active_units(torch.full((10, 3), 5.0)) == 0


def test_kl_per_dimension_matches_torch_distributions():
    generator = torch.Generator().manual_seed(0)
    mu, log_var = torch.randn(2, 50, 3, generator=generator)
    expected = kl_divergence(Normal(mu, (log_var / 2).exp()), Normal(0.0, 1.0)).mean(0)
    torch.testing.assert_close(kl_per_dimension(mu, log_var), expected)


def test_kl_per_dimension_sums_to_the_loss_term():
    generator = torch.Generator().manual_seed(1)
    mu, log_var = torch.randn(2, 50, 3, generator=generator)
    torch.testing.assert_close(kl_per_dimension(mu, log_var).sum(), kl_standard_normal(mu, log_var).mean())


def test_a_dimension_equal_to_the_prior_has_zero_kl():
    mu, log_var = torch.tensor([[0.0, 1.0], [0.0, -1.0]]), torch.zeros(2, 2)
    torch.testing.assert_close(kl_per_dimension(mu, log_var), torch.tensor([0.0, 0.5]))


@pytest.mark.parametrize("mu", [torch.zeros(3), torch.zeros(1, 3)])
def test_active_units_says_which_shape_it_needs(mu):
    with pytest.raises(ValueError, match=r"mu must be \(N, K\)"):
        active_units(mu)


def test_kl_per_dimension_refuses_shapes_that_differ():
    with pytest.raises(ValueError, match="share one shape"):
        kl_per_dimension(torch.zeros(3, 2), torch.zeros(3, 1))
