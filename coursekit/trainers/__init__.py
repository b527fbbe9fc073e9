"""Trainers: one class a model, one loop for all."""

from coursekit import checkpoints
from coursekit.errors import CheckpointError, TrainingDiverged
from coursekit.trainers.autoencoder import AutoencoderConfig, AutoencoderTrainer
from coursekit.trainers.autoregressive import AutoregressiveConfig, AutoregressiveTrainer
from coursekit.trainers.base import Trainer
from coursekit.trainers.batches import Batch, DataSpec
from coursekit.trainers.classifier import ClassifierConfig, ClassifierTrainer
from coursekit.trainers.config import TrainerConfig
from coursekit.trainers.cyclegan import CycleGANConfig, CycleGANTrainer
from coursekit.trainers.dcgan import DCGANConfig, DCGANTrainer
from coursekit.trainers.gan import GANConfig, GANTrainer
from coursekit.trainers.vae import VAEConfig, VAETrainer

TRAINERS = {
    "classifier": ClassifierTrainer,
    "autoencoder": AutoencoderTrainer,
    "vae": VAETrainer,
    "autoregressive": AutoregressiveTrainer,
    "gan": GANTrainer,
    "dcgan": DCGANTrainer,
    "cyclegan": CycleGANTrainer,
}


def load_trainer(path, **options):
    """Open a saved run with the trainer that made it; `options` as in ``Trainer.load``.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, or of a trainer this release does not know.
    """
    tensors, description = checkpoints.read(path)
    name = description.get("trainer")
    for trainer in TRAINERS.values():
        if trainer.__name__ == name:
            return trainer._from_run(path, tensors, description, **options)
    raise CheckpointError(f"{path} was saved by {name}, which this release of coursekit does not have.")


__all__ = [
    "AutoencoderConfig",
    "AutoencoderTrainer",
    "AutoregressiveConfig",
    "AutoregressiveTrainer",
    "Batch",
    "CheckpointError",
    "ClassifierConfig",
    "ClassifierTrainer",
    "CycleGANConfig",
    "CycleGANTrainer",
    "DCGANConfig",
    "DCGANTrainer",
    "DataSpec",
    "GANConfig",
    "GANTrainer",
    "TRAINERS",
    "Trainer",
    "TrainerConfig",
    "TrainingDiverged",
    "VAEConfig",
    "VAETrainer",
    "load_trainer",
]
