"""The numbers and figures of book/vae.md.

    python book/results/vae.py

Every model has one hidden layer of 400 units a side, trains for five epochs of 128 images on MNIST
binarised once (each pixel 1 with the probability that its grey value gives), and is measured on the
10,000 test images, binarised alike. The denoiser alone sees grey digits.
"""

from functools import cache

import torch
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from record import main, save_figure

from coursekit.data import binarize, load_images, to_float
from coursekit.losses.reconstruction import bernoulli_nll, gaussian_nll, squared_error
from coursekit.losses.vae import gaussian_log_density, importance_weighted_bound, reparameterise
from coursekit.metrics import active_units, kl_per_dimension
from coursekit.plots import COLORS, image_rows, manifold_sweep
from coursekit.trainers import AutoencoderTrainer, VAETrainer

SEEDS = (0, 1, 2)
EPOCHS, MANIFOLD_EPOCHS = 5, 20
NOISE_STD, SEARCH_STEPS = 0.3, 100
BOUND_IMAGES, BOUND_SAMPLES = 1000, (1, 5, 50)
GRADIENT_IMAGES, GRADIENT_SAMPLES = 100, 1000

LATENT = {f"latent-{k}": dict(latent_dim=k) for k in (2, 5, 10, 20)}
BETA = {f"beta-{beta:g}": dict(latent_dim=20, beta=beta) for beta in (0.25, 4.0, 16.0)}
CASES = [*LATENT, *BETA, "bounds", "gradients", "autoencoder-2", "denoising"]


@cache
def data(smoke=False):
    train, test = load_images("mnist"), load_images("mnist", "test")
    return (train.take(1000), test.take(1000)) if smoke else (train, test)


@cache
def binary(smoke=False):
    return tuple(binarize(images, seed=0) for images in data(smoke))


@cache
def train(case, seed, smoke=False):
    settings = dict(hidden=(400,), seed=seed, device="cpu", epochs=1 if smoke else EPOCHS)
    if case == "autoencoder-2":
        return AutoencoderTrainer(latent_dim=2, **settings).fit(binary(smoke)[0], progress=False)
    if case == "denoising":
        return VAETrainer(latent_dim=20, **settings).fit(data(smoke)[0], progress=False)
    return VAETrainer(**(LATENT | BETA)[case], **settings).fit(binary(smoke)[0], progress=False)


def run(case, seed, smoke=False):
    if case == "bounds":
        return bounds(train("latent-20", seed, smoke), seed, smoke)
    if case == "gradients":
        return gradient_variances(train("latent-2", seed, smoke), seed, smoke)
    if case == "denoising":
        return denoising(train(case, seed, smoke), seed, smoke)
    test = binary(smoke)[1]
    model = train(case, seed, smoke)
    terms = model.evaluate(test)
    metrics = {
        "reconstruction": terms["reconstruction"],
        "squared_error": squared_error(model.reconstruct(test), to_float(test.images)).mean().item(),
    }
    if case == "autoencoder-2":
        return metrics | {"code_std": model.encode(test).std(0).mean().item()}
    mu, _ = model.encode(test)
    return metrics | {
        "kl": terms["kl"],
        "negative_elbo": terms["reconstruction"] + terms["kl"],
        "active_units": active_units(mu),
        "code_std": mu.std(0).mean().item(),
    }


@torch.no_grad()
def bounds(model, seed, smoke):
    """Importance-weighted bounds in nats, mean over images, from the same 50 samples of each image."""
    x = to_float(binary(smoke)[1].images[:BOUND_IMAGES])
    generator = torch.Generator().manual_seed(3000 + seed)
    mu, log_var = model.network.encode(x)
    log_w = []
    for _ in range(max(BOUND_SAMPLES)):
        z = reparameterise(mu, log_var, torch.randn(mu.shape, generator=generator))
        log_likelihood = -bernoulli_nll(model.network.decode(z), x)
        log_prior = gaussian_log_density(z, torch.zeros_like(mu), torch.zeros_like(mu))
        log_w.append(log_likelihood + log_prior - gaussian_log_density(z, mu, log_var))
    log_w = torch.stack(log_w)
    return {
        f"iw_{k}": torch.stack([importance_weighted_bound(group) for group in log_w.split(k)]).mean().item()
        for k in BOUND_SAMPLES
    }


def gradient_variances(model, seed, smoke):
    """Single-sample estimates of the gradient of E_q[log p(x|z)] in mu: variances, summed over units and images."""
    x = to_float(binary(smoke)[1].images[:GRADIENT_IMAGES])
    generator = torch.Generator().manual_seed(4000 + seed)
    with torch.no_grad():
        mu, log_var = model.network.encode(x)
    log_likelihoods, scores, pathwise = [], [], []
    for _ in range(GRADIENT_SAMPLES):
        eps = torch.randn(mu.shape, generator=generator)
        z = reparameterise(mu, log_var, eps).requires_grad_()
        log_likelihood = -bernoulli_nll(model.network.decode(z), x)
        (gradient,) = torch.autograd.grad(log_likelihood.sum(), z)
        pathwise.append(gradient)
        log_likelihoods.append(log_likelihood.detach())
        scores.append(eps * torch.exp(-0.5 * log_var))
    pathwise, scores = torch.stack(pathwise), torch.stack(scores)
    weights = torch.stack(log_likelihoods)[..., None]

    def total_variance(estimates):
        return estimates.var(0).sum()

    reparameterised = total_variance(pathwise)
    return {
        "score_over_reparam_variance": (total_variance(weights * scores) / reparameterised).item(),
        "score_baseline_over_reparam_variance": (
            total_variance((weights - weights.mean(0)) * scores) / reparameterised
        ).item(),
    }


def noisy_images(clean, seed):
    generator = torch.Generator().manual_seed(5000 + seed)
    return clean + NOISE_STD * torch.randn(clean.shape, generator=generator)


def search_code(model, noisy):
    """Decode the code that explains each noisy image best: the mode of p(z | noisy) under the decoder and the noise."""
    z = model.encode(noisy)[0].requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.1)
    for _ in range(SEARCH_STEPS):
        optimizer.zero_grad()
        x_hat = model.network.decode(z).sigmoid()
        (gaussian_nll(x_hat, noisy, sigma=NOISE_STD) + 0.5 * z.square().sum(1)).sum().backward()
        optimizer.step()
    return model.decode(z.detach())


def denoising(model, seed, smoke):
    clean = to_float(data(smoke)[1].images)
    noisy = noisy_images(clean, seed)

    def error(images):
        return squared_error(images, clean).mean().item()

    return {
        "noisy_error": error(noisy),
        "denoised_error": error(model.reconstruct(noisy)),
        "search_error": error(search_code(model, noisy)),
        "clean_error": error(model.reconstruct(clean)),
    }


# --- figures ------------------------------------------------------------------------------------


def draw_manifold():
    model = VAETrainer(latent_dim=2, hidden=(400,), epochs=MANIFOLD_EPOCHS, device="cpu")
    model.fit(data()[0], progress=False)
    save_figure(manifold_sweep(model.decode, steps=20), "vae", "manifold")


def draw_codes():
    test = binary()[1].take(3000)
    codes = {
        "autoencoder": train("autoencoder-2", 0).encode(test),
        "VAE, mean of q(z | x)": train("latent-2", 0).encode(test)[0],
    }
    figure = Figure(figsize=(10, 4.9), layout="constrained")
    outline = [withStroke(linewidth=3, foreground="white")]
    for axes, (title, code) in zip(figure.subplots(1, 2), codes.items(), strict=True):
        for digit in range(10):
            chosen = code[test.labels == digit]
            axes.plot(*chosen.T, ".", ms=3, alpha=0.6, color=COLORS[digit], label=str(digit))
            middle = chosen.median(0).values
            axes.annotate(str(digit), middle, ha="center", va="center", weight="bold", path_effects=outline)
        turn = torch.linspace(0, 2 * torch.pi, 200)
        for radius in (1, 2):
            axes.plot(radius * turn.cos(), radius * turn.sin(), ":", color="black", lw=1.3)
        axes.set(title=title, xlabel="$z_1$", ylabel="$z_2$")
        axes.set_aspect("equal", adjustable="datalim")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", markerscale=3, frameon=False)
    save_figure(figure, "vae", "codes")


def draw_samples():
    autoencoder, vae = train("autoencoder-2", 0), train("latent-2", 0)
    codes = autoencoder.encode(binary()[0].take(10_000))
    z = torch.randn(12, 2, generator=torch.Generator().manual_seed(11))
    fitted = codes.mean(0) + z @ torch.linalg.cholesky(torch.cov(codes.T)).T
    rows = {
        "autoencoder, z from N(0, I)": autoencoder.decode(z),
        "autoencoder, fitted Gaussian": autoencoder.decode(fitted),
        "VAE, z from N(0, I)": vae.decode(z),
    }
    save_figure(image_rows(rows), "vae", "samples")


def draw_latent_sizes():
    test = binary()[1].take(12)
    rows = {"data": to_float(test.images)}
    rows |= {f"K = {settings['latent_dim']}": train(case, 0).reconstruct(test) for case, settings in LATENT.items()}
    save_figure(image_rows(rows), "vae", "latent-sizes")


def draw_kl():
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    cases = {"β = 0.25": "beta-0.25", "β = 1": "latent-20", "β = 4": "beta-4", "β = 16": "beta-16"}
    for (label, case), color, marker in zip(cases.items(), COLORS, "os^D", strict=False):
        mu, log_var = train(case, 0).encode(binary()[1])
        kl = kl_per_dimension(mu, log_var).sort(descending=True).values
        axes.plot(range(1, 21), kl, marker + "-", color=color, label=label)
    axes.set_xticks([1, 5, 10, 15, 20])
    axes.set(xlabel="latent dimension, sorted by its KL", ylabel="KL in nats, mean over test images", ylim=(0, None))
    axes.legend(frameon=False)
    save_figure(figure, "vae", "kl")


def draw_denoising():
    clean = to_float(data()[1].images[:12])
    noisy = noisy_images(clean, 0)
    model = train("denoising", 0)
    rows = {"by the encoder": model.reconstruct(noisy), "by search": search_code(model, noisy)}
    save_figure(image_rows({"clean": clean, "noisy": noisy.clamp(0, 1)} | rows), "vae", "denoising")


if __name__ == "__main__":
    torch.set_num_threads(1)  # the networks are small: one thread loses little and repeats exactly
    if main("vae", run, cases=CASES, seeds=SEEDS):
        draw_codes()
        draw_samples()
        draw_latent_sizes()
        draw_kl()
        draw_denoising()
        draw_manifold()
