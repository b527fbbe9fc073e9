"""The Parzen window as a probability of black and white images (book page "How to judge a generator")."""

import math

import torch
from torch.nn import functional

from coursekit.metrics.pairwise import BLOCK, as_rows


def binary_parzen_log_likelihood(samples, x, sigma):
    r"""Log-probability of each black and white x under Gaussian windows restricted to such images.

    .. math:: \log P_\sigma(x) = \log \frac1n \sum_{j=1}^{n} \prod_{i=1}^{D} \rho_{ji}^{x_i} (1 - \rho_{ji})^{1 - x_i},
              \qquad \rho_{ji} = \frac{1}{1 + \exp\bigl( -(2 s_{ji} - 1) / (2 \sigma^2) \bigr)}

    Each window of ``eq-parzen`` divided by its sum over all images of zeros and ones, which makes them
    probabilities (``eq-binary-parzen``, ``thm-binary-parzen``). One value an x, in nats, higher is better,
    never above 0; comparable with an exact log-likelihood of the same image.

    Parameters
    ----------
    samples : Tensor (n, ...)
        What the model drew; each is flattened to D numbers. Grey samples may be given.
    x : Tensor (N, ...)
        Images of zeros and ones.
    sigma : float
        Standard deviation of each window.

    Returns
    -------
    float64 Tensor (N,)

    Raises
    ------
    ValueError
        If a set is empty, holds bytes, NaN or infinity, the two differ in D, a pixel of `x` is not 0 or 1,
        or `sigma` is not positive and finite.
    """
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma must be positive and finite, got {sigma}")
    samples, x = as_rows(samples=samples, x=x)
    if not ((x == 0) | (x == 1)).all():
        raise ValueError("every pixel of x must be 0 or 1: a grey one has no probability here")
    logits = (2 * samples.double() - 1) / (2 * sigma**2)
    log_normaliser = functional.softplus(logits).sum(dim=1)
    parts = x.double().split(max(1, BLOCK // len(samples)))
    log_sums = [torch.logsumexp(part @ logits.T - log_normaliser, dim=1) for part in parts]
    return torch.cat(log_sums) - math.log(len(samples))
