"""Generative adversarial nets (Goodfellow et al., 2014)."""

from dataclasses import dataclass, replace

from coursekit.networks import build_gan
from coursekit.trainers.adversarial import AdversarialConfig, AdversarialTrainer
from coursekit.trainers.batches import to_unit
from coursekit.trainers.config import require_choice


@dataclass(frozen=True)
class GANConfig(AdversarialConfig):
    """Settings of `GANTrainer`: those of `AdversarialConfig`, and the shape of its networks. `GANConfig.paper` gives
    those of the 2014 paper on MNIST.

    Attributes
    ----------
    data_range : {"unit", "symmetric"}
        Whether the networks see pixels in [0, 1] or in [-1, 1]. Points are taken as they are.
    architecture : {"mlp", "maxout"}
    generator_hidden, discriminator_hidden : tuple of int, optional
        Default: those of the architecture.
    pieces : int
        Linear maps of each maxout unit.
    """

    data_range: str = "unit"
    architecture: str = "mlp"
    generator_hidden: tuple[int, ...] | None = None
    discriminator_hidden: tuple[int, ...] | None = None
    pieces: int = 5

    def __post_init__(self):
        super().__post_init__()
        require_choice("data_range", self.data_range, ("unit", "symmetric"))

    @classmethod
    def paper(cls, **overrides):
        """The settings of the 2014 paper on MNIST, as its released code has them.

        References
        ----------
        ``mnist.yaml`` and ``__init__.py`` of https://github.com/goodfeli/adversarial.
        """
        paper = cls(
            architecture="maxout",
            generator_hidden=(1200, 1200),
            discriminator_hidden=(240, 240),
            pieces=5,
            noise_dim=100,
            noise="uniform",
            update="simultaneous",
            optimizer="sgd",
            lr=0.1,
            lr_decay=1.000004,
            lr_min=1e-6,
            momentum=0.5,
            momentum_final=0.7,
            momentum_epochs=250,
            batch_size=100,
            epochs=250,
        )
        return replace(paper, **overrides)


class GANTrainer(AdversarialTrainer):
    """Trains a generator against a discriminator; see the chapters "GAN theory" and "GANs in practice".

    The terms in ``history`` are those of `AdversarialTrainer`.

    Parameters
    ----------
    config : GANConfig, optional
    generator : nn.Module, optional
        Your own: noise (n, noise_dim) -> (n, C, H, W), or (n, d) for points.
    discriminator : nn.Module, optional
        Your own: what the generator gives -> logits (n,) or (n, 1).
    device, precision, compile, devices, **overrides
        As for every `Trainer`.

    References
    ----------
    Goodfellow et al., "Generative Adversarial Nets", 2014, arXiv:1406.2661, Algorithm 1.
    """

    Config = GANConfig
    TAKES_POINTS = True

    @property
    def data_range(self):
        return self.config.data_range

    def build_networks(self, spec):
        c = self.config
        of_images = {"unit": "sigmoid", "symmetric": "tanh"}[c.data_range]
        generator, discriminator = build_gan(
            spec.image_shape,
            c.noise_dim,
            architecture=c.architecture,
            generator_hidden=c.generator_hidden,
            discriminator_hidden=c.discriminator_hidden,
            pieces=c.pieces,
            output=of_images if len(spec.image_shape) == 3 else "linear",
        )
        return {"generator": generator, "discriminator": discriminator}

    def initialise(self, data):
        """Let the paper's generator start at the mean image: its output bias is the logit of each pixel's mean."""
        c = self.config
        of_images_in_unit_range = c.data_range == "unit" and data.images.ndim == 4
        if c.architecture == "maxout" and of_images_in_unit_range and "generator" not in self._own_networks:
            mean = to_unit(data.images).mean(0).flatten()
            self.networks["generator"].last.bias.data.copy_(mean.clamp(1e-7, 1 - 1e-7).logit())
