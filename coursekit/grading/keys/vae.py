"""Reference answers and hidden cases of the exercises on variational autoencoders."""

import math

import torch
from torch import nn

from coursekit.exercises import vae
from coursekit.exercises.tasks import Case
from coursekit.grading.key import Key, normal


def kl(mu, log_var):
    q = torch.distributions.Normal(mu, torch.exp(0.5 * log_var))
    p = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return torch.distributions.kl_divergence(q, p).sum(dim=-1)


def reparameterise(mu, log_var, eps):
    sigma = torch.sqrt(torch.exp(log_var))
    return mu + sigma * eps


def loss(x, logits, mu, log_var, beta=1.0):
    log_p = torch.where(x > 0.5, nn.functional.logsigmoid(logits), nn.functional.logsigmoid(-logits))
    kl_terms = (mu**2 + torch.exp(log_var) - 1 - log_var) / 2
    per_image = -log_p.flatten(1).sum(dim=1) + beta * kl_terms.sum(dim=1)
    return per_image.mean()


def gap(numbers):
    w, s, x, m, v = (numbers[name] for name in "wsxmv")
    variance = s**2 / (s**2 + w**2)
    mean = w * x / (s**2 + w**2)
    return (v + (m - mean) ** 2) / (2 * variance) - 0.5 + 0.5 * math.log(variance / v)


def active_dimensions(eigenvalues, sigma, beta, latent_dim):
    count = 0
    for eigenvalue in eigenvalues.tolist():
        if eigenvalue > beta * sigma**2:
            count += 1
    return min(count, latent_dim)


def _hidden_kl(rng, numbers):
    sizes = [(int(rng.integers(2, 9)), int(rng.integers(2, 12))) for _ in range(4)]
    cases = [Case((normal(rng, *size), normal(rng, *size)), part="values") for size in sizes]
    n, k = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    return [
        *cases,
        Case((normal(rng, n, 1), normal(rng, n, 1)), part="one dimension, one image"),
        Case((normal(rng, 1, k), normal(rng, 1, k)), part="one dimension, one image"),
        Case((normal(rng, n, k, scale=5.0), -12 * torch.ones(n, k)), part="extremes"),
        Case((normal(rng, n, k, scale=0.1), 4 + normal(rng, n, k)), part="extremes"),
    ]


def _hidden_reparameterise(rng, numbers):
    cases = []
    for _ in range(3):
        n, k = int(rng.integers(2, 7)), int(rng.integers(2, 7))
        cases.append(Case((normal(rng, n, k), normal(rng, n, k), normal(rng, n, k)), part="values and gradients"))
    draws = int(rng.integers(2, 5))
    cases.append(Case((normal(rng, 3, 2), normal(rng, 3, 2), normal(rng, draws, 3, 2)), part="several draws"))
    cases.append(Case((normal(rng, 2, 3), normal(rng, 2, 3) - 15, normal(rng, 2, 3)), part="values and gradients"))
    return cases


def _hidden_loss(rng, numbers):
    def one(n, k, shape, beta=None, scale=2.0):
        x = torch.tensor(rng.integers(0, 2, size=(n, *shape)), dtype=torch.float32)
        logits = normal(rng, n, *shape, scale=scale)
        return (x, logits, normal(rng, n, k), normal(rng, n, k)) + (() if beta is None else (beta,))

    def sizes():
        return int(rng.integers(2, 7)), int(rng.integers(2, 6)), (1, int(rng.integers(2, 7)), int(rng.integers(2, 7)))

    return [
        Case(one(*sizes()), part="values"),
        Case(one(*sizes()), part="values"),
        Case(one(3, 2, (3, 4, 4)), part="values"),
        Case(one(*sizes(), beta=round(float(rng.uniform(2, 9)), 2)), part="beta"),
        Case(one(*sizes(), beta=round(float(rng.uniform(0.1, 0.8)), 2)), part="beta"),
        Case(one(*sizes(), beta=0.0), part="beta"),
        Case(one(*sizes(), scale=200.0), part="sure decoder"),
    ]


def _hidden_active_dimensions(rng, numbers):
    cases = []
    for _ in range(12):
        size = int(rng.integers(3, 12))
        eigenvalues = torch.tensor(sorted(rng.uniform(0.01, 4, size=size), reverse=True), dtype=torch.float32)
        sigma, beta = round(float(rng.uniform(0.3, 0.9)), 2), round(float(rng.uniform(0.2, 5)), 2)
        cases.append(Case((eigenvalues, sigma, beta, int(rng.integers(2, size + 1))), part="counts"))
    many = torch.tensor(sorted(rng.uniform(5, 9, size=8), reverse=True), dtype=torch.float32)
    return [
        *cases,
        Case((many, 0.5, 1.0, int(rng.integers(2, 6))), part="counts"),
        Case((many, 0.5, 100.0, 4), part="edges"),
        Case((torch.tensor([4.0, 2.0, 1.0, 0.5]), 0.5, 4.0, 4), part="edges"),
        Case((torch.tensor([4.0, 2.0, 1.0, 0.5]), 0.5, 0.01, 3), part="edges"),
    ]


def _score(network, rng):
    return sum(vae.elbo(network, seed=int(rng.integers(1, 2**31))) for _ in range(4)) / 4


key = Key(
    vae.assignment,
    answers={
        "kl": kl,
        "reparameterise": reparameterise,
        "loss": loss,
        "gap": gap,
        "active_dimensions": active_dimensions,
    },
    hidden={
        "kl": _hidden_kl,
        "reparameterise": _hidden_reparameterise,
        "loss": _hidden_loss,
        "active_dimensions": _hidden_active_dimensions,
    },
    solutions={
        "gap": """
w, s, x, m, v = (numbers[name] for name in "wsxmv")
variance = s**2 / (s**2 + w**2)
mean = w * x / (s**2 + w**2)
gap = (v + (m - mean) ** 2) / (2 * variance) - 0.5 + 0.5 * math.log(variance / v)
""",
        "gap_proof": r"""
$p(x)$ does not depend on $z$, so $\log p(x) = \mathbb{E}_q[\log p(x)]$. With $p(x) = p(x, z) / p(z \mid x)$, and $q$ above
and below,

$$
\log p(x) = \mathbb{E}_q\left[\log \frac{p(x, z)}{q(z \mid x)}\right]
+ \mathbb{E}_q\left[\log \frac{q(z \mid x)}{p(z \mid x)}\right] .
$$

The second term is a KL, never negative, and zero exactly if $q$ is the posterior: hence the bound. For a fixed decoder the
left-hand side stays, so raising the ELBO lowers the KL from $q$ to the posterior.
""",
        "small_vae": """
from coursekit.data import binarize, load_images
from coursekit.trainers import VAETrainer

digits = binarize(load_images("digits"), seed=0)
small_vae = VAETrainer(latent_dim=8, hidden=(64,), lr=3e-3, epochs=30)
small_vae.fit(digits)
""",
    },
    scores={"small_vae": _score},
)
