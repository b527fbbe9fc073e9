"""The failure museum: eight ways in which GAN training goes wrong, small enough to watch on a CPU.

Every exhibit is a `GANTrainer` run of a second or so, in two cases that differ in as little as possible: broken and
cured. A detector measures both. The detectors are functions of a trainer or its samples, for use on runs of your own.

    visit = EXHIBITS["mode collapse"].broken(seed=0)
    visit.measured, visit.alarm, visit.trainer

Book page "GANs in practice", section "The failure museum".
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import nn

from coursekit.data import ring_modes, ring_of_gaussians
from coursekit.errors import TrainingDiverged
from coursekit.losses.gan import generator_loss
from coursekit.metrics import mode_coverage
from coursekit.networks import MLPDiscriminator, MLPGenerator
from coursekit.trainers import GANTrainer

__all__ = [
    "EXHIBITS",
    "Case",
    "Exhibit",
    "Visit",
    "accuracy_gap",
    "distance_to_optimum",
    "generator_gradient_norm",
    "non_finite_steps",
    "relative_spread",
    "verdict_gap",
]

# -- detectors -------------------------------------------------------------------------------------


def relative_spread(samples, data):
    """How wide the samples lie, as a multiple of the data's width.

    Parameters
    ----------
    samples, data : Tensor (N, ...), (M, ...)
        At least two rows each; rows are flattened.

    Returns
    -------
    float
        Root of the ratio of the total variances: 1 when as wide as the data, 0 when all samples are one point.
    """
    width = lambda rows: rows.flatten(1).var(0).sum()  # noqa: E731
    return (width(samples) / width(data)).sqrt().item()


def generator_gradient_norm(trainer, n=512, seed=0):
    """Euclidean norm of the gradient of the generator's own loss in all its weights, on `n` samples.

    Parameters
    ----------
    trainer : GANTrainer
        Fitted, if only for one step. Its loss is the one it was told to use (``eq-gan-losses``).
    n, seed : int
        Noise to average over.

    Returns
    -------
    float
    """
    G, D = trainer.generator, trainer.discriminator
    z = trainer.sample_noise(n, seed).to(next(G.parameters()).device)
    loss = generator_loss(D(G(z)).reshape(-1), trainer.config.generator_loss)
    gradients = torch.autograd.grad(loss, list(G.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients]).norm().item()


def accuracy_gap(trainer, train, held_out):
    """Share of the training data that D calls real, minus that share of data it never saw.

    Parameters
    ----------
    trainer : GANTrainer
    train, held_out : Tensor (N, ...), (M, ...)
        Real data both.

    Returns
    -------
    float
        In [-1, 1]: near 0 for a D that knows the distribution, near 1 for one that knows the training set.
    """
    called_real = [(trainer.discriminate(x) > 0).float().mean().item() for x in (train, held_out)]
    return called_real[0] - called_real[1]


def verdict_gap(trainer, last=50):
    """How much better the samples fare before D in G's step than in D's step, over the last steps.

    Parameters
    ----------
    trainer : GANTrainer
        With k = 1, so that every step is one of both.
    last : int
        Steps to average over.

    Returns
    -------
    float
        In [-1, 1]: the mean of D(G(z)) read off ``loss_G``, minus the mean of ``d_fake``. D judges samples of the same
        generator in both, so it is near 0, unless D looks at something other than each sample.

    Notes
    -----
    The losses are means of logarithms: exp(-loss_G), or 1 - exp(loss_G) for the saturating loss, is a geometric mean
    where ``d_fake`` is an arithmetic one. And D has moved by one step in between. Expect a few hundredths.
    """
    loss_G = torch.tensor(trainer.history["loss_G"][-last:])
    saturating = trainer.config.generator_loss == "saturating"
    in_step_of_G = 1 - loss_G.exp() if saturating else torch.exp(-loss_G)
    return (in_step_of_G - torch.tensor(trainer.history["d_fake"][-last:])).mean().item()


def distance_to_optimum(trainer, log_p_data, log_p_g, x):
    """Mean distance of D to D* = p_data / (p_data + p_g) at the points `x` (``thm-optimal-discriminator``).

    Parameters
    ----------
    trainer : GANTrainer
    log_p_data, log_p_g : callable
        Points (N, d) -> log densities (N,), nats.
    x : Tensor (N, d)
        Where it counts: half data, half samples.

    Returns
    -------
    float
        In [0, 1].
    """
    best = torch.sigmoid(log_p_data(x) - log_p_g(x))
    return (trainer.discriminate(x).sigmoid() - best).abs().mean().item()


def non_finite_steps(trainer):
    """Number of steps in the trainer's history with a loss that is not finite. `fit` stops at the first."""
    losses = zip(trainer.history["loss_D"], trainer.history["loss_G"])
    return sum(not (math.isfinite(loss_D) and math.isfinite(loss_G)) for loss_D, loss_G in losses)


# -- what an exhibit is ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One run: data, networks and settings of `GANTrainer`.

    Attributes
    ----------
    data, generator, discriminator : callable
        () -> Tensor (N, d), nn.Module, nn.Module; they draw with torch's global random state.
    settings : mapping
        Fields of `GANConfig`.
    """

    data: Callable
    generator: Callable
    discriminator: Callable
    settings: Mapping

    def set_up(self, seed):
        """An unfitted `GANTrainer` and its data, both fixed by `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            x, generator, discriminator = self.data(), self.generator(), self.discriminator()
        trainer = GANTrainer(
            generator=generator, discriminator=discriminator, seed=seed, device="cpu", **_COMMON | dict(self.settings)
        )
        return trainer, x

    def but(self, **settings):
        """The same case with some settings changed."""
        return replace(self, settings={**self.settings, **settings})


@dataclass(frozen=True)
class Visit:
    """What one run of an exhibit gave.

    Attributes
    ----------
    trainer : GANTrainer
        As the run left it.
    data : Tensor (N, d)
        What it was trained on.
    measured : float
        By the exhibit's detector.
    alarm : bool
        Whether the detector fires.
    """

    trainer: GANTrainer = field(repr=False)
    data: torch.Tensor = field(repr=False)
    measured: float
    alarm: bool


@dataclass(frozen=True)
class Exhibit:
    """A failure, its detector and its cure.

    Attributes
    ----------
    title : str
    measures : str
        What the detector measures.
    threshold : float
    alarm_above : bool
        Whether the detector fires above the threshold, or below it.
    cure : str
        What the cured case does differently.
    broken_case, cured_case : Case
    run : callable
        (trainer, data) -> measured; fits the trainer.
    """

    title: str
    measures: str
    threshold: float
    alarm_above: bool
    cure: str
    broken_case: Case = field(repr=False)
    cured_case: Case = field(repr=False)
    run: Callable = field(repr=False)

    def broken(self, seed=0):
        """Run the broken case; a `Visit`."""
        return self._visit(self.broken_case, seed)

    def cured(self, seed=0):
        """Run the cured case; a `Visit`."""
        return self._visit(self.cured_case, seed)

    def alarm(self, measured):
        """Whether the detector fires at this value."""
        return measured > self.threshold if self.alarm_above else measured < self.threshold

    def _visit(self, case, seed):
        trainer, x = case.set_up(seed)
        measured = float(self.run(trainer, x))
        return Visit(trainer, x, measured, self.alarm(measured))


# -- the exhibits ------------------------------------------------------------------------------------

_COMMON = dict(noise="normal", noise_dim=2, batch_size=128)


def _fit(trainer, x, steps):
    return trainer.fit(x, max_steps=steps, progress=False)


def _generator(hidden):
    return MLPGenerator(2, (2,), (hidden, hidden), batch_norm=False, slope=0, output="linear")


def _blob():
    """2,000 points around (3, 0), where an untrained generator makes nothing."""
    return torch.tensor([3.0, 0.0]) + 0.1 * torch.randn(2000, 2)


RING = Case(
    data=lambda: ring_of_gaussians(modes=8, radius=2.0, std=0.1).sample((5000,)),
    generator=partial(_generator, 64),
    discriminator=lambda: MLPDiscriminator((2,), (64, 64)),
    settings=dict(lr=1e-3, discriminator_lr=2e-3),
)


def _modes_of_the_ring(trainer, x):
    samples = _fit(trainer, x, steps=300).sample(2000)
    # Within 3 standard deviations of a mode; a mode counts with a tenth of its fair share, 250.
    return mode_coverage(samples, ring_modes(8, 2.0), radius=0.3, minimum=25)[0]


def _spread_on_the_ring(trainer, x):
    return relative_spread(_fit(trainer, x, steps=300).sample(2000), x)


BLOB = Case(
    data=_blob,
    generator=partial(_generator, 32),
    discriminator=lambda: MLPDiscriminator((2,), (32, 32)),
    settings=dict(lr=1e-3, discriminator_lr=1e-2, k=10, generator_loss="saturating"),
)


def _gradient_left(trainer, x):
    at_start = generator_gradient_norm(_fit(trainer, x, steps=1))
    return generator_gradient_norm(_fit(trainer, x, steps=300)) / at_start


FEW = Case(
    data=lambda: torch.randn(50, 20),
    generator=lambda: nn.Linear(20, 20),
    discriminator=lambda: MLPDiscriminator((20,), (128,)),
    settings=dict(lr=1e-3, noise_dim=20, batch_size=50),
)


def _gap_on_unseen(trainer, x):
    unseen = torch.randn(1000, 20, generator=torch.Generator().manual_seed(10_000 + trainer.config.seed))
    return accuracy_gap(_fit(trainer, x, steps=300), x, unseen)


class _Affine(nn.Module):
    """x = shift + scale z: a generator of Gaussians on the line, whose density is known."""

    def __init__(self):
        super().__init__()
        self.shift, self.scale = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(1.0))

    def forward(self, z):
        return self.shift + self.scale * z

    def log_density(self, x):
        distribution = torch.distributions.Normal(self.shift.detach(), self.scale.detach().abs())
        return distribution.log_prob(x).squeeze(1)


LINE = Case(
    data=lambda: 3 + torch.randn(2000, 1),
    generator=_Affine,
    discriminator=lambda: MLPDiscriminator((1,), (32, 32)),
    settings=dict(lr=1e-2, discriminator_lr=1e-3, noise_dim=1),
)


def _worst_distance_to_optimum(trainer, x):
    log_p_data = lambda x: torch.distributions.Normal(3.0, 1.0).log_prob(x).squeeze(1)  # noqa: E731
    distances = []
    for step in range(150, 301, 25):  # not before D has had time to learn anything
        _fit(trainer, x, step)
        points = torch.cat([x[:500], trainer.sample(500)])
        distances.append(distance_to_optimum(trainer, log_p_data, trainer.generator.log_density, points))
    return max(distances)


def _normalised_discriminator():
    return nn.Sequential(
        nn.Linear(2, 64),
        nn.LeakyReLU(0.2),
        nn.Linear(64, 64),
        nn.BatchNorm1d(64),
        nn.LeakyReLU(0.2),
        nn.Linear(64, 1),
    )


WIDE_BLOB = Case(
    data=lambda: torch.tensor([3.0, 0.0]) + 0.5 * torch.randn(2000, 2),
    generator=partial(_generator, 32),
    discriminator=_normalised_discriminator,
    settings=dict(lr=1e-3, joint_pass=True),
)


def _gap_of_verdicts(trainer, x):
    return verdict_gap(_fit(trainer, x, steps=200))


class _Point(nn.Module):
    """The generator of the Dirac-GAN: the number theta, whatever the noise."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.ones(1))

    def forward(self, z):
        return self.theta.expand(len(z), 1)


class _Slope(nn.Module):
    """The discriminator of the Dirac-GAN: the logit psi x."""

    def __init__(self):
        super().__init__()
        self.psi = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.psi * x


DIRAC = Case(
    data=lambda: torch.zeros(16, 1),
    generator=_Point,
    discriminator=_Slope,
    settings=dict(optimizer="sgd", momentum=0.0, lr=0.2, noise_dim=1, batch_size=16, generator_loss="saturating"),
)


def _distance_from_rest(trainer, x):
    _fit(trainer, x, steps=200)
    at_start = math.sqrt(2)
    return math.hypot(trainer.generator.theta.item(), trainer.discriminator.psi.item()) / at_start


class _ThroughProbability(nn.Module):
    """A discriminator that ends in a sigmoid, turned back into logits: the probability is rounded on the way."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return torch.logit(torch.sigmoid(self.inner(x)))


FAR = replace(
    BLOB.but(discriminator_lr=0.1),
    data=lambda: 10 * _blob(),
    discriminator=lambda: _ThroughProbability(BLOB.discriminator()),
)


def _non_finite(trainer, x):
    try:
        _fit(trainer, x, steps=200)
    except TrainingDiverged:
        pass
    return non_finite_steps(trainer)


EXHIBITS = {
    "mode collapse": Exhibit(
        title="Mode collapse on a ring of 8 Gaussians",
        measures="modes reached, of 8",
        threshold=5,
        alarm_above=False,
        cure="Adam with β₁ = 0.5 instead of 0.9",
        broken_case=RING.but(beta1=0.9),
        cured_case=RING.but(beta1=0.5),
        run=_modes_of_the_ring,
    ),
    "D too strong": Exhibit(
        title="A discriminator that is too strong",
        measures="gradient norm of G's loss, as a multiple of that at the start",
        threshold=0.1,
        alarm_above=False,
        cure="the non-saturating loss",
        broken_case=BLOB,
        cured_case=BLOB.but(generator_loss="non_saturating"),
        run=_gradient_left,
    ),
    "out of step": Exhibit(
        title="Generator and discriminator out of step",
        measures="spread of the samples, as a multiple of the data's",
        threshold=0.5,
        alarm_above=False,
        cure="a learning rate for D of twice G's, instead of 3% of it",
        broken_case=RING.but(discriminator_lr=3e-5),
        cured_case=RING,
        run=_spread_on_the_ring,
    ),
    "D overfitting": Exhibit(
        title="A discriminator that overfits",
        measures="share called real of the training data, minus that of unseen data",
        threshold=0.3,
        alarm_above=True,
        cure="5,000 training points instead of 50",
        broken_case=FEW,
        cured_case=replace(FEW, data=lambda: torch.randn(5000, 20)),
        run=_gap_on_unseen,
    ),
    "k too small": Exhibit(
        title="Too few discriminator steps",
        measures="largest mean distance of D to D* during training",
        threshold=0.1,
        alarm_above=True,
        cure="k = 10 instead of 1",
        broken_case=LINE.but(k=1),
        cured_case=LINE.but(k=10),
        run=_worst_distance_to_optimum,
    ),
    "BatchNorm leak": Exhibit(
        title="Batch normalisation that tells real from fake",
        measures="D(G(z)) in G's step, minus that in D's step",
        threshold=0.2,
        alarm_above=True,
        cure="data and samples in batches of their own",
        broken_case=WIDE_BLOB,
        cured_case=WIDE_BLOB.but(joint_pass=False),
        run=_gap_of_verdicts,
    ),
    "orbit": Exhibit(
        title="The Dirac-GAN's orbit",
        measures="distance from the equilibrium, as a multiple of that at the start",
        threshold=0.5,
        alarm_above=True,
        cure="an R1 penalty of weight 1",
        broken_case=DIRAC,
        cured_case=DIRAC.but(r1=1.0),
        run=_distance_from_rest,
    ),
    "non-finite loss": Exhibit(
        title="A loss that is not finite",
        measures="steps with a loss that is not finite",
        threshold=0,
        alarm_above=True,
        cure="logits from D, instead of probabilities turned into logits",
        broken_case=FAR,
        cured_case=replace(FAR, discriminator=BLOB.discriminator),
        run=_non_finite,
    ),
}
