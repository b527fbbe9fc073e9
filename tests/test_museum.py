"""The failure museum: every detector fires on its broken case and is silent on the cured one, over five seeds."""

import math

import pytest
import torch
from torch import nn

from coursekit.museum import (
    EXHIBITS,
    Case,
    accuracy_gap,
    distance_to_optimum,
    generator_gradient_norm,
    non_finite_steps,
    relative_spread,
    verdict_gap,
)
from coursekit.trainers import GANTrainer

SEEDS = range(5)


def test_the_museum_has_its_eight_exhibits():
    assert list(EXHIBITS) == [
        "mode collapse",
        "D too strong",
        "out of step",
        "D overfitting",
        "k too small",
        "BatchNorm leak",
        "orbit",
        "non-finite loss",
    ]


@pytest.mark.parametrize("name", EXHIBITS)
def test_the_detector_fires_on_the_failure_and_is_silent_on_the_cure(name):
    exhibit = EXHIBITS[name]
    broken = [exhibit.broken(seed) for seed in SEEDS]
    cured = [exhibit.cured(seed) for seed in SEEDS]
    assert [visit.alarm for visit in broken] == [True] * 5, [visit.measured for visit in broken]
    assert [visit.alarm for visit in cured] == [False] * 5, [visit.measured for visit in cured]


@pytest.mark.parametrize("name", EXHIBITS)
def test_broken_and_cured_differ_in_one_thing(name):
    broken, cured = EXHIBITS[name].broken_case, EXHIBITS[name].cured_case
    keys = set(broken.settings) | set(cured.settings)
    changed = [key for key in keys if broken.settings.get(key) != cured.settings.get(key)]
    changed += [part for part in ("data", "discriminator") if getattr(broken, part) is not getattr(cured, part)]
    assert len(changed) == 1
    assert broken.generator is cured.generator


def test_a_visit_depends_on_its_seed_alone():
    exhibit = EXHIBITS["orbit"]
    torch.manual_seed(1)
    first = exhibit.broken(3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert exhibit.broken(3).measured == first.measured
    assert torch.equal(torch.get_rng_state(), state)


def test_an_exhibit_fires_on_the_right_side_of_its_threshold():
    above, below = EXHIBITS["orbit"], EXHIBITS["out of step"]
    assert above.alarm(above.threshold + 0.1) and not above.alarm(above.threshold - 0.1)
    assert below.alarm(below.threshold - 0.1) and not below.alarm(below.threshold + 0.1)


# -- the detectors, on cases worked by hand ---------------------------------------------------------


class Fixed(nn.Module):
    """G(z) = theta + z, or D's logit weight * x + bias: numbers instead of networks."""

    def __init__(self, value, bias=None):
        super().__init__()
        self.value = nn.Parameter(torch.tensor([float(value)]))
        self.bias = bias

    def forward(self, x):
        return x + self.value if self.bias is None else x * self.value + self.bias


def fitted(theta=0.0, weight=1.0, bias=0.0, **settings):
    """A trainer whose one step of tiny size left its two numbers as they were, to 6 digits."""
    settings = dict(noise_dim=1, noise="normal", lr=1e-12, optimizer="sgd", momentum=0.0) | settings
    trainer = GANTrainer(generator=Fixed(theta), discriminator=Fixed(weight, bias), device="cpu", **settings)
    return trainer.fit(torch.linspace(-1, 1, 64)[:, None], max_steps=1, progress=False)


def test_relative_spread_is_the_ratio_of_standard_deviations():
    x = torch.randn(500, 3, 2)
    assert relative_spread(0.25 * x + 7, x) == pytest.approx(0.25, rel=1e-5)
    assert relative_spread(torch.ones(5, 2), torch.randn(9, 2)) == 0


@pytest.mark.parametrize(("kind", "slope"), [("saturating", -0.25), ("non_saturating", -0.75)])
def test_the_gradient_norm_is_that_of_the_loss_in_use(kind, slope):
    # D's logit is 2x + bias; the samples stand at theta + z. With n = 1 the gradient is slope(a) * 2.
    trainer = fitted(weight=2.0, generator_loss=kind)
    z = trainer.sample_noise(1, seed=0).item()
    trainer.discriminator.bias = math.log(0.25 / 0.75) - 2 * z  # so that D(G(z)) = 1/4
    assert generator_gradient_norm(trainer, n=1, seed=0) == pytest.approx(abs(slope) * 2, rel=1e-4)


def test_the_accuracy_gap_counts_what_d_calls_real():
    trainer = fitted(weight=1.0)
    train, held_out = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[1.0], [-2.0], [-3.0], [-4.0]])
    assert accuracy_gap(trainer, train, held_out) == pytest.approx(0.75)
    assert accuracy_gap(trainer, held_out, train) == pytest.approx(-0.75)


def test_the_distance_to_the_optimum_is_zero_for_the_optimal_discriminator():
    # N(1, 1) against N(0, 1): the log ratio is x - 1/2, which this D has as its logit.
    log_density = lambda mean: lambda x: torch.distributions.Normal(mean, 1.0).log_prob(x).squeeze(1)  # noqa: E731
    x = torch.linspace(-3, 4, 100)[:, None]
    assert distance_to_optimum(fitted(bias=-0.5), log_density(1.0), log_density(0.0), x) < 1e-6
    swapped = distance_to_optimum(fitted(bias=-0.5), log_density(0.0), log_density(1.0), x)
    expected = (2 * torch.sigmoid(x - 0.5) - 1).abs().mean().item()
    assert swapped == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", ["saturating", "non_saturating"])
def test_the_verdict_gap_reads_d_off_the_loss(kind):
    trainer = fitted(generator_loss=kind)
    loss = math.log(1 - 0.8) if kind == "saturating" else -math.log(0.8)
    trainer.history["loss_G"], trainer.history["d_fake"] = [9.0, loss, loss], [9.0, 0.1, 0.3]
    assert verdict_gap(trainer, last=2) == pytest.approx(0.8 - 0.2)


def test_non_finite_steps_counts_either_loss():
    trainer = fitted()
    trainer.history["loss_D"], trainer.history["loss_G"] = [1.0, math.inf, 1.0, 1.0], [1.0, 1.0, math.nan, 1.0]
    assert non_finite_steps(trainer) == 2


def test_but_changes_a_copy():
    case = Case(data=list, generator=list, discriminator=list, settings={"lr": 1.0})
    assert case.but(k=2).settings == {"lr": 1.0, "k": 2}
    assert case.settings == {"lr": 1.0}
