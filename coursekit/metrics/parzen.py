"""Log-likelihood by a Gaussian Parzen window, as in Table 1 of the GAN paper (book page "Evaluation")."""

import math
from dataclasses import dataclass

import torch

from coursekit.metrics.pairwise import as_rows, squared_distances

#: Ten widths, evenly spaced in log from 0.1 to 1: the candidates of the GAN paper's released code.
SIGMAS = tuple(10 ** (-1 + step / 9) for step in range(10))
VALIDATION_IMAGES = 1000


@dataclass(frozen=True)
class ParzenResult:
    """What the protocol reports.

    Attributes
    ----------
    sigma : float
        The width that validation chose, in units of a pixel.
    mean : float
        Mean log-likelihood of the test images, nats.
    standard_error : float
        Of that mean, over test images: their standard deviation divided by √N.
    """

    sigma: float
    mean: float
    standard_error: float


def parzen_log_likelihood(samples, x, sigma):
    r"""Log-density of each x under a Gaussian of width σ around every sample (``eq-parzen``).

    .. math:: \log \hat p_\sigma(x) = \log \sum_{j=1}^{n} \exp \Bigl( -\frac{\lVert x - s_j \rVert^2}{2 \sigma^2} \Bigr)
              - \log n - \frac{d}{2} \log (2 \pi \sigma^2)

    One value an x, in nats, higher is better; a density, so it may be positive. Float64 throughout, the
    largest exponent taken out of the sum.

    Parameters
    ----------
    samples : Tensor (n, ...)
        What the model drew; each is flattened to d numbers. Images in [0, 1].
    x : Tensor (N, ...)
        Points to score, in the same units.
    sigma : float
        Standard deviation of each window, in those units.

    Returns
    -------
    float64 Tensor (N,)

    Raises
    ------
    ValueError
        If a set is empty, holds bytes, NaN or infinity, the two differ in d, or `sigma` is not positive and finite.

    References
    ----------
    Parzen (1962), "On Estimation of a Probability Density Function and Mode".
    Goodfellow et al. (2014), "Generative Adversarial Nets", section 5.
    """
    return _log_likelihoods(samples, x, [sigma])[0]


def select_sigma(samples, x_valid, sigmas=SIGMAS):
    """The width of `sigmas` under which the validation images are most likely on average.

    The distances are computed once for all widths.

    Parameters
    ----------
    samples : Tensor (n, ...)
    x_valid : Tensor (N, ...)
        Images that are neither trained nor tested on.
    sigmas : sequence of float
        Candidates. Where the first or last one wins, a wider range may do better.

    Returns
    -------
    float
        One of `sigmas`.

    Raises
    ------
    ValueError
        As :func:`parzen_log_likelihood`, or if there is no candidate.
    """
    sigmas = [float(sigma) for sigma in sigmas]
    if not sigmas:
        raise ValueError("sigmas must name at least one width")
    means = _log_likelihoods(samples, x_valid, sigmas).mean(dim=1)
    return sigmas[means.argmax()]


def parzen_protocol(samples, validation, test, sigmas=SIGMAS):
    """Table 1 of the GAN paper: choose σ on validation images, report the test images' mean log-likelihood.

    The paper takes 10,000 samples, the first 1,000 validation images and all 10,000 test images.

    Parameters
    ----------
    samples : Tensor (n, ...)
    validation : Tensor (M, ...)
        The first 1,000 are used.
    test : Tensor (N, ...), N >= 2
    sigmas : sequence of float

    Returns
    -------
    ParzenResult

    Raises
    ------
    ValueError
        As :func:`select_sigma`, or if there are fewer than two test images.

    Notes
    -----
    The standard error says how well the mean over all possible test images is known for these very
    samples. It says nothing of another training run, or of other samples from the same one.

    References
    ----------
    Goodfellow et al. (2014), "Generative Adversarial Nets", Table 1; Breuleux, Bengio and Vincent (2011),
    "Quickly Generating Representative Samples from an RBM-Derived Process", where the protocol comes from.
    """
    samples, validation, test = as_rows(samples=samples, validation=validation, test=test)
    if len(test) < 2:
        raise ValueError("a standard error needs at least two test images")
    sigma = select_sigma(samples, validation[:VALIDATION_IMAGES], sigmas)
    log_likelihood = parzen_log_likelihood(samples, test, sigma)
    mean = log_likelihood.mean().item()
    return ParzenResult(sigma, mean, log_likelihood.std().item() / math.sqrt(len(log_likelihood)))


def _log_likelihoods(samples, x, sigmas):
    """(len(sigmas), N): one row a width, from one pass over the distances."""
    for sigma in sigmas:
        if not (sigma > 0 and math.isfinite(sigma)):
            raise ValueError(f"sigma must be positive and finite, got {sigma}")
    samples, x = as_rows(samples=samples, x=x)
    n, d = samples.shape
    result = torch.empty(len(sigmas), len(x), dtype=torch.float64, device=samples.device)
    for rows, distances in squared_distances(x, samples):
        for row, sigma in zip(result, sigmas):
            log_sum = torch.logsumexp(distances * (-0.5 / sigma**2), dim=1)
            normalisation = 0.5 * d * math.log(2 * math.pi * sigma**2)
            row[rows] = log_sum - math.log(n) - normalisation
    return result
