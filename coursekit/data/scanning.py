"""Which files of a folder are images that can be decoded whole, found out once."""

import json
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from coursekit.data.pictures import SUFFIXES, decode_rgb
from coursekit.data.threads import in_threads
from coursekit.errors import DataUnavailable

SMALLEST_SIDE = 8
_VERSION = 1


@dataclass(frozen=True)
class Scan:
    """What a folder holds.

    Parameters
    ----------
    folder : pathlib.Path
    paths : tuple of pathlib.Path
        Images that were decoded whole, in the order of their names.
    shapes : tuple of (int, int)
        Height and width of each, in pixels, turned as its EXIF tag says.
    skipped : dict
        From the name of every other file or folder in it to what is wrong with it.
    """

    folder: Path
    paths: tuple[Path, ...]
    shapes: tuple[tuple[int, int], ...]
    skipped: dict[str, str]


def scan_folder(folder):
    """Decode every image of a folder once, so that none can fail in the middle of an epoch.

    A file that has the size and the time of an earlier scan is not decoded again: verdicts are kept in the user's cache
    folder, never in `folder`. Names that start with a dot are passed over.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    Scan

    Raises
    ------
    DataUnavailable
        If there is no such folder, or it cannot be listed.
    """
    try:
        entries = sorted((entry for entry in os.scandir(folder) if not entry.name.startswith(".")), key=_by_name)
    except (FileNotFoundError, NotADirectoryError):
        raise DataUnavailable(f"the folder {folder} is missing.") from None
    except OSError as error:
        raise DataUnavailable(f"the folder {folder} cannot be listed ({error.strerror}).") from None
    memory = _Memory(folder)
    verdicts = in_threads(memory.verdict, entries, f"checking {folder.name}")
    memory.keep({entry.name for entry in entries})
    good = [(Path(entry.path), verdict) for entry, verdict in zip(entries, verdicts) if not isinstance(verdict, str)]
    return Scan(
        folder,
        tuple(path for path, _ in good),
        tuple(shape for _, shape in good),
        {entry.name: verdict for entry, verdict in zip(entries, verdicts) if isinstance(verdict, str)},
    )


def image_names(folder):
    """Names in a folder that look like images, not decoded; none if it cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if _looks_like_an_image(name))
    except OSError:
        return []


def _by_name(entry):
    return entry.name


def _looks_like_an_image(name):
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _examine(entry):
    """(height, width) of an image, or what is wrong with it."""
    if not _looks_like_an_image(entry.name):
        return "is a folder" if entry.is_dir() else "is not an image file"
    try:
        width, height = decode_rgb(entry.path).size
    except FileNotFoundError:
        return "is a broken link"
    except ValueError as error:
        return str(error)
    if min(width, height) < SMALLEST_SIDE:
        return f"is too small ({width} x {height} pixels)"
    return height, width


class _Memory:
    """Verdicts of earlier scans of one folder, by name, each with the size and the time of the file it is about."""

    def __init__(self, folder):
        import PIL
        import pooch

        self.maker = [_VERSION, PIL.__version__]
        key = sha256(os.path.realpath(folder).encode()).hexdigest()[:32]
        self.path = Path(pooch.os_cache("coursekit")) / "scans" / f"{key}.json"
        self.known = self._read()
        self.is_new = False

    def _read(self):
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            known = {name: (tuple(stamp), _verdict(verdict)) for name, (stamp, verdict) in content["files"].items()}
            return known if content["maker"] == self.maker else {}
        # No file, or one that somebody else wrote: then everything is decoded again.
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def verdict(self, entry):
        try:
            status = os.stat(entry.path)
            stamp = (status.st_size, status.st_mtime_ns)
        except OSError:
            stamp = None
        before, verdict = self.known.get(entry.name, (None, None))
        if stamp is None or before != stamp:
            verdict = _examine(entry)
            self.known[entry.name] = (stamp, verdict)
            self.is_new = True
        return verdict

    def keep(self, names):
        """Write down what was learned; where that is not possible, the next scan decodes again."""
        if not self.is_new:
            return
        files = {name: known for name, known in self.known.items() if name in names and known[0] is not None}
        part = self.path.with_name(f".{self.path.name}.{uuid4().hex}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"maker": self.maker, "files": files}), encoding="utf-8")
            os.replace(part, self.path)
        except OSError:
            pass


def _verdict(value):
    if isinstance(value, str):
        return value
    height, width = value
    return int(height), int(width)
