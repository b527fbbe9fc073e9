"""The theorems of the CycleGAN chapter: by enumeration, by quadrature, and by gradients of real networks."""

import itertools
import math
import random
from collections import Counter

import pytest
import torch
from scipy import integrate, optimize, stats
from torch import nn

from coursekit.networks.cyclegan import PatchDiscriminator, receptive_field
from coursekit.theory import criterion, jensen_shannon, optimal_discriminator
from coursekit.theory.translation import (
    all_maps,
    cycle_consistent_pairs,
    least_squares_criterion,
    least_squares_gradient,
    least_squares_optimal_discriminator,
    matching_maps,
    pearson_chi_squared,
    pushforward,
)

DOUBLE = torch.float64
LOG_4 = math.log(4)
MAO = dict(fake=-1.0, real=1.0, target=0.0)


def random_table(seed, letters=6, zeros=0.0):
    generator = torch.Generator().manual_seed(seed)
    weights = -torch.rand(letters, generator=generator, dtype=DOUBLE).log()
    keep = torch.rand(letters, generator=generator) >= zeros
    keep[seed % letters] = True
    return weights * keep / (weights * keep).sum()


def random_pair(seed, zeros=0.0):
    return random_table(2 * seed, zeros=zeros), random_table(2 * seed + 1, zeros=zeros)


def uniform(n):
    return torch.full((n,), 1 / n, dtype=DOUBLE)


# --- what the losses leave open ------------------------------------------------------------------------------


@pytest.mark.theorem("thm-unpaired-bijections")
@pytest.mark.parametrize("n", [2, 3, 4])
def test_adversarial_losses_leave_n_factorial_squared_pairs_and_the_cycle_n_factorial(n):
    # Every pair of maps there is: 65,536 of them for n = 4. The loss of each direction is C at the best D.
    maps, p = all_maps(n, n), uniform(n)
    losses = torch.stack([criterion(p, image) for image in pushforward(maps, p, n)])
    both = losses[:, None] + losses[None, :]
    least = both <= -2 * LOG_4 + 1e-9
    assert both.shape == (n**n, n**n)
    assert both.min().item() == pytest.approx(-2 * LOG_4)
    assert least.sum() == math.factorial(n) ** 2
    assert both[~least].min() > -2 * LOG_4 + 0.05, "no other pair comes close"

    consistent = cycle_consistent_pairs(maps, maps)
    left = least & consistent
    assert left.sum() == math.factorial(n)
    assert consistent.equal(left), "with exact cycles the adversarial losses rule nothing out here"
    bijections = {G for G in itertools.permutations(range(n))}
    assert {tuple(maps[G].tolist()) for G, _ in left.nonzero()} == bijections, "whatever G is"
    for G, F in left.nonzero():
        assert maps[F].equal(maps[G].argsort()), "F is the inverse"


@pytest.mark.theorem("thm-unpaired-bijections")
def test_least_squares_leaves_the_same_pairs():
    maps, p = all_maps(4, 4), uniform(4)
    losses = torch.stack([least_squares_criterion(p, image) for image in pushforward(maps, p, 4)])
    assert (losses <= 0.25 + 1e-9).sum() == math.factorial(4)


@pytest.mark.theorem("thm-unpaired-bijections")
@pytest.mark.parametrize(("n", "shared"), [(3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (4, 4)])
def test_the_identity_loss_fixes_the_shared_points_and_nothing_else(n, shared):
    # X is 0 ... n-1 and Y is n-shared ... 2n-shared-1, so that the last `shared` points of X lie in Y too. G and F are
    # functions of the whole of X and Y together, as networks are of all images.
    everything = 2 * n - shared
    X, Y = list(range(n)), list(range(n - shared, everything))
    least = 0
    for there in itertools.permutations(Y):
        G = dict(zip(X, there))
        F = {y: x for x, y in G.items()}
        # The identity loss asks G(y) = y on Y and F(x) = x on X. Values outside X are free for G, outside Y for F.
        identity = all(G.get(y, y) == y for y in Y) and all(F.get(x, x) == x for x in X)
        least += identity
    assert least == math.factorial(n - shared)


@pytest.mark.theorem("thm-unpaired-symmetries")
@pytest.mark.parametrize(
    "masses", [[0.1, 0.2, 0.3, 0.4], [0.1, 0.1, 0.3, 0.5], [0.2, 0.2, 0.3, 0.3], [0.1, 0.3, 0.3, 0.3], [0.25] * 4]
)
def test_with_unequal_masses_only_measure_preserving_maps_remain(masses):
    p, order = torch.tensor(masses, dtype=DOUBLE), [2, 0, 3, 1]
    q = p[order]
    maps = all_maps(4, 4)
    there = torch.stack([criterion(q, image) for image in pushforward(maps, p, 4)]) <= -LOG_4 + 1e-9
    back = torch.stack([criterion(p, image) for image in pushforward(maps, q, 4)]) <= -LOG_4 + 1e-9
    assert maps[there].equal(matching_maps(p, q)) and maps[back].equal(matching_maps(q, p))
    left = there[:, None] & back[None, :] & cycle_consistent_pairs(maps, maps)
    assert left.sum() == math.prod(math.factorial(count) for count in Counter(masses).values())
    solutions = {tuple(maps[G].tolist()) for G, _ in left.nonzero()}
    assert all(q[list(G)].equal(p) for G in solutions)
    # They are one solution after every symmetry of p.
    symmetries = [T for T in itertools.permutations(range(4)) if p[list(T)].equal(p)]
    one = next(iter(solutions))
    assert {tuple(one[t] for t in T) for T in symmetries} == solutions


@pytest.mark.theorem("thm-unpaired-symmetries")
def test_a_map_may_merge_points_but_then_there_is_no_way_back():
    p, q = [0.25, 0.25, 0.5], [0.5, 0.5]
    assert matching_maps(p, q).tolist() == [[0, 0, 1], [1, 1, 0]]
    assert len(matching_maps(q, p)) == 0
    assert not cycle_consistent_pairs(all_maps(3, 2), all_maps(2, 3)).any()


@pytest.mark.theorem("thm-unpaired-symmetries")
def test_a_rotation_of_a_gaussian_changes_no_loss():
    # X is standard normal in the plane and Y its image under G. Losses in closed form, as all is linear and Gaussian.
    def kl_to(cov, of):  # KL(N(0, of) || N(0, cov))
        return 0.5 * (torch.trace(cov.inverse() @ of) - 2 + torch.logdet(cov) - torch.logdet(of))

    G = torch.tensor([[1.0, 0.6], [0.0, 0.5]], dtype=DOUBLE)
    F = G.inverse() + torch.tensor([[0.1, 0.0], [0.05, -0.1]], dtype=DOUBLE)  # not quite its inverse
    p_cov, q_cov = torch.eye(2, dtype=DOUBLE), G @ G.T
    x = torch.randn(1000, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    y = x @ G.T
    angle = torch.tensor(1.1, dtype=DOUBLE)
    T = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])

    def losses(G, F):
        to_Y = kl_to(q_cov, G @ p_cov @ G.T)
        to_X = kl_to(p_cov, F @ q_cov @ F.T)
        cycle_Y = (y @ (G @ F).T - y).abs().mean()
        return torch.stack([to_Y, to_X, cycle_Y])

    before, after = losses(G, F), losses(G @ T, T.inverse() @ F)
    assert before[1] > 0.01 and before[2] > 0.01, "the pair is no solution, so this is not 0 = 0"
    torch.testing.assert_close(before, after, atol=1e-12, rtol=1e-10)
    exact = losses(G @ T, T.inverse() @ G.inverse())
    torch.testing.assert_close(exact, torch.zeros(3, dtype=DOUBLE), atol=1e-12, rtol=0)
    assert (x @ (G @ T).T - y).abs().mean() > 0.3, "and yet another translation"


# --- least squares -------------------------------------------------------------------------------------------


@pytest.mark.theorem("thm-least-squares")
@pytest.mark.parametrize("codes", [dict(fake=0.0, real=1.0), dict(fake=-1.0, real=1.0), dict(fake=2.0, real=-0.5)])
@pytest.mark.parametrize("seed", range(3))
def test_no_other_discriminator_has_a_lower_least_squares_loss(seed, codes):
    p, q = random_pair(seed, zeros=0.3)
    d_star = least_squares_optimal_discriminator(p, q, **codes)
    support = p + q > 0
    assert d_star.isnan().equal(~support)
    p, q, d_star = p[support], q[support], d_star[support]

    def loss(d):
        return (p * (d - codes["real"]) ** 2 + q * (d - codes["fake"]) ** 2).sum()

    found = torch.tensor(
        [
            optimize.minimize_scalar(lambda d: a * (d - codes["real"]) ** 2 + b * (d - codes["fake"]) ** 2).x
            for a, b in zip(p.tolist(), q.tolist())
        ],
        dtype=DOUBLE,
    )
    torch.testing.assert_close(d_star, found, atol=1e-6, rtol=0)
    generator = torch.Generator().manual_seed(seed)
    for size in (1e-3, 1.0):
        moved = d_star + size * torch.randn(d_star.shape, generator=generator, dtype=DOUBLE)
        assert loss(moved) > loss(d_star)
    least = (codes["real"] - codes["fake"]) ** 2 * (p * q / (p + q)).sum()
    torch.testing.assert_close(loss(d_star), least)


@pytest.mark.theorem("thm-least-squares")
def test_with_codes_0_and_1_it_is_the_discriminator_of_the_log_loss():
    p, q = random_pair(1)
    torch.testing.assert_close(least_squares_optimal_discriminator(p, q), optimal_discriminator(p, q))


@pytest.mark.theorem("thm-least-squares")
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_with_codes_of_mao_it_is_twice_pearsons_divergence_from_the_mixture(seed, zeros):
    p, q = random_pair(seed, zeros)
    both = least_squares_criterion(p, q, on_data=True, **MAO)
    triangle = torch.where(p + q > 0, (p - q) ** 2 / (p + q), 0).sum()
    torch.testing.assert_close(both, triangle)
    torch.testing.assert_close(both, 2 * pearson_chi_squared(q, (p + q) / 2))
    assert 0 < both <= 2 + 1e-12
    assert least_squares_criterion(p, p, on_data=True, **MAO) == 0


@pytest.mark.theorem("thm-least-squares")
@pytest.mark.parametrize("zeros", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_with_the_codes_of_cyclegan_it_is_a_weighted_triangle_above_one_quarter(seed, zeros):
    p, q = random_pair(seed, zeros)
    either = p + q > 0
    got = least_squares_criterion(p, q)
    torch.testing.assert_close(got, (q[either] ** 3 / (p + q)[either] ** 2).sum())
    weight = torch.where(either, (p + 2 * q) / (p + q) ** 2, 0)
    torch.testing.assert_close(got - 0.25, ((q - p) ** 2 * weight).sum() / 4)
    triangle = 2 * pearson_chi_squared(q, (p + q) / 2)
    assert triangle / 4 <= got - 0.25 <= triangle / 2
    # With the mean over the data added, Pearson's divergence is back.
    torch.testing.assert_close(least_squares_criterion(p, q, on_data=True), 0.5 + triangle / 4)


@pytest.mark.theorem("thm-least-squares")
def test_the_least_and_the_largest_value_for_the_codes_of_cyclegan():
    p, other = random_pair(2)
    assert least_squares_criterion(p, p).item() == pytest.approx(0.25)
    for epsilon in (1.0, 0.1, 1e-3):
        assert least_squares_criterion(p, (1 - epsilon) * p + epsilon * other) > 0.25 + 1e-3 * epsilon**2
    apart = torch.tensor([0.4, 0.6, 0, 0], dtype=DOUBLE), torch.tensor([0, 0, 0.7, 0.3], dtype=DOUBLE)
    assert least_squares_criterion(*apart).item() == pytest.approx(1)
    # Leaving out a part of the data costs half of what as much that is nowhere in the data costs.
    eps = 1e-3
    data = torch.tensor([1 - eps, eps, 0], dtype=DOUBLE)
    missing = torch.tensor([1, 0, 0], dtype=DOUBLE)
    invented = torch.tensor([1 - eps, 0, eps], dtype=DOUBLE)
    whole = torch.tensor([1, 0, 0], dtype=DOUBLE)
    cost_of_missing = least_squares_criterion(data, missing) - 0.25
    cost_of_inventing = least_squares_criterion(whole, invented) - 0.25
    assert cost_of_missing.item() == pytest.approx(eps / 4, rel=1e-2)
    assert cost_of_inventing.item() == pytest.approx(eps / 2, rel=1e-2)


@pytest.mark.theorem("thm-least-squares")
def test_two_gaussians_by_quadrature():
    P, Q = stats.norm(-0.5, 1.0), stats.norm(1.0, 1.6)
    expected, _ = integrate.quad(lambda x: Q.pdf(x) ** 3 / (P.pdf(x) + Q.pdf(x)) ** 2, -14, 14, epsabs=1e-12, limit=200)
    x = torch.linspace(-14, 14, 5601, dtype=DOUBLE)
    weights = torch.full_like(x, (x[1] - x[0]).item())
    weights[[0, -1]] /= 2
    got = least_squares_criterion(P.pdf(x.numpy()), Q.pdf(x.numpy()), weights)
    assert got.item() == pytest.approx(expected, abs=1e-9)


def descended(p, q):
    """The f-divergence of the theorem's fourth part, from its formula."""
    t = q / p
    return (p * (t - 2 * torch.log1p(t) - 1 / (1 + t))).sum() + 2 * math.log(2) - 0.5


@pytest.mark.theorem("thm-least-squares")
@pytest.mark.parametrize("seed", range(3))
def test_what_alternating_steps_descend_is_a_divergence_too(seed):
    p, q = random_pair(seed)
    q = q.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(descended(p, q), q)
    torch.testing.assert_close(gradient, least_squares_gradient(p, q.detach()))
    assert descended(p, q) > 0 and descended(p, p).item() == pytest.approx(0, abs=1e-14)
    for _ in range(1500):  # small steps downhill that keep the sum: they arrive at the data
        g = least_squares_gradient(p, q.detach())
        q = torch.softmax(q.detach().log() - 0.2 * g, 0)
    torch.testing.assert_close(q, p, atol=1e-3, rtol=0)


@pytest.mark.theorem("thm-least-squares")
def test_with_the_codes_of_mao_small_steps_against_a_fixed_discriminator_lead_away_from_the_data():
    eps = 0.1
    p, q = uniform(2), torch.tensor([0.5 + eps, 0.5 - eps], dtype=DOUBLE)
    gradient = least_squares_gradient(p, q, **MAO)
    torch.testing.assert_close(gradient, torch.tensor([(eps / (1 + eps)) ** 2, (eps / (1 - eps)) ** 2], dtype=DOUBLE))
    for _ in range(1000):
        q = torch.softmax(q.log() - 0.5 * least_squares_gradient(p, q, **MAO), 0)
    assert (q - p).abs().max() > 1.5 * eps
    # Whereas the divergence itself, with a discriminator that answers, falls towards the data.
    closer = torch.tensor([0.5 + eps / 2, 0.5 - eps / 2], dtype=DOUBLE)
    far = torch.tensor([0.5 + eps, 0.5 - eps], dtype=DOUBLE)
    assert least_squares_criterion(p, closer, on_data=True, **MAO) < least_squares_criterion(
        p, far, on_data=True, **MAO
    )


def test_near_the_data_the_criteria_agree_up_to_a_factor():
    # Every one of them is a multiple of the same quadratic form: the page gives the factors.
    p, other = random_pair(4)
    direction = other - p
    chi = 1e-6 * (direction**2 / p).sum()
    q = p + 1e-3 * direction
    assert (2 * jensen_shannon(p, q) / chi).item() == pytest.approx(1 / 4, rel=0.01)
    assert ((least_squares_criterion(p, q) - 0.25) / chi).item() == pytest.approx(3 / 16, rel=0.01)
    assert (least_squares_criterion(p, q, on_data=True, **MAO) / chi).item() == pytest.approx(1 / 2, rel=0.01)


# --- receptive fields ------------------------------------------------------------------------------------------


def seen_by_the_central_score(D, side):
    """Which pixels the gradient of one score reaches: bool (side, side)."""
    x = torch.randn(1, 3, side, side, dtype=DOUBLE, generator=torch.Generator().manual_seed(0), requires_grad=True)
    scores = D(x)[0, 0]
    (gradient,) = torch.autograd.grad(scores[scores.shape[0] // 2, scores.shape[1] // 2], x)
    return (gradient != 0).any(dim=1)[0]


def discriminator(side, layers, norm="none"):
    torch.manual_seed(0)
    return PatchDiscriminator((3, side, side), 4, layers, norm=norm).double()


def without_normalisation(D):
    """The same network with every normalisation replaced by the identity."""
    kept = [nn.Identity() if isinstance(layer, nn.InstanceNorm2d) else layer for layer in D.net]
    assert any(isinstance(layer, nn.Identity) for layer in kept)
    return nn.Sequential(*kept)


@pytest.mark.theorem("thm-receptive-field")
@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_the_patch_of_the_discriminator_is_that_of_the_recursion_and_of_its_gradient(layers, field):
    side = 64 if layers < 3 else 192
    D = discriminator(side, layers, "instance")
    assert receptive_field(D) == field
    seen = seen_by_the_central_score(without_normalisation(D), side)
    rows, columns = seen.any(dim=1), seen.any(dim=0)
    assert rows.sum() == columns.sum() == field
    assert seen.sum() == field**2, "a full square"
    first = rows.nonzero()[0]
    assert rows[first : first + field].all(), "of neighbours"


@pytest.mark.theorem("thm-receptive-field")
@pytest.mark.parametrize(("layers", "side"), [(1, 32), (2, 64), (3, 128)])
def test_with_instance_norm_every_score_sees_the_whole_image(layers, side):
    assert seen_by_the_central_score(discriminator(side, layers, "instance"), side).all()
    assert not seen_by_the_central_score(discriminator(side, layers, "none"), side).all()


@pytest.mark.theorem("thm-receptive-field")
@pytest.mark.parametrize("seed", range(4))
def test_the_field_of_random_chains_is_that_of_the_formula(seed):
    generator = random.Random(seed)
    kernels = [generator.randint(1, 5) for _ in range(4)]
    strides = [generator.randint(1, kernel) for kernel in kernels]  # no kernel below its stride, so no gaps
    formula = 1 + sum((k - 1) * math.prod(strides[:i]) for i, k in enumerate(kernels))
    chain = nn.Sequential(*(nn.Conv2d(1, 1, k, s, bias=False) for k, s in zip(kernels, strides))).double()
    for layer in chain:
        nn.init.uniform_(layer.weight, 0.5, 1.0)
    assert receptive_field(chain) == formula
    x = torch.zeros(1, 1, formula + 40, formula + 40, dtype=DOUBLE, requires_grad=True)
    scores = chain(x)[0, 0]
    at = scores.shape[0] - 1
    (gradient,) = torch.autograd.grad(scores[at, at], x)
    assert (gradient != 0).sum() == formula**2


def test_numbers_of_the_page():
    assert discriminator(256, 3)(torch.zeros(1, 3, 256, 256, dtype=DOUBLE)).shape == (1, 1, 30, 30)
    assert [1 + 3 * (1 + 2 + 4 + 8 + 8), 1 + 3 * (1 + 2 + 2), 1 + 3 * (1 + 2 + 4 + 4)] == [70, 16, 34]


# --- functions, and what they refuse ---------------------------------------------------------------------------


def test_maps_are_carried_by_hand():
    assert all_maps(2, 3).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]]
    carried = pushforward(torch.tensor([[0, 2, 2], [1, 1, 1]]), [0.2, 0.3, 0.5], 3)
    torch.testing.assert_close(carried, torch.tensor([[0.2, 0, 0.8], [0, 1, 0]], dtype=DOUBLE))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: all_maps(0, 2), "at least one point"),
        (lambda: all_maps(10, 10), "too many"),
        (lambda: pushforward(torch.tensor([[0, 1]]), [0.2, 0.3, 0.5], 2), "one target for each mass"),
        (lambda: pushforward(torch.tensor([[0, 2]]), [0.5, 0.5], 2), "0 to 1"),
        (lambda: matching_maps([0.5, 0.6], [1.0]), "sum to 1"),
        (lambda: least_squares_optimal_discriminator([1.0], [1.0], fake=1, real=1), "different codes"),
        (lambda: least_squares_optimal_discriminator([1.0], [0.5, 0.5]), "same shape"),
        (lambda: least_squares_criterion([1.0, 0.5], [0.5, 0.5]), "sums to 1.5"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
