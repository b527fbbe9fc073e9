"""How good a translation is where the truth is known, and what a translator has to beat (book page "CycleGAN")."""

import torch

from coursekit.metrics.distances import nearest_neighbours
from coursekit.metrics.pairwise import as_rows

__all__ = ["ColourMatching", "paired_error", "retrieval_accuracy"]

COLOUR_MODELS = ("channel", "covariance")
LEAST_VARIANCE = 1e-8  # of a colour direction, in units of [0, 1] squared: a constant one cannot be stretched


def paired_error(translated, truth):
    r"""Mean absolute difference between translations and what they should have been (``eq-cyclegan-paired-error``).

    .. math:: \frac1n \sum_i \frac1d \lVert \hat y_i - y_i \rVert_1

    Parameters
    ----------
    translated, truth : Tensor (n, ...)
        Row i of `truth` is the right answer for row i of `translated`. In the same units, usually [0, 1].

    Returns
    -------
    float
        At least 0, lower is better, in the units of the images.

    Raises
    ------
    ValueError
        If the shapes differ, or a set is empty, holds bytes, NaN or infinity.
    """
    translated, truth = _pairs(translated, truth)
    return (translated.double() - truth.double()).abs().mean().item()


def retrieval_accuracy(translated, truth):
    """How often the right image is the nearest of all (``eq-cyclegan-retrieval``).

    Parameters
    ----------
    translated, truth : Tensor (n, ...)
        Row i of `truth` is the right answer for row i of `translated`. In the same units.

    Returns
    -------
    float
        In [0, 1], higher is better; a guess has 1/n. Of equally near images the first counts, so duplicates in
        `truth` cost.

    Raises
    ------
    ValueError
        As :func:`paired_error`.

    Notes
    -----
    Nearest in Euclidean distance between raw pixels. A translation that merges two images, or swaps them, fails for
    at least one, however good both look.
    """
    translated, truth = _pairs(translated, truth)
    _, nearest = nearest_neighbours(translated, truth)
    return (nearest.cpu() == torch.arange(len(nearest))).double().mean().item()


class ColourMatching:
    r"""The affine map of colours that gives the pixels of one set the mean and spread of another's.

    .. math:: c \mapsto \mu_Y + A (c - \mu_X)

    A baseline for translation between styles: it needs no pairs, and knows nothing of shapes. With ``"channel"``, A
    scales each channel by the ratio of standard deviations; with ``"covariance"`` it is the symmetric map that carries
    all of the covariance, :math:`A = \Sigma_X^{-1/2} (\Sigma_X^{1/2} \Sigma_Y \Sigma_X^{1/2})^{1/2} \Sigma_X^{-1/2}`,
    which of all such maps moves Gaussian colours least. Book: ``eq-cyclegan-colour-matching``.

    Parameters
    ----------
    source, target : Tensor (n, C, H, W), (m, C, H, W)
        Floats in [0, 1]. No pairs are needed.
    model : {"channel", "covariance"}

    Raises
    ------
    ValueError
        If the channels differ, a set is empty, holds bytes, NaN or infinity, or `model` is unknown.

    References
    ----------
    Pitié and Kokaram (2007), "The Linear Monge-Kantorovitch Linear Colour Mapping for Example-Based Colour Transfer".
    """

    def __init__(self, source, target, model="covariance"):
        if model not in COLOUR_MODELS:
            raise ValueError(f"model must be one of {', '.join(COLOUR_MODELS)}, got {model!r}")
        # Colours as rows, in float64: there are many, and their second moments are close.
        source, target = (colours.double() for colours in as_rows(source=_colours(source), target=_colours(target)))
        self.source_mean, self.target_mean = source.mean(0), target.mean(0)
        first, second = (colours.T.cov(correction=0).reshape(2 * [colours.shape[1]]) for colours in (source, target))
        if model == "channel":
            self.matrix = torch.diag((second.diagonal() / first.diagonal().clamp_min(LEAST_VARIANCE)).sqrt())
        else:
            root, inverse_root = _powers(first, 0.5), _powers(first, -0.5)
            self.matrix = inverse_root @ _powers(root @ second @ root, 0.5) @ inverse_root

    def __call__(self, images):
        """Match the colours of `images`, float (n, C, H, W), and clip them to [0, 1]."""
        colours = _colours(images).double() - self.source_mean
        matched = self.target_mean + colours @ self.matrix.T
        n, channels, height, width = images.shape
        return matched.reshape(n, height, width, channels).movedim(-1, 1).clamp(0, 1).to(images.dtype)


def _pairs(translated, truth):
    translated, truth = torch.as_tensor(translated), torch.as_tensor(truth)
    if translated.shape != truth.shape:
        raise ValueError(
            f"every translation needs its truth: got shapes {tuple(translated.shape)} and {tuple(truth.shape)}"
        )
    return as_rows(translated=translated, truth=truth)


def _colours(images):
    """(n, C, H, W) -> (n·H·W, C)."""
    if images.ndim != 4:
        raise ValueError(f"images must be (n, C, H, W), got shape {tuple(images.shape)}")
    return images.movedim(1, -1).flatten(0, 2)


def _powers(covariance, power):
    """A power of a symmetric matrix; directions without variance are left out."""
    values, vectors = torch.linalg.eigh(covariance)
    powered = torch.where(values > LEAST_VARIANCE, values.clamp_min(LEAST_VARIANCE) ** power, 0)
    return (vectors * powered) @ vectors.T
