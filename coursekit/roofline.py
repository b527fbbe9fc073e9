"""What bounds the speed of a step: operations, bytes moved, the machine's ceilings, and what processes exchange."""

import time
from typing import NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from coursekit.trainers.config import choose_device
from coursekit.trainers.runtime import tuned

__all__ = [
    "Ceilings",
    "Work",
    "all_reduce_bytes",
    "amdahl_speedup",
    "count_layers",
    "count_work",
    "measure_ceilings",
]

ALLOCATIONS = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")  # which touch no memory yet


class Work(NamedTuple):
    """Floating-point operations, and bytes read and written.

    Parameters
    ----------
    operations : int
        A multiplication and an addition are two. Of convolutions and matrix products only, as torch counts them.
    bytes : int
    """

    operations: int
    bytes: int

    @property
    def intensity(self):
        """Operations a byte (eq-scaling-roofline); 0 where nothing moves."""
        return self.operations / self.bytes if self.bytes else 0.0

    def __add__(self, other):
        return Work(self.operations + other.operations, self.bytes + other.bytes)


class Ceilings(NamedTuple):
    """What a device reached: operations a second in its fastest product or convolution, bytes a second in a copy."""

    operations: float
    bytes: float

    def attainable(self, intensity):
        """Most operations a second at so many operations a byte (eq-scaling-roofline)."""
        return min(self.operations, intensity * self.bytes)

    def seconds(self, work):
        """Least time for `work` if arithmetic and memory traffic overlap perfectly."""
        return max(work.operations / self.operations, work.bytes / self.bytes)


class _Counter(TorchDispatchMode):
    def __init__(self, label):
        super().__init__()
        self.label = label
        self.work = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        label = self.label(function)
        self.work[label] = self.work.get(label, Work(0, 0)) + _work_of(function, args, kwargs, output)
        return output


def _work_of(function, args, kwargs, output):
    name = function._overloadpacket.__name__
    returns = function._schema.returns
    is_view = bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
    if is_view or name in ALLOCATIONS:
        return Work(0, 0)
    counted = flop_registry.get(function._overloadpacket)
    operations = counted(*args, **kwargs, out_val=output) if counted else 0
    written = output
    if not returns:  # what is changed in place and not returned, as the weights by a fused optimizer
        arguments = dict(zip((a.name for a in function._schema.arguments), args)) | kwargs
        changed = (a.name for a in function._schema.arguments if a.alias_info is not None and a.alias_info.is_write)
        written = [arguments[name] for name in changed if name in arguments]
    return Work(operations, _size((args, kwargs)) + _size(written))


def _size(tree):
    """Bytes of the tensors in a tree, an expanded one counted once."""
    tensors = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
    return sum(min(t.numel() * t.element_size(), t.untyped_storage().nbytes()) for t in tensors)


def count_work(function):
    """Work of every operator that ``function()`` runs, backward passes and optimizers included.

    Parameters
    ----------
    function : callable
        Called once, without arguments. Nothing in it may be compiled by ``torch.compile``.

    Returns
    -------
    dict of str to Work
        By torch's name of the operator, in the order of their first call. ``sum(work.values(), Work(0, 0))`` is
        the whole.

    Notes
    -----
    Operations come from torch's own counter, which knows convolutions and matrix products and counts every tap of a
    kernel, padding included. Bytes are an estimate: each operator reads its inputs and writes its outputs once. The
    truth is less where operators are fused or a cache still holds the input, and more where an operator makes
    copies.
    """
    counter = _Counter(lambda operator: operator._overloadpacket.__name__)
    with counter:
        function()
    return counter.work


def count_layers(network, *inputs):
    """Work of the forward pass of every module of `network`, by its name; that of its children is not its own.

    Parameters
    ----------
    network : nn.Module
    *inputs : Tensor
        On the device ``"meta"``, as the network may be, nothing is computed.

    Returns
    -------
    dict of str to Work
        In the order of the first call; ``""`` is the network itself.
    """
    names = {module: name for name, module in network.named_modules()}
    stack = []
    hooks = []
    for module in names:
        hooks.append(module.register_forward_pre_hook(lambda module, _: stack.append(names[module])))
        hooks.append(module.register_forward_hook(lambda *_: stack.pop() and None, always_call=True))
    counter = _Counter(lambda _: stack[-1])
    try:
        with torch.no_grad(), counter:
            network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return counter.work


def measure_ceilings(device="auto", dtype=torch.float32, seconds=3.0, clock=time.perf_counter):
    """Measure what a device reaches: a few large products and convolutions, and a copy that no cache holds.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
    dtype : torch.dtype
    seconds : float
        About how long to measure.
    clock : callable
        Seconds. ``time.process_time``, of a CPU that has other work too and where torch has one thread.

    Returns
    -------
    Ceilings
        The fastest of each kind: nothing in a step can be faster for long.
    """
    device = torch.device(choose_device(device))
    scale = 1 if device.type == "cpu" else 4
    with torch.no_grad(), tuned(device):
        jobs = _arithmetic(device, dtype, scale)
        copied = torch.empty(scale * (1 << 26), device=device)
        jobs["copy"] = lambda: copied.copy_(source)
        source = torch.randn_like(copied)
        work = {name: sum(count_work(job).values(), Work(0, 0)) for name, job in jobs.items()}
        best = dict.fromkeys(jobs, float("inf"))
        end = clock() + seconds
        while True:
            for name, job in jobs.items():
                best[name] = min(best[name], _seconds(job, device, clock))
            if clock() > end:
                break
    operations = max(work[name].operations / best[name] for name in jobs)
    return Ceilings(operations, work["copy"].bytes / best["copy"])


def _arithmetic(device, dtype, scale):
    a, b = torch.randn(2, 1024 * scale, 1024 * scale, device=device).to(dtype)
    jobs = {"product": lambda: a @ b}
    for layout in (torch.contiguous_format, torch.channels_last):
        for channels, kernel, stride in ((256, 3, 1), (128, 4, 2)):
            x = torch.randn(16 * scale, channels, 32, 32, device=device).to(dtype, memory_format=layout)
            convolution = torch.nn.Conv2d(channels, 256, kernel, stride, 1).to(device, dtype, memory_format=layout)
            jobs[f"{kernel}x{kernel} {layout}"] = lambda convolution=convolution, x=x: convolution(x)
    return jobs


def _seconds(job, device, clock):
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device.type, lambda: None)
    wait()
    start = clock()
    job()
    wait()
    return clock() - start


def all_reduce_bytes(numbers, processes, bytes_each=4):
    """Bytes that each process sends to sum `numbers` numbers over all `processes` of them in a ring (eq-scaling-ring).

    Parameters
    ----------
    numbers : int
        The parameters of a network, for one step of it.
    processes : int
    bytes_each : int
        4 for the float32 gradients that every precision of the trainers has.

    Returns
    -------
    float

    References
    ----------
    Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009.
    """
    return 2 * (processes - 1) / processes * numbers * bytes_each


def amdahl_speedup(serial, processes):
    """How many times as fast `processes` are as one if the share `serial` of the work cannot be divided (eq-scaling-amdahl)."""
    return 1 / (serial + (1 - serial) / processes)
