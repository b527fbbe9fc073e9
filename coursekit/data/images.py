"""Image sets: one uint8 tensor, its labels, and where it came from."""

import warnings
from dataclasses import dataclass, replace

import torch

from coursekit.data import download, embedded
from coursekit.data.cifar import decode_cifar10
from coursekit.data.emoji import FILE, FOLDER, emoji_rows, load_emoji, read_emoji
from coursekit.data.idx import decode_idx
from coursekit.errors import DataUnavailable, OfflineFallbackWarning

IMAGE_SETS = ("digits", "digits_8x8", "mnist", "fashion_mnist", "cifar10", "emoji_blob", "emoji_noto")
SPLITS = ("train", "test")
_EMOJI = {"emoji_blob": "blob", "emoji_noto": "noto"}


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images at rest.

    Parameters
    ----------
    images : torch.Tensor
        uint8, (N, C, H, W), in [0, 255].
    labels : torch.Tensor or None
        int64, (N,).
    name : str
        Name of the data set.
    classes : tuple of str, or None
        What each label stands for.
    source : str
        Where the images came from. Says so when they stand in for another data set.

    Raises
    ------
    TypeError
        If a tensor is not one or has another dtype, or `classes` is not a tuple.
    ValueError
        If a shape, a length, or a label does not fit.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    name: str
    classes: tuple[str, ...] | None
    source: str

    def __post_init__(self):
        _require(self.images, "images", torch.uint8, "(N, C, H, W)", 4)
        if self.classes is not None and not isinstance(self.classes, tuple):
            raise TypeError(f"classes must be a tuple of str or None, not {type(self.classes).__name__}")
        if self.labels is None:
            return
        _require(self.labels, "labels", torch.int64, "(N,)", 1)
        if len(self.labels) != len(self.images):
            raise ValueError(f"{len(self.images)} images but {len(self.labels)} labels")
        if self.classes is not None and len(self.labels):
            low, high = self.labels.min().item(), self.labels.max().item()
            if low < 0 or high >= len(self.classes):
                raise ValueError(f"labels go from {low} to {high}, but there are {len(self.classes)} classes")

    def __len__(self):
        return len(self.images)

    def __repr__(self):
        shape = " x ".join(map(str, self.image_shape))
        return f"ImageSet({self.name!r}: {len(self)} images, {shape}, source {self.source!r})"

    @property
    def image_shape(self):
        """(C, H, W) of one image."""
        return tuple(self.images.shape[1:])

    def take(self, n):
        """First `n` images, or all of them when there are fewer. Shares memory with this set."""
        if n < 0:
            raise ValueError(f"n must be at least 0, not {n}")
        return replace(self, images=self.images[:n], labels=None if self.labels is None else self.labels[:n])

    def subset(self, indices):
        """Images at `indices`: integers in any order, or one boolean per image."""
        indices = torch.as_tensor(indices, device=self.images.device)
        if indices.numel() == 0:
            indices = indices.to(torch.int64)
        labels = None if self.labels is None else self.labels[indices.to(self.labels.device)]
        return replace(self, images=self.images[indices], labels=labels)

    def split(self, fraction, seed=0):
        """Shuffle and cut in two.

        Parameters
        ----------
        fraction : float
            Share of the first part, between 0 and 1; its length is ``round(fraction * N)``.
        seed : int
            The same seed gives the same two parts.

        Returns
        -------
        first, second : ImageSet
            Together they hold every image exactly once.

        Raises
        ------
        ValueError
            If one part would be empty.
        """
        cut = round(fraction * len(self))
        if not 0 < cut < len(self):
            raise ValueError(f"fraction {fraction} of {len(self)} images leaves one part empty")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.subset(order[:cut]), self.subset(order[cut:])


def load_images(name, split="train", *, root=None, offline=None):
    """Load a data set of images.

    Embedded sets need no network. Others are read from the data folder; files that are missing or damaged there are
    downloaded once, with their checksum verified. A folder that holds the files is never written to.

    Parameters
    ----------
    name : {"digits", "digits_8x8", "mnist", "fashion_mnist", "cifar10", "emoji_blob", "emoji_noto"}
        ``"digits"`` and ``"digits_8x8"``, the same images at their native size, are embedded. The two sets of emoji
        are RGB of 32 x 32 on white ground, without labels; row i of both is the same emoji, drawn in 2017 and in 2020.
    split : {"train", "test"}
        Of the emoji, 862 and 216.
    root : path-like, optional
        The data folder. Default: the environment variable ``COURSEKIT_DATA``, else the user's cache folder.
    offline : {"digits", "digits_8x8"}, optional
        Embedded set to use, with an `OfflineFallbackWarning`, when `name` is not available.

    Returns
    -------
    ImageSet
        Its ``source`` says when it stands in for `name`.

    Raises
    ------
    ValueError
        If `name`, `split` or `offline` is unknown.
    DataUnavailable
        If the set is not on disk, cannot be downloaded, and `offline` is None. ``COURSEKIT_OFFLINE=1`` forbids
        downloads.

    References
    ----------
    MNIST: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86(11), 1998. Fashion-MNIST: H. Xiao, K. Rasul and R. Vollgraf, arXiv:1708.07747, 2017.
    CIFAR-10: A. Krizhevsky, "Learning multiple layers of features from tiny images", University of Toronto, 2009.
    Emoji: Google, https://github.com/googlefonts/noto-emoji; see `coursekit.data.emoji.load_emoji` for how they are
    built.
    """
    require_known(name, IMAGE_SETS, "data set")
    require_known(split, SPLITS, "split")
    if offline is not None:
        require_known(offline, embedded.EMBEDDED, "embedded set for offline=")
    if name in embedded.EMBEDDED:
        return _load_embedded(name, split, source=f"{name} (embedded)")
    try:
        return _load_downloaded(name, split, root)
    except DataUnavailable as error:
        if offline is None:
            choices = " or ".join(f'offline="{choice}"' for choice in embedded.EMBEDDED)
            raise DataUnavailable(f"{name}: {error} Or pass {choices} to use an embedded set instead.") from None
        warnings.warn(f"{name} is replaced by the embedded {offline}: {error}", OfflineFallbackWarning, stacklevel=2)
    return _load_embedded(offline, split, source=f"{offline} (embedded; {name} unavailable)")


def _load_embedded(name, split, source):
    images, labels = {"digits": embedded.digits, "digits_8x8": embedded.digits_8x8}[name](split)
    return ImageSet(images, labels, name=name, classes=tuple("0123456789"), source=source)


def images_are_here(name, split, root):
    """Whether `load_images` finds the set without downloading anything."""
    if name in embedded.EMBEDDED:
        return True
    folder = download.data_folder(root)
    if name in _EMOJI:
        return read_emoji(folder / FOLDER / FILE)[0] is not None
    remote = download.REGISTRY[name]
    files = (download.read_verified(folder / remote.folder / file.name, file)[0] for file in remote.splits[split])
    return all(content is not None for content in files)


def _load_downloaded(name, split, root):
    folder = download.data_folder(root)
    if name in _EMOJI:
        images, exact = load_emoji(_EMOJI[name], folder)
        source = name if exact else f"{name} (own build, rounded differently from the book's)"
        return ImageSet(torch.from_numpy(images[emoji_rows(split)]), None, name=name, classes=None, source=source)
    remote = download.REGISTRY[name]
    contents = [(download.verified_bytes(remote, file, folder), file.name) for file in remote.splits[split]]
    if name == "cifar10":
        ((archive, file_name),) = contents
        images, labels = decode_cifar10(archive, split, file_name)
    else:
        images, labels = (decode_idx(*content) for content in contents)
        images = images[:, None]
    images, labels = torch.from_numpy(images), torch.from_numpy(labels).to(torch.int64)
    return ImageSet(images, labels, name=name, classes=remote.classes, source=name)


def _require(tensor, name, dtype, shape, n_axes):
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, not {type(tensor).__name__}")
    if tensor.dtype != dtype:
        raise TypeError(f"{name} must have dtype {dtype}, not {tensor.dtype}")
    if tensor.ndim != n_axes:
        raise ValueError(f"{name} must have shape {shape}, not {tuple(tensor.shape)}")


def require_known(value, known, what):
    """Refuse a value that is not one of the known ones, and name those."""
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}; choose one of: {', '.join(known)}")
