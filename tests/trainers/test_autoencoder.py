import pytest
import torch

from coursekit.losses.autoencoder import contractive_penalty
from coursekit.trainers import AutoencoderTrainer

SMALL = {"hidden": (16,), "latent_dim": 4, "batch_size": 50, "lr": 1e-2}


def fit(images, epochs=1, **options):
    return AutoencoderTrainer(**SMALL | options).fit(images, epochs=epochs, progress=False)


def watch_forward(trainer, monkeypatch):
    """Record what the network is given and what it is asked to match, at each training step."""
    seen = []
    compute_loss = AutoencoderTrainer.compute_loss

    def watched(self, network, batch, corrupted=None, code_mask=None):
        seen.append((batch.x, corrupted, code_mask))
        return compute_loss(self, network, batch, corrupted=corrupted, code_mask=code_mask)

    monkeypatch.setattr(AutoencoderTrainer, "compute_loss", watched)
    return seen


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
@pytest.mark.parametrize("reconstruction", ["bernoulli", "gaussian"])
def test_training_lowers_the_error_and_predictions_have_their_shapes(images, architecture, reconstruction):
    trainer = fit(images, 40, architecture=architecture, channels=(4,), reconstruction=reconstruction)
    assert trainer.history["loss"][-1] < 0.95 * trainer.history["loss"][0]
    assert trainer.encode(images).shape == (50, 4)
    reconstructed = trainer.reconstruct(images)
    assert reconstructed.shape == images.images.shape
    assert 0 <= reconstructed.min() and reconstructed.max() <= 1


def test_noise_corrupts_what_is_seen_and_not_what_is_matched(images, monkeypatch):
    trainer = AutoencoderTrainer(**SMALL, noise_std=0.3, mask_rate=0.25)
    seen = watch_forward(trainer, monkeypatch)
    trainer.fit(images, epochs=40, progress=False)
    masked = torch.cat([corrupted == 0 for _, corrupted, _ in seen]).float().mean()
    assert masked == pytest.approx(0.25, abs=0.01)
    errors = torch.cat([(corrupted - x)[corrupted != 0] for x, corrupted, _ in seen])
    assert errors.mean() == pytest.approx(0, abs=0.005) and errors.std() == pytest.approx(0.3, abs=0.005)
    assert all(x.min() >= 0 and x.max() <= 1 for x, _, _ in seen)
    assert not torch.equal(seen[0][1] - seen[0][0], seen[1][1] - seen[1][0])


def test_denoiser_maps_noisy_images_nearer_to_the_clean_ones(images):
    clean = images.images.float() / 255
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    trainer = fit(images, 200, noise_std=0.3)
    assert (trainer.reconstruct(noisy) - clean).square().sum() < 0.5 * (noisy - clean).square().sum()


def test_bottleneck_keeps_each_code_at_its_own_rate(images, monkeypatch):
    trainer = AutoencoderTrainer(**SMALL | {"latent_dim": 5}, bottleneck_dropout=(0.0, 0.8))
    seen = watch_forward(trainer, monkeypatch)
    trainer.fit(images, epochs=60, progress=False)
    kept = torch.cat([mask for *_, mask in seen]).mean(0)
    torch.testing.assert_close(kept, torch.tensor([1.0, 0.8, 0.6, 0.4, 0.2]), atol=0.03, rtol=0)


def test_stochastic_bottleneck_sorts_codes_by_importance(images):
    trainer = fit(images, 300, bottleneck_dropout=(0.0, 0.9), reconstruction="gaussian", hidden=())
    x = images.images.float() / 255
    code = trainer.encode(images)

    def error_without(j):
        cut = code.clone()
        cut[:, j] = 0
        return (trainer.decode(cut) - x).square().sum().item()

    assert error_without(0) > error_without(3)
    errors = [(trainer.reconstruct(images, keep=keep) - x).square().sum().item() for keep in range(5)]
    assert errors[0] > errors[1] > errors[4]


def test_keep_cuts_the_code_after_the_first_ones(images):
    trainer = fit(images)
    code = trainer.encode(images)
    code[:, 2:] = 0
    assert torch.equal(trainer.reconstruct(images, keep=2), trainer.decode(code))
    with pytest.raises(ValueError, match="between 0 and 4"):
        trainer.reconstruct(images, keep=5)


def test_sparsity_kl_draws_the_mean_activations_to_the_target(images):
    def rates(**options):
        return fit(images, 200, code_activation="sigmoid", **options).encode(images).mean(0)

    torch.testing.assert_close(
        rates(sparsity_kl_weight=100.0, target_rate=0.1), torch.full((4,), 0.1), atol=0.02, rtol=0
    )
    assert (rates() - 0.1).abs().max() > 0.1


def test_l1_shrinks_the_code(images):
    assert (
        fit(images, 100, sparsity_l1_weight=5.0).encode(images).abs().mean()
        < 0.2 * fit(images, 100).encode(images).abs().mean()
    )


def test_contraction_lowers_the_jacobian_of_the_encoder(images):
    x = images.images.float() / 255
    options = {"code_activation": "sigmoid"}
    plain, contracted = fit(images, 100, **options), fit(images, 100, contractive_weight=100.0, **options)
    norms = [contractive_penalty(trainer.network.encode, x).mean().item() for trainer in (plain, contracted)]
    assert norms[1] < 0.2 * norms[0]
    assert contracted.evaluate(images)["contractive"] == pytest.approx(norms[1], rel=1e-4)


def test_loss_is_the_weighted_sum_of_its_terms(images):
    weights = {"sparsity_kl": 0.3, "sparsity_l1": 0.2, "contractive": 0.1}
    trainer = fit(images, 3, code_activation="sigmoid", **{f"{name}_weight": value for name, value in weights.items()})
    for step in range(3):
        terms = {name: values[step] for name, values in trainer.history.items()}
        expected = terms["reconstruction"] + sum(weight * terms[name] for name, weight in weights.items())
        assert terms["loss"] == pytest.approx(expected, rel=1e-5)
    assert fit(images).history.keys() == {"step", "epoch", "loss", "reconstruction"}


@pytest.mark.parametrize(
    "setting",
    [
        {"reconstruction": "poisson"},
        {"noise_std": -1.0},
        {"mask_rate": 1.0},
        {"sparsity_kl_weight": 1.0},
        {"bottleneck_dropout": (0.0, 1.0)},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_impossible_settings_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        AutoencoderTrainer(**setting)
