"""What check says to somebody who is wrong."""

import linecache
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.exercises.feedback import on_function
from coursekit.losses.vae import negative_elbo


def cell(source):
    """The function `total` as a notebook's cell defines it."""
    name = f"<ipython-input-{abs(hash(source))}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"torch": torch, "np": np}
    exec(compile(source, name, "exec"), namespace)
    return namespace["total"]


@pytest.fixture
def check(demo, said):
    return lambda answer: said(demo.tasks["total"].check, answer)


def test_a_right_answer_hears_that_hidden_cases_decide(check, demo, right_total):
    text = check(right_total)
    assert "all 2 public cases pass" in text and "Hidden cases decide the mark" in text
    assert demo.results == {"total": "passed"}


@pytest.mark.parametrize("answer", [..., None])
def test_no_answer_is_not_answered_yet(check, demo, answer):
    assert check(answer) == "total: not answered yet (40 points).\n"
    assert demo.results == {"total": "unanswered"}


def test_the_starter_is_not_answered_yet_in_any_form(check, demo):
    assert "not answered yet" in check(cell(demo.tasks["total"].starter))
    assert "not answered yet" in check(lambda x, weight: ...)
    assert "not answered yet" in check(lambda x, weight: [1.0, ...])


def test_a_starter_that_is_a_class_is_not_answered_yet(check, demo):
    demo.tasks["total"].starter = (
        "class total(nn.Module):\n    def __init__(self, size):\n        super().__init__()\n        ...\n\n"
        "    def forward(self, x):\n        return ...\n"
    )
    namespace = {"nn": nn}
    exec(demo.tasks["total"].starter, namespace)
    assert "not answered yet" in check(namespace["total"])
    begun = demo.tasks["total"].starter.replace("...\n\n", "self.layer = 1\n\n")
    exec(begun, namespace)
    assert "not answered yet" not in check(namespace["total"])


def test_input_own_value_expected_value_and_difference_are_shown(check):
    text = check(cell("def total(x, weight):\n    return (x * weight).sum(dim=1) + (x[:, 0] < 1)\n"))
    assert text.splitlines() == [
        "total: 1 of 2 public cases pass. Here is the first that does not.",
        "Case 2: two rows",
        "  x = [[1.0, 2.0, 3.0], [0.5, -1.0, 4.0]]",
        "  weight = [1.0, 0.0, 2.0]",
        "  yours:    [7.0, 9.5]",
        "  expected: [7.0, 8.5]",
        "  First difference: at [1]: 9.5, expected 8.5 (1 of 2 differ)",
        "Stuck? demo.total.hint() helps in steps.",
    ]


def test_inputs_are_named_as_in_the_students_own_signature(check):
    assert "  rows = [[1.0, 1.0, 1.0]]" in check(cell("def total(rows, w):\n    return rows[:, 0] * 0\n"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("(x * weight).sum(dim=1, keepdim=True)", "Difference: shape (1, 1), where (1,) is expected"),
        ("(x * weight).sum(dim=1).long()", "Difference: int64, where float32 is expected"),
        ("(x * weight).sum(dim=1) * float('nan')", "First difference: at [0]: nan, expected 3.0"),
        ("None", "Is a return missing?"),
        ("'three'", "Difference: a text, where a tensor of shape (1,) is expected"),
        ("(x, weight)", "Difference: a list or tuple of 2, where a tensor of shape (1,) is expected"),
        ("print", "It returns a builtin_function_or_method"),
        ("2 * (x * weight).sum(dim=1)", "In every case yours is 2 times the expected value."),
        ("(x * weight).sum(dim=1) + 1", "In every case yours is 1 more than expected."),
        ("(x * weight).sum(dim=1, keepdim=True)", "An axis of size 1 is too many."),
        ("(x * weight).sum()", "One number is left of a whole batch."),
        ("x * weight", "The last axis is still there: each entry wants to become one number."),
        ("(x * weight).sum(dim=1) * torch.rand(1)", "Called twice on the same input, it gives two values."),
        ("(x * weight).mean(dim=1)", "It looks like this: You averaged; sum."),
        ("-(weight * x).sum(-1)", "It looks like this: The sign is wrong."),
    ],
)
def test_faults_and_misconceptions_are_named(check, demo, body, words):
    text = check(cell(f"def total(x, weight):\n    return {body}\n"))
    assert words in text
    assert demo.results == {"total": "wrong"}


def test_an_answer_that_is_wrong_in_one_place_like_a_misconception_is_told_so(check):
    text = check(cell("def total(x, weight):\n    s = (x * weight).sum(dim=1)\n    return s if len(x) < 2 else -s\n"))
    assert "Where it is wrong, it looks like this: The sign is wrong." in text


def test_an_exception_is_one_line_with_the_students_own_line(check):
    text = check(cell("def total(x, weight):\n    y = x * weight\n    return y.softmin()[5]\n"))
    assert "Your code stops with" in text
    assert "in line 3 of your cell: return y.softmin()[5]" in text
    assert "Traceback" not in text and "site-packages" not in text


def test_another_exception_is_not_taken_for_a_usual_mistake(check):
    text = check(cell("def total(x, weight):\n    return x.sum(dim=7)\n"))
    assert "IndexError" in text and "looks like" not in text  # the matrix product raises one, too


def test_a_small_error_is_no_factor(check):
    text = check(cell("def total(x, weight):\n    return (x * weight).sum(dim=1) * 1.0005\n"))
    assert "0 of 2 public cases" in text and "In every case" not in text


def test_a_transposed_result_is_named(demo):
    task = demo.tasks["total"]
    case = task.cases()[1:]
    text = on_function(task, lambda x, w: x.T + 1, case, [torch.zeros(2, 3)]).text
    assert "It is transposed." in text


def test_an_exception_that_a_usual_mistake_raises_is_named(check):
    assert "It looks like this: That is a matrix product." in check(
        cell("def total(x, w):\n    return (x @ w).sum(dim=1)\n")
    )


@pytest.mark.parametrize(
    "source",
    [
        "def total(x):\n    return x\n",
        "def total(x, weight):\n    raise SystemExit\n",
        "def total(x, weight):\n    return total(x, weight)\n",
        "def total(x, weight):\n    assert False, 'a' * 10_000\n",
        "class total:\n    pass\n",
        "import torch\ntotal = torch.ones(3)\n",
        "total = 'text'\n",
        "total = max\n",
    ],
)
def test_check_never_raises(check, demo, source):
    text = check(cell(source))
    assert text and len(text) < 2000
    assert demo.results == {"total": "wrong"}


def test_a_value_in_place_of_the_function_is_explained(check):
    text = check(torch.ones(3))
    assert "this is a tensor of shape (3,). Give the function itself: demo.total.check(total)." in text


def test_calling_the_courses_own_answer_is_no_answer(check, demo, right_total):
    def total(x, weight):
        negative_elbo(x, x)
        return right_total(x, weight)

    text = check(total)
    assert "You call coursekit.losses.vae.negative_elbo" in text and "the mark for that is 0" in text
    assert demo.results == {"total": "wrong"}
    assert sys.getprofile() is None


def test_a_changed_input_does_not_change_what_is_shown(check):
    text = check(cell("def total(x, weight):\n    x.zero_()\n    return x.sum(dim=1)\n"))
    assert "  x = [[1.0, 1.0, 1.0]]" in text


def test_a_misconception_is_not_named_where_it_would_be_right(demo):
    task = demo.tasks["total"]
    cases = task.cases()[:1]
    text = on_function(task, lambda x, w: x[:, 0] * 7, cases, [torch.tensor([3.0])]).text
    assert "looks like" not in text


# -- numbers ---------------------------------------------------------------------------------------


@pytest.fixture
def check_number(demo, said):
    said(demo.start, "jdoe")
    return lambda value: said(demo.tasks["double"].check, value)


@pytest.mark.parametrize("kind", [float, np.float64, torch.tensor, np.array])
def test_a_number_is_recorded_and_never_judged(check_number, demo, kind):
    right = 2 * demo.numbers["a"]
    text = check_number(kind(right))
    assert "is recorded" in text and "only grading tells" in text
    assert check_number(kind(right + 1)).replace(str(right + 1), str(right)) == text
    assert demo.answers == {"double": right + 1}
    assert demo.results == {"double": "recorded"}


@pytest.mark.parametrize(
    ("number", "rounded"), [(0.33, True), (2e-4, True), (0.3333, False), (3.0, False), (120, False)]
)
def test_a_number_of_few_digits_is_recorded_with_a_word_on_rounding(check_number, number, rounded):
    text = check_number(number)
    assert "is recorded" in text and ("If you rounded it" in text) is rounded


@pytest.mark.parametrize("value", ["3", True, [1.0], torch.ones(2), 1j, float("nan"), float("inf"), 10**400, print])
def test_what_is_no_number_is_not_recorded(check_number, demo, value):
    check_number(3.0)
    assert "expected" in check_number(value)
    assert demo.answers == {}
    assert demo.results == {"double": "wrong"}


def test_a_usual_wrong_number_is_named_and_kept(check_number, demo):
    wrong = demo.numbers["a"] ** 2
    assert "It looks like this: You squared it." in check_number(wrong)
    assert demo.answers == {"double": wrong}


def test_no_number_is_not_answered_yet(check_number, demo):
    check_number(3.0)
    assert "not answered yet" in check_number(...)
    assert demo.answers == {}


def test_a_number_before_the_start_asks_for_the_start(demo, said):
    assert "start(STUDENT) first" in said(demo.tasks["double"].check, 3.0)


# -- artefacts and texts ---------------------------------------------------------------------------


def linear(*weights):
    module = nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([weights]))
    return module


class FakeTrainer:
    """What hand_in uses of a trainer."""

    def __init__(self, **networks):
        self.networks = networks

    def predictor(self, name):
        return self.networks[name]


class UnfittedTrainer:
    def fit(self, images):
        pass


@pytest.mark.parametrize(
    ("module", "share"),
    [(linear(0.1, 0.2), "100%"), (linear(1.0, 0.5), "50%"), (linear(1.0, 1.0), "50%"), (linear(3.0, 1.0), "0%")],
)
def test_a_trained_network_is_scored_and_kept(demo, said, module, share):
    text = said(demo.tasks["net"].hand_in, module)
    assert f"worth {share} of 20 points (50% from -2, 100% from -1)" in text
    assert demo.results == {"net": "kept"}
    assert demo.artefacts["net"] == Path("artefacts/demo-net.safetensors").read_bytes()


def test_the_network_that_fits_is_taken_from_a_trainer(demo, said):
    trainer = FakeTrainer(D=nn.Linear(9, 9), G=linear(0.1, 0.2))
    assert "worth 100%" in said(demo.tasks["net"].hand_in, trainer)


@pytest.mark.parametrize(
    ("trained", "words"),
    [
        (..., "not answered yet"),
        (None, "not answered yet"),
        (nn.Linear(3, 1), "not the one that is asked for"),
        (FakeTrainer(D=nn.Linear(3, 1)), "not the one that is asked for"),
        (7, "where a trainer after fit or a module is expected"),
        (UnfittedTrainer(), "this UnfittedTrainer has no network yet. Call its fit first."),
        (nn.Linear, "this is the class Linear, where a trainer after fit or a module is expected"),
        (linear(float("nan"), 1.0), "NaN or infinite"),
    ],
)
def test_what_is_no_trained_network_is_explained(demo, said, trained, words):
    assert words in said(demo.tasks["net"].hand_in, trained)
    assert demo.artefacts == {}


def test_weights_are_kept_in_memory_where_the_folder_cannot_be_written(demo, said, tmp_path):
    (tmp_path / "artefacts").write_text("in the way")
    assert "Kept for submit." in said(demo.tasks["net"].hand_in, linear(0.1, 0.2))
    assert demo.artefacts


def test_a_text_shows_what_a_reader_looks_for(demo, said):
    text = said(demo.tasks["essay"].check)
    assert "read by a person" in text and " 15  a reason" in text
