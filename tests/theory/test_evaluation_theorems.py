"""The theorems of the chapter on evaluation, and the numbers worked on its page."""

import itertools
import math

import pytest
import torch

from coursekit.metrics import binary_parzen_log_likelihood, frechet_distance_of, parzen_log_likelihood

D = 8
EVERY_IMAGE = torch.tensor(list(itertools.product([0.0, 1.0], repeat=D)), dtype=torch.float64)


def centres(kind, n=5):
    torch.manual_seed(0)
    drawn = torch.rand(n, D, dtype=torch.float64)
    return drawn.round() if kind == "binary" else drawn


@pytest.mark.theorem("thm-binary-parzen")
@pytest.mark.parametrize("kind", ["binary", "grey"])
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 20.0])
def test_restricted_windows_sum_to_one_over_all_images(kind, sigma):
    log_p = binary_parzen_log_likelihood(centres(kind), EVERY_IMAGE, sigma)
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert (log_p <= 0).all()


@pytest.mark.theorem("thm-binary-parzen")
@pytest.mark.parametrize("kind", ["binary", "grey"])
def test_each_window_is_the_gaussian_one_divided_by_its_sum_over_images(kind):
    sigma, total = 0.4, torch.zeros(2**D, dtype=torch.float64)
    for centre in centres(kind):
        density = parzen_log_likelihood(centre[None], EVERY_IMAGE, sigma).exp()
        total += density / density.sum() / 5
    assert torch.allclose(binary_parzen_log_likelihood(centres(kind), EVERY_IMAGE, sigma), total.log(), atol=1e-10)


@pytest.mark.theorem("thm-binary-parzen")
@pytest.mark.parametrize("sigma", [0.1, 0.22, 0.5, 1.0])
def test_for_black_and_white_samples_density_and_probability_differ_by_a_constant(sigma):
    samples = centres("binary")
    constant = 0.5 * D * math.log(2 * math.pi * sigma**2) - D * math.log1p(math.exp(-1 / (2 * sigma**2)))
    density = parzen_log_likelihood(samples, EVERY_IMAGE, sigma)
    probability = binary_parzen_log_likelihood(samples, EVERY_IMAGE, sigma)
    assert torch.allclose(probability - density, torch.full_like(density, constant), atol=1e-9)


@pytest.mark.theorem("thm-binary-parzen")
def test_no_window_scores_above_minus_the_entropy_on_average():
    torch.manual_seed(1)
    p = torch.rand(2**D, dtype=torch.float64).pow(6)
    p /= p.sum()
    entropy = -(p * p.log()).sum()
    samples = EVERY_IMAGE[torch.multinomial(p, 4000, replacement=True)]
    means = [(p * binary_parzen_log_likelihood(samples, EVERY_IMAGE, s)).sum() for s in (0.1, 0.2, 0.3, 0.5, 1.0)]
    assert max(means) < -entropy
    assert max(means) > -entropy - 0.1, "4,000 draws of 256 images come close"
    # A density has no such ceiling: on the samples themselves it grows without bound.
    densities = [(p * parzen_log_likelihood(EVERY_IMAGE, EVERY_IMAGE, s)).sum() for s in (0.1, 0.01, 0.001)]
    assert densities[0] < densities[1] < densities[2] and densities[2] > 0


@pytest.mark.parametrize(
    ("samples", "x", "sigma", "named"),
    [
        (torch.zeros(2, 3), torch.full((1, 3), 0.5), 1.0, "0 or 1"),
        (torch.zeros(2, 3), torch.zeros(1, 4), 1.0, "must agree"),
        (torch.zeros(0, 3), torch.zeros(1, 3), 1.0, "non-empty"),
        (torch.zeros(2, 3), torch.zeros(1, 3), 0.0, "sigma"),
        (torch.full((2, 3), torch.nan), torch.zeros(1, 3), 1.0, "finite"),
    ],
)
def test_bad_input_is_named(samples, x, sigma, named):
    with pytest.raises(ValueError, match=named):
        binary_parzen_log_likelihood(samples, x, sigma)


# Numbers worked on the page


def test_the_parzen_window_by_hand():
    samples, x = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.2]])
    assert [round(math.exp(-e), 3) for e in (0.08, 1.28)] == [0.923, 0.278]
    log_density = parzen_log_likelihood(samples, x, 0.5).item()
    assert round(log_density, 3) == -0.736 and round(math.exp(log_density), 3) == 0.479


def test_99_percent_noise_costs_less_than_five_nats():
    assert round(math.log(100), 1) == 4.6


def test_one_window_at_the_centre_of_a_cloud_beats_one_at_a_draw_by_half_d_log_two():
    """ "Why a worse generator wins": 272 nats at 784 pixels."""
    generator = torch.Generator().manual_seed(0)
    d, s = 784, 0.3
    cloud = s * torch.randn(4000, d, dtype=torch.float64, generator=generator)

    def best(centres):
        """Mean over windows that stand alone, each of the best width for all."""
        squared = torch.cdist(centres, cloud[2000:]).square().mean().item()
        return -0.5 * d * math.log(2 * math.pi * math.e * squared / d)

    gain = best(torch.zeros(1, d, dtype=torch.float64)) - best(cloud[:2000])
    assert gain == pytest.approx(0.5 * d * math.log(2), abs=1.5)
    assert round(0.5 * d * math.log(2)) == 272


def test_the_frechet_distance_of_two_sets_of_ten_from_one_normal_is_three_tenths_on_average():
    generator = torch.Generator().manual_seed(0)
    n = 10
    c4 = math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))
    expected = 2 / n + 2 * (1 - c4**2)
    assert round(expected, 2) == 0.31 and round(2 / n, 1) == 0.2
    pairs = torch.randn(3000, 2, n, 1, generator=generator)
    found = torch.tensor([frechet_distance_of(a, b) for a, b in pairs])
    assert abs(found.mean().item() - expected) < 4 * found.std().item() / 3000**0.5


def test_uniform_signs_are_at_frechet_distance_zero_from_the_normal():
    signs = torch.tensor([[1.0], [-1.0]] * 500)
    normal = torch.special.ndtri((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)[:, None]
    normal = normal / normal.std(correction=0)
    assert frechet_distance_of(signs.double(), normal) == pytest.approx(0, abs=1e-6)
