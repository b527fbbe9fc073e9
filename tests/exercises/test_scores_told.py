"""Scores that the prompts of training tasks tell students."""

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.data import load_images, to_float
from coursekit.exercises import autoencoders, discriminative_generative, gan_theory
from coursekit.grading.key import load_key


class Constant(nn.Module):
    """Gives the same answer to every input of a batch."""

    def __init__(self, answer, *others):
        super().__init__()
        self.answer, self.others = answer, others

    def forward(self, x):
        same = self.answer.expand(len(x), *self.answer.shape)
        return (same, *self.others) if self.others else same


def scores(chapter, task, module):
    """Public score, and the grader's."""
    return task.public_score(module), load_key(chapter).scores[task.name](module, np.random.default_rng(0))


def test_always_answering_the_share_of_alarms_scores_what_the_prompt_says():
    constant = Constant(torch.tensor([0.65, 0.35]).log())
    told = scores("discriminative_generative", discriminative_generative.classifier, constant)
    assert told == pytest.approx([0.72, 0.72], abs=0.01)


def test_the_mean_image_explains_nothing():
    mean = to_float(load_images("digits").images).mean(0).clamp(1e-6, 1 - 1e-6)
    told = scores("autoencoders", autoencoders.denoiser, Constant(mean.logit(), None))
    assert told == pytest.approx([0, 0], abs=1e-3)


def test_the_generator_on_the_line_starts_where_the_prompt_says():
    told = scores("gan_theory", gan_theory.generator, gan_theory.generator.architecture())
    assert told == pytest.approx([0.53, 0.53], abs=0.01)


def test_bayes_rule_itself_scores_one():
    class Exact(nn.Module):
        def forward(self, x):
            point = 255 * x.flatten(1)

            def log_density(mean, std):
                return torch.distributions.Normal(torch.tensor(mean), std).log_prob(point).sum(1)

            humps = torch.stack([log_density([88.0, 150.0], 20.0), log_density([168.0, 106.0], 20.0)])
            alarm = np.log(0.35 / 2) + humps.logsumexp(0)
            quiet = np.log(0.65) + log_density([128.0, 128.0], 22.0)
            return torch.stack([quiet, alarm], dim=1)

    told = scores("discriminative_generative", discriminative_generative.classifier, Exact())
    assert told == pytest.approx([1, 1], abs=1e-4)


def test_a_generator_with_the_right_distribution_scores_one():
    class Exact(nn.Module):
        def forward(self, z):
            x = torch.linspace(-5, 5, 20_001, dtype=torch.float64)
            below = 0.35 * torch.special.ndtr((x + 1.2) / 0.4) + 0.65 * torch.special.ndtr((x - 1.2) / 0.6)
            return x[torch.searchsorted(below, torch.special.ndtr(z.double())).clamp(max=20_000)].float()

    public, hidden = scores("gan_theory", gan_theory.generator, Exact())
    assert public == pytest.approx(1, abs=1e-3) and hidden == pytest.approx(1, abs=2e-3)
