import math

import pytest
import torch
from torch import nn

from coursekit.metrics import hoyer_sparsity, linear_probe_accuracy, relative_sensitivity


def blobs(n, seed=0):
    """Three classes in two dimensions, far apart."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    centres = torch.tensor([[0.0, 10.0], [10.0, 0.0], [-10.0, -10.0]])
    return centres[labels] + torch.randn(n, 2, generator=generator), labels


def test_linear_probe_separates_what_a_line_separates():
    codes, labels = blobs(90)
    test_codes, test_labels = blobs(60, seed=1)
    assert linear_probe_accuracy(codes, labels, test_codes, test_labels) == 1.0


def test_linear_probe_is_at_chance_on_codes_that_know_nothing():
    generator = torch.Generator().manual_seed(0)
    codes, labels = torch.randn(2000, 4, generator=generator), torch.arange(2000) % 2
    accuracy = linear_probe_accuracy(codes[:1000], labels[:1000], codes[1000:], labels[1000:])
    assert accuracy == pytest.approx(0.5, abs=0.05)


def test_linear_probe_cannot_do_xor():
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(50, 1)
    labels = (corners[:, 0] != corners[:, 1]).long()
    assert linear_probe_accuracy(corners, labels, corners, labels) <= 0.75


def test_linear_probe_ignores_scale_and_offset_of_each_unit():
    generator = torch.Generator().manual_seed(0)
    codes, labels = torch.randn(400, 3, generator=generator), torch.randint(0, 3, (400,), generator=generator)
    codes[:, 0] += labels
    moved = codes * torch.tensor([1e-3, 1.0, 1e3]) + torch.tensor([5.0, 0.0, -7.0])
    before, after = (linear_probe_accuracy(c[:300], labels[:300], c[300:], labels[300:]) for c in (codes, moved))
    assert before == pytest.approx(after, abs=0.02)


def test_linear_probe_with_enough_weight_decay_only_knows_the_commonest_class():
    codes, labels = blobs(90)
    codes, labels = torch.cat([codes, codes[labels == 0]]), torch.cat([labels, labels[labels == 0]])
    commonest = (labels == 0).float().mean().item()
    assert linear_probe_accuracy(codes, labels, codes, labels, weight_decay=1e9) == pytest.approx(commonest)
    assert linear_probe_accuracy(codes, labels, codes, labels, weight_decay=1e-3) == 1.0


def test_linear_probe_rejects_codes_and_labels_that_do_not_fit():
    codes, labels = blobs(30)
    with pytest.raises(ValueError, match="with 29"):
        linear_probe_accuracy(codes, labels[1:], codes, labels)
    with pytest.raises(ValueError, match="2 units, test codes 1"):
        linear_probe_accuracy(codes, labels, codes[:, :1], labels)


def test_hoyer_sparsity_of_hand_worked_codes():
    # K = 4: sqrt(K) = 2. (1, 1, 1, 1): 4 / 2 = 2 -> 0. (0, 5, 0, 0): 1 -> 1. (3, 4, 0, 0): 7 / 5 -> 0.6.
    assert hoyer_sparsity(torch.tensor([[1.0, -1.0, 1.0, 1.0]])) == pytest.approx(0.0)
    assert hoyer_sparsity(torch.tensor([[0.0, 5.0, 0.0, 0.0]])) == pytest.approx(1.0)
    assert hoyer_sparsity(torch.tensor([[3.0, -4.0, 0.0, 0.0]])) == pytest.approx(0.6)
    assert hoyer_sparsity(torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 5.0, 0.0, 0.0]])) == pytest.approx(0.5)


def test_hoyer_sparsity_ignores_the_scale_of_each_code():
    codes = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    scale = torch.logspace(-3, 3, 20)[:, None]
    assert hoyer_sparsity(codes * scale) == pytest.approx(hoyer_sparsity(codes), abs=1e-6)


def test_hoyer_sparsity_of_gaussian_codes_matches_the_moments():
    # ||z||_1 / ||z||_2 tends to K E|z| / sqrt(K E z²) = sqrt(2 K / pi).
    K = 4000
    codes = torch.randn(50, K, generator=torch.Generator().manual_seed(0))
    expected = (math.sqrt(K) - math.sqrt(2 * K / math.pi)) / (math.sqrt(K) - 1)
    assert hoyer_sparsity(codes) == pytest.approx(expected, abs=2e-3)


def test_hoyer_sparsity_counts_a_dead_code_as_the_sparsest():
    assert hoyer_sparsity(torch.zeros(3, 5)) == 1.0


def test_hoyer_sparsity_rejects_codes_of_one_unit():
    with pytest.raises(ValueError, match="K >= 2"):
        hoyer_sparsity(torch.ones(4, 1))


def linear_encoder(weight):
    return lambda x: x.flatten(1) @ weight.T


def test_sensitivity_of_a_linear_encoder_is_its_norm_over_the_spread_of_its_codes():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, generator=generator)
    x = torch.randn(600, 1, 2, 2, generator=generator)  # more than one chunk
    codes = x.flatten(1) @ weight.T
    expected = math.sqrt(weight.square().sum() / codes.var(dim=0, correction=0).sum())
    assert relative_sensitivity(linear_encoder(weight), x) == pytest.approx(expected, rel=1e-5)


def test_sensitivity_predicts_how_far_a_little_noise_moves_the_code():
    torch.manual_seed(0)
    encode = nn.Sequential(nn.Linear(10, 30), nn.Tanh(), nn.Linear(30, 5)).double()
    x = torch.randn(400, 10, dtype=torch.float64)
    delta = 1e-4
    with torch.no_grad():
        codes = encode(x)
        moved = encode(x + delta * torch.randn(50, 400, 10, dtype=torch.float64)) - codes
    rms_moved = moved.square().sum(-1).mean().sqrt()
    rms_spread = (codes - codes.mean(0)).square().sum(-1).mean().sqrt()
    assert (rms_moved / rms_spread).item() == pytest.approx(delta * relative_sensitivity(encode, x), rel=0.02)


def test_sensitivity_ignores_scale_shift_and_rotation_of_the_code():
    torch.manual_seed(0)
    encode = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    x = torch.randn(50, 6, dtype=torch.float64)
    moved = relative_sensitivity(lambda t: 100 * encode(t) @ rotation + 7, x)
    assert moved == pytest.approx(relative_sensitivity(encode, x), rel=1e-9)


def test_sensitivity_leaves_no_gradients_behind():
    encode = nn.Linear(3, 2)
    relative_sensitivity(encode, torch.randn(4, 3))
    assert encode.weight.grad is None


def test_sensitivity_rejects_a_constant_encoder():
    with pytest.raises(ValueError, match="spread is 0"):
        relative_sensitivity(lambda t: 0 * t, torch.randn(5, 2))
    with pytest.raises(ValueError, match="two inputs"):
        relative_sensitivity(lambda t: t, torch.randn(1, 2))
