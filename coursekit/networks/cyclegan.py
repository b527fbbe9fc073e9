"""The networks of CycleGAN (Zhu, Park, Isola and Efros, 2017)."""

from torch import nn

from coursekit.errors import require_choice
from coursekit.networks.convolutions import Conv2d, ConvTranspose2d
from coursekit.networks.layers import UPSAMPLINGS, _image_shape, _InstanceNorm2d, _positive_ints, _ReflectionPad2d

__all__ = ["PatchDiscriminator", "ResnetGenerator", "receptive_field"]

NORMS = ("instance", "batch", "group", "none")
SLOPE = 0.2


class ResnetGenerator(nn.Module):
    """Translator of images, (N, C, H, W) in [-1, 1] to the same shape and range.

    Two halvings, residual blocks, two doublings: c7s1-w, d2w, d4w, R4w times `blocks`, u2w, uw, c7s1-C in the
    paper's notation, with w = `width`.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W); the sides multiples of 4, at least 8.
    width : int
        Channels at full size.
    blocks : int
        The paper: 6 for images of 128 pixels, 9 for 256 and larger.
    norm : {"instance", "batch", "group", "none"}
    upsampling : {"transposed", "nearest"}
        Transposed convolutions of stride 2 as in the paper; or copy each pixel four times, then convolve.

    References
    ----------
    Zhu et al. (2017), appendix 7.2; Johnson, Alahi and Fei-Fei (2016) for the design.
    """

    def __init__(self, image_shape, width=64, blocks=9, *, norm="instance", upsampling="transposed"):
        super().__init__()
        channels, height, side = _image_shape(image_shape)
        width, blocks = _positive_ints("width and blocks", (width, blocks))
        require_choice("norm", norm, NORMS)
        require_choice("upsampling", upsampling, UPSAMPLINGS)
        if min(height, side) < 8 or height % 4 or side % 4:
            raise ValueError(f"the image's sides must be multiples of 4 and at least 8, got {height} x {side}")
        bias = _has_bias(norm)

        layers = [_ReflectionPad2d(3), nn.Conv2d(channels, width, 7, bias=bias)]
        layers += [*_norm(norm, width), nn.ReLU(inplace=True)]
        for c in (width, 2 * width):
            layers += [Conv2d(c, 2 * c, 3, 2, 1, bias=bias), *_norm(norm, 2 * c), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(4 * width, norm) for _ in range(blocks)]
        for c in (4 * width, 2 * width):
            layers += [*_double(c, upsampling, bias), *_norm(norm, c // 2), nn.ReLU(inplace=True)]
        self.net = nn.Sequential(*layers, _ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())

    def forward(self, x):
        return self.net(x)


class ResidualBlock(nn.Module):
    """x plus two 3x3 convolutions of x."""

    def __init__(self, channels, norm):
        super().__init__()

        def convolution():
            return [_ReflectionPad2d(1), Conv2d(channels, channels, 3, bias=_has_bias(norm))]

        self.net = nn.Sequential(
            *convolution(), *_norm(norm, channels), nn.ReLU(inplace=True), *convolution(), *_norm(norm, channels)
        )

    def forward(self, x):
        return x + self.net(x)


class PatchDiscriminator(nn.Module):
    """Judge of overlapping patches, (N, C, H, W) -> scores (N, 1, h, w), one for each patch.

    C64-C128-C256-C512 of the paper at `width` 64 and 3 `layers`: 4x4 convolutions, `layers` of them of stride 2, then
    two of stride 1. Each score sees 16, 34 or 70 pixels a side with 1, 2 or 3 layers (`receptive_field`).

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    width : int
        Channels after the first convolution; they double up to eight times it.
    layers : int
        Halvings.
    norm : {"instance", "batch", "group", "none"}
        Of all but the first and last convolution.

    Raises
    ------
    ValueError
        The image is too small for so many layers.

    References
    ----------
    Zhu et al. (2017), appendix 7.2; Isola et al. (2016) for the patches.
    """

    def __init__(self, image_shape, width=64, layers=3, *, norm="instance"):
        super().__init__()
        channels, height, side = _image_shape(image_shape)
        width, layers = _positive_ints("width and layers", (width, layers))
        require_choice("norm", norm, NORMS)
        if min(height, side) >> layers < 3:
            raise ValueError(
                f"{layers} layers leave nothing of a {height} x {side} image to judge: use fewer discriminator layers"
            )
        widths = [width * min(2**i, 8) for i in range(layers + 1)]
        net = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(SLOPE, inplace=True)]
        for number, (c_in, c_out) in enumerate(zip(widths, widths[1:]), start=1):
            stride = 2 if number < layers else 1
            net += [Conv2d(c_in, c_out, 4, stride, 1, bias=_has_bias(norm)), *_norm(norm, c_out)]
            net += [nn.LeakyReLU(SLOPE, inplace=True)]
        self.net = nn.Sequential(*net, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, x):
        return self.net(x)


def receptive_field(module):
    """Side in pixels of the square of input that one output of a chain of convolutions and poolings can see.

    Normalisation is left out: instance norm lets every output see the whole image.

    Parameters
    ----------
    module : nn.Module
        Whose convolutions and poolings run in the order in which they were registered.

    Returns
    -------
    int

    Notes
    -----
    Book: ``eq-cyclegan-receptive-field``. From the input on, a layer of kernel k and dilation d widens the field by
    (k - 1)·d·j pixels, where j is the product of the strides before it.
    """
    field, jump = 1, 1
    for layer in module.modules():
        if isinstance(layer, (nn.ConvTranspose2d, nn.Upsample)):
            raise ValueError(f"{type(layer).__name__} enlarges the image: the recursion is for chains that do not")
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            kernel, stride, dilation = (_one(getattr(layer, name, 1)) for name in ("kernel_size", "stride", "dilation"))
            field += (kernel - 1) * dilation * jump
            jump *= stride
    return field


def _one(size):
    sides = size if isinstance(size, tuple) else (size,)
    if len(set(sides)) > 1:
        raise ValueError(f"kernels, strides and dilations must be square, got {size}")
    return sides[0]


def _double(c, upsampling, bias):
    if upsampling == "nearest":
        return [nn.Upsample(scale_factor=2), _ReflectionPad2d(1), Conv2d(c, c // 2, 3, bias=bias)]
    return [ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1, bias=bias)]


def _norm(norm, channels):
    return {
        "instance": lambda: [_InstanceNorm2d(channels)],
        "batch": lambda: [nn.BatchNorm2d(channels)],
        "group": lambda: [nn.GroupNorm(min(32, max(1, channels // 4)), channels)],
        "none": lambda: [],
    }[norm]()


def _has_bias(norm):
    """A bias before a normalisation that takes each channel's mean away would do nothing."""
    return norm in ("none", "group")
