"""A small assignment, and somebody who works on it."""

import pytest
import torch
from torch import nn

from coursekit.exercises import tasks
from coursekit.exercises.tasks import ArtefactTask, Assignment, Case, FunctionTask, Misconception, TextTask, ValueTask


def _total_mean(x, weight):
    return (x * weight).mean(dim=1)


def _total_negative(x, weight):
    return -(x * weight).sum(dim=1)


def _total_crash(x, weight):
    return (x @ weight).sum(dim=1)


def _right_total(x, weight):
    return (x * weight).sum(dim=1)


def make_assignment():
    x = torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 4.0]])
    total = FunctionTask(
        "total",
        title="A weighted sum",
        points=40,
        prompt="Sum the rows of x times weight.",
        starter='def total(x, weight):\n    """The weighted sum of each row, (N,)."""\n    return ...\n',
        cases=lambda: [
            Case((torch.ones(1, 3), torch.ones(3)), note="ones"),
            Case((x, torch.tensor([1.0, 0.0, 2.0])), note="two rows"),
        ],
        hints=("Multiply first.", "Then sum over dim 1.", "Test it on ones."),
        misconceptions=(
            Misconception("mean", "You averaged; sum.", _total_mean),
            Misconception("negative", "The sign is wrong.", _total_negative),
            Misconception("crash", "That is a matrix product.", _total_crash),
        ),
        implementations=("coursekit.losses.vae.negative_elbo",),
    )
    double = ValueTask(
        "double",
        title="Twice a number",
        points=20,
        prompt="Twice a.",
        starter="double = ...",
        hints=(),
        misconceptions=(Misconception("square", "You squared it.", lambda numbers: numbers["a"] ** 2),),
    )
    essay = TextTask(
        "essay", title="In words", points=20, prompt="Why?", starter="...", rubric=(("a reason", 15), ("clear", 5))
    )
    net = ArtefactTask(
        "net",
        title="A trained layer",
        points=20,
        prompt="Train it.",
        starter="net = ...",
        architecture=lambda: nn.Linear(2, 1),
        public_score=lambda module: -float(module.weight.abs().sum()),
        thresholds={-2.0: 0.5, -1.0: 1.0},
    )
    return Assignment(
        "demo",
        title="A demonstration",
        intro="For tests.",
        tasks=(total, double, essay, net),
        numbers=lambda rng: {"a": 0.5 + int(rng.integers(3, 60)), "n": rng.integers(1, 9)},
    )


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """The assignment, in a folder of its own, with the expected values of its public cases."""
    monkeypatch.chdir(tmp_path)
    assignment = make_assignment()
    cases = assignment.tasks["total"].cases()
    monkeypatch.setattr(tasks, "read_expected", lambda name: {"total": [_right_total(*case.args) for case in cases]})
    return assignment


@pytest.fixture
def right_total():
    """The right answer to `total`."""
    return _right_total


class Said(str):
    """What was printed; whether words are in it does not depend on line breaks."""

    def __contains__(self, words):
        return super().__contains__(words) or " ".join(words.split()) in " ".join(self.split())


@pytest.fixture
def said(capsys):
    """Call something and return what it prints."""

    def call(function, *args, **kwargs):
        capsys.readouterr()
        function(*args, **kwargs)
        return Said(capsys.readouterr().out)

    return call
