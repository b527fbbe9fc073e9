import pytest
import torch
from torch.nn import functional

from coursekit.losses import cyclegan as losses


def test_least_squares_losses_by_hand():
    real, fake = torch.tensor([1.0, 0.5]), torch.tensor([0.0, 1.0])
    assert losses.least_squares_discriminator(real, fake).item() == pytest.approx(0.125 + 0.5)
    assert losses.least_squares_generator(fake).item() == pytest.approx(0.5)


def test_least_squares_losses_are_torchs_mean_squared_error():
    real, fake = torch.randn(2, 1, 5, 4), torch.randn(3, 1, 5, 4)
    expected = functional.mse_loss(real, torch.ones_like(real)) + functional.mse_loss(fake, torch.zeros_like(fake))
    torch.testing.assert_close(losses.least_squares_discriminator(real, fake), expected)
    torch.testing.assert_close(losses.least_squares_generator(fake), functional.mse_loss(fake, torch.ones_like(fake)))


@pytest.mark.parametrize("loss", [losses.cycle_consistency, losses.identity])
def test_distances_are_torchs_mean_absolute_error(loss):
    x, x_hat = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(loss(x, x_hat), functional.l1_loss(x_hat, x))
    assert loss(x, x).item() == 0
    assert loss(torch.full((1, 1, 2, 2), -1.0), torch.ones(1, 1, 2, 2)).item() == 2  # the most there is


def test_optimal_scores_of_the_discriminator_are_the_share_of_data():
    # On one point with 3 data and 1 translation the best score is 3/4.
    score = torch.tensor(0.0, requires_grad=True)
    optimizer = torch.optim.SGD([score], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        (3 * losses.least_squares_discriminator(score.expand(1), torch.zeros(1))).backward()
        losses.least_squares_discriminator(torch.ones(1), score.expand(1)).backward()
        optimizer.step()
    assert score.item() == pytest.approx(0.75, abs=1e-4)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="scores_fake must be a tensor"):
        losses.least_squares_discriminator(torch.ones(2), torch.ones(0))
    with pytest.raises(ValueError, match="scores_fake must be a tensor"):
        losses.least_squares_generator([1.0])
    with pytest.raises(ValueError, match="one shape"):
        losses.cycle_consistency(torch.ones(2, 1, 2, 2), torch.ones(1, 1, 2, 2))
    with pytest.raises(ValueError, match="one shape"):
        losses.identity(torch.ones(0, 1, 2, 2), torch.ones(0, 1, 2, 2))
