"""The losses of CycleGAN (Zhu et al., 2017). All are minimised; all are means."""

import torch

__all__ = ["cycle_consistency", "identity", "least_squares_discriminator", "least_squares_generator"]


def least_squares_discriminator(scores_real, scores_fake):
    r"""Squared distance of the scores from 1 on data and from 0 on translations; D minimises it.

    .. math:: L_D = \frac1n \sum_i (D(y_i) - 1)^2 + \frac1m \sum_j D(G(x_j))^2

    Means over all scores, of all patches and images. Book: ``eq-cyclegan-least-squares``.

    Parameters
    ----------
    scores_real, scores_fake : Tensor, any shape
        D's raw scores, with no sigmoid; detach G(x), or the loss reaches G too.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        A tensor of scores is empty.

    Notes
    -----
    The paper halves this objective while D is optimised (appendix 7.1). That factor belongs to the training step
    and is not in this function.

    References
    ----------
    Mao et al. (2016), Least Squares Generative Adversarial Networks; Zhu et al. (2017), section 4.
    """
    _require_scores(scores_real=scores_real, scores_fake=scores_fake)
    real = (scores_real - 1).square().mean()
    fake = scores_fake.square().mean()
    return real + fake


def least_squares_generator(scores_fake):
    r"""Squared distance of the scores of translations from 1; G minimises it.

    .. math:: L_G = \frac1m \sum_j (D(G(x_j)) - 1)^2

    Book: ``eq-cyclegan-least-squares``.

    Parameters
    ----------
    scores_fake : Tensor, any shape
        D's raw scores of G(x), not detached.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        The tensor is empty.

    References
    ----------
    Zhu et al. (2017), section 4.
    """
    _require_scores(scores_fake=scores_fake)
    return (scores_fake - 1).square().mean()


def cycle_consistency(x, x_cycled):
    r"""Mean absolute difference of an image and what comes back of it, F(G(x)).

    .. math:: L_\text{cyc} = \frac1n \sum_i \frac1d \lVert F(G(x_i)) - x_i \rVert_1

    A mean over images and over their d values, so that its weight does not depend on the image's size; the paper
    writes a sum over values, its code this mean. In the units of the images: of a range [-1, 1] at most 2.
    Book: ``eq-cyclegan-cycle``.

    Parameters
    ----------
    x, x_cycled : Tensor, (N, C, H, W)

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        The shapes differ, or the tensors are empty.

    References
    ----------
    Zhu et al. (2017), eq. (2).
    """
    return _mean_absolute_difference(x, x_cycled)


def identity(y, y_same):
    r"""Mean absolute difference of an image of the target domain and its translation, G(y).

    .. math:: L_\text{id} = \frac1n \sum_i \frac1d \lVert G(y_i) - y_i \rVert_1

    Scaled as `cycle_consistency`. Book: ``eq-cyclegan-identity``.

    Parameters
    ----------
    y, y_same : Tensor, (N, C, H, W)

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        The shapes differ, or the tensors are empty.

    References
    ----------
    Zhu et al. (2017), section 5.2; Taigman, Polyak and Wolf (2016).
    """
    return _mean_absolute_difference(y, y_same)


def _mean_absolute_difference(a, b):
    if a.shape != b.shape or a.numel() == 0:
        raise ValueError(f"two batches of images of one shape are compared, got {tuple(a.shape)} and {tuple(b.shape)}")
    return (a - b).abs().mean()


def _require_scores(**named):
    for name, scores in named.items():
        if not isinstance(scores, torch.Tensor) or scores.numel() == 0:
            raise ValueError(f"{name} must be a tensor with at least one score")
