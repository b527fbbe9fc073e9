"""The numbers and figures of book/evaluation.md, but for its Table 1 (`table1.py`).

    python book/results/evaluation.py

Three parts. *Judges*: sets of 5,000 images, some good and some made to fool a measure, all scored
against the first 5,000 test images of MNIST; models train on images 0 to 49,999, and features and class
probabilities come from one convolutional classifier trained on the same. *Fréchet bias*: two Gaussians
fitted to such features, whose distance is known, and estimates of it from draws. *Exact*: on black and
white 8 x 8 digits an autoregressive model stands in for the truth, so that -log p is known to the last
digit for every image, and what other models and measures say can be checked.
"""

import itertools
import math
from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure
from record import load, main, save_figure

from coursekit.data import binarize, load_images, to_float
from coursekit.losses.reconstruction import bernoulli_nll
from coursekit.losses.vae import gaussian_log_density, importance_weighted_bound, reparameterise
from coursekit.metrics import (
    SIGMAS,
    binary_parzen_log_likelihood,
    classifier_score,
    frechet_distance,
    frechet_distance_of,
    memorisation_ratio,
    parzen_protocol,
    precision_recall,
)
from coursekit.plots import COLORS, image_rows
from coursekit.trainers import AutoregressiveTrainer, ClassifierTrainer, VAETrainer

SEEDS = (0, 1, 2)

TRAINING, N, NEIGHBOURS = 50_000, 5000, 1000
SIZES = (200, 500, 1000, 2000, 5000, 10_000)
TEACHER_SAMPLES, HELD_OUT, VALIDATION = 20_000, 1000, 1000
WINDOWS = (100, 1000, 10_000)
BOUND_SAMPLES = (1, 5, 50, 500)

JUDGED = ["real", "vae", "vae-timid", "five-digits", "kmeans", "copies", "gamed", "leak"]
EXACT = ["truth", "student", "vae-2", "vae-20", "independent", "kmeans"]
CASES = [
    *(f"judges-{name}" for name in JUDGED),
    "frechet-bias",
    "digits",
    *(f"exact-{name}" for name in EXACT),
]


def run(case, seed, smoke=False):
    part, _, name = case.partition("-")
    if part == "judges":
        return judge(name, seed, smoke)
    if part == "frechet":
        return frechet_bias(seed, smoke)
    return digits(seed, smoke) if part == "digits" else exact(name, seed, smoke)


# --- judges: MNIST ------------------------------------------------------------------------------


@cache
def mnist(smoke=False):
    """Training images, the 1,000 that follow them to choose σ, the 9,000 after these, and test images."""
    whole, test = load_images("mnist"), load_images("mnist", "test")
    cuts = (0, 2000, 3000, 4200) if smoke else (0, TRAINING, TRAINING + VALIDATION, len(whole))
    parts = [whole.subset(range(start, stop)) for start, stop in itertools.pairwise(cuts)]
    return (*parts, test.take(600) if smoke else test)


@cache
def classifier(smoke=False):
    """The same for every case and seed: it is part of the measure."""
    model = ClassifierTrainer(hidden=(256, 64), device="cpu", seed=0)
    return model.fit(mnist(smoke)[0], epochs=1 if smoke else 5, progress=False)


@cache
def vae(seed, smoke=False):
    settings = dict(latent_dim=20, hidden=(400,), seed=seed, device="cpu")
    return VAETrainer(**settings).fit(mnist(smoke)[0], epochs=1 if smoke else 10, progress=False)


def centres(images, k, seed):
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(k, random_state=seed, n_init=1, batch_size=4096)
    means = model.fit(images.flatten(1).numpy()).cluster_centers_
    return torch.from_numpy(means).float().reshape(k, *images.shape[1:])


def surest(images, labels):
    """Of each class the image of which the classifier is surest."""
    probability = classifier(len(images) < TRAINING).predict_proba(images)
    return torch.stack([images[probability[:, c].where(labels == c, -1.0).argmax()] for c in range(10)])


@cache
def judged_set(name, seed, smoke=False):
    """N images, (N, 1, 28, 28) in [0, 1], by one of the generators under judgement."""
    train, validation, rest, _ = mnist(smoke)
    n = 300 if smoke else N
    generator = torch.Generator().manual_seed(7000 + seed)

    def drawn(images):
        return to_float(images[torch.randperm(len(images), generator=generator)[:n]])

    if name == "real":
        return drawn(rest.images)
    if name == "leak":  # as `real`, but the images that choose σ are among them
        return torch.cat([to_float(validation.images[: n // 5]), drawn(rest.images)[: n - n // 5]])
    if name == "copies":
        return drawn(train.images)
    if name == "five-digits":  # all that are left of them, nearly 5,000
        return drawn(rest.images[rest.labels < 5])
    if name == "vae":
        return vae(seed, smoke).sample(n, seed=seed)
    if name == "vae-timid":
        return vae(seed, smoke).decode(0.5 * torch.randn(n, 20, generator=generator))
    if name == "kmeans":
        found = centres(to_float(train.images), 50 if smoke else 1000, seed)
    else:
        found = surest(to_float(train.images), train.labels)
    return found[torch.arange(n) % len(found)]


def judge(name, seed, smoke):
    train, validation, _, test = mnist(smoke)
    samples, reference = judged_set(name, seed, smoke), to_float(test.images[:N])
    features = classifier(smoke).features
    real, fake = features(reference), features(samples)
    precision, recall = precision_recall(real, fake)
    parzen = parzen_protocol(samples, to_float(validation.images), reference)
    # The training images are five times as many as the held-out ones: the set `real` says what no copying gives.
    return {
        "log_likelihood": parzen.mean,
        "sigma": parzen.sigma,
        "frechet": frechet_distance_of(real, fake),
        "precision": precision,
        "recall": recall,
        "classifier_score": classifier_score(classifier(smoke).predict_proba(samples)),
        "memorisation": memorisation_ratio(samples[:NEIGHBOURS], to_float(train.images), to_float(test.images)),
    }


# --- the bias of the Fréchet distance -------------------------------------------------------------


def frechet_bias(seed, smoke):
    """Estimates of a known distance from n draws a side; `same` is 0, `other` is not."""
    features = classifier(smoke).features
    fitted = []
    for images in (to_float(mnist(smoke)[2].images), judged_set("vae", seed, smoke)):
        rows = features(images).double()
        fitted.append((rows.mean(0), torch.cov(rows.T)))
    roots = []
    for _, cov in fitted:
        values, vectors = torch.linalg.eigh(cov)
        roots.append(vectors * values.clamp(min=0).sqrt())
    rng = torch.Generator().manual_seed(9000 + seed)

    def draw(i, n):
        z = torch.randn(n, len(fitted[i][0]), dtype=torch.float64, generator=rng)
        return fitted[i][0] + z @ roots[i].T

    metrics = {"exact": frechet_distance(*fitted[0], *fitted[1]), "features": len(fitted[0][0])}
    for n in SIZES[:2] if smoke else SIZES:
        metrics[f"same_{n}"] = frechet_distance_of(draw(0, n), draw(0, n))
        metrics[f"other_{n}"] = frechet_distance_of(draw(0, n), draw(1, n))
    return metrics


# --- exact: black and white 8 x 8 digits ------------------------------------------------------------


@cache
def small_digits():
    return binarize(load_images("digits_8x8")), binarize(load_images("digits_8x8", "test"))


@cache
def teacher(seed, smoke=False):
    settings = dict(hidden=(1024,), weight_decay=2e-4, batch_size=100, seed=seed, device="cpu")
    return AutoregressiveTrainer(**settings).fit(small_digits()[0], epochs=2 if smoke else 100, progress=False)


@cache
def worlds(seed, smoke=False):
    """Training, validation and held-out images, all drawn from the teacher."""
    sizes = (500, 100, 100) if smoke else (TEACHER_SAMPLES, VALIDATION, HELD_OUT)
    return [teacher(seed, smoke).sample(n, seed=10 * seed + i) for i, n in enumerate(sizes)]


def digits(seed, smoke):
    """The teacher and two other models on real digits."""
    train, test = small_digits()
    x = to_float(test.images)
    settings = dict(latent_dim=20, hidden=(200,), batch_size=100, seed=seed, device="cpu")
    model = VAETrainer(**settings).fit(train, epochs=2 if smoke else 100, progress=False)
    return {
        "autoregressive": teacher(seed, smoke).log_likelihood(test).mean().item(),
        "independent": independent(to_float(train.images), x),
        **bounds(model, x, seed, (1, 5) if smoke else BOUND_SAMPLES),
    }


def exact(name, seed, smoke):
    train, validation, held_out = worlds(seed, smoke)
    settings = dict(batch_size=100, seed=seed, device="cpu")
    epochs = 1 if smoke else 15
    n = min(10_000, len(train))
    truth = teacher(seed, smoke).log_likelihood(held_out).mean().item()
    if name == "truth":
        metrics = {"exact": truth}
        for size in WINDOWS:
            metrics[f"binary_parzen_{size}"] = binary_parzen(train[:size], validation, held_out)
        samples = train[:n]
    elif name == "student":
        model = AutoregressiveTrainer(hidden=(512,), **settings).fit(train, epochs=epochs, progress=False)
        metrics = {"exact": model.log_likelihood(held_out).mean().item()}
        metrics["kl"] = truth - metrics["exact"]
        samples = model.sample(n, seed=seed)
    elif name == "independent":
        metrics = {"exact": independent(train, held_out)}
        samples = (torch.rand(train[:n].shape, generator=torch.Generator().manual_seed(seed)) < train.mean(0)).float()
    elif name == "kmeans":
        samples = centres(train, 20 if smoke else 1000, seed)
        rounded = {row.numpy().tobytes() for row in samples.round()}
        metrics = {"seen": sum(row.numpy().tobytes() in rounded for row in held_out) / len(held_out)}
    else:
        latent_dim = int(name.removeprefix("vae-"))
        model = VAETrainer(latent_dim=latent_dim, hidden=(200,), **settings).fit(train, epochs=epochs, progress=False)
        ks = (1, 5) if smoke else BOUND_SAMPLES
        metrics = bounds(model, held_out, seed, ks)
        elbo, best = metrics["iw_1"], metrics[f"iw_{ks[-1]}"]
        metrics |= {"kl_at_most": truth - best, "elbo_to_iw": best - elbo}
        if latent_dim == 2:
            metrics["exact"] = evidence(model, held_out)
            metrics |= {"elbo_gap": metrics["exact"] - elbo, "iw_500_gap": metrics["exact"] - best}
        samples = model.sample(n, seed=seed)
        drawn = (torch.rand(samples.shape, generator=torch.Generator().manual_seed(seed)) < samples).float()
        metrics["parzen_of_draws"] = parzen_protocol(drawn, validation, held_out).mean
        metrics["binary_parzen_of_draws"] = binary_parzen(drawn, validation, held_out)
    parzen = parzen_protocol(samples, validation, held_out)
    as_probability = binary_parzen(samples, validation, held_out)
    return metrics | {
        "parzen": parzen.mean,
        "sigma": parzen.sigma,
        "binary_parzen": as_probability,
        "parzen_shortfall": truth - as_probability,
    }


def binary_parzen(samples, validation, held_out):
    sigma = max(SIGMAS, key=lambda sigma: binary_parzen_log_likelihood(samples, validation, sigma).mean())
    return binary_parzen_log_likelihood(samples, held_out, sigma).mean().item()


def independent(train, x):
    """Mean log-likelihood of pixels that ignore each other, each with its frequency (one count added a value)."""
    p = (train.sum(0) + 1) / (len(train) + 2)
    return (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1).mean().item()


@torch.no_grad()
def bounds(model, x, seed, ks):
    """Importance-weighted bounds in nats, mean over images, from the same samples of each image; k = 1 is the ELBO."""
    generator = torch.Generator().manual_seed(3000 + seed)
    mu, log_var = model.network.encode(x)
    zeros = torch.zeros_like(mu)
    log_w = []
    for _ in range(max(ks)):
        z = reparameterise(mu, log_var, torch.randn(mu.shape, generator=generator))
        log_joint = gaussian_log_density(z, zeros, zeros) - bernoulli_nll(model.network.decode(z), x)
        log_w.append(log_joint - gaussian_log_density(z, mu, log_var))
    log_w = torch.stack(log_w)
    return {
        f"iw_{k}": torch.stack([importance_weighted_bound(group) for group in log_w.split(k)]).mean().item() for k in ks
    }


@torch.no_grad()
def evidence(model, x, side=401, reach=7.0):
    """log p(x) of a VAE with two latents by the trapezoid rule on a grid, mean over images: no bound."""
    line = torch.linspace(-reach, reach, side, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    log_prior = gaussian_log_density(z, torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    logits = model.network.decode(z.float()).flatten(1).double()
    log_weight = log_prior + 2 * math.log(line[1] - line[0]) - torch.nn.functional.softplus(logits).sum(1)
    parts = [torch.logsumexp(part @ logits.T + log_weight, 1) for part in x.flatten(1).double().split(100)]
    return torch.cat(parts).mean().item()


# --- figures ------------------------------------------------------------------------------------


def rows_of(record, case):
    return [row["metrics"] for row in record["rows"] if row["case"] == case]


def draw_sets():
    labels = {
        "real": "real, not copied",
        "vae": "VAE",
        "vae-timid": "VAE, z halved",
        "five-digits": "five digits",
        "kmeans": "k-means centres",
        "copies": "copies",
        "gamed": "ten images",
    }
    save_figure(image_rows({label: judged_set(name, 0)[:12] for name, label in labels.items()}), "evaluation", "sets")


def draw_frechet_bias(record):
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    rows = rows_of(record, "frechet-bias")
    for kind, label, color, marker in (
        ("other", "data and VAE", COLORS[0], "o"),
        ("same", "data twice", COLORS[1], "s"),
    ):
        values = np.array([[row[f"{kind}_{n}"] for n in SIZES] for row in rows])
        axes.plot(SIZES, values.mean(0), marker + "-", color=color, label=f"{label}: estimate from n draws of each")
        axes.fill_between(SIZES, values.min(0), values.max(0), color=color, alpha=0.25, lw=0)
    exact_value = np.mean([row["exact"] for row in rows])
    axes.axhline(exact_value, ls="--", color=COLORS[0], label="data and VAE: exact")
    axes.axhline(0, ls="--", color=COLORS[1], label="data twice: exact, 0")
    axes.set(xscale="log", xlabel="n", ylabel="squared Fréchet distance")
    axes.set_xticks(SIZES, [f"{n:,}" for n in SIZES])
    axes.minorticks_off()
    axes.legend(frameon=False)
    save_figure(figure, "evaluation", "frechet-bias")


def draw_exact_samples():
    train, _, held_out = worlds(0)
    settings = dict(batch_size=100, seed=0, device="cpu")
    two = VAETrainer(latent_dim=20, hidden=(200,), **settings).fit(train, epochs=15, progress=False)
    rows = {
        "real digits": to_float(small_digits()[1].images[:16]),
        "the truth: a model's draws": held_out[:16],
        "VAE, means": two.sample(16, seed=0),
        "k-means centres": centres(train, 1000, 0)[:16],
    }
    save_figure(image_rows(rows, scale=4), "evaluation", "small-digits")


def draw_exact(record):
    """Each bar is a mean over seeds, in nats; the line is the truth's own exact value."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    truth = np.mean([row["exact"] for row in rows_of(record, "exact-truth")])

    def bars(axes, entries, title):
        labels, values, colors = zip(*reversed(entries))
        axes.barh(labels, [np.mean(value) for value in values], color=colors, height=0.62)
        axes.axvline(truth, ls="--", color="black")
        axes.set(title=title, xlabel="nats per image", xlim=(-31, 0))

    def of(case, metric):
        return [row[metric] for row in rows_of(record, f"exact-{case}")]

    bars(
        left,
        [
            ("the truth", of("truth", "exact"), COLORS[4]),
            ("student", of("student", "exact"), COLORS[0]),
            ("VAE, at least", of("vae-20", "iw_500"), COLORS[0]),
            ("VAE, K = 2", of("vae-2", "exact"), COLORS[0]),
            ("independent pixels", of("independent", "exact"), COLORS[0]),
        ],
        "Exact",
    )
    bars(
        right,
        [
            ("VAE, means", of("vae-20", "binary_parzen"), COLORS[3]),
            ("k-means centres", of("kmeans", "binary_parzen"), COLORS[3]),
            ("the truth", of("truth", "binary_parzen"), COLORS[4]),
            ("student", of("student", "binary_parzen"), COLORS[3]),
            ("independent pixels", of("independent", "binary_parzen"), COLORS[3]),
        ],
        "By Parzen windows",
    )
    save_figure(figure, "evaluation", "exact")


if __name__ == "__main__":
    torch.set_num_threads(1)  # the networks are small: one thread loses little and repeats exactly
    if main("evaluation", run, cases=CASES, seeds=SEEDS, data=("mnist", "digits_8x8")):
        record = load("evaluation")
        draw_sets()
        draw_frechet_bias(record)
        draw_exact_samples()
        draw_exact(record)
