"""Variational autoencoder (Kingma & Welling, 2013)."""

from dataclasses import dataclass

import torch

from coursekit.losses.reconstruction import bernoulli_nll, gaussian_nll
from coursekit.losses.vae import kl_standard_normal, negative_elbo
from coursekit.networks import build_vae
from coursekit.trainers.base import SAMPLING, Trainer
from coursekit.trainers.config import TrainerConfig, require_choice
from coursekit.trainers.runtime import stream_seed


@dataclass(frozen=True)
class VAEConfig(TrainerConfig):
    """Settings of `VAETrainer`.

    Attributes
    ----------
    latent_dim : int
        K. The paper shows 2, 5, 10 and 20 (its Figure 5).
    architecture : {"mlp", "conv"}
    hidden : tuple of int
        Widths of the MLP. The paper takes one layer of 500 for MNIST, the PyTorch example 400.
    channels : tuple of int
        Channels of the convolutions, each of which halves the sides.
    likelihood : {"bernoulli", "gaussian"}
        p(x|z). Bernoulli is a density only on images in {0, 1}.
    sigma : float
        Standard deviation of the Gaussian likelihood, in units of the pixel range [0, 1].
    beta : float
        Weight of the KL term; 1 gives the ELBO.
    """

    latent_dim: int = 20
    architecture: str = "mlp"
    hidden: tuple[int, ...] = (400,)
    channels: tuple[int, ...] = (16, 32)
    likelihood: str = "bernoulli"
    sigma: float = 0.1
    beta: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        require_choice("likelihood", self.likelihood, ("bernoulli", "gaussian"))
        if self.sigma <= 0 or self.beta < 0:
            raise ValueError(f"sigma must be positive and beta not negative, got {self.sigma} and {self.beta}")


class VAETrainer(Trainer):
    """Trains a VAE; see the chapter "Variational autoencoders" (eq-vae-elbo).

    The terms in ``history`` are means over the batch, in nats an image: ``reconstruction``
    (-log p(x|z)), ``kl`` and ``loss`` = reconstruction + beta * kl, which is minimised.

    References
    ----------
    Kingma & Welling, "Auto-Encoding Variational Bayes", 2013, arXiv:1312.6114, Algorithm 1.
    """

    Config = VAEConfig

    def build_networks(self, spec):
        c = self.config
        return {
            "network": build_vae(
                spec.image_shape, c.latent_dim, architecture=c.architecture, hidden=c.hidden, channels=c.channels
            )
        }

    def training_step(self, batch):
        terms = self.compute_loss(self.wrapped["network"], batch)
        self.descend("network", terms["loss"], batch)
        return terms

    def compute_loss(self, network, batch):
        eps = self.noise(batch, self.config.latent_dim)
        decoded, mu, log_var = network(batch.x, eps)
        reconstruction = self._nll(decoded, batch.x)
        kl = kl_standard_normal(mu, log_var)
        loss = negative_elbo(reconstruction, kl, beta=self.config.beta)
        return {"loss": loss.mean(), "reconstruction": reconstruction.mean(), "kl": kl.mean()}

    def encode(self, images):
        """Mean and log-variance of q(z|x), each (N, K), for `images` (N, C, H, W)."""
        return self._predict(lambda network, x: network.encode(x), images)

    def decode(self, z):
        """Mean of p(x|z), (N, C, H, W) in [0, 1], for `z` (N, K)."""
        return self._in_batches(lambda network, part: self._mean(network.decode(part)), z.float())

    def reconstruct(self, images):
        """The decoded mean code of each image, (N, C, H, W) in [0, 1]."""
        return self._predict(lambda network, x: self._mean(network.decode(network.encode(x)[0])), images)

    def sample(self, n, seed=0):
        """`n` images, (n, C, H, W) in [0, 1]: means of p(x|z) with z from the prior N(0, I)."""
        self._need_fit()
        generator = torch.Generator().manual_seed(stream_seed(seed, SAMPLING, 0))
        return self.decode(torch.randn(n, self.config.latent_dim, generator=generator))

    def _nll(self, decoded, x):
        if self.config.likelihood == "bernoulli":
            return bernoulli_nll(decoded, x)
        return gaussian_nll(decoded, x, sigma=self.config.sigma)

    def _mean(self, decoded):
        return decoded.sigmoid() if self.config.likelihood == "bernoulli" else decoded.clamp(0, 1)
