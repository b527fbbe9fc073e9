"""How far a set of samples is from a set of real images (book page "Evaluation")."""

import numpy as np
import scipy.linalg
import torch

from coursekit.metrics.pairwise import as_rows, squared_distances

TOLERANCE = 1e-5  # of asymmetry, and of eigenvalues below 0, in units of the largest: covariances come in float32 too


def frechet_distance(mu1, cov1, mu2, cov2):
    r"""Squared Fréchet distance between two Gaussians (``eq-frechet``, ``thm-frechet``).

    .. math:: d^2 = \lVert \mu_1 - \mu_2 \rVert^2 + \operatorname{tr} \Sigma_1 + \operatorname{tr} \Sigma_2
              - 2 \operatorname{tr} \bigl( \Sigma_1^{1/2} \Sigma_2 \Sigma_1^{1/2} \bigr)^{1/2}

    The square of the 2-Wasserstein distance, in the squared units of the points; 0 only when the Gaussians agree.

    Parameters
    ----------
    mu1, mu2 : Tensor or array (d,)
    cov1, cov2 : Tensor or array (d, d)
        Symmetric and positive semi-definite; they may be singular.

    Returns
    -------
    float
        Not negative.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, or a covariance is not one.

    Notes
    -----
    The last trace is the sum of the singular values of Σ₁^½ Σ₂^½, and is computed so: a square root of the product
    Σ₁Σ₂, which is not symmetric, loses digits and may turn complex where a covariance is singular. Float64.

    References
    ----------
    Dowson and Landau (1982), "The Fréchet distance between multivariate normal distributions", eq. 16.
    Heusel et al. (2017), "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", eq. 6.
    """
    mu1, cov1 = _gaussian("1", mu1, cov1)
    mu2, cov2 = _gaussian("2", mu2, cov2)
    if mu1.shape != mu2.shape:
        raise ValueError(f"mu1 has {len(mu1)} dimensions, mu2 has {len(mu2)}: they must agree")
    root1, root2 = _square_root("cov1", cov1), _square_root("cov2", cov2)
    between_means = np.square(mu1 - mu2).sum()
    overlap = scipy.linalg.svdvals(root1 @ root2).sum()
    distance = between_means + np.trace(cov1) + np.trace(cov2) - 2 * overlap
    return max(float(distance), 0.0)  # rounding alone can take it below


def frechet_distance_of(features_a, features_b):
    """Squared Fréchet distance between Gaussians fitted to two sets of features (``eq-frechet``).

    Parameters
    ----------
    features_a, features_b : Tensor (N, d), (M, d)
        At least two rows each. Rows with more axes are flattened.

    Returns
    -------
    float
        0 for two sets with one mean and covariance.

    Raises
    ------
    ValueError
        If a set is empty or a single point, is not finite, or the two differ in d.

    Notes
    -----
    Biased upwards: of two finite sets from one distribution the means and covariances differ by chance. Compare only
    values of equal N and equal features. Features of a classifier of your own do not give the published "FID", which
    means one certain Inception network.

    References
    ----------
    Heusel et al. (2017), eq. 6.
    """
    moments = []
    for name, rows in zip(("features_a", "features_b"), as_rows(features_a=features_a, features_b=features_b)):
        if len(rows) < 2:
            raise ValueError(f"{name} is a single point: a covariance needs at least two")
        rows = rows.double()
        moments += [rows.mean(dim=0), torch.cov(rows.T).reshape(rows.shape[1], -1)]
    return frechet_distance(*moments)


def nearest_neighbours(samples, images):
    """Euclidean distance from each sample to the nearest image, and which image that is.

    Parameters
    ----------
    samples, images : Tensor (N, ...), (M, ...)
        In the same units; each is flattened.

    Returns
    -------
    distances : float64 Tensor (N,)
    indices : int64 Tensor (N,)
        Into `images`.

    Raises
    ------
    ValueError
        If a set is empty, holds bytes, NaN or infinity, or the two differ in size.

    Notes
    -----
    Between raw pixels: a copy moved by one pixel is far from its original.
    """
    samples, images = as_rows(samples=samples, images=images)
    found = [block.min(dim=1) for _, block in squared_distances(samples, images)]
    distances, indices = (torch.cat(parts) for parts in zip(*found))
    return distances.sqrt(), indices


def precision_recall(real_features, fake_features, k=3):
    r"""Share of the samples that look real, and share of the real that samples reach (``eq-precision-recall``).

    Around each point of a set lies a ball that reaches its k-th nearest neighbour in the set. Precision is the share
    of `fake_features` inside some ball of the real set, recall the share of `real_features` inside some ball of the
    fake set.

    Parameters
    ----------
    real_features, fake_features : Tensor (N, d), (M, d)
        More than `k` rows each. Rows with more axes are flattened.
    k : int
        The paper takes 3.

    Returns
    -------
    precision, recall : float
        In [0, 1], more is better. Both depend on N and M, and on the features: compare at equal ones.

    Raises
    ------
    ValueError
        If `k` is below 1 or not below the size of each set, a set is not finite, or the two differ in d.

    References
    ----------
    Kynkäänniemi et al. (2019), "Improved Precision and Recall Metric for Assessing Generative Models", eqs. 1 and 2.
    """
    real, fake = as_rows(real_features=real_features, fake_features=fake_features)
    if k < 1 or k >= min(len(real), len(fake)):
        raise ValueError(f"k must be at least 1 and below the size of each set, {len(real)} and {len(fake)}; got {k}")
    precision = _share_inside(fake, real, k)
    recall = _share_inside(real, fake, k)
    return precision, recall


def memorisation_ratio(samples, train, held_out):
    r"""How much nearer the samples are to the training images than to others like them (``eq-memorisation-ratio``).

    .. math:: \operatorname{median}_i \; \frac{\min_j \lVert s_i - x_j^{\text{train}} \rVert}
              {\min_j \lVert s_i - x_j^{\text{held out}} \rVert}

    Parameters
    ----------
    samples : Tensor (n, ...)
    train : Tensor (N, ...)
        All images that the model was trained on.
    held_out : Tensor (M, ...)
        Images of the same kind that it never saw.

    Returns
    -------
    float
        0 for copies of training images. 1 for samples that know nothing of `train`, if N = M.

    Raises
    ------
    ValueError
        As :func:`nearest_neighbours`.

    Notes
    -----
    The nearest of many is nearer than the nearest of few: with N > M the ratio is below 1 without any copying. What
    to compare with is then the ratio of fresh real images put in the place of `samples`.
    A median misses a model that copies less than half of the time, and pixels miss a copy moved by one pixel.
    """
    to_train, _ = nearest_neighbours(samples, train)
    to_held_out, _ = nearest_neighbours(samples, held_out)
    ratio = to_train / to_held_out
    ratio[(to_train == 0) & (to_held_out == 0)] = 1.0  # in both sets: as near to one as to the other
    return ratio.quantile(0.5, interpolation="nearest").item()


def _gaussian(name, mu, cov):
    mu, cov = (np.asarray(torch.as_tensor(value).detach().cpu().double()) for value in (mu, cov))
    if mu.ndim != 1 or mu.size == 0 or cov.shape != (len(mu), len(mu)):
        raise ValueError(f"expected mu{name} (d,) and cov{name} (d, d), got {mu.shape} and {cov.shape}")
    if not (np.isfinite(mu).all() and np.isfinite(cov).all()):
        raise ValueError(f"mu{name} and cov{name} must be finite")
    if abs(cov - cov.T).max() > TOLERANCE * abs(cov).max():
        raise ValueError(f"cov{name} must be symmetric")
    return mu, cov


def _square_root(name, cov):
    """The symmetric root. Eigenvalues that are 0 but for rounding are taken for 0: their roots would be large."""
    values, vectors = scipy.linalg.eigh(cov)
    largest = abs(values).max()
    if values.min() < -TOLERANCE * largest:
        raise ValueError(f"{name} must be positive semi-definite: its least eigenvalue is {values.min():.3g}")
    values[values < largest * len(cov) * np.finfo(float).eps] = 0
    return (vectors * np.sqrt(values)) @ vectors.T


def _share_inside(points, centres, k):
    """Share of `points` within the ball of at least one of `centres`."""
    # Each row holds the centre itself at distance 0, so that the k-th neighbour is the (k + 1)-th smallest.
    radii = torch.cat(
        [block.topk(k + 1, largest=False).values[:, -1] for _, block in squared_distances(centres, centres)]
    )
    inside = [(block <= radii).any(dim=1) for _, block in squared_distances(points, centres)]
    return torch.cat(inside).double().mean().item()
