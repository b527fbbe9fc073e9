import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from coursekit.data import gaussian_mixture, gaussian_mixture_2d, heights, ring_modes, ring_of_gaussians

WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
MEANS = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64)
STDS = torch.tensor([0.4, 1.0, 0.7], dtype=torch.float64)
MEANS_2D = torch.tensor([[-1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
COVARIANCES = torch.tensor([[[1.0, 0.6], [0.6, 0.8]], [[0.3, -0.1], [-0.1, 0.2]]], dtype=torch.float64)
WEIGHTS_2D = torch.tensor([0.4, 0.6], dtype=torch.float64)


def mass(density, low, high):
    return integrate.quad(lambda x: density.log_prob(torch.tensor(x, dtype=torch.float64)).exp().item(), low, high)[0]


def grid_mass(density, limit, steps=801):
    axis = torch.linspace(-limit, limit, steps, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    values = density.log_prob(points).exp().reshape(steps, steps)
    return torch.trapezoid(torch.trapezoid(values, axis), axis).item()


def test_mixture_on_the_line_has_mass_1():
    assert mass(gaussian_mixture(WEIGHTS, MEANS, STDS), -8, 10) == pytest.approx(1, abs=1e-8)


def test_mixture_on_the_line_matches_scipy():
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    parts = zip(WEIGHTS.tolist(), MEANS.tolist(), STDS.tolist())
    expected = np.log(sum(w * stats.norm(m, s).pdf(x.numpy()) for w, m, s in parts))
    torch.testing.assert_close(gaussian_mixture(WEIGHTS, MEANS, STDS).log_prob(x), torch.from_numpy(expected))


def test_samples_on_the_line_have_the_moments_of_the_mixture():
    torch.manual_seed(0)
    x = gaussian_mixture(WEIGHTS, MEANS, STDS).sample((200_000,))
    mean = (WEIGHTS * MEANS).sum().item()
    variance = (WEIGHTS * (STDS**2 + MEANS**2)).sum().item() - mean**2
    assert x.shape == (200_000,)
    assert x.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(variance / len(x)))
    assert x.var().item() == pytest.approx(variance, rel=0.02)


def test_mixture_in_the_plane_has_mass_1():
    assert grid_mass(gaussian_mixture_2d(WEIGHTS_2D, MEANS_2D, COVARIANCES), 7) == pytest.approx(1, abs=1e-6)


def test_mixture_in_the_plane_matches_scipy():
    x = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    parts = zip(WEIGHTS_2D.tolist(), MEANS_2D.tolist(), COVARIANCES.tolist())
    expected = np.log(sum(w * stats.multivariate_normal(m, c).pdf(x.numpy()) for w, m, c in parts))
    log_prob = gaussian_mixture_2d(WEIGHTS_2D, MEANS_2D, COVARIANCES).log_prob(x)
    torch.testing.assert_close(log_prob, torch.from_numpy(expected))


def test_samples_in_the_plane_have_the_moments_of_the_mixture():
    torch.manual_seed(0)
    x = gaussian_mixture_2d(WEIGHTS_2D, MEANS_2D, COVARIANCES).sample((200_000,))
    mean = WEIGHTS_2D @ MEANS_2D
    spread = MEANS_2D - mean
    covariance = torch.einsum("k,kij->ij", WEIGHTS_2D, COVARIANCES + spread[:, :, None] * spread[:, None, :])
    torch.testing.assert_close(x.mean(0), mean, atol=0.01, rtol=0)
    torch.testing.assert_close(x.T.cov(), covariance, atol=0.02, rtol=0)


def test_heights_have_mass_1_in_centimetres():
    assert mass(heights(), 100, 240) == pytest.approx(1, abs=1e-5)


def test_heights_are_women_and_men_of_the_survey():
    women, men = stats.norm(162.814, 6.985), stats.norm(176.022, 7.4168)
    x = torch.linspace(140, 200, 61)
    expected = np.log(0.5 * women.pdf(x.numpy()) + 0.5 * men.pdf(x.numpy()))
    torch.testing.assert_close(heights().log_prob(x).double(), torch.from_numpy(expected), atol=1e-4, rtol=0)


def test_heights_have_one_peak():
    slope = heights().log_prob(torch.linspace(140, 200, 601)).diff()
    rising = slope > 0
    assert rising[0] and not rising[-1]
    assert (rising[:-1] & ~rising[1:]).sum() == 1


def test_heights_in_range_are_not_heights_in_distribution():
    torch.manual_seed(0)
    x = heights().sample((10_000,))
    uniform = torch.empty_like(x).uniform_(x.min().item(), x.max().item())
    assert heights().log_prob(x).mean() > heights().log_prob(uniform).mean() + 0.5


def test_ring_modes_are_evenly_spaced_on_the_circle():
    centres = ring_modes(8, 2.0)
    assert centres.shape == (8, 2)
    torch.testing.assert_close(centres.norm(dim=1), torch.full((8,), 2.0))
    torch.testing.assert_close(centres[0], torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(centres[2], torch.tensor([0.0, 2.0]), atol=1e-6, rtol=0)
    gaps = (centres - centres.roll(1, 0)).norm(dim=1)
    torch.testing.assert_close(gaps, torch.full((8,), 4 * math.sin(math.pi / 8)))


def test_ring_has_mass_1():
    assert grid_mass(ring_of_gaussians(), 3, steps=601) == pytest.approx(1, abs=1e-5)


def test_ring_matches_scipy():
    x = ring_modes(5, 1.5) + 0.1
    parts = [stats.multivariate_normal(centre, 0.3**2) for centre in ring_modes(5, 1.5).tolist()]
    expected = np.log(sum(part.pdf(x.numpy()) for part in parts) / 5)
    log_prob = ring_of_gaussians(5, 1.5, 0.3).log_prob(x).double()
    torch.testing.assert_close(log_prob, torch.from_numpy(expected), atol=1e-5, rtol=1e-5)


def test_ring_samples_visit_every_mode_equally():
    torch.manual_seed(0)
    x = ring_of_gaussians(8, 2.0, 0.1).sample((80_000,))
    distance, nearest = torch.cdist(x, ring_modes(8, 2.0)).min(dim=1)
    counts = nearest.bincount(minlength=8)
    assert ((counts - 10_000).abs() < 4 * math.sqrt(80_000 * 7 / 64)).all()
    # Squared distance to the centre is std² times a chi-squared variable of 2 degrees of freedom.
    assert (distance**2).mean().item() == pytest.approx(2 * 0.1**2, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.6], [0, 1], [1, 1]), "weights must .* sum 1"),
        (([-0.5, 1.5], [0, 1], [1, 1]), "none negative"),
        (([[0.5, 0.5]], [0, 1], [1, 1]), "one list of numbers"),
        (([0.5, 0.5], [0, 1, 2], [1, 1]), r"means must have shape \(2,\) for 2 weights, not \(3,\)"),
        (([0.5, 0.5], [0, 1], [1, 1, 1]), "stds must have shape"),
        (([0.5, 0.5], [0, 1], [1, 0]), "scale"),
    ],
)
def test_wrong_parameters_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gaussian_mixture(*arguments)


def test_wrong_shapes_in_the_plane_are_refused():
    with pytest.raises(ValueError, match=r"covariances must have shape \(2, 2, 2\)"):
        gaussian_mixture_2d([0.5, 0.5], [[0, 0], [1, 1]], [1, 1])
    with pytest.raises(ValueError, match="covariance_matrix"):
        gaussian_mixture_2d([1.0], [[0, 0]], [[[1, 2], [2, 1]]])
