"""A discriminative model: P(y|x) by softmax."""

from dataclasses import dataclass

import torch
from torch import nn

from coursekit.networks import build_classifier
from coursekit.trainers.base import Trainer
from coursekit.trainers.config import TrainerConfig


@dataclass(frozen=True)
class ClassifierConfig(TrainerConfig):
    """Settings of `ClassifierTrainer`.

    Attributes
    ----------
    architecture : {"mlp", "conv"}
    hidden, channels : tuple of int
        Widths of the MLP, channels of the convolutions.
    weight_decay : float
        L2 penalty of Adam.
    """

    architecture: str = "mlp"
    hidden: tuple[int, ...] = (256,)
    channels: tuple[int, ...] = (16, 32)
    weight_decay: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")


class ClassifierTrainer(Trainer):
    """Trains a softmax classifier; see the chapter "Discriminative and generative models".

    The terms in ``history`` are means over the batch: ``loss`` (cross-entropy, nats, minimised) and
    ``accuracy``. Labels are those of the `ImageSet`.
    """

    Config = ClassifierConfig

    def build_networks(self, spec):
        if spec.classes is None:
            raise ValueError("a classifier needs labels: fit it on an ImageSet with labels and classes")
        c = self.config
        network = build_classifier(
            spec.image_shape, len(spec.classes), architecture=c.architecture, hidden=c.hidden, channels=c.channels
        )
        return {"network": network}

    def build_optimizers(self):
        return {"network": self.adam(self.networks["network"], weight_decay=self.config.weight_decay)}

    def training_step(self, batch):
        terms = self.compute_loss(self.wrapped["network"], batch)
        self.descend("network", terms["loss"], batch)
        return terms

    def compute_loss(self, network, batch):
        if batch.labels is None:
            raise ValueError("a classifier needs labels: pass an ImageSet that has them")
        logits = network(batch.x)
        cross_entropy = nn.functional.cross_entropy(logits, batch.labels)
        accuracy = (logits.argmax(1) == batch.labels).float().mean()
        return {"loss": cross_entropy, "accuracy": accuracy}

    def predict_proba(self, images):
        """P(y|x), (N, classes), for `images` (N, C, H, W)."""
        return self._predict(lambda network, x: torch.softmax(network(x), 1), images)

    def predict(self, images):
        """The most probable class of each image, (N,) int64."""
        return self.predict_proba(images).argmax(1)

    def features(self, images):
        """What the last layer reads, the penultimate activations, (N, F), for `images` (N, C, H, W).

        Raises
        ------
        ValueError
            If the run has a network of its own without a method ``features``.
        """
        if not hasattr(self.network, "features"):
            raise ValueError(f"{type(self.network).__name__} has no features(x); give it that method")
        return self._predict(lambda network, x: network.features(x), images)
