"""The other half of an assignment: reference answers, hidden cases, and scores of artefacts."""

import hashlib
import hmac
import inspect
import re
import textwrap
from importlib import import_module

import numpy as np
import torch

from coursekit.exercises.subject import Local


class Key:
    """Answers to an assignment.

    Parameters
    ----------
    assignment : Assignment
    answers : dict of str to callable
        Per function task the reference function or class; per value task a function of the student's numbers.
    hidden : dict of str to callable
        Per function task ``hidden(rng, numbers)``: a list of at least four cases, sizes and values drawn from `rng`,
        a ``numpy.random.Generator``, the edges of what the task allows among them.
    solutions : dict of str to str
        Source of the solved cell, where the source of the answer is not it: numbers, artefacts, texts.
    scores : dict of str to callable
        Per artefact task ``score(module, rng)``, a float, on data that the student does not have.

    Raises
    ------
    ValueError
        A task without its answer, hidden cases or score, or one of these without a task.
    """

    def __init__(self, assignment, *, answers, hidden, solutions=None, scores=None):
        self.assignment = assignment
        self.answers, self.hidden = dict(answers), dict(hidden)
        self.solutions, self.scores = dict(solutions or {}), dict(scores or {})
        kinds = {name: task.kind for name, task in assignment.tasks.items()}
        for given, what, wanted in (
            (self.answers, "answers", ("function", "value")),
            (self.hidden, "hidden", ("function",)),
            (self.scores, "scores", ("artefact",)),
        ):
            names = {name for name, kind in kinds.items() if kind in wanted}
            if names != set(given):
                raise ValueError(f"{what} of {assignment.name} are {sorted(given)}, not {sorted(names)}")
        missing = {name for name, kind in kinds.items() if kind != "function"} - set(self.solutions)
        if missing:
            raise ValueError(f"solutions of {assignment.name} lack {sorted(missing)}")

    def expected(self, task, cases):
        """Values of the reference on these cases of a function task, as plain values."""
        asked = self.assignment.tasks[task]
        return [asked.value(Local(self.answers[task]), case) for case in cases]

    def hidden_cases(self, task, secret, numbers):
        """Hidden cases of a function task for a class's secret (bytes) and a student's numbers."""
        return self.hidden[task](self.rng(task, secret), dict(numbers))

    def value(self, task, numbers):
        """The right number of a value task."""
        return float(self.answers[task](dict(numbers)))

    def score(self, task, module, secret):
        """Score of an artefact on hidden data."""
        with torch.no_grad():
            return float(self.scores[task](module, self.rng(task, secret)))

    def solution(self, task):
        """Source of a cell that solves the task; for a text task its Markdown."""
        return self.solutions[task] if task in self.solutions else as_cell(self.answers[task], task)

    def rng(self, task, secret):
        """Generator seeded by HMAC-SHA256 of ``assignment/task`` under the secret."""
        digest = hmac.new(secret, f"{self.assignment.name}/{task}".encode(), hashlib.sha256).digest()
        return np.random.default_rng(int.from_bytes(digest, "big"))


def as_cell(answer, name):
    """Source of a function or class, called `name`."""
    source = textwrap.dedent(inspect.getsource(answer))
    return re.sub(rf"\b{re.escape(answer.__name__)}\b", name, source).strip()


def floats(array):
    """An array's numbers as a tensor of 32-bit floats."""
    return torch.as_tensor(np.asarray(array), dtype=torch.float32)


def normal(rng, *shape, scale=1.0):
    """Normal numbers around 0, 32-bit floats."""
    return floats(rng.normal(scale=scale, size=shape))


def load_key(chapter):
    """The key of a chapter's assignment."""
    return import_module(f"coursekit.grading.keys.{chapter}").key
