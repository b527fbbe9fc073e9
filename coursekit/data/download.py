"""Files that are downloaded once, pinned by checksum, and verified on every read."""

import os
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from tqdm import tqdm

from coursekit.errors import DataUnavailable

# (connect, read) in seconds. The second is the longest silence allowed, not the length of the download.
TIMEOUT = (5.0, 30.0)
ROUNDS = 2
PAUSE = 1.0


@dataclass(frozen=True)
class RemoteFile:
    """One file: its name, size in bytes, and SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class RemoteSet:
    """A data set: its folder below the root, base addresses to try in order, and the files of each split."""

    folder: str
    mirrors: tuple[str, ...]
    splits: dict[str, tuple[RemoteFile, ...]]
    classes: tuple[str, ...]


_CIFAR10_ARCHIVE = RemoteFile(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)

# Sizes and SHA-256 are those of the files whose MD5 the publishers state; of CIFAR-10, c32a1d4ab5d03f1284b67883e8d87530.
REGISTRY = {
    "mnist": RemoteSet(
        folder="MNIST/raw",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        splits={
            "train": (
                RemoteFile(
                    "train-images-idx3-ubyte.gz",
                    9_912_422,
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                ),
                RemoteFile(
                    "train-labels-idx1-ubyte.gz",
                    28_881,
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                ),
            ),
            "test": (
                RemoteFile(
                    "t10k-images-idx3-ubyte.gz",
                    1_648_877,
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                ),
                RemoteFile(
                    "t10k-labels-idx1-ubyte.gz",
                    4_542,
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                ),
            ),
        },
        classes=tuple("0123456789"),
    ),
    "fashion_mnist": RemoteSet(
        folder="FashionMNIST/raw",
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        splits={
            "train": (
                RemoteFile(
                    "train-images-idx3-ubyte.gz",
                    26_421_880,
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                ),
                RemoteFile(
                    "train-labels-idx1-ubyte.gz",
                    29_515,
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                ),
            ),
            "test": (
                RemoteFile(
                    "t10k-images-idx3-ubyte.gz",
                    4_422_102,
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                ),
                RemoteFile(
                    "t10k-labels-idx1-ubyte.gz",
                    5_148,
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                ),
            ),
        },
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    "cifar10": RemoteSet(
        folder="CIFAR10",
        mirrors=(
            "https://www.cs.toronto.edu/~kriz/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ),
        splits={"train": (_CIFAR10_ARCHIVE,), "test": (_CIFAR10_ARCHIVE,)},
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
}


class _Bar(tqdm):
    """Pooch resets the bar before it fills it up at the end; tqdm would forget the time and draw an empty bar.

    Pooch also asks whether there is a bar, which tqdm answers only when it knows the total.
    """

    def __bool__(self):
        return True

    def reset(self, total=None):
        self.n = 0 if self.total else self.n


def data_folder(root=None):
    """Folder that downloaded data sets live in.

    Parameters
    ----------
    root : path-like, optional
        Used as it is when given. Otherwise the environment variable ``COURSEKIT_DATA``, and without that the user's
        cache folder.

    Returns
    -------
    pathlib.Path
        The folder; it need not exist yet.
    """
    chosen = root or os.environ.get("COURSEKIT_DATA")
    if not chosen:
        import pooch

        chosen = pooch.os_cache("coursekit")
    return Path(chosen).expanduser()


def downloads_forbidden():
    """Whether ``COURSEKIT_OFFLINE`` is set to anything but 0."""
    return os.environ.get("COURSEKIT_OFFLINE", "0") not in ("", "0")


def verified_bytes(remote, file, root):
    """Content of one file, downloaded first if it is missing or damaged.

    The bytes returned are the bytes that were hashed, so a file that changes on disk is never decoded.

    Parameters
    ----------
    remote : RemoteSet
    file : RemoteFile
        One of the files of `remote`.
    root : pathlib.Path
        The folder above ``remote.folder``. Written to only when `file` has to be downloaded.

    Returns
    -------
    bytes

    Raises
    ------
    DataUnavailable
        If the file cannot be had; the message names the file, everything that was tried, and what to do.
    """
    target = root / remote.folder / file.name
    content, problem = read_verified(target, file)
    if content is not None:
        return content

    def keep(part):
        content, damage = read_verified(part, file)
        if content is not None:
            os.replace(part, target)
        return content, damage

    return fetch(remote.mirrors, file.name, target, problem, keep, size=file.size)


def read_verified(path, file):
    """Content and None, or None and what is wrong with the file at `path`."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None, "is missing"
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    if sha256(content).hexdigest() != file.sha256:
        return None, f"is damaged (its checksum is wrong; {len(content)} bytes, {file.size} expected)"
    return content, None


def fetch(mirrors, name, target, problem, accept, size=None):
    """What `accept` makes of the first good download, trying every mirror in turn, twice.

    Parameters
    ----------
    mirrors : tuple of str
        Base addresses.
    name : str
        What to append to each.
    target : pathlib.Path
        The file that is wanted. Downloads go to a temporary file in its folder, which is gone when this returns.
    problem : str
        Why `target` is wanted, as ``"is missing"``.
    accept : callable
        Takes the path of a finished download. Returns a value and None, or None and what is wrong with the download.
    size : int, optional
        Bytes expected, for the progress bar.

    Returns
    -------
    object
        The value of `accept`.

    Raises
    ------
    DataUnavailable
        If downloads are forbidden, if no mirror has a download that `accept` takes, or if the folder cannot be
        written to.
    """
    if downloads_forbidden():
        raise DataUnavailable(
            f"{target} {problem}, and COURSEKIT_OFFLINE forbids downloading it. Unset COURSEKIT_OFFLINE, or point "
            "COURSEKIT_DATA at a folder that holds the file."
        )
    failures = {}
    for attempt in range(ROUNDS):
        if attempt:
            time.sleep(PAUSE)
        for mirror in mirrors:
            value, failures[mirror] = _download(mirror + name, name, target, problem, accept, size)
            if value is not None:
                return value
    tried = "; ".join(f"{mirror} ({failure})" for mirror, failure in failures.items())
    raise DataUnavailable(
        f"{target} {problem} and could not be downloaded. Tried {tried}. Check the network, or point COURSEKIT_DATA "
        "at a folder that holds the file."
    )


def _download(url, name, target, problem, accept, size):
    """(value, None) of `accept` on a download beside `target`, or (None, what went wrong at this mirror)."""
    import pooch
    import requests

    # In the same folder, so that a move is one atomic step; its own name, so that two processes never share it.
    part = target.with_name(f".{name}.{uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _Bar(total=size, desc=name, unit="B", unit_scale=True, delay=0.5) as bar:
            download = pooch.HTTPDownloader(
                progressbar=bar, chunk_size=2**16, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"}
            )
            download(url, str(part), None)
        value, damage = accept(part)
        return (None, f"what it sent {damage}") if damage else (value, None)
    except requests.RequestException as error:
        return None, _explain(error)
    except OSError as error:
        raise cannot_write(target, problem, error) from None
    finally:
        try:
            part.unlink(missing_ok=True)
        except OSError:
            pass


def cannot_write(target, problem, error):
    """The `DataUnavailable` for a folder that refuses what has to be written to it."""
    return DataUnavailable(
        f"{target} {problem} and cannot be written ({error.strerror}). Point COURSEKIT_DATA at a folder that "
        "holds the file, or at one that you may write to."
    )


def _explain(error):
    """A network error in a few words."""
    import requests

    if isinstance(error, requests.HTTPError):
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "timed out"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "could not connect"
    return type(error).__name__
