"""CycleGAN's training step beside the plain loop of the best-known implementation.

Two settings of the paper, batches of 1 and no identity loss: 128x128 pixels with 6 blocks, and 256x256 with 9. The
plain loop is written afresh, with the step of junyanz/pytorch-CycleGAN-and-pix2pix (``models/cycle_gan_model.py``):
G and F together with the discriminators frozen, then each discriminator on an image and on one of the pool, one Adam
for the translators and one for the judges. Networks, batches, precision and threads are the same. An image is one
step: one of X and one of Y.
"""

import itertools
import random

from _sides import clouds, trainings

LAMBDA_CYCLE = 10
SETTINGS = {"cyclegan-128": dict(size=128, blocks=6), "cyclegan-256": dict(size=256, blocks=9)}
GOALS = {"coursekit": 1.15, "bf16": 1.8}


class Pool:
    """Up to `size` earlier translations, of which every second answer is one."""

    def __init__(self, size=50):
        self.images, self.size = [], size

    def query(self, image):
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        if not self.size or random.random() < 0.5:
            return image
        place = random.randrange(self.size)
        old, self.images[place] = self.images[place].clone(), image
        return old


class PlainLoop:
    """The step of the translators `G`, `F` and the judges `D_X`, `D_Y`."""

    def __init__(self, G, F, D_X, D_Y, pool_size=50):
        import torch

        self.G, self.F, self.D_X, self.D_Y = G, F, D_X, D_Y
        self.of_translators, self.of_judges = (
            torch.optim.Adam(itertools.chain(*(part.parameters() for part in parts)), lr=2e-4, betas=(0.5, 0.999))
            for parts in ((G, F), (D_X, D_Y))
        )
        self.pool_X, self.pool_Y = Pool(pool_size), Pool(pool_size)
        self.squares, self.absolute = torch.nn.MSELoss(), torch.nn.L1Loss()

    def step(self, x, y):
        """One step on images in [-1, 1]; the losses of the translators, D_X and D_Y."""
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


def networks(shape, blocks, seed=0, **slim):
    """G, F, D_X and D_Y for the plain loop."""
    import torch

    from coursekit.networks.cyclegan import PatchDiscriminator, ResnetGenerator
    from coursekit.networks.dcgan import normal_weights

    torch.manual_seed(seed)
    translators = [normal_weights(ResnetGenerator(shape, blocks=blocks, **slim)) for _ in range(2)]
    return *translators, *(normal_weights(PatchDiscriminator(shape, **slim)) for _ in range(2))


class Plain:
    """A round of one step. `networks` makes G, F, D_X and D_Y of (shape, blocks)."""

    def __init__(self, folder, size, blocks, device, networks=networks):
        random.seed(0)
        self.loop = PlainLoop(*(network.to(device) for network in networks((3, size, size), blocks)))
        x = clouds(size, 1)
        self.x, self.y = (images.to(device).float() / 127.5 - 1 for images in (x, 255 - x))

    def epoch(self):
        self.loop.step(self.x, self.y)
        return 1


class Coursekit:
    def __init__(self, folder, size, blocks, device, precision="32-true", compile=False):
        from coursekit.trainers import CycleGANTrainer

        self.x = clouds(size, 1)
        self.trainer = CycleGANTrainer(blocks=blocks, device=device, precision=precision, compile=compile)

    def epoch(self):
        self.trainer.fit((self.x, 255 - self.x), max_steps=self.trainer.step + 1, progress=False)
        return 1


def workloads(on):
    workloads = {}
    for name, options in SETTINGS.items():
        # Compiling networks of 256 pixels takes minutes, and gains what it does at 128.
        small = name == "cyclegan-128"
        workloads[name] = trainings(Plain, Coursekit, options, GOALS, compiles=small, untuned=False, on=on)
    return workloads
