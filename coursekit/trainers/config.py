"""What a run is told: its settings, its device, its precision."""

from dataclasses import dataclass

import torch

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
        for name in ("epochs", "batch_size"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(self.lr > 0, f"lr must be positive, got {self.lr}")
        require(self.ema_decay is None or 0 < self.ema_decay < 1, f"ema_decay must lie in (0, 1), got {self.ema_decay}")


def require(condition, message):
    if not condition:
        raise ValueError(message)


def require_choice(name, value, choices):
    """Raise a ValueError that lists `choices` unless `value` is one of them."""
    require(value in choices, f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


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
    """The Lightning Fabric precision that ``"auto"`` stands for on a device."""
    if precision != "auto":
        return precision
    # Older GPUs (Colab's T4) only emulate bfloat16, which is slower than float32.
    native = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if native else "32-true"
