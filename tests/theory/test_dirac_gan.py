import math

import pytest
import torch

from coursekit.theory import dirac_gan

DOUBLE = torch.float64


def scalar(number):
    return torch.tensor(number, dtype=DOUBLE, requires_grad=True)


@pytest.mark.parametrize("theta, psi", [(1.0, 1.0), (-0.5, 2.0), (0.3, -0.7), (0.0, 1.0)])
def test_updates_are_the_gradients_of_the_value(theta, psi):
    theta, psi = scalar(theta), scalar(psi)
    of_theta, of_psi = torch.autograd.grad(dirac_gan.value(theta, psi), (theta, psi))
    theta_dot, psi_dot = dirac_gan.updates(theta.detach(), psi.detach())
    torch.testing.assert_close(theta_dot, -of_theta)  # G descends
    torch.testing.assert_close(psi_dot, of_psi)  # D ascends


@pytest.mark.parametrize("theta, psi", [(1.0, 1.0), (-0.5, 2.0), (0.3, -0.7)])
def test_non_saturating_update_is_minus_the_gradient_of_its_loss(theta, psi):
    theta, psi = scalar(theta), torch.tensor(psi, dtype=DOUBLE)
    (expected,) = torch.autograd.grad(-torch.nn.functional.logsigmoid(psi * theta), theta)
    theta_dot, psi_dot = dirac_gan.updates(theta.detach(), psi, loss="non_saturating")
    torch.testing.assert_close(theta_dot, -expected)
    torch.testing.assert_close(psi_dot, dirac_gan.updates(theta.detach(), psi)[1])


def test_the_penalty_pulls_the_slope_to_zero_and_leaves_the_generator_alone():
    theta, psi = torch.tensor(0.5, dtype=DOUBLE), scalar(-2.0)
    (pull,) = torch.autograd.grad(0.3 * 0.5 * psi**2, psi)  # half the squared gradient of a(x) = psi x, times 0.3
    plain, penalised = dirac_gan.updates(theta, psi.detach()), dirac_gan.updates(theta, psi.detach(), r1=0.3)
    torch.testing.assert_close(penalised[0], plain[0])
    torch.testing.assert_close(penalised[1] - plain[1], -pull)


def test_the_value_by_hand():
    # log(1/2) + log(1 - sigma(2)), sigma(2) = 1 / (1 + e^-2)
    assert dirac_gan.value(1.0, 2.0).item() == pytest.approx(math.log(0.5) + math.log(1 - 1 / (1 + math.exp(-2))))


def test_the_first_steps_by_hand():
    # From (1, 0): D(1) = 1/2, so psi moves by -0.1 / 2 and theta, whose D is flat, by nothing ...
    assert dirac_gan.simultaneous(1.0, 0.0, lr=0.1, steps=1)[1].tolist() == pytest.approx([1.0, -0.05])
    # ... unless D has moved first.
    d_fake = 1 / (1 + math.exp(0.05))
    assert dirac_gan.alternating(1.0, 0.0, lr=0.1, steps=1)[1].tolist() == pytest.approx([1 - 0.005 * d_fake, -0.05])


@pytest.mark.parametrize("run", [dirac_gan.simultaneous, dirac_gan.alternating])
def test_trajectories_start_where_told_and_stay_at_the_equilibrium(run):
    path = run(0.5, -0.25, steps=3)
    assert path.shape == (4, 2) and path.dtype == DOUBLE
    assert path[0].tolist() == [0.5, -0.25]
    assert run(0.0, 0.0, steps=5).abs().max() == 0


@pytest.mark.parametrize("run", [dirac_gan.simultaneous, dirac_gan.alternating])
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"theta": math.nan}, "start must be finite"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"lr": math.inf}, "lr must be positive"),
        ({"steps": -1}, "steps must be at least 0"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"r1": -0.1}, "r1 must be finite"),
        ({"r1": math.nan}, "r1 must be finite"),
    ],
)
def test_bad_settings_are_refused(run, settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        run(**settings)
