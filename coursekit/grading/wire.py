"""What crosses the sandbox's wall: length-capped frames of JSON and tensors, never pickle.

A frame is ``magic, header length, body length, header, body``. The header is JSON, the body the tensors in safetensors
format, named ``0``, ``1``, … in the order in which the header mentions them. The sandbox's end may be in a student's
hands, so `decode` and `Channel` trust nothing: lengths are refused before anything is read, types, sizes and offsets
before a tensor is made of them, and every read has a deadline. Only `WireError`, `Closed` and `Late` come out.

In the header None, true, false, integers of 64 bits, finite numbers, texts and lists stand for themselves; an object
has one key that says what it is: ``d`` dict, ``t`` tensor, ``h`` handle (an object that stays inside), ``f`` a number
that is not finite.

This module runs on both sides.
"""

import json
import math
import re
import select
import struct
import time
from dataclasses import dataclass

import torch

__all__ = ["Channel", "Closed", "Held", "Late", "WireError", "decode", "encode"]

MAGIC = b"ckw1"
PREFIX = struct.Struct(">4sII")
MAX_HEADER = 2**20
MAX_DATA = 64 * 2**20
MAX_BODY = MAX_DATA + MAX_HEADER + 16
MAX_VALUES = 100_000
MAX_TENSORS = 2_000
MAX_DEPTH = 16
MAX_TEXT = 500_000
MAX_KEY = 200
MAX_DIMENSIONS = 8
MAX_SIZE = 2**31
CHUNK = 2**18

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


class WireError(Exception):
    """A frame breaks the rules; the message says which, in this module's words alone."""


class Closed(WireError):
    """The other end is gone."""


class Late(WireError):
    """The deadline has passed."""


@dataclass(frozen=True)
class Held:
    """An object that stays inside the sandbox, by its number."""

    number: int


# -- values to frames ------------------------------------------------------------------------------


def encode(message):
    """A frame.

    Parameters
    ----------
    message : dict
        Texts to values: None, bool, int, float, str, list, tuple, dict, strided CPU tensor, `Held`.

    Returns
    -------
    bytes

    Raises
    ------
    WireError
        For any other value, or too much of it.
    """
    encoder = _Encoder()
    header = _dump({_key(key): encoder.value(value, 1) for key, value in message.items()}, MAX_HEADER)
    body = _encode_tensors(encoder.tensors)
    return PREFIX.pack(MAGIC, len(header), len(body)) + header + body


class _Encoder:
    def __init__(self):
        self.tensors = []
        self.values = 0

    def value(self, value, depth):
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise WireError("too deep or too many values")
        if value is None or type(value) is bool:
            return value
        if type(value) is str:
            if len(value) > MAX_TEXT or not _is_text(value):
                raise WireError("no text, or a long one")
            return value
        if type(value) is int:
            if not -(2**63) <= value < 2**63:
                raise WireError("an integer of more than 64 bits")
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"f": str(value)}
        if type(value) in (list, tuple):
            return [self.value(item, depth + 1) for item in value]
        if type(value) is dict:
            return {"d": {_key(key): self.value(item, depth + 1) for key, item in value.items()}}
        if isinstance(value, torch.Tensor):
            self.tensors.append(value)
            return {"t": len(self.tensors) - 1}
        if type(value) is Held:
            return {"h": value.number}
        raise WireError("a value of an unknown type")


def _key(key):
    if type(key) is not str or len(key) > MAX_KEY or not _is_text(key):
        raise WireError("a key that is no short text")
    return key


def _is_text(text):
    """Whether it has no half of a character (a lone surrogate), which no UTF-8 can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _dump(content, limit):
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
    if len(text) > limit:
        raise WireError("too long")
    return text


def _encode_tensors(tensors):
    if not tensors:
        return b""
    if len(tensors) > MAX_TENSORS:
        raise WireError("too many tensors")
    header, parts, end = {}, [], 0
    for index, tensor in enumerate(tensors):
        start, size = end, tensor.numel() * tensor.element_size()
        end += size
        if tensor.dtype not in NAMES or tensor.layout != torch.strided:
            raise WireError("a tensor of an unknown type")
        if end > MAX_DATA or tensor.dim() > MAX_DIMENSIONS or math.prod(max(n, 1) for n in tensor.shape) > MAX_SIZE:
            raise WireError("too large")
        header[str(index)] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        parts.append(flat.view(torch.uint8).numpy().tobytes() if size else b"")
    text = _dump(header, MAX_HEADER)
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


# -- frames to values ------------------------------------------------------------------------------


def decode(header, body, *, held=False):
    """The message of a frame.

    Parameters
    ----------
    header : bytes
    body : bytes or bytearray
    held : bool
        Whether it may name objects that stay inside.

    Returns
    -------
    dict
        Tensors in it own their memory.

    Raises
    ------
    WireError
    """
    if len(header) > MAX_HEADER or len(body) > MAX_BODY:
        raise WireError("too long")
    message = _parse(header)
    if type(message) is not dict:
        raise WireError("not a message")
    decoder = _Decoder(body, held)
    decoded = {key: decoder.value(value) for key, value in message.items()}
    decoder.finish()
    return decoded


class _Decoder:
    def __init__(self, body, held):
        self.tensors = _decode_tensors(body)
        self.held = held
        self.used = 0
        self.values = 0

    def value(self, value):
        self.values += 1
        if self.values > MAX_VALUES:
            raise WireError("too many values")
        if type(value) is list:
            return [self.value(item) for item in value]
        if type(value) is dict:
            return self.tagged(value)
        if type(value) is str and (len(value) > MAX_TEXT or not _is_text(value)):
            raise WireError("no text, or a long one")
        return value

    def tagged(self, tagged):
        if len(tagged) != 1:
            raise WireError("an object of an unknown kind")
        ((tag, content),) = tagged.items()
        if tag == "d" and type(content) is dict:
            return {key: self.value(item) for key, item in content.items()}
        if tag == "t" and type(content) is int:
            if content != self.used or content >= len(self.tensors):
                raise WireError("tensors out of order")
            self.used += 1
            return self.tensors[content]
        if tag == "h" and type(content) is int and self.held and 0 <= content < 2**31:
            return Held(content)
        if tag == "f" and type(content) is str and content in SPECIAL:
            return SPECIAL[content]
        raise WireError("an object of an unknown kind")

    def finish(self):
        if self.used != len(self.tensors):
            raise WireError("tensors that nothing names")


def _decode_tensors(body):
    """Tensors of a body, in their order. Everything is checked before any is made."""
    if not body:
        return []
    if len(body) < 8:
        raise WireError("a damaged body")
    (length,) = struct.unpack_from("<Q", body)
    if length > min(MAX_HEADER, len(body) - 8):
        raise WireError("a damaged body")
    listed = _parse(bytes(body[8 : 8 + length]))
    if type(listed) is not dict or len(listed) > MAX_TENSORS:
        raise WireError("a damaged body")
    start, end, plan = 8 + length, 0, []
    for index, (name, entry) in enumerate(listed.items()):
        if name != str(index) or type(entry) is not dict or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise WireError("a damaged tensor")
        name, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if type(name) is not str or name not in DTYPES or not _are_sizes(shape) or not _are_sizes(offsets):
            raise WireError("a damaged tensor")
        dtype, count = DTYPES[name], math.prod(shape)
        if len(shape) > MAX_DIMENSIONS or math.prod(max(size, 1) for size in shape) > MAX_SIZE:
            raise WireError("a tensor of an impossible shape")
        if offsets != [end, end + count * dtype.itemsize]:
            raise WireError("a tensor whose sizes disagree")
        end = offsets[1]
        plan.append((dtype, shape, start + offsets[0], start + offsets[1]))
    if start + end != len(body):
        raise WireError("a body of another length")
    return [_tensor(body, *entry) for entry in plan]


def _are_sizes(sizes):
    return type(sizes) is list and all(type(size) is int and 0 <= size <= MAX_SIZE for size in sizes)


def _tensor(body, dtype, shape, start, end):
    if start == end:
        return torch.empty(shape, dtype=dtype)
    raw = bytearray(body[start:end])  # a copy, so that it is aligned
    if dtype is torch.bool and raw.translate(None, b"\x00\x01"):
        raise WireError("a damaged tensor")
    return torch.frombuffer(raw, dtype=dtype).reshape(shape)


def _parse(text):
    """JSON without NaN, repeated keys, large integers, halves of characters, or depth."""
    depth = 0
    for match in BRACKETS.finditer(text):
        if match[0] in (b"[", b"{"):
            depth += 1
            if depth > 2 * MAX_DEPTH + 2:
                raise WireError("too deep")
        elif match[0] in (b"]", b"}"):
            depth -= 1
    try:
        return _JSON.decode(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise WireError("damaged JSON") from None


def _pairs(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    if not all(len(key) <= MAX_KEY and _is_text(key) for key in found):
        raise ValueError
    return found


def _integer(digits):
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError
    return int(digits)


def _number(digits):
    if len(digits) > 40 or not math.isfinite(float(digits)):
        raise ValueError
    return float(digits)


def _constant(name):
    raise ValueError


_JSON = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_number, parse_constant=_constant, strict=True
)


# -- frames over a socket --------------------------------------------------------------------------


class Channel:
    """One end of the wire.

    Parameters
    ----------
    sock : socket.socket
        Connected, of the stream kind; made non-blocking.
    held : bool
        As in `decode`.

    Attributes
    ----------
    received : int
        Bytes so far.
    """

    def __init__(self, sock, *, held=False):
        self.sock, self.held = sock, held
        self.received = 0
        sock.setblocking(False)

    def send(self, message, deadline=math.inf, watch=None):
        """Send a message, or a frame that `encode` made; arguments and errors as of `receive`, and of `encode`."""
        left = memoryview(message if isinstance(message, bytes) else encode(message))
        while left:
            self._wait(select.POLLOUT, deadline, watch)
            try:
                left = left[self.sock.send(left[:CHUNK]) :]
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                raise Closed("closed") from None

    def receive(self, deadline=math.inf, watch=None):
        """The next message.

        Parameters
        ----------
        deadline : float
            Of ``time.monotonic()``.
        watch : callable, optional
            Called before every wait, and every quarter of a second while waiting; may raise.

        Raises
        ------
        Closed, Late, WireError
        """
        prefix = self._read(PREFIX.size, deadline, watch)
        magic, header_size, body_size = PREFIX.unpack(prefix)
        if magic != MAGIC:
            raise WireError("not a frame")
        if not 0 < header_size <= MAX_HEADER or body_size > MAX_BODY:
            raise WireError("too long")
        header = self._read(header_size, deadline, watch)
        body = self._read(body_size, deadline, watch)
        return decode(bytes(header), body, held=self.held)

    def close(self):
        """Close this end."""
        self.sock.close()

    def _read(self, size, deadline, watch):
        """Exactly `size` bytes; memory grows with what has come, not with what was announced."""
        got = bytearray()
        while len(got) < size:
            self._wait(select.POLLIN, deadline, watch)
            try:
                part = self.sock.recv(min(CHUNK, size - len(got)))
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                raise Closed("closed") from None
            if not part:
                raise Closed("closed")
            got += part
            self.received += len(part)
        return got

    def _wait(self, event, deadline, watch):
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Late("late")
            if watch:
                watch()
            poll = select.poll()
            try:  # every time: another thread may have closed it, and its number be another file's
                poll.register(self.sock, event)
            except ValueError:
                raise Closed("closed") from None
            if poll.poll(min(left, 0.25 if watch else 60.0) * 1000):
                return
