"""Key to the exercises on GAN theory."""

import math

import numpy as np
import torch
from torch import nn

from coursekit.exercises.gan_theory import assignment
from coursekit.exercises.tasks import Case
from coursekit.grading.key import Key, floats


def d_star(p_data, p_g, share=0.5):
    shown_real, shown_fake = share * p_data, (1 - share) * p_g
    return shown_real / (shown_real + shown_fake)


def gap(numbers):
    p_data = np.array([numbers["a"], 1 - numbers["a"]])
    p_g = np.array([numbers["b"], 1 - numbers["b"]])

    def value_of(d):
        return p_data @ np.log(d) + p_g @ np.log(1 - d)

    learning = np.array([numbers["d1"], numbers["d2"]])
    return float(value_of(p_data / (p_data + p_g)) - value_of(learning))


def slopes(logits):
    return -torch.stack([torch.sigmoid(logits), torch.sigmoid(-logits)])


def loss_D(logits_real, logits_fake):
    on_data = nn.functional.softplus(-logits_real).mean()
    on_fakes = nn.functional.softplus(logits_fake).mean()
    return on_data + on_fakes


def dirac_step(theta, psi, lr):
    def d_of_fake():
        return 1 / (1 + math.exp(-psi * theta))

    psi = psi - lr * theta * d_of_fake()
    theta = theta + lr * psi * d_of_fake()
    return theta, psi


GAP = """
p_data = np.array([numbers["a"], 1 - numbers["a"]])
p_g = np.array([numbers["b"], 1 - numbers["b"]])


def value_of(d):
    return p_data @ np.log(d) + p_g @ np.log(1 - d)


learning = np.array([numbers["d1"], numbers["d2"]])
gap = value_of(p_data / (p_data + p_g)) - value_of(learning)
"""

PROOF = r"""
Write $p = p_\text{data}$, $q = p_g$ and $m = \frac12(p + q)$. Where $p + q > 0$ we have $D^* = \frac{p}{2m}$ and
$1 - D^* = 1 - \frac{p}{p + q} = \frac{q}{2m}$. The second expectation of $V$ needs only the distribution of $G(z)$, so
$C(G) = \mathbb{E}_p[\log \frac{p}{2m}] + \mathbb{E}_q[\log \frac{q}{2m}]$. Split $\log \frac12$ off each. Both
densities integrate to 1, so this gives $2 \log \frac12 = -\log 4$. What is left is
$\mathrm{KL}(p \Vert m) + \mathrm{KL}(q \Vert m) = 2\, \mathrm{JSD}(p, q)$ by the definition of the JSD.

*Below.* Both divergences are at least 0, so $C \ge -\log 4$. Equality holds exactly if both are 0, that is $p = m$ and
$q = m$, so $p = q$; and if $p = q$, then $m = p = q$ and both are 0.

*Above.* $D^*$ and $1 - D^*$ are at most 1, so both logarithms are at most 0, and $C \le 0$. Equality needs
$\log D^* = 0$ wherever $p > 0$ (up to measure zero), so $D^* = 1$ and $q = 0$ there: the supports do not meet. Conversely,
if they do not meet, $D^*$ is 1 where $p > 0$ and 0 where $q > 0$, so both expectations are 0.
"""

GENERATOR_FIT = """
generator = GANTrainer(
    **networks, noise_dim=1, noise="normal", device="cpu", k=5, batch_size=256, lr=0.01, discriminator_lr=0.01
)
generator.fit(points, max_steps=1500, progress=False)
"""


# -- hidden cases ----------------------------------------------------------------------------------


def _densities(rng, *shape, scale=1.0):
    return floats(scale * rng.uniform(0.05, 1, shape))


def _other_share(rng):
    return round(float(rng.choice([rng.uniform(0.05, 0.4), rng.uniform(0.6, 0.95)])), 3)


def hidden_d_star(rng, numbers):
    def pair(*shape, scale=1.0):
        return _densities(rng, *shape, scale=scale), _densities(rng, *shape, scale=scale)

    def table(n):
        """Two tables that share a zero, and each with a zero of its own."""
        data, fakes = rng.uniform(0.05, 1, (2, n))
        places = rng.permutation(n)
        data[places[:2]], fakes[places[1:3]] = 0, 0
        return floats(data / data.sum()), floats(fakes / fakes.sum())

    few, many = int(rng.integers(2, 6)), int(rng.integers(8, 20))
    return [
        Case(pair(few), part="fair coin"),
        Case(pair(many, scale=3.0), part="fair coin"),
        Case(pair(2, 3), part="fair coin"),
        Case((*pair(few), _other_share(rng)), part="other coins"),
        Case(pair(many), {"share": _other_share(rng)}, part="other coins"),
        Case((*pair(1), 0.01), part="other coins"),
        Case(table(few + 2), part="zeros and tails"),
        Case((*table(many), _other_share(rng)), part="zeros and tails"),
        Case(pair(few, scale=float(10.0 ** -rng.integers(24, 32))), part="zeros and tails"),
    ]


def hidden_slopes(rng, numbers):
    return [
        Case((floats(rng.uniform(-5, 5, int(rng.integers(2, 9)))),)),
        Case((floats(rng.uniform(-2, 2, int(rng.integers(10, 30)))),)),
        Case((floats([rng.uniform(0.5, 3)]),)),
        Case((floats([-100, rng.uniform(-3, -1), 0, 100]),)),
        Case((floats(rng.uniform(20, 80, 3) * rng.choice([-1, 1], 3)),)),
    ]


def hidden_loss_D(rng, numbers):
    def logits(n, *extremes):
        return floats(rng.permutation([*rng.uniform(-3, 3, n), *extremes]))

    def sizes():
        n = int(rng.integers(2, 6))
        return n, n + int(rng.integers(1, 5))

    n, m = sizes()
    far = float(rng.uniform(150, 900))
    return [
        Case((logits(n), logits(m, rng.uniform(20, 80))), part="fakes taken for real"),
        Case((logits(m), logits(n, far, 1000)), part="fakes taken for real"),
        Case((logits(1), logits(1, rng.uniform(18, 30), -far)), part="fakes taken for real"),
        Case((logits(n, -rng.uniform(110, 200)), logits(m)), part="real ones rejected"),
        Case((logits(m, -far, -1000), logits(n)), part="real ones rejected"),
        Case((logits(1, -rng.uniform(20, 60), far), logits(2)), part="real ones rejected"),
    ]


def hidden_dirac_step(rng, numbers):
    def number(low, high):
        return round(float(rng.uniform(low, high) * rng.choice([-1, 1])), 3)

    def lr(low=0.2, high=1.0):
        return round(float(rng.uniform(low, high)), 3)

    cases = [Case((number(0.5, 2), number(0.5, 2), lr())) for _ in range(5)]
    return [
        *cases,
        Case((0.0, number(0.5, 2), lr())),
        Case((number(0.5, 2), 0.0, lr())),
        Case((number(2, 4), number(2, 4), lr(1, 2))),
    ]


# -- the score of the generator --------------------------------------------------------------------


def score_generator(module, rng):
    edges = np.linspace(-4, 4, 65)

    def below(mean, std):
        return np.array([0.5 * math.erfc((mean - x) / (std * math.sqrt(2))) for x in edges])

    of_data = np.diff(np.concatenate([[0], 0.35 * below(-1.2, 0.4) + 0.65 * below(1.2, 0.6), [1]]))
    with torch.no_grad():
        samples = module(floats(rng.normal(size=(100_000, 1)))).flatten().numpy()
    of_g = np.bincount(np.searchsorted(edges, samples), minlength=66) / len(samples)

    def kl_from_mixture(p, q):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.nansum(np.where(p > 0, p * np.log(2 * p / (p + q)), 0))

    return 1 - float(kl_from_mixture(of_data, of_g) + kl_from_mixture(of_g, of_data)) / (2 * math.log(2))


key = Key(
    assignment,
    answers={
        "d_star": d_star,
        "gap": gap,
        "slopes": slopes,
        "loss_D": loss_D,
        "dirac_step": dirac_step,
    },
    hidden={
        "d_star": hidden_d_star,
        "slopes": hidden_slopes,
        "loss_D": hidden_loss_D,
        "dirac_step": hidden_dirac_step,
    },
    solutions={
        "gap": GAP,
        "proof": PROOF,
        "generator": assignment.tasks["generator"].starter.partition("generator = ...")[0] + GENERATOR_FIT.strip(),
    },
    scores={"generator": score_generator},
)
