import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from coursekit.metrics import accuracy, calibration_bins, expected_calibration_error


def random_predictions(n, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return logits.softmax(dim=1), generator


def test_accuracy_matches_scikit_learn():
    probabilities, generator = random_predictions(200)
    labels = torch.randint(4, (200,), generator=generator)
    assert accuracy(probabilities, labels) == pytest.approx(accuracy_score(labels, probabilities.argmax(1)))


def test_accuracy_of_a_hand_worked_table():
    assert accuracy([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1]) == pytest.approx(2 / 3)


def test_calibration_error_of_a_hand_worked_table():
    # Two bins: (0, 0.5] is empty, (0.5, 1] has mean confidence 0.75 and accuracy 1/2.
    probabilities = [[0.9, 0.1], [0.4, 0.6]]
    assert expected_calibration_error(probabilities, [0, 0], bins=2) == pytest.approx(0.25)
    # Ten bins separate them: |1 - 0.9| and |0 - 0.6|, each with weight 1/2.
    assert expected_calibration_error(probabilities, [0, 0], bins=10) == pytest.approx(0.35)


def test_calibration_error_matches_a_loop_over_the_bins():
    probabilities, generator = random_predictions(500, seed=1)
    labels = torch.randint(4, (500,), generator=generator)
    p, y = probabilities.numpy(), labels.numpy()
    expected = 0.0
    for m in range(15):
        inside = (p.max(1) > m / 15) & (p.max(1) <= (m + 1) / 15)
        if inside.any():
            gap = abs((p.argmax(1) == y)[inside].mean() - p.max(1)[inside].mean())
            expected += inside.mean() * gap
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected)
    assert expected_calibration_error(p, y) == pytest.approx(expected)


def test_labels_drawn_from_the_prediction_are_calibrated():
    probabilities, generator = random_predictions(200_000, seed=2)
    labels = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
    assert expected_calibration_error(probabilities, labels) < 0.01


def test_an_overconfident_model_is_caught():
    probabilities, generator = random_predictions(20_000, seed=3)
    labels = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
    sharpened = (3 * probabilities.log()).softmax(dim=1)
    assert expected_calibration_error(sharpened, labels) > 0.1
    assert accuracy(sharpened, labels) == accuracy(probabilities, labels)


def test_bins_share_out_all_predictions_and_keep_the_edges():
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.75, 0.25], [0.8, 0.2]])
    confidence, hit_rate, share = calibration_bins(probabilities, np.array([0, 0, 0, 1]), bins=4)
    assert share.tolist() == [0, 0.25, 0.25, 0.5]
    assert confidence[1:].tolist() == pytest.approx([0.5, 0.75, 0.9])
    assert hit_rate[1:].tolist() == [1, 1, 0.5]
    assert confidence[0].isnan() and hit_rate[0].isnan()


def test_logits_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="softmax"):
        expected_calibration_error(torch.tensor([[2.0, -1.0]]), torch.tensor([0]))


@pytest.mark.parametrize("labels", [[0], [[0, 1]], []])
def test_shapes_that_do_not_fit_are_refused(labels):
    with pytest.raises(ValueError, match="labels|no predictions"):
        accuracy([[0.9, 0.1], [0.2, 0.8]], labels)


def test_an_empty_table_is_refused():
    with pytest.raises(ValueError, match="no predictions"):
        accuracy(np.empty((0, 3)), np.empty((0,), dtype=int))
