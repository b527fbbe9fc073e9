"""Images that stay in their folder and are decoded one by one."""

import operator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from coursekit.data.images import ImageSet
from coursekit.data.pictures import decode_rgb, quiet_pillow
from coursekit.data.threads import in_threads
from coursekit.errors import DataUnavailable


@dataclass(frozen=True, repr=False)
class FolderImages:
    """Images on disk, decoded when they are asked for: for sets too large for memory.

    It can be pickled, so that the workers of a `torch.utils.data.DataLoader` can share it. ``torch.stack`` of its items
    is a batch.

    Parameters
    ----------
    paths : tuple of pathlib.Path
        One file each, of any kind that `coursekit.data.pictures.decode_rgb` reads.
    size : (int, int)
        Height and width of every image. A file of another size is shrunk or enlarged until it covers this one, by
        bicubic interpolation with antialiasing, and cut to its centre.
    name : str
        Name of the data set.
    source : str
        Where the images came from.

    Raises
    ------
    TypeError
        If `paths` is not a tuple, or `size` not of two integers.
    ValueError
        If there are no paths, or a side is not positive.
    """

    paths: tuple[Path, ...]
    size: tuple[int, int]
    name: str
    source: str

    def __post_init__(self):
        if not isinstance(self.paths, tuple):
            raise TypeError(f"paths must be a tuple, not {type(self.paths).__name__}")
        if not isinstance(self.size, tuple) or len(self.size) != 2 or not all(isinstance(s, int) for s in self.size):
            raise TypeError(f"size must be (height, width) in integers, not {self.size!r}")
        if not self.paths:
            raise ValueError("there are no paths")
        if min(self.size) < 1:
            raise ValueError(f"size must be positive, not {self.size}")

    def __len__(self):
        return len(self.paths)

    def __repr__(self):
        shape = " x ".join(map(str, self.image_shape))
        return f"FolderImages({self.name!r}: {len(self)} images, {shape}, source {self.source!r})"

    @property
    def image_shape(self):
        """(C, H, W) of one image; C is 3."""
        return (3, *self.size)

    def __getitem__(self, index):
        """One image.

        Parameters
        ----------
        index : int
            Negative ones count from the end.

        Returns
        -------
        torch.Tensor
            uint8, (3, H, W), in [0, 255].

        Raises
        ------
        IndexError
            If there is no such image.
        DataUnavailable
            If the file was changed or removed since the folder was scanned.
        """
        with quiet_pillow():
            return self._decoded(self.paths[operator.index(index)])

    def take(self, n):
        """First `n` images, or all of them when there are fewer."""
        return replace(self, paths=self.paths[:n])

    def load(self):
        """All images in memory: an `ImageSet` without labels, of 3 H W bytes an image."""
        images = torch.empty((len(self), *self.image_shape), dtype=torch.uint8)

        def place(i):
            images[i] = self._decoded(self.paths[i])

        in_threads(place, range(len(self)), f"reading {self.name}")
        return ImageSet(images, None, name=self.name, classes=None, source=self.source)

    def _decoded(self, path):
        try:
            picture = decode_rgb(path)
        except (FileNotFoundError, ValueError) as error:
            reason = "is gone" if isinstance(error, FileNotFoundError) else error
            raise DataUnavailable(f"{path} {reason}; it was whole when the folder was scanned.") from None
        # A copy, as torch warns of arrays that cannot be written to.
        return resized(torch.from_numpy(np.array(picture)).permute(2, 0, 1), self.size)


def resized(images, size):
    """Images, uint8 (..., C, H, W), made to cover `size`, (height, width), in their proportions, and cut to the centre."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images.contiguous()
    from torchvision.transforms.v2 import InterpolationMode, functional

    scale = max(wanted / side for wanted, side in zip(size, images.shape[-2:]))
    cover = [max(wanted, round(scale * side)) for wanted, side in zip(size, images.shape[-2:])]
    large = functional.resize(images, cover, interpolation=InterpolationMode.BICUBIC, antialias=True)
    return functional.center_crop(large, list(size)).contiguous()
