"""Accuracy and calibration of predicted class probabilities (chapter "Discriminative and generative")."""

from __future__ import annotations

import torch
from torch import Tensor


def _checked(probabilities, labels) -> tuple[Tensor, Tensor]:
    probabilities = torch.as_tensor(probabilities)
    labels = torch.as_tensor(labels, device=probabilities.device)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(
            "expected probabilities (N, classes) and labels (N,), got "
            f"{tuple(probabilities.shape)} and {tuple(labels.shape)}"
        )
    if len(labels) == 0:
        raise ValueError("no predictions to score")
    return probabilities, labels


def accuracy(probabilities, labels) -> float:
    """Share of rows whose largest entry sits at the label.

    Parameters
    ----------
    probabilities : tensor or array (N, classes)
        Class probabilities; any increasing function of them, such as logits, gives the same answer.
    labels : tensor or array (N,)
        Integers in ``[0, classes)``.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If the shapes do not fit or there is no row.
    """
    probabilities, labels = _checked(probabilities, labels)
    return (probabilities.argmax(dim=1) == labels).double().mean().item()


def calibration_bins(probabilities, labels, bins: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """Group predictions by confidence: what a reliability diagram draws.

    The confidence of a prediction is its largest probability. Bin m holds the confidences in
    ``((m - 1) / bins, m / bins]``.

    Parameters
    ----------
    probabilities : tensor or array (N, classes)
        Class probabilities, rows summing to 1.
    labels : tensor or array (N,)
        Integers in ``[0, classes)``.
    bins : int
        Number of bins of equal width.

    Returns
    -------
    confidence, accuracy, share : float64 tensors (bins,)
        Mean confidence and accuracy in each bin (NaN where the bin is empty), and the share of all
        predictions that fall into it.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no row, or a row is not a probability distribution.
    """
    probabilities, labels = _checked(probabilities, labels)
    probabilities = probabilities.double()
    ones = torch.ones_like(probabilities[:, 0])
    if (probabilities < 0).any() or not torch.allclose(probabilities.sum(dim=1), ones, rtol=0, atol=1e-3):
        raise ValueError("each row of probabilities must be non-negative and sum to 1: logits need a softmax first")

    top, predicted = probabilities.clamp(max=1).max(dim=1)
    upper_edges = torch.arange(1, bins + 1, dtype=top.dtype, device=top.device) / bins
    index = torch.bucketize(top, upper_edges)
    count = torch.bincount(index, minlength=bins).double()
    correct = (predicted == labels).double()
    confidence = torch.bincount(index, weights=top, minlength=bins) / count
    hit_rate = torch.bincount(index, weights=correct, minlength=bins) / count
    return confidence, hit_rate, count / len(labels)


def expected_calibration_error(probabilities, labels, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, bin by bin (``eq-expected-calibration-error``).

    Parameters
    ----------
    probabilities : tensor or array (N, classes)
        Class probabilities, rows summing to 1.
    labels : tensor or array (N,)
        Integers in ``[0, classes)``.
    bins : int
        Number of bins of equal width.

    Returns
    -------
    float
        In [0, 1]; 0 is calibrated as far as the bins can tell.

    Raises
    ------
    ValueError
        As :func:`calibration_bins`.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), "On Calibration of Modern Neural Networks", eq. 3.
    """
    confidence, hit_rate, share = calibration_bins(probabilities, labels, bins)
    gap = (hit_rate - confidence).abs().nan_to_num()
    return (share * gap).sum().item()
