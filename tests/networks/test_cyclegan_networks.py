import pytest
import torch
from torch import nn

from coursekit.networks import PatchDiscriminator, ResnetGenerator, receptive_field
from coursekit.networks.layers import _reflected


@pytest.mark.parametrize("norm", ["instance", "batch", "group", "none"])
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_generator_keeps_the_shape_and_the_range(norm, upsampling):
    G = ResnetGenerator((3, 16, 20), 4, 2, norm=norm, upsampling=upsampling)
    x = G(torch.randn(2, 3, 16, 20))
    assert x.shape == (2, 3, 16, 20) and x.abs().max() <= 1


def test_sizes_are_those_of_the_released_code():
    # junyanz/pytorch-CycleGAN-and-pix2pix prints 11.378 M and 2.765 M for its default networks. It keeps biases
    # in front of instance normalisation, which takes them away again; ours leave them out.
    def size_with_biases(network):
        layers = [part for part in network.modules() if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d))]
        return sum(layer.weight.numel() + layer.out_channels for layer in layers)

    assert size_with_biases(ResnetGenerator((3, 256, 256))) == 11_378_179
    assert size_with_biases(PatchDiscriminator((3, 256, 256))) == 2_764_737


def test_bias_before_instance_norm_would_do_nothing():
    norm, x = nn.InstanceNorm2d(3), torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(norm(x), norm(x + 7), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layers, field, side", [(1, 16, 30), (2, 34, 14), (3, 70, 6)])
def test_each_score_sees_a_patch_of_known_size(layers, field, side):
    D = PatchDiscriminator((3, 64, 64), 4, layers, norm="none")
    assert receptive_field(D) == field
    assert D(torch.randn(2, 3, 64, 64)).shape == (2, 1, side, side)


def test_receptive_field_is_what_the_gradient_reaches():
    D = PatchDiscriminator((1, 96, 96), 2, 3, norm="none").double()
    x = torch.randn(1, 1, 96, 96, dtype=torch.float64, requires_grad=True)
    scores = D(x)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    rows, columns = x.grad[0, 0].nonzero().T
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (70, 70)


def test_receptive_field_of_pooling_and_dilation_by_hand():
    chain = nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3, dilation=2))
    assert receptive_field(chain) == 3 + 1 + 2 * 2 * 2
    with pytest.raises(ValueError, match="ConvTranspose2d enlarges"):
        receptive_field(nn.ConvTranspose2d(1, 1, 3))
    with pytest.raises(ValueError, match="square"):
        receptive_field(nn.Conv2d(1, 1, (3, 5)))


def test_residual_blocks_start_from_the_image_they_are_given():
    G = ResnetGenerator((3, 16, 16), 4, 3)
    for part in G.net:
        if type(part).__name__ == "ResidualBlock":
            for layer in part.net:
                if isinstance(layer, nn.Conv2d):
                    nn.init.zeros_(layer.weight)
            h = torch.randn(1, 16, 4, 4)
            assert torch.equal(part(h), h)


@pytest.mark.parametrize("shape", [(3, 18, 16), (3, 4, 4)])
def test_images_that_do_not_halve_twice_are_refused(shape):
    with pytest.raises(ValueError, match="multiples of 4 and at least 8"):
        ResnetGenerator(shape)


def test_too_many_layers_for_the_image_are_refused():
    with pytest.raises(ValueError, match="3 layers leave nothing of a 16 x 16 image"):
        PatchDiscriminator((3, 16, 16), layers=3)
    with pytest.raises(ValueError, match="norm must be one of 'instance'"):
        PatchDiscriminator((3, 64, 64), norm="layer")


def test_reflection_with_a_deterministic_gradient_is_that_of_torch():
    x = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = torch.randn(2, 3, 12, 9, generator=torch.Generator().manual_seed(1))
    outputs, gradients = [], []
    for pad in (nn.ReflectionPad2d((1, 3, 4, 2)), lambda x: _reflected(x, (1, 3, 4, 2))):
        outputs.append(pad(x))
        gradients += torch.autograd.grad((weights * outputs[-1]).sum(), x)
    assert torch.equal(*outputs)
    torch.testing.assert_close(*gradients)
