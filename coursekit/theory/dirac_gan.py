r"""The smallest GAN: one data point, a generator that is one number, a discriminator that is one slope.

The data are all at 0, the generator makes :math:`\theta`, and :math:`D(x) = \sigma(\psi x)`. Both players' updates
can be written on one line, and the only equilibrium is (0, 0). Book: ``eq-dirac-gan``, ``thm-dirac-gan``.
"""

import math

import torch

__all__ = ["alternating", "simultaneous", "updates", "value"]

_LOSSES = ("saturating", "non_saturating")


def value(theta, psi):
    r"""Value of the game: :math:`V(\psi, \theta) = \log \sigma(0) + \log(1 - \sigma(\psi\theta))`, in nats.

    `theta` and `psi` are numbers or tensors of one shape. Book: ``eq-dirac-gan``.
    """
    product = torch.as_tensor(psi * theta, dtype=torch.float64)
    return -math.log(2) + torch.nn.functional.logsigmoid(-product)


def updates(theta, psi, *, loss="saturating", r1=0.0):
    r"""Where each player wants to go: minus the gradient of its own loss.

    .. math:: \dot\theta = \psi\, \sigma(\psi\theta), \qquad
              \dot\psi = -\theta\, \sigma(\psi\theta) - \gamma \psi

    with :math:`\gamma` = `r1`. The non-saturating loss has :math:`\dot\theta = \psi\, \sigma(-\psi\theta)` instead.
    Book: ``eq-dirac-gan``, ``eq-gan-r1``.

    Parameters
    ----------
    theta, psi : Tensor, any shape
    loss : {"saturating", "non_saturating"}
        Of the generator.
    r1 : float
        Weight of the R1 penalty, which is :math:`\tfrac12 \psi^2` here. Not negative.

    Returns
    -------
    theta_dot, psi_dot : Tensor

    Raises
    ------
    ValueError
        An unknown loss, or a weight that is negative or not finite.

    References
    ----------
    Mescheder, Geiger and Nowozin (2018), Which Training Methods for GANs Do Actually Converge?,
    sections 2 and 4. Their discriminator is minus ours.
    """
    if loss not in _LOSSES:
        raise ValueError(f"loss must be one of {', '.join(_LOSSES)}, got {loss!r}")
    if not (math.isfinite(r1) and r1 >= 0):
        raise ValueError(f"r1 must be finite and at least 0, got {r1}")
    d_fake = torch.sigmoid(psi * theta)
    theta_dot = psi * (d_fake if loss == "saturating" else 1 - d_fake)
    psi_dot = -theta * d_fake - r1 * psi
    return theta_dot, psi_dot


def simultaneous(theta=1.0, psi=1.0, *, lr=0.1, steps=500, loss="saturating", r1=0.0):
    r"""Trajectory of simultaneous gradient steps: both players move from the same position.

    Without a penalty it spirals out: for the saturating loss each step multiplies
    :math:`\theta^2 + \psi^2` by :math:`1 + \eta^2 \sigma(\psi\theta)^2`. Book: ``thm-dirac-gan``.

    Parameters
    ----------
    theta, psi : float
        Where to start.
    lr : float
        The learning rate η of both players, positive.
    steps : int
    loss, r1
        As in :func:`updates`.

    Returns
    -------
    Tensor, (steps + 1, 2), float64
        (theta, psi) at the start and after every step.

    Raises
    ------
    ValueError
        A start that is not finite, a learning rate that is not positive and finite, a negative number
        of steps, or what :func:`updates` refuses.
    """
    return _trajectory(theta, psi, lr, steps, loss, r1, alternate=False)


def alternating(theta=1.0, psi=1.0, *, lr=0.1, steps=500, loss="saturating", r1=0.0):
    """Trajectory of alternating gradient steps: D moves first, then G against the D that has moved.

    One entry for each pair of steps, as in Algorithm 1 with k = 1. Without a penalty it neither
    converges nor spirals out, to first order: it circles. Book: ``thm-dirac-gan``.

    Parameters, returns and errors are those of :func:`simultaneous`.
    """
    return _trajectory(theta, psi, lr, steps, loss, r1, alternate=True)


def _trajectory(theta, psi, lr, steps, loss, r1, alternate):
    position = torch.tensor([theta, psi], dtype=torch.float64)
    if not position.isfinite().all():
        raise ValueError(f"the start must be finite, got ({theta}, {psi})")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be positive and finite, got {lr}")
    if steps < 0:
        raise ValueError(f"steps must be at least 0, got {steps}")
    theta, psi = position
    path = [position]
    for _ in range(steps):
        theta_dot, psi_dot = updates(theta, psi, loss=loss, r1=r1)
        psi = psi + lr * psi_dot
        if alternate:
            theta_dot, _ = updates(theta, psi, loss=loss, r1=r1)
        theta = theta + lr * theta_dot
        path.append(torch.stack([theta, psi]))
    return torch.stack(path)
