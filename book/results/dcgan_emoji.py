"""The emoji of book/dcgan.md, and the generator that its lesson opens.

    python book/results/dcgan_emoji.py

Trains on 862 colour images of 32 x 32; the 216 others judge. Seed 0 of the case `emoji` is kept, in half
precision, as notebooks/checkpoints/dcgan-emoji.safetensors.
"""

from functools import cache
from pathlib import Path

import torch
from dcgan import Judge, path_rows
from record import keep_run, main, save_figure

from coursekit.data import ImageSet, load_images, to_float
from coursekit.metrics import frechet_distance_of, memorisation_ratio, nearest_neighbours
from coursekit.plots import image_rows
from coursekit.trainers import ClassifierTrainer, DCGANTrainer

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "notebooks" / "checkpoints" / "dcgan-emoji.safetensors"
SEEDS = (0, 1, 2)

SETTINGS = dict(width=24, noise_dim=64, batch_size=32, ema_decay=0.995)
STAGES = (1, 50, 150, 500, 1000, 1800)
CASES = ["emoji", "real"]


def run(case, seed, smoke=False):
    return {"emoji": quality, "real": real}[case](seed, smoke)


@cache
def data():
    """Training and held-out emoji."""
    return load_images("emoji_blob"), load_images("emoji_blob", "test")


@cache
def judge(smoke=False):
    """A classifier of how far an emoji was turned: emoji have no labels, and these cost nothing."""
    train, held_out = data()
    turned = torch.cat([train.images.rot90(quarter, (2, 3)) for quarter in range(4)])
    labels = torch.arange(4).repeat_interleave(len(train))
    torch.manual_seed(0)
    model = ClassifierTrainer(network=Judge(3, 32, 4), device="cpu", seed=0)
    quarters = ("0", "90", "180", "270")
    model.fit(
        ImageSet(turned, labels, "turned emoji", quarters, train.source), epochs=1 if smoke else 15, progress=False
    )
    x = to_float(held_out.images)
    right = [(model.predict(x.rot90(quarter, (2, 3))) == quarter).double().mean().item() for quarter in range(4)]
    print(f"judge of emoji: accuracy {sum(right) / 4:.3f} on held-out ones", flush=True)
    return model


@cache
def trained(seed, smoke=False):
    """The trainer, and samples from the same noise at every stage."""
    trainer, stages = DCGANTrainer(**SETTINGS, seed=seed, device="cpu"), {}
    for step in (1, 3) if smoke else STAGES:
        trainer.fit(data()[0], max_steps=step, progress=False)
        stages[f"step {step:,}"] = trainer.sample(12, seed=1)
    return trainer, stages


def measures(images, smoke):
    train, held_out = (to_float(part.images) for part in data())
    features, half = judge(smoke).features, len(held_out) // 2
    return {
        "frechet": frechet_distance_of(features(images), features(train)),
        # Against half of the held-out emoji, so that the other half can say what no copying gives.
        "memorisation": memorisation_ratio(images[:half], train, held_out[half:]),
        "distance": nearest_neighbours(images, train)[0].median().item(),
    }


def quality(seed, smoke):
    trainer = trained(seed, smoke)[0]
    if seed == 0 and not smoke:
        keep_run(trainer, CHECKPOINT, half=True)
    return measures(trainer.sample(len(data()[1]), seed=seed), smoke)


def real(seed, smoke):
    """Held-out emoji in the place of samples; nothing is random but the name of the seed."""
    return measures(to_float(data()[1].images), smoke)


def draw():
    trainer, stages = trained(0)
    save_figure(image_rows({"training images": data()[0].images[:12]} | stages), "dcgan_emoji", "stages")
    save_figure(image_rows(path_rows(trainer, [(0, 1), (2, 3), (4, 5)])), "dcgan_emoji", "paths")


if __name__ == "__main__":
    torch.set_num_threads(1)  # the networks are small, and repeat exactly
    if main("dcgan_emoji", run, cases=CASES, seeds=SEEDS, data=("emoji_blob",)):
        draw()
