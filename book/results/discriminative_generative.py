"""Numbers and figures of the chapter "Discriminative and generative"."""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from record import main, save_figure
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

from coursekit.data import gaussian_mixture, heights, load_images, to_float
from coursekit.metrics import accuracy, expected_calibration_error
from coursekit.theory import kl_divergence, shared_covariance_posterior
from coursekit.trainers import ClassifierTrainer

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#00795C", "#595959"


# Classifying digits: two ways to the posterior

SHRINKAGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
LINEAR_SHRINKAGES = (0.1, 0.3, 0.5, 0.7)


def pixels(image_set):
    return to_float(image_set.images).flatten(1).numpy(), image_set.labels.numpy()


class GaussianClasses:
    """One Gaussian per class: a full covariance on principal components, one variance for all other directions.

    On the components the covariance is (1 - shrinkage) S + shrinkage I. The other directions are the same in every
    class, so they cancel from P(y | x) and count only in the density.
    """

    def __init__(self, shrinkage):
        self.shrinkage = shrinkage

    def fit(self, x, y):
        # At least two images per dimension in every class.
        components = min(50, np.bincount(y).min() // 2)
        self.pca = PCA(components, random_state=0).fit(x)
        self.model = QuadraticDiscriminantAnalysis(reg_param=self.shrinkage, tol=1e-9).fit(self.pca.transform(x), y)
        return self

    def predict_proba(self, x):
        return self.model.predict_proba(self.pca.transform(x))

    def log_density(self, x):
        """log p(x), nats: the joint summed over the classes."""
        z = self.pca.transform(x)
        remainder = ((x - self.pca.inverse_transform(z)) ** 2).sum(axis=1)
        others = x.shape[1] - z.shape[1]
        variance = self.pca.noise_variance_
        log_remainder = -0.5 * (remainder / variance + others * math.log(2 * math.pi * variance))
        log_joint = torch.as_tensor(self.model.decision_function(z)) - 0.5 * z.shape[1] * math.log(2 * math.pi)
        return log_joint.logsumexp(dim=1) + torch.as_tensor(log_remainder)

    def sample(self, label, n, generator):
        """n images of one class, by the eigenvectors of its covariance; the other directions stay at their mean."""
        variances, axes = self.model.scalings_[label], self.model.rotations_[label]
        eps = generator.standard_normal((n, len(variances)))
        return self.pca.inverse_transform(self.model.means_[label] + eps * np.sqrt(variances) @ axes.T)


def fit_with_chosen_shrinkage(build, shrinkages, images, seed):
    """Choose on a tenth of the images held out, then fit on all of them."""
    fitting, held_out = images.split(0.9, seed=seed)
    x_held_out, y_held_out = pixels(held_out)
    scores = [accuracy(build(s).fit(*pixels(fitting)).predict_proba(x_held_out), y_held_out) for s in shrinkages]
    return build(shrinkages[int(np.argmax(scores))]).fit(*pixels(images))


def noise_the_classifier_is_sure_of(classifier, per_class, seed, steps=100, step_size=0.2):
    """Climb log P(y | x) from uniform noise until it passes log 0.999, pixels kept in [0, 1]."""
    network = classifier.network.eval()
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    target = torch.arange(10).repeat(per_class)
    x = torch.rand(len(target), 1, 28, 28, generator=generator).to(device)
    for _ in range(steps):
        x.requires_grad_(True)
        log_p = network(x).log_softmax(dim=1)[torch.arange(len(target)), target]
        (gradient,) = torch.autograd.grad(log_p.sum(), x)
        length = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
        step = step_size * (log_p < math.log(0.999)) / length
        x = (x + step[:, None, None, None] * gradient).clamp(0, 1).detach()
    return x.cpu(), target


def run_digits(model, size, seed, smoke):
    images, test = load_images("mnist"), load_images("mnist", "test")
    if smoke:
        size, test = 500, test.take(500)
    if size < len(images):
        images, _ = images.split(size / len(images), seed=seed)
    x_test, y_test = pixels(test)

    metrics = {}
    if model == "gaussians":
        fitted = fit_with_chosen_shrinkage(GaussianClasses, SHRINKAGES, images, seed)
        probabilities = fitted.predict_proba(x_test)
        metrics["shrinkage"] = fitted.shrinkage
    elif model == "shared-covariance":
        fitted = fit_with_chosen_shrinkage(
            lambda s: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s), LINEAR_SHRINKAGES, images, seed
        )
        probabilities = fitted.predict_proba(x_test)
        metrics["shrinkage"] = fitted.shrinkage
    else:
        hidden = () if model == "linear-classifier" else (256,)
        epochs = 2 if smoke else 6 if len(images) > 10_000 else 200
        fitted = ClassifierTrainer(hidden=hidden, epochs=epochs, seed=seed).fit(images, progress=False)
        probabilities = fitted.predict_proba(test)
    metrics |= {
        "accuracy": accuracy(probabilities, y_test),
        "ece": expected_calibration_error(probabilities, y_test),
    }

    if model == "classifier" and (smoke or len(images) > 10_000):
        gaussians = GaussianClasses(0.03).fit(*pixels(images))
        generator = np.random.default_rng(seed)
        drawn = np.concatenate([gaussians.sample(label, 100, generator) for label in range(10)])
        drawn = torch.as_tensor(drawn, dtype=torch.float32).reshape(-1, 1, 28, 28).clamp(0, 1)
        recognised = accuracy(fitted.predict_proba(drawn), torch.arange(10).repeat_interleave(100))
        noise, target = noise_the_classifier_is_sure_of(fitted, 10, seed)
        confidence = fitted.predict_proba(noise)[torch.arange(len(target)), target]
        noise_density = gaussians.log_density(noise.flatten(1).numpy())
        test_density = gaussians.log_density(x_test)
        metrics |= {
            "samples_recognised": recognised,
            "noise_confidence": confidence.mean().item(),
            "noise_log_density": noise_density.mean().item(),
            "test_log_density": test_density.mean().item(),
            "test_images_below_noise": (test_density < noise_density.max()).double().mean().item(),
        }
    return metrics


# One Gaussian for two humps

WEIGHTS, MEANS, STDS = (0.6, 0.4), (-2.0, 2.0), (0.6, 0.6)
GRID = torch.linspace(-12, 12, 4001, dtype=torch.float64)
CELL = (GRID[1] - GRID[0]).item()


def two_humps():
    parts = (torch.tensor(values, dtype=torch.float64) for values in (WEIGHTS, MEANS, STDS))
    return gaussian_mixture(*parts)


def gaussian(mean, std):
    return torch.distributions.Normal(mean, std).log_prob(GRID).exp()


def fit_by_likelihood(n, seed):
    torch.manual_seed(seed)
    x = two_humps().sample((n,))
    return x.mean(), x.std(correction=0)


REVERSE_STARTS = {"left": (-1.5, 1.0), "right": (1.5, 1.0), "middle": (0.0, 2.0)}


def fit_by_reverse_kl(start, seed):
    """Gradient descent on KL(q || p), computed by quadrature, from a start that the seed shifts."""
    p = two_humps().log_prob(GRID).exp()
    start_mean, start_std = REVERSE_STARTS[start]
    shift = 0.2 * torch.randn((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mean = (start_mean + shift).requires_grad_()
    log_std = torch.tensor(math.log(start_std), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([mean, log_std], lr=0.02)
    for _ in range(600):
        optimizer.zero_grad()
        # Restricted to where q is not rounded to 0, whose logarithm has no gradient.
        q = gaussian(mean, log_std.exp())
        seen = q > 0
        kl_divergence(q[seen], p[seen], weights=CELL).backward()
        optimizer.step()
    return mean.detach(), log_std.exp().detach()


def run_kl(case, seed):
    if case == "forward-kl":
        mean, std = fit_by_likelihood(10_000, seed)
    else:
        mean, std = fit_by_reverse_kl(case.removeprefix("reverse-kl-"), seed)
    p, q = two_humps().log_prob(GRID).exp(), gaussian(mean, std)
    height = two_humps().log_prob(mean).exp() / p.max()
    return {
        "mean": mean, "std": std, "forward": kl_divergence(p, q, weights=CELL),
        "reverse": kl_divergence(q, p, weights=CELL), "relative_density_at_mean": height,
    }  # fmt: skip


def run(case, seed, smoke=False):
    if "kl" in case:
        return run_kl(case, seed)
    model, _, size = case.rpartition("-") if case[-1].isdigit() else (case, "", "60000")
    return run_digits(model, int(size), seed, smoke)


# Figures


def new_figure(width, height, columns=1, rows=1):
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure, name):
    save_figure(figure, "discriminative_generative", name, dpi=150)


def draw_heights():
    people = heights()
    low, high = 140, 200
    x = torch.linspace(low - 5, high + 5, 600)
    figure, (ax, posterior_ax) = new_figure(7.2, 3.0, columns=2)

    ax.fill_between(x, people.log_prob(x).exp(), color=BLUE, alpha=0.25, lw=0)
    ax.plot(x, people.log_prob(x).exp(), color=BLUE, label="density P(X)")
    ax.plot(
        [low, low, high, high], [0, 1 / (high - low), 1 / (high - low), 0], color=ORANGE, ls="--", label="range alone"
    )
    torch.manual_seed(0)
    ax.plot(people.sample((60,)), torch.full((60,), -0.0035), "|", color=BLUE, ms=8)
    ax.plot(low + (high - low) * torch.rand(60), torch.full((60,), -0.0075), "|", color=ORANGE, ms=8)
    ax.set(xlabel="height (cm)", ylabel="density per cm", ylim=(-0.011, 0.066), title="Making a height")
    ax.set_yticks([0, 0.01, 0.02, 0.03, 0.04])
    ax.legend(frameon=False, fontsize=9, loc="upper left")

    components = people.component_distribution.log_prob(x[:, None]).exp() * people.mixture_distribution.probs
    posterior_ax.plot(x, components[:, 0], color=BLUE, label="P(X | woman) P(woman)")
    posterior_ax.plot(x, components[:, 1], color=GREEN, label="P(X | man) P(man)")
    posterior_ax.set(xlabel="height (cm)", ylabel="density per cm", title="Judging a height", ylim=(0, 0.05))
    other = posterior_ax.twinx()
    other.spines[["top"]].set_visible(False)
    other.plot(x, components[:, 1] / components.sum(1), color=GREY, ls=":", lw=2, label="P(man | X)")
    other.set(ylim=(0, 1.5), yticks=[0, 0.5, 1], ylabel="probability")
    lines = posterior_ax.get_lines() + other.get_lines()
    posterior_ax.legend(lines, [line.get_label() for line in lines], frameon=False, fontsize=9, loc="upper left")
    save(figure, "heights")


def draw_kl():
    p = two_humps().log_prob(GRID).exp()
    fits = [
        ("forward KL", fit_by_likelihood(10_000, 0), ORANGE, "-"),
        ("reverse KL, from the left", fit_by_reverse_kl("left", 0), GREEN, "--"),
        ("reverse KL, from the right", fit_by_reverse_kl("right", 0), GREEN, ":"),
        ("reverse KL, from the middle", fit_by_reverse_kl("middle", 0), GREEN, "-."),
    ]
    figure, (ax, cost) = new_figure(7.2, 3.2, columns=2)
    ax.fill_between(GRID, p, color=BLUE, alpha=0.25, lw=0, label="target p")
    for label, (mean, std), color, style in fits:
        ax.plot(GRID, gaussian(mean, std), color=color, ls=style, lw=2, label=label)
    ax.set(xlim=(-7, 7), ylim=(0, 1.25), xlabel="x", ylabel="density", title="One Gaussian q for two humps")
    ax.legend(frameon=False, fontsize=9, loc="upper right")

    means = torch.linspace(-4, 4, 81, dtype=torch.float64)
    stds = torch.logspace(-0.5, 0.7, 61, dtype=torch.float64)
    for label, color, style in (("forward", ORANGE, "-"), ("reverse", GREEN, "--")):
        best = []
        for mean in means:
            q = torch.distributions.Normal(mean, stds[:, None])
            log_q, log_p = q.log_prob(GRID), two_humps().log_prob(GRID)
            forward = (p * (log_p - log_q)).sum(1) * CELL
            reverse = (log_q.exp() * (log_q - log_p)).sum(1) * CELL
            best.append((forward if label == "forward" else reverse).min().item())
        kl = "KL(p ‖ q)" if label == "forward" else "KL(q ‖ p)"
        cost.plot(means, best, color=color, ls=style, lw=2, label=f"{label} {kl}")
    cost.set(xlabel="mean of q", ylabel="nats", ylim=(0, 3), title="Smallest KL for each mean")
    cost.legend(frameon=False, fontsize=9, loc="upper center")
    save(figure, "kl")


def draw_boundary_and_density():
    cov = torch.tensor([[1.0, 0.4], [0.4, 0.8]])
    means = torch.tensor([[-1.1, 0.0], [1.1, 0.5]])
    w, b = shared_covariance_posterior(means[0], means[1], cov, 0.5)
    along = torch.stack([-w[1], w[0]]) / w.norm()
    slides = torch.tensor([-3.4, 0.0, 3.4])[:, None] * along
    axis = torch.linspace(-6.5, 6.5, 241)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    points = torch.stack([x, y], dim=-1)

    def class_density(mean, offsets):
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(torch.ones(len(offsets))),
            torch.distributions.MultivariateNormal(mean + offsets, cov),
        )

    figure, axes = new_figure(7.2, 2.75, columns=3)
    posterior = torch.sigmoid(points @ w + b)
    axes[0].contourf(x, y, posterior, levels=np.linspace(0, 1, 11), cmap="PuOr_r")
    torch.manual_seed(0)
    for ax, offsets in ((axes[1], torch.zeros(1, 2)), (axes[2], slides)):
        classes = [class_density(mean, offsets) for mean in means]
        ax.contourf(x, y, sum(c.log_prob(points).exp() for c in classes) / 2, levels=8, cmap="Greys")
        for c, color in zip(classes, ("#5E3C99", "#B35806"), strict=True):
            ax.plot(*c.sample((60,)).T, "o", color=color, ms=2.5, mec="white", mew=0.3)
    titles = ("P(Y = 1 | X), the same for both", "one density P(X)", "another density P(X)")
    for ax, title in zip(axes, titles, strict=True):
        ax.contour(x, y, posterior, levels=[0.5], colors="black", linewidths=1.8)
        ax.set_title(title, fontsize=10)
        ax.set(aspect="equal", xticks=[], yticks=[], xlabel="$x_1$", ylabel="$x_2$")
        ax.spines[:].set_visible(True)
    save(figure, "boundary-density")


def draw_map():
    figure, (ax,) = new_figure(7.2, 4.1)
    ax.set(xlim=(0, 100), ylim=(0, 58))
    ax.axis("off")

    def box(x, y, width, height, text, color, weight="normal"):
        ax.add_patch(
            FancyBboxPatch(
                (x, y), width, height, boxstyle="round,pad=0,rounding_size=1.5", fc=f"{color}18", ec=color, lw=1.3
            )
        )
        ax.text(
            x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9.5, weight=weight, linespacing=1.35
        )

    def join(x0, y0, x1, y1):
        ax.plot([x0, x0, x1, x1], [y0, (y0 + y1) / 2, (y0 + y1) / 2, y1], color=GREY, lw=1.2, zorder=0)

    box(33, 50, 34, 7, "generative model of P(X)", GREY, "bold")
    box(14, 38, 36, 7, "explicit: gives log p(x)", BLUE, "bold")
    box(69, 38, 30, 7, "implicit: gives samples", ORANGE, "bold")
    box(1, 25, 30, 7.5, "tractable density", BLUE, "bold")
    box(35, 25, 30, 7.5, "approximate density", GREEN, "bold")
    for x0, y0, x1, y1 in ((50, 50, 32, 45), (50, 50, 84, 45), (32, 38, 16, 32.5), (32, 38, 50, 32.5)):
        join(x0, y0, x1, y1)
    join(16, 25, 16, 21), join(50, 25, 50, 21), join(84, 38, 84, 21)
    box(1, 1, 30, 20, "Gaussian classes\n(this chapter)\n\nautoregressive models,\nnormalising flows *", BLUE)
    box(35, 1, 30, 20, "by a bound: VAE,\ndiffusion *\n\nby a Markov chain:\nBoltzmann machines *", GREEN)
    box(69, 1, 30, 20, "GAN theory\nGAN practice\nDCGAN\nCycleGAN", ORANGE)
    box(1, 50, 25, 7, "no distribution:\nautoencoders", GREY)
    ax.text(99, 54, "* not a chapter\nof this course", ha="right", va="center", fontsize=9, color=GREY)
    save(figure, "map")


CASES = [
    *(f"{model}{size}" for size in ("", "-500") for model in ("classifier", "gaussians", "linear-classifier", "shared-covariance")),
    "forward-kl", "reverse-kl-left", "reverse-kl-right", "reverse-kl-middle",
]  # fmt: skip

if __name__ == "__main__":
    if main("discriminative_generative", run, cases=CASES, seeds=(0, 1, 2)):
        for draw in (draw_heights, draw_kl, draw_boundary_and_density, draw_map):
            draw()
