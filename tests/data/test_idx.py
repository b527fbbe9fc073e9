import gzip

import numpy as np
import pytest

from coursekit.data.idx import decode_idx


def idx(*parts):
    return gzip.compress(b"".join(bytes(part) for part in parts))


def test_values_and_shape_come_back():
    content = idx([0, 0, 8, 2], [0, 0, 0, 2], [0, 0, 0, 3], [1, 2, 3, 4, 5, 255])
    values = decode_idx(content)
    assert values.dtype == np.uint8
    assert values.tolist() == [[1, 2, 3], [4, 5, 255]]
    assert values.flags.writeable


def test_long_axis_is_big_endian():
    content = idx([0, 0, 8, 1], [0, 0, 1, 2], bytes(258))
    assert decode_idx(content).shape == (258,)


WHOLE = idx([0, 0, 8, 1], [0, 0, 0, 3], [7, 8, 9])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing|not a whole gzip"),
        (b"<html>404</html>", "not a whole gzip file"),
        (WHOLE[:-9], "not a whole gzip file"),
        (WHOLE[:-8] + bytes([WHOLE[-8] ^ 1]) + WHOLE[-7:], "not a whole gzip file: CRC"),
        (idx([1, 2, 3, 4, 5]), "not an IDX file: it starts with 01 02 03 04"),
        (idx([0, 0, 8]), "not an IDX file"),
        (idx([0, 0, 13, 1], [0, 0, 0, 1], [0, 0, 0, 0]), "type 0x0d"),
        (idx([0, 0, 8, 3], [0, 0, 0, 1]), "ends inside its header: 8 bytes, 16 needed"),
        (idx([0, 0, 8, 1], [0, 0, 0, 3], [7, 8]), "has 2 values; its header says 3"),
        (idx([0, 0, 8, 1], [0, 0, 0, 3], [7, 8, 9, 10]), "has 4 values; its header says 3"),
        (idx([0, 0, 8, 4], [255] * 16, [7]), "has 1 values; its header says 4294967295 x"),
    ],
    ids=[
        "empty",
        "html",
        "cut",
        "crc",
        "magic",
        "short magic",
        "float type",
        "short header",
        "too few",
        "too many",
        "huge header",
    ],
)
def test_damage_is_named(content, message):
    with pytest.raises(ValueError, match=message) as caught:
        decode_idx(content, "labels.gz")
    assert str(caught.value).startswith("labels.gz ")
