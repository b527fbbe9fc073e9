import pytest
import torch
from torch import nn

from coursekit.data import ImageSet
from coursekit.networks import DCGANDiscriminator, DCGANGenerator
from coursekit.trainers import DCGANConfig, DCGANTrainer, load_trainer
from coursekit.trainers.runtime import stream_seed

SMALL = dict(width=4, noise_dim=5, batch_size=8, device="cpu")


@pytest.fixture
def images():
    pixels = torch.randint(0, 256, (24, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return ImageSet(pixels, None, "noise", None, "generated")


def fit(trainer, images, **options):
    return trainer.fit(images, progress=False, **options)


@pytest.mark.parametrize("output, low", [("tanh", -1), ("sigmoid", 0)])
def test_one_step_is_the_tutorials_by_hand(images, output, low):
    """Both networks on the same minibatch and noise; real and fake in batches of their own; plain Adam."""
    trainer = fit(DCGANTrainer(**SMALL, generator_output=output), images, max_steps=1)

    fresh = DCGANTrainer(**SMALL, generator_output=output)
    fresh._build(trainer.data_spec)
    G, D = fresh.networks["generator"], fresh.networks["discriminator"]
    rows = fresh._rows_of_epoch(0, 0)[0][0]
    x = images.images[rows].float() / 255 * (1 - low) + low
    z = torch.randn(8, 5, generator=torch.Generator().manual_seed(stream_seed(0, 0, 0)))
    adams = {n: torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for n, m in (("G", G), ("D", D))}
    bce, ones, zeros = nn.BCEWithLogitsLoss(), torch.ones(8), torch.zeros(8)
    x_fake = G(z)
    loss_D = bce(D(x), ones) + bce(D(x_fake.detach()), zeros)
    adams["D"].zero_grad()
    loss_D.backward()
    adams["D"].step()
    loss_G = bce(D(x_fake), ones)
    adams["G"].zero_grad()
    loss_G.backward()
    adams["G"].step()

    assert trainer.history["loss_D"] == pytest.approx([loss_D.item()], rel=1e-5)
    assert trainer.history["loss_G"] == pytest.approx([loss_G.item()], rel=1e-5)
    for network, expected in ((trainer.generator, G), (trainer.discriminator, D)):
        for weights, by_hand in zip(network.parameters(), expected.parameters()):
            torch.testing.assert_close(weights, by_hand, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_resumed_run_has_its_moments_in_the_memory_order_of_its_weights(images, tmp_path, optimizer):
    """With one channel at either end of each convolution, as elsewhere in these tests, there is only one order."""
    small = SMALL | dict(optimizer=optimizer)
    images = ImageSet(images.images.repeat(1, 3, 2, 2), None, "noise", None, "generated")
    whole = fit(DCGANTrainer(**small), images, max_steps=6)
    fit(DCGANTrainer(**small), images, max_steps=2).save(tmp_path / "run.safetensors")
    resumed = fit(load_trainer(tmp_path / "run.safetensors", device="cpu"), images, max_steps=6)
    assert not all(weight.is_contiguous() for weight in resumed.generator.parameters())
    tensors, others = whole._state()[0], resumed._state()[0]
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []


def test_samples_lie_in_the_unit_range(images):
    for output in ("tanh", "sigmoid"):
        samples = fit(DCGANTrainer(**SMALL, generator_output=output), images, max_steps=2).sample(5)
        assert samples.shape == (5, 1, 8, 8) and 0 <= samples.min() and samples.max() <= 1
        assert samples.mean().item() == pytest.approx(0.5, abs=0.2)


def test_configuration_reaches_the_networks(images):
    options = dict(
        generator_width=6, discriminator_width=5, kernel_size=5, upsampling="nearest", downsampling="pooling",
        generator_norm="none", discriminator_norm="everywhere", generator_activation="leaky_relu",
        discriminator_activation="relu",
    )  # fmt: skip
    trainer = fit(DCGANTrainer(**SMALL, **options), images, max_steps=1)
    G = DCGANGenerator(
        5, (1, 8, 8), 6, kernel_size=5, upsampling="nearest", norm="none", activation="leaky_relu", output="tanh"
    )
    D = DCGANDiscriminator((1, 8, 8), 5, kernel_size=5, downsampling="pooling", norm="everywhere", activation="relu")
    assert str(trainer.generator) == str(G) and str(trainer.discriminator) == str(D)


def test_init_std_reaches_the_weights(images):
    for std, expected in ((0.02, 0.02), (0.2, 0.2), (None, None)):
        trainer = DCGANTrainer(**SMALL | {"width": 32}, init_std=std, lr=1e-9)
        weights = fit(trainer, images, max_steps=1).generator.net[0].weight.detach()
        if expected is None:
            assert weights.abs().max() < 1 / 5**0.5 + 1e-4  # torch: uniform on ±1/√5
        else:
            assert weights.std().item() == pytest.approx(expected, rel=0.1)


def test_interleaved_updates_move_one_network_a_step(images):
    trainer = DCGANTrainer(**SMALL, update="interleaved", fresh_noise=True)
    fit(trainer, images, max_steps=1)
    for steps, moved in ((2, "discriminator"), (3, "generator"), (4, "discriminator")):
        before = {name: [w.clone() for w in network.parameters()] for name, network in trainer.networks.items()}
        fit(trainer, images, max_steps=steps)
        for name, network in trainer.networks.items():
            same = all(torch.equal(old, new) for old, new in zip(before[name], network.parameters()))
            assert same == (name != moved)


def test_weight_decay_is_the_gradient_of_half_the_squared_norm(images):
    seen = {}
    for decay in (0.0, 0.5):
        trainer = DCGANTrainer(**SMALL, weight_decay=decay, optimizer="sgd", momentum=0.0, lr=0.1)
        trainer.initialise = lambda data, t=trainer: seen.setdefault(
            "start", t.networks["discriminator"].last.weight.clone()
        )
        fit(trainer, images, max_steps=1)
        seen[decay] = trainer.discriminator.last.weight.detach()
    torch.testing.assert_close(seen[0.0] - seen[0.5], 0.1 * 0.5 * seen["start"], atol=1e-7, rtol=1e-3)


def test_features_are_those_of_the_discriminator_on_scaled_images(images):
    trainer = fit(DCGANTrainer(**SMALL), images, max_steps=2)
    D = trainer.discriminator.eval()
    with torch.no_grad():
        expected = D.features(images.images.float() / 127.5 - 1)
    torch.testing.assert_close(trainer.features(images), expected)
    own = DCGANTrainer(**SMALL, discriminator=nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))
    with pytest.raises(ValueError, match=r"Sequential has no features\(x\)"):
        fit(own, images, max_steps=1).features(images)


def test_weights_lie_channels_last(images):
    weights = fit(DCGANTrainer(**SMALL), images, max_steps=1).discriminator.blocks[0][0].weight
    assert weights.is_contiguous(memory_format=torch.channels_last)


def test_paper_settings_are_those_of_the_released_code():
    paper = DCGANConfig.paper()
    assert (paper.width, paper.kernel_size, paper.noise, paper.update) == (128, 5, "uniform", "interleaved")
    assert paper.weight_decay == 1e-5 and paper.lr == 2e-4 and paper.beta1 == 0.5
    assert DCGANConfig.paper(width=8).width == 8


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"generator_output": "relu"}, "generator_output must be one of 'tanh', 'sigmoid'"),
        ({"init_std": 0.0}, "init_std must be positive or None"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative"),
        ({"update": "interleaved"}, "leave fresh_noise alone"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        DCGANTrainer(**wrong)
