"""The IDX format, in which MNIST and Fashion-MNIST are published."""

import gzip
import struct
import zlib

import numpy as np

_UBYTE = 0x08


def decode_idx(compressed, name="IDX data"):
    """Decode gzip-compressed IDX content of unsigned bytes.

    Parameters
    ----------
    compressed : bytes
        Content of a ``*-ubyte.gz`` file: two zero bytes, the type code 0x08, the number of axes, the length of
        each axis as a big-endian 32-bit integer, then the values in C order.
    name : str
        What to call the content in an error message.

    Returns
    -------
    numpy.ndarray
        Values of type uint8; the array owns its memory and is writable.

    Raises
    ------
    ValueError
        If the content is not gzip, not IDX, not of type unsigned byte, or shorter or longer than its header says.

    References
    ----------
    Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits", section "File formats".
    """
    try:
        content = gzip.decompress(compressed)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{name} is not a whole gzip file: {error}") from None
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(f"{name} is not an IDX file: it starts with {content[:4].hex(' ') or 'nothing'}")
    type_code, n_axes = content[2], content[3]
    if type_code != _UBYTE:
        raise ValueError(f"{name} has IDX type 0x{type_code:02x}; only 0x{_UBYTE:02x} (unsigned byte) is read here")
    header = 4 + 4 * n_axes
    if len(content) < header:
        raise ValueError(f"{name} ends inside its header: {len(content)} bytes, {header} needed")
    shape = struct.unpack_from(f">{n_axes}I", content, 4)
    values = np.frombuffer(content, dtype=np.uint8, offset=header)
    if values.size != np.prod(shape, dtype=object):
        raise ValueError(f"{name} has {values.size} values; its header says {' x '.join(map(str, shape))}")
    # frombuffer is read-only, and torch warns of such arrays.
    return values.reshape(shape).copy()
