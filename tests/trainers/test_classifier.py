import pytest
import torch

from coursekit.trainers import ClassifierTrainer


def fit(images, **options):
    return ClassifierTrainer(**{"hidden": (12,), "batch_size": 25, "lr": 1e-2} | options).fit(images, progress=False)


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_learns_classes_that_differ(images, architecture):
    trainer = fit(images, architecture=architecture, channels=(8,), epochs=60)
    assert trainer.evaluate(images)["accuracy"] == (trainer.predict(images) == images.labels).float().mean() == 1


def test_probabilities_give_the_cross_entropy_that_evaluate_reports(images):
    trainer = fit(images, epochs=2)
    probabilities = trainer.predict_proba(images)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(50))
    cross_entropy = -probabilities[torch.arange(50), images.labels].log().mean()
    assert trainer.evaluate(images)["loss"] == pytest.approx(cross_entropy.item(), rel=1e-5)
    assert torch.equal(trainer.predict(images), probabilities.argmax(1))


@pytest.mark.parametrize(
    "options, width", [({}, 12), ({"hidden": ()}, 64), ({"architecture": "conv", "channels": (8,)}, 128)]
)
def test_features_are_what_the_last_layer_turns_into_probabilities(images, options, width):
    trainer = fit(images, epochs=2, **options)
    features = trainer.features(images)
    assert features.shape == (50, width)
    with torch.no_grad():
        logits = trainer.network.net[-1](features)
    torch.testing.assert_close(logits.softmax(1), trainer.predict_proba(images))
    torch.testing.assert_close(trainer.features(images.take(3)), features[:3])


def test_features_follow_the_average_of_the_weights(images):
    trainer = fit(images, epochs=2, ema_decay=0.9)
    with torch.no_grad():
        raw = trainer.networks["network"].features(images.images / 255)
    assert not torch.allclose(trainer.features(images), raw, atol=1e-3)


def test_a_network_of_ones_own_needs_a_method_for_its_features(images):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    with pytest.raises(ValueError, match=r"Sequential has no features\(x\)"):
        fit(images, network=network, epochs=1).features(images)


def test_weight_decay_shrinks_the_weights(images):
    def size(**options):
        return sum(p.square().sum() for p in fit(images, epochs=30, **options).network.parameters())

    assert size(weight_decay=0.1) < 0.8 * size()


def test_data_without_labels_are_refused(images):
    with pytest.raises(ValueError, match="needs labels"):
        fit(images.images)
    with pytest.raises(ValueError, match="needs labels"):
        fit(images, epochs=1).evaluate(images.images)


def test_negative_weight_decay_is_refused():
    with pytest.raises(ValueError, match="weight_decay"):
        ClassifierTrainer(weight_decay=-1)
