"""The theorems of book/autoencoders.md, each checked against an independent oracle."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from coursekit.trainers import AutoencoderTrainer

# The four points of the page's worked example: ±(2, 2) and ±(1, −1).
EXAMPLE = torch.tensor([[2.0, 2.0], [-2.0, -2.0], [1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
EIGENVALUES = torch.tensor([4.0, 2.5, 1.0, 0.3], dtype=torch.float64)


def linear_loss(V, W, x):
    """(1/N) Σ ‖x − V W x‖², as in eq-linear-autoencoder; x is (N, D)."""
    return (x - x @ W.T @ V.T).square().sum(dim=1).mean()


def population_loss(V, W, covariance):
    """The same loss written with the covariance alone."""
    residual = torch.eye(len(covariance), dtype=covariance.dtype) - V @ W
    return torch.trace(residual @ covariance @ residual.T)


def random_basis(size, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]


def minimise(loss, parameters, rounds=2):
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=300, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    for _ in range(rounds):
        optimizer.step(closure)
    return loss().item()


def start(*shapes, seed=0, scale=0.3):
    generator = torch.Generator().manual_seed(seed)
    return [(scale * torch.randn(s, generator=generator, dtype=torch.float64)).requires_grad_() for s in shapes]


@pytest.fixture(scope="module")
def covariance_and_axes():
    """A 4 × 4 covariance with known, distinct eigenvalues, and its eigenvectors as columns."""
    U = random_basis(4, seed=3)
    return U @ torch.diag(EIGENVALUES) @ U.T, U


def critical_point(U, index_set, seed=1):
    """V, W with V W = P_I for the columns I of U, mixed by a random invertible matrix (K = 2)."""
    r, K = len(index_set), 2
    axes = U[:, list(index_set)]
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(r, K, generator=generator, dtype=torch.float64)
    return axes @ mix, torch.linalg.pinv(mix) @ axes.T


# --- The linear autoencoder and PCA -------------------------------------------------------------


@pytest.mark.theorem("thm-linear-autoencoder-pca")
@pytest.mark.parametrize("seed", [0, 1])
def test_trained_linear_autoencoder_projects_like_sklearn_pca(seed):
    K = 5
    x = torch.tensor(load_digits().data / 16.0)
    x = x - x.mean(dim=0)
    pca = PCA(n_components=K, svd_solver="full").fit(x.numpy())
    V, W = start((64, K), (K, 64), seed=seed)
    covariance = x.T @ x / len(x)
    torch.testing.assert_close(linear_loss(V, W, x), population_loss(V, W, covariance))

    loss = minimise(lambda: population_loss(V, W, covariance), [V, W])

    projected_by_pca = pca.inverse_transform(pca.transform(x.numpy()))
    projected = (x @ W.T @ V.T).detach().numpy()
    # Projections, not components: the codes themselves may be any invertible mixture of PCA's.
    # Directions of small variance converge last, hence 2% of a pixel's range.
    assert np.abs(projected - projected_by_pca).max() < 0.02
    variances = PCA(svd_solver="full").fit(x.numpy()).explained_variance_ * (len(x) - 1) / len(x)
    assert loss == pytest.approx(variances[K:].sum(), rel=1e-5)


@pytest.mark.theorem("thm-linear-autoencoder-pca")
def test_the_courses_trainer_with_no_hidden_layer_finds_the_principal_subspace():
    # The pixels are not centred: the trainer's biases do that.
    x = torch.tensor(load_digits().data / 16.0, dtype=torch.float32).view(-1, 1, 8, 8)
    pca = PCA(n_components=3, svd_solver="full").fit(x.flatten(1).numpy())
    settings = dict(latent_dim=3, hidden=(), reconstruction="gaussian", lr=0.03, batch_size=len(x), device="cpu")
    trainer = AutoencoderTrainer(**settings).fit(x, epochs=600, progress=False)
    with torch.no_grad():
        projected = trainer.network(x)[0].flatten(1).numpy()
    projected_by_pca = pca.inverse_transform(pca.transform(x.flatten(1).numpy()))
    assert np.abs(projected - projected_by_pca).max() < 0.03


@pytest.mark.theorem("thm-linear-autoencoder-pca")
def test_codes_are_a_mixture_of_principal_components_not_the_components():
    x = torch.tensor(load_digits().data[:500] / 16.0)
    x = x - x.mean(dim=0)
    V, W = start((64, 3), (3, 64), seed=2)
    minimise(lambda: population_loss(V, W, x.T @ x / len(x)), [V, W])
    codes = (x @ W.detach().T).numpy()
    scores = PCA(n_components=3, svd_solver="full").fit_transform(x.numpy())
    mixture, residual, _, _ = np.linalg.lstsq(scores, codes, rcond=None)
    assert np.abs(codes - scores @ mixture).max() < 0.02 * np.abs(codes).max()
    assert abs(np.corrcoef(codes.T)[0, 1]) > 0.05  # PCA's scores are uncorrelated


@pytest.mark.theorem("thm-linear-autoencoder-pca")
def test_no_code_of_any_kind_with_a_linear_decoder_beats_the_bound(covariance_and_axes):
    covariance, U = covariance_and_axes
    bound = EIGENVALUES[2:].sum()
    generator = torch.Generator().manual_seed(0)
    for _ in range(500):
        V = torch.randn(4, 2, generator=generator, dtype=torch.float64)
        best_code = torch.linalg.pinv(V)  # for this V, no map x -> code has a smaller error
        assert population_loss(V, best_code, covariance) >= bound - 1e-12
        W = torch.randn(2, 4, generator=generator, dtype=torch.float64)
        assert population_loss(V, W, covariance) >= population_loss(V, best_code, covariance) - 1e-12
    V, W = critical_point(U, (0, 1))
    torch.testing.assert_close(population_loss(V, W, covariance), bound)


@pytest.mark.theorem("thm-linear-autoencoder-pca")
def test_without_the_eigenvalue_gap_two_different_projections_reach_the_minimum():
    covariance = torch.diag(torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64))
    first, second = torch.eye(3, dtype=torch.float64)[:, [0, 1]], torch.eye(3, dtype=torch.float64)[:, [0, 2]]
    losses = [population_loss(V, V.T, covariance).item() for V in (first, second)]
    assert losses[0] == losses[1] == 1.0
    assert not torch.allclose(first @ first.T, second @ second.T)


@pytest.mark.theorem("thm-linear-autoencoder-pca")
def test_uncentred_data_without_biases_misses_the_principal_subspace_and_biases_mend_it():
    x = EXAMPLE + torch.tensor([10.0, 0.0], dtype=torch.float64)
    projector = torch.full((2, 2), 0.5, dtype=torch.float64)
    V, W = start((2, 1), (1, 2))
    minimise(lambda: linear_loss(V, W, x), [V, W])
    assert (V @ W - projector).abs().max() > 0.1

    V, W, b, c = start((2, 1), (1, 2), (1,), (2,))

    def loss():
        return (x - (x @ W.T + b) @ V.T - c).square().sum(dim=1).mean()

    assert minimise(loss, [V, W, b, c]) == pytest.approx(1.0, abs=1e-6)
    torch.testing.assert_close((V @ W).detach(), projector, atol=1e-4, rtol=0)


@pytest.mark.theorem("thm-linear-autoencoder-pca")
def test_worked_example_has_the_losses_of_the_page():
    V, W = torch.tensor([[0.5], [0.5]], dtype=torch.float64), torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(EXAMPLE.T @ EXAMPLE / 4, torch.tensor([[2.5, 1.5], [1.5, 2.5]], dtype=torch.float64))
    torch.testing.assert_close(EXAMPLE[0] @ W.T @ V.T, EXAMPLE[0])
    torch.testing.assert_close(EXAMPLE[2] @ W.T @ V.T, torch.zeros(2, dtype=torch.float64))
    assert linear_loss(V, W, EXAMPLE).item() == 1.0
    u2 = torch.tensor([[1.0], [-1.0]], dtype=torch.float64) / 2**0.5
    assert linear_loss(u2, u2.T, EXAMPLE).item() == pytest.approx(4.0)
    assert linear_loss(0 * u2, 0 * u2.T, EXAMPLE).item() == 5.0


# --- The other critical points ------------------------------------------------------------------


def gradients(V, W, covariance):
    V, W = V.clone().requires_grad_(), W.clone().requires_grad_()
    return torch.autograd.grad(population_loss(V, W, covariance), (V, W))


INDEX_SETS = [s for r in range(3) for s in combinations(range(4), r)]


@pytest.mark.theorem("thm-linear-autoencoder-saddles")
@pytest.mark.parametrize("index_set", INDEX_SETS, ids=str)
def test_every_projection_on_eigenvectors_is_critical_with_the_stated_loss(covariance_and_axes, index_set):
    covariance, U = covariance_and_axes
    V, W = critical_point(U, index_set)
    for gradient in gradients(V, W, covariance):
        assert gradient.abs().max() < 1e-12
    kept = EIGENVALUES[list(index_set)].sum() if index_set else 0.0
    torch.testing.assert_close(population_loss(V, W, covariance), EIGENVALUES.sum() - kept)


@pytest.mark.theorem("thm-linear-autoencoder-saddles")
def test_a_projection_on_a_subspace_that_is_not_spanned_by_eigenvectors_is_not_critical(covariance_and_axes):
    covariance, U = covariance_and_axes
    tilted = torch.stack([U[:, 0], (U[:, 1] + U[:, 2]) / 2**0.5], dim=1)
    gradient_V, gradient_W = gradients(tilted, tilted.T, covariance)
    assert gradient_V.abs().max() > 0.1
    assert gradient_W.abs().max() < 1e-12  # the code is the best one for this decoder; the decoder is at fault


@pytest.mark.theorem("thm-linear-autoencoder-saddles")
def test_critical_points_found_by_search_are_all_on_the_list(covariance_and_axes):
    covariance, U = covariance_and_axes
    found = set()
    for seed in range(8):
        subspace = random_basis(4, seed=10 + seed)[:, :2]
        V, W = (m.clone(memory_format=torch.contiguous_format).requires_grad_() for m in (subspace, subspace.T))

        def squared_gradient(V=V, W=W):
            residual = torch.eye(4, dtype=torch.float64) - V @ W
            gradient_V = -2 * residual @ covariance @ W.T
            gradient_W = -2 * V.T @ residual @ covariance
            return gradient_V.square().sum() + gradient_W.square().sum()

        if minimise(squared_gradient, [V, W]) > 1e-12:
            continue  # the search stopped at a point that is not critical
        in_eigenbasis = (U.T @ V @ W @ U).detach()
        kept = in_eigenbasis.diagonal().round()
        torch.testing.assert_close(in_eigenbasis, torch.diag(kept), atol=1e-3, rtol=0)
        assert set(kept.tolist()) <= {0.0, 1.0} and kept.sum() <= 2
        found.add(tuple(kept.tolist()))
    assert len(found) >= 3


def hessian_eigenvalues(V, W, covariance):
    sizes = V.numel()

    def loss(flat):
        return population_loss(flat[:sizes].view_as(V), flat[sizes:].view_as(W), covariance)

    hessian = torch.autograd.functional.hessian(loss, torch.cat([V.flatten(), W.flatten()]))
    return torch.linalg.eigvalsh(hessian)


@pytest.mark.theorem("thm-linear-autoencoder-saddles")
@pytest.mark.parametrize("index_set", INDEX_SETS, ids=str)
def test_only_the_principal_subspace_is_not_a_saddle(covariance_and_axes, index_set):
    covariance, U = covariance_and_axes
    curvature = hessian_eigenvalues(*critical_point(U, index_set), covariance)
    assert curvature.max() > 1e-3
    if index_set == (0, 1):
        assert curvature.min() > -1e-9
    else:
        assert curvature.min() < -1e-3


@pytest.mark.theorem("thm-linear-autoencoder-saddles")
def test_turning_an_axis_towards_a_larger_eigenvalue_lowers_the_loss_by_the_stated_amount(covariance_and_axes):
    covariance, U = covariance_and_axes
    V, W = critical_point(U, (0, 2))
    i, j = 2, 1
    for theta in (0.01, 0.3, 1.2):
        c, s = np.cos(theta), np.sin(theta)
        in_plane = torch.eye(4, dtype=torch.float64)
        in_plane[i, i] = in_plane[j, j] = c
        in_plane[j, i], in_plane[i, j] = s, -s
        R = U @ in_plane @ U.T
        drop = population_loss(V, W, covariance) - population_loss(R @ V, W @ R.T, covariance)
        torch.testing.assert_close(drop, s**2 * (EIGENVALUES[j] - EIGENVALUES[i]))


@pytest.mark.theorem("thm-linear-autoencoder-saddles")
def test_an_unused_code_gives_the_stated_descent_even_when_it_still_reads_the_data(covariance_and_axes):
    covariance, U = covariance_and_axes
    # V ignores the second code (V a = 0), but W still writes u_0 into it: rows of W stay in the span.
    a = torch.tensor([0.0, 1.0], dtype=torch.float64)
    V = torch.outer(U[:, 0], torch.tensor([1.0, 0.0], dtype=torch.float64))
    W = torch.stack([U[:, 0], 0.7 * U[:, 0]])
    for gradient in gradients(V, W, covariance):
        assert gradient.abs().max() < 1e-12
    read = W.T @ a
    q, lam, j = read @ covariance @ read, EIGENVALUES[1], 1
    s = lam / (lam + q)
    for t in (0.02, 0.1):
        moved = population_loss(V + t * s * torch.outer(U[:, j], a), W + t * torch.outer(a, U[:, j]), covariance)
        change = moved - population_loss(V, W, covariance)
        torch.testing.assert_close(change, t**2 * (-2 * s * lam + s**2 * q) + t**4 * s**2 * lam)
        assert change < 0


# --- Denoising and the score --------------------------------------------------------------------

WEIGHTS, MEANS, STDS = np.array([0.3, 0.7]), np.array([-2.0, 1.0]), np.array([0.5, 0.8])


def mixture_density(x, extra_std=0.0):
    return float(np.sum(WEIGHTS * norm.pdf(x, MEANS, np.sqrt(STDS**2 + extra_std**2))))


def posterior_mean(noisy, sigma):
    """E[x | noisy] straight from Bayes' rule, by quadrature."""
    joint = [
        quad(lambda x, k=k: x**k * mixture_density(x) * norm.pdf(noisy, x, sigma), -12, 12, points=[*MEANS, noisy])[0]
        for k in (0, 1)
    ]
    return joint[1] / joint[0]


@pytest.mark.theorem("thm-denoising-score")
@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("noisy", [-3.0, -0.7, 0.4, 2.5])
def test_best_denoiser_is_a_step_along_the_score_of_the_noisy_density(sigma, noisy):
    h = 1e-4
    score = (np.log(mixture_density(noisy + h, sigma)) - np.log(mixture_density(noisy - h, sigma))) / (2 * h)
    assert posterior_mean(noisy, sigma) == pytest.approx(noisy + sigma**2 * score, abs=1e-5)


@pytest.mark.theorem("thm-denoising-score")
def test_squared_error_against_clean_data_is_smallest_at_the_conditional_mean():
    rng = np.random.default_rng(0)
    component = rng.choice(2, p=WEIGHTS, size=200_000)
    clean = rng.normal(MEANS[component], STDS[component])
    sigma = 0.8
    noisy = clean + sigma * rng.normal(size=clean.shape)

    def score(x):
        stds = np.sqrt(STDS**2 + sigma**2)
        parts = WEIGHTS * norm.pdf(x[:, None], MEANS, stds)
        return (parts * (MEANS - x[:, None]) / stds**2).sum(1) / parts.sum(1)

    best = noisy + sigma**2 * score(noisy)
    error = np.mean((clean - best) ** 2)
    for step in (0.5, 0.9, 1.1, -1.0):
        assert np.mean((clean - (noisy + step * sigma**2 * score(noisy))) ** 2) > error
    assert np.mean((clean - (best + 0.1 * np.sin(noisy))) ** 2) == pytest.approx(
        error + np.mean((0.1 * np.sin(noisy)) ** 2), abs=1e-3
    )


@pytest.mark.theorem("thm-denoising-score")
@pytest.mark.parametrize("noisy", [-1.2, 0.5, 3.0])
def test_two_points_at_unit_noise_are_denoised_by_tanh(noisy):
    densities = norm.pdf(noisy, [1.0, -1.0], 1.0)
    by_bayes = (densities[0] - densities[1]) / densities.sum()
    by_score = noisy + (densities * (np.array([1.0, -1.0]) - noisy)).sum() / densities.sum()
    assert by_bayes == pytest.approx(np.tanh(noisy))
    assert by_score == pytest.approx(np.tanh(noisy))


# --- The stochastic bottleneck ------------------------------------------------------------------

KEEP = torch.tensor([0.9, 0.6, 0.2], dtype=torch.float64)


def expected_loss(V, W, covariance, keep):
    """Exact mean over all 2^K masks."""
    total = torch.zeros((), dtype=torch.float64)
    for mask in product((0.0, 1.0), repeat=len(keep)):
        m = torch.tensor(mask, dtype=torch.float64)
        probability = torch.where(m == 1, keep, 1 - keep).prod()
        total = total + probability * population_loss(V * m, W, covariance)
    return total


@pytest.mark.theorem("thm-stochastic-bottleneck-order")
def test_expected_loss_of_one_axis_per_code_is_smallest_for_pca_order_and_gain_one(covariance_and_axes):
    covariance, U = covariance_and_axes
    losses = {}
    for order in permutations(range(4), 3):
        axes = U[:, list(order)]
        stated = EIGENVALUES.sum() - (KEEP * EIGENVALUES[list(order)]).sum()
        measured = expected_loss(axes, axes.T, covariance, KEEP)
        torch.testing.assert_close(measured, stated)
        losses[order] = measured.item()
        for gain in (0.8, 1.2):
            assert expected_loss(gain * axes, axes.T, covariance, KEEP) > measured
    best = min(losses, key=losses.get)
    assert best == (0, 1, 2)
    assert sorted(losses.values())[1] > losses[best] + 1e-6


@pytest.mark.theorem("thm-stochastic-bottleneck-order")
def test_loss_under_dropout_is_the_plain_loss_plus_a_penalty_on_each_code(covariance_and_axes):
    covariance, _ = covariance_and_axes
    V, W = start((4, 3), (3, 4), seed=5, scale=1.0)
    plain = population_loss(V * KEEP, W, covariance)
    penalty = (KEEP * (1 - KEEP) * V.square().sum(0) * (W @ covariance @ W.T).diagonal()).sum()
    torch.testing.assert_close(expected_loss(V, W, covariance, KEEP), plain + penalty)


@pytest.mark.theorem("thm-stochastic-bottleneck-order")
def test_codes_that_share_an_axis_can_do_better_so_the_assumption_is_needed():
    covariance, keep = torch.eye(1, dtype=torch.float64), torch.full((2,), 0.5, dtype=torch.float64)
    W = torch.ones(2, 1, dtype=torch.float64)
    alone = expected_loss(torch.tensor([[1.0, 0.0]], dtype=torch.float64), W, covariance, keep)
    shared = expected_loss(torch.full((1, 2), 2 / 3, dtype=torch.float64), W, covariance, keep)
    assert alone.item() == pytest.approx(1 / 2)
    assert shared.item() == pytest.approx(1 / 3)


# --- The distribution of the codes --------------------------------------------------------------


@pytest.mark.theorem("thm-code-freedom")
@pytest.mark.parametrize("kind", ["affine", "cubic"])
def test_changing_coordinates_in_the_code_keeps_every_reconstruction_and_moves_the_codes(kind):
    torch.manual_seed(0)
    encode = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double()
    decode = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 6)).double()
    x = torch.randn(200, 6, dtype=torch.float64)
    if kind == "affine":
        A, b = torch.tensor([[3.0, 1.0], [0.0, 0.2]], dtype=torch.float64), torch.tensor([7.0, -4.0])

        def h(z):
            return z @ A.T + b

        def h_inverse(z):
            return (z - b) @ torch.linalg.inv(A).T
    else:

        def h(z):
            return 5 * z**3

        def h_inverse(z):
            return (z / 5).sign() * (z / 5).abs() ** (1 / 3)

    with torch.no_grad():
        z, new_z = encode(x), h(encode(x))
        torch.testing.assert_close(decode(h_inverse(new_z)), decode(z))
        assert (torch.cov(new_z.T) - torch.cov(z.T)).abs().max() > 0.1
        prior = torch.randn(200, 2, dtype=torch.float64)
        assert (decode(h_inverse(prior)) - decode(prior)).abs().max() > 0.05


@pytest.mark.theorem("thm-code-freedom")
def test_any_covariance_can_be_given_to_the_codes_for_free():
    torch.manual_seed(1)
    z = torch.randn(500, 3, dtype=torch.float64) @ torch.randn(3, 3, dtype=torch.float64) + 4
    root = torch.linalg.cholesky(torch.cov(z.T, correction=0))
    white = torch.linalg.solve_triangular(root, (z - z.mean(0)).T, upper=False).T
    torch.testing.assert_close(torch.cov(white.T, correction=0), torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(white @ root.T + z.mean(0), z)
