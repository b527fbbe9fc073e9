"""The theorems of the VAE chapter, checked where both sides can be computed exactly.

The workhorse is the linear-Gaussian model p(z) = N(0, I), p(x | z) = N(W z + b, sigma^2 I): its evidence
and its posterior are Gaussian, so the ELBO and its gap need no sampling.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from coursekit.losses import reconstruction, vae
from coursekit.metrics import active_units, kl_per_dimension

DOUBLE = torch.float64


class LinearGaussian:
    """p(z) = N(0, I_K), p(x | z) = N(W z + b, sigma^2 I_D), solved by Gaussian algebra alone."""

    def __init__(self, weight, bias, sigma):
        self.weight, self.bias, self.sigma = weight, bias, sigma

    def evidence(self):
        covariance = self.weight @ self.weight.T + self.sigma**2 * torch.eye(len(self.bias), dtype=DOUBLE)
        return MultivariateNormal(self.bias, covariance)

    def posterior(self, x):
        precision = torch.eye(self.weight.shape[1], dtype=DOUBLE) + self.weight.T @ self.weight / self.sigma**2
        mean = torch.linalg.solve(precision, (x - self.bias) @ self.weight / self.sigma**2)
        return MultivariateNormal(mean, precision_matrix=precision)

    def elbo(self, x, mu, log_var):
        """Exact ELBO (N,): the expected squared error adds trace(W diag(var) W^T) to the error at the mean."""
        at_the_mean = reconstruction.gaussian_nll(mu @ self.weight.T + self.bias, x, sigma=self.sigma)
        spread = (log_var.exp() * self.weight.square().sum(0)).sum(-1) / (2 * self.sigma**2)
        return -vae.negative_elbo(at_the_mean + spread, vae.kl_standard_normal(mu, log_var))


def linear_gaussian(seed, orthogonal=False, dimensions=5, latent=3, sigma=0.7):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(dimensions, latent, generator=generator, dtype=DOUBLE)
    if orthogonal:
        weight = torch.linalg.qr(weight).Q * torch.tensor([2.0, 1.0, 0.5], dtype=DOUBLE)
    bias = torch.randn(dimensions, generator=generator, dtype=DOUBLE)
    x = torch.randn(4, dimensions, generator=generator, dtype=DOUBLE)
    mu = torch.randn(4, latent, generator=generator, dtype=DOUBLE)
    log_var = torch.randn(4, latent, generator=generator, dtype=DOUBLE)
    return LinearGaussian(weight, bias, sigma), x, mu, log_var


def hermite(nodes):
    """Nodes and weights with sum(weights * f(nodes)) = E f(eps), eps ~ N(0, 1), exact for degree < 2 * nodes."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return torch.from_numpy(points), torch.from_numpy(weights / math.sqrt(2 * math.pi))


# --- the Gaussian KL ---------------------------------------------------------------------------------------


@pytest.mark.theorem("thm-gaussian-kl")
def test_gaussian_kl_matches_torch_distributions():
    _, _, mu, log_var = linear_gaussian(0)
    q = Normal(mu, (log_var / 2).exp())
    expected = kl_divergence(q, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(1)
    torch.testing.assert_close(vae.kl_standard_normal(mu, log_var), expected)


@pytest.mark.theorem("thm-gaussian-kl")
@pytest.mark.parametrize("mu, var", [(0.0, 1.0), (1.5, 1.0), (0.0, 0.25), (-0.8, 3.0)])
def test_gaussian_kl_matches_quadrature_of_its_definition(mu, var):
    std = math.sqrt(var)

    def integrand(z):
        log_q = -((z - mu) ** 2) / (2 * var) - math.log(std)
        log_p = -(z**2) / 2
        return math.exp(log_q) / math.sqrt(2 * math.pi) * (log_q - log_p)

    expected, _ = integrate.quad(integrand, mu - 12 * std, mu + 12 * std)
    computed = vae.kl_standard_normal(torch.tensor([[mu]], dtype=DOUBLE), torch.tensor([[var]], dtype=DOUBLE).log())
    assert computed.item() == pytest.approx(expected, abs=1e-8)


def test_gaussian_kl_worked_by_hand():
    kl = vae.kl_standard_normal(torch.tensor([[1.0]]), torch.tensor([[0.25]]).log())
    assert kl.item() == pytest.approx(0.818, abs=5e-4)


@pytest.mark.theorem("thm-gaussian-kl")
def test_gaussian_kl_is_zero_only_at_the_prior():
    zeros = torch.zeros(1, 2, dtype=DOUBLE)
    assert vae.kl_standard_normal(zeros, zeros).item() == 0
    for move in (-0.3, 0.3):
        step = torch.tensor([[0.0, move]], dtype=DOUBLE)
        assert vae.kl_standard_normal(step, zeros).item() > 0
        assert vae.kl_standard_normal(zeros, step).item() > 0


# --- the gap -----------------------------------------------------------------------------------------------


@pytest.mark.theorem("thm-elbo-gap")
@pytest.mark.parametrize("seed", range(3))
def test_evidence_minus_elbo_is_the_kl_to_the_posterior(seed):
    model, x, mu, log_var = linear_gaussian(seed)
    gap = model.evidence().log_prob(x) - model.elbo(x, mu, log_var)
    for n in range(len(x)):
        q = MultivariateNormal(mu[n], torch.diag(log_var[n].exp()))
        torch.testing.assert_close(gap[n], kl_divergence(q, model.posterior(x[n])))


@pytest.mark.theorem("thm-elbo-gap")
def test_elbo_equals_evidence_when_q_is_the_posterior():
    model, x, _, _ = linear_gaussian(0, orthogonal=True)
    posterior = model.posterior(x[0])
    log_var = posterior.covariance_matrix.diagonal().log()
    elbo = model.elbo(x[:1], posterior.mean[None], log_var[None])
    torch.testing.assert_close(elbo, model.evidence().log_prob(x[:1]))


@pytest.mark.theorem("thm-elbo-gap")
def test_diagonal_q_leaves_a_gap_when_the_posterior_is_correlated():
    model, x, _, _ = linear_gaussian(1)
    posterior = model.posterior(x[0])
    precision = posterior.precision_matrix
    best = model.elbo(x[:1], posterior.mean[None], -precision.diagonal().log()[None])
    gap = (model.evidence().log_prob(x[:1]) - best).item()
    mean_field = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision)).item()
    assert gap == pytest.approx(mean_field)
    assert gap > 0.1


def test_gap_of_a_sum_of_two_codes_is_as_the_page_says():
    model = LinearGaussian(torch.ones(1, 2, dtype=DOUBLE), torch.zeros(1, dtype=DOUBLE), 1.0)
    for value in (-3.0, 0.5):
        x = torch.tensor([[value]], dtype=DOUBLE)
        best = model.elbo(x, model.posterior(x[0]).mean[None], torch.full((1, 2), 0.5, dtype=DOUBLE).log())
        assert (model.evidence().log_prob(x) - best).item() == pytest.approx(0.5 * math.log(4 / 3))


@pytest.mark.theorem("thm-elbo-gap")
def test_one_sample_elbo_averages_to_the_exact_one():
    model, x, mu, log_var = linear_gaussian(2)
    eps = torch.randn(40_000, 4, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    x_hat = vae.reparameterise(mu, log_var, eps) @ model.weight.T + model.bias
    nll = reconstruction.gaussian_nll(x_hat.flatten(0, 1), x.repeat(len(eps), 1), sigma=model.sigma).view(len(eps), 4)
    elbo = -(nll + vae.kl_standard_normal(mu, log_var))
    error_of_the_mean = elbo.std(0) / math.sqrt(len(eps))
    assert ((elbo.mean(0) - model.elbo(x, mu, log_var)).abs() < 4 * error_of_the_mean).all()


# --- why the integral is hard -------------------------------------------------------------------------------


def test_relative_variance_of_naive_monte_carlo_is_as_the_page_says():
    sigma = 0.1

    def moment(power):
        def integrand(z):
            return Normal(0.0, 1.0).log_prob(torch.tensor(z)).exp().item() * (
                Normal(z, sigma).log_prob(torch.tensor(0.0)).exp().item() ** power
            )

        return integrate.quad(integrand, -1.5, 1.5, points=[0.0])[0]

    closed_form = (1 + sigma**2) / (sigma * math.sqrt(2 + sigma**2))
    assert moment(2) / moment(1) ** 2 == pytest.approx(closed_form, rel=1e-4)
    assert closed_form == pytest.approx(7.12, abs=0.01)


# --- two gradients -----------------------------------------------------------------------------------------


@pytest.mark.theorem("thm-two-gradients")
@pytest.mark.parametrize("mu, log_var", [(0.7, -0.5), (-1.2, 0.4)])
def test_both_gradient_estimators_have_the_true_gradient_as_mean(mu, log_var):
    """f(z) = z^4, whose expectation mu^4 + 6 mu^2 s^2 + 3 s^4 has a gradient in closed form."""
    var = math.exp(log_var)
    truth = torch.tensor([4 * mu**3 + 12 * mu * var, (6 * mu**2 + 6 * var) * var], dtype=DOUBLE)
    eps, weights = hermite(20)
    parameters = torch.tensor([mu, log_var], dtype=DOUBLE, requires_grad=True)

    z = vae.reparameterise(parameters[0].expand(20, 1), parameters[1].expand(20, 1), eps[:, None])
    (reparameterised,) = torch.autograd.grad((weights * z.squeeze(1) ** 4).sum(), parameters)
    z = z.detach()
    log_q = vae.gaussian_log_density(z, parameters[0].expand(20, 1), parameters[1].expand(20, 1)).view(-1)
    (score,) = torch.autograd.grad((weights * z.squeeze(1) ** 4 * log_q).sum(), parameters)

    torch.testing.assert_close(reparameterised, truth)
    torch.testing.assert_close(score, truth)


@pytest.mark.theorem("thm-two-gradients")
def test_a_baseline_leaves_the_score_estimator_unbiased():
    eps, weights = hermite(20)
    with_baseline = (weights * ((1 + eps) ** 2 - 123.0) * eps).sum().item()
    assert with_baseline == pytest.approx(2.0)


@pytest.mark.parametrize("mu", [1.0, 10.0])
def test_variances_on_a_square_are_as_the_page_says(mu):
    eps, weights = hermite(20)

    def variance(estimate):
        return ((weights * estimate**2).sum() - (weights * estimate).sum() ** 2).item()

    assert variance(2 * (mu + eps)) == pytest.approx(4)
    assert variance((mu + eps) ** 2 * eps) == pytest.approx(mu**4 + 14 * mu**2 + 15)
    assert variance(((mu + eps) ** 2 - mu**2) * eps) == pytest.approx(8 * mu**2 + 15)


def test_score_function_has_the_smaller_variance_on_a_fast_sine():
    eps, weights = hermite(120)
    reparameterised, score = 5 * torch.cos(5 * eps), torch.sin(5 * eps) * eps
    second_moments = [(weights * estimate**2).sum().item() for estimate in (reparameterised, score)]
    assert second_moments[0] == pytest.approx(12.5, abs=0.01)
    assert second_moments[1] == pytest.approx(0.5, abs=0.01)


# --- collapse ----------------------------------------------------------------------------------------------


def trained_linear_vae(variances, latent, sigma, beta):
    """Best of five L-BFGS runs on centred data with these principal variances: (loss, mu, log_var, W)."""
    axes = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(9), dtype=DOUBLE)).Q
    half = (3 * torch.tensor(variances, dtype=DOUBLE)).sqrt()[:, None] * axes.T
    x = torch.cat([half, -half])

    def encode(parameters):
        w, a, log_var = parameters[: 3 * latent].view(3, latent), parameters[3 * latent : -latent], parameters[-latent:]
        return w, x @ a.view(3, latent), log_var.expand(len(x), latent)

    def objective(parameters):
        w, mu, log_var = encode(parameters)
        spread = (log_var.exp() * w.square().sum(0)).sum(1) / (2 * sigma**2)
        return vae.negative_elbo(
            reconstruction.gaussian_nll(mu @ w.T, x, sigma=sigma) + spread,
            vae.kl_standard_normal(mu, log_var),
            beta=beta,
        ).mean()

    runs = []
    for seed in range(5):
        parameters = torch.randn(
            7 * latent, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE
        ).requires_grad_()
        optimizer = torch.optim.LBFGS(
            [parameters], max_iter=3000, tolerance_grad=1e-10, tolerance_change=1e-16, line_search_fn="strong_wolfe"
        )

        def closure():
            optimizer.zero_grad()
            loss = objective(parameters)
            loss.backward()
            return loss

        optimizer.step(closure)
        runs.append((objective(parameters).item(), parameters.detach()))
    loss, parameters = min(runs, key=lambda run: run[0])
    w, mu, log_var = encode(parameters)
    return loss, mu, log_var, w


@pytest.mark.theorem("thm-linear-collapse")
@pytest.mark.parametrize(
    "sigma2, beta, active",
    [(0.5, 1.0, 2), (0.1, 1.0, 3), (0.5, 4.0, 1), (2.0, 1.0, 1), (0.5, 10.0, 0), (5.0, 1.0, 0)],
)
def test_trained_linear_vae_keeps_the_dimensions_above_beta_sigma_squared(sigma2, beta, active):
    variances, noise = [4.0, 1.0, 0.25], beta * sigma2
    _, mu, log_var, w = trained_linear_vae(variances, latent=3, sigma=math.sqrt(sigma2), beta=beta)

    def descending(values):
        return sorted(values.tolist(), reverse=True)

    expected_kl = [max(0.0, 0.5 * math.log(variance / noise)) for variance in variances]
    assert descending(kl_per_dimension(mu, log_var)) == pytest.approx(expected_kl, abs=1e-3)
    assert descending(w.square().sum(0)) == pytest.approx(
        [max(0.0, variance - noise) for variance in variances], abs=1e-3
    )
    assert active_units(mu) == active


@pytest.mark.theorem("thm-linear-collapse")
def test_trained_linear_vae_has_orthogonal_columns_and_the_evidence_as_loss():
    loss, _, _, w = trained_linear_vae([4.0, 1.0, 0.25], latent=2, sigma=math.sqrt(0.5), beta=1.0)
    assert (w.T @ w)[0, 1].item() == pytest.approx(0, abs=1e-4)
    spectrum = [4.0, 1.0, 0.5]
    assert loss == pytest.approx(
        0.5 * sum(math.log(2 * math.pi * c) + v / c for c, v in zip(spectrum, [4.0, 1.0, 0.25], strict=True))
    )


# --- the importance-weighted bound ---------------------------------------------------------------------------


def exact_bounds(x, mu, std, largest, w=1.5, sigma=0.8, nodes=24):
    """L_1 ... L_largest and log p(x) for z ~ N(0, 1), x | z ~ N(w z, sigma^2), q = N(mu, std^2), by quadrature."""
    eps, weights = hermite(nodes)
    z = mu + std * eps
    log_w = Normal(w * z, sigma).log_prob(torch.tensor(x)) + Normal(0.0, 1.0).log_prob(z) - Normal(mu, std).log_prob(z)
    bounds = []
    for k in range(1, largest + 1):
        grid = torch.tensor(list(itertools.product(range(nodes), repeat=k))).T
        bounds.append((weights[grid].prod(0) * vae.importance_weighted_bound(log_w[grid])).sum().item())
    evidence = Normal(0.0, math.sqrt(w**2 + sigma**2)).log_prob(torch.tensor(x)).item()
    return bounds, evidence


@pytest.mark.theorem("thm-iwae-bound")
@pytest.mark.parametrize("x, mu, std", [(1.0, 0.0, 1.0), (2.5, 0.6, 0.5), (-0.4, 0.3, 0.3)])
def test_importance_weighted_bounds_rise_towards_the_evidence(x, mu, std):
    bounds, evidence = exact_bounds(x, mu, std, largest=4)
    assert all(lower < higher for lower, higher in itertools.pairwise(bounds))
    assert bounds[-1] < evidence


def test_bounds_with_the_prior_as_q_are_as_the_page_says():
    (elbo, two), evidence = exact_bounds(1.0, 0.0, 1.0, largest=2, nodes=70)
    four = exact_bounds(1.0, 0.0, 1.0, largest=4)[0][-1]
    assert [evidence, elbo, two, four] == pytest.approx([-1.623, -3.235, -2.119, -1.781], abs=5e-4)


@pytest.mark.theorem("thm-iwae-bound")
def test_first_importance_weighted_bound_is_the_elbo():
    model = LinearGaussian(torch.tensor([[1.5]], dtype=DOUBLE), torch.zeros(1, dtype=DOUBLE), 0.8)
    elbo = model.elbo(*(torch.tensor([[value]], dtype=DOUBLE) for value in (1.0, 0.4, 2 * math.log(0.7))))
    bounds, _ = exact_bounds(1.0, 0.4, 0.7, largest=1)
    assert bounds[0] == pytest.approx(elbo.item())


@pytest.mark.theorem("thm-iwae-bound")
def test_every_bound_is_the_evidence_when_q_is_the_posterior():
    w, sigma, x = 1.5, 0.8, 1.0
    precision = 1 + w**2 / sigma**2
    bounds, evidence = exact_bounds(x, w * x / sigma**2 / precision, precision**-0.5, largest=3)
    assert bounds == pytest.approx([evidence] * 3)


@pytest.mark.theorem("thm-iwae-bound")
def test_many_samples_close_the_gap():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(10_000, 50, generator=generator, dtype=DOUBLE)
    log_w = Normal(1.5 * z, 0.8).log_prob(torch.tensor(1.0, dtype=DOUBLE))
    _, evidence = exact_bounds(1.0, 0.0, 1.0, largest=1)
    assert (vae.importance_weighted_bound(log_w).mean() - evidence).abs() < 0.01


# --- grey pixels -------------------------------------------------------------------------------------------


@pytest.mark.theorem("thm-grey-bernoulli")
@pytest.mark.parametrize("lam", [0.5, 0.7, 0.02, 0.999])
def test_cross_entropy_on_grey_values_does_not_integrate_to_one(lam):
    logit = torch.tensor([math.log(lam / (1 - lam))], dtype=DOUBLE)

    def exponentiated(x):
        return (
            reconstruction.bernoulli_nll(logit.view(1, 1, 1, 1), torch.full((1, 1, 1, 1), x, dtype=DOUBLE))
            .neg()
            .exp()
            .item()
        )

    mass, _ = integrate.quad(exponentiated, 0, 1)
    closed_form = 0.5 if lam == 0.5 else (2 * lam - 1) / math.log(lam / (1 - lam))
    assert mass == pytest.approx(closed_form)
    assert mass <= 0.5 + 1e-12
    assert exponentiated(0.0) + exponentiated(1.0) == pytest.approx(1)
