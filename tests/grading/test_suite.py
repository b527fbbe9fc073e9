"""The suite of submissions: nobody gets a point that was not earned, nobody loses one that was, nothing crashes."""

import csv
import functools
import socket
import sys
from pathlib import Path

import pytest

from coursekit.grading.classroom import Classroom, Sessions
from coursekit.grading.reports import write_reports
from coursekit.grading.session import Limits
from coursekit.grading.submissions import canonical_id

sys.path.insert(0, str(Path(__file__).parent))
from submissions import KEY, SUITE, Kit  # noqa: E402

sys.path.pop(0)

SECRET = b"the secret of the suite's class"
LIMITS = {
    "plain": Limits(cell=90, call=30, total=300, grace=5),
    "loops": Limits(cell=5, call=4, total=90, grace=1),
    "slow": Limits(cell=20, call=5, total=120, grace=1),
}
KINDS = {kind: [name for name, one in SUITE.items() if one.kind == kind] for kind in LIMITS}


@functools.cache
def trained():
    """Weights that a good student hands in."""
    import torch
    from safetensors.torch import save

    from coursekit.data import binarize, load_images
    from coursekit.trainers import VAETrainer

    torch.set_num_threads(1)
    trainer = VAETrainer(latent_dim=8, hidden=(64,), lr=3e-3, epochs=30)
    trainer.fit(binarize(load_images("digits"), seed=0), progress=False)
    return save({name: tensor.contiguous() for name, tensor in trainer.network.state_dict().items()})


@pytest.fixture(scope="module")
def class_of(tmp_path_factory):
    """Grades all submissions of a kind, once."""
    listener = socket.create_server(("127.0.0.1", 0))
    graded = {}

    def grade(kind):
        if kind not in graded:
            base = tmp_path_factory.mktemp(kind)
            folder = base / "handed-in"
            folder.mkdir()
            for name in KINDS[kind]:
                SUITE[name].make(Kit(folder, name, listener.getsockname()[1], trained))
            classroom = Classroom(KEY, SECRET, base / "out", Sessions(KEY.assignment, limits=LIMITS[kind]))
            marked = classroom.grade(folder, jobs=2, progress=False)
            graded[kind] = {one.student: one for one in marked}, base / "out"
        return graded[kind]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSEKIT_TEST", "of-the-grader")
        yield grade
    listener.close()


def check(class_of, name):
    expected = SUITE[name]
    marked = class_of(expected.kind)[0][expected.student]
    found = {task: mark.status for task, mark in marked.tasks.items()}
    assert {task: mark.points for task, mark in marked.tasks.items()} == expected.points, found
    possible = expected.flags if isinstance(expected.flags, set) else {expected.flags}
    assert sorted(marked.all_flags) in [sorted(flags) for flags in possible], found
    assert {task: found[task] for task in expected.status} == expected.status


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize("name", KINDS["plain"] + KINDS["loops"])
def test_marks_and_flags_are_those_it_must_get(class_of, name):
    check(class_of, name)


@pytest.mark.slow
@pytest.mark.needs("bwrap")
@pytest.mark.parametrize("name", KINDS["slow"])
def test_marks_and_flags_of_the_slow_ones(class_of, name):
    check(class_of, name)


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize("kind", ["plain", "loops"])
def test_the_class_is_complete_and_its_reports_are_written(class_of, kind):
    marked, out = class_of(kind)
    assert set(marked) == {SUITE[name].student for name in KINDS[kind]}
    write_reports(list(marked.values()), KEY.assignment, out)
    with open(out / "grades.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["total"]) for row in rows] == [one.total for one in marked.values()]
    assert len(list((out / "students").iterdir())) == len(marked)


@pytest.mark.needs("bwrap")
def test_nothing_is_left_running(class_of):
    class_of("plain")
    children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    assert sum(children, []) == []


def test_the_suite_is_as_large_as_promised():
    assert len(SUITE) >= 60
    ids = [canonical_id(one.student) for one in SUITE.values()]
    assert len(set(ids)) == len(ids)
