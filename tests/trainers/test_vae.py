import pytest
import torch
from torch import distributions

from coursekit.trainers import VAETrainer
from coursekit.trainers.runtime import stream_seed

SMALL = {"hidden": (12,), "latent_dim": 3, "batch_size": 50, "lr": 1e-2}


def fit(images, **options):
    return VAETrainer(**SMALL | options).fit(images, epochs=options.get("epochs", 1), progress=False)


def test_first_step_is_adam_on_the_negative_elbo_of_torch_distributions(images):
    trainer = VAETrainer(**SMALL, beta=0.5)
    trainer.fit(images, epochs=1, progress=False)
    # The same step again, with torch.distributions in place of our losses and plain Adam.
    fresh = VAETrainer(**SMALL, beta=0.5)
    fresh._build(trainer.data_spec)
    network = fresh.networks["network"]
    x = images.images.float() / 255
    (order,), *_ = fresh._rows_of_epoch(0, 0)
    eps = torch.randn(50, 3, generator=torch.Generator().manual_seed(stream_seed(0, 0, 0)))
    mu, log_var = network.encode(x[order])
    posterior = distributions.Normal(mu, (log_var / 2).exp())
    logits = network.decode(mu + posterior.scale * eps)
    log_likelihood = distributions.Bernoulli(logits=logits, validate_args=False).log_prob(x[order]).sum((1, 2, 3))
    kl = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0)).sum(1)
    loss = (-log_likelihood + 0.5 * kl).mean()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    loss.backward()
    optimizer.step()
    for name, value in (("loss", loss), ("reconstruction", -log_likelihood.mean()), ("kl", kl.mean())):
        assert trainer.history[name] == pytest.approx([value.item()], rel=1e-5)
    for mine, theirs in zip(trainer.networks["network"].parameters(), network.parameters()):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_training_lowers_the_loss_and_predictions_have_their_shapes(images, architecture, likelihood):
    trainer = fit(images, architecture=architecture, channels=(4,), likelihood=likelihood, epochs=30)
    assert trainer.history["loss"][-1] < trainer.history["loss"][0] - 1
    mu, log_var = trainer.encode(images)
    assert mu.shape == log_var.shape == (50, 3)
    assert trainer.decode(mu[:7]).shape == (7, 1, 8, 8)
    for made in (trainer.reconstruct(images), trainer.sample(5)):
        assert made.dtype == torch.float32 and made.shape[1:] == (1, 8, 8)
        assert 0 <= made.min() and made.max() <= 1


def test_reconstruction_is_the_decoded_mean(images):
    trainer = fit(images)
    torch.testing.assert_close(trainer.reconstruct(images), trainer.decode(trainer.encode(images)[0]))


def test_samples_follow_their_seed_alone(images):
    trainer = fit(images)
    first = trainer.sample(4, seed=1)
    torch.randn(3)
    assert torch.equal(trainer.sample(4, seed=1), first)
    assert not torch.equal(trainer.sample(4, seed=2), first)


def test_large_beta_collapses_the_posterior(images):
    kls = [fit(images, beta=beta, epochs=150).history["kl"][-1] for beta in (0.1, 1.0, 30.0)]
    assert kls[0] > kls[1] > kls[2] and kls[2] < 0.05


def test_binarized_data_bounds_stay_below_zero(images):
    """Minus the loss of binary data bounds a log-probability, so the loss is positive at every step."""
    black_and_white = (images.images > 120).to(torch.uint8) * 255
    assert min(fit(black_and_white, epochs=40).history["loss"]) > 0


@pytest.mark.parametrize("setting", [{"likelihood": "poisson"}, {"sigma": 0.0}, {"beta": -1.0}])
def test_impossible_settings_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        VAETrainer(**setting)


def test_unknown_architecture_is_refused_at_fit(images):
    with pytest.raises(ValueError, match="architecture must be"):
        fit(images, architecture="transformer")
