import pytest
import torch
from torch import nn
from torch.nn import functional

from coursekit.data import ImageSet
from coursekit.trainers import CycleGANConfig, CycleGANTrainer, TrainingDiverged, load_trainer

SMALL = dict(
    width=2, blocks=1, discriminator_layers=1, batch_size=4, epochs=6, decay_epochs=3, pool_size=6, device="cpu"
)


def noise(n, seed, side=16):
    pixels = torch.randint(0, 256, (n, 3, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return ImageSet(pixels, None, f"noise {seed}", None, "generated")


@pytest.fixture
def pair():
    return noise(14, 0), noise(9, 1)


def fit(trainer, pair, **options):
    return trainer.fit(pair, progress=False, **options)


class Folder:
    """Images that are read one by one, as a folder's are."""

    def __init__(self, images):
        self.images, self.name, self.image_shape = images.images, images.name, images.image_shape

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.images[i]


class Recorder(CycleGANTrainer):
    """Keeps what each step saw."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = []

    def training_step(self, batch):
        self.seen.append((batch.x.clone(), batch.y.clone()))
        return super().training_step(batch)


def weights_of(trainer):
    return {name: [w.detach().clone() for w in network.parameters()] for name, network in trainer.networks.items()}


LOSSES = {
    "least_squares": (lambda score: (score - 1).pow(2).mean(), lambda score: score.pow(2).mean()),
    "log": (lambda score: functional.softplus(-score).mean(), lambda score: functional.softplus(score).mean()),
}


@pytest.mark.parametrize("adversarial", LOSSES)
def test_one_step_is_the_papers_by_hand(pair, adversarial):
    real, fake = LOSSES[adversarial]
    options = SMALL | {"lambda_cycle": 7.0, "lambda_identity": 0.4, "adversarial": adversarial}
    trainer = fit(CycleGANTrainer(**options), pair, max_steps=1)

    fresh = CycleGANTrainer(**options)
    fresh._build(trainer.data_spec)
    G, F, D_X, D_Y = fresh.networks.values()
    rows_x, rows_y = (rows[0] for rows in fresh._rows_of_epoch(0, 0))
    x, y = pair[0].images[rows_x] / 127.5 - 1, pair[1].images[rows_y] / 127.5 - 1
    adam_G = torch.optim.Adam([*G.parameters(), *F.parameters()], lr=2e-4, betas=(0.5, 0.999))
    adam_D = torch.optim.Adam([*D_X.parameters(), *D_Y.parameters()], lr=2e-4, betas=(0.5, 0.999))
    y_fake, x_fake = G(x), F(y)
    of_G = real(D_Y(y_fake)) + real(D_X(x_fake))
    cycle = functional.l1_loss(F(y_fake), x) + functional.l1_loss(G(x_fake), y)
    same = functional.l1_loss(G(y), y) + functional.l1_loss(F(x), x)
    loss_G = of_G + 7 * cycle + 7 * 0.4 * same
    adam_G.zero_grad()
    loss_G.backward()
    adam_G.step()
    loss_D_X = real(D_X(x)) + fake(D_X(x_fake.detach()))
    loss_D_Y = real(D_Y(y)) + fake(D_Y(y_fake.detach()))
    adam_D.zero_grad()
    ((loss_D_X + loss_D_Y) / 2).backward()
    adam_D.step()

    for name, value in (("loss_G", loss_G), ("loss_D_X", loss_D_X), ("loss_D_Y", loss_D_Y)):
        assert trainer.history[name] == pytest.approx([value.item()], rel=1e-5)
    for name, network in trainer.networks.items():
        for weights, by_hand in zip(network.parameters(), fresh.networks[name].parameters()):
            torch.testing.assert_close(weights, by_hand, atol=2e-6, rtol=1e-4)


def test_history_has_every_term_and_their_weighted_sum(pair):
    history = fit(CycleGANTrainer(**SMALL, lambda_identity=0.5), pair, max_steps=5).history
    for step in range(5):
        adversarial = history["loss_G_adversarial"][step] + history["loss_F_adversarial"][step]
        cycle = history["cycle_X"][step] + history["cycle_Y"][step]
        same = history["identity_X"][step] + history["identity_Y"][step]
        assert history["loss_G"][step] == pytest.approx(adversarial + 10 * cycle + 5 * same, rel=1e-5)
    assert "identity_X" not in fit(CycleGANTrainer(**SMALL), pair, max_steps=1).history


def test_each_loss_moves_its_own_networks(pair):
    trainer = fit(CycleGANTrainer(**SMALL), pair, max_steps=1)
    moved = []
    descend = trainer.descend

    def watched(names, loss, batch):
        before = weights_of(trainer)
        descend(names, loss, batch)
        after = weights_of(trainer)
        moved.append({n for n in before if not all(map(torch.equal, before[n], after[n]))})

    trainer.descend = watched
    fit(trainer, pair, max_steps=2)
    assert moved == [{"G", "F"}, {"D_X", "D_Y"}]
    assert all(w.requires_grad for network in trainer.networks.values() for w in network.parameters())


def test_an_epoch_goes_through_the_larger_set_and_round_the_smaller(pair):
    trainer = Recorder(**SMALL)
    fit(trainer, pair, epochs=1)
    assert trainer.step == 4 == trainer.steps_per_epoch
    x, y = (torch.cat(part) for part in zip(*trainer.seen))
    assert len(x) == len(y) == 14
    assert len(x.flatten(1).unique(dim=0)) == 14
    assert len(y[:9].flatten(1).unique(dim=0)) == 9 and len(y[9:].flatten(1).unique(dim=0)) == 5
    other = Recorder(**SMALL)
    fit(other, pair[::-1], epochs=1)
    assert other.steps_per_epoch == 4 and len(torch.cat([x for x, _ in other.seen]).flatten(1).unique(dim=0)) == 9


def test_pairing_changes_from_epoch_to_epoch(pair):
    trainer = Recorder(**SMALL)
    fit(trainer, (pair[0], noise(14, 1)), epochs=2)
    partners = [{}, {}]
    for number, (x, y) in enumerate(trainer.seen):
        for a, b in zip(x, y):
            partners[number // 4][a.sum().item()] = b.sum().item()
    assert partners[0].keys() == partners[1].keys()
    assert sum(partners[0][image] == partners[1][image] for image in partners[0]) < 5


def test_rate_is_constant_and_then_falls_in_equal_parts(pair):
    trainer = CycleGANTrainer(**SMALL)
    rates = []
    for epoch in range(1, 8):
        fit(trainer, pair, epochs=epoch)
        rates.append(trainer._raw_optimizers["F"].param_groups[0]["lr"] / 2e-4)
    assert rates == pytest.approx([1, 1, 1, 0.75, 0.5, 0.25, 0.25])
    assert {group["lr"] for o in trainer._raw_optimizers.values() for group in o.param_groups} == {rates[-1] * 2e-4}


def test_pool_shows_discriminators_earlier_translations(pair):
    shown = {}
    for size in (0, 4):
        trainer = CycleGANTrainer(**SMALL | {"pool_size": size})
        fit(trainer, pair, max_steps=1)
        query, shown[size] = trainer._from_pools, []

        def keep(x, y, batch, query=query, seen=shown[size]):
            result = query(x, y, batch)
            seen.append(torch.equal(result[0], x) and torch.equal(result[1], y))
            return result

        trainer._from_pools = keep
        fit(trainer, pair, max_steps=8)
    assert all(shown[0]) and not any(shown[4][3:])


def test_resumed_run_has_the_pool_of_the_uninterrupted_one(pair, tmp_path):
    whole = fit(CycleGANTrainer(**SMALL, ema_decay=0.9, flip=True, crop=12), pair)
    fit(CycleGANTrainer(**SMALL, ema_decay=0.9, flip=True, crop=12), pair, max_steps=5).save(
        tmp_path / "run.safetensors"
    )
    resumed = fit(load_trainer(tmp_path / "run.safetensors", device="cpu"), pair)
    assert resumed.history == whole.history
    assert resumed.state().keys() == {"pool_X", "pool_Y"}
    for name, images in whole.state().items():
        assert torch.equal(resumed.state()[name], images)
    for start, there in (("X", "Y"), ("Y", "X")):
        assert torch.equal(resumed.cycle(pair[0], start), whole.cycle(pair[0], start))
        assert torch.equal(resumed.translate(pair[0], there), whole.translate(pair[0], there))


@pytest.mark.parametrize("workers", [0, 2])
def test_folder_that_is_read_on_the_way_trains_the_same_run(pair, workers, tmp_path):
    folders = tuple(Folder(images) for images in pair)
    resident, streamed = (CycleGANTrainer(**SMALL | {"epochs": 2, "decay_epochs": 0}) for _ in range(2))
    fit(resident, pair)
    fit(streamed, folders, max_steps=3, workers=workers).save(tmp_path / "run.safetensors")
    streamed = fit(load_trainer(tmp_path / "run.safetensors", device="cpu"), folders, workers=workers)
    assert streamed.history == resident.history
    assert torch.equal(streamed.translate(folders[0]), resident.translate(pair[0]))
    assert streamed.evaluate(folders) == resident.evaluate(pair)


def test_crops_are_cut_from_the_images_and_mirrored_half_of_the_time():
    ramp = torch.arange(16 * 16, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(64, 3, 16, 16)
    images = ImageSet(ramp, None, "ramp", None, "generated")
    options = SMALL | {"batch_size": 64, "pool_size": 0}
    trainer = CycleGANTrainer(**options, crop=12, flip=True)
    seen = []
    trainer._translation_terms = lambda G, F, D_X, D_Y, x, y: seen.append((x, y)) or 1 / 0
    with pytest.raises(ZeroDivisionError):
        fit(trainer, (images, images), max_steps=1)
    corners, mirrored = set(), 0
    for crop in torch.cat(seen[0]):
        crop = ((crop[0] + 1) * 127.5).round().long()
        if crop[0, 1] < crop[0, 0]:
            mirrored += 1
            crop = crop.flip(-1)
        top, left = divmod(crop[0, 0].item(), 16)
        assert torch.equal(crop, ramp[0, 0, top : top + 12, left : left + 12].long())
        corners.add((top, left))
    assert 40 <= mirrored <= 88 and len(corners) > 15
    assert {top for top, _ in corners} == {left for _, left in corners} == set(range(5))


def test_translations_are_images_and_round_trips_go_through_both_networks(pair):
    trainer = fit(CycleGANTrainer(**SMALL), pair, max_steps=3)
    x = pair[0].images / 255
    with torch.no_grad():
        y = (trainer.networks["G"](2 * x - 1) + 1) / 2
        x_back = (trainer.networks["F"](2 * y - 1) + 1) / 2
    torch.testing.assert_close(trainer.translate(pair[0]), y, atol=1e-5, rtol=0)
    torch.testing.assert_close(trainer.cycle(pair[0]), x_back, atol=1e-5, rtol=0)
    assert not torch.equal(trainer.translate(pair[0], to="X"), trainer.translate(pair[0]))
    assert 0 <= y.min() and y.max() <= 1


def test_networks_of_your_own_are_trained(pair):
    class Brighter(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return torch.tanh(x + self.shift)

    trainer = fit(CycleGANTrainer(**SMALL | {"lr": 1e-2}, G=Brighter()), pair, max_steps=3)
    assert trainer.networks["G"].shift.item() != 0


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"pool_size": 3, "batch_size": 4}, r"pool_size must be 0 or at least the batch size \(4\), got 3"),
        ({"decay_epochs": 300}, r"between 0 and epochs \(200\), got 300"),
        ({"lambda_cycle": -1.0}, "lambda_cycle must not be negative"),
        ({"discriminator_weight": 0.0}, "discriminator_weight must be positive"),
        ({"adversarial": "wasserstein"}, "adversarial must be one of 'least_squares', 'log'"),
        ({"crop": 4}, "crop must be at least 8"),
    ],
)
def test_impossible_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CycleGANTrainer(**wrong)


def test_other_data_than_a_pair_of_one_shape_are_refused(pair):
    with pytest.raises(ValueError, match=r"must be a pair \(X, Y\).*got ImageSet"):
        fit(CycleGANTrainer(**SMALL), pair[0])
    with pytest.raises(ValueError, match="got 3 things"):
        fit(CycleGANTrainer(**SMALL), [*pair, pair[0]])
    with pytest.raises(ValueError, match=r"one shape in X and Y, got \(3, 16, 16\) and \(3, 20, 20\)"):
        fit(CycleGANTrainer(**SMALL), (pair[0], noise(9, 1, side=20)))
    with pytest.raises(ValueError, match="crop is 20, but the images have 16 x 16"):
        fit(CycleGANTrainer(**SMALL, crop=20), pair)
    trainer = fit(CycleGANTrainer(**SMALL), pair, max_steps=1)
    with pytest.raises(ValueError, match="fitted on 14 and 9 images.*these are 9 and 14"):
        fit(trainer, pair[::-1])
    with pytest.raises(ValueError, match="to must be one of 'X', 'Y'"):
        trainer.translate(pair[0], to="Z")


def test_divergence_is_named(pair):
    with pytest.raises(TrainingDiverged, match="at step"):
        fit(CycleGANTrainer(**SMALL | {"lr": 1e30, "epochs": 20}, norm="none"), pair)


def test_paper_settings():
    paper = CycleGANConfig.paper()
    assert (paper.blocks, paper.crop, paper.width, paper.pool_size, paper.batch_size) == (9, 256, 64, 50, 1)
    assert (paper.epochs, paper.decay_epochs, paper.lr, paper.beta1, paper.lambda_cycle) == (200, 100, 2e-4, 0.5, 10.0)
    assert CycleGANConfig.paper(128, lambda_identity=0.5).blocks == 6
    with pytest.raises(ValueError, match="size must be one of 128, 256"):
        CycleGANConfig.paper(64)
