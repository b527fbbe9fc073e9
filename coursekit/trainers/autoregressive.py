"""Autoregressive model of black and white images: a likelihood that is a number, not a bound."""

from dataclasses import dataclass

import torch

from coursekit.losses.reconstruction import bernoulli_nll
from coursekit.networks import build_autoregressive
from coursekit.trainers.base import SAMPLING, Trainer
from coursekit.trainers.batches import as_data, to_unit
from coursekit.trainers.config import TrainerConfig
from coursekit.trainers.runtime import stream_seed


@dataclass(frozen=True)
class AutoregressiveConfig(TrainerConfig):
    """Settings of `AutoregressiveTrainer`.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers. The paper takes one or two of 500 to 8,000 for MNIST.
    weight_decay : float
        L2 penalty of Adam.
    """

    hidden: tuple[int, ...] = (512,)
    weight_decay: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")


class AutoregressiveTrainer(Trainer):
    """Trains a masked autoregressive network; see the chapter "How to judge a generator" (eq-autoregressive).

    The chain rule splits the probability of an image into one conditional per pixel, and the network
    gives them all in one pass. So ``log_likelihood`` is exact. The term in ``history`` is ``loss``,
    -log p(x) in nats, a mean over the batch; minimised.

    Notes
    -----
    Images are black and white. A grey pixel is drawn anew in every step as 1 with the probability that
    its value gives, so fitting on grey images fits the distribution of their binarisations.

    A network of your own must give logits of p(x_i = 1 | pixels before i), with pixels numbered row by
    row. If it looks ahead, ``log_likelihood`` is no log-probability.

    References
    ----------
    Larochelle and Murray (2011), The Neural Autoregressive Distribution Estimator. Germain, Gregor,
    Murray and Larochelle (2015), MADE: Masked Autoencoder for Distribution Estimation, algorithm 1.
    """

    Config = AutoregressiveConfig

    def build_networks(self, spec):
        return {"network": build_autoregressive(spec.image_shape, hidden=self.config.hidden)}

    def build_optimizers(self):
        return {"network": self.adam(self.networks["network"], weight_decay=self.config.weight_decay)}

    def training_step(self, batch):
        terms = self.compute_loss(self.wrapped["network"], batch)
        self.descend("network", terms["loss"], batch)
        return terms

    def compute_loss(self, network, batch):
        x = (self.noise(batch, *batch.x.shape[1:], kind="uniform") < batch.x).float()
        return {"loss": bernoulli_nll(network(x), x).mean()}

    def log_likelihood(self, images):
        """log p(x) of each image in nats, (N,), exactly; probabilities sum to 1 over all images.

        Parameters
        ----------
        images : ImageSet or Tensor
            (N, C, H, W), every pixel 0 or 1 (0 or 255 for uint8).

        Raises
        ------
        ValueError
            A grey pixel: it has no probability under this model.
        """
        pixels = as_data(images).images
        x = to_unit(pixels)
        if not ((x == 0) | (x == 1)).all():
            raise ValueError(
                "every pixel must be 0 or 1 (0 or 255 for uint8); coursekit.data.binarize(images, seed=0) makes it so"
            )
        return self._predict(lambda network, x: -bernoulli_nll(network(x), x), images)

    def sample(self, n, seed=0):
        """`n` images of zeros and ones, (n, C, H, W) float: pixel by pixel, each given those before it."""
        self._need_fit()
        generator = torch.Generator().manual_seed(stream_seed(seed, SAMPLING, 0))
        return self._in_batches(draw_pixels, torch.rand(n, *self.data_spec.image_shape, generator=generator))


def draw_pixels(network, u):
    """Images of zeros and ones from uniform noise `u`, (N, C, H, W): pixel i is 1 where u_i < p(x_i = 1 | before)."""
    x = torch.zeros_like(u)
    for i in range(x[0].numel()):
        probability = network(x).flatten(1)[:, i].sigmoid()
        x.flatten(1)[:, i] = (u.flatten(1)[:, i] < probability).float()
    return x
