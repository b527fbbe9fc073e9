"""The variational autoencoder."""

from torch import nn

from coursekit.losses.vae import reparameterise
from coursekit.networks.layers import _build_codec, _positive_ints

__all__ = ["VAE", "build_vae"]


class VAE(nn.Module):
    """Recognition network q(z | x) = N(mu, sigma²) and decoder p(x | z).

    Parameters
    ----------
    encoder : nn.Module
        (N, C, H, W) -> (N, 2K): mu, then log_var.
    decoder : nn.Module
        (N, K) -> logits (N, C, H, W).

    Raises
    ------
    ValueError
        An encoder whose ``out_features`` is not twice the decoder's ``latent_dim``.
    """

    def __init__(self, encoder, decoder):
        super().__init__()
        features = getattr(encoder, "out_features", None)
        latent_dim = getattr(decoder, "latent_dim", None)
        if None not in (features, latent_dim) and features != 2 * latent_dim:
            raise ValueError(
                f"the encoder must give 2 x {latent_dim} features (mu and log_var) for a decoder of "
                f"{latent_dim} latents, but gives {features}"
            )
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x):
        """``mu`` and ``log_var``, both (N, K), of images (N, C, H, W)."""
        mu, log_var = self.encoder(x).chunk(2, dim=1)
        return mu, log_var

    def decode(self, z):
        """Logits (N, C, H, W) of latents (N, K)."""
        return self.decoder(z)

    def forward(self, x, eps):
        """Logits, mu and log_var; ``eps`` (N, K) is standard normal noise drawn by the caller."""
        mu, log_var = self.encode(x)
        z = reparameterise(mu, log_var, eps)
        return self.decode(z), mu, log_var


def build_vae(image_shape, latent_dim, *, architecture="mlp", hidden=(400,), channels=(16, 32)):
    """A variational autoencoder whose decoder mirrors its encoder.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    latent_dim : int
        Size K of z; the encoder has 2K outputs.
    architecture : {"mlp", "conv"}
    hidden : sequence of int
        Hidden sizes of the MLP.
    channels : sequence of int
        Channels of the convolutions; both sides of the image divide by ``2 ** len(channels)``.

    Returns
    -------
    VAE

    Raises
    ------
    ValueError
        A size, shape or name that does not fit.
    """
    _positive_ints("latent_dim", [latent_dim])
    return VAE(*_build_codec(image_shape, 2 * latent_dim, latent_dim, architecture, hidden, channels))
