"""Images per second of DCGAN's training steps, beside the plain loop of the common tutorials.

    python tests/benchmarks/dcgan_step.py [--rounds 4] [--out FILE]

Two settings, 100 noise dimensions and width 64: 32x32 pixels in batches of 64, and 64x64 in batches of 128. The
plain loop is written afresh, with the step of pytorch/examples (``dcgan/main.py``): D on data, D on samples, two
backward passes, then G through D, with Adam and cross entropies on probabilities. Networks, batches, precision and
threads are the same. In every round each side trains a few steps, in turn, in a process of its own. Compare the
ratios, never the absolute rates. Each side also tells its operations, counted by torch, and their share of what the
machine reaches in its fastest large convolution in the same round.
"""

from _sides import CEILING, ConvolutionCeiling, compare, counted_gflop, with_bf16_only_where_native

NOISE_DIM, WIDTH = 100, 64


def images(size, batch_size):
    """Coloured clouds, (8 batches, 3, size, size), uint8: the same on every side."""
    import torch

    clouds = torch.rand(8 * batch_size, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    clouds = torch.nn.functional.interpolate(clouds, size=(size, size), mode="bilinear")
    return (clouds * 255).round().to(torch.uint8)


class Step:
    """What both sides share: a round of `steps` steps, and their losses."""

    size, batch_size, steps = 32, 64, 4

    def __init__(self, folder):
        self.x = images(self.size, self.batch_size)
        self.losses = {"loss_D": [], "loss_G": []}
        self.build()
        self.run(1)  # what is done once in a process is not part of a step
        self.gflop = counted_gflop(lambda: self.run(1)) / self.batch_size

    def epoch(self):
        rows = self.run(self.steps)
        for name, values in zip(self.losses, zip(*rows)):
            self.losses[name].append(sum(values) / len(values))
        return self.steps * self.batch_size

    def report(self):
        return {"gflop_per_image": self.gflop, **self.losses}


class Plain32(Step):
    def build(self):
        import torch

        from coursekit.networks.dcgan import DCGANDiscriminator, DCGANGenerator, normal_weights

        torch.manual_seed(0)
        shape = (3, self.size, self.size)
        self.generator = normal_weights(DCGANGenerator(NOISE_DIM, shape, WIDTH))
        logits = normal_weights(DCGANDiscriminator(shape, WIDTH))
        self.discriminator = torch.nn.Sequential(logits, torch.nn.Sigmoid())
        self.of_generator, self.of_discriminator = (
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (self.generator, self.discriminator)
        )
        self.loss = torch.nn.BCELoss()
        data = torch.utils.data.TensorDataset(self.x.float() / 127.5 - 1)
        self.loader = torch.utils.data.DataLoader(data, batch_size=self.batch_size, shuffle=True)
        self.batches = iter(())

    def run(self, steps):
        return [self.step(self.next()) for _ in range(steps)]

    def next(self):
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        return batch[0]

    def step(self, x):
        import torch

        ones, zeros = torch.ones(len(x)), torch.zeros(len(x))
        self.discriminator.zero_grad()
        d_real = self.discriminator(x)
        loss_real = self.loss(d_real, ones)
        loss_real.backward()
        x_fake = self.generator(torch.randn(len(x), NOISE_DIM))
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


class Coursekit32(Step):
    precision = "32-true"

    def build(self):
        from coursekit.trainers import DCGANTrainer

        self.trainer = DCGANTrainer(
            noise_dim=NOISE_DIM, width=WIDTH, batch_size=self.batch_size, device="cpu", precision=self.precision
        )

    def run(self, steps):
        self.trainer.fit(self.x, max_steps=self.trainer.step + steps, progress=False)
        return list(zip(*(self.trainer.history[name][-steps:] for name in ("loss_D", "loss_G"))))


class Coursekit32BF16(Coursekit32):
    precision = "bf16-mixed"


class Plain64(Plain32):
    size, batch_size, steps = 64, 128, 1


class Coursekit64(Coursekit32):
    size, batch_size, steps = 64, 128, 1


class Coursekit64BF16(Coursekit64):
    precision = "bf16-mixed"


SIDES = {
    CEILING: ConvolutionCeiling,
    "plain 32": Plain32,
    "coursekit 32 float32": Coursekit32,
    "coursekit 32 bf16": Coursekit32BF16,
    "plain 64": Plain64,
    "coursekit 64 float32": Coursekit64,
    "coursekit 64 bf16": Coursekit64BF16,
}
BASELINES = {side: f"plain {side.split()[1]}" for side in SIDES if side != CEILING}
GOALS = {
    "coursekit 32 float32": 2.0,
    "coursekit 32 bf16": 3.5,
    "coursekit 64 float32": 1.6,
    "coursekit 64 bf16": 2.7,
}

if __name__ == "__main__":
    compare(
        __file__,
        with_bf16_only_where_native(SIDES),
        baselines=BASELINES,
        goals=GOALS,
        description=__doc__.splitlines()[0],
        prepare=lambda folder: None,
    )
