"""Images per second of whole GAN epochs on MNIST, beside the plain loops that a user would write.

    python tests/benchmarks/gan_epoch.py [--rounds 7] [--out FILE]

Two models: an MLP GAN with batch normalisation in the generator (784 dimensions, batches of 64, Adam, the samples of
a step shared by both networks), in epochs of 15,000 images; and the networks of the 2014 paper, alternating and
simultaneous, in epochs of 3,000. In every round each side trains one epoch, in turn, in a process of its own. Compare
the ratios, never the absolute rates.
"""

import os

from _sides import compare, with_bf16_only_where_native

NOISE_DIM = 100
MLP_IMAGES, PAPER_IMAGES = 15_000, 3_000


class PlainLoop:
    """torchvision's MNIST, a DataLoader, Adam, a cross entropy on probabilities."""

    batch_size, images = 64, MLP_IMAGES

    def __init__(self, folder):
        import torch
        from torchvision import datasets, transforms

        torch.manual_seed(0)
        self.loss = torch.nn.BCELoss()
        data = datasets.MNIST(folder, transform=self.transform(transforms))
        self.loader = torch.utils.data.DataLoader(
            torch.utils.data.Subset(data, range(self.images)), batch_size=self.batch_size, shuffle=True
        )
        self.build()
        self.means = (0.0, 0.0)

    def transform(self, transforms):
        return transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])

    def build(self):
        import torch
        from torch import nn

        def block(n_in, n_out, normalise=True):
            return [nn.Linear(n_in, n_out), *([nn.BatchNorm1d(n_out)] * normalise), nn.LeakyReLU(0.2, inplace=True)]

        self.generator = nn.Sequential(
            *block(NOISE_DIM, 128, False),
            *block(128, 256),
            *block(256, 512),
            *block(512, 1024),
            nn.Linear(1024, 784),
            nn.Tanh(),
        )
        self.discriminator = nn.Sequential(
            *block(784, 512, False), *block(512, 256, False), nn.Linear(256, 1), nn.Sigmoid()
        )
        self.optimizers = [
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (self.generator, self.discriminator)
        ]

    def epoch(self):
        done, d_real, d_fake = 0, 0.0, 0.0
        for x, _ in self.loader:
            real, fake = self.step(x.view(len(x), -1))
            done, d_real, d_fake = done + len(x), d_real + real * len(x), d_fake + fake * len(x)
        self.means = (d_real / done, d_fake / done)
        return done

    def step(self, x):
        import torch

        of_generator, of_discriminator = self.optimizers
        ones, zeros = torch.ones(len(x), 1), torch.zeros(len(x), 1)
        samples = self.generator(torch.randn(len(x), NOISE_DIM))
        of_generator.zero_grad()
        self.loss(self.discriminator(samples), ones).backward()
        of_generator.step()
        of_discriminator.zero_grad()
        real, fake = self.discriminator(x), self.discriminator(samples.detach())
        ((self.loss(real, ones) + self.loss(fake, zeros)) / 2).backward()
        of_discriminator.step()
        return real.mean().item(), fake.mean().item()

    def report(self):
        return dict(zip(("mean_d_real", "mean_d_fake"), self.means))


class PlainPaper(PlainLoop):
    """The paper's networks by Algorithm 1."""

    batch_size, images = 100, PAPER_IMAGES

    def transform(self, transforms):
        return transforms.ToTensor()

    def build(self):
        import torch

        from coursekit.networks import build_gan

        self.generator, logits = build_gan((784,), NOISE_DIM, architecture="maxout", output="sigmoid")
        self.discriminator = torch.nn.Sequential(logits, torch.nn.Sigmoid(), torch.nn.Unflatten(0, (-1, 1)))
        self.optimizers = [
            torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.5)
            for network in (self.generator, self.discriminator)
        ]

    def noise(self, x):
        import torch

        return (2 * torch.rand(len(x), NOISE_DIM) - 1) * 3**0.5

    def step(self, x):
        import torch

        of_generator, of_discriminator = self.optimizers
        ones, zeros = torch.ones(len(x), 1), torch.zeros(len(x), 1)
        of_discriminator.zero_grad()
        samples = self.generator(self.noise(x)).detach()
        real, fake = self.discriminator(x), self.discriminator(samples)
        (self.loss(real, ones) + self.loss(fake, zeros)).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        self.loss(self.discriminator(self.generator(self.noise(x))), ones).backward()
        of_generator.step()
        return real.mean().item(), fake.mean().item()


class PlainPaperSimultaneous(PlainPaper):
    """The paper's networks as its code moves them: two gradients of one pass."""

    def step(self, x):
        import torch

        of_generator, of_discriminator = self.optimizers
        ones, zeros = torch.ones(len(x), 1), torch.zeros(len(x), 1)
        samples = self.generator(self.noise(x))
        real, fake = self.discriminator(x), self.discriminator(samples)
        loss_D, loss_G = (self.loss(real, ones) + self.loss(fake, zeros)) / 2, self.loss(fake, ones)
        for network, loss in ((self.generator, loss_G), (self.discriminator, loss_D)):
            weights = list(network.parameters())
            for weight, slope in zip(weights, torch.autograd.grad(loss, weights, retain_graph=True)):
                weight.grad = slope
        of_generator.step()
        of_discriminator.step()
        return real.mean().item(), fake.mean().item()


class Coursekit:
    """The MLP GAN through `GANTrainer`."""

    precision, images = "32-true", MLP_IMAGES

    def __init__(self, folder):
        from coursekit.data import load_images

        self.data = load_images("mnist").take(self.images)
        self.trainer = self.build()
        self.epochs = 0

    def build(self):
        from coursekit.trainers import GANTrainer

        return GANTrainer(
            noise_dim=NOISE_DIM, noise="normal", fresh_noise=False, data_range="symmetric", lr=2e-4, beta1=0.5,
            batch_size=64, device="cpu", precision=self.precision,
        )  # fmt: skip

    def epoch(self):
        self.epochs += 1
        self.trainer.fit(self.data, epochs=self.epochs, progress=False)
        return self.images

    def report(self):
        steps = self.trainer.steps_per_epoch
        return {f"mean_{term}": sum(self.trainer.history[term][-steps:]) / steps for term in ("d_real", "d_fake")}


class CoursekitUntuned(Coursekit):
    """Without the allocator's setting and the faster float32 products."""

    def __init__(self, folder):
        os.environ["COURSEKIT_CPU_TUNING"] = "0"
        super().__init__(folder)


class CoursekitBF16(Coursekit):
    precision = "bf16-mixed"


class CoursekitPaper(Coursekit):
    images, update = PAPER_IMAGES, "alternating"

    def build(self):
        from coursekit.trainers import GANConfig, GANTrainer

        return GANTrainer(GANConfig.paper(update=self.update), device="cpu")


class CoursekitPaperSimultaneous(CoursekitPaper):
    update = "simultaneous"


SIDES = {
    "plain loop": PlainLoop,
    "coursekit untuned": CoursekitUntuned,
    "coursekit float32": Coursekit,
    "coursekit bf16": CoursekitBF16,
    "plain paper alternating": PlainPaper,
    "coursekit paper alternating": CoursekitPaper,
    "plain paper simultaneous": PlainPaperSimultaneous,
    "coursekit paper simultaneous": CoursekitPaperSimultaneous,
}
BASELINES = {side: "plain loop" for side in SIDES if "paper" not in side} | {
    side: side.replace("coursekit", "plain") for side in SIDES if "paper" in side
}
GOALS = {
    "coursekit float32": 2.5,
    "coursekit bf16": 3,
    "coursekit paper alternating": 2,
    "coursekit paper simultaneous": 2,
}

if __name__ == "__main__":
    compare(
        __file__,
        with_bf16_only_where_native(SIDES),
        baselines=BASELINES,
        goals=GOALS,
        description=__doc__.splitlines()[0],
    )
