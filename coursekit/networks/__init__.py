"""The networks of the course: ``nn.Module`` only, no losses, no noise of their own.

Images come in as floats in [0, 1] of shape (N, C, H, W); decoders give logits of that shape.
"""

from coursekit.networks.autoencoder import Autoencoder, build_autoencoder
from coursekit.networks.autoregressive import MADE, MaskedLinear, build_autoregressive
from coursekit.networks.classifier import ConvClassifier, MLPClassifier, build_classifier
from coursekit.networks.cyclegan import PatchDiscriminator, ResnetGenerator, receptive_field
from coursekit.networks.dcgan import DCGANDiscriminator, DCGANGenerator, normal_weights
from coursekit.networks.gan import (
    Maxout,
    MaxoutDiscriminator,
    MLPDiscriminator,
    MLPGenerator,
    build_gan,
    uniform_weights,
)
from coursekit.networks.layers import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, mlp
from coursekit.networks.monotone import MonotoneGenerator
from coursekit.networks.vae import VAE, build_vae

__all__ = [
    "MADE",
    "VAE",
    "Autoencoder",
    "ConvClassifier",
    "ConvDecoder",
    "ConvEncoder",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "MLPClassifier",
    "MLPDecoder",
    "MLPDiscriminator",
    "MLPEncoder",
    "MLPGenerator",
    "MaskedLinear",
    "Maxout",
    "MaxoutDiscriminator",
    "MonotoneGenerator",
    "PatchDiscriminator",
    "ResnetGenerator",
    "build_autoencoder",
    "build_autoregressive",
    "build_classifier",
    "build_gan",
    "build_vae",
    "mlp",
    "normal_weights",
    "receptive_field",
    "uniform_weights",
]
