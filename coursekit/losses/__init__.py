"""The training equations of the book, as pure functions.

Each takes tensors and returns one value per sample, in nats, summed over the dimensions of that
sample, unless its docstring says otherwise. Averaging over the batch is left to the trainer.
"""

from coursekit.losses import autoencoder, gan, reconstruction, vae

__all__ = ["autoencoder", "gan", "reconstruction", "vae"]
