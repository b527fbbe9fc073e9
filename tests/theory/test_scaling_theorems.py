"""The theorems of the chapter on scaling."""

import pytest
import torch
from torch import nn

DOUBLE = torch.float64
SHARES = [(4, 4, 4), (6, 6), (12,), (5, 4, 3), (11, 1), (6, 3, 2, 1)]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1)).double()


def gradient(network, x, weight=1.0):
    """Gradient of `weight` times the mean loss of the rows of `x`, as one vector."""
    loss = weight * nn.functional.softplus(-network(x)).mean()
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])


@pytest.mark.theorem("thm-scaling-mean-gradient")
@pytest.mark.parametrize("shares", SHARES, ids=str)
def test_mean_of_gradients_is_the_gradient_of_the_mean_if_shares_are_equal_or_weighted(network, shares):
    n, p = sum(shares), len(shares)
    x = torch.randn(n, 5, dtype=DOUBLE)
    whole = gradient(network, x)
    own = torch.stack([gradient(network, part) for part in x.split(shares)])

    by_size = (torch.tensor(shares, dtype=DOUBLE)[:, None] / n * own).sum(0)
    torch.testing.assert_close(by_size, whole)

    weighted = torch.stack([gradient(network, part, len(part) * p / n) for part in x.split(shares)])
    torch.testing.assert_close(weighted.mean(0), whole)

    equal = len(set(shares)) == 1
    assert torch.allclose(own.mean(0), whole, rtol=1e-9) == equal


@pytest.mark.theorem("thm-scaling-mean-gradient")
@pytest.mark.parametrize("shares", [(5, 4, 3), (11, 1)], ids=str)
def test_plain_mean_of_unequal_shares_is_off_by_what_the_proof_says(shares):
    """The loss of the images of the first share is theta, of the others 0: gradients 1/p and n_1/n."""
    n, p = sum(shares), len(shares)
    theta = torch.ones((), dtype=DOUBLE, requires_grad=True)
    of_first = torch.arange(n) < shares[0]
    losses = theta * of_first
    whole = torch.autograd.grad(losses.mean(), theta, retain_graph=True)[0]
    plain = sum(torch.autograd.grad(part.mean(), theta, retain_graph=True)[0] for part in losses.split(shares)) / p
    torch.testing.assert_close(whole, torch.tensor(shares[0] / n, dtype=DOUBLE))
    torch.testing.assert_close(plain, torch.tensor(1 / p, dtype=DOUBLE))


@pytest.mark.theorem("thm-scaling-mean-gradient")
def test_batch_normalisation_breaks_the_assumption():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 1)).double()
    x = torch.randn(12, 5, dtype=DOUBLE)
    halves = torch.stack([gradient(network, part) for part in x.chunk(2)]).mean(0)
    assert (halves - gradient(network, x)).norm() > 0.01 * gradient(network, x).norm()


def every_batch(n):
    """All batches of `n` draws from a skewed distribution of three values, and their probabilities."""
    values, probabilities = torch.tensor([-1.0, 0.5, 4.0], dtype=DOUBLE), torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE)
    rows = torch.cartesian_prod(*[torch.arange(3)] * n)
    mean = (values * probabilities).sum()
    variance = (values.square() * probabilities).sum() - mean.square()
    return values[rows], probabilities[rows].prod(1), variance


@pytest.mark.theorem("thm-scaling-batchnorm")
@pytest.mark.parametrize("p", [1, 2, 3, 6])
def test_statistics_of_a_share_are_off_by_the_stated_amounts(p):
    n = 6
    batches, probability, variance = every_batch(n)
    shares = batches.unflatten(1, (p, n // p))
    means, variances = shares.mean(2), shares.var(2, unbiased=False)
    mean, whole = batches.mean(1, keepdim=True), batches.var(1, unbiased=False)

    expected = lambda x: (probability * x).sum()  # noqa: E731
    for r in range(p):
        torch.testing.assert_close(expected(means[:, r] - mean[:, 0]), torch.zeros((), dtype=DOUBLE))
        torch.testing.assert_close(expected((means[:, r] - mean[:, 0]).square()), variance * (p - 1) / n)
        torch.testing.assert_close(expected(variances[:, r]), variance * (1 - p / n))
    torch.testing.assert_close(whole, variances.mean(1) + (means - mean).square().mean(1))
    torch.testing.assert_close(expected(whole), variance * (1 - 1 / n))


@pytest.mark.theorem("thm-scaling-batchnorm")
@pytest.mark.parametrize("p", [1, 2, 4])
def test_the_statistics_are_those_that_batch_normalisation_divides_by(p):
    layer = nn.BatchNorm1d(3, affine=False, eps=1e-12).double()
    x = torch.randn(12, 3, dtype=DOUBLE)
    for share in x.chunk(p):
        expected = (share - share.mean(0)) / share.var(0, unbiased=False).sqrt()
        torch.testing.assert_close(layer(share), expected)


@pytest.mark.theorem("thm-scaling-batchnorm")
def test_of_maps_the_means_of_images_are_the_independent_draws():
    """Places of a map are far from independent: the number of images counts, not that of values."""
    generator = torch.Generator().manual_seed(0)
    batches, n, p, places = 4000, 16, 4, 25
    level = torch.randn(batches, n, 1, dtype=DOUBLE, generator=generator)
    maps = level + 0.1 * torch.randn(batches, n, places, dtype=DOUBLE, generator=generator)
    means = maps.mean(2)
    shift = means.unflatten(1, (p, n // p)).mean(2) - means.mean(1, keepdim=True)
    per_image = 1 + 0.01 / places
    assert shift.square().mean() == pytest.approx(per_image * (p - 1) / n, rel=0.05)
    assert shift.square().mean() > 10 * maps.var() * (p - 1) / (n * places)
