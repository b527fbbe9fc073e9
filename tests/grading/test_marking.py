"""Marks of one submission, here without a sandbox: what earns points, and what an artefact may hold."""

import json

import pytest
import torch
from safetensors.torch import save
from torch import nn

from coursekit.grading.faults import CallsReference, CallTimeout, RefusedValue, SandboxKilled, SandboxUnavailable
from coursekit.grading.marking import Marked, load_artefact, mark
from coursekit.grading.submissions import Found, read_submission


def marks(toy, path, open_session=None, secret=None, **options):
    key = toy.key()
    submission = read_submission(Found("ada", path), key.assignment)
    return mark(submission, key, secret or toy.SECRET, open_session or toy.OpenSession(), **options)


def points(marked):
    return {name: task.points for name, task in marked.tasks.items()}


def weights(**tensors):
    return save({"weight": torch.tensor([[1.0, 0.5]]), "bias": torch.zeros(1)} | tensors)


def test_right_answers_earn_all_points_but_those_a_person_gives(toy, tmp_path):
    marked = marks(toy, toy.hand_in(tmp_path, artefact=weights()))
    assert points(marked) == {"double": 40, "rate": 20, "why": 0, "line": 20}
    assert {task.status for task in marked.tasks.values()} == {"passed", "pending"}
    assert marked.pending == ["why"] and marked.texts == {"why": "Because."}
    assert (marked.total, marked.out_of, marked.flags) == (80, 100, ())


@pytest.mark.parametrize(
    "answer, earned, status, parts",
    [
        ("def double(x):\n    return 2 * x.abs()", 20, "partial", {"positive": True, "negative": False}),
        ("def double(x):\n    return 3 * x", 0, "failed", {"positive": False, "negative": False}),
        ("def double(x):\n    return ...", 0, "blank", {}),
        ("double = ...", 0, "error", {"positive": False, "negative": False}),
        (None, 0, "not-defined", {}),
        ("def double(x:", 0, "not-defined", {}),
        ("def double(x):\n    return x.nope", 0, "error", {"positive": False, "negative": False}),
        (
            "def double(x):\n    return 2 * x if x[0] > 0 else 1 / 0",
            20,
            "partial",
            {"positive": True, "negative": False},
        ),
        ("def double(x):\n    return None", 0, "failed", {"positive": False, "negative": False}),
        ("def double(x):\n    return x + x", 40, "passed", {"positive": True, "negative": True}),
    ],
)
def test_points_are_those_of_the_parts_that_pass(toy, tmp_path, answer, earned, status, parts):
    marked = marks(toy, toy.hand_in(tmp_path, double=answer))
    task = marked.tasks["double"]
    assert (task.points, task.status, task.parts) == (earned, status, parts)
    assert marked.tasks["rate"].points == 20


@pytest.mark.parametrize(
    "tolerance, answer, earned",
    [
        ({}, "def double(x):\n    return x * 2.01", 0),
        ({"rtol": 0.1}, "def double(x):\n    return x * 2.01", 40),
        ({"atol": 100.0}, "def double(x):\n    return x * 0", 40),
        ({"nan": True}, "def double(x):\n    return x / 0 * 0", 0),
    ],
)
def test_a_value_has_the_tolerance_of_its_task(toy, tmp_path, monkeypatch, tolerance, answer, earned):
    key = toy.key()
    for name, value in tolerance.items():
        object.__setattr__(key.assignment.tasks["double"], name, value)
    monkeypatch.setattr(toy, "key", lambda: key)
    assert marks(toy, toy.hand_in(tmp_path, double=answer)).tasks["double"].points == earned


def test_nan_is_right_only_where_the_task_says_so(toy, tmp_path, monkeypatch):
    key = toy.key()
    key.answers["double"] = lambda x: x / 0 * 0
    monkeypatch.setattr(toy, "key", lambda: key)
    path = toy.hand_in(tmp_path, double="def double(x):\n    return x / 0 * 0")
    assert marks(toy, path).tasks["double"].points == 0
    object.__setattr__(key.assignment.tasks["double"], "nan", True)
    assert marks(toy, path).tasks["double"].points == 40


def test_the_first_exceptions_type_is_kept_and_not_its_text(toy, tmp_path):
    marked = marks(toy, toy.hand_in(tmp_path, double="def double(x):\n    raise ValueError(str(x.tolist()))"))
    assert marked.tasks["double"].detail == "ValueError"
    assert "[-" not in marked.to_json() and "[0" not in marked.to_json()


class Faulty:
    """A session whose answer to `double` is a fault, on given calls."""

    def __new__(cls, toy, fault, when=lambda x: True):
        session = toy.OpenSession()
        plain = session.subject
        session.calls = 0

        def subject(name):
            answer = plain(name)

            def ask(x):
                session.calls += 1
                if when(x):
                    raise fault
                return answer(x)

            return ask

        session.subject = subject
        return session


@pytest.mark.parametrize(
    "fault, status",
    [(CallTimeout(), "timeout"), (SandboxKilled(), "killed"), (RefusedValue("a secret input"), "refused")],
)
def test_faults_cost_the_part_and_nothing_of_them_is_told(toy, tmp_path, fault, status):
    marked = marks(toy, toy.hand_in(tmp_path), Faulty(toy, fault))
    assert (marked.tasks["double"].points, marked.tasks["double"].status) == (0, status)
    assert "secret input" not in marked.to_json() and marked.tasks["rate"].points == 20
    marked = marks(toy, toy.hand_in(tmp_path), Faulty(toy, fault, when=lambda x: x[0] < 0))
    assert (marked.tasks["double"].points, marked.tasks["double"].status) == (20, "partial")


def test_an_answer_that_hangs_is_not_tried_on_every_case(toy, tmp_path):
    session = Faulty(toy, CallTimeout())
    marks(toy, toy.hand_in(tmp_path), session)
    assert session.calls == 2


def test_calling_the_reference_earns_nothing_even_if_only_sometimes(toy, tmp_path):
    session = Faulty(toy, CallsReference(), when=lambda x: x[0] < 0)
    task = marks(toy, toy.hand_in(tmp_path), session).tasks["double"]
    assert (task.points, task.status, task.flags) == (0, "calls-reference", ("calls-reference",))


def test_the_instructor_may_allow_it_for_one_task(toy, tmp_path):
    session = toy.OpenSession()
    marked = marks(toy, toy.hand_in(tmp_path), session, allow_reference={"double"})
    assert session.permitted == [False, True] and session.closed == 2
    assert marked.tasks["double"].flags == ("reference-allowed",) and marked.tasks["rate"].flags == ()
    assert marked.tasks["double"].points == 40


def test_trouble_of_the_graders_own_is_no_mark(toy, tmp_path):
    with pytest.raises(SandboxUnavailable):
        marks(toy, toy.hand_in(tmp_path), Faulty(toy, SandboxUnavailable("no sandbox")))


def test_another_secret_asks_other_cases(toy, tmp_path):
    seen = {}
    for secret in (b"first class, long enough", b"second class, long enough"):
        session = Faulty(toy, CallTimeout(), when=lambda x: seen.setdefault(secret, x) is None)
        marks(toy, toy.hand_in(tmp_path), session, secret=secret)
    first, second = seen.values()
    assert not torch.equal(first, second)


# -- cells -----------------------------------------------------------------------------------------


def test_deleted_first_cells_cost_nothing(toy, tmp_path):
    double = "def double(x):\n    return torch.add(x, x) * np.float32(1) * math.cos(0) + nn.Identity()(0 * x)"
    marked = marks(toy, toy.hand_in(tmp_path, setup=None, double=double))
    assert points(marked) == {"double": 40, "rate": 20, "why": 0, "line": 0} and marked.flags == ()


def test_cells_in_another_order_cost_nothing(toy, tmp_path):
    marked = marks(toy, toy.hand_in(tmp_path, rate="rate = half", extra=["half = numbers['a'] / 2"]))
    assert marked.tasks["rate"].points == 20 and marked.flags == ()


def test_a_copy_of_the_starter_takes_no_answer_away(toy, tmp_path):
    starters = ['def double(x):\n    """2x."""\n    return ...\n', "rate = ...\ntoy.rate.check(rate)"]
    marked = marks(toy, toy.hand_in(tmp_path, extra=starters))
    assert points(marked)["double"] == 40 and points(marked)["rate"] == 20


def test_a_later_answer_counts_and_one_with_more_in_its_cell_is_kept(toy, tmp_path):
    extra = ["rate = ...\nrate = 0"]
    assert points(marks(toy, toy.hand_in(tmp_path, extra=extra)))["rate"] == 0
    assert points(marks(toy, toy.hand_in(tmp_path, double="double = 1", extra=[toy.RIGHT["double"]])))["double"] == 40


def test_cells_that_fail_are_flagged_and_the_others_count(toy, tmp_path):
    marked = marks(toy, toy.hand_in(tmp_path, setup="1 / 0"))
    assert marked.flags == ("cell-failed",) and marked.total == 60


def test_without_cells_nothing_is_run(toy, tmp_path):
    (tmp_path / "ada.zip").write_bytes(b"")
    session = toy.OpenSession()
    marked = marks(toy, tmp_path / "ada.zip", session)
    assert session.opened == 0 and marked.total == 0 and marked.flags == ("empty",)
    assert {task.status for task in marked.tasks.values()} == {"missing"}


# -- numbers and words -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rate, answers, earned, status",
    [
        ("rate = 0", None, 0, "failed"),
        ("rate = ...", None, 0, "blank"),
        (None, None, 0, "not-defined"),
        ("rate = 'die'", None, 0, "killed"),
        ("rate = ...", "right", 20, "passed"),
        ("rate = 0", "right", 20, "passed"),
        ("rate = 'die'", "right", 20, "passed"),
        ("rate = 0", {"rate": 0.25}, 0, "failed"),
        (None, {"rate": 0.25}, 0, "not-defined"),
    ],
)
def test_a_number_counts_from_the_notebook_or_the_file(toy, tmp_path, rate, answers, earned, status):
    if answers == "right":
        answers = {"rate": toy.key().assignment.numbers_of("ada")["a"] / 2}
    task = marks(toy, toy.hand_in(tmp_path, rate=rate, answers=answers)).tasks["rate"]
    assert (task.points, task.status) == (earned, status)
    assert task.flags == (("from-answers-file",) if earned else ())


@pytest.mark.parametrize("factor, earned", [(1 + 5e-4, 20), (1 - 5e-4, 20), (1 + 2e-3, 0), (1 - 2e-3, 0)])
@pytest.mark.parametrize("in_file", [False, True])
def test_a_number_has_the_tolerance_of_its_task(toy, tmp_path, factor, earned, in_file):
    assert toy.key().assignment.tasks["rate"].rtol == 1e-3
    rate = toy.key().assignment.numbers_of("ada")["a"] / 2 * factor
    given = {"rate": "rate = 0", "answers": {"rate": rate}} if in_file else {"rate": f"rate = {rate!r}"}
    assert marks(toy, toy.hand_in(tmp_path, **given)).tasks["rate"].points == earned


def test_numbers_are_those_of_the_trusted_id(toy, tmp_path):
    theirs = toy.key().assignment.numbers_of("mallory")["a"] / 2
    path = toy.hand_in(tmp_path, setup='STUDENT = "mallory"', rate=f"rate = {theirs}", answers={"rate": theirs})
    marked = marks(toy, path)
    assert marked.tasks["rate"].points == 0 and "id-differs" in marked.flags


@pytest.mark.parametrize(
    "why, status",
    [
        ("<!-- answer: why -->\n\nBecause.", "pending"),
        ("<!-- answer: why -->\n\n...\n", "blank"),
        ("<!-- answer: why -->", "blank"),
        (None, "missing"),
    ],
)
def test_words_wait_for_a_person_unless_there_are_none(toy, tmp_path, why, status):
    assert marks(toy, toy.hand_in(tmp_path, why=why)).tasks["why"].status == status


# -- artefacts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tensors, earned, status",
    [
        ({}, 20, "passed"),
        ({"weight": torch.tensor([[0.3, 0.3]])}, 10, "partial"),
        ({"weight": torch.tensor([[0.0, 0.0]])}, 0, "failed"),
        ({"weight": torch.tensor([[1.0, 0.5]], dtype=torch.float64)}, 20, "passed"),
        ({"weight": torch.tensor([[1.0, float("nan")]])}, 0, "refused"),
        ({"weight": torch.tensor([[1.0, float("inf")]])}, 0, "refused"),
        ({"weight": torch.tensor([[1.0, 1e300]], dtype=torch.float64)}, 0, "refused"),
        ({"weight": torch.ones(1, 3)}, 0, "refused"),
        ({"weight": torch.ones(1, 2, dtype=torch.int64)}, 0, "refused"),
        ({"weight": torch.ones(1, 2, dtype=torch.complex64)}, 0, "refused"),
        ({"extra": torch.ones(1)}, 0, "refused"),
    ],
)
def test_an_artefact_is_scored_in_the_reference_architecture(toy, tmp_path, tensors, earned, status):
    task = marks(toy, toy.hand_in(tmp_path, artefact=weights(**tensors))).tasks["line"]
    assert (task.points, task.status) == (earned, status)


def header(entries, body=b""):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    "raw, reason",
    [
        (b"", "damaged"),
        (b"\x80\x04\x95 a pickle", "damaged"),
        (b"\xff" * 8, "damaged"),
        ((10**6).to_bytes(8, "little") + b" " * 10**6, "damaged"),
        (header([]), "damaged"),
        (header({"weight": 1}), "damaged"),
        (b"\x90\xd0\x03\0\0\0\0\0" + b"[" * 250_000, "damaged"),
        (header({"weight": {"shape": [1, 2]}}), "other tensors"),
        (header({"weight": {"shape": [10**12, 2]}, "bias": {"shape": [1]}}), "other shapes"),
        (
            header(
                {
                    "weight": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
                    "bias": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4000]},
                },
                bytes(12),
            ),
            "damaged",
        ),
    ],
)
def test_what_is_no_artefact_is_refused(raw, reason):
    with pytest.raises(RefusedValue, match=reason):
        load_artefact(raw, lambda: nn.Linear(2, 1))


def test_a_score_that_is_no_number_earns_nothing(toy, tmp_path):
    key = toy.key()
    key.scores["line"] = lambda module, rng: float("nan")
    submission = read_submission(Found("ada", toy.hand_in(tmp_path, artefact=weights())), key.assignment)
    assert mark(submission, key, toy.SECRET, toy.OpenSession()).tasks["line"].points == 0


# -- as JSON ---------------------------------------------------------------------------------------


def test_marks_survive_json(toy, tmp_path):
    marked = marks(toy, toy.hand_in(tmp_path, artefact=weights(), answers={}), sandbox="none")
    assert Marked.from_json(marked.to_json()) == marked
    assert marked.flags == ("unsafe",)
