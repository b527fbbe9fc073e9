"""What a run is fed: images, their description, and the rows of one step."""

import signal
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader

from coursekit.data import ImageSet, to_float


@dataclass(frozen=True)
class DataSpec:
    """What a network must know of its data: enough to build it again from a file.

    Of a pair of sets, `size_y` is the number of images in the second; the shape is that of both.
    """

    image_shape: tuple[int, ...]
    size: int
    name: str
    classes: tuple[str, ...] | None
    size_y: int | None = None


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
    y : Tensor, (n, C, H, W), or None
        Images of the second set, of a model that is fitted on two.
    """

    x: torch.Tensor
    labels: torch.Tensor | None
    rows: slice
    global_size: int
    weight: float
    generator: torch.Generator
    y: torch.Tensor | None = None

    def __len__(self):
        return len(self.x)


class Data(NamedTuple):
    """What the loop needs of an image set, of a folder that is read on the way, or of a bare tensor."""

    images: object  # Tensor, or anything with len() whose [i] is a uint8 tensor (C, H, W)
    labels: torch.Tensor | None
    name: str
    classes: tuple[str, ...] | None

    @property
    def streams(self):
        return not isinstance(self.images, torch.Tensor)

    @property
    def image_shape(self):
        return tuple(self.images.image_shape if self.streams else self.images.shape[1:])

    def rows(self, start, stop, device):
        """Pixels of the images from `start` to `stop`, (n, C, H, W) or (n, d), on the device."""
        if self.streams:
            return torch.stack([self.images[i] for i in range(start, min(stop, len(self.images)))]).to(device)
        return self.images[start:stop].to(device)


def as_data(images, points=False):
    """`images` as the loop takes them; with `points`, a tensor (N, d) of real numbers is data too."""
    if isinstance(images, ImageSet):
        return Data(images.images, images.labels, images.name, images.classes)
    if hasattr(images, "image_shape"):
        return Data(images, None, images.name, None)
    if not isinstance(images, torch.Tensor) or images.ndim not in ((2, 4) if points else (4,)) or len(images) == 0:
        shape = getattr(images, "shape", type(images).__name__)
        shapes = "(N, C, H, W)" + (" or (N, d)" if points else "")
        raise ValueError(f"images must be an ImageSet or a non-empty tensor {shapes}, got {shape}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images must be uint8, or float in [0, 1], got {images.dtype}")
    return Data(images if images.dtype == torch.uint8 else images.float(), None, "tensor", None)


def as_pair(images):
    """Two sets of images of one shape, as the loop takes them."""
    if not isinstance(images, (tuple, list)) or len(images) != 2:
        raise ValueError(
            f"images must be a pair (X, Y) of image sets, such as load_unpaired gives; got {_kind(images)}"
        )
    x, y = (as_data(part) for part in images)
    if x.image_shape != y.image_shape:
        raise ValueError(f"images must be of one shape in X and Y, got {x.image_shape} and {y.image_shape}")
    return x, y


def to_unit(pixels):
    return to_float(pixels) if pixels.dtype == torch.uint8 else pixels


def describe(x, y=None):
    size_y = None if y is None else len(y.images)
    return DataSpec(x.image_shape, len(x.images), x.name, x.classes, size_y)


class Feed:
    """The rows of one set, minibatch by minibatch, as float images on the device.

    A set in memory is moved to the device once; a folder is decoded by worker processes.
    """

    def __init__(self, data, device, workers):
        self.data, self.device, self.workers = data, device, workers
        if not data.streams:
            self.pixels = data.images.to(device)
            self.labels = None if data.labels is None else data.labels.to(device)

    def batches(self, indices):
        """Iterate over (x, labels) for the tensors of row numbers in the list `indices`."""
        if self.data.streams:
            return self._streamed(indices)
        return self._resident(indices)

    def _resident(self, indices):
        for rows in indices:
            rows = rows.to(self.device)
            labels = None if self.labels is None else self.labels.index_select(0, rows)
            yield to_unit(self.pixels.index_select(0, rows)), labels

    def _streamed(self, indices):
        loader = DataLoader(
            self.data.images,
            batch_sampler=[rows.tolist() for rows in indices],
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_ignore_interrupts,
        )
        for pixels in loader:
            yield to_unit(pixels.to(self.device, non_blocking=True)), None


def _ignore_interrupts(_):
    """Ctrl-C reaches the workers too; the step under way still needs their images."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _kind(images):
    return f"{len(images)} things" if isinstance(images, (tuple, list)) else type(images).__name__
