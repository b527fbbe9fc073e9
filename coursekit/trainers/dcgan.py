"""Deep convolutional GANs (Radford, Metz and Chintala, 2015)."""

from dataclasses import dataclass, replace

from coursekit.networks.dcgan import DCGANDiscriminator, DCGANGenerator, normal_weights
from coursekit.trainers.adversarial import AdversarialConfig, AdversarialTrainer
from coursekit.trainers.config import require, require_choice


@dataclass(frozen=True)
class DCGANConfig(AdversarialConfig):
    """Settings of `DCGANTrainer`: those of `AdversarialConfig`, and each guideline of the paper as an option.

    The defaults are the networks and the step of the common tutorials; `DCGANConfig.paper` gives what the paper's
    own code does. Pixels are seen in [-1, 1] by a tanh generator, in [0, 1] by a sigmoid one. What each guideline gives,
    with three seeds on one data set and for one short budget, is in the chapter "DCGAN".

    Attributes
    ----------
    width : int
        Channels of the largest hidden maps of both networks; they double at each halving. More detail, for weights and
        operations that grow with its square, and memory that grows in proportion.
    generator_width, discriminator_width : int, optional
        One network's own, to make it the stronger player.
    kernel_size : {4, 5}
        5 needs 25/16 of the weights and operations of 4. With stride 2 it also paints some pixels more often than
        others (thm-overlap-counts).
    upsampling : {"transposed", "nearest"}
        Of G; see `DCGANGenerator`. "nearest" rules checkerboards out at the start (thm-overlap-counts), for four times
        the operations: its convolutions see the larger side.
    downsampling : {"strided", "pooling"}
        Of D; see `DCGANDiscriminator`. "pooling" costs four times the operations for the same reason, and breaks the
        paper's first guideline.
    generator_norm, discriminator_norm : {"batch", "none", "everywhere"}
        Batch normalisation but for G's output and D's input; of nothing; or of these two as well. It costs a pass over
        every hidden map, and makes images depend on their batch in training mode; without it in G, or with it
        everywhere, training mostly fails.
    generator_activation, discriminator_activation : {"relu", "leaky_relu"}
        The same cost. A leaky ReLU has a gradient everywhere.
    generator_output : {"tanh", "sigmoid"}
        The same cost; data are scaled to fit. The paper has tanh.
    init_std : float or None
        Weights start from N(0, init_std²); None keeps torch's own start. Costs nothing, and matters little where
        batch normalisation undoes the scale.
    """

    epochs: int = 25
    batch_size: int = 128
    noise: str = "normal"
    fresh_noise: bool = False
    width: int = 64
    generator_width: int | None = None
    discriminator_width: int | None = None
    kernel_size: int = 4
    upsampling: str = "transposed"
    downsampling: str = "strided"
    generator_norm: str = "batch"
    discriminator_norm: str = "batch"
    generator_activation: str = "relu"
    discriminator_activation: str = "leaky_relu"
    generator_output: str = "tanh"
    init_std: float | None = 0.02

    def __post_init__(self):
        super().__post_init__()
        require_choice("generator_output", self.generator_output, ("tanh", "sigmoid"))
        require(self.init_std is None or self.init_std > 0, f"init_std must be positive or None, got {self.init_std}")

    @classmethod
    def paper(cls, **overrides):
        """The settings of the paper's released code for 64x64 faces.

        References
        ----------
        ``faces/train_uncond_dcgan.py`` of https://github.com/Newmu/dcgan_code.
        """
        paper = cls(
            width=128,
            kernel_size=5,
            noise="uniform",
            update="interleaved",
            fresh_noise=True,
            weight_decay=1e-5,
            batch_size=128,
            epochs=25,
        )
        return replace(paper, **overrides)


class DCGANTrainer(AdversarialTrainer):
    """Trains a convolutional generator against a convolutional discriminator; see the chapter "DCGAN".

    The terms in ``history`` are those of `AdversarialTrainer`.

    Parameters
    ----------
    config : DCGANConfig, optional
    generator : nn.Module, optional
        Your own: noise (n, noise_dim) -> (n, C, H, W).
    discriminator : nn.Module, optional
        Your own: images -> logits (n,) or (n, 1).
    device, precision, compile, devices, **overrides
        As for every `Trainer`.

    References
    ----------
    Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks", 2015, arXiv:1511.06434.
    """

    Config = DCGANConfig
    CHANNELS_LAST = True

    @property
    def data_range(self):
        return {"tanh": "symmetric", "sigmoid": "unit"}[self.config.generator_output]

    def build_networks(self, spec):
        c = self.config
        generator = DCGANGenerator(
            c.noise_dim,
            spec.image_shape,
            c.generator_width or c.width,
            kernel_size=c.kernel_size,
            upsampling=c.upsampling,
            norm=c.generator_norm,
            activation=c.generator_activation,
            output=c.generator_output,
        )
        discriminator = DCGANDiscriminator(
            spec.image_shape,
            c.discriminator_width or c.width,
            kernel_size=c.kernel_size,
            downsampling=c.downsampling,
            norm=c.discriminator_norm,
            activation=c.discriminator_activation,
        )
        networks = {"generator": generator, "discriminator": discriminator}
        if c.init_std is not None:
            for network in networks.values():
                normal_weights(network, c.init_std)
        return networks

    def features(self, images):
        """D's features of images in [0, 1], (N, F): what its convolutions see, for a linear probe.

        Raises
        ------
        ValueError
            A discriminator of your own has no ``features(x)``.
        """
        self._need_fit()
        D = self.discriminator
        if not hasattr(D, "features"):
            raise ValueError(f"{type(D).__name__} has no features(x); give it that method")
        return self._predict(lambda _, x: D.features(self._scaled(x)), images)
