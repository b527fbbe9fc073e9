"""The autoencoder."""

from torch import nn

from coursekit.networks.layers import _build_codec

__all__ = ["Autoencoder", "build_autoencoder"]

_CODE_ACTIVATIONS = {"identity": nn.Identity, "sigmoid": nn.Sigmoid, "relu": nn.ReLU}


class Autoencoder(nn.Module):
    """An encoder, a code and a decoder.

    Parameters
    ----------
    encoder : nn.Module
        (N, C, H, W) -> (N, K).
    decoder : nn.Module
        (N, K) -> logits (N, C, H, W).
    code_activation : {"identity", "sigmoid", "relu"}
        Applied to the encoder's output: sigmoid for rates in (0, 1), relu for codes with exact zeros.

    Raises
    ------
    ValueError
        An unknown activation, or an encoder whose ``out_features`` is not the decoder's ``latent_dim``.
    """

    def __init__(self, encoder, decoder, code_activation="identity"):
        super().__init__()
        if code_activation not in _CODE_ACTIVATIONS:
            raise ValueError(f"code_activation must be one of {', '.join(_CODE_ACTIVATIONS)}; got {code_activation!r}")
        features = getattr(encoder, "out_features", None)
        latent_dim = getattr(decoder, "latent_dim", features)
        if features not in (None, latent_dim):
            raise ValueError(f"the encoder gives {features} features, but the decoder takes {latent_dim}")
        self.encoder = encoder
        self.decoder = decoder
        self.code_activation = _CODE_ACTIVATIONS[code_activation]()

    def encode(self, x):
        """Codes (N, K) of images (N, C, H, W)."""
        return self.code_activation(self.encoder(x))

    def decode(self, code):
        """Logits (N, C, H, W) of codes (N, K)."""
        return self.decoder(code)

    def forward(self, x, code_mask=None):
        """Logits (N, C, H, W) and code (N, K).

        ``code_mask`` (N, K), if given, multiplies the code on its way to the decoder (the stochastic
        bottleneck); the code returned is the whole one.
        """
        code = self.encode(x)
        kept = code if code_mask is None else code * code_mask
        return self.decode(kept), code


def build_autoencoder(
    image_shape, latent_dim, *, architecture="mlp", hidden=(400,), channels=(16, 32), code_activation="identity"
):
    """An autoencoder whose decoder mirrors its encoder.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    latent_dim : int
        Size K of the code.
    architecture : {"mlp", "conv"}
    hidden : sequence of int
        Hidden sizes of the MLP; ``()`` makes both halves linear.
    channels : sequence of int
        Channels of the convolutions; both sides of the image divide by ``2 ** len(channels)``.
    code_activation : {"identity", "sigmoid", "relu"}

    Returns
    -------
    Autoencoder

    Raises
    ------
    ValueError
        A size, shape or name that does not fit.
    """
    return Autoencoder(
        *_build_codec(image_shape, latent_dim, latent_dim, architecture, hidden, channels), code_activation
    )
