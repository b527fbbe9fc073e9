import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from coursekit.losses.vae import (
    gaussian_log_density,
    importance_weighted_bound,
    kl_standard_normal,
    negative_elbo,
    reparameterise,
)


def gaussian(mu, log_var):
    return Independent(Normal(mu, torch.exp(log_var / 2)), 1)


def test_kl_matches_torch_distributions(rng):
    mu, log_var = torch.randn(2, 6, 4, generator=rng, dtype=torch.float64)
    prior = gaussian(torch.zeros_like(mu), torch.zeros_like(mu))
    torch.testing.assert_close(kl_standard_normal(mu, log_var), kl_divergence(gaussian(mu, log_var), prior))


def test_kl_by_hand():
    # mu = (1, 0), sigma² = (1, e): ½ · 1 + ½ (e - 1 - 1)
    kl = kl_standard_normal(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert kl.tolist() == pytest.approx([0.5 + (math.e - 2) / 2])


def test_kl_is_zero_only_at_the_prior():
    zero = torch.zeros(1, 3)
    assert kl_standard_normal(zero, zero).item() == 0
    for step in (-0.1, 0.1):
        assert kl_standard_normal(zero + step, zero).item() > 0
        assert kl_standard_normal(zero, zero + step).item() > 0


def test_reparameterised_noise_has_the_mean_and_variance_asked_for(rng):
    mu, log_var = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.0, -2.0]])
    z = reparameterise(mu, log_var, torch.randn(100_000, 1, 2, generator=rng))
    torch.testing.assert_close(z.mean(0), mu, atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), log_var.exp(), atol=0.02, rtol=0)


def test_reparameterisation_differentiates_like_mu_plus_sigma_eps():
    mu = torch.tensor([[0.3]], requires_grad=True)
    log_var = torch.tensor([[math.log(4.0)]], requires_grad=True)
    z = reparameterise(mu, log_var, torch.tensor([[1.5]]))
    d_mu, d_log_var = torch.autograd.grad(z.sum(), (mu, log_var))
    assert z.item() == pytest.approx(0.3 + 2 * 1.5)
    assert (d_mu.item(), d_log_var.item()) == pytest.approx((1.0, 1.5))  # d sigma / d log_var = sigma / 2


def test_negative_elbo_adds_beta_times_the_kl():
    reconstruction, kl = torch.tensor([10.0]), torch.tensor([1.0])
    assert negative_elbo(reconstruction, kl).tolist() == pytest.approx([11.0])
    assert negative_elbo(reconstruction, kl, beta=4.0).tolist() == pytest.approx([14.0])


def test_gaussian_log_density_matches_torch_distributions(rng):
    z, mu, log_var = torch.randn(3, 6, 4, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(gaussian_log_density(z, mu, log_var), gaussian(mu, log_var).log_prob(z))


def test_gaussian_log_density_broadcasts_over_samples(rng):
    z = torch.randn(7, 6, 4, generator=rng)
    mu, log_var = torch.randn(2, 6, 4, generator=rng)
    torch.testing.assert_close(gaussian_log_density(z, mu, log_var), gaussian(mu, log_var).log_prob(z))


def test_importance_weighted_bound_is_the_log_of_the_mean_weight():
    weights = torch.tensor([[1.0, 2.0], [3.0, 6.0]], dtype=torch.float64)  # k = 2, N = 2
    assert importance_weighted_bound(weights.log()).tolist() == pytest.approx([math.log(2), math.log(4)])


def test_importance_weighted_bound_survives_weights_that_underflow():
    log_w = torch.tensor([[-1000.0], [-1001.0]])
    expected = -1000 + math.log((1 + math.exp(-1)) / 2)
    assert importance_weighted_bound(log_w).item() == pytest.approx(expected, rel=1e-6)


def test_importance_weighted_bound_of_the_exact_posterior_is_log_p_for_every_k(rng):
    # z ~ N(0, 1), x | z ~ N(z, 1): posterior N(x/2, 1/2), marginal N(0, 2).
    x = torch.tensor([[0.7], [-2.0]], dtype=torch.float64)
    mu, log_var = x / 2, torch.full_like(x, math.log(0.5))
    z = reparameterise(mu, log_var, torch.randn(5, 2, 1, generator=rng, dtype=torch.float64))
    zero = torch.zeros_like(x)
    log_joint = gaussian_log_density(x, z, zero) + gaussian_log_density(z, zero, zero)
    log_w = log_joint - gaussian_log_density(z, mu, log_var)
    log_p = Normal(0.0, math.sqrt(2.0)).log_prob(x)[:, 0]
    torch.testing.assert_close(importance_weighted_bound(log_w), log_p)
