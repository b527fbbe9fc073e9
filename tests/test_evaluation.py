import pytest
import torch

from coursekit import evaluation
from coursekit.data import load_images, to_float
from coursekit.evaluation import evaluate_generator, evaluate_samples, train_classifier
from coursekit.metrics import (
    classifier_score,
    frechet_distance_of,
    memorisation_ratio,
    parzen_protocol,
    precision_recall,
)
from coursekit.trainers import VAETrainer


@pytest.fixture(scope="module")
def digits():
    """Training, validation and test images."""
    images = load_images("digits_8x8")
    return images.take(600), images.subset(range(600, 800)), load_images("digits_8x8", "test")


@pytest.fixture(scope="module")
def classifier(digits):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "CLASSIFIER_STEPS", 300)
        return train_classifier(digits[0], device="cpu")


class Fake:
    """Draws what it is given, in another order for each seed."""

    def __init__(self, images):
        self.images = images

    def sample(self, n, seed=0):
        return self.images[torch.randperm(len(self.images), generator=torch.Generator().manual_seed(seed))[:n]]


def test_each_measure_is_that_of_the_metrics(digits, classifier):
    train, validation, test = digits
    samples = VAETrainer(latent_dim=2, hidden=(16,)).fit(train, max_steps=20, progress=False).sample(50, seed=0)
    measures = evaluate_samples(samples, *digits, classifier)
    parzen = parzen_protocol(samples, to_float(validation.images), to_float(test.images))
    real, fake = classifier.features(test), classifier.features(samples)
    assert measures == {
        "parzen_log_likelihood": parzen.mean,
        "parzen_standard_error": parzen.standard_error,
        "parzen_sigma": parzen.sigma,
        "frechet_distance": frechet_distance_of(real, fake),
        "precision": precision_recall(real, fake)[0],
        "recall": precision_recall(real, fake)[1],
        "memorisation_ratio": memorisation_ratio(samples, to_float(train.images), to_float(test.images)),
        "classifier_score": classifier_score(classifier.predict_proba(samples)),
    }


def test_real_images_beat_noise_and_copies_are_caught(digits, classifier):
    train, validation, test = digits
    fresh = to_float(load_images("digits_8x8").images[800:1100])
    real, copies, noise = (
        evaluate_samples(samples, *digits, classifier)
        for samples in (fresh, to_float(train.images[:300]), torch.rand(300, 1, 8, 8))
    )
    for measure in ("parzen_log_likelihood", "precision", "classifier_score"):
        assert real[measure] > noise[measure]
    assert real["frechet_distance"] < 0.1 * noise["frechet_distance"]
    assert copies["memorisation_ratio"] == 0 and real["memorisation_ratio"] > 0.5
    assert abs(copies["parzen_log_likelihood"] - real["parzen_log_likelihood"]) < 10, "no other measure sees the copies"


def test_one_value_a_seed_and_what_real_images_would_give(digits, classifier):
    train, validation, test = digits
    generator = Fake(to_float(train.images))
    measures = evaluate_generator(generator, *digits, classifier, sample_seeds=(3, 5), n_samples=100)
    for position, seed in enumerate((3, 5)):
        alone = evaluate_samples(generator.sample(100, seed=seed), *digits, classifier)
        assert {name: measures[name][position] for name in alone} == alone
    assert measures["frechet_distance"][0] != measures["frechet_distance"][1]
    pixels = [to_float(images.images) for images in (validation, train, test)]
    assert measures["memorisation_ratio_of_real"] == [memorisation_ratio(*pixels)]


def test_sigma_follows_the_validation_images_and_not_the_test_images(digits, classifier):
    train, validation, test = digits
    samples = to_float(train.images[:200])
    blurred = torch.nn.functional.avg_pool2d(to_float(validation.images), 5, stride=1, padding=2)
    plain = evaluate_samples(samples, train, validation, test, classifier)["parzen_sigma"]
    assert evaluate_samples(samples, train, blurred, test, classifier)["parzen_sigma"] != plain
    blurred = torch.nn.functional.avg_pool2d(to_float(test.images), 5, stride=1, padding=2)
    assert evaluate_samples(samples, train, validation, blurred, classifier)["parzen_sigma"] == plain


def test_the_classifier_is_the_same_every_time(digits, monkeypatch):
    monkeypatch.setattr(evaluation, "CLASSIFIER_STEPS", 5)
    first, second = (train_classifier(digits[0], device="cpu") for _ in range(2))
    assert torch.equal(first.features(digits[2]), second.features(digits[2]))
    assert first.features(digits[2]).shape[1] == 64


def test_bad_input_is_one_clear_error(digits, classifier):
    train, validation, test = digits
    generator = Fake(to_float(train.images))
    with pytest.raises(ValueError, match="ClassifierTrainer cannot be sampled from"):
        evaluate_generator(classifier, *digits, classifier)
    with pytest.raises(ValueError, match="must be a fitted ClassifierTrainer, got Fake"):
        evaluate_generator(generator, *digits, generator)
    with pytest.raises(ValueError, match="at least one seed"):
        evaluate_generator(generator, *digits, classifier, sample_seeds=())
    with pytest.raises(ValueError, match="k must be at least 1 and below the size"):
        evaluate_generator(generator, *digits, classifier, n_samples=2)
    with pytest.raises(ValueError, match="they must agree"):
        evaluate_samples(torch.rand(20, 1, 28, 28), *digits, classifier)
    with pytest.raises(ValueError, match="needs labels"):
        train_classifier(train.images)
