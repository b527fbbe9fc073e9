"""Equal or not, and where."""

import math

import pytest
import torch

from coursekit.exercises.comparison import difference, same, show

T = torch.tensor
NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, 1.0),
        (1.00001, 1.0),
        (1, 1.0),
        (T(1.0), 1.0),
        (1.0, T(1.0)),
        (T([1.0, 2.0], dtype=torch.float64), T([1.0, 2.0])),
        (T([1, 2], dtype=torch.int32), T([1, 2])),
        (3, T(3)),
        (True, T(True)),
        (T([INF, -INF]), T([INF, -INF])),
        ([1.0, T([2.0])], [1.0, T([2.0])]),
        ({"a": None, "b": "x"}, {"b": "x", "a": None}),
        (T([]), T([])),
        (5e-7, 0.0),
    ],
)
def test_these_are_the_same(value, expected):
    assert difference(value, expected) is None
    assert same(value, expected)


@pytest.mark.parametrize(
    ("value", "expected", "words"),
    [
        (T([1.0, 3.0, 9.0]), T([1.0, 2.0, 5.0]), "at [1]: 3.0, expected 2.0 (2 of 3 differ)"),
        (T([[1.0], [2.0]]), T([1.0, 2.0]), "shape (2, 1), where (2,) is expected"),
        (T([1.0]), T(1.0), "shape (1,), where () is expected"),
        (28.0, 28, "float64, where int64 is expected"),
        (True, 1, "bool, where int64 is expected"),
        (1, True, "int64, where bool is expected"),
        (T([1, 2]), T([1.0, 2.0]), "int64, where float32 is expected"),
        (T([1.0, 2.0]), T([1, 2]), "float32, where int64 is expected"),
        (NAN, 1.0, "nan, expected 1.0"),
        (T([NAN]), T([NAN]), "at [0]: nan, expected nan"),
        (INF, 1e30, "inf, expected 1e+30"),
        (-INF, INF, "-inf, expected inf"),
        (1.0, INF, "1.0, expected inf"),
        (None, T([1.0]), "None, where a tensor of shape (1,) is expected"),
        ([1.0], 1.0, "a list or tuple of 1, where a number is expected"),
        (1.0, [1.0, 2.0], "a number, where 2 values are expected"),
        ([1.0], [1.0, 2.0], "1 values, where 2 are expected"),
        ([1.0, [T([2.0, 9.0])]], [1.0, [T([2.0, 3.0])]], "at [1][0][1]: 9.0, expected 3.0"),
        ({"a": 1.0}, {"a": 1.0, "b": 2.0}, "the key 'b' is missing"),
        ({"a": 1.0, "c": 0}, {"a": 1.0}, "a key 'c' too many"),
        ({"a": 3.0}, {"a": 1.0}, "at ['a']: 3.0, expected 1.0"),
        ("x", "y", "'x', expected 'y'"),
        (1.0, None, "a number, where None is expected"),
        (1.002, 1.0, "1.002, expected 1.0"),
        (10**30, 5, "inf, where"),
    ],
)
def test_the_first_difference_is_named(value, expected, words):
    found = difference(value, expected)
    assert words in (found or "") or (value == 10**30 and found)
    assert not same(value, expected)


def test_close_numbers_are_printed_so_that_they_differ():
    assert difference(1.00002, 1.0, rtol=1e-6, atol=0) == "1.00002, expected 1.0"


def test_nan_is_right_only_where_one_is_expected_and_allowed():
    assert same(T([NAN, 1.0]), T([NAN, 1.0]), nan=True)
    assert not same(T([1.0, 2.0]), T([NAN, 2.0]), nan=True)
    assert not same(T([NAN, 1.0]), T([1.0, 1.0]), nan=True)
    assert not same(T([NAN]), T([NAN]), nan=False)


def test_tolerance_is_relative_to_the_expected_value():
    assert same(100.009, 100.0, rtol=1e-4, atol=0)
    assert not same(100.02, 100.0, rtol=1e-4, atol=0)
    assert not same(0.0001, 0.0, rtol=1e-4, atol=1e-6)


def test_low_precision_is_compared_as_it_is():
    assert same(T([1.0, 0.5], dtype=torch.bfloat16), T([1.0, 0.5]))
    assert not same(T([1.01], dtype=torch.bfloat16), T([1.01]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (T([[1.0, 2.5]]), "[[1.0, 2.5]]"),
        (T(0.123456), "0.1235"),
        (2.0, "2.0"),
        (1e-7, "1e-07"),
        (7, "7"),
        (True, "True"),
        (None, "None"),
        ([1.0, {"a": T([1])}], "[1.0, {'a': [1]}]"),
        (torch.zeros(5, 9), "tensor of shape (5, 9): 0.0, 0.0, 0.0, …"),
    ],
)
def test_values_are_shown_short(value, text):
    assert show(value) == text


def test_a_long_text_is_cut():
    assert len(show("x" * 5000)) <= 300
