"""The page for instructors says what the grader does."""

import re
import shlex
from pathlib import Path

import pytest

from coursekit.grading import doctor
from coursekit.grading.command import grade
from coursekit.grading.reports import FLAGS

PAGE = (Path(__file__).resolve().parents[2] / "book" / "instructors.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^coursekit grade (.+)$", PAGE, re.MULTILINE)


def section(title):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


def test_its_commands_have_options_that_there_are():
    assert len(COMMANDS) >= 3
    known = {option for parameter in grade.params for option in parameter.opts}
    for command in COMMANDS:
        words = shlex.split(command)
        assert {word for word in words if word.startswith("--")} <= known, command
    assert {option for option in re.findall(r"`(--[a-z-]+)", PAGE) if option not in known} == {"--pids-limit"}


def test_its_flags_are_the_graders():
    told = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", section("Grade") + section("Gradescope"))
    assert (
        {"calls-reference", "id-differs", "grader-error", "weaker-sandbox"} <= set(told) <= set(FLAGS) | {"make-secret"}
    )


@pytest.mark.parametrize("place", ["Gradescope", "Colab", "VS Code", "Canvas and Moodle", "Ubuntu, Fedora, WSL"])
def test_it_says_what_has_not_been_tried(place):
    assert f"- **{place}" in section("What has not been tried")


def test_it_says_where_the_limit_on_processes_does_not_hold():
    told = section("What it does not")
    assert "`limit on processes`" in told and "--pids-limit" in told and "--pids-limit" in doctor.COUNTED
