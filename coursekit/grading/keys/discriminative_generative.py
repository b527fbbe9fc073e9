"""Key to the exercises on discriminative and generative models."""

import math

import numpy as np
import torch

from coursekit.exercises.discriminative_generative import assignment
from coursekit.exercises.tasks import Case
from coursekit.grading.key import Key, floats


def too_many(numbers):
    def share_above(mean, std):
        return 0.5 * math.erfc((numbers["threshold"] - mean) / (std * math.sqrt(2)))

    women = share_above(numbers["mean_women"], numbers["std_women"])
    men = share_above(numbers["mean_men"], numbers["std_men"])
    even = (numbers["high"] - numbers["threshold"]) / (numbers["high"] - numbers["low"])
    return even / (0.5 * women + 0.5 * men)


def posterior(prior, likelihood):
    joint = prior.unsqueeze(1) * likelihood
    return joint / joint.sum(dim=0)


def log_evidence(log_prior, log_likelihood):
    return torch.logsumexp(log_prior + log_likelihood, dim=1)


def draw(prior, means, stds, u, eps):
    ends = prior.cumsum(0)[:-1]
    k = (ends <= u[:, None]).sum(1)
    return means[k] + stds[k] * eps


def log_odds(x, mu0, cov0, mu1, cov1, prior1):
    def log_density(mu, cov):
        # The constant (2 pi)^(-D/2) is left out: it cancels.
        factor = torch.linalg.cholesky(cov)
        white = torch.linalg.solve_triangular(factor, (x - mu).T, upper=False)
        return -0.5 * white.square().sum(0) - factor.diagonal().log().sum()

    return log_density(mu1, cov1) - log_density(mu0, cov0) + math.log(prior1) - math.log(1 - prior1)


TOO_MANY = """
def share_above(mean, std):
    return 0.5 * math.erfc((numbers["threshold"] - mean) / (std * math.sqrt(2)))


women = share_above(numbers["mean_women"], numbers["std_women"])
men = share_above(numbers["mean_men"], numbers["std_men"])
even = (numbers["high"] - numbers["threshold"]) / (numbers["high"] - numbers["low"])
too_many = even / (0.5 * women + 0.5 * men)
"""

CLASSIFIER_FIT = """
classifier = ClassifierTrainer(hidden=(32, 32), lr=0.005, batch_size=1024, device="cpu")
classifier.fit(readings(50_000, seed=0), max_steps=1500, progress=False)
"""


# -- hidden cases ----------------------------------------------------------------------------------


def _prior(rng, k):
    """A distribution over k classes, far from even."""
    weights = rng.permutation(np.arange(1, k + 1) * rng.uniform(0.8, 1.2, k))
    return weights / weights.sum()


def _rows(rng, k, m):
    rows = rng.uniform(0.05, 1, (k, m))
    return rows / rows.sum(1, keepdims=True)


def hidden_posterior(rng, numbers):
    cases = []
    for k, m in ((2, 2), (3, 5), (5, 3)):
        cases.append(Case((floats(_prior(rng, k)), floats(_rows(rng, k, m))), part="tables"))
    k, m = int(rng.integers(2, 5)), int(rng.integers(3, 6))
    table = _rows(rng, k, m)
    table[0, 0] = 0
    cases.append(Case((floats(_prior(rng, k)), floats(table / table.sum(1, keepdims=True))), part="tables"))
    for _ in range(2):
        k, m = int(rng.integers(2, 5)), int(rng.integers(3, 6))
        table = _rows(rng, k, m)
        table[:, int(rng.integers(m))] = 0
        table /= table.sum(1, keepdims=True)
        cases.append(Case((floats(_prior(rng, k)), floats(table)), part="values that never occur"))
    return cases


def hidden_log_evidence(rng, numbers):
    cases = []
    for n, k in ((4, 2), (3, 5), (1, 3)):
        log_prior = floats(np.log(_prior(rng, k)))
        cases.append(Case((log_prior, floats(rng.normal(-1, 1.5, (n, k)))), part="ordinary densities"))
    for centre in (-4000, 3000, float(rng.uniform(-900, -300))):
        k = int(rng.integers(2, 6))
        log_likelihood = centre + rng.normal(0, 1.5, (3, k))
        cases.append(Case((floats(np.log(_prior(rng, k))), floats(log_likelihood)), part="far from 1"))
    k = int(rng.integers(3, 6))
    log_prior = np.log(_prior(rng, k))
    log_prior[0] = -np.inf
    log_prior[1:] -= np.log(np.exp(log_prior[1:]).sum())
    log_likelihood = rng.normal(-700, 1.5, (4, k))
    log_likelihood[1, 1] = -np.inf
    cases.append(Case((floats(log_prior), floats(log_likelihood)), part="impossible"))
    log_likelihood = rng.normal(600, 1.5, (3, k))
    log_likelihood[int(rng.integers(3))] = -np.inf
    cases.append(Case((floats(np.log(_prior(rng, k))), floats(log_likelihood)), part="impossible"))
    return cases


def hidden_draw(rng, numbers):
    def classes(k):
        means = rng.permutation(np.linspace(-5, 5, k)) + rng.uniform(-0.3, 0.3, k)
        return floats(means), floats(rng.choice([0.4, 0.6, 1.5, 2.5], k) * rng.uniform(0.9, 1.1, k))

    def noise(n):
        eps = rng.uniform(0.3, 2, n) * rng.choice([-1, 1], n)
        return floats(rng.permutation((np.arange(n) + rng.uniform(0.1, 0.9, n)) / n)), floats(eps)

    cases = []
    for k, n in ((2, 9), (3, 12), (5, 20)):
        cases.append(Case((floats(_prior(rng, k)), *classes(k), *noise(n)), part="classes in turn"))
    cases.append(Case((floats([1.0]), *classes(1), *noise(3)), part="edges"))
    k = int(rng.integers(3, 6))
    prior = _prior(rng, k)
    prior[0] = 0
    u, eps = noise(5)
    u[0] = 0
    cases.append(Case((floats(prior / prior.sum()), *classes(k), u, eps), part="edges"))
    prior = _prior(rng, k)
    prior[1] = 0
    cases.append(Case((floats(prior / prior.sum()), *classes(k), *noise(8)), part="edges"))
    return cases


def _covariance(rng, d, unit=1.0):
    turned, _ = np.linalg.qr(rng.normal(size=(d, d)))
    variances = rng.uniform(0.5, 3, d)
    return unit**2 * (turned * variances) @ turned.T


def _two_classes(rng, n, d, unit=1.0, shared=False):
    cov0 = _covariance(rng, d, unit)
    cov1 = cov0 if shared else rng.uniform(1.5, 2.5) * _covariance(rng, d, unit)
    mu0, mu1 = unit * rng.uniform(-1, 1, d), unit * rng.uniform(-1, 1, d)
    x = unit * rng.normal(0, 1.5, (n, d))
    prior1 = round(float(rng.choice([rng.uniform(0.05, 0.4), rng.uniform(0.6, 0.95)])), 3)
    return tuple(map(floats, (x, mu0, cov0, mu1, cov1))) + (prior1,)


def hidden_log_odds(rng, numbers):
    return [
        Case(_two_classes(rng, 5, 2, shared=True), part="one covariance"),
        Case(_two_classes(rng, 4, 5, shared=True), part="one covariance"),
        Case(_two_classes(rng, 6, 2), part="two covariances"),
        Case(_two_classes(rng, 3, 6), part="two covariances"),
        Case(_two_classes(rng, 4, 1), part="two covariances"),
        Case(_two_classes(rng, 4, 3, unit=1e-9), part="small units"),
        Case(_two_classes(rng, 2, 24, unit=1e-3), part="small units"),
    ]


# -- the score of the network ----------------------------------------------------------------------


def score_classifier(module, rng):
    n, share, hump = 20_000, 0.35, np.array([[88.0, 150.0], [168.0, 106.0]])
    alarm = rng.random(n) < share
    of_alarm = hump[rng.integers(2, size=n)] + rng.normal(0, 20, (n, 2))
    of_quiet = 128 + rng.normal(0, 22, (n, 2))
    x = np.clip(np.where(alarm[:, None], of_alarm, of_quiet).round(), 0, 255)

    def density(mean, std):
        return np.exp(-((x - mean) ** 2).sum(1) / (2 * std**2)) / (2 * np.pi * std**2)

    joint1 = share * (density(hump[0], 20) + density(hump[1], 20)) / 2
    exact = joint1 / (joint1 + (1 - share) * density(np.array([128.0, 128.0]), 22))
    with torch.no_grad():
        answer = module(floats(x / 255).reshape(n, 1, 1, 2)).softmax(1)[:, 1].numpy()
    return 1 - float(np.abs(answer - exact).mean())


key = Key(
    assignment,
    answers={
        "too_many": too_many,
        "posterior": posterior,
        "log_evidence": log_evidence,
        "draw": draw,
        "log_odds": log_odds,
    },
    hidden={
        "posterior": hidden_posterior,
        "log_evidence": hidden_log_evidence,
        "draw": hidden_draw,
        "log_odds": hidden_log_odds,
    },
    solutions={
        "too_many": TOO_MANY,
        "classifier": assignment.tasks["classifier"].starter.partition("classifier = ...")[0] + CLASSIFIER_FIT.strip(),
    },
    scores={"classifier": score_classifier},
)
