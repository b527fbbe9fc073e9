import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neighbors import KernelDensity

from coursekit.data import load_images, to_float
from coursekit.metrics import SIGMAS, pairwise, parzen, parzen_log_likelihood, parzen_protocol, select_sigma


def kernel_density(bandwidth):
    """scikit-learn's, with all samples in one leaf: with several its bounds lose digits (its issue 27186)."""
    return KernelDensity(bandwidth=bandwidth, leaf_size=10_000)


def points(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [0.05, 0.2, 3.0])
@pytest.mark.parametrize("d", [1, 3, 784])
def test_log_likelihood_is_kernel_density(d, sigma):
    samples, x = points(70, d), points(40, d, seed=1)
    expected = kernel_density(bandwidth=sigma).fit(samples.double()).score_samples(x.double())
    result = parzen_log_likelihood(samples, x, sigma)
    assert result.dtype == torch.float64
    np.testing.assert_allclose(result, expected, rtol=1e-11)


def test_log_likelihood_of_images_is_kernel_density():
    samples, x = (to_float(load_images("digits", split).images[:300]).flatten(1) for split in ("train", "test"))
    expected = kernel_density(bandwidth=0.2).fit(samples.double()).score_samples(x.double())
    np.testing.assert_allclose(parzen_log_likelihood(samples, x, 0.2), expected, rtol=1e-10)


def test_log_likelihood_is_scipys_mixture_of_gaussians():
    samples, x = points(30, 2), points(20, 2, seed=1)
    sigma = 0.3
    density = sum(stats.multivariate_normal(s, sigma**2).pdf(x.numpy()) for s in samples.double().numpy()) / 30
    np.testing.assert_allclose(parzen_log_likelihood(samples, x, sigma), np.log(density), rtol=1e-12)


def test_one_sample_at_the_point_itself_is_the_peak_of_the_gaussian():
    x = points(1, 1, 28, 28)
    assert parzen_log_likelihood(x, x, 0.1).item() == pytest.approx(-392 * math.log(2 * math.pi * 0.01), rel=1e-14)


def test_images_are_flattened():
    samples, x = points(9, 1, 4, 4), points(5, 1, 4, 4, seed=1)
    flat = parzen_log_likelihood(samples.flatten(1), x.flatten(1), 0.2)
    assert torch.equal(parzen_log_likelihood(samples, x, 0.2), flat)


def test_far_points_underflow_to_a_number_and_not_to_minus_infinity():
    far = parzen_log_likelihood(torch.zeros(2, 3), torch.full((1, 3), 50.0), 0.1)
    assert far.item() == pytest.approx(-0.5 * 7500 / 0.01 - 1.5 * math.log(2 * math.pi * 0.01), rel=1e-12)


def test_points_that_nearly_agree_far_from_the_origin_keep_their_distance():
    # Without care the product of 1e6 with 1e6 leaves a distance of 1e-3 no digit.
    spread = points(20, 3).double() * 1e-3
    samples, x = 1e6 + spread[:10], 1e6 + spread[10:]
    outlier = torch.full((1, 3), -1e6, dtype=torch.float64)  # moves the mean away, so that moving it to 0 is not enough
    for s in (samples, torch.cat([samples, outlier])):
        expected = kernel_density(bandwidth=1e-3).fit(s).score_samples(x)
        np.testing.assert_allclose(parzen_log_likelihood(s, x, 1e-3), expected, rtol=1e-9)


def test_points_that_are_only_moved_need_no_second_computation(monkeypatch):
    # Which would take differences of every pair: hours for images that differ little from their mean.
    samples, x = 1000 + points(20, 3).double(), 1000 + points(20, 3, seed=1).double()
    monkeypatch.setattr(pairwise, "CANCELLATION", -1.0)
    expected = kernel_density(bandwidth=0.1).fit(samples).score_samples(x)
    np.testing.assert_allclose(parzen_log_likelihood(samples, x, 0.1), expected, rtol=1e-10)


def test_blocks_change_nothing(monkeypatch):
    samples, x = points(50, 6), points(33, 6, seed=1)
    whole = parzen_log_likelihood(samples, x, 0.2)
    monkeypatch.setattr(pairwise, "BLOCK", 250)
    np.testing.assert_allclose(parzen_log_likelihood(samples, x, 0.2), whole, rtol=1e-12)


def test_a_large_set_is_never_held_as_one_matrix(monkeypatch):
    sizes = []

    def spy(distances, dim):
        sizes.append(distances.numel())
        return distances.amax(dim)

    monkeypatch.setattr(parzen.torch, "logsumexp", spy)
    monkeypatch.setattr(pairwise, "BLOCK", 5000)
    parzen_log_likelihood(points(700, 1), points(900, 1), 0.2)
    assert sum(sizes) == 700 * 900 and max(sizes) <= 5000


def test_select_sigma_is_the_argmax_of_kernel_density():
    samples, valid = points(60, 5), points(50, 5, seed=1)
    means = [kernel_density(bandwidth=sigma).fit(samples).score(valid) for sigma in SIGMAS]
    best = int(np.argmax(means))
    assert 0 < best < 9, "the test needs a maximum inside"
    assert select_sigma(samples, valid, SIGMAS) == SIGMAS[best]
    assert select_sigma(samples, valid) == SIGMAS[best]


def test_select_sigma_computes_the_distances_once(monkeypatch):
    calls = []
    original = parzen.squared_distances
    monkeypatch.setattr(parzen, "squared_distances", lambda *sets: calls.append(1) or original(*sets))
    select_sigma(points(10, 2), points(10, 2), SIGMAS)
    assert calls == [1]


def test_sigmas_are_the_papers():
    np.testing.assert_allclose(SIGMAS, np.logspace(-1, 0, 10), rtol=1e-14)


def clusters(spread, seed):
    return spread * torch.randn(200, 4, generator=torch.Generator().manual_seed(seed))


def test_protocol_chooses_sigma_on_validation_images_and_never_on_test_images():
    samples = torch.zeros(1, 4)  # then the best width is the spread of the images that choose it
    narrow, wide = clusters(0.2, 1), clusters(0.8, 2)
    for validation, test in ((narrow, wide), (wide, narrow)):
        result = parzen_protocol(samples, validation, test)
        assert result.sigma == select_sigma(samples, validation) != select_sigma(samples, test)


def test_protocol_reports_the_mean_and_its_standard_error_over_test_images():
    samples, validation, test = points(40, 4), points(30, 4, seed=1), points(50, 4, seed=2)
    result = parzen_protocol(samples, validation, test)
    scores = kernel_density(bandwidth=result.sigma).fit(samples).score_samples(test)
    assert result.mean == pytest.approx(scores.mean(), rel=1e-11)
    assert result.standard_error == pytest.approx(stats.sem(scores), rel=1e-9)


def test_protocol_takes_the_first_thousand_validation_images():
    samples = torch.zeros(1, 4)
    first, rest = clusters(0.2, 1).repeat(5, 1), clusters(0.8, 2)
    assert len(first) == 1000
    alone = parzen_protocol(samples, first, rest)
    assert parzen_protocol(samples, torch.cat([first, rest.repeat(100, 1)]), rest) == alone


GOOD = torch.full((3, 2), 0.5)
BAD = {
    "no samples": (GOOD[:0], GOOD, 0.2, "samples must be a non-empty"),
    "nothing to score": (GOOD, GOOD[:0], 0.2, "x must be a non-empty"),
    "sigma 0": (GOOD, GOOD, 0.0, "sigma must be positive"),
    "sigma below 0": (GOOD, GOOD, -0.2, "sigma must be positive"),
    "sigma NaN": (GOOD, GOOD, math.nan, "sigma must be positive"),
    "sigma infinite": (GOOD, GOOD, math.inf, "sigma must be positive"),
    "NaN in the samples": (GOOD * math.nan, GOOD, 0.2, "samples must be finite"),
    "NaN in x": (GOOD, GOOD * math.nan, 0.2, "x must be finite"),
    "infinity": (GOOD, GOOD * math.inf, 0.2, "x must be finite"),
    "widths that differ": (GOOD, torch.zeros(3, 5), 0.2, "2 values each, x have 5"),
    "no axis of points": (GOOD, torch.zeros(2), 0.2, "non-empty tensor"),
    "bytes": (GOOD, torch.zeros(3, 2, dtype=torch.uint8), 0.2, "to_float"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_error(case):
    samples, x, sigma, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        parzen_log_likelihood(samples, x, sigma)
    with pytest.raises(ValueError, match=message):
        select_sigma(samples, x, [0.1, sigma])


def test_bad_input_of_the_protocol():
    with pytest.raises(ValueError, match="at least two test images"):
        parzen_protocol(GOOD, GOOD, GOOD[:1])
    with pytest.raises(ValueError, match="validation must be a non-empty"):
        parzen_protocol(GOOD, GOOD[:0], GOOD)
    with pytest.raises(ValueError, match="test must be finite"):
        parzen_protocol(GOOD, GOOD, GOOD * math.nan)
    with pytest.raises(ValueError, match="at least one width"):
        select_sigma(GOOD, GOOD, [])
