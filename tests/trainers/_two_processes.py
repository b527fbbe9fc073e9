"""Fits every trainer on the same data, as one process or as two; then, if asked, loses one of the processes.

Arguments: folder for the runs, devices, and what happens at the end: "nothing", "killed" (rank 1 dies by SIGKILL in
the middle of a step), or, with no fits before it, "parent killed" and "child killed", where the process that is left
waits for something that never comes, as it would in a collective on GPUs.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from coursekit.data import ImageSet
from coursekit.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from coursekit.trainers import (
    AutoencoderTrainer,
    AutoregressiveTrainer,
    ClassifierTrainer,
    CycleGANTrainer,
    DCGANTrainer,
    GANTrainer,
    VAETrainer,
)

COMMON = dict(batch_size=16, epochs=3, lr=1e-2, device="cpu")
SMALL = COMMON | dict(hidden=(12,))
GAN = COMMON | dict(noise_dim=4, generator_hidden=(12,), discriminator_hidden=(12,), ema_decay=0.9)
DCGAN = COMMON | dict(noise_dim=4, width=4, lr=1e-3, ema_decay=0.9)
CYCLEGAN = COMMON | dict(width=4, blocks=1, discriminator_layers=1, decay_epochs=1, lr=1e-4, ema_decay=0.9)
STEPS = {"cyclegan, instances": 1}  # of 9 for the others


def images():
    """45 images of noise, so that the last of three minibatches is odd; and 33 of a second kind."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (45,), generator=generator)
    pixels = torch.randint(0, 256, (45, 1, 8, 8), generator=generator, dtype=torch.uint8)
    others = torch.randint(0, 100, (33, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return ImageSet(pixels, labels, "noise", ("a", "b", "c"), "generated"), others


def dcgan_networks(norm):
    """G and D of DCGAN with another normalisation, `norm(channels)`, in the place of batch normalisation."""
    torch.manual_seed(0)
    networks = {
        "generator": DCGANGenerator(4, (1, 8, 8), 4),
        "discriminator": DCGANDiscriminator((1, 8, 8), 4, norm="everywhere"),
    }
    for network in networks.values():
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.BatchNorm2d):
                    setattr(parent, name, norm(child.num_features))
    return networks


class EvaluatedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation that never takes its statistics from the batch."""

    def train(self, mode=True):
        return super().train(False)


def trainers(devices):
    """The trainers whose two processes equal one, by name; made one after the other, as they are asked for."""
    makers = {
        "vae": lambda d: VAETrainer(latent_dim=3, ema_decay=0.9, **SMALL, **d),
        "classifier": lambda d: ClassifierTrainer(**SMALL, **d),
        "denoising": lambda d: AutoencoderTrainer(
            latent_dim=4, noise_std=0.2, mask_rate=0.2, bottleneck_dropout=(0.1, 0.6), **SMALL, **d
        ),
        "sparse": lambda d: AutoencoderTrainer(
            latent_dim=4, code_activation="sigmoid", sparsity_kl_weight=1.0, **SMALL, **d
        ),
        "contractive": lambda d: AutoencoderTrainer(latent_dim=4, contractive_weight=0.1, **SMALL, **d),
        "autoregressive": lambda d: AutoregressiveTrainer(**SMALL, **d),
        "gan": lambda d: GANTrainer(k=2, r1=0.1, **GAN, **d),
        "gan with reused noise": lambda d: GANTrainer(fresh_noise=False, **GAN, **d),
        "simultaneous gan": lambda d: GANTrainer(update="simultaneous", optimizer="sgd", r1=0.1, **GAN, **d),
        "dcgan, groups": lambda d: DCGANTrainer(**dcgan_networks(lambda c: nn.GroupNorm(2, c)), **DCGAN, **d),
        "dcgan, evaluated": lambda d: DCGANTrainer(**dcgan_networks(EvaluatedBatchNorm), **DCGAN, **d),
        "interleaved dcgan": lambda d: DCGANTrainer(
            update="interleaved", fresh_noise=True, generator_norm="none", discriminator_norm="none", **DCGAN, **d
        ),
        "cyclegan": lambda d: CycleGANTrainer(pool_size=20, flip=True, norm="group", **CYCLEGAN, **d),
        "cyclegan, no pool": lambda d: CycleGANTrainer(
            pool_size=0, norm="group", lambda_identity=0.5, adversarial="log", **CYCLEGAN, **d
        ),
        # Instance norm on maps of four pixels makes large differences of rounding errors: one step.
        "cyclegan, instances": lambda d: CycleGANTrainer(pool_size=20, **CYCLEGAN, **d),
    }
    return {name: (lambda make=make: make({"devices": devices})) for name, make in makers.items()}


def batchnorm(devices, norm=nn.BatchNorm2d):
    """A DCGAN whose batch normalisation takes its statistics from what each process sees."""
    return DCGANTrainer(**dcgan_networks(norm), **DCGAN, devices=devices)


def fit(folder, name, trainer, **options):
    data, others = images()
    data = (data.images, others) if trainer.TAKES_PAIRS else data
    trainer.fit(data, progress=False, checkpoint=f"{folder}/{name}.safetensors", **options)
    if trainer.fabric.is_global_zero:
        print(name, "on", trainer.fabric.world_size, flush=True)


def fit_all(folder, devices):
    for name, make in trainers(devices).items():
        trainer, (data, others) = make(), images()
        validation = (data.images, others) if trainer.TAKES_PAIRS else data
        fit(folder, name, trainer, validation=validation, max_steps=STEPS.get(name, 9))
    fit(folder, "batchnorm", batchnorm(devices))


def lose_a_process(folder, devices, end):
    victim = 0 if end == "parent killed" else 1

    class Lost(GANTrainer):
        def training_step(self, batch):
            if self.step == 3:
                if self.fabric.global_rank == victim:
                    Path(folder, "died").write_text(str(time.time()))
                    os.kill(os.getpid(), signal.SIGKILL)
                if end != "killed":
                    time.sleep(600)
            return super().training_step(batch)

    Lost(**GAN, devices=devices).fit(images()[0], progress=False)


if __name__ == "__main__":
    folder, devices, end = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if end in ("nothing", "killed"):
        fit_all(folder, devices)
    if end != "nothing":
        lose_a_process(folder, devices, end)
