"""The closed form of the Fréchet distance between Gaussians, and what its proof says on the way."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from coursekit.metrics import frechet_distance

F = 4


def gaussians(seed, rank=F):
    """Means and covariances of two random Gaussians; covariances of less than full rank are singular."""
    random = np.random.default_rng(seed)
    factors = random.normal(size=(2, F, rank))
    return random.normal(size=(2, F)), factors @ factors.transpose(0, 2, 1)


def root(cov):
    values, vectors = np.linalg.eigh(cov)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def cost(means, covs, cross):
    """Mean squared way of a coupling whose cross-covariance is `cross`."""
    return np.square(means[0] - means[1]).sum() + np.trace(covs[0]) + np.trace(covs[1]) - 2 * np.trace(cross)


def closed_form(means, covs):
    return frechet_distance(means[0], covs[0], means[1], covs[1])


@pytest.mark.theorem("thm-frechet")
@pytest.mark.parametrize("rank", [1, 2, F])
@pytest.mark.parametrize("seed", range(4))
def test_the_coupling_of_the_proof_is_one_and_costs_the_closed_form(seed, rank):
    means, covs = gaussians(seed, rank)
    roots = [root(cov) for cov in covs]
    w, _, v = np.linalg.svd(roots[1] @ roots[0])
    of_x, of_y = roots[0] @ v.T @ w.T, roots[1]  # X = mu1 + of_x xi, Y = mu2 + of_y xi
    np.testing.assert_allclose(of_x @ of_x.T, covs[0], atol=1e-9)
    np.testing.assert_allclose(of_y @ of_y.T, covs[1], atol=1e-9)
    assert cost(means, covs, of_x @ of_y.T) == pytest.approx(closed_form(means, covs), rel=1e-7)


@pytest.mark.theorem("thm-frechet")
@pytest.mark.parametrize("rank", [2, F])
def test_no_gaussian_coupling_costs_less(rank):
    # Every cross-covariance of two Gaussians is root1 C root2 with a C that lengthens no vector.
    random = np.random.default_rng(0)
    for seed in range(20):
        means, covs = gaussians(seed, rank)
        least = closed_form(means, covs)
        for _ in range(50):
            turn = np.linalg.qr(random.normal(size=(F, F)))[0] * random.choice([random.uniform(), 1.0])
            cross = root(covs[0]) @ turn @ root(covs[1])
            joint = np.block([[covs[0], cross], [cross.T, covs[1]]])
            assert np.linalg.eigvalsh(joint).min() > -1e-9, "the test must look at couplings only"
            assert cost(means, covs, cross) >= least - 1e-9


@pytest.mark.theorem("thm-frechet")
def test_the_bound_of_the_proof_holds_for_every_matrix_and_is_tight_for_one():
    for seed in range(10):
        _, covs = gaussians(seed)
        best = (np.trace(covs[0]) + np.trace(covs[1]) - closed_form(np.zeros((2, F)), covs)) / 2
        inverse_root = np.linalg.inv(root(covs[0]))
        middle = root(root(covs[0]) @ covs[1] @ root(covs[0]))
        chosen = inverse_root @ middle @ inverse_root
        np.testing.assert_allclose(chosen @ covs[0] @ chosen, covs[1], atol=1e-6)
        bounds = [
            (np.trace(a @ covs[0]) + np.trace(np.linalg.inv(a) @ covs[1])) / 2
            for a in (chosen, *gaussians(seed + 100)[1], np.eye(F))
        ]
        assert bounds[0] == pytest.approx(best, rel=1e-8)
        assert all(bound > best for bound in bounds[1:])


@pytest.mark.theorem("thm-frechet")
@pytest.mark.parametrize("seed", range(5))
def test_no_two_clouds_are_nearer_than_gaussians_of_their_moments(seed):
    random = np.random.default_rng(seed)
    clouds = random.exponential(size=(60, 2)), random.choice([-1.0, 2.0], size=(60, 2)) + random.uniform(size=(60, 2))
    squared = cdist(*clouds, "sqeuclidean")
    best_plan = squared[linear_sum_assignment(squared)].mean()
    moments = [value for cloud in clouds for value in (cloud.mean(0), np.cov(cloud, rowvar=False, ddof=0))]
    assert best_plan > frechet_distance(*moments) > 0.05


@pytest.mark.theorem("thm-frechet")
@pytest.mark.parametrize("seed", range(5))
def test_a_cloud_and_its_stretched_copy_are_exactly_as_far_apart_as_the_gaussians(seed):
    # The best plan, found by a solver that knows no covariance: X goes to its own image under a positive matrix.
    random = np.random.default_rng(seed)
    x = random.uniform(size=(80, 3))
    factor = random.normal(size=(3, 3))
    y = x @ (factor @ factor.T) + random.normal(size=3)
    squared = cdist(x, y, "sqeuclidean")
    best_plan = squared[linear_sum_assignment(squared)].mean()
    moments = [value for cloud in (x, y) for value in (cloud.mean(0), np.cov(cloud, rowvar=False, ddof=0))]
    assert frechet_distance(*moments) == pytest.approx(best_plan, rel=1e-7)


@pytest.mark.theorem("thm-frechet")
def test_it_is_zero_for_equal_gaussians_and_for_no_others():
    for seed in range(10):
        means, covs = gaussians(seed)
        assert frechet_distance(means[0], covs[0], means[0], covs[0]) == pytest.approx(0, abs=1e-12 * covs[0].trace())
        assert frechet_distance(means[0], covs[0], means[1], covs[0]) > 1e-3
        assert frechet_distance(means[0], covs[0], means[0], covs[1]) > 1e-3
    assert frechet_distance([0], [[1]], [1], [[4]]) == pytest.approx(2), "the page's number"


# The bias, which the page gives to first order


def test_near_one_covariance_the_squared_distance_is_a_quadratic_form():
    random = np.random.default_rng(0)
    _, (cov, other) = gaussians(1)
    change = 1e-4 * other
    values, vectors = np.linalg.eigh(cov)
    rotated = vectors.T @ change @ vectors
    expected = 0.5 * (rotated**2 / (values[:, None] + values)).sum()
    mu = random.normal(size=F)
    assert frechet_distance(mu, cov, mu, cov + change) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("eigenvalues", [np.ones(6), np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.1])])
def test_the_bias_in_the_number_of_samples(eigenvalues):
    n, rounds = 500, 400
    random = np.random.default_rng(0)
    cov = np.diag(eigenvalues)
    pairs = eigenvalues * eigenvalues[:, None] / (eigenvalues + eigenvalues[:, None])
    expected = eigenvalues.sum() / n + (pairs.sum() + eigenvalues.sum() / 2) / (2 * n)
    found = []
    for _ in range(rounds):
        x = random.normal(size=(n, 6)) * np.sqrt(eigenvalues)
        found.append(frechet_distance(x.mean(0), np.cov(x, rowvar=False), np.zeros(6), cov))
    error = np.std(found) / rounds**0.5
    assert abs(np.mean(found) - expected) < 4 * error + 0.02 * expected
    if (eigenvalues == 1).all():
        assert expected == pytest.approx((36 / 4 + 5 * 6 / 4) / n)
