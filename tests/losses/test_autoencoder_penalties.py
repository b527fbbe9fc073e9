import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, kl_divergence

from coursekit.losses.autoencoder import contractive_penalty, contractive_sigmoid, kl_sparsity, l1_sparsity
from coursekit.networks import build_autoencoder


def test_kl_sparsity_matches_torch_distributions():
    rate = torch.tensor([0.01, 0.05, 0.5, 0.99], dtype=torch.float64)
    expected = kl_divergence(Bernoulli(torch.full_like(rate, 0.05)), Bernoulli(rate)).sum()
    torch.testing.assert_close(kl_sparsity(rate, 0.05), expected)


def test_kl_sparsity_is_zero_at_the_target_and_pulls_towards_it():
    rate = torch.tensor([0.02, 0.05, 0.3], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(kl_sparsity(rate, 0.05), rate)
    assert gradient[0] < 0 < gradient[2]
    assert gradient[1].item() == pytest.approx(0, abs=1e-12)
    assert kl_sparsity(torch.tensor([0.05], dtype=torch.float64), 0.05).item() == pytest.approx(0, abs=1e-15)


def test_kl_sparsity_by_hand():
    # ½ log(½ / ¼) + ½ log(½ / ¾) = ½ log(4/3)
    assert kl_sparsity(torch.tensor([0.25, 0.25]), 0.5).item() == pytest.approx(math.log(4 / 3), rel=1e-6)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1])
def test_kl_sparsity_refuses_a_target_that_is_no_rate(target):
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        kl_sparsity(torch.tensor([0.5]), target)


def test_l1_sparsity_sums_magnitudes_per_sample():
    assert l1_sparsity(torch.tensor([[1.0, -2.0], [0.0, 0.5]])).tolist() == [3.0, 0.5]


def jacobian_norms(encode, x):
    """Squared Frobenius norm of the Jacobian, sample by sample."""
    jacobians = [torch.autograd.functional.jacobian(encode, sample[None]) for sample in x]
    return torch.stack([jacobian.square().sum() for jacobian in jacobians])


def test_contractive_sigmoid_is_the_jacobian_norm_of_a_sigmoid_layer(rng):
    layer = nn.Linear(6, 4, dtype=torch.float64)
    encode = nn.Sequential(layer, nn.Sigmoid())
    x = torch.randn(5, 6, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(contractive_sigmoid(encode(x), layer.weight), jacobian_norms(encode, x))


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_contractive_penalty_is_the_jacobian_norm_of_any_encoder(rng, architecture):
    network = build_autoencoder(
        (2, 4, 8), 3, architecture=architecture, hidden=(7, 5), channels=(3,), code_activation="sigmoid"
    ).double()
    x = torch.rand(4, 2, 4, 8, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(contractive_penalty(network.encode, x), jacobian_norms(network.encode, x))


def test_contractive_penalty_has_the_parameter_gradients_of_the_closed_form(rng):
    layer = nn.Linear(6, 4, dtype=torch.float64)
    encode = nn.Sequential(layer, nn.Sigmoid())
    x = torch.randn(5, 6, generator=rng, dtype=torch.float64)
    by_autograd = torch.autograd.grad(contractive_penalty(encode, x).sum(), encode.parameters())
    by_formula = torch.autograd.grad(contractive_sigmoid(encode(x), layer.weight).sum(), encode.parameters())
    torch.testing.assert_close(by_autograd, by_formula)


def test_contractive_penalty_accepts_a_code_computed_before(rng):
    encode = nn.Sequential(nn.Linear(6, 4), nn.Tanh())
    x = torch.randn(5, 6, generator=rng).requires_grad_()
    code = encode(x)
    torch.testing.assert_close(contractive_penalty(lambda _: code, x), contractive_penalty(encode, x.detach()))


def test_contractive_penalty_works_without_gradients(rng):
    encode = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid())
    x = torch.randn(5, 6, generator=rng)
    with torch.no_grad():
        penalty = contractive_penalty(encode, x)
    assert not penalty.requires_grad
    assert not x.requires_grad
    torch.testing.assert_close(penalty, contractive_penalty(encode, x).detach())


def test_contractive_penalty_wants_one_code_per_sample():
    with pytest.raises(ValueError, match=r"\(5, K\)"):
        contractive_penalty(torch.sum, torch.zeros(5, 6))
