import math

import pytest
import torch
from scipy import stats

from coursekit.metrics import class_coverage, mode_coverage

MODES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def test_a_mode_is_covered_by_a_sample_within_the_radius():
    samples = torch.tensor([[0.0, 0.9], [0.0, 1.1], [10.0, 1.0], [5.0, 5.0]])
    assert mode_coverage(samples, MODES, 1.0) == (2, 0.5)
    assert mode_coverage(samples, MODES, 1.2) == (2, 0.75)
    assert mode_coverage(samples, MODES, 1.2, minimum=2) == (1, 0.75)
    assert mode_coverage(samples, MODES, 20.0) == (3, 1.0)


def test_a_sample_near_two_modes_counts_once_in_the_share():
    assert mode_coverage(torch.tensor([[5.0, 0.0], [90.0, 0.0]]), MODES, 5.0) == (2, 0.5)


@pytest.mark.parametrize(
    "samples, radius, minimum, message",
    [
        (MODES[:0], 1.0, 1, "samples must be a non-empty"),
        (MODES * math.nan, 1.0, 1, "samples must be finite"),
        (MODES[:, :1], 1.0, 1, "samples have 1 values each, modes have 2"),
        (MODES, 0.0, 1, "radius must be positive"),
        (MODES, math.nan, 1, "radius must be positive"),
        (MODES, 1.0, 0, "minimum must be at least 1"),
    ],
)
def test_bad_input_of_mode_coverage(samples, radius, minimum, message):
    with pytest.raises(ValueError, match=message):
        mode_coverage(samples, MODES, radius, minimum)


def test_class_coverage_counts_classes_and_measures_their_unevenness():
    counts = [700, 290, 8, 2]
    probabilities = 0.9 * torch.eye(4).repeat_interleave(torch.tensor(counts), dim=0) + 0.025
    covered, divergence = class_coverage(probabilities)
    assert covered == 2
    assert divergence == pytest.approx(stats.entropy(counts, [1, 1, 1, 1]))
    assert class_coverage(probabilities, minimum=0.005)[0] == 3
    assert class_coverage(torch.eye(4)) == (4, 0)
    assert class_coverage(torch.eye(4)[[1, 1]]) == (1, pytest.approx(math.log(4)))


@pytest.mark.parametrize(
    "probabilities, minimum, message",
    [
        (torch.eye(4)[:0], 0.1, "not empty"),
        (torch.eye(4) * 2, 0.1, "sum to 1"),
        (torch.eye(4) * math.nan, 0.1, "sum to 1"),
        (torch.eye(4), 0.0, "minimum must be a share"),
    ],
)
def test_bad_input_of_class_coverage(probabilities, minimum, message):
    with pytest.raises(ValueError, match=message):
        class_coverage(probabilities, minimum)
