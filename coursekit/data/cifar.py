"""The binary version of CIFAR-10, read from its archive without unpacking it to disk."""

import io
import tarfile
import zlib

import numpy as np

_FOLDER = "cifar-10-batches-bin"
_MEMBERS = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
_SIDE, _CHANNELS, _CLASSES = 32, 3, 10


def decode_cifar10(archive, split, name="CIFAR-10 archive"):
    """Decode one split of the binary version of CIFAR-10.

    Parameters
    ----------
    archive : bytes
        Content of ``cifar-10-binary.tar.gz``. Its files are sequences of records of 3,073 bytes: the label, then the
        red, the green and the blue plane, row by row. Members that are not these files are passed over, and nothing is
        unpacked to disk or unpickled.
    split : {"train", "test"}
        ``data_batch_1.bin`` to ``data_batch_5.bin`` in this order, or ``test_batch.bin``.
    name : str
        What to call the archive in an error message.

    Returns
    -------
    images : numpy.ndarray
        uint8, (N, 3, 32, 32).
    labels : numpy.ndarray
        uint8, (N,), in 0 to 9.

    Raises
    ------
    ValueError
        If the content is not a whole tar.gz archive, lacks a file of the split, or one of them is not made of whole
        records with labels below 10.

    References
    ----------
    A. Krizhevsky, "Learning multiple layers of features from tiny images", University of Toronto, 2009; the format is
    described on its page, section "Binary version".
    """
    wanted = [f"{_FOLDER}/{member}" for member in _MEMBERS[split]]
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for member in tar:
                if member.name in wanted and member.isfile():
                    found[member.name] = tar.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{name} is not a whole tar.gz archive: {error}") from None
    missing = [path for path in wanted if path not in found]
    if missing:
        raise ValueError(f"{name} lacks {', '.join(missing)}")
    records = np.concatenate([_records(found[path], f"{path} of {name}") for path in wanted])
    images = records[:, 1:].reshape(-1, _CHANNELS, _SIDE, _SIDE)
    return np.ascontiguousarray(images), records[:, 0].copy()


def _records(content, name):
    length = 1 + _CHANNELS * _SIDE * _SIDE
    if not content or len(content) % length:
        raise ValueError(f"{name} has {len(content)} bytes, which are not whole records of {length}")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, length)
    if records[:, 0].max() >= _CLASSES:
        raise ValueError(f"{name} has a label {records[:, 0].max()}; the highest is {_CLASSES - 1}")
    return records
