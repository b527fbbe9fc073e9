"""What a run is fed: images, their description, and the rows of one step."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from coursekit.data import ImageSet, to_float


@dataclass(frozen=True)
class DataSpec:
    """What a network must know of its data: enough to build it again from a file."""

    image_shape: tuple[int, ...]
    size: int
    name: str
    classes: tuple[str, ...] | None


@dataclass(frozen=True)
class Batch:
    """This process's rows of one global batch.

    Attributes
    ----------
    x : Tensor, (n, C, H, W), float32 in [0, 1], on the device
    labels : Tensor, (n,), int64, or None
    rows : slice
        Which rows of the global batch these are.
    global_size : int
        Images in the global batch.
    weight : float
        Factor that turns the mean over these rows, averaged over processes, into the global mean.
    generator : torch.Generator
        Source of this batch's noise, the same on every process.
    """

    x: torch.Tensor
    labels: torch.Tensor | None
    rows: slice
    global_size: int
    weight: float
    generator: torch.Generator

    def __len__(self):
        return len(self.x)


class Data(NamedTuple):
    """What the loop needs of an image set, or of a bare tensor."""

    images: torch.Tensor
    labels: torch.Tensor | None
    name: str
    classes: tuple[str, ...] | None


def as_data(images, points=False):
    """`images` as the loop takes them; with `points`, a tensor (N, d) of real numbers is data too."""
    if isinstance(images, ImageSet):
        return Data(images.images, images.labels, images.name, images.classes)
    if not isinstance(images, torch.Tensor) or images.ndim not in ((2, 4) if points else (4,)) or len(images) == 0:
        shape = getattr(images, "shape", type(images).__name__)
        shapes = "(N, C, H, W)" + (" or (N, d)" if points else "")
        raise ValueError(f"images must be an ImageSet or a non-empty tensor {shapes}, got {shape}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images must be uint8, or float in [0, 1], got {images.dtype}")
    return Data(images if images.dtype == torch.uint8 else images.float(), None, "tensor", None)


def to_unit(pixels):
    return to_float(pixels) if pixels.dtype == torch.uint8 else pixels


def describe(data):
    return DataSpec(tuple(data.images.shape[1:]), len(data.images), data.name, data.classes)
