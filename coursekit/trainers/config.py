"""What a run is told: its settings, its device, its precision."""

from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import get_args, get_origin

import torch

from coursekit.errors import require_choice

PRECISIONS = ("auto", "32-true", "bf16-mixed")
IN_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a name", NoneType: "None"}
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


@dataclass(frozen=True)
class TrainerConfig:
    """What every run has.

    Attributes
    ----------
    epochs : int
        Passes over the data in all, since the run began. Time grows with it.
    batch_size : int
        Images per step over all processes together. Memory grows with it; large batches use a device better and take
        fewer steps an epoch, so they may need a larger `lr`.
    lr : float
        Learning rate of Adam. Costs nothing: too small is slow, too large diverges.
    seed : int
        Everything random follows from it: weights, data order, noise.
    ema_decay : float or None
        Keep an exponential moving average of the weights with this decay, and predict from it. Costs a second copy of
        them and one pass over them a step; evens out the last steps, and follows 1 / (1 - ema_decay) steps late.
    """

    epochs: int = 10
    batch_size: int = 128
    lr: float = 1e-3
    seed: int = 0
    ema_decay: float | None = None

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            # NumPy's numbers and torch's, which JSON lacks.
            if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
                value = value.item()
                object.__setattr__(self, field.name, value)
            if not _fits(value, field.type):
                raise ValueError(f"{field.name} must be {_in_words(field.type)}, got {value!r}")
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(self.lr > 0, f"lr must be positive, got {self.lr}")
        require(self.ema_decay is None or 0 < self.ema_decay < 1, f"ema_decay must lie in (0, 1), got {self.ema_decay}")


def _fits(value, kind):
    """Whether `value` is of an annotated kind. True and False are no numbers, whole numbers are; a list is a tuple.

    A kind that the settings of this package do not have, as a trainer of your own may, fits everything.
    """
    if isinstance(kind, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        many = others == [Ellipsis]
        return (
            isinstance(value, (tuple, list))
            and (many or len(value) == 1 + len(others))
            and all(_fits(one, first) for one in value)
        )
    if kind not in IN_WORDS:
        return True
    wanted = (int, float) if kind is float else kind
    return isinstance(value, wanted) and (kind is bool or not isinstance(value, bool))


def _in_words(kind):
    if isinstance(kind, UnionType):
        return " or ".join(map(_in_words, get_args(kind)))
    if get_origin(kind) is tuple:
        whole = get_args(kind)[0] is int
        return "whole numbers like (400, 200)" if whole else "two numbers like (0.0, 0.9)"
    return IN_WORDS[kind]


def require(condition, message):
    if not condition:
        raise ValueError(message)


def choose_device(device):
    """The device that ``"auto"`` or a name stands for: "cpu", "cuda" or "mps".

    Raises
    ------
    ValueError
        When torch does not have it.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    require_choice("device", device, ("cpu", "cuda", "mps"))
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    require(available[device], f"torch sees no {device} device here; use device='auto', or run `coursekit doctor`")
    return device


def choose_precision(precision, device):
    """The Lightning Fabric precision that ``"auto"`` or a name stands for on a device.

    Raises
    ------
    ValueError
        When it is none of `PRECISIONS`.
    """
    require_choice("precision", precision, PRECISIONS)
    if precision != "auto":
        return precision
    # Older GPUs (Colab's T4) only emulate bfloat16, which is slower than float32.
    native = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if native else "32-true"
