"""Translation between two unpaired sets of images (CycleGAN: Zhu et al., 2017)."""

from dataclasses import dataclass, replace

import torch

from coursekit.losses import cyclegan as losses
from coursekit.losses import gan as log_losses
from coursekit.networks.convolutions import LEAST_OF_ONE, products_pay
from coursekit.networks.cyclegan import PatchDiscriminator, ResnetGenerator
from coursekit.networks.dcgan import normal_weights
from coursekit.trainers.base import Trainer
from coursekit.trainers.config import TrainerConfig, require, require_choice
from coursekit.trainers.pool import ImagePool


@dataclass(frozen=True)
class CycleGANConfig(TrainerConfig):
    """Settings of `CycleGANTrainer`; the defaults are the paper's for images of 256 pixels.

    Attributes
    ----------
    epochs, decay_epochs : int
        Over the last `decay_epochs` of all `epochs` the learning rate falls linearly towards 0, so that the last steps
        are small. A fit that goes on beyond `epochs` keeps the last rate.
    batch_size : int
        The paper's 1 leaves most devices idle. More images a step are faster an epoch, for memory, and take fewer
        steps, so they may want a larger `lr`.
    beta1, beta2 : float
        Of Adam, at no cost; see `AdversarialConfig`.
    lambda_cycle : float
        Weight of both cycle losses. They cost two of the four passes of generators in a step, at any weight. A large
        one holds translations to what can be undone, a small one lets them look more like the other set.
    lambda_identity : float
        Weight of both identity losses, as a share of `lambda_cycle`: 0.5 where the paper uses them (Monet to photo,
        flowers), 0 elsewhere. They keep colours, and cost two more passes of generators on top of four; 0 saves them.
    adversarial : {"least_squares", "log"}
        The paper's loss, or that of the GAN, non-saturating. The same cost.
    discriminator_weight : float
        Factor of the discriminators' losses, and so of their gradients; the paper halves them. It costs nothing and,
        with Adam, gives next to nothing.
    pool_size : int
        Earlier translations that each discriminator is shown from; 0 for the present ones only. A memory for the
        discriminators, for so many images of each domain on the device and in every checkpoint.
    width, discriminator_width : int
        Channels of the generators and discriminators at full size; the same when None. Weights and operations grow
        with their square, memory in proportion.
    blocks : int
        Residual blocks of each generator: what lets it change more than colours. Each has two convolutions of
        4 * `width` channels, at a quarter of the side.
    discriminator_layers : int
        Halvings of each discriminator: patches of 16, 34 or 70 pixels for 1, 2 or 3 (thm-receptive-field). More judge
        larger shapes, by wider layers; a patch should be smaller than the image.
    norm : {"instance", "batch", "group", "none"}
        "instance" and "group" keep images of a batch apart; "batch" needs large batches, and ties them together in
        training. Each costs a pass over every hidden map.
    upsampling : {"transposed", "nearest"}
        "nearest" rules checkerboards out at the start (thm-overlap-counts), for four times the operations of these two
        layers.
    init_std : float or None
        Weights start from N(0, init_std²); None keeps torch's own start. Costs nothing.
    crop : int, optional
        Train on random squares of this side, cut from the images; the paper: 256 of 286. More variety, at the cost of
        a square of this side; what needs the whole image is not learned.
    flip : bool
        Mirror half of the training images: more variety at no cost, where left and right do not matter.
    """

    epochs: int = 200
    batch_size: int = 1
    lr: float = 2e-4
    decay_epochs: int = 100
    beta1: float = 0.5
    beta2: float = 0.999
    lambda_cycle: float = 10.0
    lambda_identity: float = 0.0
    adversarial: str = "least_squares"
    discriminator_weight: float = 0.5
    pool_size: int = 50
    width: int = 64
    discriminator_width: int | None = None
    blocks: int = 9
    discriminator_layers: int = 3
    norm: str = "instance"
    upsampling: str = "transposed"
    init_std: float | None = 0.02
    crop: int | None = None
    flip: bool = False

    def __post_init__(self):
        super().__post_init__()
        require_choice("adversarial", self.adversarial, ("least_squares", "log"))
        require(
            0 <= self.decay_epochs <= self.epochs,
            f"decay_epochs must lie between 0 and epochs ({self.epochs}), got {self.decay_epochs}",
        )
        for name in ("lambda_cycle", "lambda_identity"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")
        require(
            self.discriminator_weight > 0, f"discriminator_weight must be positive, got {self.discriminator_weight}"
        )
        require(
            self.pool_size == 0 or self.pool_size >= self.batch_size,
            f"pool_size must be 0 or at least the batch size ({self.batch_size}), got {self.pool_size}",
        )
        require(self.crop is None or self.crop >= 8, f"crop must be at least 8 pixels, got {self.crop}")
        require(self.init_std is None or self.init_std > 0, f"init_std must be positive or None, got {self.init_std}")

    @classmethod
    def paper(cls, size=256, **overrides):
        """The paper's settings for images of 128 or 256 pixels: 6 or 9 blocks, crops of that size from images that
        are loaded an eighth larger, mirrored or not.

        References
        ----------
        Zhu et al. (2017), section 4 and appendix 7; crops and mirroring from its released code.
        """
        require_choice("size", size, (128, 256))
        return replace(cls(blocks=6 if size == 128 else 9, crop=size, flip=True), **overrides)


class CycleGANTrainer(Trainer):
    """Trains G: X→Y and F: Y→X against D_Y and D_X, each the other's way back; see the chapter "CycleGAN".

    One step is one minibatch of X and one of Y. The terms in ``history`` (eq-cyclegan-objective), means over the
    batch, before their weights:

    - ``loss_G_adversarial``: how far D_Y is from taking G(x) for data; ``loss_F_adversarial``: D_X and F(y);
    - ``cycle_X``: \\|F(G(x)) - x\\|₁ / d; ``cycle_Y``: \\|G(F(y)) - y\\|₁ / d, of images in [-1, 1];
    - ``identity_X``: \\|F(x) - x\\|₁ / d, ``identity_Y``: \\|G(y) - y\\|₁ / d, where they are used;
    - ``loss_G``: their weighted sum, which G and F minimise together;
    - ``loss_D_X``, ``loss_D_Y``: what the discriminators minimise, without `discriminator_weight`.

    Parameters
    ----------
    config : CycleGANConfig, optional
    G, F : nn.Module, optional
        Your own: images (n, C, H, W) in [-1, 1] -> the same.
    D_X, D_Y : nn.Module, optional
        Your own: images -> scores of any shape, the first axis n.
    device, precision, compile, devices, **overrides
        As for every `Trainer`.

    References
    ----------
    Zhu, Park, Isola and Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
    2017, arXiv:1703.10593.
    """

    Config = CycleGANConfig
    NETWORKS = ("G", "F", "D_X", "D_Y")
    PREDICTORS = 2
    TAKES_PAIRS = True

    @property
    def CHANNELS_LAST(self):
        """For one wide image at a time on a CPU, whose weight gradients are products; elsewhere it is slower."""
        c = self.config
        wide = min(c.width, c.discriminator_width or c.width) >= LEAST_OF_ONE
        ours = c.norm == "instance" and not self._own_networks and not self.compile
        one_by_one = wide and c.batch_size == 1 and self.fabric.device.type == "cpu"
        return one_by_one and ours and self.precision in ("auto", "32-true") and products_pay()

    def build_networks(self, spec):
        c = self.config
        channels, height, side = spec.image_shape
        require(
            c.crop is None or c.crop <= min(height, side),
            f"crop is {c.crop}, but the images have {height} x {side} pixels",
        )
        shape = spec.image_shape if c.crop is None else (channels, c.crop, c.crop)
        networks = {}
        for name in ("G", "F"):
            networks[name] = ResnetGenerator(shape, c.width, c.blocks, norm=c.norm, upsampling=c.upsampling)
        for name in ("D_X", "D_Y"):
            width = c.discriminator_width or c.width
            networks[name] = PatchDiscriminator(shape, width, c.discriminator_layers, norm=c.norm)
        if c.init_std is not None:
            for network in networks.values():
                normal_weights(network, c.init_std)
        return networks

    def build_optimizers(self):
        betas = (self.config.beta1, self.config.beta2)
        self._pools = {"X": ImagePool(self.config.pool_size), "Y": ImagePool(self.config.pool_size)}
        return {name: self.adam(network, betas=betas) for name, network in self.networks.items()}

    def training_step(self, batch):
        self._set_rates()
        x, y = (self._augmented(2 * images - 1, batch) for images in (batch.x, batch.y))
        G, F, D_X, D_Y = (self.wrapped[name] for name in self.NETWORKS)

        with self.frozen("D_X", "D_Y") as frozen:
            terms, x_fake, y_fake = self._translation_terms(G, F, *frozen, x, y)
        self.descend(("G", "F"), terms["loss_G"], batch)

        x_shown, y_shown = self._from_pools(x_fake.detach(), y_fake.detach(), batch)
        terms["loss_D_X"] = self._discriminator_loss(D_X(x), D_X(x_shown))
        terms["loss_D_Y"] = self._discriminator_loss(D_Y(y), D_Y(y_shown))
        weight = self.config.discriminator_weight
        self.descend(("D_X", "D_Y"), weight * (terms["loss_D_X"] + terms["loss_D_Y"]), batch)
        return terms

    def _translation_terms(self, G, F, D_X, D_Y, x, y):
        """What G and F minimise, term by term, and the translations F(y) and G(x)."""
        c = self.config
        y_fake, x_fake = G(x), F(y)
        terms = {
            "loss_G_adversarial": self._generator_loss(D_Y(y_fake)),
            "loss_F_adversarial": self._generator_loss(D_X(x_fake)),
            "cycle_X": losses.cycle_consistency(x, F(y_fake).float()),
            "cycle_Y": losses.cycle_consistency(y, G(x_fake).float()),
        }
        loss = terms["loss_G_adversarial"] + terms["loss_F_adversarial"]
        loss = loss + c.lambda_cycle * (terms["cycle_X"] + terms["cycle_Y"])
        if c.lambda_identity:
            terms["identity_X"] = losses.identity(x, F(x).float())
            terms["identity_Y"] = losses.identity(y, G(y).float())
            loss = loss + c.lambda_identity * c.lambda_cycle * (terms["identity_X"] + terms["identity_Y"])
        terms["loss_G"] = loss
        return terms, x_fake, y_fake

    def compute_loss(self, network, batch):
        x, y = 2 * batch.x - 1, 2 * batch.y - 1
        D_X, D_Y = self.networks["D_X"], self.networks["D_Y"]
        terms, x_fake, y_fake = self._translation_terms(network, self.predictor("F"), D_X, D_Y, x, y)
        terms["loss_D_X"] = self._discriminator_loss(D_X(x), D_X(x_fake))
        terms["loss_D_Y"] = self._discriminator_loss(D_Y(y), D_Y(y_fake))
        return terms

    def translate(self, images, to="Y"):
        """G(x) of images (N, C, H, W) in [0, 1] or uint8, as images in [0, 1]; with ``to="X"`` F(y)."""
        require_choice("to", to, ("X", "Y"))
        network = self.predictor({"X": "F", "Y": "G"}[to])
        return self._predict(lambda _, x: (network(2 * x - 1) + 1) / 2, images)

    def cycle(self, images, start="X"):
        """There and back: F(G(x)) of images in [0, 1] or uint8; with ``start="Y"`` G(F(y))."""
        require_choice("start", start, ("X", "Y"))
        there, back = {"X": ("G", "F"), "Y": ("F", "G")}[start]
        there, back = self.predictor(there), self.predictor(back)
        return self._predict(lambda _, x: (back(there(2 * x - 1)) + 1) / 2, images)

    def state(self):
        """The image pools."""
        return {f"pool_{name}": pool.images for name, pool in self._pools.items() if pool.images is not None}

    def set_state(self, tensors):
        for name, pool in self._pools.items():
            images = tensors.get(f"pool_{name}")
            pool.images = None if images is None else images.to(self.fabric.device)

    # Inside

    def _generator_loss(self, scores):
        if self.config.adversarial == "log":
            return log_losses.generator_loss(scores.float().flatten())
        return losses.least_squares_generator(scores.float())

    def _discriminator_loss(self, scores_real, scores_fake):
        if self.config.adversarial == "log":
            return log_losses.discriminator_loss(scores_real.float().flatten(), scores_fake.float().flatten())
        return losses.least_squares_discriminator(scores_real.float(), scores_fake.float())

    def _from_pools(self, x_fake, y_fake, batch):
        """Translations for the discriminators: the pools are those of the global batch, the same in each process."""
        if not self.config.pool_size:
            return x_fake, y_fake
        shown = []
        for name, images in (("X", x_fake), ("Y", y_fake)):
            everyone = self._gathered(images.float(), batch)
            shown.append(self._pools[name].query(everyone, batch.generator)[batch.rows])
        return shown

    def _gathered(self, images, batch):
        """The images of all processes, in the order of the global batch."""
        ranks, size = self.fabric.world_size, batch.global_size
        if ranks == 1:
            return images
        widest = -(-size // ranks)
        padded = torch.cat([images, images.new_zeros(widest - len(images), *images.shape[1:])])
        shares = self.fabric.all_gather(padded)
        lengths = [size * (rank + 1) // ranks - size * rank // ranks for rank in range(ranks)]
        return torch.cat([share[:length] for share, length in zip(shares, lengths)])

    def _augmented(self, x, batch):
        """`x` mirrored and cut at random, drawn for the global batch."""
        c = self.config
        if c.flip:
            mirrored = self.noise(batch, kind="uniform") < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        if c.crop is not None:
            n, _, height, width = x.shape
            corner = self.noise(batch, 2, kind="uniform")
            top = (corner[:, 0] * (height - c.crop + 1)).long()
            left = (corner[:, 1] * (width - c.crop + 1)).long()
            side = torch.arange(c.crop, device=x.device)
            rows, columns = (top[:, None] + side)[:, :, None], (left[:, None] + side)[:, None, :]
            x = x[torch.arange(n, device=x.device)[:, None, None], :, rows, columns].movedim(-1, 1)
        return x

    def _set_rates(self):
        """Constant, then falling linearly; a function of the step alone, so that a resumed run has it too."""
        c = self.config
        into_decay = self.step // self.steps_per_epoch + 1 - (c.epochs - c.decay_epochs)
        share = 1 - min(max(into_decay, 0), c.decay_epochs) / (c.decay_epochs + 1)
        for optimizer in self._raw_optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = c.lr * share
