"""Every assignment's answers, wrong answers and hidden cases, held against each other."""

import functools
import inspect
import json
import math
import zipfile
from importlib import import_module

import make_exercises
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from coursekit.exercises import CHAPTERS, feedback
from coursekit.exercises.comparison import same
from coursekit.exercises.subject import Local, plain
from coursekit.exercises.values import read_expected
from coursekit.grading.classroom import Classroom, Sessions
from coursekit.grading.key import as_cell, load_key
from coursekit.grading.rubric import Award, answer_id, merge_rubric

SECRETS = (b"first class", b"second class", b"third class")
READY = make_exercises.chapters()
KEYS = {chapter: load_key(chapter) for chapter in READY}


def tasks_of(*kinds):
    found = [(chapter, task) for chapter, key in KEYS.items() for task in key.assignment.tasks.values()]
    return [pytest.param(chapter, task, id=f"{chapter}-{task.name}") for chapter, task in found if task.kind in kinds]


def misconceptions_of(*kinds):
    return [
        pytest.param(*entry.values, misconception, id=f"{entry.id}-{misconception.name}")
        for entry in tasks_of(*kinds)
        for misconception in entry.values[1].misconceptions
    ]


def run_cell(source, **names):
    """Names that a cell defines in a notebook whose first cells have run."""
    namespace = {"math": math, "np": np, "torch": torch, "nn": nn, "F": F, **names}
    exec(compile(source, "<cell>", "exec"), namespace)
    return namespace


def students(count=40):
    return [f"student-{index}" for index in range(count)]


def numbers_of(chapter):
    return KEYS[chapter].assignment.numbers_of("student-0")


def passes(task, answer, cases, expected):
    """Whether each case has its expected value."""
    outcomes = [feedback.outcome(task, answer, case) for case in cases]
    return [feedback._is_right(one, value, task) for one, value in zip(outcomes, expected, strict=True)]


@functools.cache
def trained(chapter, name):
    """What the solved cell of an artefact task trains, and the network in it that is handed in."""
    key = KEYS[chapter]
    found = run_cell(key.solution(name), numbers=numbers_of(chapter))[name]
    wanted = feedback._shapes(key.assignment.tasks[name].architecture())
    return found, next(one for one in feedback._modules(found) if feedback._shapes(one) == wanted).eval().cpu()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_has_exercises_and_a_key(chapter):
    assert chapter in READY


@pytest.mark.parametrize("chapter", READY)
def test_an_assignment_has_four_to_seven_tasks_and_a_hundred_points(chapter):
    tasks = list(KEYS[chapter].assignment.tasks.values())
    kinds = [task.kind for task in tasks]
    assert 4 <= len(tasks) <= 7
    assert sum(task.points for task in tasks) == 100
    assert kinds.count("artefact") == 1 and kinds.count("text") <= 1 and "value" in kinds and "function" in kinds


@pytest.mark.parametrize("chapter", READY)
def test_expected_values_and_notebook_are_what_the_chapter_makes(chapter):
    assert make_exercises.expected_is_current(chapter), "run `make exercises`"
    assert make_exercises.notebook_is_current(chapter), "run `make exercises`"


@pytest.mark.parametrize("chapter", READY)
def test_names_of_tasks_are_names_in_the_chapters_module(chapter):
    module = import_module(f"coursekit.exercises.{chapter}")
    for name, task in KEYS[chapter].assignment.tasks.items():
        assert getattr(module, name) is task and name.isidentifier()
    assert (module.start, module.submit) == (module.assignment.start, module.assignment.submit)


@pytest.mark.parametrize(("chapter", "task"), tasks_of("function"))
def test_the_reference_passes_public_and_hidden_cases(chapter, task):
    key = KEYS[chapter]
    answer = run_cell(key.solution(task.name), numbers=numbers_of(chapter))[task.name]
    public = task.cases()
    assert len(public) >= 2
    assert all(passes(task, answer, public, read_expected(chapter)[task.name]))
    for secret in SECRETS:
        hidden = key.hidden_cases(task.name, secret, numbers_of(chapter))
        assert all(passes(task, answer, hidden, key.expected(task.name, hidden)))


@pytest.mark.parametrize(("chapter", "task"), tasks_of("function"))
def test_hidden_cases_are_data_and_follow_from_the_secret_alone(chapter, task):
    key, numbers = KEYS[chapter], numbers_of(chapter)
    first, again, other = (key.hidden_cases(task.name, s, numbers) for s in (SECRETS[0], SECRETS[0], SECRETS[1]))
    as_data = [[plain([list(case.args), case.kwargs]) for case in cases] for cases in (first, again, other)]
    assert len(first) >= 4
    assert same(as_data[0], as_data[1], 0, 0, nan=True)
    assert not same(as_data[0], as_data[2], 0, 0, nan=True)
    assert all(isinstance(case.part, str) for case in first)


@pytest.mark.parametrize(("chapter", "task"), tasks_of("function"))
def test_public_cases_do_not_decide_hidden_ones(chapter, task):
    public = [plain([list(case.args), case.kwargs]) for case in task.cases()]
    hidden = KEYS[chapter].hidden_cases(task.name, SECRETS[0], numbers_of(chapter))
    new = [case for case in hidden if not any(same(plain([list(case.args), case.kwargs]), one) for one in public)]
    assert len(new) >= 4


@pytest.mark.parametrize(("chapter", "task"), tasks_of("function", "value"))
def test_a_task_knows_three_wrong_answers_by_different_names(chapter, task):
    names = [misconception.name for misconception in task.misconceptions]
    assert len(names) >= 3 and len(set(names)) == len(names)


@pytest.mark.parametrize(("chapter", "task", "misconception"), misconceptions_of("function"))
def test_a_wrong_answer_is_rejected_by_hidden_cases_and_named_by_check(chapter, task, misconception, capsys):
    key = KEYS[chapter]
    answer = run_cell(as_cell(misconception.answer, task.name), numbers=numbers_of(chapter))[task.name]
    for secret in SECRETS:
        hidden = key.hidden_cases(task.name, secret, numbers_of(chapter))
        assert not all(passes(task, answer, hidden, key.expected(task.name, hidden)))
    task.check(answer)
    printed = " ".join(capsys.readouterr().out.split())
    assert misconception.message in printed
    others = [other for other in task.misconceptions if other is not misconception]
    assert not [other.name for other in others if other.message in printed]


# Wrong answers that are right on a degenerate input: one dimension, no input to forget, a kernel with gaps.
RIGHT_BY_LUCK = {
    ("vae", "kl", "mean-over-dimensions"),
    ("vae", "active_dimensions", "more-than-latent-dim"),
    ("dcgan", "overlaps", "on-images"),
    ("cyclegan", "ImagePool", "oldest-leaves"),
}


@pytest.mark.parametrize(("chapter", "name", "misconception"), sorted(RIGHT_BY_LUCK))
def test_a_wrong_answer_earns_no_part_by_luck(chapter, name, misconception):
    key = KEYS[chapter]
    task = key.assignment.tasks[name]
    wrong = next(one for one in task.misconceptions if one.name == misconception)
    answer = run_cell(as_cell(wrong.answer, name), numbers=numbers_of(chapter))[name]
    hidden = key.hidden_cases(name, SECRETS[0], numbers_of(chapter))
    right = passes(task, answer, hidden, key.expected(name, hidden))
    missed = {case.part for case, passed in zip(hidden, right, strict=True) if not passed}
    assert any(right) and missed == {case.part for case in hidden}


@pytest.mark.parametrize(("chapter", "task"), tasks_of("function"))
def test_a_starter_is_not_answered_yet_and_passes_nothing(chapter, task, capsys):
    answer = run_cell(task.starter, numbers=numbers_of(chapter))[task.name]
    task.check(answer)
    task.check(...)
    assert capsys.readouterr().out.count("not answered yet") == 2
    key = KEYS[chapter]
    hidden = key.hidden_cases(task.name, SECRETS[0], numbers_of(chapter))
    assert not any(passes(task, answer, hidden, key.expected(task.name, hidden)))


@pytest.mark.parametrize(("chapter", "task"), tasks_of("function"))
def test_implementations_are_there_and_the_solution_calls_none(chapter, task):
    for name in task.implementations:
        module, _, attribute = name.rpartition(".")
        assert getattr(import_module(module), attribute).__module__ == module
    key = KEYS[chapter]
    answer = run_cell(key.solution(task.name), numbers=numbers_of(chapter))[task.name]
    with feedback._calls_of(task.implementations) as called:
        for case in task.cases():
            task.value(Local(answer), case)
    assert called == []


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chapter", "task"), tasks_of("value"))
def test_the_solution_gives_the_right_number_for_every_student(chapter, task):
    key = KEYS[chapter]
    values = set()
    for student in students():
        numbers = key.assignment.numbers_of(student)
        value = run_cell(key.solution(task.name), numbers=numbers)[task.name]
        assert math.isclose(float(value), key.value(task.name, numbers), rel_tol=task.rtol / 10)
        values.add(round(float(value), 6))
    assert len(values) > 10, "the number hardly depends on the student"


@pytest.mark.parametrize(("chapter", "task"), tasks_of("value"))
def test_no_right_number_looks_like_a_wrong_one(chapter, task):
    key = KEYS[chapter]
    for student in students(2000):
        numbers = key.assignment.numbers_of(student)
        right = key.value(task.name, numbers)
        for misconception in task.misconceptions:
            wrong = float(misconception.answer(numbers))
            assert abs(wrong - right) > 3 * task.rtol * max(abs(right), abs(wrong)), (misconception.name, numbers)


@pytest.mark.parametrize(("chapter", "task", "misconception"), misconceptions_of("value"))
def test_a_wrong_number_is_named(chapter, task, misconception, capsys):
    assignment = KEYS[chapter].assignment
    named = 0
    for student in students():
        numbers = assignment.start(student)
        capsys.readouterr()
        task.check(misconception.answer(numbers))
        named += misconception.message in " ".join(capsys.readouterr().out.split())
    assignment.forget()
    assert named >= 38  # two usual mistakes may agree for a few students


@pytest.mark.parametrize("chapter", READY)
def test_numbers_can_be_typed(chapter):
    for student in students():
        for name, value in KEYS[chapter].assignment.numbers_of(student).items():
            assert name.isidentifier() and isinstance(value, (int, float)) and len(str(value)) <= 8


# -- artefacts and texts ---------------------------------------------------------------------------


@pytest.mark.parametrize(("chapter", "task"), tasks_of("artefact"))
def test_the_solution_earns_all_points_and_an_untrained_network_none(chapter, task, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    key = KEYS[chapter]
    found, module = trained(chapter, task.name)
    task.hand_in(found)
    assert "worth 100%" in capsys.readouterr().out
    for secret in SECRETS[:2]:
        score = key.score(task.name, module, secret)
        assert feedback.share_of(task.thresholds, score) == 1
    torch.manual_seed(0)
    untrained = task.architecture().eval()
    assert feedback.share_of(task.thresholds, key.score(task.name, untrained, SECRETS[0])) == 0
    assert feedback.share_of(task.thresholds, task.public_score(untrained)) == 0
    assert max(task.thresholds.values()) == 1
    key.assignment.forget()


@pytest.mark.parametrize(("chapter", "task"), tasks_of("text"))
def test_a_rubric_gives_all_points(chapter, task):
    assert sum(points for _, points in task.rubric) == task.points
    assert len(task.rubric) >= 3
    assert KEYS[chapter].solution(task.name).strip()


# -- the notebooks ---------------------------------------------------------------------------------


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize("chapter", READY)
def test_the_untouched_notebook_scores_0_and_the_solved_one_100(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    key, folder = KEYS[chapter], tmp_path / "handed-in"
    folder.mkdir()
    (folder / "untouched.ipynb").write_text(json.dumps(make_exercises.student_notebook(chapter)))
    with zipfile.ZipFile(folder / "solved.zip", "w") as archive:
        archive.writestr("notebook.ipynb", json.dumps(make_exercises.solved_notebook(chapter, "solved")))
        for name, task in key.assignment.tasks.items():
            if task.kind == "artefact":
                weights = feedback.on_artefact(task, trained(chapter, name)[0]).value
                archive.writestr(f"artefacts/{name}.safetensors", weights)
    marked = Classroom(key, SECRETS[0], tmp_path / "out", Sessions(key.assignment)).grade(folder, progress=False)
    awards = {
        (one.student, name, criterion): Award(points, "", answer_id(text))
        for one in marked
        for name, text in one.texts.items()
        for criterion, points in key.assignment.tasks[name].rubric
    }
    solved, untouched = merge_rubric(marked, key.assignment, awards)
    assert {name: mark.points for name, mark in solved.tasks.items()} == {
        name: task.points for name, task in key.assignment.tasks.items()
    }
    assert (solved.total, solved.all_flags) == (100, [])
    assert (untouched.total, untouched.all_flags, untouched.pending) == (0, [], [])


@pytest.mark.parametrize("chapter", READY)
def test_no_answer_stands_in_the_student_notebook(chapter):
    text = "\n".join(cell["source"] for cell in make_exercises.student_notebook(chapter)["cells"])
    key = KEYS[chapter]
    for task in key.assignment.tasks.values():
        body = [line.strip() for line in key.solution(task.name).strip().splitlines()]
        told = [line for line in task.starter.splitlines() if line.strip()]
        secret = [line for line in body if len(line) > 12 and line not in [one.strip() for one in told]]
        assert secret and not [line for line in secret if line in text]


@pytest.mark.parametrize("chapter", READY)
def test_no_reference_can_be_imported_from_the_exercises(chapter):
    source = inspect.getsource(import_module(f"coursekit.exercises.{chapter}"))
    assert "coursekit.grading" not in source


@pytest.mark.parametrize("chapter", READY)
def test_every_task_has_a_random_stream_of_its_own(chapter):
    key = KEYS[chapter]
    first = [key.rng(task, SECRETS[0]).integers(2**62) for task in key.assignment.tasks]
    others = [other.rng(task, SECRETS[0]).integers(2**62) for other in KEYS.values() for task in other.assignment.tasks]
    assert len(set(first)) == len(first) and len(set(others)) == len(others)
