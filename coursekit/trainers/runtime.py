"""What the process does around the training loop: CPU tuning, random streams, Ctrl-C, the progress bar."""

import ctypes
import functools
import os
import platform
import signal
import threading
import time
from contextlib import contextmanager

import torch
from tqdm import tqdm

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Lightning sets it to 1, and then torch loads NVIDIA's management library anew at every optimizer step
# on a machine that has none: 80 microseconds against 2.
_DRIVER_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"


@functools.cache
def keep_freed_memory():
    """Ask glibc's allocator to keep large freed blocks for the next step. Returns whether it agreed.

    By default glibc maps every large tensor anew and gives it back at once, and a CPU training step
    pays for that in page faults. The setting is for the whole process, cannot change a result, and
    raises resident memory a little. ``COURSEKIT_CPU_TUNING=0`` leaves the allocator alone.
    """
    if not _tuning_wanted() or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))


@contextmanager
def tuned(device):
    """Run the body with the fastest settings that cost `device` no accuracy; restore them after."""
    if device.type != "cpu" or not _tuning_wanted():
        yield
        return
    keep_freed_memory()
    precision, driver_check = torch.get_float32_matmul_precision(), os.environ.get(_DRIVER_CHECK)
    if precision == "highest" and medium_is_as_exact():
        torch.set_float32_matmul_precision("medium")
    if not torch.cuda.is_available():
        os.environ[_DRIVER_CHECK] = "0"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        if driver_check is not None:
            os.environ[_DRIVER_CHECK] = driver_check


@functools.cache
def medium_is_as_exact():
    """Whether ``medium`` float32 products on this CPU have errors at the level of ``highest``.

    ``medium`` moves products to oneDNN, which on some CPUs is twice as fast at the same accuracy and
    on others (AMX) rounds the factors to bfloat16. So ask the machine: both are compared with float64.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 256, 784, generator=generator)
    exact = a.double() @ b.double().T
    before = torch.get_float32_matmul_precision()
    errors = {}
    try:
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            errors[precision] = ((a @ b.T - exact).norm() / exact.norm()).item()
    finally:
        torch.set_float32_matmul_precision(before)
    return errors["medium"] <= 4 * errors["highest"]


def _tuning_wanted():
    return os.environ.get("COURSEKIT_CPU_TUNING", "1") != "0"


def stream_seed(seed, stream, step):
    """Seed of one named random stream at one step (SplitMix64 of the three numbers).

    Every random number of a run is a function of (seed, stream, step) alone. That is why a resumed
    run and a run on several ranks draw the same numbers, with no generator state to save.
    """
    mask = (1 << 64) - 1
    z = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03 + step + 1) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> 1


def module_randomness(device):
    """Give the modules (dropout) their own random stream, and the caller's back afterwards."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def seed_modules(device, seed):
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


class InterruptFlag:
    """Context in which Ctrl-C only raises a flag, so that the step under way ends whole.

    A second Ctrl-C interrupts at once. Outside the main thread, where Python delivers no signals,
    the flag never rises.
    """

    def __init__(self):
        self.raised = False
        self._previous = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception):
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _note(self, signum, frame):
        if self.raised:
            raise KeyboardInterrupt
        self.raised = True


class ProgressBar:
    """tqdm in plain text, told of the losses a few times a second."""

    def __init__(self, first, last, name, shown):
        self.first = first
        # Only ever passed when True, so that TQDM_DISABLE=1 can hide the bar too.
        hidden = {} if shown else {"disable": True}
        self._bar = tqdm(total=last, initial=first, desc=name, unit="step", ascii=True, **hidden)
        self._due = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._bar.close()

    def show(self, step, history):
        now = time.monotonic()
        if not self._bar.disable and (now >= self._due or step == self._bar.total):
            self._due = now + 0.3
            terms = {name: f"{values[-1]:.4g}" for name, values in history.items() if name not in ("step", "epoch")}
            self._bar.set_postfix(terms, refresh=False)
            self._bar.update(step - self._bar.n)
