"""The GAN game on distributions that are known exactly: tables, or densities on a grid.

The generator is its distribution ``p_g`` and the discriminator any function into [0, 1]. Nothing here is a network.
"""

import math

import torch

from coursekit.theory._tables import check_shapes, checked_pair, float_tensor, integrate, real_tensor
from coursekit.theory.divergences import jensen_shannon

__all__ = [
    "criterion",
    "exponentiated_gradient_step",
    "generator_gradient",
    "non_saturating_criterion",
    "optimal_discriminator",
    "value",
    "wasserstein_1",
]

_NAMES = ("p_data", "p_g")


def optimal_discriminator(p_data, p_g):
    r"""The discriminator that maximises V against this generator.

    .. math:: D^*(x) = \frac{p_{\text{data}}(x)}{p_{\text{data}}(x) + p_g(x)}

    Entry by entry: densities may be taken at any points. Book: ``eq-optimal-discriminator``,
    ``thm-optimal-discriminator``.

    Parameters
    ----------
    p_data, p_g : Tensor or array, same shape
        Probabilities or densities of the data and of the generator.

    Returns
    -------
    Tensor, the same shape
        In [0, 1]; NaN where both densities are 0, for there every value is as good as any other.

    Raises
    ------
    ValueError
        Shapes differ, or an entry is negative or not finite. Sums are not checked, as the points
        need not be a whole table.

    References
    ----------
    Goodfellow et al. (2014), Generative Adversarial Nets, eq. (2).
    """
    p_data, p_g = _checked_entries(p_data, p_g)
    # Divided by the larger one first: the sum itself could overflow, or lose digits among the smallest numbers.
    largest = torch.maximum(p_data, p_g)
    return (p_data / largest) / (p_data / largest + p_g / largest)


def value(p_data, p_g, d, weights=None):
    r"""Value of the game for a given discriminator.

    .. math:: V(D, G) = \mathbb{E}_{x \sim p_{\text{data}}} [\log D(x)] + \mathbb{E}_{x \sim p_g} [\log(1 - D(x))]

    with 0 log 0 = 0. Maximised by D, minimised by G; summed over every entry; nats. Never above 0,
    and -inf where D is certain and wrong. Book: ``eq-gan-value``.

    Parameters
    ----------
    p_data, p_g : Tensor or array, same shape
        Tables of probabilities, or densities on a grid with ``weights``.
    d : Tensor or array, the same shape
        D(x), in [0, 1]. Where both densities are 0 it is ignored, and may be NaN.
    weights : float, or Tensor or array of the same shape; optional
        Quadrature weights, as in :func:`~coursekit.theory.divergences.kl_divergence`.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        Shapes differ; an entry is negative or not finite; a distribution does not sum to 1; D leaves
        [0, 1], or is NaN where one of the densities is positive.

    Notes
    -----
    A floating-point 1 stands for every number that rounds to it. Where p_g is so small beside p_data
    that D* itself rounds to 1, ``d = 1`` is therefore read as D*, not as a certainty (and so for 0).

    References
    ----------
    Goodfellow et al. (2014), Generative Adversarial Nets, eq. (1).
    """
    p_data, p_g, weights = checked_pair(p_data, p_g, weights, _NAMES)
    d = float_tensor(d)
    if d.shape != p_data.shape:
        raise ValueError(f"d must have the shape of the densities, {tuple(p_data.shape)}, got {tuple(d.shape)}")
    matters = p_data + p_g > 0
    if not ((d >= 0) & (d <= 1) | ~matters).all():
        raise ValueError("d must lie in [0, 1] wherever p_data + p_g > 0")
    d = torch.where(matters, d, 0.5)
    rounding = torch.finfo(d.dtype)
    d_star_rounds_to_1 = p_g < rounding.eps * p_data
    d_star_rounds_to_0 = p_data < rounding.tiny * p_g
    not_d = torch.where((d == 1) & d_star_rounds_to_1, rounding.eps / 2, 1 - d)
    d = torch.where((d == 0) & d_star_rounds_to_0, rounding.tiny, d)

    on_data = torch.xlogy(p_data, d)
    on_fakes = torch.xlogy(p_g, not_d)
    return integrate(on_data + on_fakes, weights)


def criterion(p_data, p_g, weights=None):
    r"""What the generator minimises if the discriminator is always optimal.

    .. math:: C(G) = \max_D V(D, G) = -\log 4 + 2\, \mathrm{JSD}(p_{\text{data}}, p_g)

    Nats; between -log 4, exactly for ``p_g = p_data``, and 0, exactly for supports that do not meet.
    Book: ``eq-gan-criterion``, ``thm-gan-criterion``.

    Parameters
    ----------
    p_data, p_g, weights
        As in :func:`value`.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        Shapes differ, an entry is negative or not finite, or a distribution does not sum to 1.

    References
    ----------
    Goodfellow et al. (2014), Generative Adversarial Nets, eqs. (4) to (6).
    """
    p_data, p_g, _ = checked_pair(p_data, p_g, weights, _NAMES)
    return -math.log(4) + 2 * jensen_shannon(p_data, p_g, weights)


def non_saturating_criterion(p_data, p_g, weights=None):
    r"""What the non-saturating loss descends if the discriminator is always optimal.

    .. math:: 2\, \mathrm{KL}(m \,\Vert\, p_{\text{data}})
              = \mathrm{KL}(p_g \,\Vert\, p_{\text{data}}) - 2\, \mathrm{JSD}(p_{\text{data}}, p_g),
              \qquad m = \tfrac12 (p_{\text{data}} + p_g)

    Nats; 0 only at ``p_g = p_data``, +inf where p_g has probability and p_data has none.
    Book: ``eq-non-saturating-criterion``, ``thm-generator-descends``.

    Parameters
    ----------
    p_data, p_g, weights
        As in :func:`value`.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        Shapes differ, an entry is negative or not finite, or a distribution does not sum to 1.

    References
    ----------
    Arjovsky and Bottou (2017), Towards Principled Methods for Training Generative Adversarial
    Networks, theorem 2.5, has the right-hand side.
    """
    p_data, p_g, weights = checked_pair(p_data, p_g, weights, _NAMES)
    # 2 m log(m / p_data) with 2 m = p_data + p_g, and no m formed.
    both = p_data + p_g
    integrand = torch.xlogy(both, both) - torch.xlogy(both, p_data) - both * math.log(2)
    return integrate(integrand, weights).clamp_min(0)


def generator_gradient(p_data, p_g, kind="saturating"):
    r"""Gradient in ``p_g`` of the generator's expected loss, with D* held fixed.

    .. math:: \frac{\partial}{\partial p_g(x)} \sum_{x'} p_g(x') \log(1 - D^*(x')) = \log(1 - D^*(x))
              = \log \frac{p_g(x)}{p_{\text{data}}(x) + p_g(x)}

    for the saturating loss, where it is also a subgradient of C, and -log D*(x) for the other.
    Book: ``thm-gan-convexity``, ``thm-generator-descends``.

    Parameters
    ----------
    p_data, p_g : Tensor or array, same shape
        Tables of probabilities, or densities at any points.
    kind : {"saturating", "non_saturating"}

    Returns
    -------
    Tensor, the same shape
        Nats; -inf where p_g alone is 0 (saturating), +inf where p_data alone is 0 (non-saturating),
        NaN where both are.

    Raises
    ------
    ValueError
        Shapes differ, an entry is negative or not finite, or `kind` is unknown.
    """
    p_data, p_g = _checked_entries(p_data, p_g)
    if kind == "saturating":
        return torch.log(optimal_discriminator(p_g, p_data))  # 1 - D*, without the subtraction
    if kind == "non_saturating":
        return -torch.log(optimal_discriminator(p_data, p_g))
    raise ValueError(f'kind must be "saturating" or "non_saturating", got {kind!r}')


def exponentiated_gradient_step(p_data, p_g, lr, kind="saturating"):
    r"""One step of exponentiated gradient on the generator's table, against the optimal discriminator.

    .. math:: p_g(x) \leftarrow \frac1Z\, p_g(x)\, e^{-\eta\, g(x)}

    with the learning rate η = `lr`, g from :func:`generator_gradient`, and Z such that the sum is 1.
    Book: ``eq-exponentiated-gradient``, ``thm-exponentiated-gradient``.

    Parameters
    ----------
    p_data, p_g : Tensor or array, same shape
        Tables of probabilities. Where p_g is 0 it stays 0.
    lr : float
        Positive.
    kind : {"saturating", "non_saturating"}

    Returns
    -------
    Tensor, the same shape
        The new p_g.

    Raises
    ------
    ValueError
        Shapes differ, an entry is negative or not finite, a table does not sum to 1, `lr` is not
        positive and finite, `kind` is unknown, or the step leaves no probability anywhere.

    Notes
    -----
    With the saturating loss and lr = 1 the step is :math:`p_g \leftarrow \tfrac12 (p_{\text{data}} + p_g)`.

    References
    ----------
    Kivinen and Warmuth (1997), Exponentiated Gradient versus Gradient Descent for Linear Predictors.
    """
    p_data, p_g, _ = checked_pair(p_data, p_g, names=_NAMES)
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    gradient = generator_gradient(p_data, p_g, kind)
    log_weight = torch.where(p_g > 0, p_g.log() - lr * gradient, -math.inf)
    if not (log_weight > -math.inf).any():
        raise ValueError("no probability is left: p_g lies wholly where p_data is 0")
    return torch.softmax(log_weight.flatten(), 0).view_as(p_g)


def wasserstein_1(p, q, points):
    r"""Wasserstein-1 distance of two distributions on points of the line.

    .. math:: W_1(p, q) = \int_{-\infty}^{\infty} \lvert F_p(t) - F_q(t) \rvert \, \mathrm{d}t

    with the cumulative distribution functions F. In the units of the points. Exact.
    Book: ``eq-wasserstein-line``, ``thm-wasserstein-line``.

    Parameters
    ----------
    p, q : Tensor or array, (N,)
        Probabilities of the points. For densities on a grid, pass density times cell width.
    points : Tensor or array, (N,)
        Where they are, in any order; points may coincide.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        Shapes differ or are not one-dimensional, an entry is negative or not finite, a table does not
        sum to 1, or a point is not finite.

    References
    ----------
    Vallender (1974), Calculation of the Wasserstein Distance Between Probability Distributions on the
    Line.
    """
    p, q, _ = checked_pair(p, q)
    points = float_tensor(points).to(p.device)
    if points.ndim != 1 or points.shape != p.shape:
        raise ValueError(
            f"p, q and points must be three lists of one length, got {tuple(p.shape)} and points {tuple(points.shape)}"
        )
    if not points.isfinite().all():
        raise ValueError("points must be finite")
    points, order = points.sort()
    # A table may miss 1 by rounding, which must not pass for mass to carry.
    to_carry = (p / p.sum() - q / q.sum())[order].cumsum(0)[:-1]
    return (to_carry.abs() * points.diff()).sum()


def _checked_entries(p_data, p_g):
    p_data, p_g = real_tensor("p_data", p_data), real_tensor("p_g", p_g)
    check_shapes(p_data, p_g, _NAMES)
    dtype = torch.promote_types(p_data.dtype, p_g.dtype)
    return p_data.to(dtype), p_g.to(dtype)
