"""Two Gaussian classes with one covariance: the posterior is a logistic regression."""

import functools
import math

import torch

__all__ = ["shared_covariance_posterior"]


def shared_covariance_posterior(mu0, mu1, cov, prior1):
    r"""Weights of the exact posterior of two Gaussian classes that share a covariance.

    .. math:: P(Y = 1 \mid x) = \sigma(w^\top x + b), \qquad w = \Sigma^{-1} (\mu_1 - \mu_0), \qquad
              b = \tfrac12 \mu_0^\top \Sigma^{-1} \mu_0 - \tfrac12 \mu_1^\top \Sigma^{-1} \mu_1
                  + \log \frac{P(Y = 1)}{P(Y = 0)}

    The terms quadratic in x cancel because the covariance is shared. Book: ``eq-gaussian-posterior``.

    Parameters
    ----------
    mu0, mu1 : Tensor, shape (D,)
        Means of class 0 and class 1.
    cov : Tensor, shape (D, D)
        Covariance of both: symmetric, positive definite.
    prior1 : float
        P(Y = 1), in (0, 1).

    Returns
    -------
    w : Tensor, shape (D,)
    b : Tensor, scalar

    Raises
    ------
    ValueError
        Shapes that do not fit, a prior outside (0, 1), or a matrix that is not a covariance.

    References
    ----------
    Bishop (2006), Pattern Recognition and Machine Learning, eqs. (4.65) to (4.67).
    """
    mu0, mu1, cov = _same_precision(mu0, mu1, cov)
    if mu0.ndim != 1 or mu1.shape != mu0.shape or cov.shape != (len(mu0), len(mu0)):
        raise ValueError(
            "mu0, mu1 and cov must have shapes (D,), (D,) and (D, D), "
            f"got {tuple(mu0.shape)}, {tuple(mu1.shape)} and {tuple(cov.shape)}"
        )
    prior1 = float(prior1)
    if not 0 < prior1 < 1:
        raise ValueError(f"prior1 must lie strictly between 0 and 1, got {prior1}")
    factor, failed = torch.linalg.cholesky_ex(cov)
    if failed or not torch.allclose(cov, cov.T):
        raise ValueError("cov must be symmetric and positive definite")

    w0, w1 = torch.cholesky_solve(torch.stack([mu0, mu1], dim=1), factor).T  # Sigma^-1 mu of each class
    w = w1 - w0
    quadratic0 = 0.5 * mu0 @ w0
    quadratic1 = 0.5 * mu1 @ w1
    log_prior_odds = math.log(prior1) - math.log1p(-prior1)
    b = quadratic0 - quadratic1 + log_prior_odds
    return w, b


def _same_precision(*values):
    tensors = [torch.as_tensor(value) for value in values]
    dtype = functools.reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    return [tensor.to(dtype if dtype.is_floating_point else torch.float64) for tensor in tensors]
