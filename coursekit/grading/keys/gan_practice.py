"""Reference answers and hidden cases of the exercises on GANs in practice."""

import math

import torch
from torch import nn

from coursekit.exercises import gan_practice
from coursekit.exercises.tasks import Case
from coursekit.grading.key import Key, normal


def gan_losses(logits_real, logits_fake, kind, label=1.0):
    bce = nn.functional.binary_cross_entropy_with_logits
    on_real = bce(logits_real, torch.full_like(logits_real, label))
    on_fake = bce(logits_fake, torch.zeros_like(logits_fake))
    loss_G = -on_fake if kind == "saturating" else bce(logits_fake, torch.ones_like(logits_fake))
    return on_real + on_fake, loss_G


def player_loss(player, G, D, x, z):
    if player == "D":
        with torch.no_grad():
            x_fake = G(z)
        return nn.functional.softplus(-D(x)).mean() + nn.functional.softplus(D(x_fake)).mean()
    weights = list(D.parameters())
    for weight in weights:
        weight.requires_grad_(False)
    loss = nn.functional.softplus(-D(G(z))).mean()
    for weight in weights:
        weight.requires_grad_(True)
    return loss


def maxout(x, weight, bias):
    pieces = torch.stack([x @ w.T + b for w, b in zip(weight, bias)])
    return pieces.max(dim=0).values


def effective_rate(numbers):
    updates = numbers["epochs"] * 50_000 / numbers["batch_size"]
    learning_rate = 0.1 * math.exp(-updates * math.log(1.000004))
    momentum = 0.5 + (0.7 - 0.5) * (numbers["epochs"] - 1) / (250 - 1)
    return learning_rate / (1 - momentum)


def parzen(samples, x, sigma):
    n, d = samples.shape
    squared = (x[:, None] - samples[None]).double().square().sum(dim=2)
    log_windows = -squared / (2 * sigma**2) - d * math.log(sigma * math.sqrt(2 * math.pi))
    largest = log_windows.max(dim=1, keepdim=True).values
    total = (log_windows - largest).exp().sum(dim=1)
    return largest[:, 0] + total.log() - math.log(n)


def memorisation(samples, train, held_out):
    ratios = []
    for sample in samples:
        to_train = (train - sample).square().sum(dim=1).sqrt().min()
        to_held_out = (held_out - sample).square().sum(dim=1).sqrt().min()
        ratios.append(1.0 if to_train == to_held_out == 0 else float(to_train / to_held_out))
    return sorted(ratios)[len(ratios) // 2]


def _hidden_gan_losses(rng, numbers):
    def softened():
        return round(float(rng.uniform(0.6, 0.95)), 3)

    def ordinary(kind):
        n = int(rng.integers(2, 6))
        sizes = [(n, n + int(rng.integers(1, 5))), (n + int(rng.integers(1, 5)), n), (int(rng.integers(3, 9)), 1)]
        labels = [softened(), softened(), 1.0]
        return [
            (normal(rng, i, scale=2.0), normal(rng, j, scale=2.0), kind, label) for (i, j), label in zip(sizes, labels)
        ]

    def very_sure(kind, sign):
        sizes = [rng.uniform(40, 150, size=int(rng.integers(2, 6))) for _ in range(2)]
        real, fake = (torch.tensor(size, dtype=torch.float32) for size in sizes)
        return (-sign * real, sign * fake, kind, softened())

    kinds = ("non_saturating", "saturating")
    cases = [Case(args, {"which": 0}, part="L_D") for kind in kinds for args in ordinary(kind)]
    for kind in kinds:
        cases += [Case(args, {"which": 1}, part=f"L_G, {kind}") for args in ordinary(kind)]
    return [*cases, *(Case(very_sure(kind, sign), part="a very sure D") for kind in kinds for sign in (1, -1))]


def _hidden_player_loss(rng, numbers):
    def networks(d):
        noise_dim, hidden = int(rng.integers(2, 5)), int(rng.integers(3, 6))
        weights = []
        for sizes in ((noise_dim, hidden, d), (d, hidden, 1)):
            weights.append([])
            for n_in, n_out in zip(sizes, sizes[1:]):
                weights[-1] += [normal(rng, n_out, n_in), normal(rng, n_out)]
        x, z = normal(rng, int(rng.integers(2, 6)), d), normal(rng, int(rng.integers(2, 6)), noise_dim)
        return (x, z, *weights)

    return [
        Case((["D"], *networks(2)), part="D's step"),
        Case((["D"], *networks(3)), part="D's step"),
        Case((["G"], *networks(2)), part="G's step"),
        Case((["G"], *networks(3)), part="G's step"),
        Case((["G", "D"], *networks(2)), part="one after the other"),
        Case((["D", "G", "D"], *networks(1)), part="one after the other"),
    ]


def _hidden_maxout(rng, numbers):
    def one(n, pieces, n_out, n_in, lower=0.0):
        return (normal(rng, n, n_in), normal(rng, pieces, n_out, n_in), normal(rng, pieces, n_out) - lower)

    def size():
        return int(rng.integers(2, 6))

    return [
        Case(one(size(), size() + 1, size(), size()), part="values"),
        Case(one(size(), 3, 3, size()), part="values"),
        Case(one(6, 4, 5, size(), lower=20.0), part="values"),
        Case(one(1, size(), 1, 1), part="edges"),
        Case(one(size(), 1, size(), size()), part="edges"),
    ]


def _hidden_parzen(rng, numbers):
    def one(n, points, d, sigma, away=0.0):
        spread = float(rng.uniform(0.5, 1.5))
        return (normal(rng, n, d, scale=spread), normal(rng, points, d, scale=spread) + away, sigma)

    def sigma():
        return round(float(rng.uniform(0.3, 0.8)), 2)

    def size():
        return int(rng.integers(3, 9))

    return [
        Case(one(size(), size(), 2, sigma()), part="values"),
        Case(one(size(), size(), size(), sigma()), part="values"),
        Case(one(1, 1, size(), sigma()), part="values"),
        Case(one(40, size(), 64, round(float(rng.uniform(1.5, 2.5)), 2)), part="many dimensions"),
        Case(one(40, size(), 64, round(float(rng.uniform(0.12, 0.2)), 2)), part="many dimensions"),
        Case(one(size(), size(), size(), sigma(), away=float(rng.uniform(20, 30))), part="far away"),
        Case(one(size(), size(), 2, 0.1, away=float(rng.uniform(5, 6))), part="far away"),
    ]


def _hidden_memorisation(rng, numbers):
    def one(n, d):
        return (normal(rng, n, d), normal(rng, int(rng.integers(4, 9)), d), normal(rng, int(rng.integers(4, 9)), d))

    def on_a_line(in_both):
        # Ratios ½, ¼ and 3, so the median is ½; that of the distances is 2/3. With two samples in both sets and two
        # more copies, the ratios are 1, 1, ½, ¼, 3, 0 and 0, and the median is ½ again.
        line = 1000.0 * torch.arange(7.0 if in_both else 3.0)[:, None]
        to_train = torch.tensor([1.0, 2.0, 9.0, 0.0, 0.0, 0.0, 0.0])[: len(line), None]
        to_held_out = torch.tensor([2.0, 8.0, 3.0, 0.0, 0.0, 5.0, 7.0])[: len(line), None]
        scale, order = float(rng.uniform(0.5, 8.0)), torch.tensor(rng.permutation(len(line)))
        return (line[order], line + scale * to_train, line + scale * to_held_out)

    return [
        Case(on_a_line(in_both=False), part="values"),
        Case(one(1, int(rng.integers(2, 6))), part="values"),
        Case(one(9, int(rng.integers(2, 6))), part="values"),
        Case(one(15, 2), part="values"),
        Case(on_a_line(in_both=True), part="in both sets"),
        Case(on_a_line(in_both=True), part="in both sets"),
    ]


def _score(network, rng):
    return sum(gan_practice.coverage(network, seed=int(rng.integers(1, 2**31))) for _ in range(4)) / 4


key = Key(
    gan_practice.assignment,
    answers={
        "gan_losses": gan_losses,
        "player_loss": player_loss,
        "maxout": maxout,
        "effective_rate": effective_rate,
        "parzen": parzen,
        "memorisation": memorisation,
    },
    hidden={
        "gan_losses": _hidden_gan_losses,
        "player_loss": _hidden_player_loss,
        "maxout": _hidden_maxout,
        "parzen": _hidden_parzen,
        "memorisation": _hidden_memorisation,
    },
    solutions={
        "effective_rate": """
updates = numbers["epochs"] * 50_000 / numbers["batch_size"]
learning_rate = 0.1 / 1.000004**updates
momentum = 0.5 + 0.2 * (numbers["epochs"] - 1) / 249
effective_rate = learning_rate / (1 - momentum)
""",
        "ring": """
from coursekit.data import ring_of_gaussians
from coursekit.networks import MLPGenerator
from coursekit.trainers import GANTrainer

torch.manual_seed(0)
points = ring_of_gaussians(modes=8, std=0.2).sample((4000,))
network = MLPGenerator(8, (2,), (64, 64), batch_norm=False, output="linear")
settings = dict(discriminator_hidden=(64, 64), lr=1e-3, discriminator_lr=2e-3, batch_size=256)
ring = GANTrainer(generator=network, noise="normal", noise_dim=8, device="cpu", **settings)
ring.fit(points, max_steps=800)
""",
    },
    scores={"ring": _score},
)
