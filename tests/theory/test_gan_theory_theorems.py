"""The theorems of the GAN theory chapter: on random tables, on densities by quadrature, and by training.

Tables are drawn with zeros in them, so that supports differ. Densities are compared with scipy's quadrature, which
shares no code with the grids of coursekit.theory. Where a theorem speaks of a best answer, something is trained
towards it.
"""

import math

import pytest
import torch
from scipy import integrate, optimize, stats
from torch import nn
from torch.nn.functional import logsigmoid

from coursekit.losses.gan import discriminator_loss, generator_loss, r1_penalty
from coursekit.theory import (
    criterion,
    dirac_gan,
    exponentiated_gradient_step,
    generator_gradient,
    jensen_shannon,
    kl_divergence,
    non_saturating_criterion,
    optimal_discriminator,
    shared_covariance_posterior,
    value,
    wasserstein_1,
)
from coursekit.trainers import GANTrainer

DOUBLE = torch.float64
LOG_2, LOG_4 = math.log(2), math.log(4)
P, Q = stats.norm(-0.5, 1.0), stats.norm(1.0, 1.6)


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def random_table(seed, letters=6, zeros=0.0):
    """A distribution from exponential weights, uniform on the simplex, with a share of letters set to 0."""
    generator = generator_of(seed)
    weights = -torch.rand(letters, generator=generator, dtype=DOUBLE).log()
    keep = torch.rand(letters, generator=generator) >= zeros
    keep[seed % letters] = True
    return weights * keep / (weights * keep).sum()


def random_pair(seed, zeros=0.0):
    return random_table(2 * seed, zeros=zeros), random_table(2 * seed + 1, zeros=zeros)


def random_discriminators(seed, n=50, letters=6):
    return torch.rand(n, letters, generator=generator_of(seed), dtype=DOUBLE)


def grid(low=-14.0, high=14.0, points=5601):
    x = torch.linspace(low, high, points, dtype=DOUBLE)
    weights = torch.full_like(x, (x[1] - x[0]).item())
    weights[[0, -1]] /= 2
    return x, weights


def normal(x, mean, std=1.0):
    return torch.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def logit_network(hidden=32):
    return nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))


class Shift(nn.Module):
    """G(z) = mean + std * z, with one parameter."""

    def __init__(self, mean, std=1.0):
        super().__init__()
        self.mean, self.std = nn.Parameter(torch.tensor(float(mean))), std

    def forward(self, z):
        return self.mean + self.std * z


# --- the optimal discriminator -----------------------------------------------------------------------------


@pytest.mark.theorem("thm-optimal-discriminator")
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_discriminator_has_a_higher_value(seed, zeros):
    p_data, p_g = random_pair(seed, zeros)
    d_star = optimal_discriminator(p_data, p_g)
    best = value(p_data, p_g, d_star)
    support = p_data + p_g > 0
    for d in random_discriminators(seed):
        assert value(p_data, p_g, d) < best
        for epsilon in (1e-3, 0.1):  # near by, too: it is the only maximiser
            moved = torch.where(support, (1 - epsilon) * d_star + epsilon * d, d)
            assert value(p_data, p_g, moved) < best


@pytest.mark.theorem("thm-optimal-discriminator")
def test_outside_the_support_any_values_will_do():
    p_data, p_g = random_pair(3, zeros=0.6)
    outside = p_data + p_g == 0
    assert outside.any()
    d_star = optimal_discriminator(p_data, p_g)
    assert d_star.isnan().equal(outside)
    for d in random_discriminators(0, n=5):
        assert value(p_data, p_g, torch.where(outside, d, d_star)) == value(p_data, p_g, d_star)


@pytest.mark.theorem("thm-optimal-discriminator")
@pytest.mark.parametrize("seed", range(3))
def test_a_sigmoid_attains_the_bound_only_if_supports_agree(seed):
    logits = torch.linspace(-30, 30, 2001, dtype=DOUBLE)
    p_data, p_g = torch.tensor([0.5, 0.5, 0.0], dtype=DOUBLE), random_table(seed, letters=3)
    best = value(p_data, p_g, optimal_discriminator(p_data, p_g))
    # The third letter is never in the data: its term rises for ever as the logit falls, and never arrives.
    terms = p_g[2] * logsigmoid(-logits)
    assert (terms.diff() < 0).all() and terms[0] < 0 and terms[0] == pytest.approx(0, abs=1e-12)
    # Approached by discriminators strictly inside (0, 1), at the rate that concavity gives.
    d_star, half = optimal_discriminator(p_data, p_g), value(p_data, p_g, torch.full((3,), 0.5, dtype=DOUBLE))
    for epsilon in (0.5, 0.1, 1e-3, 1e-9):
        inside = value(p_data, p_g, (1 - epsilon) * d_star + epsilon / 2)
        assert (1 - epsilon) * best + epsilon * half <= inside < best


@pytest.mark.theorem("thm-optimal-discriminator")
@pytest.mark.parametrize("x", [-4.0, -0.5, 0.2, 1.0, 3.0, 6.0])
def test_pointwise_maximum_of_two_densities_is_at_d_star(x):
    """The maximiser over one number, found by scipy without the formula."""
    found = optimize.minimize_scalar(
        lambda d: -(P.pdf(x) * math.log(d) + Q.pdf(x) * math.log1p(-d)), bounds=(0, 1), method="bounded"
    ).x
    assert optimal_discriminator([P.pdf(x)], [Q.pdf(x)]).item() == pytest.approx(found, abs=1e-4)


@pytest.mark.theorem("thm-optimal-discriminator")
@pytest.mark.parametrize("seed", range(3))
def test_a_trained_table_of_logits_finds_d_star(seed):
    p_data, p_g = random_pair(seed)
    logits = torch.zeros(6, dtype=DOUBLE, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def minus_value():
        optimizer.zero_grad()
        loss = -(p_data * logsigmoid(logits) + p_g * logsigmoid(-logits)).sum()
        loss.backward()
        return loss

    optimizer.step(minus_value)
    torch.testing.assert_close(logits.detach().sigmoid(), optimal_discriminator(p_data, p_g), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def trained_discriminator():
    """A network trained by GANTrainer on samples, against a generator that never moves: (x, weights, p, q, D)."""
    torch.manual_seed(0)
    steps = 800
    data = stats.norm(-0.5, 1.0).rvs(20_000, random_state=0)
    trainer = GANTrainer(
        generator=Shift(1.0, 1.6), discriminator=logit_network(), noise="normal", noise_dim=1, k=steps + 1,
        batch_size=512, discriminator_lr=5e-3, beta1=0.9, device="cpu", seed=0,
    )  # fmt: skip
    trainer.fit(torch.from_numpy(data).float()[:, None], max_steps=steps, epochs=1000, progress=False)
    assert trainer.generator.mean.item() == 1.0
    x, weights = grid(-9, 11, 801)
    d = trainer.discriminate(x.float()[:, None]).double().sigmoid()
    return x, weights, normal(x, -0.5), normal(x, 1.0, 1.6), d


@pytest.mark.theorem("thm-optimal-discriminator")
def test_a_trained_network_comes_near_d_star(trained_discriminator):
    x, weights, p_data, p_g, d = trained_discriminator
    error = (d - optimal_discriminator(p_data, p_g)).abs()
    assert (weights * (p_data + p_g) / 2 * error).sum() < 0.03
    untrained = (0.5 - optimal_discriminator(p_data, p_g)).abs()
    assert (weights * (p_data + p_g) / 2 * untrained).sum() > 0.2


@pytest.mark.theorem("thm-gan-criterion")
def test_a_trained_network_measures_the_criterion_from_below(trained_discriminator):
    x, weights, p_data, p_g, d = trained_discriminator
    gap = criterion(p_data, p_g, weights) - value(p_data, p_g, d, weights)
    assert 0 < gap < 0.02
    assert criterion(p_data, p_g, weights) + LOG_4 > 0.2  # what an untrained one misses


def test_two_gaussians_give_a_logistic_regression_as_the_page_says():
    x = torch.tensor([2.0, -1.0, 0.5], dtype=DOUBLE)
    d_star = optimal_discriminator(normal(x, 1.0), normal(x, 0.0))
    w, b = shared_covariance_posterior([0.0], [1.0], [[1.0]], 0.5)
    torch.testing.assert_close(d_star, torch.sigmoid(w * x + b))
    torch.testing.assert_close(d_star, torch.sigmoid(x - 0.5))
    assert d_star[0].item() == pytest.approx(0.818, abs=5e-4)


# --- the criterion -----------------------------------------------------------------------------------------


@pytest.mark.theorem("thm-gan-criterion")
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_value_at_d_star_is_minus_log_4_plus_twice_the_jsd(seed, zeros):
    p_data, p_g = random_pair(seed, zeros)
    at_d_star = value(p_data, p_g, optimal_discriminator(p_data, p_g))
    torch.testing.assert_close(at_d_star, -LOG_4 + 2 * jensen_shannon(p_data, p_g))
    torch.testing.assert_close(criterion(p_data, p_g), at_d_star)
    assert -LOG_4 < criterion(p_data, p_g) <= 1e-15


@pytest.mark.theorem("thm-gan-criterion")
def test_value_at_d_star_is_the_criterion_of_densities_by_quadrature():
    def integrand(x):
        p, q = P.pdf(x), Q.pdf(x)
        return p * math.log(p / (p + q)) + q * math.log(q / (p + q))

    expected, _ = integrate.quad(integrand, -14, 14, epsabs=1e-12, limit=200)
    x, weights = grid()
    assert criterion(P.pdf(x.numpy()), Q.pdf(x.numpy()), weights).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.theorem("thm-gan-criterion")
@pytest.mark.parametrize("seed", range(5))
def test_the_least_criterion_is_at_the_data_alone(seed):
    p_data, other = random_pair(seed)
    assert criterion(p_data, p_data).item() == pytest.approx(-LOG_4, abs=1e-14)
    for epsilon in (1.0, 0.1, 1e-3):
        assert criterion(p_data, (1 - epsilon) * p_data + epsilon * other) > -LOG_4 + 1e-3 * epsilon**2


@pytest.mark.theorem("thm-gan-criterion")
def test_the_largest_criterion_is_exactly_at_supports_that_do_not_meet():
    first, second = random_table(0, letters=3), random_table(1, letters=3)
    nothing = torch.zeros(3, dtype=DOUBLE)
    p_data, p_g = torch.cat([first, nothing]), torch.cat([nothing, second])
    assert criterion(p_data, p_g).item() == pytest.approx(0, abs=1e-14)
    assert criterion(p_data, 0.99 * p_g + 0.01 * p_data) < -0.01


@pytest.mark.theorem("thm-gan-criterion")
@pytest.mark.parametrize("seed", range(5))
def test_one_half_is_worth_minus_log_4_against_everyone_and_optimal_against_one(seed):
    p_data, p_g = random_pair(seed)
    half = torch.full((6,), 0.5, dtype=DOUBLE)
    for generator in (p_g, p_data):
        assert value(p_data, generator, half).item() == pytest.approx(-LOG_4)
    assert value(p_data, p_g, half) < criterion(p_data, p_g) - 1e-3
    torch.testing.assert_close(optimal_discriminator(p_data, p_data), half)


@pytest.mark.parametrize("seed", range(3))
def test_the_jsd_is_the_information_in_a_note_about_its_coin(seed):
    p_data, p_g = random_pair(seed)
    joint = torch.stack([p_data, p_g]) / 2
    independent = joint.sum(0) * torch.tensor([[0.5], [0.5]], dtype=DOUBLE)
    torch.testing.assert_close(kl_divergence(joint, independent), jensen_shannon(p_data, p_g))


def test_the_five_games_are_as_the_page_says():
    p_data = torch.tensor([0.5, 0.5, 0.0], dtype=DOUBLE)
    nonsense = torch.tensor([0.0, 0.0, 1.0], dtype=DOUBLE)
    p_g = torch.tensor([0.0, 0.5, 0.5], dtype=DOUBLE)
    assert value(p_data, nonsense, [1.0, 1.0, 0.0]).item() == 0
    assert value(p_data, nonsense, [0.0, 1.0, 0.0]).item() == -math.inf
    assert value(p_data, p_data, [0.9] * 3).item() == pytest.approx(-2.408, abs=5e-4)
    assert value(p_data, p_data, [0.5] * 3).item() == pytest.approx(-1.386, abs=5e-4)
    assert value(p_data, nonsense, [0.5] * 3).item() == pytest.approx(-1.386, abs=5e-4)
    assert value(p_data, p_g, [1.0, 0.5, 0.0]).item() == pytest.approx(-0.693, abs=5e-4)
    assert optimal_discriminator(p_data, p_g).tolist() == [1.0, 0.5, 0.0]
    assert jensen_shannon(p_data, p_g).item() == pytest.approx(LOG_2 / 2)


# --- the shape of the game ---------------------------------------------------------------------------------


@pytest.mark.theorem("thm-gan-convexity")
@pytest.mark.parametrize("seed", range(4))
def test_value_is_affine_in_the_generator_and_concave_in_the_discriminator(seed):
    p_data, q = random_pair(seed)
    r = random_table(100 + seed)
    d, e = random_discriminators(seed, n=2)
    for share in (0.1, 0.5, 0.8):
        mixed = value(p_data, share * q + (1 - share) * r, d)
        torch.testing.assert_close(mixed, share * value(p_data, q, d) + (1 - share) * value(p_data, r, d))
        between = value(p_data, q, share * d + (1 - share) * e)
        assert between > share * value(p_data, q, d) + (1 - share) * value(p_data, q, e)


@pytest.mark.theorem("thm-gan-convexity")
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_criterion_is_convex_in_the_generator(seed, zeros):
    p_data, q = random_pair(seed, zeros)
    r = random_table(100 + seed, zeros=zeros)
    for share in (0.1, 0.5, 0.8):
        chord = share * criterion(p_data, q) + (1 - share) * criterion(p_data, r)
        assert criterion(p_data, share * q + (1 - share) * r) <= chord + 1e-14


@pytest.mark.theorem("thm-gan-convexity")
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_the_plane_of_d_star_touches_the_criterion_from_below(seed, zeros):
    p_data, p_g = random_pair(seed, zeros)
    d_star = optimal_discriminator(p_data, p_g)
    for other in range(20):
        # Where neither was ever seen, any answer of D gives a subgradient.
        d = torch.where(d_star.isnan(), random_discriminators(other, n=1)[0], d_star)
        q = random_table(200 + other, zeros=zeros)
        assert criterion(p_data, q) >= value(p_data, q, d) - 1e-14
        assert value(p_data, p_g, d).item() == pytest.approx(criterion(p_data, p_g).item(), abs=1e-14)


@pytest.mark.theorem("thm-gan-convexity")
@pytest.mark.parametrize("seed", range(4))
def test_the_slope_of_the_criterion_is_log_one_minus_d_star(seed):
    """Central differences of C along directions that keep the sum at 1."""
    p_data, p_g = random_pair(seed)
    gradient = generator_gradient(p_data, p_g)
    torch.testing.assert_close(gradient, torch.log(1 - optimal_discriminator(p_data, p_g)))
    for other in range(5):
        direction, h = random_table(300 + other) - p_g, 1e-5
        slope = (criterion(p_data, p_g + h * direction) - criterion(p_data, p_g - h * direction)) / (2 * h)
        assert slope.item() == pytest.approx((gradient * direction).sum().item(), abs=1e-8)


@pytest.mark.theorem("thm-gan-convexity")
@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (2.0, 0.7), (-1.0, 3.0)])
def test_the_plane_of_d_star_lies_below_the_criterion_of_densities_by_quadrature(mean, std):
    other = stats.norm(mean, std)

    def of_the_plane(x):  # V(D*, other), with D* against Q
        d_star = P.pdf(x) / (P.pdf(x) + Q.pdf(x))
        return P.pdf(x) * math.log(d_star) + other.pdf(x) * math.log(1 - d_star)

    plane, _ = integrate.quad(of_the_plane, -14, 14, epsabs=1e-11, limit=200)
    x, weights = grid()
    p_data, p_g, q = (torch.from_numpy(density.pdf(x.numpy())) for density in (P, Q, other))
    assert value(p_data, q, optimal_discriminator(p_data, p_g), weights).item() == pytest.approx(plane, abs=1e-8)
    assert criterion(p_data, q, weights) > plane + 0.01
    mixture = criterion(p_data, 0.3 * q + 0.7 * p_g, weights)
    assert mixture < 0.3 * criterion(p_data, q, weights) + 0.7 * criterion(p_data, p_g, weights)


# --- exponentiated gradient --------------------------------------------------------------------------------


@pytest.mark.theorem("thm-exponentiated-gradient")
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("lr", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_exponentiated_gradient_converges_at_the_rate_of_the_theorem(seed, lr, zeros):
    p_data, p_g = random_table(seed, zeros=zeros), random_table(50 + seed)
    kl, c_G = kl_divergence(p_data, p_g), criterion(p_data, p_g)
    start, steps = kl, round(30 / lr)
    for step in range(1, steps + 1):
        p_g = exponentiated_gradient_step(p_data, p_g, lr)
        new_kl, new_c = kl_divergence(p_data, p_g), criterion(p_data, p_g)
        assert new_kl <= (1 - lr / 2) * kl + 1e-14
        assert new_kl <= (1 - lr / 2) ** step * start + 1e-14
        assert new_c < c_G or c_G < -LOG_4 + 1e-13
        kl, c_G = new_kl, new_c
    assert jensen_shannon(p_data, p_g) < 1e-6


@pytest.mark.theorem("thm-exponentiated-gradient")
def test_a_step_of_size_one_halves_the_error():
    p_data = torch.tensor([0.5, 0.5], dtype=DOUBLE)
    p_g, path = torch.tensor([0.9, 0.1], dtype=DOUBLE), []
    for _ in range(3):
        p_g = exponentiated_gradient_step(p_data, p_g, 1.0)
        path.append(p_g[0].item())
    assert path == pytest.approx([0.7, 0.6, 0.55])


@pytest.mark.theorem("thm-exponentiated-gradient")
@pytest.mark.parametrize("lr", [0.2, 0.7])
def test_the_bound_on_one_step_of_the_criterion_holds(lr):
    for seed in range(20):
        p_data, p_g = random_pair(seed)
        stepped = exponentiated_gradient_step(p_data, p_g, lr)
        assert criterion(p_data, stepped) <= criterion(p_data, p_g) - kl_divergence(p_g, stepped) + 1e-14


@pytest.mark.parametrize("lr, factor", [(0.5, 0.75), (2.0, 0.0), (3.0, -0.5), (5.0, -1.5)])
def test_near_the_goal_a_step_multiplies_the_error_as_the_page_says(lr, factor):
    p_data = torch.tensor([0.2, 0.5, 0.3], dtype=DOUBLE)
    error = 1e-6 * torch.tensor([1.0, -3.0, 2.0], dtype=DOUBLE)
    stepped = exponentiated_gradient_step(p_data, p_data + error, lr)
    torch.testing.assert_close(stepped - p_data, factor * error, atol=1e-10, rtol=0)


@pytest.mark.parametrize("lr, arrives", [(2.0, True), (3.5, True), (5.0, False)])
def test_steps_that_are_too_large_do_not_converge(lr, arrives):
    p_data, p_g = torch.tensor([0.5, 0.5], dtype=DOUBLE), torch.tensor([0.51, 0.49], dtype=DOUBLE)
    for _ in range(200):
        p_g = exponentiated_gradient_step(p_data, p_g, lr)
    assert (jensen_shannon(p_data, p_g) < 1e-12) == arrives
    assert arrives or jensen_shannon(p_data, p_g) > 0.01


# --- improving is not arriving -----------------------------------------------------------------------------


@pytest.mark.theorem("thm-improving-can-stall")
def test_improvement_at_every_step_can_stall_above_zero():
    p_data = torch.tensor([0.5, 0.5], dtype=DOUBLE)
    path = [torch.tensor([0.75 + 0.25 * 2.0**-t, 0.25 - 0.25 * 2.0**-t], dtype=DOUBLE) for t in range(40)]
    for before, after in zip(path, path[1:]):
        d_star = optimal_discriminator(p_data, before)
        assert criterion(p_data, after) < criterion(p_data, before)
        assert value(p_data, after, d_star) < value(p_data, before, d_star)
    limit = jensen_shannon(p_data, [0.75, 0.25])
    assert limit.item() == pytest.approx(0.03382, abs=5e-6)
    assert all(jensen_shannon(p_data, p_g) > limit > 0.0338 for p_g in path)
    assert jensen_shannon(p_data, path[-1]) < limit + 1e-9


@pytest.mark.theorem("thm-improving-can-stall")
def test_improving_as_much_as_possible_alternates_for_ever():
    p_data, p_g = torch.tensor([0.5, 0.5], dtype=DOUBLE), torch.tensor([0.6, 0.4], dtype=DOUBLE)
    assert jensen_shannon(p_data, p_g) < 0.006
    corners, path = torch.eye(2, dtype=DOUBLE), []
    for _ in range(6):
        d_star = optimal_discriminator(p_data, p_g)
        values = torch.stack([value(p_data, corner, d_star) for corner in corners])
        assert values.min() < value(p_data, p_g, d_star)
        p_g = corners[values.argmin()]
        path.append(p_g.argmax().item())
        assert jensen_shannon(p_data, p_g).item() == pytest.approx(0.2158, abs=5e-5)
    assert path == [1, 0, 1, 0, 1, 0]


@pytest.mark.theorem("thm-improving-can-stall")
@pytest.mark.parametrize("floor", [0.01, 0.2, 0.39])
def test_with_a_floor_the_best_of_all_generators_is_one_and_alternates(floor):
    p_data, p_g = torch.tensor([0.5, 0.5], dtype=DOUBLE), torch.tensor([0.6, 0.4], dtype=DOUBLE)
    first = torch.linspace(floor, 1 - floor, 101, dtype=DOUBLE)
    path = []
    for _ in range(6):
        d_star = optimal_discriminator(p_data, p_g)
        values = torch.stack([value(p_data, torch.stack([q, 1 - q]), d_star) for q in first])
        best, second = values.sort().values[:2]
        assert best < second - 1e-6  # alone
        p_g = torch.stack([first[values.argmin()], 1 - first[values.argmin()]])
        path.append(p_g[0].item())
    assert path == pytest.approx([floor, 1 - floor] * 3)


@pytest.mark.theorem("thm-improving-can-stall")
def test_a_learning_rate_that_decays_too_fast_stalls_while_improving():
    p_data, p_g = torch.tensor([0.5, 0.5], dtype=DOUBLE), torch.tensor([0.9, 0.1], dtype=DOUBLE)
    for t in range(25):
        stepped = exponentiated_gradient_step(p_data, p_g, 0.2 * 2.0**-t)
        assert criterion(p_data, stepped) < criterion(p_data, p_g)
        p_g = stepped
    # In sum the steps are 0.4 long. With D* fixed at its first slope they could go no further than that allows.
    assert jensen_shannon(p_data, p_g) > 0.05


def test_the_criterion_is_not_convex_in_the_weights():
    x, weights = grid()
    p_data = normal(x, 0.0)
    at = {mean: criterion(p_data, normal(x, mean), weights).item() for mean in (0.0, 3.0, 6.0)}
    assert at[0.0] == pytest.approx(-LOG_4, abs=1e-9)
    assert at[3.0] > (at[0.0] + at[6.0]) / 2 + 0.1


# --- two losses, sample by sample ---------------------------------------------------------------------------


@pytest.mark.theorem("thm-generator-losses")
@pytest.mark.parametrize("logit", [-8.0, -1.0, 0.0, 2.5])
def test_gradients_of_one_sample_are_parallel_with_ratio_one_minus_d_over_d(logit):
    torch.manual_seed(0)
    G, D = nn.Linear(3, 2).double(), logit_network(8).double()
    D[0] = nn.Linear(2, 8).double()
    a = D(G(torch.randn(1, 3, dtype=DOUBLE))).view(1)
    a = a - a.detach() + logit  # the same gradient, at the D that we want
    gradients = [
        torch.cat([g.flatten() for g in torch.autograd.grad(output, list(G.parameters()), retain_graph=True)])
        for output in (a, generator_loss(a, "saturating"), generator_loss(a, "non_saturating"))
    ]
    d = torch.sigmoid(torch.tensor(logit, dtype=DOUBLE))
    torch.testing.assert_close(gradients[1], -d * gradients[0])
    torch.testing.assert_close(gradients[2], -(1 - d) * gradients[0])
    torch.testing.assert_close(gradients[2], (1 - d) / d * gradients[1])
    assert gradients[0].norm() > 0


def minibatch_gradients(logits, slopes):
    """Gradients in theta of both losses, for logits a_i(theta) with these values and slopes at theta = 0."""
    theta = torch.zeros(slopes.shape[1], dtype=DOUBLE, requires_grad=True)
    a = logits + slopes @ theta
    return [
        torch.autograd.grad(generator_loss(a, kind), theta, retain_graph=True)[0]
        for kind in ("saturating", "non_saturating")
    ]


@pytest.mark.theorem("thm-generator-losses")
def test_gradients_of_a_minibatch_need_not_be_parallel():
    slopes = torch.eye(2, dtype=DOUBLE)
    for logits, parallel in (([-2.0, 1.0], False), ([0.7, 0.7], True), ([0.0, 0.1], False)):
        first, second = minibatch_gradients(torch.tensor(logits, dtype=DOUBLE), slopes)
        cosine = torch.nn.functional.cosine_similarity(first, second, dim=0).item()
        assert (cosine > 1 - 1e-9) == parallel
    nine_to_one = math.log(9)  # D = 0.9 and 0.1
    first, second = minibatch_gradients(
        torch.tensor([nine_to_one, -nine_to_one], dtype=DOUBLE), torch.tensor([[1.0], [-1.0]], dtype=DOUBLE)
    )
    assert 2 * first.item() == pytest.approx(-0.8) and 2 * second.item() == pytest.approx(0.8)


@pytest.mark.theorem("thm-generator-losses")
@pytest.mark.parametrize("seed", range(3))
def test_at_one_half_the_generator_rests_and_both_do_only_at_the_data(seed):
    p_data, p_g = random_pair(seed)
    for generator, rest in ((p_data, True), (p_g, False)):
        logits = torch.zeros(6, dtype=DOUBLE, requires_grad=True)
        v = (p_data * logsigmoid(logits) + generator * logsigmoid(-logits)).sum()
        (of_D,) = torch.autograd.grad(v, logits)
        torch.testing.assert_close(of_D, (p_data - generator) / 2)
        assert (of_D.abs().max() < 1e-15) == rest
    # A D that is one half everywhere has no slope: G learns nothing, whatever it makes.
    flat = nn.Linear(1, 1)
    nn.init.zeros_(flat.weight)
    nn.init.zeros_(flat.bias)
    G = Shift(4.0)
    for kind in ("saturating", "non_saturating"):
        loss = generator_loss(flat(G(torch.randn(50, 1, generator=generator_of(seed)))).view(-1), kind)
        assert torch.autograd.grad(loss, G.mean)[0].item() == 0


@pytest.mark.theorem("thm-generator-losses")
def test_what_vanishes_is_the_gradient_in_the_logit_and_not_in_d():
    d = torch.tensor([0.0], dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.grad(torch.log1p(-d).sum(), d)[0].item() == -1
    for kind, slope in (("saturating", -0.01), ("non_saturating", -0.99)):
        a = torch.tensor([math.log(0.01 / 0.99)], dtype=DOUBLE, requires_grad=True)
        assert torch.autograd.grad(generator_loss(a, kind), a)[0].item() == pytest.approx(slope)


# --- what the two losses descend ----------------------------------------------------------------------------


@pytest.mark.theorem("thm-generator-descends")
@pytest.mark.parametrize("seed", range(4))
def test_with_d_star_held_fixed_the_losses_have_the_gradients_of_their_divergences(seed):
    """p_theta is a softmax of logits that depend on theta in a nonlinear way; autograd does both sides."""
    p_data = random_table(seed)
    mixing = torch.randn(6, 3, generator=generator_of(seed), dtype=DOUBLE)
    theta = torch.randn(3, generator=generator_of(10 + seed), dtype=DOUBLE).requires_grad_()
    p_theta = torch.softmax(torch.tanh(mixing @ theta) * 2, 0)
    d_star = optimal_discriminator(p_data, p_theta).detach()

    def gradient(scalar):
        return torch.autograd.grad(scalar, theta, retain_graph=True)[0]

    jsd, reverse_kl = jensen_shannon(p_data, p_theta), kl_divergence(p_theta, p_data)
    saturating = gradient((p_theta * torch.log(1 - d_star)).sum())
    torch.testing.assert_close(saturating, gradient(2 * jsd))
    torch.testing.assert_close(saturating, gradient(criterion(p_data, p_theta)))
    non_saturating = gradient((p_theta * -torch.log(d_star)).sum())
    torch.testing.assert_close(non_saturating, gradient(reverse_kl - 2 * jsd))
    torch.testing.assert_close(non_saturating, gradient(non_saturating_criterion(p_data, p_theta)))
    assert saturating.norm() > 1e-3 and non_saturating.norm() > 1e-3


@pytest.mark.theorem("thm-generator-descends")
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_reverse_kl_minus_twice_the_jsd_is_twice_the_kl_from_the_mixture(seed, zeros):
    p_data, p_g = random_table(seed), random_table(60 + seed, zeros=zeros)
    identity = kl_divergence(p_g, p_data) - 2 * jensen_shannon(p_data, p_g)
    torch.testing.assert_close(identity, 2 * kl_divergence((p_data + p_g) / 2, p_data))
    torch.testing.assert_close(identity, non_saturating_criterion(p_data, p_g))
    assert identity > 0 and non_saturating_criterion(p_data, p_data).item() == pytest.approx(0, abs=1e-14)


BIMODAL = 0.7, -2.0, 0.3, 2.0


def bimodal(x):
    first, left, second, right = BIMODAL
    return first * normal(x, left) + second * normal(x, right)


def loss_gradient(mean, kind):
    """Gradient of a loss in the mean of a unit-variance Gaussian G, with D* held fixed: by quadrature over z."""
    z, weights = grid(-9, 9, 1801)
    mean = torch.tensor(mean, dtype=DOUBLE, requires_grad=True)
    x = mean + z

    def log_ratio(x):  # the logit of D* against the generator of this moment, which does not move with x
        first, left, second, right = BIMODAL
        parts = [math.log(first) - 0.5 * (x - left) ** 2, math.log(second) - 0.5 * (x - right) ** 2]
        return torch.logsumexp(torch.stack(parts), 0) + 0.5 * (x - mean.detach()) ** 2

    a = log_ratio(x)
    loss = logsigmoid(-a) if kind == "saturating" else -logsigmoid(a)
    return torch.autograd.grad((weights * normal(z, 0.0) * loss).sum(), mean)[0].item()


def stationary_points(kind):
    means = [0.05 * step for step in range(-100, 101)]
    gradients = [loss_gradient(mean, kind) for mean in means]
    return [
        (optimize.brentq(loss_gradient, low, high, args=(kind,)), before < 0)
        for low, high, before, after in zip(means, means[1:], gradients, gradients[1:])
        if before * after < 0
    ]


@pytest.mark.theorem("thm-generator-descends")
def test_a_restricted_generator_has_other_stationary_points_under_each_loss():
    (minimum,) = stationary_points("saturating")
    assert minimum[0] == pytest.approx(-1.83, abs=5e-3) and minimum[1]
    left, top, right = stationary_points("non_saturating")
    assert [left[0], top[0], right[0]] == pytest.approx([-1.93, 0.49, 1.76], abs=6e-3)
    assert [left[1], top[1], right[1]] == [True, False, True]


@pytest.mark.theorem("thm-generator-descends")
@pytest.mark.parametrize("kind, divergence", [("saturating", criterion), ("non_saturating", non_saturating_criterion)])
@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.3, 1.0, 2.5])
def test_gradients_of_the_bimodal_example_are_those_of_the_divergences(kind, divergence, mean):
    x, weights = grid()
    h = 1e-4
    ahead, behind = (divergence(bimodal(x), normal(x, mean + move), weights).item() for move in (h, -h))
    assert loss_gradient(mean, kind) == pytest.approx((ahead - behind) / (2 * h), abs=1e-6)


@pytest.mark.theorem("thm-generator-descends")
@pytest.mark.parametrize("kind, end", [("saturating", -1.83), ("non_saturating", 1.76)])
def test_descent_with_an_optimal_discriminator_ends_where_the_page_says(kind, end):
    mean = 3.0
    for _ in range(150):
        mean -= 1.0 * loss_gradient(mean, kind)
    assert mean == pytest.approx(end, abs=0.01)


@pytest.mark.theorem("thm-generator-descends")
@pytest.mark.parametrize("kind, end", [("saturating", -1.83), ("non_saturating", 1.76)])
def test_a_trained_gan_ends_there_too(kind, end):
    torch.manual_seed(0)
    generator = generator_of(0)
    left = torch.rand(20_000, generator=generator) < 0.7
    data = torch.where(left, -2.0, 2.0) + torch.randn(20_000, generator=generator)
    trainer = GANTrainer(
        generator=Shift(3.0), discriminator=logit_network(16), generator_loss=kind, noise="normal", noise_dim=1,
        k=4, batch_size=256, lr=0.03, discriminator_lr=4e-3, device="cpu", seed=0,
    )  # fmt: skip
    trainer.fit(data[:, None], max_steps=1000, epochs=1000, progress=False)
    assert trainer.generator.mean.item() == pytest.approx(end, abs=0.2)


# --- disjoint supports -------------------------------------------------------------------------------------


@pytest.mark.theorem("thm-disjoint-supports")
@pytest.mark.parametrize("gap", [1, 3, 30])
def test_the_jsd_of_disjoint_supports_is_log_2_at_any_distance_and_wasserstein_is_not(gap):
    shape = random_table(gap, letters=4)
    p_data, p_g = torch.zeros(40, dtype=DOUBLE), torch.zeros(40, dtype=DOUBLE)
    p_data[:4], p_g[3 + gap : 7 + gap] = shape, shape
    points = 0.1 * torch.arange(40, dtype=DOUBLE)
    assert jensen_shannon(p_data, p_g).item() == pytest.approx(LOG_2)
    assert criterion(p_data, p_g).item() == pytest.approx(0, abs=1e-14)
    assert wasserstein_1(p_data, p_g, points).item() == pytest.approx(0.1 * (3 + gap))
    d_star = optimal_discriminator(p_data, p_g)
    assert (d_star[:4] == 1).all() and (d_star[3 + gap : 7 + gap] == 0).all()


@pytest.mark.theorem("thm-disjoint-supports")
@pytest.mark.parametrize("seed", range(4))
def test_any_overlap_brings_the_jsd_under_log_2(seed):
    p_data = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=DOUBLE)
    p_g = torch.tensor([0.0, 0.0, 0.3, 0.7], dtype=DOUBLE)
    for overlap in (1e-6, 0.1):
        assert jensen_shannon(p_data, (1 - overlap) * p_g + overlap * random_table(seed, letters=4)) < LOG_2


@pytest.mark.theorem("thm-disjoint-supports")
@pytest.mark.parametrize("distance", [2.5, 4.0])
def test_densities_on_two_segments_have_jsd_log_2(distance):
    def integrand(x):
        p, q = float(0 <= x <= 1), float(distance <= x <= distance + 1)
        return sum(0.5 * a * math.log(2 * a / (p + q)) for a in (p, q) if a)

    segments = [0, 1, distance, distance + 1]
    expected = sum(integrate.quad(integrand, low, high)[0] for low, high in zip(segments[::2], segments[1::2]))
    cells = torch.arange(0, 6, 0.01, dtype=DOUBLE) + 0.005
    p_data = ((cells >= 0) & (cells <= 1)).double()
    p_g = ((cells >= distance) & (cells <= distance + 1)).double()
    assert expected == pytest.approx(LOG_2)
    assert jensen_shannon(p_data, p_g, 0.01).item() == pytest.approx(expected)


@pytest.mark.theorem("thm-disjoint-supports")
def test_the_saturating_gradient_fades_as_the_discriminator_learns():
    """Two segments that do not meet: G's gradient is that of C, which is 0, the more so the better D is."""
    torch.manual_seed(0)
    data = (2 * torch.rand(5000, 1, generator=generator_of(0)) - 1) * 3**0.5
    trainer = GANTrainer(
        generator=Shift(5.0), discriminator=logit_network(16), noise="uniform", noise_dim=1, k=10_000,
        batch_size=128, discriminator_lr=5e-3, device="cpu", seed=0,
    )  # fmt: skip
    gradients = []
    for steps in (30, 600):
        trainer.fit(data, max_steps=steps, epochs=1000, progress=False)
        G = Shift(5.0)
        loss = generator_loss(trainer.discriminator(G(trainer.sample_noise(500))).view(-1), "saturating")
        gradients.append(abs(torch.autograd.grad(loss, G.mean)[0].item()))
    assert gradients[1] < gradients[0] / 10
    assert 0 < gradients[1] < 1e-2


def cheapest_plan(p, q, cost):
    """Optimal transport by its definition: a linear programme over all tables with these two marginals."""
    n = len(p)
    rows = torch.kron(torch.eye(n, dtype=DOUBLE), torch.ones(1, n, dtype=DOUBLE))
    columns = torch.kron(torch.ones(1, n, dtype=DOUBLE), torch.eye(n, dtype=DOUBLE))
    marginals = torch.cat([rows, columns]).numpy(), torch.cat([p, q]).numpy()
    return optimize.linprog(cost.flatten().numpy(), A_eq=marginals[0], b_eq=marginals[1]).fun


@pytest.mark.theorem("thm-wasserstein-line")
@pytest.mark.parametrize("seed", range(4))
def test_wasserstein_is_the_cost_of_the_cheapest_plan(seed):
    """The definition, solved as a linear programme over all plans."""
    p, q = random_pair(seed, zeros=0.3)
    points = torch.randn(6, generator=generator_of(seed), dtype=DOUBLE)
    cost = (points[:, None] - points[None, :]).abs()
    assert wasserstein_1(p, q, points).item() == pytest.approx(cheapest_plan(p, q, cost), abs=1e-9)


@pytest.mark.theorem("thm-wasserstein-line")
def test_wasserstein_of_two_densities_matches_quadrature_of_their_distribution_functions():
    expected, _ = integrate.quad(lambda t: abs(P.cdf(t) - Q.cdf(t)), -14, 14, limit=200)
    x, weights = grid()
    p, q = weights * torch.from_numpy(P.pdf(x.numpy())), weights * torch.from_numpy(Q.pdf(x.numpy()))
    assert wasserstein_1(p, q, x).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.theorem("thm-wasserstein-line")
@pytest.mark.parametrize("seed", range(3))
def test_after_a_shift_the_distance_is_the_length_of_the_shift(seed):
    """In the plane, by the linear programme: no plan is cheaper than moving every point along."""
    p = random_table(seed, letters=5)
    points = torch.randn(5, 2, generator=generator_of(seed), dtype=DOUBLE)
    shift = torch.randn(2, generator=generator_of(20 + seed), dtype=DOUBLE)
    cheapest = cheapest_plan(p, p, torch.cdist(points, points + shift))
    assert cheapest == pytest.approx(shift.norm().item(), abs=1e-9)


# --- dynamics ----------------------------------------------------------------------------------------------


def radius(path):
    return path.norm(dim=1)


@pytest.mark.theorem("thm-dirac-gan")
@pytest.mark.parametrize("start", [(1.0, 1.0), (0.1, -2.0), (-3.0, 0.5)])
def test_the_flow_keeps_its_radius(start):
    def flow(t, y):
        return [rate.item() for rate in dirac_gan.updates(*torch.tensor(y, dtype=DOUBLE))]

    path = integrate.solve_ivp(flow, (0, 40), start, rtol=1e-9, atol=1e-11).y
    assert abs((path**2).sum(0) - sum(number**2 for number in start)).max() < 1e-6
    assert abs(path[0] - start[0]).max() > 0.5  # it does move


@pytest.mark.theorem("thm-dirac-gan")
@pytest.mark.parametrize("lr", [0.05, 0.5])
@pytest.mark.parametrize("start", [(1.0, 1.0), (0.01, 0.0), (-2.0, 0.5)])
def test_simultaneous_steps_spiral_out_by_the_factor_of_the_theorem(start, lr):
    path = dirac_gan.simultaneous(*start, lr=lr, steps=400)
    d_fake = torch.sigmoid(path[:-1].prod(1))
    torch.testing.assert_close(radius(path[1:]) ** 2, radius(path[:-1]) ** 2 * (1 + lr**2 * d_fake**2))
    assert (radius(path).diff() > 0).all()


@pytest.mark.theorem("thm-dirac-gan")
def test_simultaneous_steps_leave_every_circle():
    assert radius(dirac_gan.simultaneous(0.1, 0.0, lr=0.5, steps=5000))[-1] > 3


@pytest.mark.theorem("thm-dirac-gan")
@pytest.mark.parametrize("lr", [0.1, 1.0, 3.9])
def test_alternating_steps_near_the_goal_keep_to_an_ellipse(lr):
    path = dirac_gan.alternating(3e-5, -1e-5, lr=lr, steps=1000)
    theta, psi = path.T
    form = theta**2 + psi**2 - lr / 2 * theta * psi
    assert ((form / form[0] - 1).abs() < 1e-6).all()
    assert radius(path)[-100:].min() > 0.1 * radius(path)[0]
    assert theta.min() < 0 < theta.max() and psi.min() < 0 < psi.max()


@pytest.mark.theorem("thm-dirac-gan")
def test_alternating_steps_farther_out_circle_as_the_page_says():
    r = radius(dirac_gan.alternating(1.0, 1.0, lr=0.1, steps=20_000))
    assert 1.37 < r.min() < 1.38 and 1.41 < r.max() < 1.42


@pytest.mark.theorem("thm-dirac-gan")
@pytest.mark.parametrize("start", [(1.0, 1.0), (4.0, -3.0), (-6.0, 0.0)])
@pytest.mark.parametrize("r1", [0.2, 2.0])
def test_the_flow_with_r1_converges_from_everywhere(start, r1):
    def flow(t, y):
        return [rate.item() for rate in dirac_gan.updates(*torch.tensor(y, dtype=DOUBLE), r1=r1)]

    path = integrate.solve_ivp(flow, (0, 300), start, rtol=1e-7, atol=1e-10).y
    assert (path[:, -1] ** 2).sum() ** 0.5 < 1e-3
    assert ((path**2).sum(0)[1:] <= (path**2).sum(0)[:-1] + 1e-7).all()


@pytest.mark.theorem("thm-dirac-gan")
@pytest.mark.parametrize("lr, r1", [(0.1, 0.3), (0.5, 0.3), (0.1, 0.8)])
def test_simultaneous_steps_with_r1_converge_at_the_rate_of_the_theorem(lr, r1):
    r = radius(dirac_gan.simultaneous(1.0, 1.0, lr=lr, r1=r1, steps=1200))
    assert r[-1] < 1e-6
    # The radius swings along its way down, so the rate is taken over a long stretch, close to the goal.
    first, last = 400, 1200
    factor = (r[last] / r[first]).item() ** (1 / (last - first))
    assert factor == pytest.approx(math.sqrt(1 - lr * r1 + lr**2 / 4), abs=2e-3)


@pytest.mark.theorem("thm-dirac-gan")
def test_a_step_too_long_for_its_penalty_does_not_converge():
    lr, r1 = 0.5, 0.1
    assert lr > 4 * r1
    assert radius(dirac_gan.simultaneous(1e-3, 0.0, lr=lr, r1=r1, steps=3000))[-1] > 0.1


def test_a_step_by_hand_as_the_page_says():
    r = radius(dirac_gan.simultaneous(1.0, 1.0, lr=0.1, steps=1))
    assert (r[1] / r[0]).item() ** 2 == pytest.approx(1.0053, abs=5e-5)
    assert math.log(100) / -math.log(math.sqrt(1 - 0.03 + 0.0025)) == pytest.approx(330, abs=1)


@pytest.mark.parametrize("start", [(1.0, 1.0), (0.01, 0.0)])
def test_non_saturating_simultaneous_steps_settle_in_the_orbit_that_the_page_says(start):
    r = radius(dirac_gan.simultaneous(*start, lr=0.1, loss="non_saturating", steps=20_000))[-500:]
    assert 0.444 < r.min() < math.sqrt(0.2) < r.max() < 0.450


class Point(nn.Module):
    """G(z) = theta, whatever z."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(float(theta)))

    def forward(self, z):
        return self.theta.expand(len(z), 1)


class Slope(nn.Module):
    """a(x) = psi x."""

    def __init__(self, psi):
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(float(psi)))

    def forward(self, x):
        return self.psi * x


@pytest.mark.theorem("thm-dirac-gan")
@pytest.mark.parametrize("loss", ["saturating", "non_saturating"])
@pytest.mark.parametrize("update, r1", [("simultaneous", 0.0), ("simultaneous", 0.3), ("alternating", 0.0)])
def test_gan_trainer_walks_the_trajectory(update, r1, loss):
    lr, steps = 0.2, 60
    # The released code halves D's loss when both move at once, so that its rate is doubled here, and the penalty not.
    halved = update == "simultaneous"
    trainer = GANTrainer(
        generator=Point(1.0), discriminator=Slope(0.5), generator_loss=loss, update=update, optimizer="sgd",
        momentum=0.0, lr=lr, discriminator_lr=2 * lr if halved else lr, r1=r1 / 2 if halved else r1, noise_dim=1,
        batch_size=2, device="cpu",
    )  # fmt: skip
    trainer.fit(torch.zeros(2, 1), max_steps=steps, epochs=steps, progress=False)
    run = dirac_gan.simultaneous if halved else dirac_gan.alternating
    theta, psi = run(1.0, 0.5, lr=lr, steps=steps, loss=loss, r1=r1)[-1].tolist()
    assert trainer.generator.theta.item() == pytest.approx(theta, abs=1e-4)
    assert trainer.discriminator.psi.item() == pytest.approx(psi, abs=1e-4)


def test_the_losses_of_the_package_on_the_dirac_gan_are_its_value_and_its_penalty():
    theta, psi = torch.tensor(0.7, dtype=DOUBLE), torch.tensor(-1.2, dtype=DOUBLE, requires_grad=True)
    x = torch.zeros(3, 1, dtype=DOUBLE, requires_grad=True)
    logits_real, logits_fake = (psi * x).view(-1), (psi * theta).expand(5)
    torch.testing.assert_close(-discriminator_loss(logits_real, logits_fake), dirac_gan.value(theta, psi))
    torch.testing.assert_close(r1_penalty(logits_real, x), psi**2 / 2)
