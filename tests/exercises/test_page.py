"""The page about the exercises says what the exercises do."""

import re
from pathlib import Path

import torch

from coursekit.exercises import CHAPTERS

PAGE = (Path(__file__).resolve().parents[2] / "book" / "exercises.md").read_text(encoding="utf-8")


def test_every_assignment_is_linked_in_the_order_of_the_book():
    assert tuple(re.findall(r"\(\.\./notebooks/exercises/(\w+)\.ipynb\)", PAGE)) == CHAPTERS


def test_the_example_says_what_stands_under_it(said):
    program, printed = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("python", "text"))
    assert said(exec, program, {"torch": torch}) == printed
