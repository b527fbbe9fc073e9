"""Generators (N, K) -> (N, *shape) and discriminators (N, *shape) -> (N,), fully connected."""

import math

import torch
from torch import nn

from coursekit.errors import require_choice
from coursekit.networks.layers import _positive_ints

__all__ = ["Maxout", "MaxoutDiscriminator", "MLPDiscriminator", "MLPGenerator", "build_gan", "uniform_weights"]

OUTPUTS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "linear": nn.Identity}


class MLPGenerator(nn.Module):
    """Fully connected generator, (N, noise_dim) -> (N, *shape).

    Parameters
    ----------
    noise_dim : int
        K.
    shape : tuple of int
        (C, H, W) of images, or (d,) of points.
    hidden : sequence of int
    batch_norm : bool
        Normalise every hidden layer but the first.
    slope : float
        Of the activations for negative inputs; 0 is ReLU.
    output : {"sigmoid", "tanh", "linear"}
        For samples in [0, 1], in [-1, 1], or anywhere.
    """

    def __init__(self, noise_dim, shape, hidden=(128, 256, 512, 1024), *, batch_norm=True, slope=0.2, output="sigmoid"):
        super().__init__()
        require_choice("output", output, OUTPUTS)
        self.shape = _positive_ints("shape", shape)
        sizes = _positive_ints("noise_dim and hidden", (noise_dim, *hidden))
        layers = []
        for number, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
            layers.append(nn.Linear(n_in, n_out))
            if batch_norm and number:
                layers.append(nn.BatchNorm1d(n_out))
            layers.append(nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True))
        self.last = nn.Linear(sizes[-1], math.prod(self.shape))
        self.net = nn.Sequential(*layers, self.last, OUTPUTS[output]())

    def forward(self, z):
        return self.net(z).unflatten(1, self.shape)


class MLPDiscriminator(nn.Module):
    """Fully connected discriminator with leaky ReLUs, (N, *shape) -> logits (N,).

    Parameters
    ----------
    shape : tuple of int
        (C, H, W) of images, or (d,) of points.
    hidden : sequence of int
    slope : float
        Of the activations for negative inputs.
    """

    def __init__(self, shape, hidden=(512, 256), *, slope=0.2):
        super().__init__()
        sizes = _positive_ints("shape and hidden", (math.prod(_positive_ints("shape", shape)), *hidden))
        layers = []
        for n_in, n_out in zip(sizes, sizes[1:]):
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(slope, inplace=True)]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, x):
        return self.net(x.flatten(1)).squeeze(1)


class Maxout(nn.Module):
    r"""The largest of several linear maps, (N, n_in) -> (N, n_out).

    .. math:: h_i(x) = \max_{j \le k} \; w_{ij}^\top x + b_{ij}

    References
    ----------
    Goodfellow et al. (2013), Maxout Networks, arXiv:1302.4389, section 3.
    """

    def __init__(self, n_in, n_out, pieces=5):
        super().__init__()
        n_in, n_out, self.pieces = _positive_ints("n_in, n_out and pieces", (n_in, n_out, pieces))
        self.linear = nn.Linear(n_in, n_out * pieces)

    def forward(self, x):
        return self.linear(x).unflatten(1, (self.pieces, -1)).amax(1)  # (N, pieces, n_out) -> (N, n_out)


class MaxoutDiscriminator(nn.Module):
    """The discriminator of the 2014 paper on MNIST: dropout and maxout, (N, *shape) -> logits (N,).

    Parameters
    ----------
    shape : tuple of int
    hidden : sequence of int
        Maxout units of each layer.
    pieces : int
        Linear maps of each unit.
    input_keep, hidden_keep : float
        Share of inputs, and of hidden units, that dropout keeps; what is kept is divided by it.
    """

    def __init__(self, shape, hidden=(240, 240), *, pieces=5, input_keep=0.8, hidden_keep=0.5):
        super().__init__()
        sizes = _positive_ints("shape and hidden", (math.prod(_positive_ints("shape", shape)), *hidden))
        layers = [nn.Dropout(1 - input_keep)]
        for n_in, n_out in zip(sizes, sizes[1:]):
            layers += [Maxout(n_in, n_out, pieces), nn.Dropout(1 - hidden_keep)]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, x):
        return self.net(x.flatten(1)).squeeze(1)


@torch.no_grad()
def uniform_weights(module, limit):
    """Draw every weight of the linear layers in `module` uniformly from [-limit, limit], and zero their biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.uniform_(-limit, limit)
            layer.bias.zero_()
    return module


def build_gan(
    shape,
    noise_dim,
    *,
    architecture="mlp",
    generator_hidden=None,
    discriminator_hidden=None,
    pieces=5,
    output="sigmoid",
):
    """A generator and a discriminator.

    Parameters
    ----------
    shape : tuple of int
        (C, H, W) of images, or (d,) of points.
    noise_dim : int
    architecture : {"mlp", "maxout"}
        ``"mlp"``: leaky ReLUs, with batch normalisation in the generator. ``"maxout"``: the networks of
        the 2014 paper on MNIST, with the weights its released code starts from.
    generator_hidden, discriminator_hidden : sequence of int, optional
        Default: (128, 256, 512, 1024) and (512, 256), or the paper's (1200, 1200) and (240, 240).
    pieces : int
        Of each maxout unit.
    output : {"sigmoid", "tanh", "linear"}

    Returns
    -------
    generator, discriminator : nn.Module

    References
    ----------
    mnist.yaml of https://github.com/goodfeli/adversarial.
    """
    if architecture == "mlp":
        generator = MLPGenerator(noise_dim, shape, generator_hidden or (128, 256, 512, 1024), output=output)
        return generator, MLPDiscriminator(shape, discriminator_hidden or (512, 256))
    if architecture == "maxout":
        generator = MLPGenerator(
            noise_dim, shape, generator_hidden or (1200, 1200), batch_norm=False, slope=0, output=output
        )
        discriminator = MaxoutDiscriminator(shape, discriminator_hidden or (240, 240), pieces=pieces)
        return uniform_weights(generator, 0.05), uniform_weights(discriminator, 0.005)
    raise ValueError(f"architecture must be 'mlp' or 'maxout', got {architecture!r}")
