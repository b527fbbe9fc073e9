"""A generator against a discriminator: the steps that GAN and DCGAN share."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from coursekit.losses.gan import discriminator_loss, generator_loss, r1_penalty
from coursekit.trainers.base import SAMPLING, Trainer
from coursekit.trainers.config import TrainerConfig, require, require_choice
from coursekit.trainers.failures import explained
from coursekit.trainers.runtime import stream_seed

UNIFORM_LIMIT = 3**0.5  # uniform on ±√3 has variance 1


@dataclass(frozen=True)
class AdversarialConfig(TrainerConfig):
    """What every generator and discriminator of images from noise are told.

    Attributes
    ----------
    noise_dim : int
        K. Costs weights in the first layer only; below the number of ways in which the data vary, samples lack some.
    noise : {"uniform", "normal"}
        Uniform on ±√3, or standard normal: both with variance 1, at the same cost.
    k : int
        Discriminator steps to each generator step. A better D, for a G that moves in every k-th step only.
    generator_loss : {"non_saturating", "saturating"}
        Same cost. The saturating loss is that of the game, and has hardly a gradient where D is sure of itself.
    update : {"alternating", "interleaved", "simultaneous"}
        Algorithm 1: on each minibatch a step of D, and after every k-th one of G. Interleaved: D moves on one
        minibatch and G on the next, as in DCGAN's released code. Simultaneous: both at once, from the same
        samples and the same pass of D, with half the sum as D's loss, as in the released code of 2014. A step of
        "interleaved" costs about half, and moves one network instead of both; one of "simultaneous" saves a pass of D.
    fresh_noise : bool
        Draw new samples for the generator's step, as Algorithm 1 does. Without, it reuses the last ones
        that D saw, as many tutorials do, and saves a pass of G, but keeps what it needs for its gradient in memory
        during D's step. Of alternating updates only.
    joint_pass : bool, optional
        Whether D sees data and samples as one batch. Default: unless it has batch normalisation, whose
        statistics would then tell it what it is to find out. One pass of twice the size, for two.
    optimizer : {"adam", "sgd"}
        Adam keeps two numbers for every weight, SGD with momentum one, at a rate that must be found for each model.
    lr, discriminator_lr : float
        Learning rates; D's is the same when None. Who of the two is ahead depends on their ratio.
    beta1, beta2 : float
        Of Adam, at no cost. 0.9 for beta1, its usual value, averages over gradients of an opponent that has moved on.
    weight_decay : float
        Weight of the L2 penalty ½·‖w‖² that is added to both losses, all parameters included. Costs next to nothing,
        and keeps weights small.
    momentum, momentum_final : float
        Of SGD: it rises linearly from epoch 1 to `momentum_epochs`, when `momentum_final` is given.
    momentum_epochs : int
        The epoch by which it has risen.
    lr_decay, lr_min : float
        Every update divides the learning rates of SGD by `lr_decay`, but not under `lr_min`: small last steps, and a
        run that cannot be made longer without another decay.
    r1 : float
        Weight of the R1 penalty on D (eq-gan-r1), which lets the game converge where it would circle. It needs D's
        gradient of a gradient: D's step takes much longer, and D is not compiled.
    """

    batch_size: int = 64
    lr: float = 2e-4
    noise_dim: int = 100
    noise: str = "uniform"
    k: int = 1
    generator_loss: str = "non_saturating"
    update: str = "alternating"
    fresh_noise: bool = True
    joint_pass: bool | None = None
    optimizer: str = "adam"
    discriminator_lr: float | None = None
    beta1: float = 0.5
    beta2: float = 0.999
    weight_decay: float = 0.0
    momentum: float = 0.5
    momentum_final: float | None = None
    momentum_epochs: int = 250
    lr_decay: float = 1.0
    lr_min: float = 1e-6
    r1: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        require_choice("noise", self.noise, ("uniform", "normal"))
        require_choice("generator_loss", self.generator_loss, ("non_saturating", "saturating"))
        require_choice("update", self.update, ("alternating", "interleaved", "simultaneous"))
        require_choice("optimizer", self.optimizer, ("adam", "sgd"))
        for name in ("noise_dim", "k"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(self.momentum_epochs >= 2, f"momentum_epochs must be at least 2, got {self.momentum_epochs}")
        require(self.r1 >= 0, f"r1 must not be negative, got {self.r1}")
        require(
            self.discriminator_lr is None or self.discriminator_lr > 0,
            f"discriminator_lr must be positive, got {self.discriminator_lr}",
        )
        require(self.lr_decay >= 1, f"lr_decay divides the learning rate: at least 1, got {self.lr_decay}")
        require(self.weight_decay >= 0, f"weight_decay must not be negative, got {self.weight_decay}")
        if self.update != "alternating":
            require(self.k == 1, f"{self.update} updates move G as often as D: k must be 1, got {self.k}")
            require(self.fresh_noise, f"{self.update} updates have no second draw of noise: leave fresh_noise alone")


class AdversarialTrainer(Trainer):
    """Base of the trainers of a generator against a discriminator of its samples.

    One step is one minibatch of data. The terms in ``history``, means over the batch: ``loss_D`` and ``loss_G``,
    which are minimised (eq-gan-losses), and ``d_real`` and ``d_fake``, the means of D(x) and D(G(z)) before D's
    step. In a step without one of G, ``loss_G`` is that of the samples D saw. A subclass builds the networks.
    """

    Config = AdversarialConfig
    NETWORKS = ("generator", "discriminator")

    @property
    @abstractmethod
    def data_range(self):
        """Whether the networks see pixels in [0, 1], "unit", or in [-1, 1], "symmetric". Points stay as they are."""

    def build_optimizers(self):
        c, rates = self.config, self._first_rates()
        if c.optimizer == "adam":
            adam = dict(betas=(c.beta1, c.beta2), weight_decay=c.weight_decay)
            return {name: self.adam(self.networks[name], lr=lr, **adam) for name, lr in rates.items()}
        sgd = dict(momentum=c.momentum, weight_decay=c.weight_decay, fused=True)
        return {name: torch.optim.SGD(self.networks[name].parameters(), lr=lr, **sgd) for name, lr in rates.items()}

    def can_compile(self, name):
        return name == "generator" or (self.config.update != "simultaneous" and not self.config.r1)

    def training_step(self, batch):
        self._set_rates()
        x = self._scaled(batch.x)
        steps = {
            "alternating": self._alternating_step,
            "interleaved": self._interleaved_step,
            "simultaneous": self._simultaneous_step,
        }
        return steps[self.config.update](x, batch)

    def _alternating_step(self, x, batch):
        """Algorithm 1: a step of D and, after every k-th, a step of G."""
        c, G = self.config, self.wrapped["generator"]
        G_moves = (self.step + 1) % c.k == 0
        reuse = G_moves and not c.fresh_noise

        with torch.set_grad_enabled(reuse):
            x_fake = self._generate(G, x, batch)
        terms = self._move_discriminator(x, x_fake.detach(), batch)
        if G_moves:
            if not reuse:
                x_fake = self._generate(G, x, batch)
            terms["loss_G"] = self._of_generator(self._move_generator(x_fake, batch))
        return terms

    def _interleaved_step(self, x, batch):
        """The released code of DCGAN: G moves in the first step and every second one, D in the others."""
        if self.step % 2 == 0:
            with torch.no_grad():
                logits_real = _logits(self.networks["discriminator"](x), x)
            logits_fake = self._move_generator(self._generate(self.wrapped["generator"], x, batch), batch)
            return self._terms(discriminator_loss(logits_real, logits_fake), logits_real, logits_fake)
        with torch.no_grad():
            x_fake = self._generate(self.wrapped["generator"], x, batch)
        return self._move_discriminator(x, x_fake, batch)

    def _move_discriminator(self, x, x_fake, batch):
        x.requires_grad_(self.config.r1 > 0)
        logits_real, logits_fake = self._judge(self.wrapped["discriminator"], x, x_fake)
        loss_D = discriminator_loss(logits_real, logits_fake)
        terms = self._terms(loss_D, logits_real, logits_fake)
        self.descend("discriminator", self._penalised(loss_D, logits_real, x), batch)
        return terms

    def _move_generator(self, x_fake, batch):
        """A step of G on the samples `x_fake`; D's logits on them, before it."""
        with self.frozen("discriminator") as (D,):
            logits_fake = _logits(D(x_fake), x_fake)
        self.descend("generator", self._of_generator(logits_fake), batch)
        return logits_fake.detach()

    def _simultaneous_step(self, x, batch):
        """The released code of the paper: both gradients at the same point, then both steps."""
        c, G, D = self.config, self.wrapped["generator"], self.wrapped["discriminator"]
        x_fake = self._generate(G, x, batch)
        seen = x_fake.detach().requires_grad_()  # parts the graph, so that each loss moves its own network
        x.requires_grad_(c.r1 > 0)
        logits_real, logits_fake = self._judge(D, x, seen)
        loss_D = discriminator_loss(logits_real, logits_fake) / 2
        terms = self._terms(loss_D, logits_real, logits_fake)

        (at_samples,) = torch.autograd.grad(self._of_generator(logits_fake) * batch.weight, seen, retain_graph=True)
        loss_D = self._penalised(loss_D, logits_real, x)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        self.fabric.backward(loss_D * batch.weight, inputs=list(self.networks["discriminator"].parameters()))
        self.fabric.backward(x_fake, gradient=at_samples)
        for optimizer in self.optimizers.values():
            optimizer.step()
        return terms

    def compute_loss(self, network, batch):
        x = self._scaled(batch.x)
        x_fake = self._generate(network, x, batch)
        logits_real, logits_fake = self._judge(self.networks["discriminator"], x, x_fake)
        loss_D = discriminator_loss(logits_real, logits_fake)
        return self._terms(loss_D / 2 if self.config.update == "simultaneous" else loss_D, logits_real, logits_fake)

    @property
    def generator(self):
        """G, or the moving average of its weights where one is kept."""
        return self.network

    @property
    def discriminator(self):
        """D."""
        self._need_fit()
        return self.networks["discriminator"]

    def sample_noise(self, n, seed=0):
        """`n` rows of noise, (n, noise_dim), as in training."""
        generator = torch.Generator().manual_seed(stream_seed(seed, SAMPLING, 0))
        with explained(self, lambda _: f"no memory for the noise of {n:,} samples: ask for fewer at once"):
            if self.config.noise == "normal":
                return torch.randn(n, self.config.noise_dim, generator=generator)
            return _spread(torch.rand(n, self.config.noise_dim, generator=generator))

    def generate(self, z):
        """G(z) for `z` (n, noise_dim): images (n, C, H, W) in [0, 1], or points (n, d)."""
        self._need_fit()
        return self._in_batches(lambda G, part: self._as_data(G(part)), z.float())

    def sample(self, n, seed=0):
        """`n` samples of the generator: images (n, C, H, W) in [0, 1], or points (n, d)."""
        return self.generate(self.sample_noise(n, seed))

    def discriminate(self, images):
        """The logit a(x) of each image in [0, 1], or point: (N,). D(x) is its sigmoid."""
        self._need_fit()
        D = self.discriminator
        return self._predict(lambda _, x: _logits(D(self._scaled(x)), x), images)

    # Inside

    def _generate(self, G, x, batch):
        x_fake = G(self._noise(batch))
        if x_fake.shape != x.shape:
            raise ValueError(f"the generator gives {tuple(x_fake.shape)} where the data are {tuple(x.shape)}")
        return x_fake

    def _noise(self, batch):
        if self.config.noise == "normal":
            return self.noise(batch, self.config.noise_dim)
        return _spread(self.noise(batch, self.config.noise_dim, kind="uniform"))

    def _judge(self, D, x, x_fake):
        joint = self.config.joint_pass
        if joint is None:
            joint = not any(isinstance(module, _BatchNorm) for module in self.networks["discriminator"].modules())
        if joint:
            both = torch.cat([x, x_fake])
            return _logits(D(both), both).split([len(x), len(x_fake)])
        return _logits(D(x), x), _logits(D(x_fake), x_fake)

    def _penalised(self, loss_D, logits_real, x):
        r1 = self.config.r1
        return loss_D + r1 * r1_penalty(logits_real, x) if r1 else loss_D

    def _of_generator(self, logits_fake):
        return generator_loss(logits_fake, self.config.generator_loss)

    def _terms(self, loss_D, logits_real, logits_fake):
        with torch.no_grad():
            return {
                "loss_D": loss_D.detach(),
                "loss_G": self._of_generator(logits_fake),
                "d_real": logits_real.sigmoid().mean(),
                "d_fake": logits_fake.sigmoid().mean(),
            }

    def _first_rates(self):
        c = self.config
        return {"generator": c.lr, "discriminator": c.discriminator_lr or c.lr}

    def _set_rates(self):
        """The schedule of SGD, a function of the step alone, so that a resumed run has it too."""
        c = self.config
        if c.optimizer != "sgd" or (c.lr_decay == 1 and c.momentum_final is None):
            return
        progress = (self.step // self.steps_per_epoch - 1) / (c.momentum_epochs - 1)
        momentum = c.momentum
        if c.momentum_final is not None:
            momentum += (c.momentum_final - c.momentum) * min(max(progress, 0), 1)
        for name, lr in self._first_rates().items():
            for group in self._raw_optimizers[name].param_groups:
                group["lr"] = max(lr / c.lr_decay**self.step, c.lr_min)
                group["momentum"] = momentum

    def _scaled(self, x):
        """Data as the networks see it."""
        return 2 * x - 1 if self.data_range == "symmetric" and x.ndim == 4 else x

    def _as_data(self, x):
        return (x + 1) / 2 if self.data_range == "symmetric" and x.ndim == 4 else x


def _spread(unit):
    return (2 * unit - 1) * UNIFORM_LIMIT


def _logits(output, x):
    """D's answers as one float32 logit a row of `x`."""
    if output.numel() != len(x):
        raise ValueError(f"the discriminator must give one logit a row, got {tuple(output.shape)} for {len(x)} rows")
    return output.reshape(len(x)).float()
