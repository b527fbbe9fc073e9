"""Divergences between two distributions given by their values: tables, or densities on a grid."""

import math

import torch

from coursekit.theory._tables import checked_pair, integrate

__all__ = ["jensen_shannon", "kl_divergence"]


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
        Shapes differ, an entry is negative or not finite, a table does not sum to 1, or a density
        on a grid does not integrate to 1 (within 1%).

    References
    ----------
    Kullback and Leibler (1951), On Information and Sufficiency, section 2.
    """
    p, q, weights = checked_pair(p, q, weights)
    # xlogy(0, 0) = 0, and p/q is never formed: it could overflow in the tails.
    integrand = torch.xlogy(p, p) - torch.xlogy(p, q)
    return integrate(integrand, weights)


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
    p, q, weights = checked_pair(p, q, weights)
    # log(p / m) = log p - log(p + q) + log 2. Forming m itself could round the smallest p down to m = 0.
    p_from_mixture = torch.xlogy(p, p) - torch.xlogy(p, p + q) + p * math.log(2)
    q_from_mixture = torch.xlogy(q, q) - torch.xlogy(q, p + q) + q * math.log(2)
    divergence = 0.5 * integrate(p_from_mixture, weights) + 0.5 * integrate(q_from_mixture, weights)
    return divergence.clamp_min(0)  # rounding alone can take it below
