"""The numbers and figures of book/cyclegan.md, and the translators that its lesson opens.

    python book/results/cyclegan.py

*Emoji*: slim networks (width 16, two residual blocks, discriminators of one halving) on 431 blobs and 431 other
emoji of 2020, batches of 4 for 8 epochs, with a learning rate of 0.0006 that falls over the second half: minutes of
one CPU core for each run, where the paper has 200 epochs. Batches above 1 run faster on a CPU. The full model and the
ceiling have three seeds, the ablations one. A run is saved every 100 steps under `book/results/runs/` and goes on
from there. Seed 0 of the full model is kept, in half precision, as
notebooks/checkpoints/cyclegan-emoji.safetensors.
*Message*: digits in random hues on one side and grey ones on the other. *Halving*: the factor of one half in the
loss of the discriminators, under Adam.
"""

import colorsys
import copy
import sys
from functools import cache
from pathlib import Path

import torch
from matplotlib.figure import Figure
from record import keep_run, main, save_figure
from torch.nn.functional import softplus

from coursekit.data import load_images, load_unpaired, to_float
from coursekit.metrics import ColourMatching, paired_error, retrieval_accuracy
from coursekit.networks.cyclegan import PatchDiscriminator, ResnetGenerator
from coursekit.networks.dcgan import normal_weights
from coursekit.plots import COLORS, image_rows
from coursekit.trainers import CycleGANTrainer

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "book" / "results" / "runs"
CHECKPOINT = ROOT / "notebooks" / "checkpoints" / "cyclegan-emoji.safetensors"

EPOCHS, BATCH, RATE, BETAS = 8, 4, 6e-4, (0.5, 0.999)
SLIM = dict(width=16, blocks=2)
SETTINGS = SLIM | dict(
    discriminator_layers=1, lambda_identity=0.5, epochs=EPOCHS, decay_epochs=EPOCHS // 2, batch_size=BATCH, lr=RATE
)
FULL = {
    "full": {},
    "no-cycle": dict(lambda_cycle=0.0),  # and so no identity loss, whose weight is a share of this one
    "no-identity": dict(lambda_identity=0.0),
    "no-pool": dict(pool_size=0),
}
BASELINES = ["nothing", "colour-channel", "colour-covariance"]
DIGITS = dict(width=8, blocks=1, discriminator_layers=1, batch_size=8, lr=6e-4, decay_epochs=0)
MESSAGE_STEPS = 500
# What is measured with which seeds: one where nothing is drawn, and one of what takes long and is beside the point.
PLAN = [
    (BASELINES, (0,)),
    (["halving"], (0, 1, 2)),
    (["full"], (0, 1, 2)),
    (["supervised"], (0, 1, 2)),
    (["message"], (0, 1, 2)),
    (["no-cycle", "no-identity", "no-pool"], (0,)),
]
CASES = [case for cases, _ in PLAN for case in cases]


def run(case, seed, smoke=False):
    if case == "halving":
        return halving(seed, smoke)
    if case == "message":
        return hidden_message(seed, smoke)
    if case in BASELINES:
        return scores(baseline(case))
    if case == "supervised":
        return scores(translated_by(supervised(seed, smoke)))
    trainer = trained(case, seed, smoke)
    if (case, seed) == ("full", 0) and not smoke:
        keep_run(trainer, CHECKPOINT, half=True)
    return scores(trainer.translate(emoji("test")[0])) | steganography(trainer)


# -- emoji -----------------------------------------------------------------------------------------


@cache
def emoji(split):
    """Aligned emoji, float in [0, 1]: row i of both is one code point."""
    return tuple(to_float(load_images(name, split).images) for name in ("emoji_blob", "emoji_noto"))


def scores(translated):
    truth = emoji("test")[1]
    return {"error": paired_error(translated, truth), "retrieval": retrieval_accuracy(translated, truth)}


def baseline(case):
    x = emoji("test")[0]
    if case == "nothing":
        return x
    X, Y = (to_float(part.images) for part in load_unpaired("emoji"))
    return ColourMatching(X, Y, case.removeprefix("colour-"))(x)


@cache
def trained(case, seed, smoke=False):
    """The trainer of this case, which goes on where an earlier call of the script was stopped."""
    path = RUNS / f"cyclegan-{case}-{seed}.safetensors"
    if path.exists() and not smoke:
        trainer = CycleGANTrainer.load(path, device="cpu")
    else:
        trainer = CycleGANTrainer(**SETTINGS | FULL[case], seed=seed, device="cpu")
    if smoke:
        return trainer.fit(load_unpaired("emoji"), max_steps=2, progress=False)
    if trainer.step == 0 or trainer.step < trainer.config.epochs * trainer.steps_per_epoch:
        RUNS.mkdir(exist_ok=True)
        trainer.fit(load_unpaired("emoji"), checkpoint=path, checkpoint_every=100, progress=False)
    return trainer


@cache
def supervised(seed, smoke=False):
    """The same G with all 862 pairs, on the mean absolute error: the ceiling."""
    path = RUNS / f"cyclegan-supervised-{seed}.pt"
    torch.manual_seed(seed)
    x, y = (2 * images - 1 for images in emoji("train"))
    G = normal_weights(ResnetGenerator(x.shape[1:], **SLIM))
    if path.exists() and not smoke:
        G.load_state_dict(torch.load(path, weights_only=True))
        return G.eval()
    optimizer = torch.optim.Adam(G.parameters(), lr=RATE, betas=BETAS)
    for epoch in range(EPOCHS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (EPOCHS - epoch) / (EPOCHS // 2 + 1))
        for rows in torch.randperm(len(x)).split(BATCH)[: 2 if smoke else None]:
            optimizer.zero_grad()
            (G(x[rows]) - y[rows]).abs().mean().backward()
            optimizer.step()
    if not smoke:
        RUNS.mkdir(exist_ok=True)
        torch.save(G.state_dict(), path)
    return G.eval()


@torch.no_grad()
def translated_by(G):
    return torch.cat([(G(2 * part - 1) + 1) / 2 for part in emoji("test")[0].split(64)])


# -- the hidden message ------------------------------------------------------------------------------


def noisy(images, levels):
    """With noise of so many grey levels of 256, and clipped."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(3))
    return (images + levels / 255 * noise).clamp(0, 1)


def rounded(images, bits):
    steps = 2**bits - 1
    return (images * steps).round() / steps


def steganography(trainer):
    """What F still makes of a translation that was touched, and of the true partner, which holds no message."""
    x, y = emoji("test")
    there = trainer.translate(x)

    def back(images):
        return paired_error(trainer.translate(images, to="X"), x)

    def moved(images):
        """How far F's answer moves when two grey levels of noise are added to its input."""
        return paired_error(trainer.translate(noisy(images, 2), to="X"), trainer.translate(images, to="X"))

    return {
        "cycle": back(there),
        "cycle_rounded": back(rounded(there, 8)),
        "cycle_noise_2": back(noisy(there, 2)),
        "cycle_noise_8": back(noisy(there, 8)),
        "from_truth": back(y),
        "sensitivity_ratio": moved(there) / moved(y),
    }


@cache
def hues(split):
    """Digits in hues that their shapes do not tell, and grey ones: train on others, test on the same."""
    inks = []
    for part in load_unpaired("coloured_digits", split):
        images = to_float(part.images)
        images = 1 - images if part.name.endswith("Y") else images
        blue = images[:, 2:]  # the ground is 0.95 and all inks are as dark in blue
        inks.append(((0.95 - blue) / 0.895).clamp(0, 1))
    generator = torch.Generator().manual_seed({"train": 1, "test": 2}[split])
    hue = torch.rand(len(inks[0]), generator=generator).tolist()
    colour = torch.tensor([colorsys.hsv_to_rgb(h, 0.8, 0.8) for h in hue])[:, :, None, None]
    grey = torch.full((1, 3, 1, 1), 0.35)
    paint = lambda ink, colour: 0.95 + ink * (colour - 0.95)  # noqa: E731
    return paint(inks[0], colour), paint(inks[1], grey)


@cache
def coder(seed, smoke=False):
    """G: hues to grey, F: grey to hues."""
    trainer = CycleGANTrainer(**DIGITS, epochs=1000, seed=seed, device="cpu")
    return trainer.fit(hues("train"), max_steps=2 if smoke else MESSAGE_STEPS, progress=False)


def touched(there):
    """A translation, as it is and as others would hand it on."""
    return {
        "as_it_is": there,
        "rounded": rounded(there, 8),
        "noise_2": noisy(there, 2),
        "noise_8": noisy(there, 8),
        "one_channel": there.mean(1, keepdim=True).expand_as(there),
    }


def hidden_message(seed, smoke):
    trainer = coder(seed, smoke)
    x, y = hues("test")
    there = trainer.translate(x)
    errors = {name: paired_error(trainer.translate(image, to="X"), x) for name, image in touched(there).items()}
    return errors | {
        "from_truth": paired_error(trainer.translate(y, to="X"), x),
        "translation": paired_error(there, y),
        "colour": (there - there.mean(1, keepdim=True)).abs().mean().item(),
    }


# -- one half ---------------------------------------------------------------------------------------


def halving(seed, smoke):
    """How far D_Y is from where the whole loss takes it, in units of the way it went."""
    X, Y = load_unpaired("coloured_digits")
    first = CycleGANTrainer(**DIGITS, seed=seed, device="cpu").fit((X, Y), max_steps=1, progress=False)
    torch.manual_seed(seed)
    start = {name: normal_weights(copy.deepcopy(network)) for name, network in first.networks.items()}

    def weights(network):
        return torch.cat([part.detach().flatten() for part in network.parameters()])

    def after(steps, factor, batches=seed):
        trainer = CycleGANTrainer(
            **DIGITS, **copy.deepcopy(start), discriminator_weight=factor, seed=batches, device="cpu"
        )
        return weights(trainer.fit((X, Y), max_steps=steps, progress=False).networks["D_Y"])

    origin, many = weights(start["D_Y"]), 2 if smoke else 50
    whole, halved = after(1, 1.0), after(1, 0.5)
    late, late_halved, late_other = after(many, 1.0), after(many, 0.5), after(many, 1.0, batches=seed + 100)
    return {
        "first_step": ((whole - halved).norm() / (whole - origin).norm()).item(),
        "fifty_steps": ((late - late_halved).norm() / (late - origin).norm()).item(),
        "other_batches": ((late - late_other).norm() / (late - origin).norm()).item(),
    }


# -- figures ----------------------------------------------------------------------------------------


def save(figure, name):
    save_figure(figure, "cyclegan", name, dpi=100)


def draw_losses():
    """The loss of G and its slope against the score of one translation."""
    s = torch.linspace(-3, 4, 500)
    figure = Figure(figsize=(8.6, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, log, squares in (
        (left, softplus(-s), (s - 1) ** 2),
        (right, torch.sigmoid(-s), 2 * (s - 1).abs()),
    ):
        axes.plot(s, log, color=COLORS[1], label="log loss")
        axes.plot(s, squares, "--", color=COLORS[0], label="least squares")
        axes.set(xlabel="score of the translation", ylim=(-0.2, 6))
        axes.grid(color="#e4e4e4")
    left.set_title("loss of $G$")
    right.set_title("size of its slope in the score")
    left.legend(frameon=False)
    save(figure, "losses")


def draw_receptive_field():
    """The gradient of one central score in every pixel."""
    figure = Figure(figsize=(8.6, 2.5), layout="constrained")
    panels = [("none", 1), ("none", 2), ("instance", 1), ("instance", 2)]
    for axes, (norm, layers) in zip(figure.subplots(1, 4), panels):
        torch.manual_seed(0)
        D = normal_weights(PatchDiscriminator((3, 32, 32), 16, layers, norm=norm), 0.1).double()
        total = torch.zeros(32, 32, dtype=torch.double)
        for _ in range(8):
            x = torch.randn(1, 3, 32, 32, dtype=torch.double, requires_grad=True)
            scores = D(x)[0, 0]
            scores[scores.shape[0] // 2, scores.shape[1] // 2].backward()
            total += x.grad.abs().sum((0, 1))
        shown = (total / total.max()).clamp_min(1e-12).log10().clamp_min(-6)
        image = axes.imshow(shown, cmap="inferno", vmin=-6, vmax=0)
        title = f"{'no norm' if norm == 'none' else 'instance norm'}, {layers} layer{'s' * (layers > 1)}"
        axes.set_title(title, fontsize=9)
        axes.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=axes, ticks=[-6, -3, 0], label="$\\log_{10}$, largest = 0", shrink=0.8)
    save(figure, "receptive-field")


def draw_emoji(n=12):
    x, y = emoji("test")
    rows = {
        "blob": x[:n],
        "matched colours": baseline("colour-covariance")[:n],
        "CycleGAN": trained("full", 0).translate(x[:n]),
        "with pairs": translated_by(supervised(0))[:n],
        "truth": y[:n],
        "there and back": trained("full", 0).cycle(x[:n]),
    }
    save(image_rows(rows, scale=2), "emoji")


def draw_message(n=10):
    trainer, x = coder(0), hues("test")[0][:n]
    there = trainer.translate(x)
    grey = there.mean(1, keepdim=True)
    back = {name: trainer.translate(image, to="X") for name, image in touched(there).items()}
    rows = {
        "x": x,
        "G(x)": there,
        "its colour, ×8": (0.5 + 8 * (there - grey)).clamp(0, 1),
        "F(G(x))": back["as_it_is"],
        "... with noise": back["noise_8"],
        "... in one channel": back["one_channel"],
    }
    save(image_rows(rows, scale=2), "message")


if __name__ == "__main__":
    torch.set_num_threads(1)  # the networks are small, and repeat exactly
    everything = dict(cases=CASES, seeds=(0, 1, 2), data=("emoji_blob", "emoji_noto"))
    if sys.argv[1:]:
        main("cyclegan", run, **everything)
    else:
        for cases, seeds in PLAN:
            only = ["--cases", ",".join(cases), "--seeds", ",".join(map(str, seeds))]
            main("cyclegan", run, **everything, argv=only)
        draw_losses()
        draw_receptive_field()
        draw_emoji()
        draw_message()
