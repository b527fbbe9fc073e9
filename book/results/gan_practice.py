"""The numbers and figures of book/gan_practice.md.

    python book/results/gan_practice.py

The museum is `coursekit.museum`. The two losses of the generator are compared on small networks, for 300
steps on 10,000 MNIST images. The memorisation check takes 10,000 training images, 10,000 others of the
same file that no model sees, and 1,000 samples.
"""

from functools import cache

import torch
from matplotlib.figure import Figure
from record import main, save_figure

from coursekit.data import load_images, ring_modes, to_float
from coursekit.losses.gan import generator_loss
from coursekit.metrics import frechet_distance_of, memorisation_ratio, nearest_neighbours
from coursekit.museum import EXHIBITS
from coursekit.plots import COLORS, image_rows
from coursekit.trainers import GANTrainer

SEEDS = (0, 1, 2)
IMAGES, SAMPLES, SHIFTED = 10_000, 1000, 100
LOSS_STEPS, GAN_STEPS = 300, 1000
COMPONENTS = 20

MUSEUM = {name.replace(" ", "-").replace("G's", "G").lower(): name for name in EXHIBITS}
LOSSES = {
    f"{loss.replace('_', '-')}-{optimizer}": dict(generator_loss=loss, optimizer=optimizer)
    for loss in ("saturating", "non_saturating")
    for optimizer in ("sgd", "adam")
}
MEMORY = ["real", "gan", "copier", "shifted-copier"]
CASES = [*MUSEUM, *LOSSES, *MEMORY]


@cache
def data():
    """Training images, others of the same file, and test images, float in [0, 1]."""
    train, test = load_images("mnist"), load_images("mnist", "test")
    return to_float(train.images[:IMAGES]), to_float(train.images[IMAGES : 2 * IMAGES]), to_float(test.images)


def run(case, seed, smoke=False):
    if case in MUSEUM:
        exhibit = EXHIBITS[MUSEUM[case]]
        visits = {"broken": exhibit.broken(seed), "cured": exhibit.cured(seed)}
        return {name: visit.measured for name, visit in visits.items()} | {
            f"alarm_{name}": visit.alarm for name, visit in visits.items()
        }
    if case in LOSSES:
        return loss_of_the_generator(case, seed, smoke)
    return memorisation(case, seed, smoke)


# -- two losses ------------------------------------------------------------------------------------


@cache
def trained_with(case, seed, smoke=False):
    rates = dict(lr=0.1) if LOSSES[case]["optimizer"] == "sgd" else dict(lr=2e-4)
    trainer = GANTrainer(
        generator_hidden=(128, 256), discriminator_hidden=(256, 128), seed=seed, device="cpu", **LOSSES[case], **rates
    )
    return trainer.fit(data()[0], max_steps=20 if smoke else LOSS_STEPS, progress=False)


@cache
def components():
    """The mean and the first principal components of the training pixels."""
    x = data()[0].flatten(1)
    return x.mean(0), torch.linalg.eigh(torch.cov(x.T)).eigenvectors[:, -COMPONENTS:]


def features(images):
    mean, directions = components()
    return (images.flatten(1) - mean) @ directions


def gradient_norm(trainer, loss):
    """Of this loss at the trainer's networks, whichever loss they were trained with."""
    z = trainer.sample_noise(500, seed=1)
    loss_G = generator_loss(trainer.discriminator(trainer.generator(z)), loss)
    gradients = torch.autograd.grad(loss_G, list(trainer.generator.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients]).norm().item()


def loss_of_the_generator(case, seed, smoke):
    trainer = trained_with(case, seed, smoke)
    return {
        "d_fake": sum(trainer.history["d_fake"][-100:]) / 100,
        "gradient_saturating": gradient_norm(trainer, "saturating"),
        "gradient_non_saturating": gradient_norm(trainer, "non_saturating"),
        "frechet": frechet_distance_of(features(trainer.sample(5000)), features(data()[2][:5000])),
    }


# -- memorisation ----------------------------------------------------------------------------------


@cache
def gan(seed, smoke=False):
    trainer = GANTrainer(
        generator_hidden=(256, 512),
        discriminator_hidden=(512, 256),
        noise_dim=64,
        batch_size=64,
        data_range="symmetric",
        seed=seed,
        device="cpu",
    )
    return trainer.fit(data()[0], max_steps=20 if smoke else GAN_STEPS, progress=False)


def shift(images, down=0, right=0):
    """Images moved by whole pixels; what leaves on one side comes in on the other, which is black in MNIST."""
    return images.roll((down, right), dims=(2, 3))


def samples_of(case, seed, smoke=False, n=SAMPLES):
    """`n` images of the "model": a trained GAN, a drawer of training images, or test images."""
    generator = torch.Generator().manual_seed(2000 + seed)
    train, _, test = data()
    if case == "gan":
        return gan(seed, smoke).sample(n, seed=seed)
    source = test if case == "real" else train
    drawn = source[torch.randperm(len(source), generator=generator)[:n]]
    if case == "real":
        return drawn
    noisy = (drawn + 0.05 * torch.randn(drawn.shape, generator=generator)).clamp(0, 1)
    return shift(noisy, right=1) if case == "shifted-copier" else noisy


def moved(images):
    """Every image at its place and moved by one pixel in each of eight directions."""
    return torch.cat([shift(images, down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)])


def memorisation(case, seed, smoke):
    train, held_out, _ = data()
    samples = samples_of(case, seed, smoke)
    n_shifted, n_images = (20, 500) if smoke else (SHIFTED, IMAGES)
    to_train, to_held_out = (nearest_neighbours(samples, images)[0] for images in (train, held_out))
    return {
        "ratio": memorisation_ratio(samples, train, held_out),
        "nearer_training": (to_train < to_held_out).double().mean().item(),
        "ratio_with_shifts": memorisation_ratio(
            samples[:n_shifted], moved(train[:n_images]), moved(held_out[:n_images])
        ),
        "distance": to_train.median().item(),
    }


# -- figures ---------------------------------------------------------------------------------------


def save(figure, name):
    save_figure(figure, "gan_practice", name, dpi=100)


def draw_slopes():
    """Both losses of G against D(G(z)), and their slopes in the logit."""
    d = torch.linspace(0.002, 0.998, 500)
    figure = Figure(figsize=(8.6, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, saturating, other in (
        (left, torch.log(1 - d), -torch.log(d)),
        (right, d, 1 - d),
    ):
        axes.plot(d, saturating, color=COLORS[1], label=r"saturating, $\log(1 - D)$")
        axes.plot(d, other, "--", color=COLORS[0], label=r"non-saturating, $-\log D$")
        axes.set(xlabel="$D(G(z))$")
        axes.grid(color="#e4e4e4")
    left.set(title="loss of one sample (nats)", ylim=(-4.5, 4.5))
    right.set(title="size of its slope in the logit")
    left.legend(frameon=False)
    save(figure, "slopes")


def draw_losses():
    figure = Figure(figsize=(8.6, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, optimizer in zip(panels, ("sgd", "adam")):
        for loss, color, style in (("saturating", COLORS[1], "-"), ("non-saturating", COLORS[0], "--")):
            for seed in SEEDS:
                history = trained_with(f"{loss}-{optimizer}", seed).history
                axes.semilogy(
                    history["step"][::10],
                    torch.tensor(history["d_fake"]).unfold(0, 10, 10).mean(1),
                    style,
                    color=color,
                    lw=1.2,
                    label=loss if seed == 0 else None,
                )
        axes.set(title={"sgd": "SGD, 0.1", "adam": "Adam, 0.0002"}[optimizer], xlabel="step")
        axes.grid(color="#e4e4e4")
    panels[0].set_ylabel("mean of $D(G(z))$")
    panels[0].legend(frameon=False)
    save(figure, "losses")


def draw_neighbours():
    train = data()[0]
    rows = {}
    for case, label in {"gan": "GAN", "copier": "copier", "shifted-copier": "shifted copier"}.items():
        samples = samples_of(case, 0, n=10)
        rows[label] = samples
        rows["nearest to " + label] = train[nearest_neighbours(samples, train)[1]]
    save(image_rows({**rows}, scale=2), "neighbours")


def points(axes, visit, seed=5):
    axes.plot(*visit.data[:400].T, ".", ms=3, color="#999999", label="data")
    axes.plot(*visit.trainer.sample(400, seed=seed).T, ".", ms=3, color=COLORS[1], label="samples")
    axes.set_aspect("equal", adjustable="datalim")


def draw_ring(axes, visit):
    points(axes, visit)
    axes.plot(*ring_modes().T, "+", color="black", ms=8)


def draw_verdicts_on_unseen(axes, visit):
    unseen = torch.randn(1000, 20, generator=torch.Generator().manual_seed(1))
    groups = {"training": visit.data[:1000], "unseen": unseen, "samples": visit.trainer.sample(1000)}
    logits = [visit.trainer.discriminate(x) for x in groups.values()]
    parts = axes.boxplot(logits, tick_labels=list(groups), showfliers=False, widths=0.5, patch_artist=True)
    for box, color in zip(parts["boxes"], (COLORS[0], COLORS[5], COLORS[1])):
        box.set_facecolor(color)
    axes.axhline(0, color="black", lw=0.8)
    axes.set_ylabel("logit of D")


def draw_optimum(axes, visit):
    x = torch.linspace(-1, 7, 200)[:, None]
    G = visit.trainer.generator
    log_p_data, log_p_g = torch.distributions.Normal(3.0, 1.0).log_prob(x).squeeze(1), G.log_density(x)
    axes.plot(x, log_p_data.exp(), color="#999999", label="$p_{data}$")
    axes.plot(x, log_p_g.exp(), color=COLORS[1], label="$p_g$")
    axes.plot(x, visit.trainer.discriminate(x).sigmoid(), color=COLORS[0], label="$D$")
    axes.plot(x, torch.sigmoid(log_p_data - log_p_g), "k--", lw=1, label="$D^*$")
    axes.set_ylim(0, 1.5)
    axes.legend(frameon=False, fontsize=8, ncols=2)


def draw_verdicts_by_step(axes, visit):
    history = visit.trainer.history
    axes.plot(history["step"], history["d_fake"], color=COLORS[1], label="in D's step")
    axes.plot(history["step"], torch.exp(-torch.tensor(history["loss_G"])), color=COLORS[0], label="in G's step")
    axes.set(ylim=(-0.05, 1.05), ylabel="D(G(z))")
    axes.legend(frameon=False, fontsize=8)


def draw_orbit(axes, visit):
    path = []
    exhibit = EXHIBITS["orbit"]
    case = exhibit.broken_case if visit.alarm else exhibit.cured_case
    trainer, x = case.set_up(0)
    for step in range(1, 201):
        trainer.fit(x, max_steps=step, progress=False)
        path.append((trainer.generator.theta.item(), trainer.discriminator.psi.item()))
    axes.plot(*zip((1.0, 1.0), *path), color=COLORS[1], lw=0.9)
    axes.plot(0, 0, "+", color="black", ms=9)
    axes.set(xlabel=r"$\theta$", ylabel=r"$\psi$")
    axes.set_aspect("equal", adjustable="datalim")


def draw_loss(axes, visit):
    history = visit.trainer.history
    axes.semilogy(history["step"], history["loss_D"], ".-", color=COLORS[0])
    if visit.alarm:
        axes.axvline(history["step"][-1], color=COLORS[1], label="not finite")
        axes.legend(frameon=False)
    axes.set(xlim=(0, 31), ylim=(1e-8, 10), xlabel="step", ylabel="loss of D")


PICTURES = {
    "museum-a": {
        "mode collapse": draw_ring,
        "D too strong": points,
        "out of step": draw_ring,
        "D overfitting": draw_verdicts_on_unseen,
    },
    "museum-b": {
        "k too small": draw_optimum,
        "BatchNorm leak": draw_verdicts_by_step,
        "orbit": draw_orbit,
        "non-finite loss": draw_loss,
    },
}


def draw_museum():
    for name, pictures in PICTURES.items():
        figure = Figure(figsize=(7.4, 10.4), layout="constrained")
        for row, (exhibit, draw) in zip(figure.subplots(4, 2), pictures.items()):
            for axes, case in zip(row, ("broken", "cured")):
                draw(axes, getattr(EXHIBITS[exhibit], case)(0))
                axes.set_title(f"{exhibit}: {case}", fontsize=10)
                axes.grid(color="#e4e4e4")
        save(figure, name)


if __name__ == "__main__":
    torch.set_num_threads(1)  # the networks are small: one thread loses little and repeats exactly
    if main("gan_practice", run, cases=CASES, seeds=SEEDS):
        draw_slopes()
        draw_museum()
        draw_losses()
        draw_neighbours()
