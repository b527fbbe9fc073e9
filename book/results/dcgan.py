"""The numbers and figures of book/dcgan.md, but for its emoji (`dcgan_emoji.py`).

    python book/results/dcgan.py

*Guidelines*: slim networks (width 16) on Fashion-MNIST, 600 steps of 64 images each; one guideline is dropped
at a time. *Latents, probe, leak*: the same networks after 2,400 steps. The judge, a classifier trained on the
same images with their labels, is the same for every case and seed: it is part of the measure.
"""

import copy
import itertools
from functools import cache

import torch
from matplotlib.figure import Figure
from record import main, save_figure
from torch import nn

from coursekit.data import load_images, to_float
from coursekit.metrics import (
    class_coverage,
    frechet_distance_of,
    linear_probe_accuracy,
)
from coursekit.networks.dcgan import DCGANDiscriminator, DCGANGenerator, normal_weights
from coursekit.plots import image_rows
from coursekit.theory.convolution import overlap_counts, phase_means
from coursekit.trainers import ClassifierTrainer, DCGANTrainer

SEEDS = (0, 1, 2)

WIDTH, BATCH, STEPS, LONG_STEPS = 16, 64, 600, 2400
SAMPLES, REFERENCE = 5000, 10_000
STAGES = (1, 50, 150, 500, 1200, LONG_STEPS)
LABELLED, DECAYS = 1000, (1.0, 10.0, 100.0, 1000.0)

GUIDELINES = {
    "base": {},
    "pooling": dict(downsampling="pooling"),
    "fully-connected": {},
    "no-norm": dict(generator_norm="none", discriminator_norm="none"),
    "no-norm-generator": dict(generator_norm="none"),
    "no-norm-discriminator": dict(discriminator_norm="none"),
    "norm-everywhere": dict(generator_norm="everywhere", discriminator_norm="everywhere"),
    "leaky-generator": dict(generator_activation="leaky_relu"),
    "relu-discriminator": dict(discriminator_activation="relu"),
    "sigmoid-output": dict(generator_output="sigmoid"),
    "default-init": dict(init_std=None),
    "no-norm-default-init": dict(generator_norm="none", discriminator_norm="none", init_std=None),
    "lr-0.001": dict(lr=1e-3),
    "beta1-0.9": dict(beta1=0.9),
    "kernel-5": dict(kernel_size=5),
    "resize": dict(upsampling="nearest"),
    "paper-code": dict(
        kernel_size=5, noise="uniform", update="interleaved", fresh_noise=True, weight_decay=1e-5, batch_size=BATCH
    ),
}
CASES = [
    *GUIDELINES,
    "real",
    "untrained",
    "long",
    "interpolation",
    "arithmetic",
    "probe-pixels",
    "probe-random",
    "probe-discriminator",
    "probe-supervised",
    "leak",
]


def run(case, seed, smoke=False):
    if case in GUIDELINES:
        return quality(trained(case, seed, smoke), seed, smoke)
    if case == "long":
        return quality(long(seed, smoke)[0], seed, smoke)
    if case.startswith("probe-"):
        return probe(case.removeprefix("probe-"), seed, smoke)
    parts = {
        "real": real,
        "untrained": untrained,
        "interpolation": interpolation,
        "arithmetic": arithmetic,
        "leak": leak,
    }
    return parts[case](seed, smoke)


# -- data and judges -----------------------------------------------------------------------------------


@cache
def fashion():
    """Training images and test images. Pixels in [0, 1] of the latter."""
    train, test = load_images("fashion_mnist"), load_images("fashion_mnist", "test")
    return train, test, to_float(test.images)


class Judge(nn.Module):
    """A classifier whose last layer reads 64 numbers: (N, C, side, side) -> logits (N, classes)."""

    def __init__(self, channels, side, classes, width=16):
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * (side // 4) ** 2, 64),
            nn.ReLU(),
        )
        self.last = nn.Linear(64, classes)

    def features(self, x):
        return self.maps(x)

    def forward(self, x):
        return self.last(self.maps(x))


@cache
def judge(smoke=False):
    train, test, _ = fashion()
    torch.manual_seed(0)
    model = ClassifierTrainer(network=Judge(1, 28, 10), device="cpu", seed=0)
    model.fit(train.take(3000) if smoke else train, epochs=1 if smoke else 4, progress=False)
    print(f"judge of Fashion-MNIST: accuracy {model.evaluate(test)['accuracy']:.3f}", flush=True)
    return model


@cache
def reference_features(smoke=False):
    return judge(smoke).features(fashion()[2][:REFERENCE])


def phase_imbalance(images):
    """RMS over images of the spread of the four phases' means, in the middle of the image; of real images it is 1."""
    spread = lambda x: phase_means(x[..., 8:20, 8:20]).flatten(1).std(1).square().mean().sqrt()  # noqa: E731
    return (spread(images) / spread(fashion()[2])).item()


def quality_of(images, smoke):
    covered, divergence = class_coverage(judge(smoke).predict_proba(images))
    return {
        "frechet": frechet_distance_of(judge(smoke).features(images), reference_features(smoke)),
        "classes": covered,
        "unevenness": divergence,
        "phases": phase_imbalance(images),
    }


def real(seed, smoke):
    """Training images in the place of samples: as good as a generator can be with this measure."""
    train = fashion()[0]
    drawn = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[:SAMPLES]
    return quality_of(to_float(train.images[drawn]), smoke)


def quality(trainer, seed, smoke):
    return quality_of(trainer.sample(300 if smoke else SAMPLES, seed=seed), smoke)


# -- guidelines ----------------------------------------------------------------------------------------


class DenseGenerator(nn.Module):
    """G with a fully connected hidden layer of 1,024 units, as the paper's own MNIST code has one."""

    def __init__(self, noise_dim=100, hidden=1024, width=WIDTH):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(noise_dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, 2 * width * 49, bias=False),
            nn.Unflatten(1, (2 * width, 7, 7)),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(width, 1, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.net(z)


class DenseDiscriminator(nn.Module):
    """D with such a layer."""

    def __init__(self, hidden=1024, width=WIDTH):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Flatten(),
            nn.Linear(2 * width * 49, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(hidden, 1),
        )

    def forward(self, x):
        return self.net(x).squeeze(1)


def trainer_of(case, seed):
    settings = dict(width=WIDTH, batch_size=BATCH, seed=seed, device="cpu") | GUIDELINES[case]
    if case == "fully-connected":
        torch.manual_seed(seed)
        settings |= dict(
            generator=normal_weights(DenseGenerator()),
            discriminator=normal_weights(DenseDiscriminator()),
        )
    return DCGANTrainer(**settings)


@cache
def trained(case, seed, smoke=False):
    return trainer_of(case, seed).fit(fashion()[0], max_steps=5 if smoke else STEPS, progress=False)


@cache
def long(seed, smoke=False):
    """The base case, trained on, and samples from the same noise at every stage."""
    trainer, stages = trainer_of("base", seed), {}
    for step in (1, 3) if smoke else STAGES:
        trainer.fit(fashion()[0], max_steps=step, progress=False)
        stages[f"step {step:,}"] = trainer.sample(12, seed=1)
    return trainer, stages


# -- checkerboards -------------------------------------------------------------------------------------

UPSAMPLERS = {
    "5": dict(kernel_size=5),
    "4": dict(kernel_size=4),
    "resize": dict(kernel_size=5, upsampling="nearest"),
}


def untrained_samples(name, seed, n=500):
    """What G draws before its first step."""
    torch.manual_seed(seed)
    G = normal_weights(DCGANGenerator(100, (1, 28, 28), WIDTH, **UPSAMPLERS[name]))
    with torch.no_grad():
        return (G(torch.randn(n, 100)) + 1) / 2


def untrained(seed, smoke):
    """Spread of the phase means as a share of the pixels' standard deviation, over networks that were not trained."""
    metrics = {}
    for name in UPSAMPLERS:
        shares = []
        for network in range(2 if smoke else 20):
            inner = untrained_samples(name, 100 * seed + network)[..., 8:20, 8:20]
            shares.append((phase_means(inner).flatten(1).var(1) / inner.flatten(1).var(1)).mean())
        metrics[f"share_{name}"] = torch.stack(shares).mean().item()
    return metrics


# -- latents -------------------------------------------------------------------------------------------


def on_arc(start, end, t):
    """Along the arc between the directions of rows of noise, the length moving evenly."""
    u, v = (z / z.norm(dim=1, keepdim=True) for z in (start, end))
    angle = (u * v).sum(1, keepdim=True).clamp(-1, 1).acos()
    direction = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)
    return direction * torch.lerp(start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True), t)


def interpolation(seed, smoke):
    """Half-way between two draws of the prior, along the line and along the arc, against draws."""
    trainer = long(seed, smoke)[0]
    n = 300 if smoke else SAMPLES
    start, end = trainer.sample_noise(n, seed=seed), trainer.sample_noise(n, seed=1000 + seed)
    metrics = {}
    for name, z in {"ends": start, "line": torch.lerp(start, end, 0.5), "arc": on_arc(start, end, 0.5)}.items():
        images = trainer.generate(z)
        metrics[f"norm_{name}"] = (z.square().sum(1).mean() / z.shape[1]).item()
        metrics[f"frechet_{name}"] = frechet_distance_of(judge(smoke).features(images), reference_features(smoke))
        metrics[f"sure_{name}"] = judge(smoke).predict_proba(images).amax(1).mean().item()
    return metrics


def arithmetic(seed, smoke):
    """bright a - dim a + dim b = bright b? With the paper's triples, with averages of all, and with controls.

    `kept`: the result is of class b. `brighter`: it has more ink than the median of class b. `both`.
    """
    trainer, generator = long(seed, smoke)[0], torch.Generator().manual_seed(3000 + seed)
    pool = trainer.sample_noise(1000 if smoke else 20_000, seed=2000 + seed)
    images = trainer.generate(pool)
    classes, ink = judge(smoke).predict(images), images.mean((1, 2, 3))
    bright, dim, median = {}, {}, {}
    for c in range(10):
        rows = (classes == c).nonzero().flatten()
        if len(rows) >= 40:  # a class that G hardly draws has no bright and dim ones
            rows = rows[ink[rows].argsort()]
            dim[c], bright[c], median[c] = rows[: len(rows) // 4], rows[-(len(rows) // 4) :], ink[rows].median()
    everything = torch.arange(len(pool))

    def triples(rows, n):
        return pool[rows[torch.randint(len(rows), (n, 3), generator=generator)]].mean(1)

    results = {}
    repeats = 2 if smoke else 10
    for a, b in itertools.permutations(bright, 2):
        A, B, C = triples(bright[a], repeats), triples(dim[a], repeats), triples(dim[b], repeats)
        anything = [triples(everything, repeats) for _ in range(3)]
        step = pool[bright[a]].mean(0) - pool[dim[a]].mean(0)
        other = torch.randn(repeats, len(step), generator=generator)
        other *= step.norm() / other.norm(dim=1, keepdim=True)
        one = pool[dim[b][torch.randint(len(dim[b]), (repeats,), generator=generator)]]
        for name, z in {
            "triples": A - B + C,
            "triples_random": anything[0] - anything[1] + C,
            "triples_all_random": anything[0] - anything[1] + anything[2],
            "averages": one + step,
            "averages_random": one + other,
        }.items():
            results.setdefault(name, []).append((z, torch.full((repeats,), b), median[b].expand(repeats)))
    metrics = {"classes": len(bright)}
    for name, parts in results.items():
        z, wanted, threshold = (torch.cat(column) for column in zip(*parts))
        images = trainer.generate(z)
        kept = judge(smoke).predict(images) == wanted
        brighter = images.mean((1, 2, 3)) > threshold
        metrics |= {
            f"{name}_norm": (z.square().sum(1).mean() / z.shape[1]).item(),
            f"{name}_kept": kept.double().mean().item(),
            f"{name}_brighter": brighter.double().mean().item(),
            f"{name}_both": (kept & brighter).double().mean().item(),
        }
    return metrics


# -- features of D -------------------------------------------------------------------------------------


def probe(kind, seed, smoke):
    """Accuracy on the test images of a linear classifier of 1,000 labelled images, 100 of each class.

    Its weight decay is chosen on 2,000 other images.
    """
    train, test, test_images = fashion()
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(4000 + seed))
    chosen = torch.cat([order[train.labels[order] == c][: LABELLED // 10] for c in range(10)])
    validation = order[~torch.isin(order, chosen)][:2000]
    if kind == "supervised":
        torch.manual_seed(seed)
        network = DCGANDiscriminator((1, 28, 28), WIDTH)
        network.last = nn.Linear(network.last.in_features, 10)
        network = Unsqueezed(normal_weights(network))
        model = ClassifierTrainer(network=network, batch_size=50, device="cpu", seed=seed)
        model.fit(train.subset(chosen), epochs=1 if smoke else 40, progress=False)
        return {"accuracy": model.evaluate(test)["accuracy"]}
    if kind == "discriminator":
        features = long(seed, smoke)[0].features
    elif kind == "random":
        torch.manual_seed(seed)
        D = normal_weights(DCGANDiscriminator((1, 28, 28), WIDTH)).train()
        with torch.no_grad():  # normalisation needs statistics: those of real images, as the trained D's
            for part in to_float(train.images[order[:2560]]).split(128):
                D(2 * part - 1)
        D.eval()
        features = torch.no_grad()(lambda x: torch.cat([D.features(2 * part - 1) for part in x.split(1000)]))
    else:
        features = lambda x: x.flatten(1)  # noqa: E731
    x, x_valid = features(to_float(train.images[chosen])), features(to_float(train.images[validation]))
    y, y_valid = train.labels[chosen], train.labels[validation]
    decays = DECAYS[-2:] if smoke else DECAYS
    accuracy = {decay: linear_probe_accuracy(x, y, x_valid, y_valid, decay) for decay in decays}
    best = max(accuracy, key=accuracy.get)
    n = 500 if smoke else len(test)
    return {
        "accuracy": linear_probe_accuracy(x, y, features(test_images[:n]), test.labels[:n], best),
        "weight_decay": best,
        "features": x.shape[1],
    }


class Unsqueezed(nn.Module):
    """D's convolutions under a classifier's last layer."""

    def __init__(self, D):
        super().__init__()
        self.blocks, self.last = D.blocks, D.last

    def forward(self, x):
        x = 2 * x - 1
        for block in self.blocks:
            x = block(x)
        return self.last(x.flatten(1))


# -- batch normalisation -------------------------------------------------------------------------------


def in_training_mode(network):
    """A copy that normalises by the batch it is given, as in training."""
    return copy.deepcopy(network).train().requires_grad_(False)


def rms(x):
    return x.square().mean().sqrt().item()


def leak(seed, smoke):
    """How far an image, and D's verdict on it, move when only its batch mates change."""
    trainer = long(seed, smoke)[0]
    z, apart = trainer.sample_noise(64, seed=5000 + seed), trainer.generate(trainer.sample_noise(128, seed=1))
    unit = rms(apart[:64] - apart[64:])  # between two samples
    metrics = {}
    for n in (2, 8, 32, 128):
        drawn = []
        for mates in range(2):
            G = in_training_mode(trainer.generator)
            company = trainer.sample_noise(64 * n, seed=6000 + 10 * seed + mates)
            batches = [torch.cat([z[i : i + 1], company[i * n : i * n + n - 1]]) for i in range(64)]
            drawn.append(torch.cat([(G(batch)[:1] + 1) / 2 for batch in batches]))
        metrics[f"image_{n}"] = rms(drawn[0] - drawn[1]) / unit
        metrics[f"flips_{n}"] = (
            (judge(smoke).predict(drawn[0]) != judge(smoke).predict(drawn[1])).double().mean().item()
        )
    alone = torch.cat([trainer.generate(z[i : i + 1]) for i in range(64)])
    metrics["image_evaluation"] = rms(alone - trainer.generate(z)) / unit
    near = z[:1] + 0.1 * trainer.sample_noise(128, seed=7000 + seed)  # nearly one and the same noise
    spread = lambda images: images.std(0).square().mean().sqrt().item()  # noqa: E731
    metrics["near_evaluation"] = spread(trainer.generate(near)) / spread(apart)
    metrics["near_training"] = spread((in_training_mode(trainer.generator)(near) + 1) / 2) / spread(apart)

    x, others = (2 * fashion()[2][start : start + 64] - 1 for start in (0, 64))
    x_fake = 2 * trainer.sample(64, seed=8000 + seed) - 1
    verdicts = {
        name: in_training_mode(trainer.discriminator)(torch.cat([x, mates]))[:64]
        for name, mates in {"real": others, "fake": x_fake}.items()
    }
    metrics["d_real_among_real"] = verdicts["real"].sigmoid().mean().item()
    metrics["d_real_among_fake"] = verdicts["fake"].sigmoid().mean().item()
    return metrics


# -- figures -------------------------------------------------------------------------------------------


def draw_checkerboard():
    """How often each output is painted by two layers, and what two layers of random weights paint from a constant."""
    settings = {
        "kernel 5, stride 2": (5, 2, 1),
        "kernel 4, stride 2": (4, 1, 0),
        "resize, kernel 5": None,
    }
    figure = Figure(figsize=(8.2, 5.6), layout="constrained")
    rows = figure.subplots(2, 3)
    torch.manual_seed(0)
    for column, (name, setting) in enumerate(settings.items()):
        counts = maps = torch.ones(1, 1, 10, 10)
        for c_in, c_out in ((1, 16), (16, 1)):
            if setting is None:
                counts = nn.functional.conv2d(
                    nn.functional.interpolate(counts, scale_factor=2.0), torch.ones(1, 1, 5, 5), padding=2
                )
                layer = nn.Sequential(nn.Upsample(scale_factor=2.0), nn.Conv2d(c_in, c_out, 5, padding=2, bias=False))
            else:
                k, p, r = setting
                once = overlap_counts(counts.shape[-1], k, 2, p, r)
                assert once.max() <= k
                counts = nn.functional.conv_transpose2d(
                    counts, torch.ones(1, 1, k, k), stride=2, padding=p, output_padding=r
                )
                layer = nn.ConvTranspose2d(c_in, c_out, k, 2, p, output_padding=r, bias=False)
            nn.init.normal_(layer.weight if setting else layer[1].weight)
            maps = layer(maps.relu()).detach()
        for axes, image, title in ((rows[0][column], counts, name), (rows[1][column], maps, "random weights")):
            inner = image[0, 0, 12:28, 12:28]
            flat = inner.max() - inner.min() < 1e-3 * inner.abs().max()
            middle, reach = inner.mean().item(), 1.0 if flat else None
            limits = dict(vmin=middle - reach, vmax=middle + reach) if reach else {}
            axes.imshow(inner, cmap="gray", interpolation="nearest", **limits)
            axes.set(title=title, xticks=[], yticks=[])
    rows[0][0].set_ylabel("overlap of two layers")
    rows[1][0].set_ylabel("a constant, two layers on")
    save_figure(figure, "dcgan", "checkerboard")


def draw_stages():
    save_figure(image_rows(long(0)[1]), "dcgan", "stages")


def draw_guidelines():
    labels = {
        "real": "test images",
        "base": "all guidelines",
        "fully-connected": "fully connected",
        "no-norm-generator": "no BatchNorm in G",
        "norm-everywhere": "BatchNorm everywhere",
        "sigmoid-output": "sigmoid output",
        "lr-0.001": "rate 0.001",
        "beta1-0.9": "β₁ 0.9",
        "resize": "resize-convolution",
    }
    rows = {label: trained(case, 0).sample(12, seed=1) for case, label in labels.items() if case in GUIDELINES}
    save_figure(image_rows({"test images": fashion()[2][:12]} | rows), "dcgan", "guidelines")


def path_rows(trainer, pairs, steps=10):
    rows = {}
    for number, (a, b) in enumerate(pairs, 1):
        z = trainer.sample_noise(64, seed=3)
        t = torch.linspace(0, 1, steps)[:, None]
        start, end = z[a : a + 1].expand(steps, -1), z[b : b + 1].expand(steps, -1)
        rows[f"{number}, line"] = trainer.generate(torch.lerp(start, end, t))
        rows[f"{number}, arc"] = trainer.generate(on_arc(start, end, t))
    return rows


def draw_paths():
    save_figure(image_rows(path_rows(long(0)[0], [(0, 1), (2, 3), (4, 5)])), "dcgan", "paths")


def draw_leak():
    """The same noise in the first column of every row, among other mates."""
    trainer = long(0)[0]
    z = trainer.sample_noise(12, seed=4)
    rows = {"evaluation": trainer.generate(z)}
    for mates in range(3):
        company = trainer.sample_noise(4, seed=50 + mates)
        G = in_training_mode(trainer.generator)
        drawn = [G(torch.cat([z[i : i + 1], company]))[:1] for i in range(len(z))]
        rows[f"training, mates {mates + 1}"] = (torch.cat(drawn) + 1) / 2
    save_figure(image_rows(rows), "dcgan", "leak")


if __name__ == "__main__":
    torch.set_num_threads(1)  # the networks are small, and repeat exactly
    if main("dcgan", run, cases=CASES, seeds=SEEDS, data=("fashion_mnist",)):
        draw_checkerboard()
        draw_stages()
        draw_paths()
        draw_leak()
        draw_guidelines()
