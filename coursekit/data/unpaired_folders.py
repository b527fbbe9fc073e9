"""Folders trainA, trainB, testA, testB: the layout in which sets for translation are published."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coursekit.data import download
from coursekit.data.archives import unpack_folders
from coursekit.data.folder_images import FolderImages
from coursekit.data.scanning import SMALLEST_SIDE, image_names, scan_folder
from coursekit.errors import DataUnavailable

FOLDERS = ("trainA", "trainB", "testA", "testB")
_NAMED = 10  # files in one message


@dataclass(frozen=True)
class FolderSet:
    """A published set: how many images each folder holds, the archive and its addresses, the usual size.

    A set without an archive is not downloaded, and `advice` says where it comes from.
    """

    counts: dict[str, int] | None = None
    archive: download.RemoteFile | None = None
    mirrors: tuple[str, ...] = ()
    size: int | None = None
    advice: str = ""


FOLDER_SETS = {
    "apple2tomato": FolderSet(
        advice=(
            "it is not downloaded: choose apples and tomatoes from github.com/fruits-360/fruits-360-3-body-problem "
            "(CC BY-SA 4.0)"
        )
    ),
    # Size and SHA-256 as in tensorflow/datasets, url_checksums/cycle_gan.txt.
    "horse2zebra": FolderSet(
        counts={"trainA": 1067, "trainB": 1334, "testA": 120, "testB": 140},
        archive=download.RemoteFile(
            "horse2zebra.zip", 116_867_962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"
        ),
        mirrors=(
            "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/",
            "http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/",
            "https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/",
        ),
        size=256,
    ),
}


def find_folder(name, root):
    """Folder of one of `FOLDER_SETS`, downloaded and unpacked first if it is missing.

    Parameters
    ----------
    name : str
    root : pathlib.Path
        The data folder.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    DataUnavailable
        If it cannot be had, or the folder there lacks images. A folder that is there is never changed.
    """
    known, folder = FOLDER_SETS[name], root / name
    if not folder.exists():
        if known.archive is None:
            raise DataUnavailable(
                f"{folder} is missing, and {known.advice} and put them in {', '.join(FOLDERS)} there."
            )
        return download.fetch(
            known.mirrors,
            known.archive.name,
            folder,
            "is missing",
            partial(_unpack, known, folder),
            size=known.archive.size,
        )
    for part, count in (known.counts or {}).items():
        found = len(image_names(folder / part))
        if found != count:
            raise DataUnavailable(
                f"{folder / part} has {found} images of {count}. Remove {folder} to have it downloaded again."
            )
    return folder


def folder_is_here(name, split, root):
    """Whether both folders of a split have images, and as many as were published; none is decoded."""
    known = FOLDER_SETS[name]
    found = {part: len(image_names(root / name / part)) for part in (f"{split}A", f"{split}B")}
    return all(n > 0 and n == (known.counts or found)[part] for part, n in found.items())


def open_folders(folder, split, name, size=None):
    """Images of ``folder/trainA`` and ``trainB``, or of ``testA`` and ``testB``, each decoded once to be sure of it.

    Parameters
    ----------
    folder : pathlib.Path
    split : {"train", "test"}
    name : str
        What to call the set.
    size : int, optional
        Side of the square that every image is made to cover. Default: their own size, when all have the same.

    Returns
    -------
    x, y : FolderImages
    complaint : str or None
        The files that had to be skipped.

    Raises
    ------
    DataUnavailable
        If a folder is missing or has no image that can be used.
    ValueError
        If the images have several sizes and `size` is None.
    """
    scans = [scan_folder(folder / f"{split}{side}") for side in "AB"]
    for scan in scans:
        if not scan.paths:
            raise DataUnavailable(f"{scan.folder} has no image that can be used{_listed(scan.skipped, ': ')}.")
    shapes = sorted({shape for scan in scans for shape in scan.shapes})
    if size is None and len(shapes) > 1:
        raise ValueError(
            f"the images of {folder} have {len(shapes)} sizes, from {_pixels(shapes[0])} to {_pixels(shapes[-1])} "
            "pixels: pass size=, as size=256"
        )
    shape = shapes[0] if size is None else (size, size)
    sets = [FolderImages(scan.paths, shape, f"{name}/{scan.folder.name}", name) for scan in scans]
    complaints = [
        f"{len(scan.skipped)} of {len(scan.skipped) + len(scan.paths)} files of {scan.folder} are skipped"
        f"{_listed(scan.skipped, ': ')}"
        for scan in scans
        if scan.skipped
    ]
    return *sets, "; ".join(complaints) or None


def check_size(size):
    """Refuse a size that no image can have here."""
    if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
        raise TypeError(f"size must be an integer, not {type(size).__name__}")
    if size is not None and size < SMALLEST_SIDE:
        raise ValueError(f"size must be at least {SMALLEST_SIDE}, not {size}")


def _unpack(known, folder, path):
    """`folder`, unpacked from the archive at `path`, and None; or None and what is wrong with the archive."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        length = file.tell()
    if digest != known.archive.sha256:
        return None, f"is damaged (its checksum is wrong; {length} bytes, {known.archive.size} expected)"
    try:
        unpack_folders(path, folder, FOLDERS)
    except ValueError as error:
        return None, str(error)
    return Path(folder), None


def _listed(skipped, before):
    """Names with their faults, the first few."""
    if not skipped:
        return ""
    named = [f"{name} {fault}" for name, fault in skipped.items()][:_NAMED]
    more = len(skipped) - len(named)
    return before + "; ".join(named) + (f"; and {more} more" if more else "")


def _pixels(shape):
    height, width = shape
    return f"{width} x {height}"
