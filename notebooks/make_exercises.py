"""Make the student notebooks and the expected values of their public cases (`make exercises`).

Usage: python notebooks/make_exercises.py [--check] [chapter ...]

A notebook is written executed, from the chapter in `coursekit.exercises`; the expected values come from its key in
`coursekit.grading.keys`. What is up to date is left alone. `--check` writes nothing and returns 1 if something is not.
"""

import argparse
import json
import math
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import execute
import stamp

from coursekit.exercises import CHAPTERS, IMPORTS
from coursekit.exercises.comparison import same
from coursekit.exercises.numbers import PLACEHOLDER
from coursekit.exercises.subject import plain
from coursekit.exercises.values import decode, encode
from coursekit.grading.key import load_key

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks" / "exercises"
EXPECTED = ROOT / "coursekit" / "exercises" / "expected"

NAMES = ("CycleGAN",)

STOPPED = "The runtime stopped half way"

KEEP = """
No GPU is needed. On Colab, first choose *File, Save a copy in Drive*, and work in the copy: the notebook that the link opens is not saved. What you train lies in the folder `artefacts` and goes with the runtime; download it, or run all cells again ([how to go on]({how})).
"""

RULES = """
Write your answers where `...` stands, and run the cell after it: `check` compares them with public cases and says what it sees. Hidden cases decide the mark. A result may be right for the cases you see and wrong for others, so think of sizes and edges that are not shown. Hints come one step at a time and cost nothing, for example `{chapter}.{task}.hint()`. Calling this course's own functions for what a task asks is no answer.

The points stand at each task; together they are {points}. The last cell writes the file you hand in.
"""


WHERE = """
Double-click the cell below and write under its first line, `<!-- answer: {task} -->`, which must stay. You see that line only while you edit. A person reads this. Points:
"""

EXACT = 1e-6  # a number asked for within this is counted, not measured


def chapters():
    """Chapters whose exercises and key are there."""
    return [name for name in CHAPTERS if all((ROOT / part / f"{name}.py").exists() for part in PARTS)]


PARTS = ("coursekit/exercises", "coursekit/grading/keys")


def assignment_of(chapter):
    return import_module(f"coursekit.exercises.{chapter}").assignment


def student_notebook(chapter):
    """The untouched notebook, not executed, as a dict."""
    return notebook_with(chapter, {})


def solved_notebook(chapter, student=PLACEHOLDER):
    """The notebook with the reference answers in it."""
    key = load_key(chapter)
    return notebook_with(chapter, {task: key.solution(task) for task in key.assignment.tasks}, student)


def notebook_with(chapter, answers, student=PLACEHOLDER):
    """The notebook with these answers.

    Parameters
    ----------
    chapter : str
    answers : dict of str to str
        Task to the source of its cell; other tasks keep their starter.
    student : str

    Returns
    -------
    dict
        As nbformat 4.5 has it.
    """
    assignment = assignment_of(chapter)
    points = sum(task.points for task in assignment.tasks.values())
    cells = [
        _markdown(
            "title",
            f"# Graded exercises: {_within_a_line(assignment.title)}\n\n"
            f"[Open in Colab]({stamp.colab_link(f'notebooks/exercises/{chapter}.ipynb')})\n\n"
            f"{KEEP.strip().format(how=stamp.page_link('book/troubleshooting.md', STOPPED))}\n\n"
            f"{assignment.intro.strip()}\n\n{RULES.strip().format(points=points, chapter=chapter, task=next(iter(assignment.tasks)))}",
        ),
        _code(
            "install",
            f'import sys\n\nif "google.colab" in sys.modules:\n    %pip install -q "{stamp.install_requirement()}"',
        ),
        _markdown(
            "student",
            "Write your id between the quotation marks, as your course knows it, and run the cell. "
            "The numbers in some tasks depend on it.",
        ),
        _code(
            "start",
            f"{IMPORTS}\nfrom coursekit.exercises import {chapter}\n\n"
            f'STUDENT = "{student}"\nnumbers = {chapter}.start(STUDENT)',
        ),
    ]
    for number, task in enumerate(assignment.tasks.values(), 1):
        cells += _task_cells(chapter, number, task, answers.get(task.name, task.starter).strip())
    cells += [
        _markdown(
            "hand-in",
            "## Hand in\n\nRun all cells from the top once more, and save. Then run the next two: the first shows where "
            "you stand, the second writes one file. Hand in that file, and do not rename it.",
        ),
        _code("progress", f"{chapter}.progress()"),
        _code("submit", f"{chapter}.submit(student=STUDENT)"),
    ]
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _task_cells(chapter, number, task, answer):
    heading = f"## {number} · {task.title} ({task.points} points)"
    if task.kind == "text":
        rubric = "\n".join(f"- {points} for: {criterion}" for criterion, points in task.rubric)
        return [
            _markdown(
                f"{task.name}-task",
                f"{heading}\n\n{task.prompt.strip()}\n\n{WHERE.strip().format(task=task.name)}\n\n{rubric}",
            ),
            _markdown(f"{task.name}-answer", f"<!-- answer: {task.name} -->\n\n{answer}"),
        ]
    verb = "hand_in" if task.kind == "artefact" else "check"
    return [
        _markdown(f"{task.name}-task", "\n\n".join([heading, task.prompt.strip(), *_demands(task)])),
        _code(f"{task.name}-answer", answer),
        _code(f"{task.name}-check", f"{chapter}.{task.name}.{verb}({task.name})"),
    ]


def _demands(task):
    """What the marks ask for beyond the prompt."""
    if task.kind == "value" and task.rtol > EXACT:
        yield f"Compute it in the cell, or give at least {math.ceil(-math.log10(task.rtol)) + 1} significant digits."
    if task.kind == "artefact":
        full, *others = sorted(task.thresholds.items(), reverse=True)
        part = "".join(f", from {score:g} on {share:.0%}" for score, share in others)
        yield f"From a score of {full[0]:g} on you get all points{part}."


def _within_a_line(title):
    """The title without its capital, unless that is part of a name."""
    return title if title[1:2].isupper() or title.split()[0] in NAMES else title[0].lower() + title[1:]


def _markdown(name, source):
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def _code(name, source):
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": [],
        "source": source,
    }


# -- expected values -------------------------------------------------------------------------------


def expected_values(chapter):
    """Values of the reference on the public cases, `{task: [value, ...]}`."""
    key = load_key(chapter)
    tasks = [task for task in key.assignment.tasks.values() if task.kind == "function"]
    return {task.name: [plain(value) for value in key.expected(task.name, task.cases())] for task in tasks}


def expected_is_current(chapter):
    """Whether the committed values are those of the reference, but for what two machines differ in."""
    path = EXPECTED / f"{chapter}.json"
    if not path.exists():
        return False
    committed = {task: decode(values) for task, values in json.loads(path.read_text(encoding="utf-8")).items()}
    return same(committed, expected_values(chapter), rtol=1e-5, atol=1e-6, nan=True)


def write_expected(chapter):
    tasks = []
    for task, values in expected_values(chapter).items():
        lines = ",\n  ".join(json.dumps(encode(value), allow_nan=False) for value in values)
        tasks.append(f" {json.dumps(task)}: [\n  {lines}\n ]")
    EXPECTED.mkdir(exist_ok=True)
    (EXPECTED / f"{chapter}.json").write_text("{\n" + ",\n".join(tasks) + "\n}\n", encoding="utf-8")


# -- notebooks -------------------------------------------------------------------------------------


def notebook_is_current(chapter):
    """Whether the committed notebook has the cells that `student_notebook` makes, and outputs from `execute`."""
    path = NOTEBOOKS / f"{chapter}.ipynb"
    if not path.exists():
        return False
    notebook = execute.nbformat.read(path, as_version=4)
    record = notebook.metadata.get("coursekit", {})
    if record.get("outputs") != execute.digest(notebook) or "solved_seconds" not in record:
        return False
    made = execute.nbformat.from_dict(student_notebook(chapter))
    made.metadata["coursekit"] = record
    execute.say_time(made)
    return sources(notebook) == sources(made)


def sources(notebook):
    """What a student reads of a notebook: kind, id and source of each cell."""
    return [(cell["cell_type"], cell["id"], cell["source"]) for cell in notebook["cells"]]


def write_notebook(chapter):
    """Execute the untouched notebook and write it, unless it is there with the same outputs and fair times.

    Before it is written, the notebook with the reference answers is executed too, for its time alone.
    """
    path = NOTEBOOKS / f"{chapter}.ipynb"
    notebook = _executed(student_notebook(chapter), path.name)
    if notebook_is_current(chapter):
        committed = execute.nbformat.read(path, as_version=4)
        if execute.digest(committed) == execute.digest(notebook) and not _much_faster(notebook, committed):
            return False
    solved = _executed(solved_notebook(chapter), path.name)
    notebook.metadata["coursekit"]["solved_seconds"] = round(sum(solved.metadata["coursekit"]["seconds"]), 1)
    execute.say_time(notebook)
    NOTEBOOKS.mkdir(exist_ok=True)
    execute.write(notebook, path)
    return True


def _executed(notebook, name):
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / name
        draft.write_text(json.dumps(notebook), encoding="utf-8")
        return execute.execute(draft)


def _much_faster(notebook, committed):
    """Whether the committed times are those of a busy machine."""
    new, old = (sum(one.metadata["coursekit"]["seconds"]) for one in (notebook, committed))
    return old > 10 and new < old / 2


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="all that are there, if none is named")
    parser.add_argument("--check", action="store_true", help="write nothing; return 1 if something is not up to date")
    options = parser.parse_args(argv)
    stale = False
    for chapter in options.chapters or chapters():
        if options.check:
            for what, current in (("expected values", expected_is_current), ("notebook", notebook_is_current)):
                if not current(chapter):
                    stale = True
                    print(f"{chapter}: the {what} are not up to date; run `make exercises`")
            continue
        if not expected_is_current(chapter):
            write_expected(chapter)
            print(f"{chapter}: expected values written")
        if write_notebook(chapter):
            print(f"{chapter}: notebook written")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
