"""A small assignment with one task of each kind, and a session without a sandbox, for tests of what stands on both."""

import json
import zipfile
from collections import namedtuple

import torch
from torch import nn

from coursekit.exercises.subject import Local, NotAnswered
from coursekit.exercises.tasks import ArtefactTask, Assignment, Case, FunctionTask, TextTask, ValueTask
from coursekit.grading.faults import NotDefined, SandboxKilled, StudentError
from coursekit.grading.key import Key

CellResult = namedtuple("CellResult", "status exception", defaults=(None,))
SECRET = b"a secret of sixteen bytes"


def double(x):
    return 2 * x


def network():
    return nn.Linear(2, 1)


def hidden(rng, numbers):
    values = torch.tensor(rng.normal(size=(4, 3)), dtype=torch.float32).abs() + 0.1
    return [Case((x,), part="positive") for x in values] + [Case((-x,), part="negative") for x in values]


def key():
    tasks = (
        FunctionTask(
            "double",
            title="Twice",
            points=40,
            prompt="Double it.",
            starter='def double(x):\n    """2x."""\n    return ...',
            cases=lambda: [Case((torch.ones(2),))],
            implementations=("coursekit.losses.vae.kl_standard_normal",),
        ),
        ValueTask("rate", title="A rate <b>", points=20, prompt="", starter="rate = ..."),
        TextTask(
            "why", title="Why", points=20, prompt="", starter="...", rubric=(("says so, clearly", 12), ("why", 8))
        ),
        ArtefactTask(
            "line",
            title="A line",
            points=20,
            prompt="",
            starter="line = ...",
            architecture=network,
            public_score=lambda module: 0.0,
            thresholds={0.5: 0.5, 1.0: 1.0},
        ),
    )
    assignment = Assignment(
        "toy", title="Toy", intro="", tasks=tasks, numbers=lambda rng: {"a": int(rng.integers(1, 1000))}
    )
    return Key(
        assignment,
        answers={"double": double, "rate": lambda numbers: numbers["a"] / 2},
        hidden={"double": hidden},
        solutions={"rate": "rate = numbers['a'] / 2", "why": "Because.", "line": "line = ..."},
        scores={"line": lambda module, rng: float(module.weight.sum())},
    )


SETUP = 'from coursekit.exercises import toy\nSTUDENT = "ada"\nnumbers = toy.start(STUDENT)'
RIGHT = {
    "setup": SETUP,
    "double": "def double(x):\n    return x + x",
    "rate": "rate = numbers['a'] / 2",
    "why": "<!-- answer: why -->\n\nBecause.",
}


def notebook(cells):
    return {
        "cells": [
            {"cell_type": "markdown" if cell.startswith("<!--") else "code", "metadata": {}, "source": cell}
            for cell in cells
        ],
        "metadata": {},
        "nbformat": 4,
    }


def hand_in(folder, name="ada.zip", artefact=None, answers=None, **cells):
    """Write a submission; `cells` replace those of the right one, and None leaves one out."""
    if isinstance(cells.get("extra"), list):
        extra = cells.pop("extra")
    else:
        extra = []
    chosen = [cell for cell in (RIGHT | cells).values() if cell is not None] + extra
    content = json.dumps(notebook(chosen)).encode()
    path = folder / name
    if name.endswith(".ipynb"):
        path.write_bytes(content)
        return path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notebook.ipynb", content)
        if artefact is not None:
            archive.writestr("artefacts/line.safetensors", artefact)
        if answers is not None:
            archive.writestr("answers.json", json.dumps(answers))
    return path


class _Answer(Local):
    def __call__(self, *args, **kwargs):
        try:
            return super().__call__(*args, **kwargs)
        except NotAnswered:
            raise
        except Exception as error:
            raise StudentError(type(error).__name__) from None


class OpenSession:
    """What `mark` is given in place of a sandbox: cells are executed here, and ``die()`` is a killed sandbox."""

    def __init__(self):
        self.opened, self.permitted, self.closed = 0, [], 0

    def __call__(self, numbers, allow_reference):
        self.opened += 1
        self.permitted.append(allow_reference)
        self.numbers, self.space = numbers, {"numbers": numbers}
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.closed += 1

    def run(self, cells):
        return [self._run(cell) for cell in cells]

    def _run(self, cell):
        lines = [line for line in cell.splitlines() if "coursekit.exercises" not in line and "toy.start" not in line]
        try:
            exec("\n".join(lines), self.space)
        except Exception as error:
            return CellResult("error", type(error).__name__)
        return CellResult("ok")

    def subject(self, name):
        if name not in self.space:
            raise NotDefined(name)
        return _Answer(self.space[name])

    def value(self, name):
        if name not in self.space:
            raise NotDefined(name)
        if self.space[name] is ...:
            raise NotAnswered(name)
        if self.space[name] == "die":
            raise SandboxKilled()
        return self.space[name]
