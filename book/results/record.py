"""Run the experiments behind the book's tables and keep their numbers with where they came from.

A script `book/results/<chapter>.py` defines `run(case, seed)`, which trains, measures and returns
`{metric: value}`, and hands it to `main`. What draws from all of them comes after:

    from record import main

    if __name__ == "__main__":
        if main("vae", run, cases=["beta-1", "beta-4"], seeds=(0, 1, 2)):
            draw()

Each finished (case, seed) is written to `book/results/<chapter>.json` at once, so an interrupted
script goes on where it stopped. Pages read the file through the `result` role and the
`results-table` directive of `book/_ext/coursekit_book.py`.
"""

import argparse
import inspect
import json
import math
import os
import platform
import subprocess
import sys
import time
import warnings
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "book" / "_static" / "figures"
PACKAGES = ("coursekit", "torch", "torchvision", "numpy", "scikit-learn")


def main(chapter, run, *, cases, seeds=(0, 1, 2), data=("mnist",), folder=None, argv=None):
    """Run what is missing from `<chapter>.json`, writing after every (case, seed).

    Parameters
    ----------
    chapter : str
        Name of the JSON file, and what pages call it.
    run : callable
        `run(case, seed) -> dict[str, float]`. If it has a parameter `smoke`, `--smoke` passes
        `smoke=True`, for a run of seconds.
    cases : sequence of str
        All cases of this file. Rows of cases and seeds no longer named are dropped.
    data : sequence of str
        Names for `coursekit.data.load_images`; their sources are recorded. An offline fallback
        inside `run` is an error: a published number never comes from another data set.
    folder : path, optional
        Where the file lies. Default: beside this module.
    argv : list of str, optional
        Command-line arguments. Default: `sys.argv[1:]`.

    Returns
    -------
    bool
        Whether all cases and seeds were asked for, without `--smoke`, `--cases` or `--seeds`: then there is
        everything that figures show.
    """
    parser = argparse.ArgumentParser(description=f"Measure the numbers of book/results/{chapter}.json")
    parser.add_argument(
        "--smoke", action="store_true", help="one seed of each case, quick if the script knows how; writes nothing"
    )
    parser.add_argument("--restart", action="store_true", help="forget the rows there are")
    parser.add_argument("--cases", help="run these only, comma-separated")
    parser.add_argument("--seeds", help="run these only, comma-separated")
    options = parser.parse_args(argv)
    wanted = options.cases.split(",") if options.cases else list(cases)
    wanted_seeds = [int(seed) for seed in options.seeds.split(",")] if options.seeds else list(seeds)
    for what, unknown, known in (
        ("case", set(wanted) - set(cases), cases),
        ("seed", set(wanted_seeds) - set(seeds), seeds),
    ):
        if unknown:
            parser.error(
                f"no such {what}: {', '.join(map(str, sorted(unknown)))}; there are {', '.join(map(str, known))}"
            )

    if options.smoke:
        quick = {"smoke": True} if "smoke" in inspect.signature(run).parameters else {}
        for case in wanted:
            print(case, seeds[0], _checked(run(case, seeds[0], **quick)), flush=True)
        return False

    path = Path(folder or Path(__file__).parent) / f"{chapter}.json"
    # Provenance is taken first: a commit made while we measure is not the code we measure.
    origin = provenance(f"python book/results/{chapter}.py", data)
    record = {"chapter": chapter, "runs": [], "rows": []}
    if path.exists() and not options.restart:
        record = json.loads(path.read_text(encoding="utf-8"))
    record["rows"] = [row for row in record["rows"] if row["case"] in cases and row["seed"] in seeds]
    if origin not in record["runs"]:
        record["runs"].append(origin)
    this_run = record["runs"].index(origin)

    finished = {(row["case"], row["seed"]) for row in record["rows"]}
    _write(path, record)
    for seed in wanted_seeds:
        for case in wanted:
            if (case, seed) in finished:
                continue
            started = time.perf_counter()
            with warnings.catch_warnings():
                _forbid_fallback()
                metrics = _checked(run(case, seed))
            seconds = time.perf_counter() - started
            record["rows"].append(
                {"case": case, "seed": seed, "run": this_run, "seconds": round(seconds, 1), "metrics": metrics}
            )
            record["rows"].sort(key=lambda row: (list(cases).index(row["case"]), row["seed"]))
            _write(path, record)
            print(f"{case} seed {seed}: {metrics} in {seconds:.0f} s", flush=True)
    return not (options.cases or options.seeds)


def save_figure(figure, chapter, name, dpi=110):
    """Write `book/_static/figures/<chapter>-<name>.png`, without the version of matplotlib, which changes no pixel."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    path = FIGURES / f"{chapter}-{name}.png"
    figure.savefig(path, dpi=dpi, facecolor="white", metadata={"Software": None})


def keep_run(trainer, path, *, half=False):
    """Save a run without what only training on needs, in half precision or as it is; `load_trainer` opens it."""
    from coursekit import checkpoints

    trainer.save(path)
    tensors, description = checkpoints.read(path)
    weights = {
        name: value.half() if half and value.is_floating_point() else value
        for name, value in tensors.items()
        if name.startswith(("network/", "average/"))
    }
    checkpoints.write(path, weights, description)


def load(chapter, folder=None):
    """The record of a chapter, as `main` left it."""
    return json.loads((Path(folder or Path(__file__).parent) / f"{chapter}.json").read_text(encoding="utf-8"))


def provenance(command, data=()):
    """What a reader needs to repeat the numbers: command, device, date, commit, versions, data."""
    import torch

    on_gpu = torch.cuda.is_available()
    return {
        "command": command,
        "device": torch.cuda.get_device_name() if on_gpu else cpu_model(),
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        "commit": _git("rev-parse", "--short=12", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--", "coursekit", "book/results/*.py")),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "data": {name: _source(name) for name in data},
    }


def cpu_model():
    """Name of the processor, as its maker gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _source(name):
    from coursekit.data import load_images

    with warnings.catch_warnings():
        _forbid_fallback()
        return load_images(name).source


def _forbid_fallback():
    from coursekit.errors import OfflineFallbackWarning

    warnings.simplefilter("error", OfflineFallbackWarning)


def _checked(metrics):
    numbers = {name: float(value) for name, value in metrics.items()}
    broken = [name for name, value in numbers.items() if not math.isfinite(value)]
    if not numbers or broken:
        raise ValueError(f"run() must return finite numbers, got {metrics}")
    return numbers


def _without_unused_runs(record):
    used = sorted({row["run"] for row in record["rows"]})
    rows = [{**row, "run": used.index(row["run"])} for row in record["rows"]]
    return {**record, "runs": [record["runs"][index] for index in used], "rows": rows}


def _write(path, record):
    record = _without_unused_runs(record)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _git(*arguments):
    result = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else ""


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit("Run one of the scripts beside this one; `make results` runs them all.")
