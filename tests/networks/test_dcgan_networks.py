import pytest
import torch
from torch import nn

from coursekit.networks import DCGANDiscriminator, DCGANGenerator, normal_weights
from coursekit.networks.dcgan import halvings


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 56, 48)])
@pytest.mark.parametrize("kernel_size", [4, 5])
@pytest.mark.parametrize("ways", [("transposed", "strided"), ("nearest", "pooling")])
def test_generator_draws_images_that_the_discriminator_judges(shape, kernel_size, ways):
    upsampling, downsampling = ways
    G = DCGANGenerator(7, shape, 4, kernel_size=kernel_size, upsampling=upsampling)
    D = DCGANDiscriminator(shape, 4, kernel_size=kernel_size, downsampling=downsampling)
    x = G(torch.randn(3, 7))
    assert x.shape == (3, *shape) and x.abs().max() <= 1
    assert D(x).shape == (3,)


def test_sizes_are_those_of_the_common_tutorial():
    # pytorch/examples, dcgan, nz 100, ngf = ndf = 64, 64x64 colour: 3,576,704 and 2,765,568 weights without biases;
    # ours have them where no normalisation follows.
    def size(network):
        return sum(weights.numel() for weights in network.parameters())

    assert size(DCGANGenerator(100, (3, 64, 64), 64)) == 3_576_704 + 3
    assert size(DCGANDiscriminator((3, 64, 64), 64)) == 2_765_568 + 64 + 1


def test_channels_halve_towards_the_image_and_double_away_from_it():
    G, D = DCGANGenerator(7, (3, 32, 32), 4), DCGANDiscriminator((3, 32, 32), 4)
    assert [layer.out_channels for layer in G.net if isinstance(layer, nn.ConvTranspose2d)] == [8, 4, 3]
    assert [block[0].out_channels for block in D.blocks] == [4, 8, 16]


@pytest.mark.parametrize(
    "norm, in_generator, in_discriminator", [("batch", 3, 2), ("none", 0, 0), ("everywhere", 4, 3)]
)
def test_normalisation_is_where_it_is_said_to_be(norm, in_generator, in_discriminator):
    def count(network):
        return sum(isinstance(part, nn.BatchNorm2d) for part in network.modules())

    assert count(DCGANGenerator(7, (3, 32, 32), 4, norm=norm)) == in_generator
    assert count(DCGANDiscriminator((3, 32, 32), 4, norm=norm)) == in_discriminator


def test_features_are_maxima_of_every_convolution():
    D = DCGANDiscriminator((1, 28, 28), 4).eval()
    x = torch.rand(2, 1, 28, 28)
    first = D.blocks[0](x)
    features = D.features(x)
    assert features.shape == (2, (4 + 8) * 16)
    assert torch.equal(features[:, : 4 * 16], nn.functional.adaptive_max_pool2d(first, 4).flatten(1))
    assert features[:, :4].max() <= first.max()


def test_weights_start_normal():
    G = normal_weights(DCGANGenerator(100, (3, 64, 64), 64), 0.02)
    for part in G.modules():
        if isinstance(part, (nn.Linear, nn.ConvTranspose2d)):
            assert part.weight.std().item() == pytest.approx(0.02, rel=0.1) and part.weight.mean().abs() < 1e-3
        if isinstance(part, nn.BatchNorm2d):
            assert (part.weight - 1).abs().max() < 0.1 and part.weight.std() > 0.01 and not part.bias.detach().any()


@pytest.mark.parametrize("sides, times", [((8, 8), 1), ((28, 28), 2), ((32, 32), 3), ((64, 64), 4), ((56, 48), 3)])
def test_halvings_stop_before_a_side_is_shorter_than_4(sides, times):
    assert halvings(sides) == times


@pytest.mark.parametrize("sides", [(7, 7), (30, 30), (64, 16), (18, 18)])
def test_sides_that_do_not_halve_are_refused(sides):
    with pytest.raises(ValueError, match=f"such as 28, 32 or 64; got {sides[0]} x {sides[1]}"):
        halvings(sides)


@pytest.mark.parametrize(
    "wrong", [{"kernel_size": 3}, {"norm": "layer"}, {"activation": "elu"}, {"upsampling": "bicubic"}]
)
def test_unknown_options_list_the_known_ones(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be one of"):
        DCGANGenerator(7, (3, 32, 32), 4, **wrong)
