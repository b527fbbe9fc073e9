"""Encoders and decoders between images (N, C, H, W) and vectors (N, K)."""

import itertools
import math
from numbers import Integral

import torch
from torch import nn

__all__ = ["ConvDecoder", "ConvEncoder", "MLPDecoder", "MLPEncoder", "mlp"]

UPSAMPLINGS = ("transposed", "nearest")


def mlp(sizes, activation=nn.ReLU):
    """Linear layers of the given sizes, with an activation between any two of them.

    Parameters
    ----------
    sizes : sequence of int
        Input size, hidden sizes, output size: at least two.
    activation : callable
        Makes the module put between layers; none follows the last.

    Returns
    -------
    nn.Sequential, (N, sizes[0]) -> (N, sizes[-1])

    Raises
    ------
    ValueError
        Fewer than two sizes, or one that is not a positive whole number.
    """
    sizes = _positive_ints("sizes", sizes)
    if len(sizes) < 2:
        raise ValueError(f"sizes must name at least an input and an output size, got {sizes}")
    first, *rest = (nn.Linear(n_in, n_out) for n_in, n_out in itertools.pairwise(sizes))
    return nn.Sequential(first, *(module for linear in rest for module in (activation(), linear)))


class MLPEncoder(nn.Module):
    """Fully connected encoder, (N, C, H, W) -> (N, out_features).

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    hidden : sequence of int
        Hidden sizes; ``()`` makes the encoder linear.
    out_features : int
    """

    def __init__(self, image_shape, hidden, out_features):
        super().__init__()
        self.image_shape = _image_shape(image_shape)
        self.net = mlp([math.prod(self.image_shape), *hidden, out_features])
        self.out_features = out_features

    def forward(self, x):
        return self.net(x.flatten(1))


class MLPDecoder(nn.Module):
    """Fully connected decoder, (N, latent_dim) -> logits (N, C, H, W).

    Parameters
    ----------
    latent_dim : int
    hidden : sequence of int
        Hidden sizes from the latent to the image: the encoder's, reversed.
    image_shape : tuple of int
        (C, H, W).
    """

    def __init__(self, latent_dim, hidden, image_shape):
        super().__init__()
        self.image_shape = _image_shape(image_shape)
        self.net = mlp([latent_dim, *hidden, math.prod(self.image_shape)])
        self.latent_dim = latent_dim

    def forward(self, z):
        return self.net(z).unflatten(1, self.image_shape)


class ConvEncoder(nn.Module):
    """Convolutional encoder, (N, C, H, W) -> (N, out_features).

    Each layer has 4x4 kernels and stride 2: it halves both sides. A linear layer ends it.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W); H and W divide by ``2 ** len(channels)``.
    channels : sequence of int
        Channels after each layer.
    out_features : int

    Raises
    ------
    ValueError
        The image does not divide, or a size is not a positive whole number.
    """

    def __init__(self, image_shape, channels, out_features):
        super().__init__()
        self.image_shape = _image_shape(image_shape)
        self.out_features = _positive_ints("out_features", [out_features])[0]
        channels = _positive_ints("channels", channels)
        maps = _smallest_maps(self.image_shape, channels)
        layers = []
        for c_in, c_out in itertools.pairwise([self.image_shape[0], *channels]):
            layers += [nn.Conv2d(c_in, c_out, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(math.prod(maps), self.out_features))

    def forward(self, x):
        return self.net(x)


class ConvDecoder(nn.Module):
    """Convolutional decoder, (N, latent_dim) -> logits (N, C, H, W): ``ConvEncoder`` mirrored.

    Parameters
    ----------
    latent_dim : int
    channels : sequence of int
        In the encoder's order, from the image inwards; used in reverse.
    image_shape : tuple of int
        (C, H, W); H and W divide by ``2 ** len(channels)``.

    Raises
    ------
    ValueError
        The image does not divide, or a size is not a positive whole number.
    """

    def __init__(self, latent_dim, channels, image_shape):
        super().__init__()
        self.image_shape = _image_shape(image_shape)
        self.latent_dim = _positive_ints("latent_dim", [latent_dim])[0]
        channels = _positive_ints("channels", channels)
        maps = _smallest_maps(self.image_shape, channels)
        layers = [nn.Linear(self.latent_dim, math.prod(maps)), nn.Unflatten(1, maps)]
        for c_in, c_out in itertools.pairwise([*reversed(channels), self.image_shape[0]]):
            layers += [nn.ReLU(), nn.ConvTranspose2d(c_in, c_out, kernel_size=4, stride=2, padding=1)]
        self.net = nn.Sequential(*layers)

    def forward(self, z):
        return self.net(z)


def _positive_ints(name, values):
    values = tuple(values)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} must be positive whole numbers, got {value!r}")
    return tuple(int(value) for value in values)


def _image_shape(image_shape):
    image_shape = _positive_ints("image_shape (C, H, W)", image_shape)
    if len(image_shape) != 3:
        raise ValueError(f"image_shape must be (C, H, W), got {image_shape}")
    return image_shape


def _smallest_maps(image_shape, channels):
    """Shape (C, H, W) after the last halving."""
    if not channels:
        raise ValueError("channels must name at least one layer")
    _, height, width = image_shape
    factor = 2 ** len(channels)
    if height % factor or width % factor:
        raise ValueError(
            f"{len(channels)} convolutions halve the image {len(channels)} times, so its sides must divide by "
            f"{factor}; got {height} x {width}. Use fewer channels or architecture='mlp'."
        )
    return channels[-1], height // factor, width // factor


def _build_codec(image_shape, code_features, latent_dim, architecture, hidden, channels):
    """An encoder with ``code_features`` outputs and the decoder that mirrors it."""
    if architecture == "mlp":
        hidden = tuple(hidden)
        return MLPEncoder(image_shape, hidden, code_features), MLPDecoder(latent_dim, hidden[::-1], image_shape)
    if architecture == "conv":
        return ConvEncoder(image_shape, channels, code_features), ConvDecoder(latent_dim, channels, image_shape)
    raise _unknown_architecture(architecture)


def _unknown_architecture(architecture):
    return ValueError(f"architecture must be 'mlp' or 'conv', got {architecture!r}")


class _ReflectionPad2d(nn.ReflectionPad2d):
    """As in torch; with ``torch.use_deterministic_algorithms(True)`` built from parts of `x`, since torch has no
    deterministic gradient of its own one on CUDA."""

    def forward(self, x):
        return _reflected(x, self.padding) if torch.are_deterministic_algorithms_enabled() else super().forward(x)


def _reflected(x, padding):
    left, right, top, bottom = padding
    x = torch.cat([x[..., 1 : left + 1].flip(-1), x, x[..., -right - 1 : -1].flip(-1)], -1)
    return torch.cat([x[..., 1 : top + 1, :].flip(-2), x, x[..., -bottom - 1 : -1, :].flip(-2)], -2)


class _InstanceNorm2d(nn.InstanceNorm2d):
    """As in torch, without weights; one image in channels-last order keeps that order, and saves two copies."""

    def forward(self, x):
        if x.shape[0] == 1 and x.is_contiguous(memory_format=torch.channels_last):
            return nn.functional.batch_norm(x, None, None, training=True, eps=self.eps)
        return super().forward(x)
