"""Which modes and which classes a set of samples reaches (book page "GANs in practice")."""

import math

import torch

from coursekit.metrics.pairwise import as_rows, squared_distances
from coursekit.metrics.scores import as_distributions


def mode_coverage(samples, modes, radius, minimum=1):
    """How many modes have samples near them, and the share of the samples near one.

    Parameters
    ----------
    samples : Tensor (N, d)
    modes : Tensor (K, d)
        Where the data's modes are.
    radius : float
        A sample is near a mode within this Euclidean distance, such as 3 standard deviations.
    minimum : int
        Samples that a mode needs to count as covered.

    Returns
    -------
    covered : int
        In [0, K].
    share : float
        In [0, 1].

    Raises
    ------
    ValueError
        If a set is empty or not finite, the two differ in d, or `radius` or `minimum` is not positive.
    """
    samples, modes = as_rows(samples=samples, modes=modes)
    if not (radius > 0 and math.isfinite(radius)):
        raise ValueError(f"radius must be positive and finite, got {radius}")
    if minimum < 1:
        raise ValueError(f"minimum must be at least 1, got {minimum}")
    count = torch.zeros(len(modes), dtype=torch.int64, device=samples.device)
    near_one = 0
    for _, block in squared_distances(samples, modes):
        near = block <= radius**2
        count += near.sum(dim=0)
        near_one += near.any(dim=1).sum().item()
    return int((count >= minimum).sum()), near_one / len(samples)


def class_coverage(probabilities, minimum=0.01):
    r"""How many classes a classifier sees among the samples, and how unevenly.

    Parameters
    ----------
    probabilities : Tensor (N, K)
        A classifier's p(y|x) of the samples, rows summing to 1. A sample belongs to its most probable class.
    minimum : float
        Share of the samples that a class needs to count as covered.

    Returns
    -------
    covered : int
        In [0, K].
    divergence : float
        KL(shares of the classes ‖ 1/K), nats: 0 when even, log K when one class has all.

    Raises
    ------
    ValueError
        If the rows are not distributions, or `minimum` is not in (0, 1].
    """
    probabilities = as_distributions(probabilities)
    if not 0 < minimum <= 1:
        raise ValueError(f"minimum must be a share in (0, 1], got {minimum}")
    n, classes = probabilities.shape
    shares = torch.bincount(probabilities.argmax(dim=1), minlength=classes).double() / n
    divergence = torch.xlogy(shares, shares * classes).sum()
    return int((shares >= minimum).sum()), divergence.item()
