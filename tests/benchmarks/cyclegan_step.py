"""Images per second of CycleGAN's training steps, beside the plain loop of the best-known implementation.

    python tests/benchmarks/cyclegan_step.py [--rounds 3] [--out FILE]

Two settings of the paper, batches of 1 and no identity loss: 128x128 pixels with 6 blocks, and 256x256 with 9. The
plain loop is written afresh, with the step of junyanz/pytorch-CycleGAN-and-pix2pix (``models/cycle_gan_model.py``):
G and F together with the discriminators frozen, then each discriminator on an image and on one of the pool, one
Adam for the translators and one for the judges. Networks, batches, precision and threads are the same. In every
round each side trains a step or two, in turn, in a process of its own. An image is one step: one of X and one of Y.
Compare the ratios, never the absolute rates; for operations and the ceiling see ``dcgan_step.py``.
"""

import itertools
import random

from _sides import CEILING, ConvolutionCeiling, compare, counted_gflop, with_bf16_only_where_native
from dcgan_step import images

POOL, LAMBDA_CYCLE = 50, 10


class Step:
    """What both sides share: a round of `steps` steps, and their losses."""

    size, blocks, steps = 128, 6, 2

    def __init__(self, folder):
        self.x = images(self.size, 1)
        self.y = 255 - self.x
        self.losses = {"loss_G": [], "loss_D_X": [], "loss_D_Y": []}
        self.build()
        self.run(1)  # what is done once in a process is not part of a step
        self.gflop = counted_gflop(lambda: self.run(1))

    def epoch(self):
        rows = self.run(self.steps)
        for name, values in zip(self.losses, zip(*rows)):
            self.losses[name].append(sum(values) / len(values))
        return self.steps

    def report(self):
        return {"gflop_per_image": self.gflop, **self.losses}


class Pool:
    """Up to 50 earlier translations, of which every second answer is one."""

    def __init__(self):
        self.images = []

    def query(self, image):
        if len(self.images) < POOL:
            self.images.append(image)
            return image
        if random.random() < 0.5:
            return image
        place = random.randrange(POOL)
        old, self.images[place] = self.images[place].clone(), image
        return old


class Plain128(Step):
    def build(self):
        import torch

        from coursekit.networks.cyclegan import PatchDiscriminator, ResnetGenerator
        from coursekit.networks.dcgan import normal_weights

        torch.manual_seed(0)
        random.seed(0)
        shape = (3, self.size, self.size)
        self.G, self.F = (normal_weights(ResnetGenerator(shape, blocks=self.blocks)) for _ in range(2))
        self.D_X, self.D_Y = (normal_weights(PatchDiscriminator(shape)) for _ in range(2))
        self.of_translators, self.of_judges = (
            torch.optim.Adam(
                itertools.chain(*(network.parameters() for network in networks)), lr=2e-4, betas=(0.5, 0.999)
            )
            for networks in ((self.G, self.F), (self.D_X, self.D_Y))
        )
        self.pool_X, self.pool_Y = Pool(), Pool()
        self.squares, self.absolute = torch.nn.MSELoss(), torch.nn.L1Loss()
        self.done = 0

    def run(self, steps):
        return [self.step() for _ in range(steps)]

    def step(self):
        x, y = (part[self.done % len(part)][None].float() / 127.5 - 1 for part in (self.x, self.y))
        self.done += 1
        y_fake, x_fake = self.G(x), self.F(y)
        x_cycled, y_cycled = self.F(y_fake), self.G(x_fake)
        self.judges_learn(False)
        self.of_translators.zero_grad()
        loss_G = (
            self.towards(self.D_Y(y_fake), 1)
            + self.towards(self.D_X(x_fake), 1)
            + LAMBDA_CYCLE * self.absolute(x_cycled, x)
            + LAMBDA_CYCLE * self.absolute(y_cycled, y)
        )
        loss_G.backward()
        self.of_translators.step()
        self.judges_learn(True)
        self.of_judges.zero_grad()
        loss_D_X = self.judge(self.D_X, x, self.pool_X.query(x_fake.detach()))
        loss_D_Y = self.judge(self.D_Y, y, self.pool_Y.query(y_fake.detach()))
        self.of_judges.step()
        return loss_G.item(), 2 * loss_D_X.item(), 2 * loss_D_Y.item()

    def judge(self, D, real, fake):
        loss = (self.towards(D(real), 1) + self.towards(D(fake), 0)) / 2
        loss.backward()
        return loss

    def towards(self, scores, target):
        return self.squares(scores, scores.new_full(scores.shape, target))

    def judges_learn(self, learn):
        for weight in itertools.chain(self.D_X.parameters(), self.D_Y.parameters()):
            weight.requires_grad_(learn)


class Coursekit128(Step):
    precision = "32-true"

    def build(self):
        from coursekit.trainers import CycleGANTrainer

        self.trainer = CycleGANTrainer(blocks=self.blocks, device="cpu", precision=self.precision)

    def run(self, steps):
        self.trainer.fit((self.x, self.y), max_steps=self.trainer.step + steps, progress=False)
        return list(zip(*(self.trainer.history[name][-steps:] for name in self.losses)))


class Coursekit128BF16(Coursekit128):
    precision = "bf16-mixed"


class Plain256(Plain128):
    size, blocks, steps = 256, 9, 1


class Coursekit256(Coursekit128):
    size, blocks, steps = 256, 9, 1


class Coursekit256BF16(Coursekit256):
    precision = "bf16-mixed"


SIDES = {
    CEILING: ConvolutionCeiling,
    "plain 128": Plain128,
    "coursekit 128 float32": Coursekit128,
    "coursekit 128 bf16": Coursekit128BF16,
    "plain 256": Plain256,
    "coursekit 256 float32": Coursekit256,
    "coursekit 256 bf16": Coursekit256BF16,
}
BASELINES = {side: f"plain {side.split()[1]}" for side in SIDES if side != CEILING}
GOALS = {side: 1.8 if side.endswith("bf16") else 1.15 for side in SIDES if side.startswith("coursekit")}

if __name__ == "__main__":
    compare(
        __file__,
        with_bf16_only_where_native(SIDES),
        baselines=BASELINES,
        goals=GOALS,
        description=__doc__.splitlines()[0],
        prepare=lambda folder: None,
    )
