"""Toy densities with exact samples and exact log densities.

Each function returns a `torch.distributions.MixtureSameFamily`: ``sample(shape)`` draws with torch's global random
state, ``log_prob(x)`` is in nats, and ``component_distribution`` and ``mixture_distribution`` hold its parts. Tensors
keep their dtype (pass float64 for quadrature); lists become torch's default dtype.
"""

import math

import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

_CM_PER_INCH = 2.54


def heights():
    """Heights in cm of adults aged 20 to 29 in the United States, half women (component 0), half men (component 1).

    Women: mean 64.1 in, standard deviation 2.75 in. Men: mean 69.3 in, standard deviation 2.92 in. In cm: 162.8 and
    7.0, 176.0 and 7.4. The equal shares are our choice.

    Returns
    -------
    torch.distributions.MixtureSameFamily
        Over scalars, in cm.

    Notes
    -----
    The mixture has one peak, not two: the means lie closer than the sum of the standard deviations.

    References
    ----------
    M. F. Schilling, A. E. Watkins and W. Watkins, "Is Human Height Bimodal?", The American Statistician 56(3),
    223-229, 2002, doi:10.1198/00031300265. Means and standard deviations from the National Health and Nutrition
    Examination Survey.
    """
    means = [64.1 * _CM_PER_INCH, 69.3 * _CM_PER_INCH]
    stds = [2.75 * _CM_PER_INCH, 2.92 * _CM_PER_INCH]
    return gaussian_mixture([0.5, 0.5], means, stds)


def gaussian_mixture(weights, means, stds):
    """Mixture of K Gaussians on the line.

    Parameters
    ----------
    weights : array-like, (K,)
        Not negative; they sum to 1.
    means, stds : array-like, (K,)
        Means and standard deviations, not variances.

    Returns
    -------
    torch.distributions.MixtureSameFamily
        Over scalars.

    Raises
    ------
    ValueError
        If shapes do not fit, weights do not sum to 1, or a standard deviation is not positive.
    """
    means, stds = _tensor(means), _tensor(stds)
    return MixtureSameFamily(_mixing(weights, (means, "means", 1), (stds, "stds", 1)), Normal(means, stds))


def gaussian_mixture_2d(weights, means, covariances):
    """Mixture of K Gaussians in the plane.

    Parameters
    ----------
    weights : array-like, (K,)
        Not negative; they sum to 1.
    means : array-like, (K, 2)
    covariances : array-like, (K, 2, 2)
        Symmetric and positive definite.

    Returns
    -------
    torch.distributions.MixtureSameFamily
        Over vectors of 2.

    Raises
    ------
    ValueError
        If shapes do not fit, weights do not sum to 1, or a covariance is not positive definite.
    """
    means, covariances = _tensor(means), _tensor(covariances)
    mixing = _mixing(weights, (means, "means", 2), (covariances, "covariances", 3))
    return MixtureSameFamily(mixing, MultivariateNormal(means, covariances))


def ring_modes(modes=8, radius=2.0):
    """Centres of `ring_of_gaussians`: (modes, 2), evenly spaced on a circle, the first at angle 0."""
    angles = torch.arange(modes) * (2 * math.pi / modes)
    return radius * torch.stack([angles.cos(), angles.sin()], dim=1)


def ring_of_gaussians(modes=8, radius=2.0, std=0.1):
    """Equal, round Gaussians on a circle in the plane: the usual picture of mode collapse.

    Parameters
    ----------
    modes : int
        How many.
    radius : float
        Of the circle that `ring_modes` places them on.
    std : float
        Standard deviation of each along every axis.

    Returns
    -------
    torch.distributions.MixtureSameFamily
        Over vectors of 2.

    References
    ----------
    L. Metz, B. Poole, D. Pfau and J. Sohl-Dickstein, "Unrolled Generative Adversarial Networks", ICLR 2017, use
    8 modes, radius 2 and standard deviation 0.02.
    """
    covariances = (std**2 * torch.eye(2)).expand(modes, 2, 2)
    return gaussian_mixture_2d(torch.full((modes,), 1 / modes), ring_modes(modes, radius), covariances)


def _tensor(values):
    return values if isinstance(values, torch.Tensor) else torch.as_tensor(values, dtype=torch.get_default_dtype())


def _mixing(weights, *parameters):
    weights = _tensor(weights)
    if weights.ndim != 1 or (weights < 0).any() or abs(weights.sum().item() - 1) > 1e-5:
        raise ValueError(f"weights must be one list of numbers, none negative, with sum 1; got {weights.tolist()}")
    for tensor, name, n_axes in parameters:
        expected = (len(weights),) + (2,) * (n_axes - 1)
        if tensor.shape != expected:
            raise ValueError(f"{name} must have shape {expected} for {len(weights)} weights, not {tuple(tensor.shape)}")
    return Categorical(weights)
