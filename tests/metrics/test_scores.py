import math

import numpy as np
import pytest
import torch
from scipy import stats

from coursekit.metrics import classifier_score


def test_classifier_score_is_the_exponent_of_scipys_relative_entropies():
    p = torch.softmax(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)).double(), 1)
    expected = np.exp(np.mean([stats.entropy(row, p.mean(0)) for row in p.numpy()]))
    assert classifier_score(p) == pytest.approx(expected, rel=1e-12)


def test_classifier_score_goes_from_one_to_the_number_of_classes():
    assert classifier_score(torch.full((9, 5), 0.2)) == pytest.approx(1)
    assert classifier_score(torch.eye(5).repeat(3, 1)) == pytest.approx(5)
    assert classifier_score(torch.eye(5)[:1].repeat(3, 1)) == pytest.approx(1), "one class alone says nothing"


def test_rows_that_miss_one_by_rounding_are_taken():
    p = torch.softmax(torch.randn(50, 6, generator=torch.Generator().manual_seed(0)), 1)
    assert classifier_score(p.half()) == pytest.approx(classifier_score(p), rel=1e-2)


@pytest.mark.parametrize(
    "probabilities, message",
    [
        (torch.zeros(0, 3), "not empty"),
        (torch.ones(3), "expected probabilities"),
        (torch.ones(2, 3), "sum to 1"),
        (torch.tensor([[1.5, -0.5]]), "non-negative"),
        (torch.tensor([[math.nan, 1.0]]), "sum to 1"),
    ],
)
def test_bad_input_is_one_clear_error(probabilities, message):
    with pytest.raises(ValueError, match=message):
        classifier_score(probabilities)
