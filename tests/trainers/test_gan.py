"""GANTrainer: that a step is the algorithm, term by term, and that each network moves alone."""

import copy
import itertools

import pytest
import torch
from torch import nn

from coursekit.data import ring_modes, ring_of_gaussians
from coursekit.losses.gan import r1_penalty
from coursekit.metrics import mode_coverage
from coursekit.trainers import CheckpointError, GANConfig, GANTrainer

PAPER = {"generator_hidden": (12,), "discriminator_hidden": (6,), "noise_dim": 4, "batch_size": 16}
SMALL = PAPER | {"lr": 1e-2}


def fit(trainer, images, **options):
    return trainer.fit(images, progress=False, **options)


def without_dropout(module):
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0
    return module


def weights(module):
    return [weight.detach().clone() for weight in module.parameters()]


def moved(before, module):
    return any(not torch.equal(old, new) for old, new in zip(before, module.parameters()))


def cross_entropy(d, target):
    """-log of the probability that D gives to what is true, by probabilities."""
    return -torch.log(d if target else 1 - d).mean()


class Recorder(GANTrainer):
    """Keeps the noise and data of each step."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen_z, self.seen_x = [], []

    def _noise(self, batch):
        self.seen_z.append(super()._noise(batch))
        return self.seen_z[-1]

    def training_step(self, batch):
        self.seen_x.append(batch.x)
        return super().training_step(batch)


# The step is the algorithm


@pytest.mark.parametrize("kind", ["non_saturating", "saturating"])
@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_one_step_is_the_papers_by_hand(images, update, kind):
    trainer = Recorder(GANConfig.paper(**PAPER, update=update, generator_loss=kind), device="cpu")
    trainer.fit(images, max_steps=1, progress=False)
    G, D = (without_dropout(trainer.networks[name]) for name in ("generator", "discriminator"))
    for optimizer in trainer._raw_optimizers.values():
        optimizer.state.clear()  # so that the next step has no momentum
    old_G, old_D = copy.deepcopy(G), copy.deepcopy(D)
    trainer.seen_z.clear()
    fit(trainer, images, max_steps=2)

    x, z = trainer.seen_x[-1], trainer.seen_z[0]
    d_real, d_fake = old_D(x).sigmoid(), old_D(old_G(z)).sigmoid()
    loss_D = cross_entropy(d_real, True) + cross_entropy(d_fake, False)
    if update == "simultaneous":
        loss_D = loss_D / 2
        d_after = d_fake
    else:
        d_after = D(old_G(trainer.seen_z[1])).sigmoid()  # fresh noise, and D as its own step left it
    loss_G = cross_entropy(d_after, True) if kind == "non_saturating" else -cross_entropy(d_after, False)
    for network, old, loss in ((D, old_D, loss_D), (G, old_G, loss_G)):
        slopes = torch.autograd.grad(loss, list(old.parameters()), retain_graph=True)
        for new, weight, slope in zip(network.parameters(), old.parameters(), slopes):
            torch.testing.assert_close(new, weight - 0.1 / 1.000004 * slope, rtol=1e-4, atol=1e-7)
    for name, expected in {
        "loss_D": loss_D,
        "loss_G": loss_G,
        "d_real": d_real.mean(),
        "d_fake": d_fake.mean(),
    }.items():
        assert trainer.history[name][-1] == pytest.approx(expected.item(), rel=1e-4), name


def test_each_step_moves_its_own_network_only(images):
    trainer = GANTrainer(**SMALL, k=2, device="cpu")
    fit(trainer, images, max_steps=2)
    G, D = trainer.networks["generator"], trainer.networks["discriminator"]
    calls = []

    def watched(name, loss, batch):
        before = {"generator": weights(G), "discriminator": weights(D)}
        GANTrainer.descend(trainer, name, loss, batch)
        calls.append((name, [other for other, old in before.items() if moved(old, trainer.networks[other])]))

    trainer.descend = watched
    fit(trainer, images, max_steps=4)
    assert calls == [("discriminator", ["discriminator"])] * 2 + [("generator", ["generator"])]


@pytest.mark.parametrize("fresh_noise", [True, False])
def test_weights_of_d_get_no_gradients_in_the_step_of_g_and_the_reverse(images, fresh_noise):
    trainer = GANTrainer(**SMALL, fresh_noise=fresh_noise, device="cpu")
    fit(trainer, images, max_steps=1)
    seen = []

    def watched(name, loss, batch):
        for network in trainer.networks.values():
            network.zero_grad(set_to_none=True)
        trainer.fabric.backward(loss)
        seen.append({n: any(p.grad is not None for p in m.parameters()) for n, m in trainer.networks.items()})

    trainer.descend = watched
    fit(trainer, images, max_steps=2)
    assert seen == [{"generator": False, "discriminator": True}, {"generator": True, "discriminator": False}]
    assert all(weight.requires_grad for weight in trainer.networks["discriminator"].parameters())


@pytest.mark.parametrize("k", [1, 2, 5])
def test_generator_moves_after_every_kth_step_of_the_discriminator(images, k):
    trainer = GANTrainer(**SMALL, k=k, device="cpu")
    generator_moved, discriminator_moved = [], []
    fit(trainer, images, max_steps=k)
    for step in range(k + 1, 3 * k + 1):
        before = {name: weights(network) for name, network in trainer.networks.items()}
        fit(trainer, images, max_steps=step)
        generator_moved.append(moved(before["generator"], trainer.networks["generator"]))
        discriminator_moved.append(moved(before["discriminator"], trainer.networks["discriminator"]))
    assert generator_moved == [step % k == 0 for step in range(k + 1, 3 * k + 1)]
    assert all(discriminator_moved)


def test_every_discriminator_step_has_a_minibatch_and_noise_of_its_own(images):
    trainer = Recorder(**SMALL, k=3, device="cpu")
    fit(trainer, images, max_steps=3)
    assert len(trainer.seen_x) == 3 and len(trainer.seen_z) == 4
    for first, second in itertools.combinations(trainer.seen_x, 2):
        assert not torch.equal(first, second)
    for first, second in itertools.combinations(trainer.seen_z, 2):
        assert not torch.equal(first, second)


def test_reused_noise_is_drawn_once_a_step(images):
    trainer = Recorder(**SMALL, fresh_noise=False, device="cpu")
    fit(trainer, images, max_steps=3)
    assert len(trainer.seen_z) == 3


def test_r1_adds_its_penalty_to_the_loss_of_d(images):
    losses = []
    for r1 in (0.0, 2.0):
        trainer = GANTrainer(**SMALL, r1=r1, device="cpu")
        trainer.descend = lambda name, loss, batch: losses.append(loss.item()) if name == "discriminator" else None
        fit(trainer, images, max_steps=1)
    first = trainer._rows_of_epoch(0, 0)[0][0]
    x = (images.images[first].float() / 255).requires_grad_()
    expected = 2 * r1_penalty(trainer.networks["discriminator"](x), x).item()
    assert losses[1] - losses[0] == pytest.approx(expected, rel=1e-3) and expected > 1e-4


# Settings


def test_paper_settings_are_those_of_the_released_code():
    c = GANConfig.paper()
    assert (c.architecture, c.generator_hidden, c.discriminator_hidden, c.pieces) == (
        "maxout",
        (1200, 1200),
        (240, 240),
        5,
    )
    assert (c.noise_dim, c.noise, c.update, c.k, c.generator_loss) == (
        100,
        "uniform",
        "simultaneous",
        1,
        "non_saturating",
    )
    assert (c.optimizer, c.lr, c.lr_decay, c.lr_min, c.batch_size) == ("sgd", 0.1, 1.000004, 1e-6, 100)
    assert (c.momentum, c.momentum_final, c.momentum_epochs, c.epochs) == (0.5, 0.7, 250, 250)
    assert GANConfig.paper(update="alternating").update == "alternating"


def test_papers_generator_starts_at_the_mean_image(images):
    first_biases = []

    class Watched(GANTrainer):
        def training_step(self, batch):
            first_biases.append(self.networks["generator"].last.bias.detach().clone())
            return super().training_step(batch)

    fit(Watched(GANConfig.paper(**PAPER), device="cpu"), images, max_steps=1)
    mean_image = images.images.float().div(255).mean(0).flatten()
    torch.testing.assert_close(first_biases[0].sigmoid(), mean_image)


def test_learning_rate_and_momentum_follow_the_released_schedule(images):
    trainer = GANTrainer(GANConfig.paper(**PAPER, momentum_epochs=3), device="cpu")
    seen = []
    for step in (1, 4, 5, 8, 9, 12, 13, 16, 17):
        fit(trainer, images, max_steps=step)
        group = trainer._raw_optimizers["generator"].param_groups[0]
        assert group["lr"] == pytest.approx(0.1 / 1.000004 ** (step - 1))
        seen.append(group["momentum"])
    # 4 steps an epoch; epochs 0 and 1 at 0.5, then up to 0.7 at epoch 3
    assert seen == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.6, 0.6, 0.7, 0.7, 0.7])


def test_learning_rate_does_not_fall_under_its_least(images):
    trainer = GANTrainer(**SMALL, optimizer="sgd", lr_decay=10.0, lr_min=1e-4, device="cpu")
    fit(trainer, images, max_steps=5)
    assert trainer._raw_optimizers["discriminator"].param_groups[0]["lr"] == 1e-4


def test_discriminator_has_its_own_learning_rate(images):
    trainer = fit(GANTrainer(**SMALL, discriminator_lr=3e-3, device="cpu"), images, max_steps=1)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in trainer._raw_optimizers.items()}
    assert rates == {"generator": 1e-2, "discriminator": 3e-3}


@pytest.mark.parametrize(("noise", "limit"), [("uniform", 3**0.5), ("normal", float("inf"))])
def test_noise_has_variance_one_in_training_and_in_sampling(images, noise, limit):
    trainer = Recorder(**SMALL | {"noise_dim": 500}, noise=noise, device="cpu")
    fit(trainer, images, max_steps=4)
    for z in (torch.cat(trainer.seen_z), trainer.sample_noise(200)):
        assert z.var().item() == pytest.approx(1, abs=0.05) and z.mean().abs() < 0.03
        assert z.abs().max() <= limit
        assert (z.abs().max() > 3) == (noise == "normal")


def test_batch_normalisation_in_d_parts_data_from_samples_unless_told_otherwise(images):
    def sizes(discriminator, **options):
        seen = []
        discriminator.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
        fit(GANTrainer(discriminator=discriminator, **SMALL, **options, device="cpu"), images, max_steps=1)
        return seen

    def judge(*layers):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), *layers, nn.Linear(6, 1))

    assert sizes(judge()) == [32, 16]
    assert sizes(judge(nn.BatchNorm1d(6))) == [16, 16, 16]
    assert sizes(judge(nn.BatchNorm1d(6)), joint_pass=True) == [32, 16]
    assert sizes(judge(), joint_pass=False) == [16, 16, 16]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"noise": "cauchy"}, "noise must be one of"),
        ({"k": 0}, "k must be at least 1"),
        ({"update": "simultaneous", "k": 2}, "k must be 1"),
        ({"update": "simultaneous", "fresh_noise": False}, "fresh_noise"),
        ({"generator_loss": "hinge"}, "generator_loss must be one of"),
        ({"r1": -1}, "r1 must not be negative"),
        ({"lr_decay": 0.5}, "lr_decay"),
        ({"discriminator_lr": 0}, "discriminator_lr must be positive"),
        ({"data_range": "bytes"}, "data_range must be one of"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of"),
        ({"momentum_epochs": 1}, "momentum_epochs"),
    ],
)
def test_impossible_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        GANTrainer(**setting)


# Use


@pytest.mark.parametrize("data_range", ["unit", "symmetric"])
def test_samples_are_images_in_the_unit_range_and_repeat_with_the_seed(images, data_range):
    trainer = fit(GANTrainer(**SMALL, data_range=data_range, epochs=1, device="cpu"), images)
    samples = trainer.sample(20, seed=3)
    assert samples.shape == (20, 1, 8, 8) and samples.min() >= 0 and samples.max() <= 1
    assert torch.equal(samples, trainer.sample(20, seed=3))
    assert not torch.equal(samples, trainer.sample(20, seed=4))
    assert torch.equal(samples, trainer.generate(trainer.sample_noise(20, seed=3)))
    expected = {"unit": (0, 1), "symmetric": (-1, 1)}[data_range]
    seen = []
    trainer.networks["discriminator"].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    assert trainer.discriminate(images).shape == (50,)
    assert seen[0].max().item() == pytest.approx(expected[1], abs=0.05)
    assert (seen[0].min() < 0) == (data_range == "symmetric")


def test_gan_learns_points_and_covers_their_modes():
    torch.manual_seed(0)
    points = ring_of_gaussians(std=0.05).sample((2000,))
    trainer = GANTrainer(
        noise_dim=8, noise="normal", generator_hidden=(64, 64), discriminator_hidden=(64, 64),
        lr=1e-3, k=1, r1=0.1, batch_size=200, device="cpu",
    )  # fmt: skip
    fit(trainer, points, max_steps=1200)
    covered, share = mode_coverage(trainer.sample(1000), ring_modes(), radius=0.3)
    assert covered >= 7 and share > 0.6


def test_own_networks_are_trained_and_asked_for_by_name(images, tmp_path):
    def own():
        return nn.Sequential(nn.Linear(4, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))

    trainer = fit(GANTrainer(generator=own(), **SMALL, device="cpu"), images, max_steps=3)
    trainer.save(tmp_path / "run.safetensors")
    with pytest.raises(CheckpointError, match="trained with a generator of its own.*as generator="):
        GANTrainer.load(tmp_path / "run.safetensors")
    loaded = GANTrainer.load(tmp_path / "run.safetensors", generator=own())
    assert torch.equal(loaded.sample(3), trainer.sample(3))


def test_average_follows_the_generator_only(images):
    trainer = fit(GANTrainer(**SMALL, ema_decay=0.9, epochs=1, device="cpu"), images)
    assert set(trainer.averages) == {"generator"}
    assert trainer.generator is trainer.averages["generator"].module
    assert not torch.equal(trainer.generator.last.weight, trainer.networks["generator"].last.weight)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({"generator": nn.Linear(4, 64)}, r"generator gives \(16, 64\) where the data are \(16, 1, 8, 8\)"),
        ({"discriminator": nn.Sequential(nn.Flatten(), nn.Linear(64, 2))}, r"one logit a row, got \(32, 2\)"),
    ],
)
def test_networks_that_do_not_fit_the_data_are_named(images, networks, message):
    with pytest.raises(ValueError, match=message):
        fit(GANTrainer(**networks, **SMALL, device="cpu"), images, max_steps=1)
