"""The numbers and figures of book/autoencoders.md.

    python book/results/autoencoders.py

Every model sees the same 10,000 training images (drawn by the seed) for the same 1,000 steps of 128 images,
minimises the squared error, and is measured on the same 2,000 test images.
"""

from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure
from record import load, main, save_figure
from sklearn.decomposition import PCA

from coursekit.data import load_images, to_float
from coursekit.losses.reconstruction import squared_error
from coursekit.metrics import hoyer_sparsity, linear_probe_accuracy, relative_sensitivity
from coursekit.plots import COLORS
from coursekit.trainers import AutoencoderTrainer, ClassifierTrainer

SEEDS = (0, 1, 2)
STEPS, CONTRACTIVE_STEPS = 1000, 150
KEEP = (1, 2, 4, 8, 16, 32, 48, 64)
BITS = (8, 4, 3, 2)

SETTINGS = {
    "linear-32": dict(latent_dim=32, hidden=()),
    "deep-2": dict(latent_dim=2),
    "deep-32": dict(latent_dim=32),
    "conv-32": dict(latent_dim=32, architecture="conv"),
    "deep-64": dict(latent_dim=64),
    "sparse-kl": dict(latent_dim=64, code_activation="sigmoid", sparsity_kl_weight=2.0, target_rate=0.05),
    "sparse-l1": dict(latent_dim=64, code_activation="relu", sparsity_l1_weight=0.05),
    "denoising": dict(latent_dim=64, noise_std=0.4),
    "contractive": dict(latent_dim=64, contractive_weight=0.1),
    "stochastic": dict(latent_dim=64, bottleneck_dropout=(0.0, 0.95)),
}
CASES = ["pixels", "pca-2", "pca-32", "pca-64", *SETTINGS]


@cache
def data(seed, size):
    train = load_images("mnist")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    test = load_images("mnist", "test").split(0.2, seed=0)[0]
    return train.subset(order[:size]), test


def train_autoencoder(case, seed, train, steps=STEPS):
    settings = dict(reconstruction="gaussian", seed=seed, device="cpu") | SETTINGS[case]
    if case != "contractive":
        return AutoencoderTrainer(**settings).fit(train, max_steps=steps, progress=False)
    # K backward passes a step are dear: the penalty joins for the last steps only, from the plain network.
    last = min(CONTRACTIVE_STEPS, steps // 2)
    plain = train_autoencoder("deep-64", seed, train, steps - last)
    return AutoencoderTrainer(**settings, network=plain.network).fit(train, max_steps=last, progress=False)


class PrincipalComponents:
    """PCA with the methods of a trainer."""

    def __init__(self, latent_dim):
        self.pca = PCA(latent_dim, svd_solver="full")

    def fit(self, images):
        self.shape = images.image_shape
        self.pca.fit(to_float(images.images).flatten(1).numpy())
        self.mean, self.axes = torch.tensor(self.pca.mean_), torch.tensor(self.pca.components_)
        return self

    def encode(self, images):
        return self.encode_pixels(to_float(images.images))

    def encode_pixels(self, x):
        return (x.flatten(1) - self.mean) @ self.axes.T

    def decode(self, code):
        return (code @ self.axes + self.mean).clamp(0, 1).unflatten(1, self.shape)

    def reconstruct(self, images, keep=None):
        code = self.encode(images)
        if keep is not None:
            code[:, keep:] = 0
        return self.decode(code)


class Pixels:
    """The identity: what the code has to be measured against."""

    def encode(self, images):
        return self.encode_pixels(to_float(images.images))

    def encode_pixels(self, x):
        return x.flatten(1)

    def reconstruct(self, images, keep=None):
        return to_float(images.images)


def run(case, seed, smoke=False):
    train, test = data(seed, 1000 if smoke else 10_000)
    steps = 20 if smoke else STEPS
    if case == "pixels":
        model, encode = Pixels(), Pixels().encode_pixels
    elif case.startswith("pca"):
        model = PrincipalComponents(int(case.removeprefix("pca-"))).fit(train)
        encode = model.encode_pixels
    else:
        model = train_autoencoder(case, seed, train, steps)
        encode = model.network.encode
    x, codes, test_codes = to_float(test.images), model.encode(train), model.encode(test)

    def error(images):
        return squared_error(images, x).mean().item()

    # The probe's test codes are standardised by its training codes, so scales do not matter.
    labelled = {"probe": 5000, "probe-100": 100}
    metrics = {"error": error(model.reconstruct(test))}
    metrics |= {
        name: 100 * linear_probe_accuracy(codes[:n], train.labels[:n], test_codes, test.labels)
        for name, n in labelled.items()
    }
    metrics["sparsity"] = hoyer_sparsity(test_codes)
    if case != "pixels":
        metrics["sensitivity"] = relative_sensitivity(encode, x[:250])
    if case in SETTINGS:
        metrics["parameters"] = sum(p.numel() for p in model.network.parameters())
    if case == "sparse-kl":
        metrics["mean-activation"] = test_codes.mean().item()
        metrics["share-near-rate"] = 100 * ((test_codes - 0.05).abs() < 0.05).float().mean().item()
    if case == "sparse-l1":
        metrics["share-zero"] = 100 * (test_codes == 0).float().mean().item()
    if case in ("pca-64", "deep-64", "stochastic"):
        metrics |= {f"keep-{keep}": error(model.reconstruct(test, keep=keep)) for keep in KEEP}
    if case == "deep-32":
        metrics |= {f"bits-{bits}": error(model.decode(quantise(test_codes, codes, bits))) for bits in BITS}
    if case in ("deep-2", "deep-32"):
        metrics |= sampling_metrics(model, codes, test_codes, test, train, seed, steps)
    return metrics


def quantise(codes, reference, bits):
    """Each unit rounded to 2^bits levels between its smallest and largest reference value."""
    low, high = reference.amin(0), reference.amax(0)
    levels = 2**bits - 1
    return ((codes - low) / (high - low) * levels).round().clamp(0, levels) / levels * (high - low) + low


def gaussian_codes(codes, n, seed):
    """Draws from the Gaussian with the codes' mean and covariance."""
    generator = torch.Generator().manual_seed(1000 + seed)
    root = torch.linalg.cholesky(torch.cov(codes.T) + 1e-6 * torch.eye(codes.shape[1]))
    return codes.mean(0) + torch.randn(n, codes.shape[1], generator=generator) @ root.T


def sampling_metrics(model, codes, test_codes, test, train, seed, steps):
    n = len(test_codes)
    generator = torch.Generator().manual_seed(2000 + seed)
    sources = {
        "reconstructed": test_codes,
        "gaussian": gaussian_codes(codes, n, seed),
        "standard": torch.randn(n, codes.shape[1], generator=generator),
    }
    # Farther from every training code than 99% of test codes are: in a hole.
    nearest = {name: torch.cdist(z, codes).amin(1) for name, z in sources.items()}
    limit = nearest["reconstructed"].quantile(0.99)
    classifier = ClassifierTrainer(hidden=(256,), seed=seed, device="cpu")
    classifier.fit(train, max_steps=steps, progress=False)

    def unsure(images):
        return 100 * (classifier.predict_proba(images).amax(1) < 0.9).float().mean().item()

    metrics = {"unsure-real": unsure(test)}
    for name, z in sources.items():
        metrics[f"unsure-{name}"] = unsure(model.decode(z))
        if name != "reconstructed":
            metrics[f"hole-{name}"] = 100 * (nearest[name] > limit).float().mean().item()
    return metrics


# --- figures ------------------------------------------------------------------------------------


def draw_saddles():
    covariance = torch.tensor([[2.5, 1.5], [1.5, 2.5]], dtype=torch.float64)

    def loss(w):
        """Tied weights: V = W^T = w, w of shape (..., 2)."""
        residual = torch.eye(2, dtype=torch.float64) - w[..., :, None] * w[..., None, :]
        return torch.einsum("...ij,jk,...ik->...", residual, covariance, residual)

    axis = torch.linspace(-1.7, 1.7, 220, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    u1, u2 = torch.tensor([1.0, 1.0]).double() / 2**0.5, torch.tensor([1.0, -1.0]).double() / 2**0.5
    w = (1e-6 * u1 + 0.2 * u2).requires_grad_()
    path, values = [], []
    for _ in range(400):
        value = loss(w)
        (gradient,) = torch.autograd.grad(value, w)
        path.append(w.detach().clone())
        values.append(value.item())
        w = (w - 0.008 * gradient).detach().requires_grad_()
    path = torch.stack(path)

    fig = Figure(figsize=(9.6, 4.3), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=(1, 1.15))
    drawn = left.contour(axis, axis, loss(grid), levels=[1.2, 1.6, 2.2, 3, 3.6, 4, 4.4, 5, 6, 8, 11], cmap="viridis")
    left.clabel(drawn, levels=[1.6, 3, 4, 5, 8], fontsize=9, fmt="%g")
    left.plot(*path.T, color=COLORS[1], lw=2, label="gradient descent")
    left.plot(*path[0], "o", color=COLORS[1], ms=6)
    for point, style in ((u1, "*"), (-u1, "*"), (u2, "X"), (-u2, "X")):
        left.plot(*point, style, color="black", ms=12 if style == "*" else 9)
    for text, point, shift in (("minimum, loss 1", u1, 12), ("saddle, loss 4", u2, -20)):
        box = dict(pad=1, fc="white", lw=0)
        left.annotate(text, point, (0, shift), textcoords="offset points", ha="center", fontsize=10, bbox=box)
    left.set(xlabel="$w_1$", ylabel="$w_2$", aspect="equal")
    left.legend(loc="upper left", frameon=True, framealpha=1, fontsize=9)
    for level, name in ((5, "origin"), (4, "saddle"), (1, "minimum")):
        right.axhline(level, color="#999999", lw=1, ls="--")
        right.annotate(f"{name}: {level}", (395, level), ha="right", va="bottom", fontsize=10)
    right.plot(values, color=COLORS[1], lw=2)
    right.set(xlabel="step of gradient descent", ylabel="loss", ylim=(0.6, 5.5))
    save_figure(fig, "autoencoders", "saddles")


def draw_denoising():
    t = np.linspace(-1, 1, 400)
    curve = np.stack([1.6 * np.sin(np.pi * t), 1.5 * t], axis=1)
    sigma = 0.22
    gx, gy = np.meshgrid(np.linspace(-2.3, 2.3, 20), np.linspace(-2.1, 2.1, 18))
    noisy = np.stack([gx.ravel(), gy.ravel()], axis=1)
    distance = ((noisy[:, None] - curve[None]) ** 2).sum(-1)
    weights = np.exp(-(distance - distance.min(1, keepdims=True)) / (2 * sigma**2))
    best = weights @ curve / weights.sum(1, keepdims=True)
    arrows = (best - noisy) / 3
    fig = Figure(figsize=(6.4, 5.4), layout="constrained")
    ax = fig.subplots()
    ax.plot(*curve.T, ".", color="#717581", ms=5, label="data")
    ax.quiver(*noisy.T, *arrows.T, angles="xy", scale_units="xy", scale=1, width=0.004, color=COLORS[0], label="repair")
    ax.set(aspect="equal", xlim=(-2.4, 2.4), ylim=(-2.2, 2.2), xlabel="$x_1$", ylabel="$x_2$")
    ax.legend(loc="upper left", frameon=True, framealpha=1, fontsize=9)
    save_figure(fig, "autoencoders", "denoising")


def draw_stochastic():
    rows = load("autoencoders")["rows"]
    fig = Figure(figsize=(7.2, 4.2), layout="constrained")
    ax = fig.subplots()
    labels = {"deep-64": "plain autoencoder, cut short", "pca-64": "PCA", "stochastic": "stochastic bottleneck"}
    for (case, label), color, marker in zip(labels.items(), (COLORS[4], COLORS[0], COLORS[1]), "s^o"):
        errors = np.array([[row["metrics"][f"keep-{k}"] for k in KEEP] for row in rows if row["case"] == case])
        ax.fill_between(KEEP, errors.min(0), errors.max(0), color=color, alpha=0.25, lw=0)
        ax.plot(KEEP, errors.mean(0), marker + "-", color=color, label=label)
    ax.set_xscale("log", base=2)
    ax.set_xticks(KEEP, [str(k) for k in KEEP])
    ax.set(xlabel="codes kept", ylabel="squared error per image", ylim=(0, None))
    ax.legend(frameon=False)
    save_figure(fig, "autoencoders", "stochastic")


def draw_sampling():
    train, test = data(0, 10_000)
    models = {k: train_autoencoder(f"deep-{k}", 0, train) for k in (2, 32)}
    fig = Figure(figsize=(10.4, 5.2), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=(1.05, 1))
    codes = models[2].encode(train)
    for digit in range(10):
        left.plot(*codes[train.labels == digit].T, ".", ms=2, alpha=0.55, color=COLORS[digit])
        middle = codes[train.labels == digit].median(0).values
        left.annotate(
            str(digit),
            middle,
            ha="center",
            va="center",
            fontsize=11,
            bbox=dict(boxstyle="round,pad=0.15", fc="white", lw=0),
        )
    mean, covariance = codes.mean(0).numpy(), torch.cov(codes.T).numpy()
    values, vectors = np.linalg.eigh(covariance)
    turn = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(turn), np.sin(turn)])
    for radius in (1, 2):
        left.plot(*(mean[:, None] + vectors @ (radius * np.sqrt(values)[:, None] * circle)), color="black", lw=1.3)
        left.plot(*(radius * circle), color="black", lw=1.3, ls=":")
    left.plot([], [], color="black", lw=1.3, label="fitted Gaussian, 1 and 2 std")
    left.plot([], [], color="black", lw=1.3, ls=":", label="N(0, I), 1 and 2 std")
    low, high = codes.quantile(0.002, dim=0), codes.quantile(0.998, dim=0)
    left.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="$z_1$", ylabel="$z_2$")
    left.legend(loc="best", frameon=True, fontsize=9)

    generator = torch.Generator().manual_seed(7)
    rows = {"test images": to_float(test.images[:8]), "reconstructed, K = 32": models[32].reconstruct(test)[:8]}
    for k in (32, 2):
        z = models[k].encode(train)
        rows[f"fitted Gaussian, K = {k}"] = models[k].decode(gaussian_codes(z, 8, 0))
        rows[f"N(0, I), K = {k}"] = models[k].decode(torch.randn(8, k, generator=generator))
    canvas = torch.cat([torch.cat(list(images[:, 0]), dim=1) for images in rows.values()])
    right.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    right.set_xticks([])
    right.set_yticks([28 * i + 14 for i in range(len(rows))], rows, fontsize=10)
    right.tick_params(length=0)
    save_figure(fig, "autoencoders", "sampling")


if __name__ == "__main__":
    torch.set_num_threads(1)  # the networks are small: one thread loses little and repeats exactly
    if main("autoencoders", run, cases=CASES, seeds=SEEDS):
        draw_saddles()
        draw_denoising()
        draw_stochastic()
        draw_sampling()
