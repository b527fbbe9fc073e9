import itertools
import math

import pytest
import torch

from coursekit.data import binarize, load_images
from coursekit.trainers import AutoregressiveTrainer, load_trainer


def every_image(*shape):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=math.prod(shape)))).view(-1, *shape)


def fit(images, **options):
    settings = {"hidden": (40,), "lr": 1e-2, "batch_size": 50, "epochs": 20} | options
    return AutoregressiveTrainer(**settings).fit(images, progress=False)


@pytest.fixture(scope="module")
def stripes():
    """2,000 images of 1 x 3 x 3: three rows, each all 0 or all 1, and the third is 1 exactly where the others differ."""
    rows = torch.randint(0, 2, (2000, 2), generator=torch.Generator().manual_seed(0))
    rows = torch.cat([rows, (rows[:, :1] != rows[:, 1:])], 1)
    return rows.float()[:, None, :, None].expand(-1, 1, 3, 3).contiguous()


@pytest.fixture(scope="module")
def model(stripes):
    return fit(stripes)


def test_probabilities_of_a_trained_model_sum_to_one(model):
    assert model.log_likelihood(every_image(1, 3, 3)).double().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_training_finds_the_distribution_and_its_entropy(model, stripes):
    log_p = model.log_likelihood(stripes)
    assert log_p.shape == (2000,)
    assert -log_p.mean().item() == pytest.approx(math.log(4), abs=0.02), "four images, equally often"
    assert model.log_likelihood(every_image(1, 3, 3)).double().exp().topk(4).values.sum() > 0.99


def test_samples_have_the_models_probabilities(model, stripes):
    early = fit(stripes, epochs=1)
    images = every_image(1, 3, 3)
    expected = early.log_likelihood(images).double().exp()
    samples = early.sample(40_000, seed=3)
    assert samples.shape == (40_000, 1, 3, 3) and ((samples == 0) | (samples == 1)).all()
    number = (samples.flatten(1) @ 2.0 ** torch.arange(8, -1, -1)).long()
    counts = torch.bincount(number, minlength=512).double()
    standard_error = (expected * (1 - expected) / 40_000).sqrt()
    assert ((counts / 40_000 - expected).abs() < 5 * standard_error + 1e-9).all()
    assert expected.max() < 0.24, "not yet the data"


def test_mean_log_likelihood_of_samples_is_minus_the_entropy(model):
    early = fit(every_image(1, 2, 2)[:12], epochs=3)
    log_p = early.log_likelihood(every_image(1, 2, 2)).double()
    entropy = -(log_p.exp() * log_p).sum()
    drawn = early.log_likelihood(early.sample(20_000)).double()
    assert (drawn.mean() + entropy).abs() < 5 * drawn.std() / 20_000**0.5


def test_evaluate_on_black_and_white_images_is_the_mean_log_likelihood(model, stripes):
    assert model.evaluate(stripes) == {"loss": pytest.approx(-model.log_likelihood(stripes).mean().item(), rel=1e-5)}


def test_grey_pixels_are_drawn_anew_in_every_step():
    grey = torch.full((500, 1, 2, 2), 64, dtype=torch.uint8)
    trainer = fit(grey, epochs=30, lr=3e-3)
    log_p = trainer.log_likelihood(every_image(1, 2, 2)).double()
    ones = every_image(1, 2, 2).flatten(1).sum(1).double()
    p = 64 / 255
    expected = ones * math.log(p) + (4 - ones) * math.log(1 - p)
    assert (log_p.exp() - expected.exp()).abs().max() < 0.03


def test_samples_follow_their_seed_and_survive_saving(model, tmp_path):
    samples = model.sample(5, seed=1)
    assert torch.equal(samples, model.sample(5, seed=1))
    assert not torch.equal(model.sample(50, seed=1), model.sample(50, seed=2))
    model.save(tmp_path / "run.safetensors")
    loaded = load_trainer(tmp_path / "run.safetensors")
    assert isinstance(loaded, AutoregressiveTrainer)
    assert torch.equal(loaded.sample(5, seed=1), samples)
    assert torch.equal(loaded.log_likelihood(samples), model.log_likelihood(samples))


def test_uint8_and_float_images_have_the_same_log_likelihood(model, stripes):
    assert torch.equal(model.log_likelihood((stripes * 255).to(torch.uint8)), model.log_likelihood(stripes))


def test_grey_images_have_no_probability_and_are_told_what_to_do():
    digits = load_images("digits_8x8").take(50)
    trainer = fit(digits, epochs=1)
    with pytest.raises(ValueError, match=r"every pixel must be 0 or 1.*binarize\(images, seed=0\)"):
        trainer.log_likelihood(digits)
    assert (trainer.log_likelihood(binarize(digits, seed=0)) < 0).all()
    with pytest.raises(ValueError, match="weight_decay must not be negative"):
        AutoregressiveTrainer(weight_decay=-1)
