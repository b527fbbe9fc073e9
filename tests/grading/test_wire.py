"""The wire: what is encoded comes back, and whatever else comes in only the wire's own errors come out."""

import json
import math
import random
import socket
import struct
import threading
import time
import tracemalloc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.grading import wire
from coursekit.grading.wire import Channel, Closed, Held, Late, WireError, decode, encode

pytestmark = pytest.mark.filterwarnings("error")


def parts(frame):
    """Header and body of a frame."""
    _, header, body = wire.PREFIX.unpack(frame[: wire.PREFIX.size])
    start = wire.PREFIX.size
    assert len(frame) == start + header + body
    return frame[start : start + header], frame[start + header :]


def through(message, **options):
    return decode(*parts(encode(message)), **options)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        same_kind = isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape
        return same_kind and torch.equal(torch.nan_to_num(a.double()), torch.nan_to_num(b.double()))
    if isinstance(a, (list, tuple)):
        return type(b) is list and len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, float) and math.isnan(a):
        return type(b) is float and math.isnan(b)
    return type(a) is type(b) and a == b


texts = st.text(st.characters(codec="utf-8"), max_size=20)
shapes = st.lists(st.integers(0, 4), max_size=4)
tensors = st.builds(
    lambda dtype, shape: torch.arange(math.prod(shape)).remainder(2).reshape(shape).to(dtype),
    st.sampled_from(list(wire.NAMES)),
    shapes,
)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | texts | tensors
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
messages = st.dictionaries(texts, values, max_size=5)


@given(messages)
@settings(deadline=None, max_examples=200)
def test_every_plain_value_comes_back(message):
    assert equal(message, through(message))


def test_tensors_keep_their_bits_and_own_their_memory():
    odd = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    message = {"flag": torch.tensor([True]), "odd": odd, "seen": odd.t(), "half": odd.bfloat16(), "none": odd[:0]}
    back = through(message)
    assert all(torch.equal(message[name], back[name]) for name in message)
    back["odd"].add_(1)
    assert torch.equal(back["seen"], odd.t())


def test_special_numbers_cross():
    back = through({"x": [math.nan, math.inf, -math.inf, -0.0]})["x"]
    assert math.isnan(back[0]) and back[1:3] == [math.inf, -math.inf] and math.copysign(1, back[3]) == -1


def test_handles_cross_only_where_they_may():
    assert through({"h": Held(3)}, held=True) == {"h": Held(3)}
    with pytest.raises(WireError, match="unknown kind"):
        through({"h": Held(3)})


class Loud(dict):
    pass


@pytest.mark.parametrize(
    "value",
    [
        2**63,
        object(),
        b"bytes",
        {1, 2},
        1j,
        Loud(),
        type("Text", (str,), {})("x"),
        "\ud800",
        {1: 2},
        {"\udfff": 2},
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(1).expand(2**40),
        torch.zeros([1] * 9),
        "x" * 600_000,
        [0] * 100_001,
        ["x" * 499_999] * 4,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_no_task_asks_for_is_not_sent(value):
    with pytest.raises(WireError):
        encode({"x": value})


def test_a_value_that_holds_itself_is_not_sent():
    loop = []
    loop.append(loop)
    with pytest.raises(WireError):
        encode({"x": loop})


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"3",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"d": {"x": 1, "x": 1}}}',
        b'{"a": 9223372036854775808}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": 0.' + b"1" * 5000 + b"}",
        b'{"a": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"a": {}}',
        b'{"a": {"d": 1}}',
        b'{"a": {"d": {}, "t": 0}}',
        b'{"a": {"t": 0}}',
        b'{"a": {"t": true}}',
        b'{"a": {"h": 1}}',
        b'{"a": {"f": "1.0"}}',
        b'{"a": {"f": ["nan"]}}',
        b'{"a": {"pickle": "gASVCgAAAAAAAACMBHRlc3SULg=="}}',
        b'{"a": ' + b"[" * 100_000,
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a": ' + b'{"d":{"x":' * 30 + b"1" + b"}}" * 30 + b"}",
        b'{"a": [' + b"0," * 100_001 + b"0]}",
        b'{"a": "' + b"x" * 500_001 + b'"}',
        b'{"' + b"k" * 201 + b'": 1}',
    ],
    ids=lambda header: header[:24].decode("latin-1"),
)
def test_a_bad_header_is_refused(header):
    with pytest.raises(WireError):
        decode(header, b"")


def body_of(entries, data, length=None):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HEADER = b'{"x": {"t": 0}}'


def test_a_good_body_by_hand_is_taken():
    assert decode(HEADER, body_of({"0": entry()}, struct.pack("<2f", 1, 2)))["x"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "body",
    [
        b"\0" * 7,
        body_of({"0": entry()}, b"\0" * 8, length=2**63),
        body_of({"0": entry()}, b"\0" * 8, length=5),
        body_of({"0": entry()}, b"\0" * 7),
        body_of({"0": entry()}, b"\0" * 9),
        body_of({"1": entry()}, b"\0" * 8),
        body_of({"0": entry("C64")}, b"\0" * 8),
        body_of({"0": entry("F64")}, b"\0" * 8),
        body_of({"0": entry(["F32"])}, b"\0" * 8),
        body_of({"0": entry(shape=(2**40,))}, b"\0" * 8),
        body_of({"0": entry(shape=(2**31, 2**31, 2**31))}, b"\0" * 8),
        body_of({"0": entry(shape=(0, 2**31, 2**31), offsets=(0, 0))}, b""),
        body_of({"0": entry(shape=(-1,))}, b"\0" * 8),
        body_of({"0": entry(shape=(2.0,))}, b"\0" * 8),
        body_of({"0": entry(shape=(True, 2))}, b"\0" * 8),
        body_of({"0": entry(shape=[1] * 9, offsets=(0, 4))}, b"\0" * 4),
        body_of({"0": entry(offsets=(8, 16))}, b"\0" * 16),
        body_of({"0": entry(offsets=(0, 4))}, b"\0" * 8),
        body_of({"0": entry(offsets=(0, 8, 8))}, b"\0" * 8),
        body_of({"0": entry(), "1": entry(offsets=(4, 12))}, b"\0" * 12),
        body_of({"0": entry() | {"more": 1}}, b"\0" * 8),
        body_of({"__metadata__": {}, "0": entry()}, b"\0" * 8),
        body_of({"0": entry(), "1": entry(offsets=(8, 16))}, b"\0" * 16),
        body_of({"0": entry("BOOL", (8,))}, b"\0\1\2\0\0\0\0\0"),
        body_of(b'{"0": {"dtype": "F32"}, "0": {}}', b""),
        body_of([entry()], b"\0" * 8),
    ],
)
def test_a_bad_body_is_refused(body):
    with pytest.raises(WireError):
        decode(HEADER, body)


def test_a_tensor_named_twice_or_never_is_refused():
    body = body_of({"0": entry()}, b"\0" * 8)
    for header in (b'{"x": {"t": 0}, "y": {"t": 0}}', b"{}"):
        with pytest.raises(WireError):
            decode(header, body)


def test_tensors_come_in_their_order_and_none_is_counted_from_the_end():
    body = body_of({"0": entry(), "1": entry(offsets=(8, 16))}, b"\0" * 16)
    assert set(decode(b'{"x": {"t": 0}, "y": {"t": 1}}', body)) == {"x", "y"}
    for header in (b'{"x": {"t": 1}, "y": {"t": 0}}', b'{"x": {"t": 0}, "y": {"t": -1}}'):
        with pytest.raises(WireError, match="out of order"):
            decode(header, body)


def test_a_lie_about_size_costs_no_memory():
    lies = [
        body_of({"0": entry(shape=(2**31,), offsets=(0, 2**33))}, b"\0" * 8),
        body_of({"0": entry(shape=(2**20, 2**10), offsets=(0, 2**32))}, b"\0" * 8),
    ]
    tracemalloc.start()
    try:
        for lie in lies:
            with pytest.raises(WireError):
                decode(HEADER, lie)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


# -- over a socket ---------------------------------------------------------------------------------


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


def soon(seconds=0.2):
    return time.monotonic() + seconds


def test_a_message_larger_than_the_sockets_buffer_crosses(ends):
    ours, theirs = ends
    message = {"x": torch.arange(1_000_000)}
    sender = threading.Thread(target=Channel(theirs).send, args=(message, soon(60)))
    sender.start()
    assert torch.equal(ours.receive(soon(60))["x"], message["x"])
    sender.join()


@pytest.mark.parametrize(
    "sent",
    [
        wire.PREFIX.pack(b"http", 2, 0) + b"{}",
        wire.PREFIX.pack(wire.MAGIC, 0, 0),
        wire.PREFIX.pack(wire.MAGIC, wire.MAX_HEADER + 1, 0),
        wire.PREFIX.pack(wire.MAGIC, 2, wire.MAX_BODY + 1),
    ],
)
def test_a_prefix_that_lies_is_refused_before_anything_is_read(ends, sent):
    ours, theirs = ends
    theirs.sendall(sent)
    with pytest.raises(WireError) as caught:
        ours.receive(soon(30))
    assert type(caught.value) is WireError


def test_an_announced_body_that_does_not_come_costs_time_but_no_memory(ends):
    ours, theirs = ends
    theirs.sendall(wire.PREFIX.pack(wire.MAGIC, 2, wire.MAX_BODY) + b"{}" + b"x" * 1000)
    tracemalloc.start()
    try:
        with pytest.raises(Late):
            ours.receive(soon())
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_drops_and_silence_end_at_the_deadline(ends):
    ours, theirs = ends
    stop = threading.Event()

    def drip():
        while not stop.wait(0.01):
            theirs.sendall(b"c")

    theirs.sendall(wire.PREFIX.pack(wire.MAGIC, wire.MAX_HEADER, 0))
    dripping = threading.Thread(target=drip)
    dripping.start()
    with pytest.raises(Late):
        ours.receive(soon())
    stop.set()
    dripping.join()


def test_an_end_that_never_reads_does_not_block_the_sender(ends):
    ours, _ = ends
    with pytest.raises(Late):
        ours.send({"x": torch.zeros(4_000_000)}, soon())


def test_a_closed_end_is_noticed(ends):
    ours, theirs = ends
    theirs.sendall(b"ck")
    theirs.close()
    with pytest.raises(Closed):
        ours.receive(soon(30))
    with pytest.raises(Closed):
        for _ in range(100):
            ours.send({"x": "y" * 10_000}, soon(30))


def test_descriptors_that_come_along_are_dropped(ends):
    ours, theirs = ends
    socket.send_fds(theirs, [encode({"a": 1})], [theirs.fileno()])
    assert ours.receive(soon(30)) == {"a": 1}
    theirs.close()
    with pytest.raises(Closed):
        ours.receive(soon(30))


def test_the_watch_is_asked_while_bytes_trickle(ends):
    ours, theirs = ends
    theirs.sendall(wire.PREFIX.pack(wire.MAGIC, 10, 0))
    seen = []

    def watch():
        seen.append(1)
        if len(seen) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        ours.receive(soon(30), watch)


# -- fuzz ------------------------------------------------------------------------------------------


def survives(header, body):
    """Whether decode gives a message or its own error; anything else comes out."""
    try:
        decode(header, body, held=True)
    except WireError:
        return False
    return True


@given(st.binary(max_size=200), st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_random_bytes_give_only_wire_errors(header, body):
    survives(header, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["d", "t", "h", "f", "0", "1", "dtype", "shape", "data_offsets"]), inner)
    ),
    max_leaves=10,
)


@given(json_values, json_values, st.binary(max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_json_gives_only_wire_errors(header, listed, data):
    survives(json.dumps(header).encode(), body_of(json.dumps(listed).encode(), data))


def mutated(rng, frame):
    """A frame with some bytes changed, cut out, doubled or moved."""
    frame = bytearray(frame)
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        if not frame:
            break
        at = rng.randrange(len(frame))
        kind = rng.randrange(5)
        if kind == 0:
            frame[at] = rng.randrange(256)
        elif kind == 1:
            frame[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del frame[at : at + rng.randrange(1, 9)]
        elif kind == 3:
            frame[at:at] = frame[max(0, at - rng.randrange(1, 9)) : at]
        else:
            frame[at : at + 1] = rng.choice(
                [b"[", b"{", b'"', b"9", b"-", b"e", b"\\u", b"NaN", b":", b",", b"\0", b"}"]
            )
    return bytes(frame)


SEEDS = [
    {"id": 1, "value": [torch.randn(3, 2), {"a": torch.tensor(True), "b": math.nan}]},
    {"id": 2, "fault": "error", "type": "ValueError"},
    {"id": 3, "value": Held(7)},
    {"id": 4, "value": [torch.zeros(0, 3), torch.ones(2, dtype=torch.bfloat16), "text", None, -1]},
    {"id": 5, "at": 0},
]


def fuzz(count, seed):
    """Decode `count` random and mutated frames; how many were taken."""
    rng = random.Random(seed)
    frames = [encode(message) for message in SEEDS]
    taken = 0
    for turn in range(count):
        if turn % 10 == 0:
            frame = rng.randbytes(rng.randrange(120))
            at = rng.randrange(len(frame) + 1)
        else:
            frame = rng.choice(frames)
            header, body = parts(frame)
            at = len(header)
            frame = mutated(rng, header + body)
        taken += survives(frame[:at], frame[at:])
    return taken


def test_3000_random_and_mutated_frames_give_only_wire_errors():
    assert 0 < fuzz(3_000, seed=1) < 3_000


@pytest.mark.slow
def test_200000_random_and_mutated_frames_give_only_wire_errors():
    assert 0 < fuzz(200_000, seed=2) < 200_000


@pytest.mark.slow
def test_20000_mutated_streams_give_only_wire_errors():
    rng = random.Random(3)
    frames = [encode(message) for message in SEEDS]
    for _ in range(20_000):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(mutated(rng, rng.choice(frames)))
            theirs.shutdown(socket.SHUT_WR)
            channel = Channel(ours, held=True)
            try:
                while True:
                    channel.receive(soon(30))
            except WireError:
                pass
