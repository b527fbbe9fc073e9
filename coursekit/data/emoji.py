"""The same 1,078 emoji in two styles, built from the pictures that Google published."""

import io
import os
import tarfile
import zipfile
import zlib
from functools import partial
from hashlib import sha256
from uuid import uuid4

import numpy as np

from coursekit.data import download
from coursekit.data.emoji_index import codepoints, mean_brightness
from coursekit.data.ordering import shuffled
from coursekit.data.pictures import decode_rgb, quiet_pillow

STYLES = ("blob", "noto")
SIDE = 32
TEST = 216  # a fifth
FOLDER, FILE = "noto-emoji", "noto_emoji_32.npz"

# GitHub packs an archive when it is asked for one and promises no checksum for it. What pins the content is the commit
# in the address, and the brightness of every image in `emoji_index`.
MIRRORS = (
    "https://codeload.github.com/googlefonts/noto-emoji/tar.gz/",
    "https://api.github.com/repos/googlefonts/noto-emoji/tarball/",
)
COMMITS = {
    "blob": "ca22132c45adb022c1a6c6bed96df76cf0c4fb18",  # tag v2017-05-18-cook-color-fix
    "noto": "aac7ccaa4d1dea4543453b96f7d6fc47066a57ff",  # tag v2020-09-16-unicode13_1
}
# Of the images that the book's results were made with. A build with another version of Pillow may round differently.
DIGESTS = {
    "blob": "e9b40c7bef48e202f1ae684bf1ae2e2c5decf5e7c9d241888bc54ff9de1bb4e3",
    "noto": "44e7f4db374879d9df7ba78690098f97890b3a27ca5ff148c818d5a43e54940b",
}
BRIGHTNESS_TOLERANCE = 1.5  # of 255: half a step for the stored bytes, one for rounding on the way
LARGEST_PNG = 2**20


def load_emoji(style, root):
    """Images of one style, from the data folder, or built there first.

    Parameters
    ----------
    style : {"blob", "noto"}
    root : pathlib.Path
        The data folder. Written to only when ``noto-emoji/noto_emoji_32.npz`` has to be built.

    Returns
    -------
    images : numpy.ndarray
        uint8, (1078, 3, 32, 32), in the order of `codepoints`.
    exact : bool
        Whether they are those that the book's results were made with, to the bit.

    Raises
    ------
    DataUnavailable
        If the file is missing or damaged and cannot be built.

    Notes
    -----
    Building downloads the repository googlefonts/noto-emoji at two commits, composites each ``png/128`` picture on
    white, and reduces it to 32 x 32 by Lanczos' filter. Every image must be as bright as the published one, to 1.5 of
    255. The full download was never run where the book was written: it is tested on pictures made for the test.

    References
    ----------
    Noto Emoji, Google, https://github.com/googlefonts/noto-emoji; its images are licensed under Apache 2.0.
    """
    target = root / FOLDER / FILE
    arrays, problem = read_emoji(target)
    if arrays is None:
        arrays = _build(target, problem)
    array = arrays[style]
    exact = sha256(array.tobytes()).hexdigest() == DIGESTS[style]
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2)), exact


def read_emoji(path):
    """Arrays by style, uint8 (1078, 32, 32, 3), and None; or None and what is wrong with the file at `path`."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None, "is missing"
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (*STYLES, "codepoints")}
    # A file that is no archive of arrays, or only half of one, fails in as many ways.
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        return None, f"is damaged ({error})"
    if arrays.pop("codepoints").tolist() != codepoints():
        return None, "is damaged (it holds other code points)"
    complaint = next(filter(None, (_complaint(style, arrays[style]) for style in STYLES)), None)
    return (None, f"is damaged ({complaint})") if complaint else (arrays, None)


def emoji_rows(split):
    """Rows of one split, 862 for training or 216 for testing, in ascending order."""
    order = shuffled(codepoints(), seed=0)
    return sorted(order[:TEST] if split == "test" else order[TEST:])


def emoji_halves():
    """Rows for training without pairs: two halves of the training rows, 431 each, that share no emoji."""
    order = shuffled(codepoints(), seed=0)[TEST:]
    return sorted(order[: len(order) // 2]), sorted(order[len(order) // 2 :])


def _build(target, problem):
    """Download, shrink, verify, and write the arrays to `target` in one step."""
    arrays = {
        style: download.fetch(MIRRORS, commit, target, problem, partial(_read_repository, style))
        for style, commit in COMMITS.items()
    }
    part = target.with_name(f".{FILE}.{uuid4().hex}.part")
    try:
        with open(part, "wb") as file:
            np.savez_compressed(file, **arrays, codepoints=np.array(codepoints()))
        os.replace(part, target)
    except OSError as error:
        raise download.cannot_write(target, problem, error) from None
    finally:
        part.unlink(missing_ok=True)
    return arrays


def _read_repository(style, path):
    """Images of a packed repository, uint8 (1078, 32, 32, 3), and None; or None and what is wrong with it."""
    wanted = {f"png/128/emoji_u{point}.png": i for i, point in enumerate(codepoints())}
    images, seen = np.empty((len(wanted), SIDE, SIDE, 3), dtype=np.uint8), set()
    try:
        with tarfile.open(path, "r:gz") as tar, quiet_pillow():
            for member in tar:
                # The first folder is named after the repository and the commit.
                name = member.name.partition("/")[2]
                if name not in wanted or not member.isfile():
                    continue
                if member.size > LARGEST_PNG:
                    return None, f"has {member.size} bytes in {name}, too many for an emoji"
                try:
                    images[wanted[name]] = shrink(io.BytesIO(tar.extractfile(member).read()))
                except ValueError as error:
                    return None, f"has a damaged picture: {name} {error}"
                seen.add(name)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        return None, f"is not a whole tar.gz archive ({error})"
    missing = [name for name in wanted if name not in seen]
    if missing:
        return None, f"lacks {len(missing)} of {len(wanted)} pictures, among them {missing[0]}"
    complaint = _complaint(style, images)
    return (None, f"differs from what was published: {complaint}") if complaint else (images, None)


def shrink(file):
    """One picture on white ground, at 32 x 32: uint8, (32, 32, 3)."""
    from PIL import Image

    return np.asarray(decode_rgb(file).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def _complaint(style, images):
    """What shows that `images` are not the published ones of `style`, or None."""
    points, expected = codepoints(), mean_brightness(style)
    shape = (len(points), SIDE, SIDE, 3)
    if images.dtype != np.uint8 or images.shape != shape:
        return f"{style} is {images.dtype} {images.shape}, not uint8 {shape}"
    away = np.abs(images.reshape(len(images), -1).mean(axis=1) - expected)
    wrong = int((away > BRIGHTNESS_TOLERANCE).sum())
    if wrong:
        return f"{wrong} of the {style} images have another brightness, among them {points[int(away.argmax())]}"
    return None
