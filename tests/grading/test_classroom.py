"""A class is graded once, several at a time, and again only where something changed; here without a sandbox."""

import re
import shutil
import threading

import pytest

from coursekit.errors import CoursekitError
from coursekit.grading import classroom as classroom_module
from coursekit.grading.classroom import Classroom, Interrupted, code_digest, in_shard, safe_name
from coursekit.grading.faults import SandboxUnavailable
from coursekit.grading.session import Limits


@pytest.fixture
def handed_in(toy, tmp_path):
    """ada right, bob half right, cyd broken, dan twice."""
    folder = tmp_path / "handed-in"
    folder.mkdir()
    toy.hand_in(folder, "ada.zip")
    toy.hand_in(folder, "bob.ipynb", setup=None, rate="rate = 0")
    (folder / "cyd.zip").write_bytes(b"PK\x03\x04 broken")
    toy.hand_in(folder, "dan.zip", setup=None)
    toy.hand_in(folder, "dan.ipynb", setup=None, double=None, extra=["x = 1"])
    return folder


@pytest.fixture
def new(toy, tmp_path):
    """Makes a classroom; its sessions are counted in `opened`."""
    opened = []

    def make(**options):
        def open_session(numbers, allow_reference):
            opened.append(threading.current_thread().name)
            return toy.OpenSession()(numbers, allow_reference)

        open_session = options.pop("open_session", open_session)
        open_session.limits = options.pop("limits", Limits())
        options = {"key": toy.key(), "secret": toy.SECRET} | options
        return Classroom(options.pop("key"), options.pop("secret"), tmp_path / "out", open_session, **options)

    make.opened = opened
    return make


def totals(marked):
    return {one.student: one.total for one in marked}


TOTALS = {"ada": 60, "bob": 40, "cyd": 0, "dan": 60}


def test_everybody_is_marked_and_sorted(new, handed_in):
    classroom = new()
    marked = classroom.grade(handed_in, progress=False)
    assert list(totals(marked).items()) == list(TOTALS.items())
    assert (classroom.graded, classroom.reused) == (5, 0)
    assert marked[2].flags == ("unreadable",)


def test_of_two_submissions_the_better_counts_and_is_flagged(new, handed_in):
    dan = new().grade(handed_in, progress=False)[3]
    assert (dan.name, dan.total, dan.flags) == ("dan.zip", 60, ("duplicate",))


def test_ids_that_differ_in_capitals_are_one_student(new, handed_in, toy):
    toy.hand_in(handed_in, "DAN (1).zip", setup=None, rate=None)
    marked = new().grade(handed_in, progress=False)
    assert len(marked) == 4 and marked[3].total == 60


def test_jobs_change_nothing_but_the_threads(new, handed_in):
    assert totals(new().grade(handed_in, jobs=3, progress=False)) == TOTALS
    assert len(set(new.opened)) > 1


def test_no_more_are_begun_than_jobs(new, handed_in, toy):
    running, most, lock = [], [], threading.Lock()
    both = threading.Barrier(2, timeout=20)

    class Counted(toy.OpenSession):
        def run(self, cells):
            if len(cells) > 1:
                with lock:
                    running.append(self)
                    most.append(len(running))
                both.wait()
                with lock:
                    running.remove(self)
            return super().run(cells)

    classroom = new(open_session=lambda numbers, allowed: Counted()(numbers, allowed))
    assert totals(classroom.grade(handed_in, jobs=2, progress=False)) == TOTALS
    assert max(most) == 2


# -- again -----------------------------------------------------------------------------------------


def regraded(new, handed_in, **options):
    classroom = new(**options)
    marked = classroom.grade(handed_in, progress=False)
    return classroom.graded, totals(marked)


def test_a_second_run_grades_nothing(new, handed_in):
    first = new().grade(handed_in, progress=False)
    before = len(new.opened)
    classroom = new()
    assert classroom.grade(handed_in, progress=False) == first
    assert (classroom.graded, classroom.reused) == (0, 5) and len(new.opened) == before


def test_a_changed_submission_is_graded_again_alone(new, handed_in, toy):
    new().grade(handed_in, progress=False)
    toy.hand_in(handed_in, "bob.ipynb", setup=None)
    assert regraded(new, handed_in) == (1, TOTALS | {"bob": 60})


@pytest.mark.parametrize(
    "change, graded",
    [
        ({"secret": b"another secret, long enough"}, 5),
        ({"sandbox": "none"}, 5),
        ({"limits": Limits(cell=3)}, 5),
        ({"allow_reference": [("ADA", "double")]}, 1),
        ({"allow_reference": [("zoe", "double")]}, 0),
        ({"roster": {"bob.ipynb": "robert"}}, 1),
    ],
)
def test_what_marks_depend_on_grades_again(new, handed_in, change, graded):
    new().grade(handed_in, progress=False)
    assert regraded(new, handed_in, **change)[0] == graded


def test_other_code_grades_again(new, handed_in, monkeypatch, tmp_path):
    new().grade(handed_in, progress=False)
    monkeypatch.setattr(classroom_module, "code_digest", lambda: "other code")
    assert regraded(new, handed_in)[0] == 5


def test_the_digest_of_the_code_sees_every_file(monkeypatch, tmp_path):
    package = tmp_path / "coursekit"
    (package / "grading" / "keys").mkdir(parents=True)
    for name in ("__init__.py", "grading/keys/vae.py", "expected.json"):
        (package / name).write_text("1")
    monkeypatch.setattr(classroom_module.coursekit, "__file__", str(package / "__init__.py"))
    digests = {code_digest()}
    for name in ("grading/keys/vae.py", "expected.json"):
        (package / name).write_text("2")
        digests.add(code_digest())
    (package / "new.py").write_text("")
    digests.add(code_digest())
    assert len(digests) == 4


def test_a_damaged_cache_grades_again(new, handed_in, tmp_path):
    new().grade(handed_in, progress=False)
    stored = sorted((tmp_path / "out" / "cache").iterdir())
    stored[0].write_text("{")
    stored[1].write_text('{"identity": 3}')
    assert regraded(new, handed_in) == (2, TOTALS)


# -- trouble ---------------------------------------------------------------------------------------


def failing(toy, error, times=1):
    left = [times]

    class Failing(toy.OpenSession):
        def value(self, name):
            if left[0]:
                left[0] -= 1
                raise error
            return super().value(name)

    return lambda numbers, allowed: Failing()(numbers, allowed)


def test_a_fault_of_the_graders_own_stops_nobody_else_and_is_not_kept(new, handed_in, toy, tmp_path):
    marked = new(open_session=failing(toy, ZeroDivisionError("in the grader"))).grade(handed_in, progress=False)
    assert totals(marked) == TOTALS | {"ada": 0} and marked[0].flags == ("grader-error",)
    assert "ada: the grader failed: ZeroDivisionError" in (tmp_path / "out" / "grade.log").read_text()
    assert regraded(new, handed_in) == (1, TOTALS)


def without_sandboxes(toy, which):
    """Sessions of which some, counted from 0, cannot be opened."""
    calls = []

    def open_session(numbers, allowed):
        calls.append(1)
        if len(calls) - 1 in which:
            raise SandboxUnavailable("gone")
        return toy.OpenSession()(numbers, allowed)

    return open_session


def test_a_sandbox_that_does_not_start_is_tried_again(new, handed_in, toy):
    assert regraded(new, handed_in, open_session=without_sandboxes(toy, {0, 2})) == (5, TOTALS)


def test_a_submission_without_a_sandbox_stops_nobody_else(new, handed_in, toy):
    marked = new(open_session=without_sandboxes(toy, {0, 1})).grade(handed_in, progress=False)
    assert totals(marked) == TOTALS | {"ada": 0} and marked[0].flags == ("grader-error",)
    assert regraded(new, handed_in) == (1, TOTALS)


def test_when_no_sandbox_starts_any_more_the_run_stops_and_keeps_what_is_done(new, handed_in, toy, monkeypatch):
    monkeypatch.setattr(classroom_module, "MAX_IN_A_ROW", 2)
    with pytest.raises(SandboxUnavailable):
        new(open_session=without_sandboxes(toy, set(range(1, 99)))).grade(handed_in, progress=False)
    assert regraded(new, handed_in) == (3, TOTALS)


def test_an_interruption_keeps_what_is_done_and_says_how_to_go_on(new, handed_in, toy, monkeypatch):
    graded = []
    original = Classroom._mark_one

    def interrupted(self, found):
        graded.append(original(self, found))
        if len(graded) == 3:
            raise KeyboardInterrupt
        return graded[-1]

    monkeypatch.setattr(Classroom, "_mark_one", interrupted)
    with pytest.raises(Interrupted, match="2 of 5.*same command again"):
        new().grade(handed_in, progress=False)
    monkeypatch.undo()
    assert regraded(new, handed_in) == (2, TOTALS)


def test_after_an_interruption_sandboxes_are_closed_and_give_no_marks(new, handed_in, toy, monkeypatch):
    started, closed = threading.Event(), threading.Event()

    class Hanging(toy.OpenSession):
        def run(self, cells):
            started.set()
            assert closed.wait(20)
            return super().run(cells)

    def open_session(numbers, allowed):
        return Hanging()(numbers, allowed)

    open_session.close = closed.set

    def interrupt(*args, **kwargs):
        assert started.wait(20)
        raise KeyboardInterrupt

    monkeypatch.setattr(classroom_module, "wait", interrupt)
    with pytest.raises(Interrupted):
        new(open_session=open_session).grade(handed_in, progress=False)
    monkeypatch.undo()
    assert regraded(new, handed_in) == (5, TOTALS)


@pytest.mark.parametrize("jobs", [1, 3])
def test_no_wait_is_without_end_so_that_ctrl_c_is_noticed(new, handed_in, monkeypatch, jobs):
    timeouts, wait = [], classroom_module.wait

    def noted(waiting, timeout=None, **options):
        timeouts.append(timeout)
        if len(timeouts) == 1:
            return set(), waiting  # none is done yet
        return wait(waiting, timeout=timeout, **options)

    monkeypatch.setattr(classroom_module, "wait", noted)
    assert totals(new().grade(handed_in, jobs=jobs, progress=False)) == TOTALS
    assert all(timeout is not None and timeout <= 1 for timeout in timeouts)


def test_an_empty_folder_is_one_clear_error(new, tmp_path):
    with pytest.raises(CoursekitError, match="no submission"):
        (tmp_path / "empty").mkdir()
        new().grade(tmp_path / "empty", progress=False)


# -- shards, names, log ----------------------------------------------------------------------------


def test_shards_are_a_partition_and_the_last_run_has_nothing_left_to_do(new, handed_in):
    parts = [new().grade(handed_in, shard=(part, 3), progress=False) for part in (1, 2, 3)]
    assert sorted(one.student for part in parts for one in part) == list(TOTALS)
    assert regraded(new, handed_in) == (0, TOTALS)


def test_a_students_shard_depends_on_nobody_else():
    students = [f"student{i}" for i in range(2000)]
    sizes = [sum(in_shard(student, part, 20) for student in students) for part in range(1, 21)]
    assert sum(sizes) == 2000 and min(sizes) > 60
    assert in_shard("Ada", 3, 20) == in_shard("ada", 3, 20)


@pytest.mark.parametrize(
    "name", ["ada", "Ada", "../ada", "a/b", "a" * 300, "", ".", "..", "zoë", "con.", "<b>", "a b", "-rf"]
)
def test_file_names_are_safe_and_their_own(name):
    safe = safe_name(name)
    assert re.fullmatch(r"[a-z0-9_@+][a-z0-9._@+-]{0,69}", safe)
    assert safe == safe_name(name) and safe != safe_name(name + "x") and (safe == name) == (name == "ada")


def test_the_log_holds_one_line_for_each_submission(new, handed_in, toy, tmp_path):
    toy.hand_in(handed_in, "eve\n2026-01-01 all: 100 of 100.zip")
    new().grade(handed_in, progress=False)
    lines = (tmp_path / "out" / "grade.log").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6 and all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S", line) for line in lines)
    assert any("cyd: 0 of 100" in line and "[unreadable]" in line for line in lines)


def test_a_moved_class_needs_no_new_marks(new, handed_in, tmp_path):
    new().grade(handed_in, progress=False)
    shutil.move(handed_in, tmp_path / "elsewhere")
    assert regraded(new, tmp_path / "elsewhere") == (0, TOTALS)
