"""The GAN's networks: shapes, the paper's settings, and what is refused."""

import pytest
import torch

from coursekit.networks import (
    Maxout,
    MaxoutDiscriminator,
    MLPDiscriminator,
    MLPGenerator,
    build_gan,
)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 4, 4), (2,), (1,)])
@pytest.mark.parametrize("architecture", ["mlp", "maxout"])
def test_generator_makes_what_the_discriminator_judges(shape, architecture):
    generator, discriminator = build_gan(shape, 5, architecture=architecture, output="linear")
    x_fake = generator(torch.randn(6, 5))
    assert x_fake.shape == (6, *shape)
    assert discriminator(x_fake).shape == (6,)


@pytest.mark.parametrize(("output", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1)])
def test_samples_lie_in_the_range_of_the_output(output, low, high):
    torch.manual_seed(0)
    generator = MLPGenerator(3, (2, 2, 2), (8,), output=output)
    x = generator(100 * torch.randn(50, 3))
    assert low <= x.min() < low + 0.1 and high - 0.1 < x.max() <= high


def test_batch_normalisation_stands_in_every_hidden_layer_but_the_first():
    def norms(**options):
        return [
            m.num_features for m in MLPGenerator(3, (4,), (8, 9, 10), **options).modules() if hasattr(m, "running_mean")
        ]

    assert norms() == [9, 10] and norms(batch_norm=False) == []


def test_maxout_takes_the_largest_piece_of_each_unit():
    layer = Maxout(2, 3, pieces=2)
    x = torch.randn(5, 2)
    pieces = x @ layer.linear.weight.T + layer.linear.bias
    expected = torch.stack([pieces[:, unit::3].max(1).values for unit in range(3)], dim=1)
    torch.testing.assert_close(layer(x), expected)


def test_maxout_of_two_opposite_pieces_is_the_absolute_value():
    layer = Maxout(1, 1, pieces=2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        layer.linear.bias.zero_()
    torch.testing.assert_close(layer(torch.tensor([[-3.0], [2.0]])), torch.tensor([[3.0], [2.0]]))


def test_paper_networks_have_the_released_sizes_and_first_weights():
    torch.manual_seed(0)
    generator, discriminator = build_gan((1, 28, 28), 100, architecture="maxout")
    shapes = {name: tuple(p.shape) for name, p in generator.named_parameters() if p.ndim == 2}
    assert sorted(set(shapes.values())) == [(784, 1200), (1200, 100), (1200, 1200)]
    assert [tuple(p.shape) for p in discriminator.parameters() if p.ndim == 2] == [(1200, 784), (1200, 240), (1, 240)]
    for network, limit in ((generator, 0.05), (discriminator, 0.005)):
        for weight in network.parameters():
            if weight.ndim == 2:
                assert 0.98 * limit < weight.abs().max() <= limit
                assert weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.15)
            else:
                assert not weight.any()


def test_dropout_keeps_its_share_and_scales_what_it_keeps():
    torch.manual_seed(0)
    discriminator = MaxoutDiscriminator((400,), (200,), pieces=2)
    dropouts = [m for m in discriminator.net if isinstance(m, torch.nn.Dropout)]
    for dropout, keep, scale in zip(dropouts, (0.8, 0.5), (1.25, 2.0), strict=True):
        kept = dropout(torch.ones(100, 400))
        assert (kept != 0).float().mean().item() == pytest.approx(keep, abs=0.02)
        assert kept.max().item() == pytest.approx(scale)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MLPGenerator(3, (4,), output="relu"), "output must be one of 'sigmoid', 'tanh', 'linear'"),
        (lambda: MLPGenerator(0, (4,)), "noise_dim"),
        (lambda: MLPDiscriminator((1, 0, 4)), "shape must be positive"),
        (lambda: Maxout(2, 2, pieces=0), "pieces"),
        (lambda: build_gan((4,), 2, architecture="dcgan"), "'mlp' or 'maxout', got 'dcgan'"),
    ],
)
def test_impossible_networks_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
