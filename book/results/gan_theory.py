"""The numbers, figures and the animation of book/gan_theory.md.

    python book/results/gan_theory.py

A GAN on the line, whose generator is an increasing map of normal noise: p_g, and with it D*, the
Jensen-Shannon divergence and the criterion, are exact up to quadrature. Data are 10,000 points from a mixture
of two Gaussians. One generator step follows k steps of D.
"""

import io
import itertools
import math
from functools import cache

import torch
from matplotlib.figure import Figure
from PIL import Image
from record import FIGURES, main, save_figure
from torch import nn

from coursekit.data.densities import gaussian_mixture
from coursekit.losses.gan import generator_loss
from coursekit.networks import MonotoneGenerator, mlp
from coursekit.plots import COLORS, animation, density_frame
from coursekit.theory import criterion, jensen_shannon, optimal_discriminator, value
from coursekit.trainers import GANTrainer

ANIMATIONS = FIGURES.parent / "animations"
SEEDS = (0, 1, 2)
POINTS, BATCH = 10_000, 256
G_STEPS, EVERY = 400, 10
ALONE, RECOVERY = 600, 400  # generator steps against a frozen D, and with D again
DIM, SHIFT = 16, 0.25  # of the overfitting experiment
D_STEPS = (1, 3, 10, 30, 100, 300, 1000)

SETTINGS = dict(noise_dim=1, noise="normal", batch_size=BATCH, lr=1e-2, discriminator_lr=2e-3, device="cpu")
K = {  # k, generator steps, other settings
    "k-1": (1, G_STEPS, {}),
    "k-5": (5, G_STEPS, {}),
    "k-1-long": (1, 5 * G_STEPS, {}),
    "k-1-fast-d": (1, G_STEPS, dict(discriminator_lr=1e-2)),
}
OVERFIT = {f"overfit-{n}": n for n in (100, 1000, 50_000)}
CASES = [*K, "helvetica", *OVERFIT]

X = torch.linspace(-12, 12, 2401, dtype=torch.float64)  # the quadrature grid, with more points where p_g is high
Z = torch.linspace(-6, 6, 2401, dtype=torch.float64)[:, None]
VIEW = torch.linspace(-3.5, 3.5, 351, dtype=torch.float64)  # what the figures show
ARROWS = torch.special.ndtri((torch.arange(16, dtype=torch.float64) + 0.5) / 16)  # equal shares of the noise

GAME = {  # how the game on the page opens: weights, centres and widths of two humps
    "data": ([0.35, 0.65], [-1.2, 1.2], [0.4, 0.6]),
    "g": ([1.0, 0.0], [-1.5, 1.5], [0.7, 0.7]),
}


def p_data():
    def float64(*values):
        return torch.tensor(values, dtype=torch.float64)

    return gaussian_mixture(float64(0.35, 0.65), float64(-1.2, 1.2), float64(0.4, 0.6))


@cache
def points(seed):
    torch.manual_seed(1000 + seed)
    return p_data().sample((POINTS, 1)).float()


def new_trainer(seed, k, shift=-1.5, scale=0.7, **settings):
    torch.manual_seed(2000 + seed)
    discriminator = mlp([1, 32, 32, 1], nn.Tanh)
    generator = MonotoneGenerator(8, shift=shift, scale=scale)
    return GANTrainer(generator=generator, discriminator=discriminator, k=k, seed=seed, **SETTINGS | settings)


def curves(trainer, x):
    """p_data, p_g, D and D* on a grid, float64."""
    data, p_g = p_data().log_prob(x).exp(), trainer.generator.density(x, "normal")
    d = trainer.discriminate(x[:, None].float()).double().sigmoid()
    return data, p_g, d, optimal_discriminator(data, p_g)


def measure(trainer):
    x = torch.cat([X, trainer.generate(Z).double().flatten()]).unique()  # sorted
    gaps = torch.nn.functional.pad(x.diff(), (1, 1))
    weights = (gaps[1:] + gaps[:-1]) / 2  # of the trapezoidal rule
    data, p_g, d, d_star = curves(trainer, x)
    return {
        "distance": ((d - d_star).abs() * (data + p_g) / 2 * weights).nansum().item(),
        "jsd": jensen_shannon(data, p_g, weights).item(),
        "criterion": criterion(data, p_g, weights).item(),
        "value": value(data, p_g, d, weights).item(),
    }


def width(trainer):
    """Length of the interval that holds the middle 90% of G(z)."""
    z = torch.special.ndtri(torch.tensor([[0.05], [0.95]]))
    low, high = trainer.generate(z).flatten().tolist()
    return high - low


@cache
def alternate(case, seed, smoke=False):
    """Measurements along a run of Algorithm 1: a list of (generator step, dict)."""
    k, steps, settings = K[case]
    trainer, path = new_trainer(seed, k, **settings), []
    for step in range(EVERY, (2 * EVERY if smoke else steps) + 1, EVERY):
        trainer.fit(points(seed), max_steps=k * step, progress=False)
        path.append((step, measure(trainer)))
    return path


def follow(case, seed, smoke):
    path = alternate(case, seed, smoke)
    late = path[-len(path) // 4 :]

    def mean(name, part):
        return sum(measured[name] for _, measured in part) / len(part)

    return {
        "distance": mean("distance", path),
        **{f"late_{name}": mean(name, late) for name in ("distance", "jsd", "criterion", "value")},
        "d_steps": K[case][0] * path[-1][0],
    }


def alone(trainer, seed):
    """Move G only, down the non-saturating loss of the D that there is; yields after every step."""
    G, D = trainer.generator, trainer.discriminator
    optimizer = torch.optim.Adam(G.parameters(), lr=SETTINGS["lr"], betas=(0.5, 0.999))
    noise = torch.Generator().manual_seed(3000 + seed)
    for step in itertools.count(1):
        loss_G = generator_loss(D(G(torch.randn(BATCH, 1, generator=noise))).squeeze(1))
        optimizer.zero_grad()
        loss_G.backward()
        optimizer.step()
        yield step


@cache
def helvetica(seed, smoke=False):
    """G far ahead of a frozen D, and back. Metrics, and frames of what was seen on the way."""
    trainer = new_trainer(seed, k=5, shift=0.0, scale=2.5)
    first = 40

    def frame(title):
        return density_frame(VIEW, *curves(trainer, VIEW), arrows=arrows(trainer), title=title, top=0.75)

    def d_fake():
        return trainer.discriminate(trainer.sample(10_000, seed=9)).sigmoid().mean().item()

    trainer.fit(points(seed), max_steps=5 * first, progress=False)
    frames = {"before": frame("(a) D and G in turns, step 40")}
    metrics = {
        "width_before": width(trainer),
        "jsd_before": measure(trainer)["jsd"],
        "d_fake_before": d_fake(),
        "d_highest": curves(trainer, VIEW)[2].max().item(),
    }
    path = [(0, metrics["jsd_before"])]
    for step in itertools.islice(alone(trainer, seed), 40 if smoke else ALONE):
        if step % 20 == 0:
            path.append((step, measure(trainer)["jsd"]))
        if step == 40:
            frames["best"] = frame("(b) 40 more steps of G alone")
    frames["after"] = frame(f"(c) {step} steps of G alone")
    best_step, best = min(path, key=lambda pair: pair[1])
    metrics |= {
        "jsd_best": best,
        "best_step": best_step,
        "jsd_after": path[-1][1],
        "width_after": width(trainer),
        "d_fake_after": d_fake(),
    }
    trainer.fit(points(seed), max_steps=5 * (first + (2 if smoke else RECOVERY)), progress=False)
    frames["recovered"] = frame(f"(d) in turns again, {RECOVERY} steps")
    metrics |= {"jsd_recovered": measure(trainer)["jsd"], "width_recovered": width(trainer)}
    return metrics, frames


class Shifted(nn.Module):
    """G(z) = z + shift: never trained here."""

    def __init__(self, shift):
        super().__init__()
        self.shift = nn.Parameter(shift)

    def forward(self, z):
        return z + self.shift


@cache
def overfit(n, seed, smoke=False):
    """D alone, on n points of N(0, I) against fresh samples of N(shift, I): a list of (step, dict)."""
    torch.manual_seed(4000 + seed)
    generator, discriminator = Shifted(torch.full((DIM,), SHIFT)), mlp([DIM, 128, 128, 1])
    data, held_out = torch.randn(n, DIM), torch.randn(10_000, DIM)
    trainer = GANTrainer(
        generator=generator,
        discriminator=discriminator,
        noise_dim=DIM,
        noise="normal",
        k=10**9,  # G never has its turn
        batch_size=min(n, 128),
        lr=1e-3,
        seed=seed,
        device="cpu",
    )

    def right(logits):
        return (logits > 0).float().mean().item()

    path = []
    for step in D_STEPS[:2] if smoke else D_STEPS:
        trainer.fit(data, max_steps=step, progress=False)
        x_fake = trainer.sample(10_000, seed=9)
        on_fakes = right(-trainer.discriminate(x_fake))
        distance = 0.0
        for x in (held_out, x_fake):
            # log p_data - log p_g of two Gaussians with the same covariance
            d_star = torch.sigmoid(DIM * SHIFT**2 / 2 - SHIFT * x.sum(1))
            distance += (trainer.discriminate(x).sigmoid() - d_star).abs().mean().item() / 2
        path.append(
            (
                step,
                {
                    "train_accuracy": (right(trainer.discriminate(data)) + on_fakes) / 2,
                    "held_out_accuracy": (right(trainer.discriminate(held_out)) + on_fakes) / 2,
                    "distance": distance,
                },
            )
        )
    return path


def best_accuracy():
    """Of D*: the share of points on the right side of the plane half-way between the two means."""
    distance = SHIFT * math.sqrt(DIM)
    return 0.5 * (1 + math.erf(distance / 2 / math.sqrt(2)))


def last_and_best(n, seed, smoke):
    path = overfit(n, seed, smoke)
    best_step, best = min(path, key=lambda pair: pair[1]["distance"])
    return path[-1][1] | {
        "best_distance": best["distance"],
        "best_step": best_step,
        "accuracy_then": best["held_out_accuracy"],
        "best_accuracy": best_accuracy(),
    }


def run(case, seed, smoke=False):
    if case in K:
        return follow(case, seed, smoke)
    if case == "helvetica":
        return helvetica(seed, smoke)[0]
    return last_and_best(OVERFIT[case], seed, smoke)


# --- figures ------------------------------------------------------------------------------------


def arrows(trainer):
    return ARROWS, trainer.generate(ARROWS[:, None].float()).flatten()


def save_frames(frames, name):
    """Four frames as one picture, two by two."""
    pictures = [Image.open(io.BytesIO(frame._repr_png_())).convert("RGB") for frame in frames]
    wide, high = pictures[0].size
    sheet = Image.new("RGB", (2 * wide, 2 * high), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % 2 * wide, i // 2 * high))
    FIGURES.mkdir(parents=True, exist_ok=True)
    sheet.save(FIGURES / f"gan_theory-{name}.png", optimize=True)


def draw_live():
    """The animation, and four of its moments."""
    trainer, frames, stills = new_trainer(0, k=5), {}, []
    named = {5: "(a)", 40: "(b)", 70: "(c)", 400: "(d)"}
    steps = (1, 5, 10, 20, 30, 35, 40, 45, 50, 55, 60, 65, 70, 80, 90, 100, 120, 160, 240, 400)
    for step in steps:
        trainer.fit(points(0), max_steps=5 * step, progress=False)
        shown = dict(arrows=arrows(trainer), top=0.75)
        label = f"step {step}: C(G) = {measure(trainer)['criterion']:.3f}".replace("-", "−")
        frames[label] = density_frame(VIEW, *curves(trainer, VIEW), title=f"step {step}", **shown)
        if step in named:
            title = f"{named[step]} step {step}"
            stills.append(density_frame(VIEW, *curves(trainer, VIEW), title=title, **shown))
    save_frames(stills, "stages")
    ANIMATIONS.mkdir(exist_ok=True)
    animation(
        frames.values(),
        "A one-dimensional GAN learns, from generator step 1 to 400. At first p_g is one hump around -1.5, and D "
        "is flat. D soon falls where p_g is high and rises to the right, where the data have a second hump; p_g "
        "spreads to the right, and splits in two humps. D and the exact D* fall onto each other, and both end near "
        "one half where there are data. The arrows from z to x move apart between the two humps.",
        labels=frames,
        seconds=0.4,
    ).save(ANIMATIONS / "gan_theory-training.html")


def draw_training():
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for case, color, label in (("k-1", COLORS[1], "k = 1"), ("k-5", COLORS[0], "k = 5")):
        for seed in SEEDS:
            steps, measured = zip(*alternate(case, seed), strict=True)
            style = dict(color=color, lw=1.4, alpha=0.9, ls="-" if case == "k-5" else (0, (4, 1.5)))
            name = label if seed == 0 else None
            left.plot(steps, [m["distance"] for m in measured], label=name, **style)
            middle.semilogy(steps, [m["jsd"] for m in measured], label=name, **style)
            if seed == 0:
                right.plot(steps, [m["criterion"] for m in measured], label=f"C(G), {label}", **style)
                thin = dict(color=color, lw=1, marker=".", ms=4, ls="none")
                right.plot(steps, [m["value"] for m in measured], label=f"V(D, G), {label}", **thin)
    right.axhline(-math.log(4), color="black", ls=":", lw=1.2)
    right.annotate("−log 4", (G_STEPS, -math.log(4)), ha="right", va="top", xytext=(0, -4), textcoords="offset points")
    left.set(title="mean |D − D*|", ylim=(0, None))
    middle.set(title="JSD in nats")
    right.set(title="value in nats")
    for axes in (left, middle, right):
        axes.set_xlabel("generator step")
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, "gan_theory", "training")


def draw_game():
    """The GAN game as it opens: what the page shows without scripts and in print."""
    x = torch.linspace(-6.5, 6.5, 1301, dtype=torch.float64)
    weight = (x[1] - x[0]).item()
    data, p_g = (
        gaussian_mixture(*(torch.tensor(values, dtype=torch.float64) for values in GAME[name])).log_prob(x).exp()
        for name in ("data", "g")
    )
    d_star, c_G, jsd = optimal_discriminator(data, p_g), criterion(data, p_g, weight), jensen_shannon(data, p_g, weight)
    half = torch.full_like(x, 0.5)
    value_V = value(data, p_g, half, weight)

    figure = Figure(figsize=(7, 5), layout="constrained")
    above, below, scale = figure.subplots(3, 1, height_ratios=(4, 2, 1.1))
    for p, color, style, label in ((data, COLORS[4], ":", r"$p_\mathrm{data}$"), (p_g, COLORS[3], "-", "$p_g$")):
        above.plot(x, p, style, color=color, lw=2.2, label=label)
        above.fill_between(x, p, color=color, alpha=0.13, lw=0)
    below.plot(x, d_star, color=COLORS[2], lw=2.2, label="$D^*$, the best")
    below.plot(x, half, "--", color=COLORS[0], lw=2.2, label="$D$, your own")
    above.set(ylim=(0, 0.8), xticklabels=[])
    below.set(ylim=(-0.03, 1.05), yticks=[0, 0.5, 1], yticklabels=["0", "½", "1"])
    for axes in (above, below):
        axes.set_xlim(x[0], x[-1])
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper left")

    bottom = -math.log(4)
    scale.barh(0, c_G - bottom, left=bottom, height=0.5, color=COLORS[2], alpha=0.4)
    scale.plot(c_G, 0.45, "v", color=COLORS[2], ms=8)
    scale.plot(value_V, -0.45, "^", color=COLORS[0], ms=8)
    scale.annotate(f"$C(G)$ = {c_G:.3f}".replace("-", "−"), (c_G, 0.75), ha="center", va="bottom")
    scale.annotate(f"$V(D, G)$ = {value_V:.3f}".replace("-", "−"), (bottom - 0.06, -0.45), ha="right", va="center")
    scale.annotate(f"2 JSD = {2 * jsd:.3f}", ((bottom + c_G) / 2, 0), ha="center", va="center")
    scale.set(xlim=(-2.7, 0.08), ylim=(-0.9, 1.5), yticks=[], xticks=[bottom, 0], xticklabels=["−log 4", "0"])
    scale.spines[["top", "right", "left"]].set_visible(False)
    save_figure(figure, "gan_theory", "game")


def draw_helvetica():
    frames = helvetica(0)[1]
    save_frames([frames[name] for name in ("before", "best", "after", "recovered")], "helvetica")


def draw_overfitting():
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for n, color, marker in zip(OVERFIT.values(), (COLORS[1], COLORS[3], COLORS[0]), "os^", strict=True):
        paths = [overfit(n, seed) for seed in SEEDS]
        steps = [step for step, _ in paths[0]]

        def mean(name):
            return [sum(path[i][1][name] for path in paths) / len(paths) for i in range(len(steps))]

        style = dict(color=color, marker=marker, ms=5)
        left.semilogx(steps, mean("train_accuracy"), "--", mfc="white", **style)
        left.semilogx(steps, mean("held_out_accuracy"), "-", label=f"{n:,} points", **style)
        right.semilogx(steps, mean("distance"), "-", label=f"{n:,} points", **style)
    left.axhline(best_accuracy(), color="black", ls=":", lw=1.2)
    left.annotate("D*", (1, best_accuracy()), va="bottom", xytext=(0, 2), textcoords="offset points")
    left.set(title="accuracy: training (dashed), held out (solid)", xlabel="steps of D", ylim=(0.48, 1.01))
    right.set(title="mean |D − D*|, held out", xlabel="steps of D", ylim=(0, None))
    left.legend(frameon=False, loc="upper left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, "gan_theory", "overfitting")


if __name__ == "__main__":
    torch.set_num_threads(1)  # the networks are tiny: one thread loses nothing and repeats exactly
    if main("gan_theory", run, cases=CASES, seeds=SEEDS, data=()):
        draw_game()
        draw_live()
        draw_training()
        draw_helvetica()
        draw_overfitting()
