"""Two sets of images without pairs: what a translator between two styles is trained on."""

import warnings

import torch

from coursekit.data import download
from coursekit.data.coloured_digits import coloured_digits
from coursekit.data.emoji import emoji_halves, emoji_rows, load_emoji
from coursekit.data.images import SPLITS, ImageSet, images_are_here, require_known
from coursekit.errors import DataUnavailable, OfflineFallbackWarning

EMBEDDED_UNPAIRED = ("coloured_digits",)
UNPAIRED_SETS = (*EMBEDDED_UNPAIRED, "emoji")
_DIGITS = tuple("0123456789")


def load_unpaired(name, split="train", *, root=None, offline=None, size=None, stream=False):
    """Load two sets of images, X and Y, between which a translation is to be learned.

    Parameters
    ----------
    name : {"coloured_digits"}
    split : {"train", "test"}
        Test sets are aligned where the truth is known: row i of both shows the same thing.

    Returns
    -------
    x, y : ImageSet

    Raises
    ------
    ValueError
        If `name` or `split` is unknown.
    """
    require_known(name, UNPAIRED_SETS, "unpaired data set")
    require_known(split, SPLITS, "split")
    if offline is not None:
        require_known(offline, EMBEDDED_UNPAIRED, "embedded set for offline=")
    if name in EMBEDDED_UNPAIRED:
        return _load_embedded(name, split, source=f"{name} (embedded)")
    try:
        return _load_emoji(split, root)
    except DataUnavailable as error:
        if offline is None:
            choices = " or ".join(f'offline="{choice}"' for choice in EMBEDDED_UNPAIRED)
            raise DataUnavailable(f"{name}: {error} Or pass {choices} to use an embedded set instead.") from None
        warnings.warn(f"{name} is replaced by the embedded {offline}: {error}", OfflineFallbackWarning, stacklevel=2)
    return _load_embedded(offline, split, source=f"{offline} (embedded; {name} unavailable)")


def unpaired_are_here(name, split, root):
    """Whether `load_unpaired` finds the set without downloading anything."""
    return name in EMBEDDED_UNPAIRED or images_are_here("emoji_blob", split, root)


def _load_embedded(name, split, source):
    return tuple(
        ImageSet(images, labels, name=f"{name}/{side}", classes=_DIGITS, source=source)
        for side, (images, labels) in zip("XY", coloured_digits(split))
    )


def _load_emoji(split, root):
    x_rows, y_rows = emoji_halves() if split == "train" else (emoji_rows("test"),) * 2
    sets = []
    for style, rows in (("blob", x_rows), ("noto", y_rows)):
        images, exact = load_emoji(style, download.data_folder(root))
        source = "emoji" if exact else "emoji (own build, rounded differently from the book's)"
        sets.append(ImageSet(torch.from_numpy(images[rows]), None, f"emoji_{style}", None, source))
    return tuple(sets)
