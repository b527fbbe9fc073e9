"""The GAN's losses (Goodfellow et al., 2014), on logits: D(x) = sigmoid(a(x))."""

import torch
from torch.nn import functional

__all__ = ["discriminator_loss", "generator_loss", "r1_penalty"]


def discriminator_loss(logits_real, logits_fake):
    r"""Minus the value function, which the discriminator minimises.

    .. math:: L_D = -\frac1n \sum_i \log D(x_i) - \frac1m \sum_j \log\bigl(1 - D(G(z_j))\bigr)

    A mean over each batch, in nats: an estimate of -V(D, G), which is log 4 where D = ½. Book:
    ``eq-gan-value``.

    Parameters
    ----------
    logits_real : Tensor, shape (n,)
        a(x) on data.
    logits_fake : Tensor, shape (m,)
        a(G(z)) on samples; detach G(z), or the loss reaches G too.

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        A batch is empty, or not one logit a row.

    Notes
    -----
    The paper writes probabilities. Here log D = log sigmoid(a) and log(1 - D) = log sigmoid(-a), which
    stay finite, with the right gradient, where a float32 sigmoid is already 0 or 1.

    References
    ----------
    Goodfellow et al. (2014), Generative Adversarial Nets, eq. (1) and Algorithm 1.
    """
    _require_logits(logits_real=logits_real, logits_fake=logits_fake)
    real = -functional.logsigmoid(logits_real).mean()
    fake = -functional.logsigmoid(-logits_fake).mean()
    return real + fake


def generator_loss(logits_fake, kind="non_saturating"):
    r"""What the generator minimises.

    .. math:: L_G = -\frac1m \sum_j \log D(G(z_j)) \quad\text{(non-saturating)}, \qquad
              L_G = \frac1m \sum_j \log\bigl(1 - D(G(z_j))\bigr) \quad\text{(saturating)}

    A mean over the batch, in nats. Book: ``eq-gan-losses``.

    Parameters
    ----------
    logits_fake : Tensor, shape (m,)
        a(G(z)), not detached.
    kind : {"non_saturating", "saturating"}

    Returns
    -------
    Tensor, scalar

    Raises
    ------
    ValueError
        Another `kind`, or logits that are empty or not one a row.

    Notes
    -----
    The saturating loss is the paper's eq. (1): the generator's half of V. The other is what the paper
    advises, and its code trains. Its slope in the logit is -(1 - D) where the other's is -D, so it does
    not vanish where D is sure that a sample is fake.

    References
    ----------
    Goodfellow et al. (2014), Generative Adversarial Nets, eq. (1) and the end of section 3.
    """
    _require_logits(logits_fake=logits_fake)
    if kind == "non_saturating":
        return -functional.logsigmoid(logits_fake).mean()
    if kind == "saturating":
        return functional.logsigmoid(-logits_fake).mean()
    raise ValueError(f"kind must be 'non_saturating' or 'saturating', got {kind!r}")


def r1_penalty(logits_real, x_real):
    r"""Half the squared gradient of the logit at the data.

    .. math:: R_1 = \frac{1}{2n} \sum_i \bigl\lVert \nabla_x a(x_i) \bigr\rVert^2

    A mean over the batch, added to the discriminator's loss with a weight. Book: ``eq-gan-r1``.

    Parameters
    ----------
    logits_real : Tensor, shape (n,)
    x_real : Tensor, shape (n, ...)
        The data that gave `logits_real`, requiring gradients.

    Returns
    -------
    Tensor, scalar
        Differentiable in the discriminator's weights.

    Raises
    ------
    ValueError
        `x_real` does not require gradients, or the logits are not one a row.

    References
    ----------
    Mescheder, Geiger and Nowozin (2018), Which Training Methods for GANs do actually Converge?, eq. (9).
    """
    _require_logits(logits_real=logits_real)
    if not x_real.requires_grad or len(x_real) != len(logits_real):
        raise ValueError("x_real must be the batch that gave logits_real, with x_real.requires_grad_() before D saw it")
    (slope,) = torch.autograd.grad(logits_real.sum(), x_real, create_graph=True)
    return 0.5 * slope.square().flatten(1).sum(1).mean()


def _require_logits(**named):
    for name, logits in named.items():
        if not isinstance(logits, torch.Tensor) or logits.ndim != 1 or len(logits) == 0:
            shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise ValueError(f"{name} must be logits of shape (n,), one a row and at least one, got {shape}")
