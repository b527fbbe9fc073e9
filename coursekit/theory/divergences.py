"""Divergences between two distributions given by their values: tables, or densities on a grid."""

import math

import numpy as np
import torch

__all__ = ["jensen_shannon", "kl_divergence"]

# A table may miss 1 by rounding; a density on a grid taken for a table misses it by far more.
_TABLE_TOLERANCE = 1e-3


def kl_divergence(p, q, weights=None):
    r"""Kullback-Leibler divergence KL(p ‖ q).

    .. math:: \mathrm{KL}(p \,\Vert\, q) = \sum_i w_i \, p_i \log \frac{p_i}{q_i}

    with 0 log 0 = 0, and +inf where p > 0 and q = 0. Summed over every entry; nats. At least 0 for
    distributions, and 0 only when they agree. Book: ``eq-kl-divergence``.

    Parameters
    ----------
    p, q : Tensor or array, same shape
        Tables of probabilities, or densities on a grid with ``weights``.
    weights : float, or Tensor or array of the shape of ``p``; optional
        Quadrature weights: the width of a cell on an even grid, or one weight per point.

    Returns
    -------
    Tensor, scalar
        In the precision of the inputs (lists and whole numbers count as float64).

    Raises
    ------
    ValueError
        Shapes differ, an entry is negative or not finite, or a table does not sum to 1.

    References
    ----------
    Kullback and Leibler (1951), On Information and Sufficiency, section 2.
    """
    p, q, weights = _checked(p, q, weights)
    # xlogy(0, 0) = 0, and p/q is never formed: it could overflow in the tails.
    integrand = torch.xlogy(p, p) - torch.xlogy(p, q)
    return _integrate(integrand, weights)


def jensen_shannon(p, q, weights=None):
    r"""Jensen-Shannon divergence: the mean divergence of p and q from their mixture.

    .. math:: \mathrm{JSD}(p, q) = \frac12 \mathrm{KL}(p \,\Vert\, m) + \frac12 \mathrm{KL}(q \,\Vert\, m),
              \qquad m = \frac{p + q}{2}

    Summed over every entry; nats. Symmetric, between 0 (p = q) and log 2 (nowhere both positive),
    finite always. Book: ``eq-jensen-shannon``.

    Parameters
    ----------
    p, q, weights
        As in :func:`kl_divergence`.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        As in :func:`kl_divergence`.

    Notes
    -----
    The divergence itself, not its square root (which is the Jensen-Shannon distance).

    References
    ----------
    Lin (1991), Divergence Measures Based on the Shannon Entropy, section III.
    Goodfellow et al. (2014), Generative Adversarial Nets, eq. (6).
    """
    p, q, weights = _checked(p, q, weights)
    # log(p / m) = log p - log(p + q) + log 2. Forming m itself could round the smallest p down to m = 0.
    p_from_mixture = torch.xlogy(p, p) - torch.xlogy(p, p + q) + p * math.log(2)
    q_from_mixture = torch.xlogy(q, q) - torch.xlogy(q, p + q) + q * math.log(2)
    divergence = 0.5 * _integrate(p_from_mixture, weights) + 0.5 * _integrate(q_from_mixture, weights)
    return divergence.clamp_min(0)  # rounding alone can take it below


def _integrate(integrand, weights):
    # A point of weight 0 counts for nothing, even where the integrand is infinite.
    return torch.where(weights > 0, weights * integrand, 0).sum()


def _checked(p, q, weights):
    p, q = _real_tensor("p", p), _real_tensor("q", q)
    if p.shape != q.shape or p.ndim == 0:
        raise ValueError(f"p and q must be tables of the same shape, got {tuple(p.shape)} and {tuple(q.shape)}")
    if is_table := weights is None:
        weights = 1.0
    weights = _real_tensor("weights", weights).to(p.device)
    if weights.ndim and weights.shape != p.shape:
        raise ValueError(f"weights must be one number or of shape {tuple(p.shape)}, got {tuple(weights.shape)}")
    dtype = torch.promote_types(p.dtype, q.dtype)
    p, q, weights = p.to(dtype), q.to(dtype), weights.to(dtype)
    for name, table in (("p", p), ("q", q)):
        total = table.sum().item()
        if is_table and abs(total - 1) > _TABLE_TOLERANCE:
            raise ValueError(
                f"{name} is a table of probabilities but sums to {total:.6g}; for densities on a grid pass weights="
            )
    return p, q, weights


def _real_tensor(name, values):
    """A finite, non-negative floating-point tensor."""
    exact = isinstance(values, (torch.Tensor, np.ndarray, np.generic))
    values = torch.as_tensor(values, dtype=None if exact else torch.float64)
    if not values.is_floating_point():
        values = values.to(torch.float64)
    if not ((values >= 0) & values.isfinite()).all():
        raise ValueError(f"{name} must be finite and at least 0 everywhere")
    return values
