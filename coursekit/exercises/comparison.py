"""Whether a value is the expected one, and if not, how to say where it differs."""

import math

import torch

__all__ = ["difference", "same", "show"]


def same(value, expected, rtol=1e-4, atol=1e-6, nan=False):
    """Whether `difference` finds none."""
    return difference(value, expected, rtol, atol, nan) is None


def difference(value, expected, rtol=1e-4, atol=1e-6, nan=False):
    """The first difference between two plain values, in words.

    Parameters
    ----------
    value, expected
        As `coursekit.exercises.subject.plain` gives them. A number and a tensor without dimensions are the same kind;
        an integer passes for a float but not a float for an integer; the precision of floats is free.
    rtol, atol : float
        Floats agree within ``atol + rtol * |expected|``. Infinities agree with their like.
    nan : bool
        Whether a NaN is right where one is expected. Otherwise none is ever right.

    Returns
    -------
    str or None
        None when they agree.
    """
    return _difference(value, expected, rtol, atol, nan, "")


def _difference(value, expected, rtol, atol, nan, at):
    if isinstance(expected, dict):
        return _dict_difference(value, expected, rtol, atol, nan, at)
    if isinstance(expected, list):
        return _list_difference(value, expected, rtol, atol, nan, at)
    if _is_numeric(expected):
        if not _is_numeric(value):
            return f"{_where(at)}{_kind(value)}, where {_kind(expected)} is expected"
        return _tensor_difference(value, expected, rtol, atol, nan, at)
    if type(value) is not type(expected):
        return f"{_where(at)}{_kind(value)}, where {_kind(expected)} is expected"
    return None if value == expected else f"{_where(at)}{value!r}, expected {expected!r}"


def _dict_difference(value, expected, rtol, atol, nan, at):
    if not isinstance(value, dict):
        return f"{_where(at)}{_kind(value)}, where a dict is expected"
    for key in expected:
        if key not in value:
            return f"{_where(at)}the key {key!r} is missing"
    for key in value:
        if key not in expected:
            return f"{_where(at)}a key {key!r} too many"
    found = (_difference(value[key], expected[key], rtol, atol, nan, f"{at}[{key!r}]") for key in expected)
    return next((one for one in found if one), None)


def _list_difference(value, expected, rtol, atol, nan, at):
    if not isinstance(value, list):
        return f"{_where(at)}{_kind(value)}, where {len(expected)} values are expected (a tuple or list)"
    if len(value) != len(expected):
        return f"{_where(at)}{len(value)} values, where {len(expected)} are expected"
    pairs = enumerate(zip(value, expected, strict=True))
    found = (_difference(one, other, rtol, atol, nan, f"{at}[{index}]") for index, (one, other) in pairs)
    return next((one for one in found if one), None)


def _tensor_difference(value, expected, rtol, atol, nan, at):
    a, b = _tensor(value), _tensor(expected)
    if a.shape != b.shape:
        return f"{_where(at)}shape {tuple(a.shape)}, where {tuple(b.shape)} is expected"
    if (a.dtype == torch.bool) != (b.dtype == torch.bool) or (a.is_floating_point() and not b.is_floating_point()):
        return f"{_where(at)}{_dtype_name(a)}, where {_dtype_name(b)} is expected"
    if isinstance(expected, torch.Tensor) and expected.dim() and a.is_floating_point() != b.is_floating_point():
        return f"{_where(at)}{_dtype_name(a)}, where {_dtype_name(b)} is expected"
    if not b.is_floating_point():
        wrong = a != b
    else:
        x, y = a.to(torch.float64), b.to(torch.float64)
        near = (x - y).abs() <= atol + rtol * y.abs()  # False where a NaN or an infinity is
        wrong = ~(near & x.isfinite() & y.isfinite() | (x == y))
        if nan:
            wrong &= ~(x.isnan() & y.isnan())
    if not wrong.any():
        return None
    index = tuple(int(i) for i in wrong.nonzero()[0])
    count = f" ({int(wrong.sum())} of {wrong.numel()} differ)" if wrong.numel() > 1 else ""
    place = f"{at}{list(index)}" if index else at
    for digits in (4, 6, 9, 17):
        yours, right = _number(a[index], digits), _number(b[index], digits)
        if yours != right:
            break
    return f"{_where(place)}{yours}, expected {right}{count}"


def show(value, width=300):
    """A value for a person to read: short, four digits."""
    if isinstance(value, torch.Tensor):
        return _shorten(_show_tensor(value), width)
    if isinstance(value, float):
        return _number(torch.tensor(value, dtype=torch.float64))
    if isinstance(value, (list, tuple)):
        return _shorten("[" + ", ".join(show(item, width) for item in value) + "]", width)
    if isinstance(value, dict):
        return _shorten("{" + ", ".join(f"{key!r}: {show(item, width)}" for key, item in value.items()) + "}", width)
    return _shorten(repr(value), width)


def _show_tensor(tensor):
    if tensor.dim() and tensor.numel() > 24:
        numbers = ", ".join(_number(item) for item in tensor.reshape(-1)[:3])
        return f"tensor of shape {tuple(tensor.shape)}: {numbers}, …"
    return _nested(tensor)


def _nested(tensor):
    if not tensor.dim():
        return _number(tensor)
    return "[" + ", ".join(_nested(row) for row in tensor) + "]"


def _number(tensor, digits=4):
    value = tensor.item()
    if isinstance(value, float) and math.isfinite(value):
        text = f"{value + 0.0:.{digits}g}"  # + 0.0: a negative zero is nobody's concern
        return text if any(mark in text for mark in ".e") else f"{text}.0"
    return str(value)


def _shorten(text, width):
    return text if len(text) <= width else text[: width - 2] + " …"


def _where(at):
    return f"at {at}: " if at else ""


def _is_numeric(value):
    return isinstance(value, (bool, int, float, torch.Tensor))


def _tensor(value):
    if isinstance(value, torch.Tensor):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        value = math.copysign(math.inf, value)
    return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)


def _dtype_name(tensor):
    return str(tensor.dtype).removeprefix("torch.")


def _kind(value):
    if value is None:
        return "None"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, list):
        return f"a list or tuple of {len(value)}"
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", dict: "a dict"}
    return names.get(type(value), f"a {type(value).__name__}")
