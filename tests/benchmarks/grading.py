"""Seconds to grade a submission, beside `otter run` on the same answers and the same hidden cases.

    python tests/benchmarks/grading.py [--rounds 3] [--submissions 120] [--otter PATH] [--many 500] [--out FILE]

`--otter` is a virtual environment with otter-grader 7.0.0, torch and ipykernel. Otter is given five tasks of the
exercises on VAEs as its own assignment: the answers, and for each hidden case the input and the expected value. It is
run as its manual says, one notebook at a time: its other way needs Docker. We run `coursekit grade` on a folder, with
one job and with two. In each round all sides work in turn. Wall time is what one waits for, start of the program
included: compare it on an idle machine. How much two jobs gain is reckoned without the start, which a call of two
submissions measures. `--many` grades so many submissions in one call and follows the grader's memory.
"""

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "book" / "results"), str(Path(__file__).parent)]

from record import cpu_model, provenance  # noqa: E402

SECRET = b"the secret of a benchmark's class"
TASKS = ("kl", "reparameterise", "loss", "gap", "active_dimensions")
GOAL = 4.0
STARTERS = 2
OTTER_SETUP = (
    "import math\nimport numpy as np\nimport torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
    "numbers = {numbers!r}"
)
OTTER_TEST = """\
import base64
import io

import torch
from otter.test_files import test_case

OK_FORMAT = False
name = {task!r}
points = {points}


def load(text):
    return torch.load(io.BytesIO(base64.b64decode(text)), weights_only=True)


def check(answer, args, expected):
    if {gradients}:
        args = [arg.requires_grad_() for arg in args]
        value = answer(*args)
        value.sum().backward()
        found = [value, args[0].grad, args[1].grad]
    else:
        found = [answer(*args)]
    for one, wanted in zip(found, expected):
        assert torch.allclose(torch.as_tensor(one, dtype=wanted.dtype), wanted, rtol=1e-4, atol=1e-6)

"""
OTTER_CASE = """
@test_case(points=None, hidden=True)
def test_{number}({task}):
    args, expected = load({packed!r})
    check({task}, args, expected)

"""
OTTER_VALUE = """
@test_case(points=None, hidden=True)
def test_value({task}):
    assert abs({task} - {value!r}) < 1e-3 * abs({value!r})
"""


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--submissions", type=int, default=120, help="in each call of ours; otter gets 6 at most")
    parser.add_argument("--otter", type=Path, metavar="PATH", help="virtual environment with otter-grader")
    parser.add_argument("--many", type=int, default=0, metavar="N", help="follow the memory over N submissions")
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "results" / "grading.json")
    options = parser.parse_args(argv)
    if options.submissions <= STARTERS:
        parser.error(f"--submissions must be more than {STARTERS}")
    if options.otter and not (options.otter / "bin" / "otter").exists():
        parser.error(f"there is no otter in {options.otter}")
    command = f"python tests/benchmarks/grading.py --rounds {options.rounds} --submissions {options.submissions}"
    origin = provenance(command + (f" --many {options.many}" if options.many else ""))
    origin |= {"device": cpu_model(), "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    if options.otter:
        origin["otter"] = _version_of_otter(options.otter)
    rows = []
    for number in range(options.rounds):
        rows.append({"case": "grading", "run": 0, **one_round(number, options.submissions, options.otter)})
        write(options.out, origin, rows)
    for name, first in rows[0]["metrics"].items():
        values = [row["metrics"][name] for row in rows]
        shown = (
            f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"
            if first != "not measured"
            else first
        )
        print(f"{name:34}{shown}")
    if options.many:
        rows.append({"case": "grading-memory", "run": 0, **memory_over(options.many)})
        write(options.out, origin, rows)
        print(json.dumps(rows[-1]["metrics"]))


def write(path, origin, rows):
    text = json.dumps({"chapter": "grading", "runs": [origin], "rows": rows}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def one_round(number, submissions, otter):
    """Seconds a submission, of each side."""
    start = time.perf_counter()
    metrics = {"goal": GOAL, "submissions": submissions}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        further = {}
        for jobs in (1, 2):
            start_up = time_ours(folder / f"start-{jobs}", STARTERS, jobs)
            seconds = time_ours(folder / f"class-{jobs}", submissions, jobs)
            further[jobs] = (seconds - start_up) / (submissions - STARTERS)
            metrics |= {f"jobs_{jobs}_start": start_up, f"jobs_{jobs}_seconds": seconds / submissions}
        metrics["two_jobs_ratio"] = further[1] / further[2]
        otters = time_otter(folder / "otter", otter, min(6, submissions)) if otter else "not measured"
        metrics["otter_seconds"] = otters
        metrics["ratio"] = otters / metrics["jobs_1_seconds"] if otter else otters
    return {"round": number, "seconds": round(time.perf_counter() - start, 1), "metrics": metrics}


def timed(command, **options):
    """Seconds that a command takes, which must succeed."""
    start = time.perf_counter()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | options.pop("environment", {})
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, **options)
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return wall


# -- our side --------------------------------------------------------------------------------------


def time_ours(folder, submissions, jobs):
    """Seconds in which `coursekit grade` marks a class."""
    handed_in = make_class(folder / "class", submissions)
    (folder / "secret.key").write_bytes(SECRET)
    command = [sys.executable, "-m", "coursekit", "grade", handed_in, "--assignment", "vae", "--jobs", jobs]
    command += ["--out", folder / "marks", "--secret-file", folder / "secret.key", "--quiet"]
    seconds = timed(command)
    check_totals(folder / "marks", submissions)
    return seconds


def answers():
    from coursekit.grading.key import load_key

    key = load_key("vae")
    return key, {task: key.solution(task) for task in TASKS}


def make_class(folder, submissions):
    """Right notebooks, without the training cell: it trains nothing in the grader, and otter has no such task."""
    import make_exercises

    _, solved = answers()
    folder.mkdir(parents=True)
    for number in range(submissions):
        student = f"student{number:03}"
        notebook = make_exercises.notebook_with("vae", solved | {"small_vae": "small_vae = ..."}, student)
        (folder / f"{student}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return folder


def check_totals(out, submissions):
    lines = (out / "grades.csv").read_text(encoding="utf-8").split()[1:]
    assert len(lines) == submissions and all(line.endswith(",70") for line in lines), lines


def memory_over(submissions):
    """The grader's own memory while it grades a large class."""
    import torch

    from coursekit.grading.classroom import Classroom, Sessions

    torch.set_num_threads(1)
    key, _ = answers()
    seen, done = [], threading.Event()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        handed_in = make_class(Path(folder, "class"), submissions)
        classroom = Classroom(key, SECRET, Path(folder, "out"), Sessions(key.assignment))

        def follow():
            while not done.wait(0.5):
                seen.append((classroom.graded, _resident()))

        watcher = threading.Thread(target=follow)
        watcher.start()
        try:
            marked = classroom.grade(handed_in, jobs=2)
            seen.append((classroom.graded, _resident()))
        finally:
            done.set()
            watcher.join()
        assert [one.total for one in marked] == [70.0] * submissions
    first = max(memory for graded, memory in seen if graded <= max(10, submissions // 10))
    last = max(memory for graded, memory in seen if graded >= submissions * 9 // 10)
    metrics = {"submissions": submissions, "first_tenth_mib": first, "last_tenth_mib": last, "growth_mib": last - first}
    return {"round": 0, "seconds": round(time.perf_counter() - start, 1), "metrics": metrics}


def _resident():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


# -- otter's side ----------------------------------------------------------------------------------


def time_otter(folder, environment, submissions):
    """`otter run` on so many notebooks, one after the other."""
    programs = environment / "bin"
    path = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": ""}
    archive = make_otter_assignment(folder, programs, path)
    seconds = 0.0
    for number in range(submissions):
        notebook = folder / f"student{number:03}.ipynb"
        notebook.write_text(json.dumps(otter_notebook()), encoding="utf-8")
        out = folder / f"out{number}"
        out.mkdir()
        command = [programs / "otter", "run", "--no-logo", "-a", archive, "-o", out, notebook]
        seconds += timed(command, cwd=folder, environment=path)
        score = sum(test.get("score", 0) for test in json.loads((out / "results.json").read_text())["tests"])
        assert score == 70, f"otter gave {score} of 70"
    return seconds / submissions


def otter_notebook():
    key, solved = answers()
    numbers = key.assignment.numbers_of("student000")
    cells = [OTTER_SETUP.format(numbers=numbers), *solved.values()]
    return {
        "cells": [
            {"cell_type": "code", "execution_count": None, "id": f"c{i}", "metadata": {}, "outputs": [], "source": cell}
            for i, cell in enumerate(cells)
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def make_otter_assignment(folder, programs, path):
    """Write our hidden cases as otter's tests, and let otter pack its autograder."""
    key, _ = answers()
    (folder / "tests").mkdir(parents=True)
    numbers = key.assignment.numbers_of("student000")
    for task in TASKS:
        points = key.assignment.tasks[task].points
        text = OTTER_TEST.format(task=task, points=points, gradients=task == "reparameterise")
        if task == "gap":
            text += OTTER_VALUE.format(task=task, value=key.value(task, numbers))
        else:
            cases = key.hidden_cases(task, SECRET, numbers)
            for number, (case, expected) in enumerate(zip(cases, key.expected(task, cases))):
                text += OTTER_CASE.format(number=number, task=task, packed=_packed(case.args, expected))
        (folder / "tests" / f"{task}.py").write_text(text, encoding="utf-8")
    timed(
        [programs / "otter", "generate", "-t", "tests", "-o", "autograder.zip", "--no-environment"],
        cwd=folder,
        environment=path,
    )
    return next(folder.glob("*.zip"))


def _packed(args, expected):
    import io

    import torch

    values = list(expected.values()) if isinstance(expected, dict) else [expected]
    buffer = io.BytesIO()
    torch.save((list(args), [torch.as_tensor(value) for value in values]), buffer)
    return base64.b64encode(buffer.getvalue()).decode()


def _version_of_otter(environment):
    code = "from importlib.metadata import version; print(version('otter-grader'))"
    return subprocess.run(
        [environment / "bin" / "python", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    main()
