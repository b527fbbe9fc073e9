import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from coursekit.theory import shared_covariance_posterior


def bayes_posterior(x, mu0, mu1, cov, prior1):
    joint0 = (1 - prior1) * MultivariateNormal(mu0, cov).log_prob(x).exp()
    joint1 = prior1 * MultivariateNormal(mu1, cov).log_prob(x).exp()
    return joint1 / (joint0 + joint1)


@pytest.mark.parametrize("prior1", [0.5, 0.1, 0.97])
def test_posterior_is_bayes_rule_on_the_densities(prior1):
    rng = torch.Generator().manual_seed(1)
    mu0, mu1 = torch.randn(2, 3, generator=rng, dtype=torch.float64)
    root = torch.randn(3, 3, generator=rng, dtype=torch.float64)
    cov = root @ root.T + 0.5 * torch.eye(3, dtype=torch.float64)
    x = 2 * torch.randn(50, 3, generator=rng, dtype=torch.float64)
    w, b = shared_covariance_posterior(mu0, mu1, cov, prior1)
    torch.testing.assert_close(torch.sigmoid(x @ w + b), bayes_posterior(x, mu0, mu1, cov, prior1))


def test_weights_by_hand():
    # Sigma^-1 = diag(1/2, 2): w = (1, 8), b = 0 - ½ (4/2 + 16 * 2) + log(¼ / ¾)
    w, b = shared_covariance_posterior([0, 0], [2, 4], [[2.0, 0.0], [0.0, 0.5]], 0.25)
    assert w.tolist() == pytest.approx([1.0, 8.0])
    assert b.item() == pytest.approx(-17 - math.log(3), rel=1e-6)


def test_equal_priors_put_the_boundary_through_the_midpoint():
    mu0, mu1 = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 5.0])
    w, b = shared_covariance_posterior(mu0, mu1, torch.tensor([[2.0, 0.3], [0.3, 1.0]]), 0.5)
    assert ((mu0 + mu1) / 2 @ w + b).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("mu0", "mu1", "cov", "prior1", "complaint"),
    [
        ([0.0], [1.0, 2.0], [[1.0]], 0.5, "shapes"),
        ([[0.0]], [[1.0]], [[1.0]], 0.5, "shapes"),
        ([0.0], [1.0], [1.0], 0.5, "shapes"),
        ([0.0], [1.0], [[1.0]], 0.0, "prior1"),
        ([0.0], [1.0], [[1.0]], 1.0, "prior1"),
        ([0.0], [1.0], [[-1.0]], 0.5, "positive definite"),
        ([0.0, 0.0], [1.0, 1.0], [[1.0, 0.0], [0.5, 1.0]], 0.5, "symmetric"),
    ],
)
def test_what_does_not_fit_is_named(mu0, mu1, cov, prior1, complaint):
    with pytest.raises(ValueError, match=complaint):
        shared_covariance_posterior(mu0, mu1, cov, prior1)
