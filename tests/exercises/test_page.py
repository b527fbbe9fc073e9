"""The page about the exercises says what the exercises do."""

import re
from importlib import import_module
from pathlib import Path

import torch

from coursekit.exercises import CHAPTERS

PAGE = (Path(__file__).resolve().parents[2] / "book" / "exercises.md").read_text(encoding="utf-8")


def test_every_assignment_is_linked_in_the_order_of_the_book():
    assert tuple(re.findall(r"\(\.\./notebooks/exercises/(\w+)\.ipynb\)", PAGE)) == CHAPTERS


def test_the_page_counts_the_notebooks_and_their_tasks():
    words = dict(enumerate("no one two three four five six seven eight nine".split()))
    counts = sorted({len(import_module(f"coursekit.exercises.{name}").assignment.tasks) for name in CHAPTERS})
    tasks = " or ".join(words[count] for count in counts)
    assert f": {words[len(CHAPTERS)]} notebooks of {tasks} tasks" in PAGE


def test_the_example_says_what_stands_under_it(said):
    program, printed = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("python", "text"))
    assert said(exec, program, {"torch": torch}) == printed
