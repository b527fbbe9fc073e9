"""Sides of a benchmark: each in a process of its own, taking turns, counted and compared round by round."""

import gzip
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Side:
    """One way of doing a workload.

    `make` is called with a folder of data and `options` in a process whose environment has `environment`; what it
    returns does one round at each call of ``epoch()``, and answers how many images that were. `counted`: whether
    torch's counter can see its operations; `instead`, the side that has as many where it cannot.
    """

    make: Callable
    options: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    counted: bool = True
    instead: str = ""


@dataclass(frozen=True)
class Workload:
    """Sides that do the same work: "plain", "coursekit" and variations of it.

    `missing` says why a side of the table is not there, `goals` the ratio to "plain" that is wanted of a side, and
    `prepare` fills the folder.
    """

    sides: dict
    goals: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)
    prepare: Callable = lambda folder: None


def trainings(plain, ours, options, goals, *, prepare=None, compiles=True, untuned=True, on="cpu"):
    """The workload of a plain loop and a trainer: ours as it is, compiled, in bfloat16, and without CPU tuning."""
    ours_options = {**options, "device": on}
    sides = {"plain": Side(plain, ours_options), "coursekit": Side(ours, ours_options)}
    missing = {}
    if not compiles:
        missing["compile"] = "not measured"
    elif not (shutil.which("g++") or shutil.which("clang++")):
        missing["compile"] = "needs a C++ compiler"
    else:
        mode = "reduce-overhead" if on == "cuda" else "default"
        sides["compile"] = Side(ours, ours_options | {"compile": mode}, counted=False, instead="coursekit")
    if has_bf16(on):
        sides["bf16"] = Side(ours, ours_options | {"precision": "bf16-mixed"}, counted=False, instead="coursekit")
    else:
        missing["bf16"] = f"not supported by this {'CPU' if on == 'cpu' else 'GPU'}"
    if untuned and on == "cpu":
        off = {"COURSEKIT_CPU_TUNING": "0"}
        sides["untuned"] = Side(ours, ours_options, off, counted=False, instead="coursekit")
    return Workload(sides, goals, missing, prepare or (lambda folder: None))


def has_bf16(on):
    """Whether the device computes in bfloat16: one that only emulates it would run for hours."""
    import torch

    return torch.cuda.is_bf16_supported(False) if on == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()


def measure(workload, rounds):
    """Let the sides of `workload` do a round in turn, `rounds` times and once before that is not counted.

    Returns
    -------
    list of dict
        One a round: for each side ``images_per_second``, ``gflop_per_second``, ``peak_mib`` and, of the round that
        was not counted, ``warm_up_seconds``.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        workload.prepare(folder)
        pipes, processes = {}, []
        try:
            for name, side in workload.sides.items():
                pipes[name], theirs = context.Pipe()
                with _environment(side.environment):
                    processes.append(context.Process(target=_serve, args=(side, folder, theirs), daemon=True))
                    processes[-1].start()
                theirs.close()
            told = [{name: _ask(name, pipe) for name, pipe in pipes.items()} for _ in range(rounds + 1)]
        finally:
            for pipe in pipes.values():
                pipe.close()
            for process in processes:
                process.join()
    first = told.pop(0)
    for answers in told:
        for name, answer in answers.items():
            gflop = first[workload.sides[name].instead or name]["gflop_per_image"]
            answer["gflop_per_second"] = gflop * answer["images_per_second"]
            answer["warm_up_seconds"] = first[name]["seconds"]
    return told


@contextmanager
def _environment(variables):
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _ask(name, pipe):
    try:
        pipe.send(True)
        return pipe.recv()
    except (EOFError, BrokenPipeError):
        raise SystemExit(f"the side {name!r} ended; what it said stands above") from None


def _serve(side, folder, connection):
    """In the child: one round at each request, until the other end closes. The first counts its operations."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False) if side.counted else nullcontext()
    runner = side.make(folder, **side.options)
    try:
        while connection.recv():
            start = time.perf_counter()
            with counter:
                images = runner.epoch()
            seconds = time.perf_counter() - start
            answer = {"seconds": seconds, "images_per_second": images / seconds}
            if isinstance(counter, FlopCounterMode):
                answer["gflop_per_image"] = counter.get_total_flops() / 1e9 / images
            counter = nullcontext()
            answer["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            connection.send(answer)
    except (EOFError, BrokenPipeError):
        pass  # the measurement was ended


class Ceiling:
    """What the machine can do: the fastest of a few large convolutions and a product, a second of it each round.
    Its "images" are calls of it."""

    seconds = 1.0

    def __init__(self, folder, device="cpu"):
        import torch

        from coursekit.trainers.runtime import keep_freed_memory

        keep_freed_memory()
        torch.set_grad_enabled(False)
        self.wait = torch.cuda.synchronize if device == "cuda" else lambda: None
        a, b = torch.randn(2, 1024, 1024, device=device)
        jobs = [lambda: a @ b]
        for layout in (torch.contiguous_format, torch.channels_last):
            for channels, kernel, stride in ((256, 3, 1), (128, 4, 2)):
                x = torch.randn(16, channels, 32, 32, device=device).to(memory_format=layout)
                convolution = torch.nn.Conv2d(channels, 256, kernel, stride, 1, device=device).to(memory_format=layout)
                jobs.append(lambda convolution=convolution, x=x: convolution(x))
        self.job = max(jobs, key=lambda job: max(self._gflop_per_second(job) for _ in range(3)))

    def _gflop_per_second(self, job):
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            job()
        start = time.perf_counter()
        job()
        self.wait()
        return counter.get_total_flops() / (time.perf_counter() - start)

    def epoch(self):
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < self.seconds:
            self.job()
            self.wait()
            done += 1
        return done


def clouds(size, n):
    """Coloured clouds, (n, 3, size, size), uint8: the same on every side."""
    import torch

    small = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return (torch.nn.functional.interpolate(small, size=(size, size), mode="bilinear") * 255).round().to(torch.uint8)


def mnist_for_torchvision(folder):
    """Unpack MNIST below `folder` as torchvision reads it."""
    from coursekit.data import load_images
    from coursekit.data.download import REGISTRY, data_folder

    load_images("mnist")  # downloads it if need be, or says why it cannot
    unpacked = Path(folder, "MNIST", "raw")
    unpacked.mkdir(parents=True)
    for file in (data_folder() / REGISTRY["mnist"].folder).glob("*.gz"):
        (unpacked / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
