"""Which latent dimensions of a VAE carry information (book page "VAE")."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def active_units(mu: Tensor, threshold: float = 0.01) -> int:
    """Count the latent dimensions whose posterior mean moves with the data (`eq-active-units`).

    A dimension k is active when the variance of mu_k(x) over the data exceeds `threshold`.

    Parameters
    ----------
    mu : Tensor (N, K)
        Posterior means of N data points.
    threshold : float
        In the units of the latent squared; the prior's variance is 1.

    Returns
    -------
    int
        Between 0 and K.

    Raises
    ------
    ValueError
        If `mu` is not (N, K) with N >= 2.

    References
    ----------
    Burda, Grosse and Salakhutdinov (2016), "Importance Weighted Autoencoders", section 5.
    """
    if mu.ndim != 2 or len(mu) < 2:
        raise ValueError(f"mu must be (N, K) with N >= 2, not {tuple(mu.shape)}")
    return int((mu.var(dim=0) > threshold).sum())


def kl_per_dimension(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(q(z_k | x) || N(0, 1)) for each latent dimension, averaged over the data, in nats (`eq-gaussian-kl`).

    The sum over k is the average of `coursekit.losses.vae.kl_standard_normal`. A value near 0 says that the
    decoder learns nothing from that dimension.

    Parameters
    ----------
    mu, log_var : Tensor (N, K)
        Mean and log variance of q(z | x).

    Returns
    -------
    Tensor (K,)

    Raises
    ------
    ValueError
        If the two shapes differ or are not (N, K).
    """
    if mu.ndim != 2 or mu.shape != log_var.shape:
        raise ValueError(
            f"mu and log_var must share one shape (N, K), not {tuple(mu.shape)} and {tuple(log_var.shape)}"
        )
    kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var)
    return kl.mean(dim=0)
