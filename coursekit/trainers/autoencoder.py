"""Autoencoders: plain, denoising, sparse, contractive and with a stochastic bottleneck, in any mixture."""

from dataclasses import dataclass

import torch

from coursekit.losses.autoencoder import contractive_penalty, kl_sparsity, l1_sparsity
from coursekit.losses.reconstruction import bernoulli_nll, squared_error
from coursekit.networks import build_autoencoder
from coursekit.trainers.base import Trainer
from coursekit.trainers.config import TrainerConfig, require_choice


@dataclass(frozen=True)
class AutoencoderConfig(TrainerConfig):
    """Settings of `AutoencoderTrainer`. A weight of 0 leaves its term out.

    Attributes
    ----------
    latent_dim : int
        K, the size of the code.
    architecture : {"mlp", "conv"}
    hidden, channels : tuple of int
        Widths of the MLP (none at all makes the autoencoder linear), channels of the convolutions.
    code_activation : {"identity", "sigmoid", "relu"}
    reconstruction : {"bernoulli", "gaussian"}
        Cross-entropy on logits, or squared error on the decoder's output as it is.
    noise_std, mask_rate : float
        Denoising: Gaussian noise added to each pixel, share of pixels set to 0 (Vincent et al., 2010).
    sparsity_kl_weight, target_rate : float
        KL of the mean activations to the target rate; needs a sigmoid code.
    sparsity_l1_weight : float
    contractive_weight : float
        Weight of the squared Frobenius norm of the encoder's Jacobian (Rifai et al., 2011).
    bottleneck_dropout : (float, float) or None
        Stochastic bottleneck: dropout rates of the first and last code, linear between, so that codes
        sort by importance (Koike-Akino & Wang, 2020).
    """

    latent_dim: int = 32
    architecture: str = "mlp"
    hidden: tuple[int, ...] = (400,)
    channels: tuple[int, ...] = (16, 32)
    code_activation: str = "identity"
    reconstruction: str = "bernoulli"
    noise_std: float = 0.0
    mask_rate: float = 0.0
    sparsity_kl_weight: float = 0.0
    target_rate: float = 0.05
    sparsity_l1_weight: float = 0.0
    contractive_weight: float = 0.0
    bottleneck_dropout: tuple[float, float] | None = None

    def __post_init__(self):
        super().__post_init__()
        require_choice("reconstruction", self.reconstruction, ("bernoulli", "gaussian"))
        for name in ("noise_std", "sparsity_kl_weight", "sparsity_l1_weight", "contractive_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.mask_rate < 1:
            raise ValueError(f"mask_rate must lie in [0, 1), got {self.mask_rate}")
        if self.sparsity_kl_weight and self.code_activation != "sigmoid":
            raise ValueError("sparsity_kl_weight compares rates in (0, 1): it needs code_activation='sigmoid'")
        if self.bottleneck_dropout is not None and not all(0 <= rate < 1 for rate in self.bottleneck_dropout):
            raise ValueError(f"bottleneck_dropout rates must lie in [0, 1), got {self.bottleneck_dropout}")


class AutoencoderTrainer(Trainer):
    """Trains an autoencoder; see the chapter "Autoencoders".

    The terms in ``history`` are means over the batch: ``reconstruction`` (summed over pixels), the
    penalties in use before their weights, and ``loss``, their weighted sum, which is minimised.
    ``evaluate`` reports the reconstruction of clean images through the whole code.
    """

    Config = AutoencoderConfig

    def build_networks(self, spec):
        c = self.config
        network = build_autoencoder(
            spec.image_shape,
            c.latent_dim,
            architecture=c.architecture,
            hidden=c.hidden,
            channels=c.channels,
            code_activation=c.code_activation,
        )
        return {"network": network}

    def training_step(self, batch):
        terms = self.compute_loss(
            self.wrapped["network"], batch, corrupted=self._corrupt(batch), code_mask=self._code_mask(batch)
        )
        self.descend("network", terms["loss"], batch)
        return terms

    def compute_loss(self, network, batch, corrupted=None, code_mask=None):
        c = self.config
        decoded, code = network(batch.x if corrupted is None else corrupted, code_mask)
        terms = {"reconstruction": self._error(decoded, batch.x).mean()}
        loss = terms["reconstruction"]
        if c.sparsity_kl_weight:
            terms["sparsity_kl"] = kl_sparsity(self.batch_mean(code, batch), c.target_rate)
            loss = loss + c.sparsity_kl_weight * terms["sparsity_kl"]
        if c.sparsity_l1_weight:
            terms["sparsity_l1"] = l1_sparsity(code).mean()
            loss = loss + c.sparsity_l1_weight * terms["sparsity_l1"]
        if c.contractive_weight:
            encoder = getattr(network, "module", network)
            terms["contractive"] = contractive_penalty(encoder.encode, batch.x).mean()
            loss = loss + c.contractive_weight * terms["contractive"]
        return {"loss": loss, **terms}

    def encode(self, images):
        """Codes, (N, K), of `images` (N, C, H, W)."""
        return self._predict(lambda network, x: network.encode(x), images)

    def decode(self, code):
        """Images, (N, C, H, W) in [0, 1], of `code` (N, K)."""
        return self._in_batches(lambda network, part: self._image(network.decode(part)), code.float())

    def reconstruct(self, images, keep=None):
        """Images, (N, C, H, W) in [0, 1], through the first `keep` codes (default: all)."""
        code = self.encode(images)
        if keep is not None:
            if not 0 <= keep <= code.shape[1]:
                raise ValueError(f"keep must lie between 0 and {code.shape[1]}, got {keep}")
            code[:, keep:] = 0
        return self.decode(code)

    def _corrupt(self, batch):
        c = self.config
        if not c.noise_std and not c.mask_rate:
            return None
        shape = batch.x.shape[1:]
        corrupted = batch.x
        if c.noise_std:
            corrupted = corrupted + c.noise_std * self.noise(batch, *shape)
        if c.mask_rate:
            corrupted = corrupted * (self.noise(batch, *shape, kind="uniform") >= c.mask_rate)
        return corrupted

    def _code_mask(self, batch):
        if self.config.bottleneck_dropout is None:
            return None
        rates = torch.linspace(*self.config.bottleneck_dropout, self.config.latent_dim, device=batch.x.device)
        # Not rescaled by 1 / (1 - rate): at test time codes are kept or cut, as here.
        return (self.noise(batch, self.config.latent_dim, kind="uniform") >= rates).float()

    def _error(self, decoded, x):
        return bernoulli_nll(decoded, x) if self.config.reconstruction == "bernoulli" else squared_error(decoded, x)

    def _image(self, decoded):
        return decoded.sigmoid() if self.config.reconstruction == "bernoulli" else decoded.clamp(0, 1)
