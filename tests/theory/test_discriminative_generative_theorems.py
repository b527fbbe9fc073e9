"""The theorems of book/discriminative_generative.md, each against an independent oracle."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from coursekit.data import heights
from coursekit.theory import jensen_shannon, kl_divergence
from coursekit.theory.gaussian_classes import shared_covariance_posterior

SEEDS = range(5)


def rng(seed):
    return torch.Generator().manual_seed(seed)


def random_table(size, generator):
    table = torch.rand(size, generator=generator, dtype=torch.float64) + 0.01
    return table / table.sum()


def trapezoid_weights(grid):
    step = grid[1] - grid[0]
    weights = torch.full_like(grid, step.item())
    weights[[0, -1]] *= 0.5
    return weights


def two_humps():
    grid = torch.linspace(-30, 30, 20_001, dtype=torch.float64)
    density = 0.6 * normal(grid, -2.0, 0.6) + 0.4 * normal(grid, 2.0, 0.6)
    return grid, trapezoid_weights(grid), density


def normal(x, mean, std):
    return torch.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


# Jensen's inequality

CONVEX = {
    "square": torch.square,
    "exp": torch.exp,
    "minus log": lambda x: -torch.log(x),
    "x log x": lambda x: x * torch.log(x),
    "absolute value": lambda x: (x - 1).abs(),
}


@pytest.mark.theorem("thm-jensen-inequality")
@pytest.mark.parametrize("phi", CONVEX.values(), ids=CONVEX.keys())
def test_a_convex_function_of_the_mean_is_at_most_the_mean_of_the_function(phi):
    for seed in SEEDS:
        generator = rng(seed)
        x = 3 * torch.rand(6, generator=generator, dtype=torch.float64) + 0.01
        p = random_table(6, generator)
        assert phi(p @ x) <= p @ phi(x) + 1e-12


@pytest.mark.theorem("thm-jensen-inequality")
def test_jensen_is_strict_for_a_strictly_convex_function_unless_x_is_constant():
    p = torch.tensor([0.5, 0.5], dtype=torch.float64)
    spread, constant = torch.tensor([1.0, 3.0], dtype=torch.float64), torch.tensor([2.0, 2.0], dtype=torch.float64)
    # The page's numbers: log of the mean 0.693, mean of the logs 0.549.
    assert torch.log(p @ spread).item() == pytest.approx(0.693, abs=5e-4)
    assert (p @ torch.log(spread)).item() == pytest.approx(0.549, abs=5e-4)
    assert torch.log(p @ constant) == pytest.approx((p @ torch.log(constant)).item())


# KL is never negative


@pytest.mark.theorem("thm-kl-nonnegative")
@pytest.mark.parametrize("seed", SEEDS)
def test_kl_is_positive_between_different_tables_and_matches_scipy(seed):
    generator = rng(seed)
    p, q = random_table(7, generator), random_table(7, generator)
    assert kl_divergence(p, q) > 0
    assert float(kl_divergence(p, q)) == pytest.approx(stats.entropy(p.numpy(), q.numpy()))
    assert float(kl_divergence(p, p)) == pytest.approx(0, abs=1e-15)


@pytest.mark.theorem("thm-kl-nonnegative")
def test_kl_is_infinite_where_q_rules_out_what_p_allows():
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    assert float(kl_divergence(p, q)) == math.inf
    assert float(kl_divergence(q, p)) == pytest.approx(math.log(2))


# Maximum likelihood is minimum KL


@pytest.mark.theorem("thm-maximum-likelihood-is-minimum-kl")
@pytest.mark.parametrize("seed", SEEDS)
def test_mean_log_likelihood_is_minus_entropy_minus_kl_from_the_frequencies(seed):
    generator = rng(seed)
    data = torch.multinomial(random_table(5, generator), 40, replacement=True, generator=generator)
    model = random_table(5, generator)
    frequencies = torch.bincount(data, minlength=5).double() / len(data)

    mean_log_likelihood = model.log()[data].mean()

    entropy = stats.entropy(frequencies.numpy())
    assert mean_log_likelihood.item() == pytest.approx(-entropy - float(kl_divergence(frequencies, model)))


@pytest.mark.theorem("thm-maximum-likelihood-is-minimum-kl")
def test_the_coin_of_the_page():
    frequencies, model = torch.tensor([0.3, 0.7], dtype=torch.float64), torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert stats.entropy(frequencies.numpy()) == pytest.approx(0.611, abs=5e-4)
    assert float(kl_divergence(frequencies, model)) == pytest.approx(0.082, abs=5e-4)
    thetas = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    likelihood = 7 * thetas.log() + 3 * (1 - thetas).log()
    divergence = torch.tensor([float(kl_divergence(frequencies, torch.stack([1 - t, t]))) for t in thetas])
    assert likelihood.argmax() == divergence.argmin()
    assert thetas[likelihood.argmax()].item() == pytest.approx(0.7)


@pytest.mark.theorem("thm-maximum-likelihood-is-minimum-kl")
@pytest.mark.parametrize(("mean", "std"), [(-0.4, 2.0), (1.0, 1.5), (-2.0, 0.9)])
def test_expected_log_density_is_minus_entropy_minus_kl(mean, std):
    grid, weights, p_data = two_humps()

    def log_p_data(x):
        return np.log(0.6 * stats.norm.pdf(x, -2, 0.6) + 0.4 * stats.norm.pdf(x, 2, 0.6))

    def expectation(f):
        return integrate.quad(lambda x: np.exp(log_p_data(x)) * f(x), -9, 9, points=[-2, 2], epsabs=1e-11)[0]

    entropy = -expectation(log_p_data)
    expected_log_likelihood = expectation(lambda x: stats.norm.logpdf(x, mean, std))
    divergence = float(kl_divergence(p_data, normal(grid, mean, std), weights=weights))
    assert expected_log_likelihood == pytest.approx(-entropy - divergence, abs=1e-6)


# The Gaussian nearest in forward KL keeps mean and variance


@pytest.mark.theorem("thm-gaussian-moment-matching")
def test_no_gaussian_is_nearer_than_the_one_with_the_same_mean_and_variance():
    grid, weights, p = two_humps()
    mean = (weights * p * grid).sum()
    std = (weights * p * (grid - mean) ** 2).sum().sqrt()
    best = float(kl_divergence(p, normal(grid, mean, std), weights=weights))
    for seed in SEEDS:
        shift, stretch = torch.randn(2, generator=rng(seed), dtype=torch.float64) * 0.3
        other_mean, other_std = mean + shift, std * stretch.exp()
        other = float(kl_divergence(p, normal(grid, other_mean, other_std), weights=weights))
        # What is lost is KL between the two Gaussians, in its closed form.
        lost = (other_std / std).log() + (std**2 + (mean - other_mean) ** 2) / (2 * other_std**2) - 0.5
        assert other > best
        assert other - best == pytest.approx(lost.item(), abs=1e-8)


# What the page derives in passing


@pytest.mark.parametrize(("weight", "mean"), [(0.6, -2.0), (0.4, 2.0)])
def test_fitting_one_hump_costs_at_most_log_one_over_its_weight(weight, mean):
    grid, weights, p = two_humps()
    near = grid.abs() < 12  # further out one hump underflows to 0 and the other does not
    cost = float(kl_divergence(normal(grid, mean, 0.6)[near], p[near], weights=weights[near]))
    assert -math.log(weight) - 0.01 < cost < -math.log(weight)


@pytest.mark.parametrize("seed", SEEDS)
def test_jensen_shannon_is_symmetric_and_at_most_log_two(seed):
    generator = rng(seed)
    p, q = random_table(6, generator), random_table(6, generator)
    m = (p + q) / 2
    by_definition = (stats.entropy(p.numpy(), m.numpy()) + stats.entropy(q.numpy(), m.numpy())) / 2
    assert float(jensen_shannon(p, q)) == pytest.approx(by_definition)
    assert float(jensen_shannon(q, p)) == pytest.approx(by_definition)
    apart = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert float(jensen_shannon(apart, apart.flip(0))) == pytest.approx(math.log(2))


def test_the_heights_of_the_page():
    def mass(low, high):
        return integrate.quad(
            lambda x: heights().log_prob(torch.tensor(x, dtype=torch.float64)).exp().item(), low, high
        )[0]

    assert mass(190, 250) == pytest.approx(0.015, abs=5e-4)
    assert mass(80, 150) == pytest.approx(0.017, abs=5e-4)
    assert mass(140, 200) > 0.999
    rising = heights().log_prob(torch.arange(140.0, 201.0)).diff() > 0
    assert rising.tolist() == sorted(rising.tolist(), reverse=True)  # up, then down: one peak


# Change of variables


def log_density_of_image(log_p_x, g, x):
    """log p_Y at y = g(x): log p_X(x) minus log |det J_g(x)|."""
    jacobian = torch.func.jacrev(g)(x)
    _, log_abs_det = torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel()))
    return log_p_x(x) - log_abs_det


def log_standard_normal(x):
    return -0.5 * (x**2).sum() - 0.5 * x.numel() * math.log(2 * math.pi)


@pytest.mark.theorem("thm-change-of-variables")
@pytest.mark.parametrize("x", [-2.0, -0.3, 0.0, 1.7])
def test_the_exponential_of_a_gaussian_is_log_normal(x):
    x = torch.tensor([x], dtype=torch.float64)
    log_p_y = log_density_of_image(log_standard_normal, torch.exp, x)
    assert log_p_y.item() == pytest.approx(stats.lognorm.logpdf(x.exp().item(), s=1))


MONOTONE = {
    "increasing": (lambda x: x + x**3, lambda x: 1 + 3 * x**2),
    "decreasing": (lambda x: -np.sinh(x), lambda x: -np.cosh(x)),
}


@pytest.mark.theorem("thm-change-of-variables")
@pytest.mark.parametrize(("g", "slope"), MONOTONE.values(), ids=MONOTONE.keys())
def test_mass_between_two_images_is_the_quadrature_of_the_new_density(g, slope):
    from scipy.optimize import brentq

    def p_y(y):
        x = brentq(lambda t: g(t) - y, -10, 10)
        return stats.norm.pdf(x) / abs(slope(x))

    a, b = sorted((g(-0.7), g(1.2)))
    assert integrate.quad(p_y, a, b)[0] == pytest.approx(stats.norm.cdf(1.2) - stats.norm.cdf(-0.7), abs=1e-7)


@pytest.mark.theorem("thm-change-of-variables")
def test_samples_pushed_through_a_map_fill_intervals_as_the_new_density_says():
    x = np.random.default_rng(0).standard_normal(200_000)
    y = 1 / (1 + np.exp(x))  # decreasing, onto (0, 1)
    for a, b in [(0.1, 0.2), (0.45, 0.6), (0.7, 0.95)]:
        mass = integrate.quad(lambda v: stats.norm.pdf(np.log(1 / v - 1)) / (v * (1 - v)), a, b)[0]
        assert np.mean((y > a) & (y < b)) == pytest.approx(mass, abs=0.005)


@pytest.mark.theorem("thm-change-of-variables")
@pytest.mark.parametrize("seed", SEEDS)
def test_an_affine_image_of_a_gaussian_vector_has_covariance_a_a_transposed(seed):
    a = torch.randn(3, 3, generator=rng(seed), dtype=torch.float64)
    x, shift = torch.randn(2, 3, generator=rng(seed + 100), dtype=torch.float64)
    log_p_y = log_density_of_image(log_standard_normal, lambda v: a @ v + shift, x)
    oracle = torch.distributions.MultivariateNormal(shift, covariance_matrix=a @ a.T)
    assert log_p_y.item() == pytest.approx(oracle.log_prob(a @ x + shift).item(), abs=1e-6)


@pytest.mark.theorem("thm-change-of-variables")
@pytest.mark.parametrize("seed", SEEDS)
def test_box_muller_turns_the_uniform_square_into_the_standard_normal(seed):
    u = torch.rand(2, generator=rng(seed), dtype=torch.float64)

    def box_muller(u):
        radius = torch.sqrt(-2 * torch.log(u[0]))
        return torch.stack([radius * torch.cos(2 * math.pi * u[1]), radius * torch.sin(2 * math.pi * u[1])])

    log_p_y = log_density_of_image(lambda u: torch.zeros(()), box_muller, u)
    assert log_p_y.item() == pytest.approx(log_standard_normal(box_muller(u)).item(), abs=1e-9)


# Gaussian classes with one covariance


def posterior_by_bayes(x, class0, class1, prior1):
    joint0 = (1 - prior1) * class0.log_prob(x).exp()
    joint1 = prior1 * class1.log_prob(x).exp()
    return joint1 / (joint0 + joint1)


@pytest.mark.theorem("thm-shared-covariance-posterior")
@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_logistic_formula_equals_bayes_rule_on_the_densities(dimension, seed):
    generator = rng(seed)
    mu0, mu1 = torch.randn(2, dimension, generator=generator, dtype=torch.float64)
    root = torch.randn(dimension, dimension, generator=generator, dtype=torch.float64)
    cov = root @ root.T + 0.3 * torch.eye(dimension, dtype=torch.float64)
    prior1 = 0.05 + 0.9 * torch.rand((), generator=generator, dtype=torch.float64).item()
    x = 2 * torch.randn(50, dimension, generator=generator, dtype=torch.float64)

    w, b = shared_covariance_posterior(mu0, mu1, cov, prior1)

    class0 = torch.distributions.MultivariateNormal(mu0, cov)
    class1 = torch.distributions.MultivariateNormal(mu1, cov)
    torch.testing.assert_close(torch.sigmoid(x @ w + b), posterior_by_bayes(x, class0, class1, prior1))


@pytest.mark.theorem("thm-shared-covariance-posterior")
def test_the_worked_example_of_the_page():
    mu0, mu1 = torch.zeros(2, dtype=torch.float64), torch.tensor([2.0, 1.0], dtype=torch.float64)
    cov = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
    w, b = shared_covariance_posterior(mu0, mu1, cov, 0.25)
    torch.testing.assert_close(w, torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert float(b) == pytest.approx(-1 - math.log(3))
    assert float(torch.sigmoid(w @ mu1 + b)) == pytest.approx(0.475, abs=5e-4)


@pytest.mark.theorem("thm-shared-covariance-posterior")
def test_with_two_covariances_the_log_odds_bend():
    narrow = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    wide = torch.distributions.MultivariateNormal(torch.ones(2), 3 * torch.eye(2))
    x = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    left, middle, right = wide.log_prob(x) - narrow.log_prob(x)
    assert abs(left - 2 * middle + right) > 0.1


# The converse is false


@pytest.mark.theorem("thm-logistic-posterior-converse")
@pytest.mark.parametrize("prior1", [0.2, 0.5, 0.9])
def test_two_exponential_classes_have_a_logistic_posterior(prior1):
    x = np.linspace(0.01, 8, 50)
    joint0, joint1 = (1 - prior1) * stats.expon.pdf(x), prior1 * stats.expon.pdf(x, scale=0.5)
    w, b = -1, math.log(2) + math.log(prior1 / (1 - prior1))
    np.testing.assert_allclose(joint1 / (joint0 + joint1), 1 / (1 + np.exp(-(w * x + b))))
    assert stats.expon.stats(moments="s") == pytest.approx(2)  # a Gaussian has skewness 0


@pytest.mark.theorem("thm-logistic-posterior-converse")
@pytest.mark.parametrize("seed", SEEDS)
def test_tilting_any_table_gives_a_logistic_posterior(seed):
    generator = rng(seed)
    points = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    w = torch.randn(2, generator=generator, dtype=torch.float64)
    p0 = random_table(6, generator)
    z = (p0 * torch.exp(points @ w)).sum()
    p1 = p0 * torch.exp(points @ w) / z
    prior1 = 0.3

    posterior = prior1 * p1 / ((1 - prior1) * p0 + prior1 * p1)

    b = math.log(prior1 / (1 - prior1)) - z.log()
    assert p1.sum().item() == pytest.approx(1)
    torch.testing.assert_close(posterior, torch.sigmoid(points @ w + b))


@pytest.mark.theorem("thm-logistic-posterior-converse")
def test_copies_slid_along_the_boundary_keep_the_posterior_and_change_the_density():
    cov = torch.tensor([[1.0, 0.4], [0.4, 0.8]], dtype=torch.float64)
    mu0, mu1 = torch.tensor([[-1.0, 0.0], [1.0, 0.5]], dtype=torch.float64)
    w, b = shared_covariance_posterior(mu0, mu1, cov, 0.5)
    along = torch.stack([-w[1], w[0]])
    slides = torch.tensor([-3.0, 3.0], dtype=torch.float64)[:, None] * along

    def copies(mean):
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(torch.tensor([0.5, 0.5], dtype=torch.float64)),
            torch.distributions.MultivariateNormal(mean + slides, cov),
        )

    x = 3 * torch.randn(200, 2, generator=rng(0), dtype=torch.float64)
    torch.testing.assert_close(torch.sigmoid(x @ w + b), posterior_by_bayes(x, copies(mu0), copies(mu1), 0.5))
    # Not Gaussian: the old mean lies in a valley between the two copies.
    assert copies(mu0).log_prob(mu0) < copies(mu0).log_prob(mu0 + slides[0]) - 1
