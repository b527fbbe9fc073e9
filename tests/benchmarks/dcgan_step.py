"""DCGAN's training step beside the plain loop of the common tutorials.

Two settings, 100 noise dimensions and width 64: 32x32 pixels in batches of 64, and 64x64 in batches of 128. The plain
loop is written afresh, with the step of pytorch/examples (``dcgan/main.py``): D on data, D on samples, two backward
passes, then G through D, with Adam and cross entropies on probabilities. Networks, batches, precision and threads are
the same.
"""

from _sides import clouds, trainings

NOISE_DIM, WIDTH = 100, 64
SETTINGS = {"dcgan-32": dict(size=32, batch_size=64, steps=4), "dcgan-64": dict(size=64, batch_size=128, steps=1)}
GOALS = {"dcgan-32": {"coursekit": 2.0, "bf16": 3.5}, "dcgan-64": {"coursekit": 1.6, "bf16": 2.7}}


class PlainLoop:
    """The step. `generator`: (n, K) -> images in [-1, 1]; `discriminator`: images -> probabilities (n,)."""

    def __init__(self, generator, discriminator):
        import torch

        self.generator, self.discriminator = generator, discriminator
        self.of_generator, self.of_discriminator = (
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (generator, discriminator)
        )
        self.loss = torch.nn.BCELoss()

    def step(self, x, z):
        """One step on data `x` in [-1, 1] and noise `z`; the losses of D and G."""
        ones, zeros = x.new_ones(len(x)), x.new_zeros(len(x))
        self.discriminator.zero_grad()
        d_real = self.discriminator(x)
        loss_real = self.loss(d_real, ones)
        loss_real.backward()
        x_fake = self.generator(z)
        d_fake = self.discriminator(x_fake.detach())
        loss_fake = self.loss(d_fake, zeros)
        loss_fake.backward()
        self.of_discriminator.step()

        self.generator.zero_grad()
        d_fake_after = self.discriminator(x_fake)
        loss_G = self.loss(d_fake_after, ones)
        loss_G.backward()
        self.of_generator.step()
        for told in (d_real, d_fake, d_fake_after):
            told.mean().item()
        return (loss_real + loss_fake).item(), loss_G.item()


def networks(shape, width, seed=0):
    """G and D for the plain loop, D with probabilities."""
    import torch

    from coursekit.networks.dcgan import DCGANDiscriminator, DCGANGenerator, normal_weights

    torch.manual_seed(seed)
    generator = normal_weights(DCGANGenerator(NOISE_DIM, shape, width))
    return generator, torch.nn.Sequential(normal_weights(DCGANDiscriminator(shape, width)), torch.nn.Sigmoid())


class Plain:
    """A round of `steps` steps. `networks` makes G and D of (shape, width)."""

    def __init__(self, folder, size, batch_size, steps, device, networks=networks):
        import torch

        self.steps, self.device = steps, device
        self.loop = PlainLoop(*(network.to(device) for network in networks((3, size, size), WIDTH)))
        data = torch.utils.data.TensorDataset(clouds(size, 8 * batch_size).float() / 127.5 - 1)
        self.loader = torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=True)
        self.batches = iter(())

    def next(self):
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        return batch[0].to(self.device)

    def epoch(self):
        import torch

        images = 0
        for _ in range(self.steps):
            x = self.next()
            self.loop.step(x, torch.randn(len(x), NOISE_DIM, device=self.device))
            images += len(x)
        return images


class Coursekit:
    def __init__(self, folder, size, batch_size, steps, device, precision="32-true", compile=False):
        from coursekit.trainers import DCGANTrainer

        self.x, self.steps = clouds(size, 8 * batch_size), steps
        self.trainer = DCGANTrainer(
            noise_dim=NOISE_DIM, width=WIDTH, batch_size=batch_size, device=device, precision=precision, compile=compile
        )

    def epoch(self):
        self.trainer.fit(self.x, max_steps=self.trainer.step + self.steps, progress=False)
        return self.steps * self.trainer.config.batch_size


def workloads(on):
    return {name: trainings(Plain, Coursekit, options, GOALS[name], on=on) for name, options in SETTINGS.items()}
