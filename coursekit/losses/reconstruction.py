"""Reconstruction terms: how badly a decoder's output explains the data."""

import math

import torch
from torch.nn import functional as F

__all__ = ["bernoulli_nll", "gaussian_nll", "squared_error"]


def bernoulli_nll(logits, x):
    r"""Negative log-likelihood of pixels under independent Bernoulli distributions.

    .. math:: -\log p(x \mid z) = -\sum_d \bigl[ x_d \log y_d + (1 - x_d) \log(1 - y_d) \bigr],
              \qquad y_d = \sigma(\mathrm{logits}_d)

    Minimised. Summed over dimensions, not averaged over the batch; nats. Book: ``eq-bernoulli-nll``.

    Parameters
    ----------
    logits : Tensor, shape (N, ...)
        Raw decoder outputs, before the sigmoid.
    x : Tensor, shape (N, ...)
        Data in [0, 1].

    Returns
    -------
    Tensor, shape (N,)

    Raises
    ------
    ValueError
        The shapes differ.

    Notes
    -----
    A negative log-likelihood only where every ``x`` is 0 or 1. On grey pixels it is a useful loss,
    but no density: its values must not be read as bounds on log p(x).

    The paper writes probabilities y; this takes logits, for which the same sum is computed without
    ever forming log(0).

    References
    ----------
    Kingma and Welling (2013), Auto-Encoding Variational Bayes, appendix C.1, eq. (11).
    """
    _require_same_shape("logits", logits, x)
    per_dimension = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return per_dimension.flatten(1).sum(1)


def gaussian_nll(x_hat, x, sigma=1.0):
    r"""Negative log-density of data under N(x_hat, sigma² I), the constant included.

    .. math:: -\log p(x \mid z) = \frac{\lVert x - \hat x \rVert^2}{2 \sigma^2}
              + D \log \sigma + \frac{D}{2} \log 2\pi

    Minimised. Summed over the D dimensions, not averaged over the batch; nats. It can be negative,
    as any log-density can. Book: ``eq-gaussian-nll``.

    Parameters
    ----------
    x_hat : Tensor, shape (N, ...)
        The mean: a decoder's output.
    x : Tensor, shape (N, ...)
    sigma : float or scalar Tensor
        Standard deviation of every dimension, above 0.

    Returns
    -------
    Tensor, shape (N,)

    Raises
    ------
    ValueError
        The shapes differ, or sigma is a number that is not positive.

    Notes
    -----
    With one fixed sigma this is the squared error, divided by 2 sigma² and shifted. That division
    is what balances it against the KL term: dropping it means sigma² = ½.

    References
    ----------
    Kingma and Welling (2013), Auto-Encoding Variational Bayes, appendix C.2, eq. (12).
    """
    learned = isinstance(sigma, torch.Tensor)
    if not learned and not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma}")
    dimensions = x[0].numel()
    distance = squared_error(x_hat, x) / (2 * sigma**2)
    scale = dimensions * (sigma.log() if learned else math.log(sigma))
    constant = 0.5 * dimensions * math.log(2 * math.pi)
    return distance + scale + constant


def squared_error(x_hat, x):
    r"""Squared Euclidean distance between data and reconstruction, per sample.

    .. math:: \lVert x - \hat x \rVert^2 = \sum_d (x_d - \hat x_d)^2

    Minimised. Summed over dimensions (no ½, no mean), not averaged over the batch; squared data
    units. It is the part of ``eq-gaussian-nll`` that depends on x_hat, times 2 sigma².

    Parameters
    ----------
    x_hat, x : Tensor, shape (N, ...)

    Returns
    -------
    Tensor, shape (N,)

    Raises
    ------
    ValueError
        The shapes differ (they are never broadcast).
    """
    _require_same_shape("x_hat", x_hat, x)
    return F.mse_loss(x_hat, x, reduction="none").flatten(1).sum(1)


def _require_same_shape(name, output, x):
    if output.shape != x.shape:
        raise ValueError(f"{name} and x must have the same shape, got {tuple(output.shape)} and {tuple(x.shape)}")
