import pytest
import scipy.linalg
import torch
from scipy.spatial.distance import cdist

from coursekit.metrics import frechet_distance
from coursekit.metrics.translation import ColourMatching, paired_error, retrieval_accuracy


def images(n, seed=0, channels=3, side=5):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


# -- error and retrieval -----------------------------------------------------------------------------------


def test_paired_error_is_the_mean_absolute_difference():
    translated, truth = torch.tensor([[[[0.1, 0.5]]], [[[1.0, 0.0]]]]), torch.tensor([[[[0.3, 0.4]]], [[[1.0, 1.0]]]])
    assert paired_error(translated, truth) == pytest.approx((0.2 + 0.1 + 0.0 + 1.0) / 4)
    assert paired_error(truth, truth) == 0


def test_retrieval_counts_the_rows_whose_truth_is_nearest_of_all():
    truth = torch.tensor([0.0, 1.0, 2.0, 3.0])[:, None]
    translated = torch.tensor([0.4, 0.6, 1.4, 9.0])[:, None]  # nearest: 0, 1, 1, 3
    assert retrieval_accuracy(translated, truth) == 0.75


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_retrieval_agrees_with_distances_of_scipy(noise):
    truth = images(30)
    translated = truth + noise * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    nearest = cdist(translated.flatten(1), truth.flatten(1)).argmin(1)
    assert retrieval_accuracy(translated, truth) == pytest.approx((nearest == range(30)).mean())


def test_a_guess_has_one_in_n_and_a_derangement_none():
    truth = images(40)
    same = truth[:1].expand_as(truth)
    assert retrieval_accuracy(same, truth) == 1 / 40
    assert retrieval_accuracy(truth.roll(1, 0), truth) == 0
    assert retrieval_accuracy(truth, truth) == 1


def test_error_and_retrieval_can_disagree():
    # One grey image for all has the smaller error, and finds nothing.
    truth = (images(50) > 0.5).float()
    grey = torch.full_like(truth, 0.5)
    inverted_contrast = 0.5 - 0.6 * (0.5 - truth) + torch.where(truth > 0.5, -0.3, 0.3)  # right order, washed out
    assert paired_error(inverted_contrast, truth) >= paired_error(grey, truth) - 1e-6
    assert retrieval_accuracy(grey, truth) < 0.1


# -- colour matching ---------------------------------------------------------------------------------------


def moments(colours):
    rows = colours.movedim(1, -1).flatten(0, 2).double()
    return rows.mean(0), rows.T.cov(correction=0)


def two_sets():
    mix = torch.tensor([[0.3, 0.1, 0.0], [0.05, 0.2, 0.05], [0.0, 0.1, 0.25]])
    source = 0.3 + 0.2 * images(40, 1)
    target = 0.25 + torch.einsum("dc,nchw->ndhw", mix, images(60, 2))
    return source, target


def test_covariance_matching_gives_the_targets_mean_and_covariance():
    source, target = two_sets()
    matched = ColourMatching(source, target)(source)
    assert 0 < matched.min() and matched.max() < 1, "nothing is clipped, so the moments are exact"
    for got, wanted in zip(moments(matched), moments(target)):
        torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-4)


def test_channel_matching_gives_means_and_variances_only():
    source, target = two_sets()
    (mean, cov), (target_mean, target_cov) = moments(ColourMatching(source, target, "channel")(source)), moments(target)
    torch.testing.assert_close(mean, target_mean, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(cov.diagonal(), target_cov.diagonal(), atol=1e-6, rtol=1e-4)
    assert (cov - target_cov).abs().max() > 1e-3


def test_the_matrix_is_that_of_least_movement():
    source, target = two_sets()
    (mean1, cov1), (mean2, cov2) = moments(source), moments(target)
    matching = ColourMatching(source, target)
    torch.testing.assert_close(matching.matrix, matching.matrix.T)
    root = torch.from_numpy(scipy.linalg.sqrtm(cov1.numpy()).real)
    inner = torch.from_numpy(scipy.linalg.sqrtm((root @ cov2 @ root).numpy()).real)
    torch.testing.assert_close(matching.matrix, root.inverse() @ inner @ root.inverse(), atol=1e-6, rtol=1e-4)
    moved = (matching(source) - source).double().square().sum(1).mean().item()
    assert moved == pytest.approx(frechet_distance(mean1, cov1, mean2, cov2), rel=1e-4), "the Fréchet distance"


def test_colours_that_match_already_stay_and_results_are_clipped():
    source, _ = two_sets()
    for model in ("channel", "covariance"):
        torch.testing.assert_close(ColourMatching(source, source, model)(source), source, atol=1e-6, rtol=1e-5)
        wild = ColourMatching(source, 3 * source, model)(source)
        assert wild.min() >= 0 and wild.max() == 1


def test_a_channel_without_variance_gets_the_targets_mean():
    source, target = two_sets()
    source[:, 1] = 0.5
    for model in ("channel", "covariance"):
        matched = ColourMatching(source, target, model)(source)
        assert matched.isfinite().all()
        assert matched[:, 1].mean().item() == pytest.approx(target[:, 1].mean().item(), abs=1e-4)


def test_shapes_of_one_channel_and_unequal_sizes_fit():
    source, target = 0.25 + 0.5 * images(5, 1, channels=1), images(7, 2, channels=1, side=9)
    target = 0.25 + 0.5 * target
    matched = ColourMatching(source, target)(source)
    assert matched.shape == source.shape
    assert matched.mean().item() == pytest.approx(target.mean().item(), abs=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_error(images(2), images(3)), "needs its truth"),
        (lambda: retrieval_accuracy(images(2), images(3)), "needs its truth"),
        (lambda: paired_error((255 * images(2)).byte(), (255 * images(2)).byte()), "bytes"),
        (lambda: retrieval_accuracy(images(2) * float("nan"), images(2)), "finite"),
        (lambda: ColourMatching(images(2), images(2, channels=1)), "must agree"),
        (lambda: ColourMatching(images(2)[0], images(2)), "must be \\(n, C, H, W\\)"),
        (lambda: ColourMatching(images(2), images(2), "histogram"), "covariance"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
