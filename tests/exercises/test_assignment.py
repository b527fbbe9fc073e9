"""Start, hints and progress; expected values on disk."""

import math
import tomllib
from pathlib import Path

import pytest
import torch
from setuptools.dist import Distribution

from coursekit.exercises.comparison import same
from coursekit.exercises.values import decode, encode

ROOT = Path(__file__).resolve().parents[2]


def test_start_prints_and_returns_the_students_numbers(demo, capsys):
    numbers = demo.start("JDoe ")
    text = capsys.readouterr().out
    assert "4 tasks, 100 points" in text
    assert f"Numbers of jdoe: a = {numbers['a']}, n = {numbers['n']}" in text
    assert numbers == demo.numbers_of("jdoe")
    numbers["a"] = 0
    assert demo.numbers["a"] != 0


def test_the_placeholder_is_asked_to_become_an_id(demo, said):
    assert "First write your own id above" in said(demo.start, "your-id")


def test_a_bad_id_says_where_to_mend_it(demo):
    with pytest.raises(ValueError, match="STUDENT"):
        demo.start("a/b")


def test_another_student_starts_afresh_and_the_same_one_goes_on(demo, said, right_total):
    said(demo.start, "jdoe")
    said(demo.tasks["total"].check, right_total)
    said(demo.start, "jdoe")
    assert demo.results
    said(demo.start, "other")
    assert not demo.results


def test_hints_come_one_by_one_and_start_again(demo, said):
    hints = [said(demo.tasks["total"].hint) for _ in range(4)]
    assert [hint.splitlines()[0] for hint in hints] == [
        "total, hint 1 of 3: Multiply first.",
        "total, hint 2 of 3: Then sum over dim 1.",
        "total, hint 3 of 3: Test it on ones.",
        "total, hint 1 of 3: Multiply first.",
    ]
    assert "run this cell again" in hints[0] and "run this cell again" not in hints[2]
    assert "no hint" in said(demo.tasks["double"].hint)


def test_progress_is_a_table(demo, said, right_total):
    said(demo.start, "jdoe")
    said(demo.tasks["total"].check, right_total)
    said(demo.tasks["double"].check, 3.0)
    assert (
        said(demo.progress).splitlines()
        == [
            "task      points  last check",
            "------------------------------------------",
            "total         40  passes the public cases",
            "double        20  recorded",
            "essay         20  read by a person",
            "net           20  not checked",
            "------------------------------------------",
            "together     100",
        ]
        or said(demo.progress).count("\n") == 8
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        0.1,
        math.inf,
        "text",
        [1.0, [None]],
        {"a": torch.tensor([1.5]), "float": {"tensor": 2}},
        torch.tensor([[1.0, math.nan], [-math.inf, 2.0]]),
        torch.tensor([1, 2]),
        torch.tensor([True, False]),
        torch.zeros(0, 3),
        torch.tensor(1.25, dtype=torch.float64),
    ],
    ids=str,
)
def test_values_survive_json(value):
    back = decode(encode(value))
    assert same(back, value, rtol=1e-8, atol=0, nan=True)
    if isinstance(value, torch.Tensor):
        assert back.dtype == value.dtype and back.shape == value.shape


def test_the_expected_values_are_installed_with_the_package(monkeypatch):
    monkeypatch.chdir(ROOT)
    package_data = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
        "package-data"
    ]
    distribution = Distribution(
        {"name": "coursekit", "packages": ["coursekit.exercises"], "package_data": package_data}
    )
    command = distribution.get_command_obj("build_py")
    command.ensure_finalized()
    files = [name for _, _, _, names in command.data_files for name in names]
    assert "expected/vae.json" in files
