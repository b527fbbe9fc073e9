"""The theorems of the chapter on DCGAN."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from coursekit.plots import interpolation
from coursekit.theory.convolution import (
    convolution_matrix,
    convolution_size,
    overlap_counts,
    phase_means,
    sizes_before,
    transposed_size,
)

DOUBLE = torch.float64
# kernel size, stride, padding: DCGAN's two, the usual ones of classifiers, and one with gaps between windows
SETTINGS = [(4, 2, 1), (5, 2, 2), (3, 2, 1), (3, 1, 1), (2, 2, 0), (5, 3, 0), (2, 3, 0), (7, 4, 3)]


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


# -- the transpose -----------------------------------------------------------------------------------


@pytest.mark.theorem("thm-transposed-convolution")
@pytest.mark.parametrize(("k", "s", "p"), SETTINGS)
def test_torch_s_transposed_convolution_is_the_transpose_of_the_matrix(k, s, p):
    kernel, x = normal(3, 2, k, k), normal(2, 8, 9, seed=1)
    y = F.conv2d(x[None], kernel, stride=s, padding=p)[0]
    A = convolution_matrix(kernel, x.shape, s, p)
    torch.testing.assert_close(A @ x.flatten(), y.flatten())

    v = normal(*y.shape, seed=2)
    output_padding = tuple((n + 2 * p - k) % s for n in x.shape[1:])
    back = F.conv_transpose2d(v[None], kernel, stride=s, padding=p, output_padding=output_padding)[0]
    assert back.shape == x.shape
    torch.testing.assert_close((A.T @ v.flatten()).reshape(x.shape), back)
    torch.testing.assert_close((y * v).sum(), (x * back).sum())  # <Ax, v> = <x, A^T v>


@pytest.mark.theorem("thm-transposed-convolution")
@pytest.mark.parametrize(("k", "s", "p"), SETTINGS)
def test_backpropagation_through_a_convolution_is_the_transposed_convolution(k, s, p):
    kernel = normal(1, 1, k)
    x = normal(1, 11, seed=1).requires_grad_()
    y = F.conv1d(x[None], kernel, stride=s, padding=p)[0]
    v = normal(*y.shape, seed=2)
    (gradient,) = torch.autograd.grad((y * v).sum(), x)
    torch.testing.assert_close(gradient.flatten(), convolution_matrix(kernel, (1, 11), s, p).T @ v.flatten())


@pytest.mark.theorem("thm-transposed-convolution")
@pytest.mark.parametrize(("k", "s", "p"), [setting for setting in SETTINGS if setting[1] > 1])
def test_a_strided_convolution_is_not_undone_by_its_transpose(k, s, p):
    A = convolution_matrix(normal(1, 1, k), (1, 12), s, p)
    assert torch.linalg.matrix_rank(A.T @ A) <= A.shape[0] < A.shape[1]  # so A^T A is no multiple of I, nor is B A
    # Something is lost for every inverse there could be: a vector that is not 0 and goes to 0.
    lost = torch.linalg.svd(A).Vh[-1]
    torch.testing.assert_close(A @ lost, torch.zeros(A.shape[0], dtype=DOUBLE), atol=1e-10, rtol=0)


@pytest.mark.theorem("thm-transposed-convolution")
@pytest.mark.parametrize(("k", "s", "p"), SETTINGS)
def test_up_and_then_down_is_a_multiple_of_the_identity_for_windows_without_overlap_only(k, s, p):
    kernel = normal(1, 1, k)
    A = convolution_matrix(kernel, (1, transposed_size(5, k, s, p)), s, p)
    is_multiple = torch.allclose(A @ A.T, (kernel**2).sum() * torch.eye(5, dtype=DOUBLE))
    assert is_multiple == (k <= s and p == 0)


def test_a_matrix_by_hand():
    A = convolution_matrix(torch.tensor([[[1.0, 2.0, 3.0]]]), (1, 5), stride=2)
    assert A.tolist() == [[1, 2, 3, 0, 0], [0, 0, 1, 2, 3]]
    padded = convolution_matrix(torch.tensor([[[1.0, 2.0, 3.0]]]), (1, 4), stride=2, padding=1)
    assert padded.tolist() == [[2, 3, 0, 0], [0, 1, 2, 3]]


# -- sizes -------------------------------------------------------------------------------------------


@pytest.mark.theorem("thm-convolution-sizes")
@pytest.mark.parametrize(("k", "s", "p"), SETTINGS)
def test_as_many_sizes_as_the_stride_become_one_and_output_padding_tells_them_apart(k, s, p):
    became = {
        n: F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), stride=s, padding=p).shape[-1] for n in range(k, 40)
    }
    for n, m in became.items():
        assert convolution_size(n, k, s, p) == m
        r = (n + 2 * p - k) % s
        assert transposed_size(m, k, s, p, output_padding=r) == n
        layer = nn.ConvTranspose1d(1, 1, k, stride=s, padding=p, output_padding=r)
        assert layer(torch.zeros(1, 1, m)).shape[-1] == n
    m = became[25]
    assert [n for n in became if became[n] == m] == list(sizes_before(m, k, s, p))
    assert len(sizes_before(m, k, s, p)) == s


@pytest.mark.theorem("thm-convolution-sizes")
@pytest.mark.parametrize(
    ("k", "s", "p", "n"), [(4, 2, 0, 9), (5, 3, 0, 13), (5, 3, 1, 12), (3, 4, 0, 14), (5, 2, 2, 8)]
)
def test_the_values_after_the_last_window_are_not_seen(k, s, p, n):
    A = convolution_matrix(torch.ones(1, 1, k), (1, n), s, p)
    r = (n + 2 * p - k) % s
    unseen = max(r - p, 0)
    seen = A.sum(0) > 0
    assert not seen[n - unseen :].any()
    assert seen[n - unseen - 1]


@pytest.mark.theorem("thm-convolution-sizes")
@pytest.mark.parametrize(("k", "p", "r"), [(4, 1, 0), (5, 2, 1), (3, 1, 1)])
def test_the_layers_of_dcgan_double_the_side(k, p, r):
    assert [transposed_size(m, k, 2, p, r) for m in (4, 7, 16)] == [8, 14, 32]
    assert [convolution_size(n, k, 2, p) for n in (8, 14, 32)] == [4, 7, 16]


# -- overlap -----------------------------------------------------------------------------------------


@pytest.mark.theorem("thm-overlap-counts")
@pytest.mark.parametrize(("k", "s"), list(itertools.product(range(1, 8), range(1, 5))))
def test_overlap_is_even_where_the_stride_divides_the_kernel(k, s):
    m = 12
    counts = overlap_counts(m, k, s)
    ones = F.conv_transpose1d(torch.ones(1, 1, m), torch.ones(1, 1, k), stride=s).flatten().long()
    assert counts.tolist() == ones.tolist()
    inner = counts[k:-k]
    expected = [math.ceil((k - j % s) / s) if j % s < k else 0 for j in range(k, len(counts) - k)]
    assert inner.tolist() == expected
    assert (len(set(inner.tolist())) == 1) == (k % s == 0)


@pytest.mark.theorem("thm-overlap-counts")
@pytest.mark.parametrize(("k", "p", "r"), [(5, 2, 1), (4, 1, 0), (3, 1, 1), (6, 2, 0)])
def test_a_constant_becomes_the_sums_of_the_kernel_s_phases(k, p, r):
    kernel = normal(1, 1, k, k)
    image = F.conv_transpose2d(torch.ones(1, 1, 10, 10, dtype=DOUBLE), kernel, stride=2, padding=p, output_padding=r)
    inner = image[0, 0, 6:-6, 6:-6]
    for i, j in itertools.product(range(2), range(2)):
        phase = kernel[0, 0, (6 + i + p) % 2 :: 2, (6 + j + p) % 2 :: 2].sum()
        torch.testing.assert_close(inner[i::2, j::2], phase.expand(4, 4))
    torch.testing.assert_close(phase_means(inner), inner[:2, :2])


@pytest.mark.theorem("thm-overlap-counts")
@pytest.mark.parametrize("k", [3, 4, 5])
def test_resizing_first_leaves_a_constant_constant_whatever_the_kernel(k):
    resized = F.interpolate(torch.ones(1, 1, 10, 10, dtype=DOUBLE), scale_factor=2, mode="nearest")
    image = F.conv2d(resized, normal(1, 1, k, k))
    assert phase_means(image[..., :14, :14]).std() < 1e-12
    transposed = F.conv_transpose2d(torch.ones(1, 1, 10, 10, dtype=DOUBLE), normal(1, 1, k, k), stride=2)
    assert phase_means(transposed[..., 4:16, 4:16]).std() > 1e-2


@pytest.mark.theorem("thm-overlap-counts")
@pytest.mark.parametrize(("k", "p", "r", "even"), [(5, 2, 1, False), (4, 1, 0, True), (3, 1, 1, False)])
def test_over_random_kernels_the_variance_of_a_phase_is_its_overlap(k, p, r, even):
    n = 4000
    kernels = normal(1, n, k, k)  # one map in, n maps out: n kernels at once
    out = F.conv_transpose2d(torch.ones(1, 1, 8, 8, dtype=DOUBLE), kernels, stride=2, padding=p, output_padding=r)
    variance = out[0, :, 6:8, 6:8].var(0, correction=0)
    counts = overlap_counts(8, k, 2, p, r)[6:8].double()
    # A variance over n draws is off by sqrt(2/n) of itself, 2.2%.
    torch.testing.assert_close(variance, counts[:, None] * counts, rtol=0.1, atol=0)
    assert (counts[0] == counts[1]) == even


def test_phase_means_by_hand():
    image = torch.tensor([[1.0, 2.0, 1.0, 2.0], [3.0, 4.0, 3.0, 4.0]])
    assert phase_means(image).tolist() == [[1, 2], [3, 4]]
    assert phase_means(image.expand(5, 3, 2, 4)).shape == (5, 3, 2, 2)
    with pytest.raises(ValueError, match="multiples of the period 2"):
        phase_means(torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convolution_size(3, 5), "does not fit"),
        (lambda: convolution_size(3, 0), "kernel_size"),
        (lambda: convolution_size(3, 3, 0), "stride"),
        (lambda: convolution_size(3, 3, 1, -1), "padding"),
        (lambda: transposed_size(3, 3, 2, 0, 2), "output_padding"),
        (lambda: transposed_size(1, 3, 2, 2), "leaves nothing"),
        (lambda: convolution_matrix(torch.ones(1, 2, 3), (1, 5)), "does not fit an input"),
    ],
)
def test_settings_that_make_no_sense_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- noise -------------------------------------------------------------------------------------------


class Seen(Exception):
    """Carries latents out of a figure before it is drawn."""


def paths(K, n, spherical):
    """Latents (n, 5, K) on the paths that `interpolation` draws between independent draws of the prior."""

    def decode(z):
        raise Seen(z)

    with pytest.raises(Seen) as caught:
        interpolation(decode, normal(n, K), normal(n, K, seed=1), steps=5, spherical=spherical)
    return caught.value.args[0].double().unflatten(0, (n, 5))


@pytest.mark.theorem("thm-interpolation-norm")
@pytest.mark.parametrize("K", [3, 20, 100])
def test_a_straight_path_shortens_the_squared_norm_as_stated(K):
    z = paths(K, 4000, spherical=False)
    for i, t in enumerate((0, 0.25, 0.5, 0.75, 1)):
        scale = (1 - t) ** 2 + t**2
        # KS test against the chi-squared distribution: exact law, not only the mean.
        assert stats.kstest((z[:, i] ** 2).sum(1) / scale, stats.chi2(K).cdf).pvalue > 1e-3
    assert (z[:, 2] ** 2).sum(1).mean() == pytest.approx(K / 2, rel=0.05)


@pytest.mark.theorem("thm-interpolation-norm")
@pytest.mark.parametrize("K", [3, 20, 100])
def test_an_arc_keeps_direction_and_mean_length_of_the_prior(K):
    z = paths(K, 4000, spherical=True)
    length = stats.chi(K)
    for i, t in enumerate((0, 0.25, 0.5, 0.75, 1)):
        norms = z[:, i].norm(dim=1)
        assert norms.mean() == pytest.approx(length.mean(), abs=4 * length.std() / 4000**0.5)
        assert norms.var() == pytest.approx(((1 - t) ** 2 + t**2) * length.var(), rel=0.15)
        # A coordinate of a uniform direction: (1 + u) / 2 is beta distributed.
        u = (z[:, i, 0] / norms + 1) / 2
        assert stats.kstest(u, stats.beta((K - 1) / 2, (K - 1) / 2).cdf).pvalue > 1e-3


@pytest.mark.theorem("thm-random-triples")
@pytest.mark.parametrize("n", [1, 3, 10])
def test_arithmetic_on_random_groups_draws_from_the_prior_for_three_of_each_only(n):
    K, trials = 5, 4000
    A, B, C = normal(3, trials, n, K).mean(2)
    z = A - B + C
    scaled = (z**2).sum(1) / (3 / n)
    assert stats.kstest(scaled, stats.chi2(K).cdf).pvalue > 1e-3
    torch.testing.assert_close(torch.cov(z.T), 3 / n * torch.eye(K, dtype=DOUBLE), atol=0.2, rtol=0)
    assert (stats.kstest((z**2).sum(1), stats.chi2(K).cdf).pvalue > 1e-3) == (n == 3)
