"""Values of tasks as JSON, and the file of expected ones for each assignment's public cases."""

import json
import math
from functools import cache
from importlib import resources

import torch

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode(value):
    """A plain value (see `coursekit.exercises.subject.plain`) as what JSON can hold; tensors with 9 digits."""
    if isinstance(value, torch.Tensor):
        numbers = [_encode_number(number) for number in value.reshape(-1).tolist()]
        return {"tensor": numbers, "shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, float):
        return {"float": _encode_number(value)}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {"dict": {key: encode(item) for key, item in value.items()}}
    return value


def decode(encoded):
    """The value that `encode` wrote."""
    if isinstance(encoded, list):
        return [decode(item) for item in encoded]
    if not isinstance(encoded, dict):
        return encoded
    if "tensor" in encoded:
        numbers = [_SPECIAL.get(number, number) for number in encoded["tensor"]]
        return torch.tensor(numbers, dtype=getattr(torch, encoded["dtype"])).reshape(encoded["shape"])
    if "float" in encoded:
        return float(_SPECIAL.get(encoded["float"], encoded["float"]))
    return {key: decode(item) for key, item in encoded["dict"].items()}


@cache
def read_expected(assignment):
    """Expected values of the public cases, `{task: [value, ...]}`."""
    file = resources.files("coursekit.exercises") / "expected" / f"{assignment}.json"
    return {task: decode(values) for task, values in json.loads(file.read_text(encoding="utf-8")).items()}


def _encode_number(number):
    if not isinstance(number, float):
        return number
    if not math.isfinite(number):
        return str(number)
    return float(f"{number:.9g}")
