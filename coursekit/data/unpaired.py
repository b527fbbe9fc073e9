"""Two sets of images without pairs: what a translator between two styles is trained on."""

import os
import warnings
from dataclasses import replace
from pathlib import Path

import torch

from coursekit.data import download
from coursekit.data.coloured_digits import coloured_digits
from coursekit.data.emoji import emoji_halves, emoji_rows, load_emoji
from coursekit.data.folder_images import resized
from coursekit.data.glyphs import characters, glyphs
from coursekit.data.images import SPLITS, ImageSet, images_are_here, require_known
from coursekit.data.unpaired_folders import FOLDER_SETS, check_size, find_folder, folder_is_here, open_folders
from coursekit.errors import DataUnavailable, OfflineFallbackWarning, SkippedFilesWarning

EMBEDDED_UNPAIRED = ("coloured_digits", "glyphs")
ALIGNED_TEST_SETS = (*EMBEDDED_UNPAIRED, "emoji")
UNPAIRED_SETS = (*ALIGNED_TEST_SETS, *FOLDER_SETS)


def load_unpaired(name, split="train", *, root=None, offline=None, size=None, stream=False):
    """Load two sets of images, X and Y, between which a translation is to be learned.

    Parameters
    ----------
    name : {"coloured_digits", "glyphs", "emoji", "apple2tomato", "horse2zebra"}, or path-like
        ``"coloured_digits"``: digits in dark, warm ink on light ground, and in light, cool ink on dark ground; embedded,
        RGB of 32 x 32. ``"glyphs"``: letters in two typefaces; embedded, grey, 32 x 32. ``"emoji"``: emoji of 2017 and
        of 2020, RGB of 32 x 32. The others are folders ``trainA``, ``trainB``, ``testA`` and ``testB`` of images:
        ``"horse2zebra"`` is downloaded, ``"apple2tomato"`` is read where it is in the data folder, and any other is
        given by its path. A path that is also the name of a set is written with a separator, as ``"./emoji"``.
    split : {"train", "test"}
        When training, X and Y never show the same thing. Of embedded sets and emoji, test sets are aligned: row i of
        both is the same digit, letter or emoji, so a translation can be scored against the truth.
    root : path-like, optional
        The data folder. Default: the environment variable ``COURSEKIT_DATA``, else the user's cache folder.
    offline : {"coloured_digits", "glyphs"}, optional
        Embedded set to use, with an `OfflineFallbackWarning`, when `name` is not available.
    size : int, optional
        Side in pixels. Images of another size are made to cover this square, in their proportions, and cut to its
        centre. Default: 256 for ``"horse2zebra"``; else the images' own size, which in a folder must be one and the
        same.
    stream : bool
        Leave the images of folders on disk and decode each when it is asked for. It costs decoding in every epoch and
        saves 3 size^2 bytes of memory an image: 0.5 GB for horse2zebra at 256.

    Returns
    -------
    x, y : ImageSet, or FolderImages if `stream`
        The ``source`` says when they stand in for `name`; a set that stands in is never streamed.

    Raises
    ------
    ValueError
        If `name`, `split`, `offline` or `size` is not valid, if a folder's images have several sizes and `size` is
        None, or if `stream` is asked of a set that is not a folder.
    DataUnavailable
        If the set cannot be had, or one of its folders has no image that can be used, and `offline` is None.
        ``COURSEKIT_OFFLINE=1`` forbids downloads.

    Warns
    -----
    SkippedFilesWarning
        If a folder holds files that cannot be used: truncated or damaged images, images with a side of less than 8
        pixels or with more than 64 million in all, images of floats or 32-bit integers, folders, and files of other
        kinds. They are left out, and one message counts them and names the first ten of each folder. Grey images,
        palettes, CMYK and 16-bit grey become RGB of 8 bits, and transparent parts white, without a warning. Names that
        start with a dot are passed over.

    Notes
    -----
    Every image of a folder is decoded once before it is used, so that none fails in the middle of an epoch. What was
    found is kept in the user's cache folder, with each file's size and time, and a second load checks only what has
    changed. Folders of images are never written to.

    References
    ----------
    Emoji: see `coursekit.data.emoji.load_emoji`. horse2zebra: J.-Y. Zhu, T. Park, P. Isola and A. A. Efros, "Unpaired
    image-to-image translation using cycle-consistent adversarial networks", ICCV 2017, arXiv:1703.10593; its images are
    from ImageNet. apple2tomato: M. Oltean, "Fruits-360", https://github.com/fruits-360, CC BY-SA 4.0.
    """
    folder = _as_path(name)
    require_known(split, SPLITS, "split")
    if offline is not None:
        require_known(offline, EMBEDDED_UNPAIRED, "embedded set for offline=")
    check_size(size)
    if stream and folder is None and name not in FOLDER_SETS:
        raise ValueError(f"{name} is not a folder of images: only folders can be streamed")
    if folder is None and name in EMBEDDED_UNPAIRED:
        return _resized(_load_embedded(name, split, source=f"{name} (embedded)"), size)
    try:
        if folder is None and name == "emoji":
            return _resized(_load_emoji(split, download.data_folder(root)), size)
        usual = None if folder else FOLDER_SETS[name].size
        folder = folder or find_folder(name, download.data_folder(root))
        x, y, complaint = open_folders(folder, split, folder.resolve().name, size or usual)
    except DataUnavailable as error:
        if offline is None:
            choices = " or ".join(f'offline="{choice}"' for choice in EMBEDDED_UNPAIRED)
            raise DataUnavailable(f"{name}: {error} Or pass {choices} to use an embedded set instead.") from None
        warnings.warn(f"{name} is replaced by the embedded {offline}: {error}", OfflineFallbackWarning, stacklevel=2)
        return _resized(_load_embedded(offline, split, source=f"{offline} (embedded; {name} unavailable)"), size)
    if complaint:
        warnings.warn(complaint, SkippedFilesWarning, stacklevel=2)
    return (x, y) if stream else (x.load(), y.load())


def unpaired_are_here(name, split, root):
    """Whether `load_unpaired` finds the set without downloading anything."""
    if name in EMBEDDED_UNPAIRED:
        return True
    if name == "emoji":
        return images_are_here("emoji_blob", split, root)
    return folder_is_here(name, split, download.data_folder(root))


def _as_path(name):
    """A path if `name` is one, None if it is the name of a set."""
    if isinstance(name, str) and name in UNPAIRED_SETS:
        return None
    if isinstance(name, os.PathLike) or (
        isinstance(name, str) and (os.sep in name or "/" in name or os.path.isdir(name))
    ):
        return Path(name).expanduser()
    known = ", ".join(UNPAIRED_SETS)
    raise ValueError(f"unknown unpaired data set {name!r}; choose one of: {known}, or give the path of a folder")


def _load_embedded(name, split, source):
    pair, classes = {
        "coloured_digits": lambda: (coloured_digits(split), tuple("0123456789")),
        "glyphs": lambda: (glyphs(split), tuple(characters())),
    }[name]()
    return tuple(
        ImageSet(images, labels, name=f"{name}/{side}", classes=classes, source=source)
        for side, (images, labels) in zip("XY", pair)
    )


def _load_emoji(split, root):
    x_rows, y_rows = emoji_halves() if split == "train" else (emoji_rows("test"),) * 2
    sets = []
    for style, rows in (("blob", x_rows), ("noto", y_rows)):
        images, exact = load_emoji(style, root)
        source = "emoji" if exact else "emoji (own build, rounded differently from the book's)"
        sets.append(ImageSet(torch.from_numpy(images[rows]), None, f"emoji_{style}", None, source))
    return tuple(sets)


def _resized(pair, size):
    if size is None:
        return pair
    return tuple(replace(image_set, images=resized(image_set.images, (size, size))) for image_set in pair)
