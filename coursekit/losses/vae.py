"""The variational autoencoder's objective, term by term."""

import math

import torch

__all__ = [
    "gaussian_log_density",
    "importance_weighted_bound",
    "kl_standard_normal",
    "negative_elbo",
    "reparameterise",
]


def reparameterise(mu, log_var, eps):
    r"""A sample of N(mu, sigma²) as a differentiable function of its parameters.

    .. math:: z = \mu + \sigma \odot \epsilon, \qquad \sigma = e^{\frac12 \log \sigma^2},
              \qquad \epsilon \sim N(0, I)

    Book: ``eq-reparameterisation``.

    Parameters
    ----------
    mu, log_var : Tensor, shape (N, K)
    eps : Tensor, shape (N, K), or (k, N, K) for k samples of each
        Standard normal noise, drawn by the caller.

    Returns
    -------
    Tensor, shape of ``eps``

    References
    ----------
    Kingma and Welling (2013), Auto-Encoding Variational Bayes, section 2.4 and eq. (10).
    """
    sigma = torch.exp(0.5 * log_var)
    return mu + sigma * eps


def kl_standard_normal(mu, log_var):
    r"""KL divergence of a diagonal Gaussian from the standard normal, KL(N(mu, sigma²) ‖ N(0, I)).

    .. math:: \mathrm{KL} = -\frac12 \sum_{k=1}^{K} \bigl( 1 + \log \sigma_k^2 - \mu_k^2 - \sigma_k^2 \bigr)

    Minimised; at least 0, and 0 only where mu = 0 and log_var = 0. Summed over the K dimensions,
    not averaged over the batch; nats. Book: ``eq-gaussian-kl``.

    Parameters
    ----------
    mu, log_var : Tensor, shape (..., K)

    Returns
    -------
    Tensor, shape (...)

    Notes
    -----
    The paper's appendix gives -KL, which is maximised; this is +KL.

    References
    ----------
    Kingma and Welling (2013), Auto-Encoding Variational Bayes, eq. (10) and appendix B.
    """
    var = log_var.exp()
    return -0.5 * (1 + log_var - mu.square() - var).sum(-1)


def negative_elbo(reconstruction_nll, kl, beta=1.0):
    r"""The loss of a variational autoencoder: minus the evidence lower bound.

    .. math:: -\mathrm{ELBO} = \underbrace{-\log p(x \mid z)}_{\text{reconstruction}}
              + \beta \, \mathrm{KL}\bigl( q(z \mid x) \,\Vert\, N(0, I) \bigr), \qquad z \sim q(z \mid x)

    Minimised. Summed over dimensions, not averaged over the batch; nats. With one z per sample the
    first term is a one-sample estimate of its expectation. Book: ``eq-vae-elbo``.

    Parameters
    ----------
    reconstruction_nll : Tensor, shape (N,)
        ``bernoulli_nll`` or ``gaussian_nll``, summed over pixels.
    kl : Tensor, shape (N,)
        KL of q(z | x) from the prior, as ``kl_standard_normal`` gives it.
    beta : float
        Weight of the KL. Only with 1 is the result a bound: -ELBO >= -log p(x) in expectation.

    Returns
    -------
    Tensor, shape (N,)

    References
    ----------
    Kingma and Welling (2013), Auto-Encoding Variational Bayes, eq. (10), which is maximised.
    Higgins et al. (2017), beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
    Framework, eq. (4), for beta.
    """
    return reconstruction_nll + beta * kl


def gaussian_log_density(z, mu, log_var):
    r"""Log-density of a diagonal Gaussian, log N(z; mu, sigma²).

    .. math:: \log N(z; \mu, \sigma^2) = -\frac12 \sum_{k=1}^{K} \Bigl[ \log 2\pi + \log \sigma_k^2
              + \frac{(z_k - \mu_k)^2}{\sigma_k^2} \Bigr]

    Summed over the last dimension; nats. The minus of ``eq-gaussian-nll`` with one variance per
    dimension; it gives log q(z | x) and, with mu = log_var = 0, log p(z) in ``eq-iwae``.

    Parameters
    ----------
    z, mu, log_var : Tensor, shapes that broadcast to (..., K)

    Returns
    -------
    Tensor, shape (...)

    References
    ----------
    Kingma and Welling (2013), Auto-Encoding Variational Bayes, appendix C.2, eq. (12).
    """
    distance = (z - mu).square() * torch.exp(-log_var)
    return -0.5 * (math.log(2 * math.pi) + log_var + distance).sum(-1)


def importance_weighted_bound(log_w):
    r"""Importance-weighted lower bound on log p(x) from k samples: the log of the mean weight.

    .. math:: L_k = \log \frac1k \sum_{i=1}^{k} w_i, \qquad
              \log w_i = \log p(x, z_i) - \log q(z_i \mid x), \qquad z_i \sim q(z \mid x)

    Maximised. A log-mean-exp over the k samples, not averaged over the batch; nats. In expectation
    L_1 is the ELBO, and L_k never decreases in k nor exceeds log p(x). Book: ``eq-iwae``.

    Parameters
    ----------
    log_w : Tensor, shape (k, N)
        Log importance weights.

    Returns
    -------
    Tensor, shape (N,)

    References
    ----------
    Burda, Grosse and Salakhutdinov (2016), Importance Weighted Autoencoders, section 3
    (the bound L_k, and theorem 1).
    """
    log_sum = torch.logsumexp(log_w, dim=0)
    return log_sum - math.log(len(log_w))
