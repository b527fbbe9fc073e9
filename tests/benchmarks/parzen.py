"""Seconds and memory of Table 1's Parzen window, beside scikit-learn's KernelDensity on the same work.

    python tests/benchmarks/parzen.py [--rounds 4] [--timed 500] [--out FILE]

The work: the log-likelihood of the 10,000 test images of MNIST under a window on 10,000 training images. Each side
runs in a process of its own, in turn in every round. KernelDensity scores `--timed` of the test images, and its
seconds are scaled to all of them: it takes them one by one. It is exact only with all samples in one leaf; with the
leaves it has by default it is off by hundreds of nats here. Compare the ratios, never the absolute times; on a busy
machine, those of the processor's time with one thread. The first round warms up and is not counted.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import time
from datetime import date
from pathlib import Path

from _sides import spread

SAMPLES, TEST, SIGMA = 10_000, 10_000, 0.2
GOALS = {"ratio": 10, "seconds": 30, "peak_memory_mib": 2048}


def images():
    from coursekit.data import load_images, to_float

    return to_float(load_images("mnist").images[:SAMPLES]), to_float(load_images("mnist", "test").images[:TEST])


class KernelDensitySide:
    """All pairs, in one leaf: exact."""

    threads = 1  # it has no more
    leaf_size = SAMPLES

    def __init__(self):
        self.samples, self.test = (part.flatten(1).double().numpy() for part in images())

    def score(self, n):
        from sklearn.neighbors import KernelDensity

        return KernelDensity(bandwidth=SIGMA, leaf_size=self.leaf_size).fit(self.samples).score_samples(self.test[:n])


class KernelDensityTree(KernelDensitySide):
    """What a user would write. Its bounds lose their digits: https://github.com/scikit-learn/scikit-learn/issues/27186."""

    leaf_size = 40


class Coursekit:
    threads = os.cpu_count()

    def __init__(self):
        import torch

        torch.set_num_threads(self.threads)
        self.samples, self.test = images()

    def score(self, n):
        from coursekit.metrics import parzen_log_likelihood

        return parzen_log_likelihood(self.samples, self.test[:n], SIGMA).numpy()


class CoursekitOneThread(Coursekit):
    threads = 1


class CoursekitProtocol(Coursekit):
    """The choice among ten σ on 1,000 images more, and the test images' scores."""

    def score(self, n):
        from coursekit.metrics import parzen_protocol

        return parzen_protocol(self.samples, self.test[:1000], self.test[:n]).mean


SIDES = {
    "KernelDensity": KernelDensitySide,
    "KernelDensity, tree": KernelDensityTree,
    "coursekit, 1 thread": CoursekitOneThread,
    "coursekit": Coursekit,
    "coursekit, protocol": CoursekitProtocol,
}


def serve(side, connection):
    """Score so many test images at each request; answer with seconds, peak memory and the first 100 scores."""
    runner = SIDES[side]()
    loaded = peak()
    while n := connection.recv():
        start, cpu_start = time.perf_counter(), time.process_time()
        scores = runner.score(n)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        connection.send((seconds, cpu_seconds, loaded, peak(), scores if isinstance(scores, float) else scores[:100]))


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(rounds, timed):
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for side in SIDES:
        pipes[side], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(side, theirs), daemon=True))
        processes[-1].start()
    rows = {side: {"seconds": [], "cpu_seconds": []} for side in SIDES}
    for number in range(rounds):
        for side, pipe in pipes.items():
            n = timed if side.startswith("KernelDensity") else TEST
            pipe.send(n)
            seconds, cpu_seconds, loaded, memory, scores = pipe.recv()
            if number:
                rows[side]["seconds"].append(seconds * TEST / n)
                rows[side]["cpu_seconds"].append(cpu_seconds * TEST / n)
            rows[side] |= {"timed_images": n, "loaded_mib": loaded, "peak_memory_mib": memory, "scores": scores}
    for pipe, process in zip(pipes.values(), processes):
        pipe.send(0)
        process.join()
    return rows


def summarise(rows):
    """One row a side: median and range of the seconds for all test images, ratio to KernelDensity, memory."""
    theirs = rows["KernelDensity"]
    result = {}
    for side, row in rows.items():
        ratios = {
            kind: [their / mine for their, mine in zip(theirs[kind], row[kind])] for kind in ("seconds", "cpu_seconds")
        }
        result[side] = {
            "threads": SIDES[side].threads,
            "timed_images": row["timed_images"],
            "seconds": spread(row["seconds"]),
            "cpu_seconds": spread(row["cpu_seconds"]),
            "ratio": spread(ratios["seconds"]),
            "cpu_ratio": spread(ratios["cpu_seconds"]),
            "memory_with_data_mib": row["loaded_mib"],
            "peak_memory_mib": row["peak_memory_mib"],
        }
        if not isinstance(row["scores"], float):
            result[side]["largest_difference_nats"] = float(abs(row["scores"] - theirs["scores"]).max())
    return result


def main():
    import sklearn
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4, help="times a side, the first not counted (at least 2)")
    parser.add_argument("--timed", type=int, default=500, help="test images that KernelDensity scores")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    if options.rounds < 2 or not 100 <= options.timed <= TEST:
        parser.error(f"--rounds must be at least 2, --timed from 100 to {TEST}")
    load = os.getloadavg()[0]
    rows = summarise(measure(options.rounds, options.timed))
    columns = ("seconds", "cpu_seconds", "ratio", "cpu_ratio")
    print(f"{'median (min to max)':20}" + "".join(f"{name:>26}" for name in (*columns, "peak MiB")))
    for side, row in rows.items():
        cells = (row[name] for name in columns)
        texts = [f"{cell['median']:.1f} ({cell['min']:.1f} to {cell['max']:.1f})" for cell in cells]
        print(f"{side:20}" + "".join(f"{text:>26}" for text in (*texts, f"{row['peak_memory_mib']:,.0f}")))
    print("goals: " + ", ".join(f"{name} {goal}" for name, goal in GOALS.items()))
    if options.out:
        record = {
            "command": f"python tests/benchmarks/parzen.py --rounds {options.rounds} --timed {options.timed}",
            "date": date.today().isoformat(),
            "device": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
            "processes_running": {"before": load, "after": os.getloadavg()[0]},
            "goals": GOALS,
            "rows": rows,
        }
        options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
