"""Unpaired translation on sets that are known exactly, and what the least-squares game minimises.

A map between finite sets is a row of indices: ``maps[i]`` is where point i goes. Everything is enumerated, so sets are
small. The least-squares functions take distributions as :mod:`coursekit.theory.gan` does.
"""

import itertools
import math

import torch

from coursekit.theory._tables import check_shapes, checked_pair, integrate, real_tensor

__all__ = [
    "all_maps",
    "cycle_consistent_pairs",
    "least_squares_criterion",
    "least_squares_gradient",
    "least_squares_optimal_discriminator",
    "matching_maps",
    "pearson_chi_squared",
    "pushforward",
]

LARGEST_ENUMERATION = 10**6
MASS_TOLERANCE = 1e-9  # masses such as 0.1 + 0.2 and 0.3 count as equal


def all_maps(n, m):
    """Every map from n points to m points.

    Parameters
    ----------
    n, m : int

    Returns
    -------
    Tensor (mⁿ, n), int64
        One map a row, in lexicographic order.

    Raises
    ------
    ValueError
        If a set is empty, or there are more than a million maps.
    """
    if n < 1 or m < 1:
        raise ValueError(f"a set needs at least one point, got {n} and {m}")
    if m**n > LARGEST_ENUMERATION:
        raise ValueError(f"{m}**{n} maps are too many to list")
    return torch.tensor(list(itertools.product(range(m), repeat=n)), dtype=torch.int64)


def pushforward(maps, p, m):
    r"""Where each map carries the mass of p.

    .. math:: (G_\# p)(y) = \sum_{x :\, G(x) = y} p(x)

    Book: ``thm-unpaired-bijections``.

    Parameters
    ----------
    maps : Tensor (k, n), int64
    p : Tensor or array (n,)
        Masses of the points, which sum to 1.
    m : int
        Points of the target.

    Returns
    -------
    Tensor (k, m), float64

    Raises
    ------
    ValueError
        If `p` has another length than the maps, is no distribution, or a map leaves the target.
    """
    p = _masses("p", p)
    if maps.ndim != 2 or maps.shape[1] != len(p):
        raise ValueError(f"maps must be (k, {len(p)}), one target for each mass, got {tuple(maps.shape)}")
    if maps.numel() and not 0 <= maps.min() <= maps.max() < m:
        raise ValueError(f"maps must go to points 0 to {m - 1}")
    carried = torch.zeros(len(maps), m, dtype=torch.float64)
    return carried.scatter_add(1, maps, p.expand(len(maps), -1))


def matching_maps(p, q):
    r"""The maps that carry p to q: those at which the adversarial loss of one direction is least.

    Book: ``thm-unpaired-bijections``, ``thm-unpaired-symmetries``.

    Parameters
    ----------
    p, q : Tensor or array (n,), (m,)
        Masses on the two sets.

    Returns
    -------
    Tensor (k, n), int64
        All G with :math:`G_\# p = q`; k may be 0.

    Raises
    ------
    ValueError
        As :func:`all_maps` and :func:`pushforward`.
    """
    p, q = _masses("p", p), _masses("q", q)
    maps = all_maps(len(p), len(q))
    return maps[((pushforward(maps, p, len(q)) - q).abs() <= MASS_TOLERANCE).all(dim=1)]


def cycle_consistent_pairs(G, F):
    """Which pairs of maps undo each other in both directions (``thm-unpaired-bijections``).

    Parameters
    ----------
    G : Tensor (k, n), int64
        Maps from n points to m.
    F : Tensor (l, m), int64
        Maps back.

    Returns
    -------
    Tensor (k, l), bool
        Whether F(G(x)) = x for all x, and G(F(y)) = y for all y.
    """
    n, m = G.shape[1], F.shape[1]
    there_and_back = F[:, G].transpose(0, 1)  # (k, l, n): F of G
    back_and_there = G[:, F]  # (k, l, m): G of F
    return (there_and_back == torch.arange(n)).all(-1) & (back_and_there == torch.arange(m)).all(-1)


def least_squares_optimal_discriminator(p_data, p_g, *, fake=0.0, real=1.0):
    r"""The discriminator that minimises the least-squares loss against this generator.

    .. math:: D^*(x) = \frac{b\, p_{\text{data}}(x) + a\, p_g(x)}{p_{\text{data}}(x) + p_g(x)}

    with the codes a for `fake` and b for `real`. Entry by entry. Book: ``thm-least-squares``.

    Parameters
    ----------
    p_data, p_g : Tensor or array, same shape
        Probabilities or densities.
    fake, real : float

    Returns
    -------
    Tensor, the same shape
        Between the codes; NaN where both densities are 0.

    Raises
    ------
    ValueError
        Shapes differ, an entry is negative or not finite, or the codes are equal.

    Notes
    -----
    For the codes 0 and 1 it is the discriminator of the log loss.

    References
    ----------
    Mao et al. (2017), "Least Squares Generative Adversarial Networks", eq. 5.
    """
    p_data, p_g = real_tensor("p_data", p_data), real_tensor("p_g", p_g)
    check_shapes(p_data, p_g, ("p_data", "p_g"))
    if fake == real:
        raise ValueError(f"fake and real must have different codes, got {fake} for both")
    return (real * p_data + fake * p_g) / (p_data + p_g)


def least_squares_criterion(p_data, p_g, weights=None, *, fake=0.0, real=1.0, target=1.0, on_data=False):
    r"""The generator's least-squares loss if the discriminator is always optimal.

    .. math:: \mathbb{E}_{p_g} \bigl[ (D^*(x) - c)^2 \bigr]

    with the code c for `target`, what the generator wants to hear. For the default codes, which CycleGAN takes, it is
    :math:`\sum p_g^3 / (p_{\text{data}} + p_g)^2`: between ¼, only for ``p_g = p_data``, and 1, for supports that do
    not meet. Book: ``thm-least-squares``.

    Parameters
    ----------
    p_data, p_g, weights
        As in :func:`~coursekit.theory.gan.value`.
    fake, real, target : float
        The codes a, b and c.
    on_data : bool
        Add the same expectation over the data, as Mao et al. do. Without a gradient for G at a fixed D.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        Shapes differ, an entry is negative or not finite, a distribution does not sum to 1, or fake = real.

    References
    ----------
    Mao et al. (2017), eqs. 6 to 9. Zhu et al. (2017), "Unpaired Image-to-Image Translation using Cycle-Consistent
    Adversarial Networks", section 4.
    """
    p_data, p_g, weights = checked_pair(p_data, p_g, weights, ("p_data", "p_g"))
    d = least_squares_optimal_discriminator(p_data, p_g, fake=fake, real=real)
    heard = p_data + p_g if on_data else p_g
    return integrate(torch.where(heard > 0, heard * (d - target) ** 2, 0), weights)


def least_squares_gradient(p_data, p_g, *, fake=0.0, real=1.0, target=1.0):
    r"""Gradient in ``p_g`` of the generator's expected loss, with D* held fixed.

    .. math:: \frac{\partial}{\partial p_g(x)} \sum_{x'} p_g(x') (D^*(x') - c)^2 = (D^*(x) - c)^2

    What alternating steps descend; the gradient of :func:`least_squares_criterion` is another, because there D*
    answers. Book: ``thm-least-squares``.

    Parameters
    ----------
    p_data, p_g : Tensor or array, same shape
    fake, real, target : float

    Returns
    -------
    Tensor, the same shape

    Raises
    ------
    ValueError
        As :func:`least_squares_optimal_discriminator`.
    """
    return (least_squares_optimal_discriminator(p_data, p_g, fake=fake, real=real) - target) ** 2


def pearson_chi_squared(p, q, weights=None):
    r"""Pearson's χ² divergence.

    .. math:: \chi^2(p \,\Vert\, q) = \sum_i w_i \frac{(p_i - q_i)^2}{q_i}

    At least 0, and 0 only for p = q; +inf where p has mass and q has none. Book: ``thm-least-squares``.

    Parameters
    ----------
    p, q, weights
        As in :func:`~coursekit.theory.divergences.kl_divergence`.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        As :func:`~coursekit.theory.divergences.kl_divergence`.
    """
    p, q, weights = checked_pair(p, q, weights)
    return integrate(torch.where(p == q, 0, (p - q) ** 2 / q), weights)


def _masses(name, p):
    p = real_tensor(name, p).double()
    if p.ndim != 1 or not math.isclose(p.sum().item(), 1, abs_tol=MASS_TOLERANCE):
        raise ValueError(f"{name} must be a list of masses that sum to 1, got {p.tolist()}")
    return p
