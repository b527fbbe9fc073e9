"""The same script on one process and on two (gloo, CPU) gives the same run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coursekit import checkpoints

SCRIPT = """
import sys
import torch
from coursekit.data import ImageSet
from coursekit.trainers import AutoencoderTrainer, ClassifierTrainer, GANTrainer, VAETrainer

generator = torch.Generator().manual_seed(0)
labels = torch.randint(0, 3, (45,), generator=generator)
pixels = torch.randint(0, 256, (45, 1, 8, 8), generator=generator, dtype=torch.uint8)
images = ImageSet(pixels, labels, "noise", ("a", "b", "c"), "generated")
small = dict(hidden=(12,), batch_size=16, epochs=3, lr=1e-2, device="cpu", devices=int(sys.argv[2]))
gan = dict(noise_dim=4, generator_hidden=(12,), discriminator_hidden=(12,), batch_size=16, epochs=3, lr=1e-2)
gan |= dict(device="cpu", devices=int(sys.argv[2]), ema_decay=0.9)
trainers = {
    "vae": VAETrainer(latent_dim=3, ema_decay=0.9, **small),
    "classifier": ClassifierTrainer(**small),
    "denoising": AutoencoderTrainer(latent_dim=4, noise_std=0.2, mask_rate=0.2, bottleneck_dropout=(0.1, 0.6), **small),
    "sparse": AutoencoderTrainer(latent_dim=4, code_activation="sigmoid", sparsity_kl_weight=1.0, **small),
    "contractive": AutoencoderTrainer(latent_dim=4, contractive_weight=0.1, **small),
    "gan": GANTrainer(k=2, r1=0.1, **gan),
    "gan with reused noise": GANTrainer(fresh_noise=False, **gan),
    "simultaneous gan": GANTrainer(update="simultaneous", optimizer="sgd", r1=0.1, **gan),
}
for name, trainer in trainers.items():
    trainer.fit(images, validation=images, progress=False, checkpoint=f"{sys.argv[1]}/{name}.safetensors")
    if trainer.fabric.is_global_zero:
        print(name, "on", trainer.fabric.world_size)
"""
NAMES = (
    "vae", "classifier", "denoising", "sparse", "contractive",
    "gan", "gan with reused noise", "simultaneous gan",
)  # fmt: skip
LAUNCHERS = {
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"],
    "fabric run": [str(Path(sys.executable).with_name("fabric")), "run", "--accelerator=cpu", "--devices=2"],
    "devices=2": [sys.executable],
}


def run(folder, launcher, devices):
    script = folder / "script.py"
    script.write_text(SCRIPT)
    result = subprocess.run(
        [*launcher, str(script), str(folder), str(devices)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    assert "vae on 1" in run(folder, [sys.executable], 1)
    return {name: checkpoints.read(folder / f"{name}.safetensors") for name in NAMES}


@pytest.mark.distributed
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_equal_one_with_the_same_global_batch(alone, tmp_path, launcher):
    printed = run(tmp_path, LAUNCHERS[launcher], 2 if launcher == "devices=2" else 1)
    assert [f"{name} on 2" in printed for name in NAMES] == [True] * len(NAMES), printed
    for name in NAMES:
        tensors, description = checkpoints.read(tmp_path / f"{name}.safetensors")
        expected, expected_description = alone[name]
        assert description["step"] == expected_description["step"] == 9
        assert tensors.keys() == expected.keys()
        for key, value in tensors.items():
            torch.testing.assert_close(value, expected[key], rtol=2e-4, atol=2e-5, msg=lambda m: f"{name} {key}: {m}")
