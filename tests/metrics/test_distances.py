import math

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from coursekit.metrics import (
    frechet_distance,
    frechet_distance_of,
    memorisation_ratio,
    nearest_neighbours,
    pairwise,
    precision_recall,
)


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_covariance(d, seed, rank=None):
    factor = normal(d, rank or d, seed)
    return factor @ factor.T


# -- Fréchet -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_frechet_distance_is_what_the_matrix_square_root_of_the_product_gives(seed):
    mu1, mu2 = normal(2, 6, seed)
    cov1, cov2 = random_covariance(6, seed + 10), random_covariance(6, seed + 20)
    cross = scipy.linalg.sqrtm(cov1.numpy() @ cov2.numpy()).real
    expected = (mu1 - mu2).square().sum() + cov1.trace() + cov2.trace() - 2 * np.trace(cross)
    assert frechet_distance(mu1, cov1, mu2, cov2) == pytest.approx(expected.item(), rel=1e-9)


def test_frechet_distance_in_one_dimension_is_the_integral_over_quantiles():
    mu1, sd1, mu2, sd2 = 0.3, 0.7, -1.1, 2.0
    u = (np.arange(200_000) + 0.5) / 200_000
    expected = np.mean((stats.norm.ppf(u, mu1, sd1) - stats.norm.ppf(u, mu2, sd2)) ** 2)
    assert frechet_distance([mu1], [[sd1**2]], [mu2], [[sd2**2]]) == pytest.approx(expected, rel=1e-4)
    assert (mu1 - mu2) ** 2 + (sd1 - sd2) ** 2 == pytest.approx(frechet_distance([mu1], [[sd1**2]], [mu2], [[sd2**2]]))


def test_frechet_distance_is_zero_only_for_one_gaussian_and_symmetric():
    mu, cov = normal(1, 5)[0], random_covariance(5, 1)
    assert frechet_distance(mu, cov, mu, cov) == pytest.approx(0, abs=1e-12 * cov.trace().item())
    assert frechet_distance(mu, cov, mu + 1, cov) == pytest.approx(5)
    other = random_covariance(5, 2)
    assert frechet_distance(mu, cov, mu, other) == pytest.approx(frechet_distance(mu, other, mu, cov)) != 0


def test_singular_covariances_have_a_distance():
    thin = random_covariance(8, 1, rank=2)
    assert frechet_distance(np.zeros(8), thin, np.zeros(8), thin) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(np.zeros(8), thin, np.zeros(8), np.zeros((8, 8))) == pytest.approx(thin.trace().item())


def test_rounding_in_singular_covariances_does_not_grow_under_the_root():
    turn = np.linalg.qr(normal(40, 40))[0]
    first, second = (turn[:, part] @ turn[:, part].T for part in (slice(0, 20), slice(20, 40)))
    zero = np.zeros(40)
    assert frechet_distance(zero, first, zero, second) == pytest.approx(40, rel=1e-12), "they share no direction"


def test_frechet_distance_of_features_takes_their_mean_and_unbiased_covariance():
    a, b = normal(40, 3, 1), 2 * normal(50, 3, 2) + 1
    expected = frechet_distance(a.mean(0), np.cov(a, rowvar=False), b.mean(0), np.cov(b, rowvar=False))
    assert frechet_distance_of(a, b) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance_of(a[:, :1], b[:, :1]) == pytest.approx(
        ((a[:, 0].mean() - b[:, 0].mean()) ** 2 + (a[:, 0].std() - b[:, 0].std()) ** 2).item()
    )


EYE = np.eye(2)
BAD_GAUSSIANS = {
    "shapes": (np.zeros(2), np.eye(3), np.zeros(2), EYE, r"expected mu1 \(d,\) and cov1"),
    "dimensions that differ": (np.zeros(2), EYE, np.zeros(3), np.eye(3), "mu1 has 2 dimensions, mu2 has 3"),
    "NaN": (np.zeros(2), EYE, np.array([0, math.nan]), EYE, "mu2 and cov2 must be finite"),
    "not symmetric": (np.zeros(2), EYE, np.zeros(2), np.array([[1, 1], [0, 1]]), "cov2 must be symmetric"),
    "not a covariance": (np.zeros(2), np.diag([1, -1]), np.zeros(2), EYE, "cov1 must be positive semi-definite"),
    "nothing": (np.zeros(0), np.zeros((0, 0)), np.zeros(2), EYE, "expected mu1"),
}


@pytest.mark.parametrize("case", BAD_GAUSSIANS)
def test_what_is_no_gaussian_is_one_clear_error(case):
    *arguments, message = BAD_GAUSSIANS[case]
    with pytest.raises(ValueError, match=message):
        frechet_distance(*arguments)


# -- neighbours ----------------------------------------------------------------------------------------


def test_nearest_neighbours_are_scikit_learns(monkeypatch):
    samples, images = normal(60, 7, 1), normal(90, 7, 2)
    expected_distances, expected_indices = (
        NearestNeighbors(n_neighbors=1, algorithm="brute").fit(images).kneighbors(samples)
    )
    for block in (pairwise.BLOCK, 500):
        monkeypatch.setattr(pairwise, "BLOCK", block)
        distances, indices = nearest_neighbours(samples, images)
        np.testing.assert_allclose(distances, expected_distances[:, 0], rtol=1e-12)
        np.testing.assert_array_equal(indices, expected_indices[:, 0])


def test_a_copy_is_found_at_distance_zero():
    images = torch.rand(50, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    distances, indices = nearest_neighbours(images[[7, 3]], images)
    assert distances.tolist() == [0, 0] and indices.tolist() == [7, 3]


def test_precision_and_recall_follow_their_definition():
    real, fake = normal(60, 3, 1), 0.5 * normal(50, 3, 2) + 0.4

    def inside(points, centres, k):
        radii = np.sort(cdist(centres, centres), axis=1)[:, k]
        return float((cdist(points, centres) <= radii).any(axis=1).mean())

    for k in (1, 3):
        expected = inside(fake, real, k), inside(real, fake, k)
        assert precision_recall(real, fake, k) == pytest.approx(expected)
        assert expected[0] > expected[1], "the test needs two numbers that differ"
    assert precision_recall(real, fake) == precision_recall(real, fake, 3)


def test_precision_falls_for_noise_and_recall_for_dropped_modes():
    left, right = normal(100, 2, 1) * 0.1, normal(100, 2, 2) * 0.1 + 5
    real = torch.cat([left, right])
    assert precision_recall(real, real) == (1, 1)
    precision, recall = precision_recall(real, normal(200, 2, 3) * 0.1)
    assert precision > 0.9 and 0.3 < recall <= 0.5
    precision, recall = precision_recall(real, torch.cat([real, normal(200, 2, 4) + 50]))
    assert precision == 0.5 and recall == 1


# -- memorisation --------------------------------------------------------------------------------------


def test_memorisation_ratio_is_the_median_of_the_ratios():
    train, held_out = torch.tensor([[0.0]]), torch.tensor([[10.0]])
    samples = torch.tensor([[1.0], [2.0], [9.0]])
    assert memorisation_ratio(samples, train, held_out) == pytest.approx(2 / 8)
    assert memorisation_ratio(samples, held_out, train) == pytest.approx(8 / 2)


def test_memorisation_ratio_tells_copies_from_fresh_samples():
    train, held_out, fresh = normal(400, 8, 1), normal(400, 8, 2), normal(300, 8, 3)
    assert memorisation_ratio(fresh, train, held_out) == pytest.approx(1, abs=0.05)
    assert memorisation_ratio(train[:300], train, held_out) == 0
    assert memorisation_ratio(train[:300] + 0.05 * fresh, train, held_out) < 0.1
    assert memorisation_ratio(held_out[:5], train, held_out) == math.inf
    both = torch.cat([train, held_out])
    assert memorisation_ratio(both, both, both) == 1


def test_memorisation_ratio_is_blind_to_a_shift_by_one_pixel():
    from coursekit.data import load_images, to_float

    images = to_float(load_images("digits").images)
    train, held_out = images[:700], images[700:1400]
    copies = train[:200]
    assert memorisation_ratio(copies, train, held_out) == 0
    assert memorisation_ratio(copies.roll(1, dims=-1), train, held_out) > 0.5


# -- bad input -----------------------------------------------------------------------------------------

GOOD = torch.arange(12.0).reshape(6, 2)
MEASURES = {
    "frechet_distance_of": frechet_distance_of,
    "nearest_neighbours": nearest_neighbours,
    "precision_recall": precision_recall,
    "memorisation_ratio": lambda a, b: memorisation_ratio(a, b, b),
}


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    "other, message",
    [
        (GOOD[:0], "must be a non-empty tensor"),
        (GOOD * math.nan, "must be finite"),
        (torch.zeros(6, 3), "2 values each, .* 3: they must agree"),
        (GOOD.to(torch.uint8), "are bytes"),
    ],
)
def test_bad_sets_are_one_clear_error(name, other, message):
    with pytest.raises(ValueError, match=message):
        MEASURES[name](GOOD, other)


def test_sets_too_small_for_the_measure():
    with pytest.raises(ValueError, match="features_b is a single point"):
        frechet_distance_of(GOOD, GOOD[:1])
    for k in (0, 6):
        with pytest.raises(ValueError, match="k must be at least 1 and below the size of each set, 6 and 6; got"):
            precision_recall(GOOD, GOOD, k)
