"""GANs' epochs on MNIST beside the plain loops that a user would write.

Two models: an MLP GAN with batch normalisation in the generator (784 dimensions, batches of 64, Adam, the samples of
a step shared by both networks), in epochs of 15,000 images; and the networks of the 2014 paper, alternating and
simultaneous, in epochs of 3,000.
"""

from _sides import mnist_for_torchvision, trainings

NOISE_DIM = 100
MLP_IMAGES, PAPER_IMAGES = 15_000, 3_000


class PlainLoop:
    """torchvision's MNIST, a DataLoader, Adam, a cross entropy on probabilities."""

    batch_size, images = 64, MLP_IMAGES

    def __init__(self, folder, device):
        import torch
        from torchvision import datasets, transforms

        torch.manual_seed(0)
        self.loss = torch.nn.BCELoss()
        data = datasets.MNIST(folder, transform=self.transform(transforms))
        self.loader = torch.utils.data.DataLoader(
            torch.utils.data.Subset(data, range(self.images)), batch_size=self.batch_size, shuffle=True
        )
        self.device = device
        self.build()

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
        self.optimizers_of(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999))

    def optimizers_of(self, kind, **options):
        networks = self.generator.to(self.device), self.discriminator.to(self.device)
        self.optimizers = [kind(network.parameters(), **options) for network in networks]

    def epoch(self):
        totals = [0.0, 0.0]
        for x, _ in self.loader:
            told = self.step(x.view(len(x), -1).to(self.device))
            totals = [total + mean * len(x) for total, mean in zip(totals, told)]
        return self.images

    def step(self, x):
        import torch

        of_generator, of_discriminator = self.optimizers
        ones, zeros = x.new_ones(len(x), 1), x.new_zeros(len(x), 1)
        samples = self.generator(torch.randn(len(x), NOISE_DIM, device=x.device))
        of_generator.zero_grad()
        self.loss(self.discriminator(samples), ones).backward()
        of_generator.step()
        of_discriminator.zero_grad()
        real, fake = self.discriminator(x), self.discriminator(samples.detach())
        ((self.loss(real, ones) + self.loss(fake, zeros)) / 2).backward()
        of_discriminator.step()
        return real.mean().item(), fake.mean().item()


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
        self.optimizers_of(torch.optim.SGD, lr=0.1, momentum=0.5)

    def noise(self, x):
        import torch

        return (2 * torch.rand(len(x), NOISE_DIM, device=x.device) - 1) * 3**0.5

    def step(self, x):

        of_generator, of_discriminator = self.optimizers
        ones, zeros = x.new_ones(len(x), 1), x.new_zeros(len(x), 1)
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
        ones, zeros = x.new_ones(len(x), 1), x.new_zeros(len(x), 1)
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

    images = MLP_IMAGES

    def __init__(self, folder, **how):
        from coursekit.data import load_images

        self.data, self.epochs = load_images("mnist").take(self.images), 0
        self.trainer = self.build(**how)

    def build(self, **how):
        from coursekit.trainers import GANTrainer

        return GANTrainer(
            noise_dim=NOISE_DIM, noise="normal", fresh_noise=False, data_range="symmetric", lr=2e-4, beta1=0.5,
            batch_size=64, **{"precision": "32-true"} | how,
        )  # fmt: skip

    def epoch(self):
        self.epochs += 1
        self.trainer.fit(self.data, epochs=self.epochs, progress=False)
        return self.images


class CoursekitPaper(Coursekit):
    images = PAPER_IMAGES

    def build(self, update="alternating", **how):
        from coursekit.trainers import GANConfig, GANTrainer

        return GANTrainer(GANConfig.paper(update=update), **{"precision": "32-true"} | how)


class CoursekitPaperSimultaneous(CoursekitPaper):
    def build(self, **how):
        return super().build("simultaneous", **how)


def workloads(on):
    sides = {
        "mlp-gan": (PlainLoop, Coursekit, {"coursekit": 2.5, "bf16": 3}),
        "paper-gan-alternating": (PlainPaper, CoursekitPaper, {"coursekit": 2}),
        "paper-gan-simultaneous": (PlainPaperSimultaneous, CoursekitPaperSimultaneous, {"coursekit": 2}),
    }
    return {
        name: trainings(plain, ours, {}, goals, prepare=mnist_for_torchvision, compiles=name == "mlp-gan", on=on)
        for name, (plain, ours, goals) in sides.items()
    }
