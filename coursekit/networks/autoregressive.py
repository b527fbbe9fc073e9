"""The autoregressive network: a multilayer perceptron that may only look back."""

import itertools
import math

import torch
from torch import nn

from coursekit.networks.layers import _image_shape, _positive_ints

__all__ = ["MADE", "MaskedLinear", "build_autoregressive"]


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are held at zero.

    Parameters
    ----------
    mask : Tensor of bool, shape (out_features, in_features)
        True where an output may read an input.
    bias : bool
    """

    def __init__(self, mask, bias=True):
        out_features, in_features = mask.shape
        super().__init__(in_features, out_features, bias=bias)
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, x):
        return nn.functional.linear(x, self.mask * self.weight, self.bias)


class MADE(nn.Module):
    """Masked autoregressive network, images (N, C, H, W) -> logits (N, C, H, W).

    Output i is the logit of p(x_i = 1 | x_1, ..., x_{i-1}): pixels are numbered row by row, and
    output i does not depend on pixel i or any later one. So one pass gives every conditional of
    ``eq-autoregressive``.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    hidden : sequence of int
        Hidden sizes; ``()`` leaves one logistic regression per pixel on the pixels before it.

    Raises
    ------
    ValueError
        A size or shape that does not fit.

    Notes
    -----
    Every hidden unit has a degree m in 1, ..., D - 1 and sees pixels 1 to m only: a unit reads units of
    its own degree or less, and output i reads units of a degree below i. The paper draws degrees at
    random and may change masks and order while it trains. Here the order is fixed and degrees go round
    evenly. Direct connections go from pixels to outputs, as in the paper.

    References
    ----------
    Germain, Gregor, Murray and Larochelle (2015), MADE: Masked Autoencoder for Distribution Estimation,
    section 4.
    """

    def __init__(self, image_shape, hidden):
        super().__init__()
        self.image_shape = _image_shape(image_shape)
        hidden = _positive_ints("hidden", hidden)
        n_pixels = math.prod(self.image_shape)
        pixels = torch.arange(1, n_pixels + 1)
        degrees = [pixels, *(1 + torch.arange(size) % max(n_pixels - 1, 1) for size in hidden)]
        masks = [after[:, None] >= before for before, after in itertools.pairwise(degrees)]
        self.hidden = nn.ModuleList(MaskedLinear(mask) for mask in masks)
        self.output = MaskedLinear(pixels[:, None] > degrees[-1])
        self.direct = MaskedLinear(pixels[:, None] > pixels, bias=False) if hidden else None

    def forward(self, x):
        x = x.flatten(1)
        h = x
        for layer in self.hidden:
            h = layer(h).relu()
        logits = self.output(h) if self.direct is None else self.output(h) + self.direct(x)
        return logits.unflatten(1, self.image_shape)


def build_autoregressive(image_shape, *, hidden=(512,)):
    """A masked autoregressive network.

    Parameters
    ----------
    image_shape : tuple of int
        (C, H, W).
    hidden : sequence of int
        Hidden sizes.

    Returns
    -------
    MADE

    Raises
    ------
    ValueError
        A size or shape that does not fit.
    """
    return MADE(image_shape, hidden)
