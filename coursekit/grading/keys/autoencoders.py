"""Key to the exercises on autoencoders."""

import math

import numpy as np
import torch

from coursekit.data import load_images, to_float
from coursekit.exercises.autoencoders import assignment
from coursekit.exercises.tasks import Case
from coursekit.grading.key import Key, floats


def least_error(numbers):
    mean = (numbers["var1"] + numbers["var2"]) / 2
    radius = math.hypot((numbers["var1"] - numbers["var2"]) / 2, numbers["cov"])
    return mean - radius


def linear_autoencoder(x, k):
    mean = x.mean(dim=0, keepdim=True)
    scatter = (x - mean).T @ (x - mean)
    principal = torch.linalg.eigh(scatter).eigenvectors[:, -k:]
    codes = (x - mean) @ principal
    return codes @ principal.T + mean


def best_denoiser(x_noisy, points, sigma):
    squared = ((x_noisy.unsqueeze(1) - points.unsqueeze(0)) ** 2).sum(dim=2)
    posterior = (-squared / (2 * sigma**2)).softmax(dim=1)
    return posterior @ points


def sparsity(code, target):
    rate = code.mean(dim=0)
    on = target * (math.log(target) - torch.log(rate))
    off = (1 - target) * (math.log(1 - target) - torch.log(1 - rate))
    return (on + off).sum()


def contractive(x, weight, bias):
    z = torch.sigmoid(torch.nn.functional.linear(x, weight, bias))
    squared_slope = (z * (1 - z)) ** 2
    squared_weights = (weight**2).sum(dim=1)
    return squared_slope @ squared_weights


def jacobian_norm(encode, x):
    inputs = x.detach().clone().requires_grad_(True)
    code = encode(inputs)
    total = torch.zeros(len(x))
    for unit in range(code.shape[1]):
        (rows,) = torch.autograd.grad(code[:, unit].sum(), inputs, retain_graph=True)
        total = total + (rows**2).sum(dim=1)
    return total


LEAST_ERROR = """
matrix = torch.tensor([[numbers["var1"], numbers["cov"]], [numbers["cov"], numbers["var2"]]], dtype=torch.float64)
least_error = torch.linalg.eigvalsh(matrix).min().item()
"""

DENOISER_FIT = """
denoiser = AutoencoderTrainer(latent_dim=64, hidden=(128,), noise_std=0.5, lr=0.003)
denoiser.fit(digits, max_steps=450, progress=False)
"""


# -- hidden cases ----------------------------------------------------------------------------------


def _cloud(rng, n, d, mean):
    """Points whose variances fall by a factor of about 4 from one direction to the next, in turned axes."""
    turned, _ = np.linalg.qr(rng.normal(size=(d, d)))
    stds = 3 * 0.5 ** np.arange(d) * rng.uniform(0.9, 1.1, d)
    return floats(rng.normal(size=(n, d)) * stds @ turned.T + mean)


def hidden_linear_autoencoder(rng, numbers):
    def mean(d):
        return rng.uniform(2, 6, d) * rng.choice([-1, 1], d)

    def centred(n, d):
        half = _cloud(rng, n, d, 0)
        return torch.cat([half, -half])

    return [
        Case((centred(20, 3), 1), part="centred data"),
        Case((centred(15, 5), int(rng.integers(2, 4))), part="centred data"),
        Case((_cloud(rng, 30, 3, mean(3)), int(rng.integers(1, 3))), part="data with a mean"),
        Case((_cloud(rng, 50, 6, mean(6)), int(rng.integers(2, 5))), part="data with a mean"),
        Case((_cloud(rng, 12, 4, mean(4)), 4), part="edges"),
        Case((_cloud(rng, 4, 6, mean(6)), 2), part="edges"),
        Case((_cloud(rng, 9, 2, mean(2)), 1), part="edges"),
    ]


def hidden_best_denoiser(rng, numbers):
    def spread(m, d):
        return rng.normal(0, 1.5, (m, d))

    def near(points, n, sigma):
        return points[rng.integers(len(points), size=n)] + sigma * rng.normal(size=(n, points.shape[1]))

    cases = []
    for m, d, n in ((3, 1, 6), (6, 2, 5), (20, 5, 4)):
        points, sigma = spread(m, d), round(float(rng.choice([rng.uniform(0.5, 0.8), rng.uniform(1.3, 1.8)])), 3)
        cases.append(Case((floats(near(points, n, sigma)), floats(points), sigma), part="ordinary noise"))
    for m, d in ((4, 2), (8, 12)):
        points, sigma = spread(m, d), round(float(rng.uniform(0.02, 0.06)), 3)
        between = (points[:2] + points[1:3]) / 2 + sigma**2 * rng.uniform(-0.5, 0.5, (2, d))
        far = 8 + rng.normal(size=(2, d))
        cases.append(Case((floats(np.concatenate([between, far])), floats(points), sigma), part="little noise"))
    point, sigma = spread(1, 3), round(float(rng.uniform(0.5, 0.8)), 3)
    cases.append(Case((floats(near(point, 3, sigma)), floats(point), sigma), part="ordinary noise"))
    points = spread(5, 2)
    cases.append(Case((floats(near(points, 1, 40)), floats(points), 40.0), part="ordinary noise"))
    return cases


def hidden_sparsity(rng, numbers):
    def code(n, k):
        return floats(rng.beta(0.6, 1.2, (n, k)).clip(0.01, 0.99) * rng.uniform(0.2, 0.9, k))

    def target():
        return round(float(rng.choice([rng.uniform(0.02, 0.1), rng.uniform(0.25, 0.45)])), 3)

    n, k = int(rng.integers(3, 8)), int(rng.integers(9, 14))
    return [
        Case((code(n, k), target())),
        Case((code(k, n), target())),
        Case((code(n, n), target())),
        Case((code(40, 2), target())),
        Case((code(1, k), target())),
        Case((code(n, 1), 0.5)),
        Case((torch.full((n, k), 0.25), 0.25)),
    ]


def _layer(rng, k, d):
    return floats(rng.normal(0, 1, (k, d))), floats(rng.normal(0, 0.5, k))


def hidden_contractive(rng, numbers):
    def case(n, d, k, scale=1.0, part="small layers"):
        return Case((floats(scale * rng.normal(size=(n, d))), *_layer(rng, k, d)), part=part)

    few = int(rng.integers(2, 6))
    return [
        case(few, 3, 5),
        case(4, 6, 2),
        case(3, 4, 4),
        case(1, 1, 3),
        case(5, 7, 1),
        case(6, 5, 9, scale=3.0),
        case(200, 784, 200, scale=0.05, part="a layer as in the course"),
    ]


def hidden_jacobian_norm(rng, numbers):
    def case(n, *sizes, activation="Tanh", part):
        layers, weights = [], []
        for n_in, n_out in zip(sizes, sizes[1:]):
            layers += [["Linear", n_in, n_out], [activation]]
            weights += [floats(rng.normal(0, 1 / math.sqrt(n_in), (n_out, n_in))), floats(rng.normal(0, 0.3, n_out))]
        return Case((layers[:-1], weights, floats(rng.normal(size=(n, sizes[0])))), part=part)

    few, many = int(rng.integers(2, 5)), int(rng.integers(6, 10))
    return [
        case(few, 4, 3, part="one layer"),
        case(many, 2, 5, part="one layer"),
        case(few, 3, 8, 2, part="several layers"),
        case(few, 5, 6, 6, 4, activation="Sigmoid", part="several layers"),
        case(1, 4, 7, 3, activation="Softplus", part="several layers"),
        case(many, 3, 6, 1, part="several layers"),
    ]


# -- the score of the network ----------------------------------------------------------------------


def score_denoiser(module, rng):
    x = to_float(load_images("digits", "test").images)
    mean = to_float(load_images("digits").images).mean(0)
    lost = 0.0
    for _ in range(3):
        noise = floats(rng.normal(0, 0.5, tuple(x.shape)))
        with torch.no_grad():
            logits, _ = module(x + noise)
        lost += float(((torch.sigmoid(logits) - x) ** 2).sum()) / 3
    return 1 - lost / float(((mean - x) ** 2).sum())


key = Key(
    assignment,
    answers={
        "least_error": least_error,
        "linear_autoencoder": linear_autoencoder,
        "best_denoiser": best_denoiser,
        "sparsity": sparsity,
        "contractive": contractive,
        "jacobian_norm": jacobian_norm,
    },
    hidden={
        "linear_autoencoder": hidden_linear_autoencoder,
        "best_denoiser": hidden_best_denoiser,
        "sparsity": hidden_sparsity,
        "contractive": hidden_contractive,
        "jacobian_norm": hidden_jacobian_norm,
    },
    solutions={
        "least_error": LEAST_ERROR,
        "denoiser": assignment.tasks["denoiser"].starter.partition("denoiser = ...")[0] + DENOISER_FIT.strip(),
    },
    scores={"denoiser": score_denoiser},
)
