"""What the epoch benchmarks share: sides in processes of their own, taking turns, compared by ratios."""

import argparse
import gzip
import json
import multiprocessing
import platform
import resource
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path


def mnist_for_torchvision(folder):
    """Unpack MNIST below `folder` as torchvision reads it."""
    from coursekit.data.download import REGISTRY, data_folder

    unpacked = Path(folder, "MNIST", "raw")
    unpacked.mkdir(parents=True)
    for file in (data_folder() / REGISTRY["mnist"].folder).glob("*.gz"):
        (unpacked / file.stem).write_bytes(gzip.decompress(file.read_bytes()))


def _serve(side, folder, connection):
    """Train one epoch at each request; answer with images a second, what the side tells of itself, and memory."""
    runner = side(folder)
    while connection.recv():
        start = time.perf_counter()
        images = runner.epoch()
        rate = images / (time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        connection.send((rate, runner.report(), peak))


def measure(sides, rounds, prepare=mnist_for_torchvision):
    """Let each of `sides`, a dict of name to class, train `rounds` epochs in turn; the first is not counted.

    A side is made with a folder that `prepare` has filled; ``epoch()`` returns its number of images, and
    ``report()`` what should stand in the record beside the rates.

    Returns
    -------
    rates : dict of name to list of float
    reports, peaks : dict of name to the last one
    """
    rates, reports, peaks = {side: [] for side in sides}, {}, {}
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        pipes, processes = {}, []
        for name, side in sides.items():
            pipes[name], theirs = context.Pipe()
            processes.append(context.Process(target=_serve, args=(side, folder, theirs), daemon=True))
            processes[-1].start()
        for number in range(rounds):
            for name, pipe in pipes.items():
                pipe.send(True)
                rate, reports[name], peaks[name] = pipe.recv()
                if number:
                    rates[name].append(rate)
        for pipe, process in zip(pipes.values(), processes):
            pipe.send(False)
            process.join()
    return rates, reports, peaks


def with_bf16_only_where_native(sides):
    """`sides` without those named bf16 on a CPU that only emulates bfloat16: they would run for hours."""
    import torch

    if torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return sides
    print("bf16 is left out: this CPU has no bfloat16 instructions")
    return {name: side for name, side in sides.items() if "bf16" not in name}


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def counted_gflop(step):
    """10⁹ floating-point operations of one call of `step`, by torch's own counter: convolutions and products only."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9


class ConvolutionCeiling:
    """What the machine can do: the fastest of a few large convolutions and a product. Its "images" are 10⁹ operations."""

    seconds = 1.0

    def __init__(self, folder):
        import torch

        from coursekit.trainers.runtime import keep_freed_memory

        keep_freed_memory()
        torch.set_grad_enabled(False)
        a, b = torch.randn(2, 1024, 1024)
        work = {"matrix product": lambda: a @ b}
        for layout in (torch.contiguous_format, torch.channels_last):
            for channels, kernel, stride in ((256, 3, 1), (128, 4, 2)):
                x = torch.randn(16, channels, 32, 32).to(memory_format=layout)
                convolution = torch.nn.Conv2d(channels, 256, kernel, stride, 1).to(memory_format=layout)
                name = f"{kernel}x{kernel}, stride {stride}, {str(layout).removeprefix('torch.')}"
                work[name] = lambda convolution=convolution, x=x: convolution(x)
        self.gflop = {name: counted_gflop(job) for name, job in work.items()}
        self.rates = {name: max(self._rate(name, job) for _ in range(3)) for name, job in work.items()}
        self.best = max(self.rates, key=self.rates.get)
        self.job = work[self.best]

    def _rate(self, name, job):
        start = time.perf_counter()
        job()
        return self.gflop[name] / (time.perf_counter() - start)

    def epoch(self):
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < self.seconds:
            self.job()
            done += 1
        return done * self.gflop[self.best]

    def report(self):
        return {"fastest": self.best, "gflop_per_second_of_each": self.rates}


CEILING = "ceiling, GFLOP/s"


def compare(script, sides, *, baselines, goals, description, prepare=mnist_for_torchvision):
    """The whole of a benchmark: options, measurement, a printed table and, with ``--out``, a JSON record.

    Parameters
    ----------
    script : str
        The benchmark's file.
    sides : dict of str to class
    baselines : dict of str to str
        The side that each other one is compared with, round by round.
    goals : dict of str to float
        Ratio wanted of a side.
    description : str
    prepare : callable
        Fills the folder that the sides are given.

    Notes
    -----
    With `CEILING` among the sides, those that report ``gflop_per_image`` are told their share of it, round by round.
    """
    import torch

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=7, help="epochs a side, the first not counted (at least 2)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds must be at least 2")
    rates, reports, peaks = measure(sides, options.rounds, prepare)
    rows = {}
    print(f"{'side':32} {'img/s median':>12} {'ratio (min to max)':>22} {'goal':>5} {'peak MiB':>9}")
    for side in sides:
        base = baselines.get(side, side)
        ratio = spread([mine / plain for mine, plain in zip(rates[side], rates[base])])
        rows[side] = {
            "images_per_second": spread(rates[side]),
            "compared_with": base,
            "ratio": ratio,
            "goal": goals.get(side),
            **reports[side],
            "peak_memory_mib": peaks[side],
        }
        if CEILING in rates and "gflop_per_image" in reports[side]:
            gflop = reports[side]["gflop_per_image"]
            shares = [rate * gflop / top for rate, top in zip(rates[side], rates[CEILING])]
            rows[side]["share_of_ceiling"] = spread(shares)
        print(
            f"{side:32} {rows[side]['images_per_second']['median']:12,.5g} "
            f"{ratio['median']:8.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) {goals.get(side) or '':>5} "
            f"{peaks[side]:9,.0f}",
            {name: rows[side][name] for name in ("share_of_ceiling", *reports[side]) if name in rows[side]},
        )
    if options.out:
        record = {
            "command": f"python tests/benchmarks/{Path(script).name} --rounds {options.rounds}",
            "date": date.today().isoformat(),
            "device": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
            "torch": torch.__version__,
            "seed": 0,
            "rows": rows,
        }
        options.out.write_text(json.dumps(record, indent=1) + "\n")
