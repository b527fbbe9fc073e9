"""The GAN losses against hand-worked numbers, torch's own cross entropy and finite differences."""

import math

import pytest
import torch
from torch.nn import functional

from coursekit.losses.gan import discriminator_loss, generator_loss, r1_penalty

LOG2 = math.log(2)


def logits(*values):
    return torch.tensor(values, dtype=torch.float64)


def of(*probabilities):
    return logits(*probabilities).logit()


def test_discriminator_loss_of_an_undecided_discriminator_is_log_4():
    assert discriminator_loss(logits(0, 0, 0), logits(0)).item() == pytest.approx(2 * LOG2)


def test_discriminator_loss_by_hand():
    # D = 0.8 and 0.5 on data, 0.1 on a sample: -(log 0.8 + log 0.5)/2 - log 0.9
    assert discriminator_loss(of(0.8, 0.5), of(0.1)).item() == pytest.approx(0.45814536593707755 + 0.10536051565782628)


def test_discriminator_loss_is_torchs_cross_entropy():
    torch.manual_seed(0)
    real, fake = torch.randn(7), torch.randn(5)
    entropy = functional.binary_cross_entropy_with_logits
    expected = entropy(real, torch.ones(7)) + entropy(fake, torch.zeros(5))
    torch.testing.assert_close(discriminator_loss(real, fake), expected)


def test_generator_losses_by_hand():
    # D = 0.1 and 0.5 on samples
    fake = of(0.1, 0.5)
    assert generator_loss(fake).item() == pytest.approx(-(math.log(0.1) + math.log(0.5)) / 2)
    assert generator_loss(fake, "saturating").item() == pytest.approx((math.log(0.9) + math.log(0.5)) / 2)


def test_value_function_is_shared_by_the_discriminator_and_the_saturating_generator():
    torch.manual_seed(0)
    fake, real = torch.randn(6, requires_grad=True), torch.randn(6)
    (of_generator,) = torch.autograd.grad(generator_loss(fake, "saturating"), fake)
    (of_discriminator,) = torch.autograd.grad(discriminator_loss(real, fake), fake)
    torch.testing.assert_close(of_generator, -of_discriminator)


def test_slopes_in_the_logit_are_minus_d_and_minus_one_minus_d():
    fake = of(0.02, 0.3, 0.9).requires_grad_()
    (saturating,) = torch.autograd.grad(3 * generator_loss(fake, "saturating"), fake)
    (non_saturating,) = torch.autograd.grad(3 * generator_loss(fake), fake)
    torch.testing.assert_close(saturating, -logits(0.02, 0.3, 0.9))
    torch.testing.assert_close(non_saturating, -logits(0.98, 0.7, 0.1))


def test_losses_and_slopes_stay_finite_where_a_float32_sigmoid_is_0_or_1():
    sure = torch.tensor([-200.0, 200.0], requires_grad=True)
    for loss in (discriminator_loss(sure, sure), generator_loss(sure), generator_loss(sure, "saturating")):
        (slope,) = torch.autograd.grad(loss, sure)
        assert loss.isfinite() and slope.isfinite().all() and slope.abs().max() > 0.4


def test_r1_of_a_linear_discriminator_is_half_its_squared_weight():
    weight = logits(3, -4)
    x = torch.zeros(5, 2, dtype=torch.float64, requires_grad=True)
    assert r1_penalty(x @ weight, x).item() == pytest.approx(12.5)


def test_r1_can_be_descended_in_the_weights():
    weight = torch.tensor([3.0, -4.0], requires_grad=True)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (slope,) = torch.autograd.grad(r1_penalty(x @ weight, x), weight)
    torch.testing.assert_close(slope, weight.detach())


@pytest.mark.parametrize("wrong", [torch.zeros(3, 1), torch.zeros(0), torch.tensor(1.0), 0.5])
def test_logits_of_a_wrong_shape_are_refused(wrong):
    right = torch.zeros(3)
    for call in (
        lambda: discriminator_loss(wrong, right),
        lambda: discriminator_loss(right, wrong),
        lambda: generator_loss(wrong),
    ):
        with pytest.raises(ValueError, match=r"logits of shape \(n,\)"):
            call()


def test_unknown_kind_and_data_without_gradients_are_refused():
    with pytest.raises(ValueError, match="'non_saturating' or 'saturating', got 'wasserstein'"):
        generator_loss(torch.zeros(2), "wasserstein")
    with pytest.raises(ValueError, match="requires_grad_"):
        r1_penalty(torch.zeros(2), torch.zeros(2, 1))
