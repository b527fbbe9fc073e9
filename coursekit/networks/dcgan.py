"""The networks of DCGAN (Radford, Metz and Chintala, 2015), with each of its guidelines as an option."""

import math

import torch
from torch import nn
from torch.nn import functional

from coursekit.errors import require_choice
from coursekit.networks.convolutions import Conv2d, ConvTranspose2d
from coursekit.networks.gan import OUTPUTS
from coursekit.networks.layers import UPSAMPLINGS, _image_shape, _positive_ints

__all__ = ["DCGANDiscriminator", "DCGANGenerator", "normal_weights"]

NORMS = ("batch", "none", "everywhere")
ACTIVATIONS = ("relu", "leaky_relu")
DOWNSAMPLINGS = ("strided", "pooling")
SLOPE = 0.2  # of the leaky ReLUs


class DCGANGenerator(nn.Module):
    """Generator of transposed convolutions, (N, noise_dim) -> (N, C, H, W).

    A linear map to the smallest maps (sides of 4 to 7), then doublings; the channels halve each time, down to
    `width` before the last.

    Parameters
    ----------
    noise_dim : int
        K.
    image_shape : tuple of int
        (C, H, W); the sides as `halvings` takes them.
    width : int
        Channels of the largest hidden maps.
    kernel_size : {4, 5}
    upsampling : {"transposed", "nearest"}
        Transposed convolutions of stride 2; or copy each pixel four times, then convolve.
    norm : {"batch", "none", "everywhere"}
        Batch normalisation of every hidden layer; of none; or of the output as well.
    activation : {"relu", "leaky_relu"}
    output : {"tanh", "sigmoid", "linear"}
        For samples in [-1, 1], in [0, 1], or anywhere.
    """

    def __init__(
        self,
        noise_dim,
        image_shape,
        width=64,
        *,
        kernel_size=4,
        upsampling="transposed",
        norm="batch",
        activation="relu",
        output="tanh",
    ):
        super().__init__()
        channels, height, side = _image_shape(image_shape)
        noise_dim, width = _positive_ints("noise_dim and width", (noise_dim, width))
        require_choice("upsampling", upsampling, UPSAMPLINGS)
        require_choice("output", output, OUTPUTS)
        _require_common(kernel_size, norm, activation)
        doublings = halvings((height, side))
        widths = [width * 2**i for i in reversed(range(doublings))]
        first = (widths[0], height >> doublings, side >> doublings)

        layers = [nn.Linear(noise_dim, math.prod(first), bias=norm == "none"), nn.Unflatten(1, first)]
        layers += [*_norm(norm, first[0]), _activation(activation)]
        for c_in, c_out in zip(widths, widths[1:]):
            layers += [*_up(c_in, c_out, kernel_size, upsampling, bias=norm == "none")]
            layers += [*_norm(norm, c_out), _activation(activation)]
        layers += _up(width, channels, kernel_size, upsampling, bias=norm != "everywhere")
        if norm == "everywhere":
            layers.append(nn.BatchNorm2d(channels))
        self.net = nn.Sequential(*layers, OUTPUTS[output]())

    def forward(self, z):
        return self.net(z)


class DCGANDiscriminator(nn.Module):
    """Discriminator of strided convolutions, (N, C, H, W) -> logits (N,), the generator's mirror image.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W); the sides as `halvings` takes them.
    width : int
        Channels of the largest hidden maps; they double at each halving.
    kernel_size : {4, 5}
    downsampling : {"strided", "pooling"}
        Convolutions of stride 2; or of stride 1, followed by the maximum of each 2x2.
    norm : {"batch", "none", "everywhere"}
        Batch normalisation of every layer but the first; of none; or of all.
    activation : {"leaky_relu", "relu"}
    """

    def __init__(
        self, image_shape, width=64, *, kernel_size=4, downsampling="strided", norm="batch", activation="leaky_relu"
    ):
        super().__init__()
        channels, height, side = _image_shape(image_shape)
        (width,) = _positive_ints("width", (width,))
        require_choice("downsampling", downsampling, DOWNSAMPLINGS)
        _require_common(kernel_size, norm, activation)
        times = halvings((height, side))
        widths = [channels, *(width * 2**i for i in range(times))]
        self.blocks = nn.ModuleList()
        for number, (c_in, c_out) in enumerate(zip(widths, widths[1:])):
            normed = norm == "everywhere" or (norm == "batch" and number > 0)
            block = [*_down(c_in, c_out, kernel_size, downsampling, bias=not normed)]
            if normed:
                block.append(nn.BatchNorm2d(c_out))
            self.blocks.append(nn.Sequential(*block, _activation(activation)))
        self.last = nn.Linear(widths[-1] * (height >> times) * (side >> times), 1)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.last(x.flatten(1)).squeeze(1)

    def features(self, x):
        """Every convolution's activations, their maximum over a 4x4 grid, side by side: (N, F).

        References
        ----------
        Radford, Metz and Chintala (2015), section 5.1.
        """
        pooled = []
        for block in self.blocks:
            x = block(x)
            pooled.append(functional.adaptive_max_pool2d(x, 4).flatten(1))
        return torch.cat(pooled, 1)


def halvings(sides):
    """How often both sides can be halved before one is shorter than 8 pixels: at least once.

    Raises
    ------
    ValueError
        Unless each side is 4, 5, 6 or 7 times that power of two (28, 32 and 64 are).
    """
    times = 0
    while min(sides) >> times >= 8:
        times += 1
    smallest = [side >> times for side in sides]
    if times == 0 or any(side << times != whole or side > 7 for side, whole in zip(smallest, sides)):
        raise ValueError(
            f"the image's sides must be 4 to 7 times one power of two, such as 28, 32 or 64; got {sides[0]} x {sides[1]}"
        )
    return times


def normal_weights(module, std=0.02):
    """Draw all weights from N(0, std²), those of normalisation layers from N(1, std²); biases become 0.

    References
    ----------
    Radford, Metz and Chintala (2015), section 4, for the weights.
    """
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(part.weight, 0, std)
        elif getattr(part, "weight", None) is not None and not list(part.children()):
            nn.init.normal_(part.weight, 1, std)
        if getattr(part, "bias", None) is not None and not list(part.children()):
            nn.init.zeros_(part.bias)
    return module


def _up(c_in, c_out, kernel_size, upsampling, bias):
    if upsampling == "nearest":
        return [nn.Upsample(scale_factor=2), *_same_size(c_in, c_out, kernel_size, bias)]
    padding, extra = {4: (1, 0), 5: (2, 1)}[kernel_size]
    return [ConvTranspose2d(c_in, c_out, kernel_size, 2, padding, output_padding=extra, bias=bias)]


def _down(c_in, c_out, kernel_size, downsampling, bias):
    if downsampling == "pooling":
        return [*_same_size(c_in, c_out, kernel_size, bias), nn.MaxPool2d(2)]
    return [Conv2d(c_in, c_out, kernel_size, 2, {4: 1, 5: 2}[kernel_size], bias=bias)]


def _same_size(c_in, c_out, kernel_size, bias):
    """A convolution of stride 1 that keeps the size; one of an even kernel needs a row more on one side."""
    if kernel_size % 2:
        return [Conv2d(c_in, c_out, kernel_size, 1, kernel_size // 2, bias=bias)]
    return [nn.ZeroPad2d((1, 2, 1, 2)), Conv2d(c_in, c_out, kernel_size, 1, bias=bias)]


def _norm(norm, channels):
    return [] if norm == "none" else [nn.BatchNorm2d(channels)]


def _activation(name):
    return nn.ReLU(inplace=True) if name == "relu" else nn.LeakyReLU(SLOPE, inplace=True)


def _require_common(kernel_size, norm, activation):
    require_choice("kernel_size", kernel_size, (4, 5))
    require_choice("norm", norm, NORMS)
    require_choice("activation", activation, ACTIVATIONS)
