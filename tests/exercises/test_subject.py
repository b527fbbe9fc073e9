"""Probes talk to answers, and get data back."""

from enum import IntEnum

import numpy as np
import pytest
import torch
from torch import nn

from coursekit.exercises.subject import DoesNotFit, Handle, Local, NotAnswered, UnsupportedValue, plain


class Counter:
    def __init__(self, start=0):
        self.count = start

    def step(self, by=1):
        self.count += by
        return self.count

    def _secret(self):
        return 1


class Level(IntEnum):
    LOW = 1


class LabelledTensor(torch.Tensor):
    pass


def test_plain_keeps_data_and_turns_arrays_and_tuples():
    value = plain((1, 2.5, True, None, "a", np.float32(0.5), np.int64(3), np.array([1.0, 2.0]), {"x": torch.ones(2)}))
    assert value[:7] == [1, 2.5, True, None, "a", 0.5, 3]
    assert type(value[5]) is float and type(value[6]) is int
    assert torch.equal(value[7], torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert torch.equal(value[8]["x"], torch.ones(2))


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([1, 2], dtype=np.uint16), torch.int64),
        (np.array([1.0], dtype=">f4"), torch.float32),
        (np.array([1.0], dtype=np.longdouble), torch.float64),
        (np.array(3.5), torch.float64),
        (np.array([True]), torch.bool),
        (np.ones((3, 2))[::-1].T, torch.float64),
    ],
)
def test_arrays_of_many_kinds_become_tensors(array, dtype):
    value = plain(array)
    assert value.dtype == dtype and list(value.shape) == list(array.shape)
    assert value.tolist() == array.tolist()


def test_a_parameter_comes_out_as_a_tensor_without_a_graph():
    value = plain(nn.Parameter(torch.ones(2)))
    assert type(value) is torch.Tensor and not value.requires_grad


def test_an_expanded_tensor_comes_out_with_its_own_memory():
    small = torch.ones(1)
    value = plain(small.expand(4))
    small.zero_()
    assert value.tolist() == [1, 1, 1, 1] and value.is_contiguous()


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        {1: 2},
        {1, 2},
        b"bytes",
        "x" * 10_001,
        Level.LOW,
        torch.ones(2).as_subclass(LabelledTensor),
        torch.ones(2, dtype=torch.complex64),
        torch.eye(2).to_sparse(),
        torch.ones(1).expand(30_000_000),
        torch.empty(2, device="meta"),
        np.array(["a"]),
        np.array([object()]),
        [[[[[[[[[[1]]]]]]]]]],
        lambda: 1,
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_refused(value):
    with pytest.raises(UnsupportedValue):
        plain(value)


def test_a_list_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(UnsupportedValue):
        plain(value)


@pytest.mark.parametrize("value", [..., [1, ...], {"a": ...}])
def test_an_ellipsis_is_no_answer_yet(value):
    with pytest.raises(NotAnswered):
        plain(value)


def test_a_call_gets_copies():
    def spoil(x, rest):
        x.zero_()
        rest["y"].zero_()
        return x

    x, y = torch.ones(2), torch.ones(2)
    assert Local(spoil)(x, rest={"y": y}).tolist() == [0, 0]
    assert x.tolist() == y.tolist() == [1, 1]


def test_a_handle_keeps_the_object_inside():
    handle = Local(Counter).new(start=3)
    assert [handle.method("step"), handle.method("step", by=2)] == [4, 6]
    for name in ("_secret", "__init__", "absent", "count"):
        with pytest.raises(DoesNotFit):
            handle.method(name)


def test_a_factory_that_is_not_written_yet_is_no_answer():
    with pytest.raises(NotAnswered):
        Local(lambda size: ...).new(3)


def test_weights_are_set_in_order_and_shapes_must_agree():
    handle = Local(lambda: nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))).new()
    shapes = [[1, 2], [1], [1], [1], [1], [1], []]
    assert handle.shapes() == shapes
    tensors = [torch.tensor([[2.0, 3.0]]), torch.tensor([1.0]), torch.ones(1), torch.zeros(1)]
    handle.load([*tensors, torch.zeros(1), torch.ones(1), torch.tensor(5)])
    handle.train(False)
    assert handle(torch.tensor([[1.0, 1.0]])).item() == pytest.approx(6.0, rel=1e-4)
    handle.train(True)
    assert handle(torch.tensor([[1.0, 1.0], [0.0, 0.0]])).mean().item() == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(DoesNotFit, match="shapes"):
        handle.load(tensors)
    with pytest.raises(DoesNotFit, match="nn.Module"):
        Local(Counter).new().shapes()


def test_modules_are_built_from_names_and_passed_on():
    subject = Local(lambda module, x: module(x) + 1)
    module = subject.build(
        [["Linear", 2, 1], ["LeakyReLU", 0.5], ["Unflatten", 1, [1, 1]]], [torch.tensor([[1.0, -2.0]]), torch.zeros(1)]
    )
    assert subject(module, torch.tensor([[1.0, 1.0]])).tolist() == [[[0.5]]]
    convolution = subject.build([["Conv2d", 1, 1, 2, {"stride": 2, "bias": False}]])
    assert convolution.shapes() == [[1, 1, 2, 2]]
    for name in ("Module", "functional", "ParameterDict", "__class__"):
        with pytest.raises(UnsupportedValue):
            subject.build([[name]])


def test_gradients_of_tensors_and_of_modules():
    subject = Local(lambda module, x, scale: (module(x) * scale).sum(dim=1))
    module = subject.build([["Linear", 2, 1]], [torch.tensor([[1.0, 2.0]]), torch.zeros(1)])
    x = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    value, (of_module, of_x, of_scale) = subject.gradients((module, x, torch.tensor(3.0)), of=[0, 1, 2])
    assert value.tolist() == [9.0, 6.0]
    assert of_module.tolist() == [9.0, 3.0, 6.0]
    assert of_x.tolist() == [[3.0, 6.0], [3.0, 6.0]]
    assert of_scale.item() == 5.0
    assert not x.requires_grad


def test_no_gradient_is_none():
    subject = Local(lambda module, x: module(x).detach() + x)
    module = subject.build([["Linear", 1, 1]])
    _, gradients = subject.gradients((module, torch.ones(2, 1)), of=[0, 1])
    assert gradients[0] is None and gradients[1].tolist() == [[1.0], [1.0]]
    with torch.no_grad():
        _, gradients = subject.gradients((module, torch.ones(2, 1)), of=[1])
    assert gradients[0].tolist() == [[1.0], [1.0]]
    assert Local(lambda x: 3.0).gradients((torch.ones(1),), of=[0]) == [3.0, [None]]


def test_no_gradient_flows_to_a_module_that_the_answer_freezes():
    def freezes(module, x):
        module.requires_grad_(False)
        return module(x)

    subject = Local(freezes)
    module = subject.build([["Linear", 1, 1]], [torch.tensor([[2.0]]), torch.zeros(1)])
    _, gradients = subject.gradients((module, torch.ones(2, 1)), of=[0, 1])
    assert gradients[0] is None and gradients[1].tolist() == [[2.0], [2.0]]


def test_an_answer_may_change_its_argument_in_place_under_gradients():
    value, (gradient,) = Local(lambda x: x.mul_(2)).gradients((torch.ones(2),), of=[0])
    assert value.tolist() == gradient.tolist() == [2.0, 2.0]


def test_gradients_of_several_values_are_of_their_sum():
    value, (gradient,) = Local(lambda x: (x * 2, {"a": x * 3}, 7)).gradients((torch.ones(2),), of=[0])
    assert value[2] == 7 and gradient.tolist() == [5.0, 5.0]


def test_handles_go_into_lists_of_arguments():
    subject = Local(lambda modules, x: [module(x) for module in modules])
    modules = [subject.build([["ReLU"]]), Handle(nn.Tanh())]
    assert subject(modules, torch.tensor([-1.0]))[0].tolist() == [0.0]
