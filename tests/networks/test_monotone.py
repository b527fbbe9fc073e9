import math

import pytest
import torch
from torch.distributions import Normal

from coursekit.networks.monotone import MonotoneGenerator

ROOT_3 = math.sqrt(3)


def bent(seed, steep=1.0):
    """A generator that is far from a straight line."""
    generator = torch.Generator().manual_seed(seed)
    network = MonotoneGenerator(units=8, shift=0.3, scale=0.5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
        network.log_height += 1.0
        network.log_steepness += math.log(steep)
    return network


def noise_of(kind, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if kind == "normal":
        return torch.randn(n, 1, generator=generator)
    return ROOT_3 * (2 * torch.rand(n, 1, generator=generator) - 1)


@pytest.mark.parametrize("seed", range(3))
def test_map_is_strictly_increasing(seed):
    z = torch.linspace(-6, 6, 2001, dtype=torch.float64)[:, None]
    assert (bent(seed).double()(z).diff(dim=0) > 0).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steep", [1.0, 100.0])
def test_derivative_is_that_of_autograd(seed, steep):
    network = bent(seed, steep).double()
    z = torch.linspace(-3, 3, 101, dtype=torch.float64)[:, None].requires_grad_()
    (wanted,) = torch.autograd.grad(network(z).sum(), z)
    torch.testing.assert_close(network.derivative(z), wanted)


def test_derivative_can_be_trained_through():
    network = bent(0).double()
    z = torch.tensor([[0.4]], dtype=torch.float64)
    network.derivative(z).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in network.named_parameters() if n != "bias")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steep", [1.0, 100.0])
def test_inverse_undoes_the_map(seed, steep):
    network = bent(seed, steep).double()
    z = torch.linspace(-5, 5, 301, dtype=torch.float64)[:, None]
    torch.testing.assert_close(network.inverse(network(z)), z, atol=1e-11, rtol=0)
    x = torch.tensor([[-1e6], [1e6]], dtype=torch.float64)  # far outside of what noise makes
    torch.testing.assert_close(network(network.inverse(x)), x)


def straight(shift, scale):
    network = MonotoneGenerator(units=1, shift=shift, scale=scale)
    torch.nn.init.constant_(network.log_height, -200.0)
    torch.nn.init.constant_(network.log_slope, math.log(scale))
    return network


def test_a_straight_map_moves_and_widens_the_noise():
    network = straight(shift=2.0, scale=0.5)
    x = torch.linspace(0.5, 3.5, 31, dtype=torch.float64)
    torch.testing.assert_close(network.density(x, "normal"), Normal(2.0, 0.5).log_prob(x).exp())
    inside = (x - 2).abs() < 0.5 * ROOT_3
    torch.testing.assert_close(network.density(x, "uniform"), inside.double() / ROOT_3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steep", [1.0, 30.0])
@pytest.mark.parametrize("noise", ["normal", "uniform"])
def test_density_integrates_to_1(seed, steep, noise):
    network = bent(seed, steep).double()
    edge = 8.0 if noise == "normal" else ROOT_3
    # The middles of cells that are even in z: narrow in x where the density is high.
    ends = network(torch.linspace(-edge, edge, 8_001, dtype=torch.float64)[:, None]).squeeze(1)
    total = (network.density((ends[1:] + ends[:-1]) / 2, noise) * ends.diff()).sum()
    assert total.item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", ["normal", "uniform"])
def test_density_matches_samples(seed, noise):
    network = bent(seed)
    samples = network(noise_of(noise, 200_000)).detach().double().squeeze(1)
    bins = torch.quantile(samples[:10_000], torch.linspace(0.02, 0.98, 13, dtype=torch.float64))
    fine = torch.linspace(0, 1, 1001, dtype=torch.float64)
    for left, right in zip(bins[:-1], bins[1:], strict=True):
        x = left + fine * (right - left)
        expected = torch.trapezoid(network.density(x, noise), x).item()
        share = ((samples > left) & (samples <= right)).double().mean().item()
        assert share == pytest.approx(expected, abs=5 * math.sqrt(expected / len(samples)))


def test_float32_parameters_give_a_float64_density():
    network = bent(0, steep=1e4)  # between the jumps of float32 in z the density would come in steps
    x = torch.linspace(-1, 1, 1001)
    density = network.density(x, "normal")
    assert density.dtype == torch.float64
    torch.testing.assert_close(density, bent(0, steep=1e4).double().density(x.double(), "normal"))
    assert network.density(x[:, None]).shape == (1001, 1)


def test_far_from_everything_the_density_is_0_and_finite():
    network = bent(0)
    x = torch.tensor([-1e9, 1e9])
    assert network.density(x, "normal").tolist() == [0, 0]
    assert network.density(x, "uniform").tolist() == [0, 0]


def test_it_starts_near_the_line_that_was_asked_for():
    z = torch.linspace(-2, 2, 41)[:, None]
    for units in (8, 16):
        torch.testing.assert_close(MonotoneGenerator(units, 1.5, 0.7)(z), 1.5 + 0.7 * z, atol=0.08, rtol=0)


@pytest.mark.parametrize(
    "options", [{"units": 0}, {"units": 2.0}, {"scale": 0.0}, {"scale": -1.0}, {"shift": math.nan}]
)
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        MonotoneGenerator(**options)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda g: g(torch.zeros(3)), r"z must be a tensor of shape \(N, 1\)"),
        (lambda g: g(torch.zeros(3, 2)), r"z must be a tensor of shape \(N, 1\)"),
        (lambda g: g.derivative(torch.zeros(3)), r"z must be a tensor of shape \(N, 1\)"),
        (lambda g: g.inverse(torch.tensor([[math.nan]])), "x must be finite"),
        (lambda g: g.inverse([0.0]), "got list"),
        (lambda g: g.density(torch.tensor([math.inf])), "x must be finite"),
        (lambda g: g.density(torch.zeros(2, 3)), r"\(N, 1\)"),
        (lambda g: g.density(torch.zeros(2), noise="gaussian"), "'uniform', 'normal'"),
    ],
)
def test_bad_input_is_refused(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call(MonotoneGenerator())
