"""A probe gets the same from an answer in a sandbox as from one in its own process."""

import pytest
import torch
from torch import nn

from coursekit.exercises.subject import Local, NotAnswered
from coursekit.grading.faults import Fault, StudentError
from coursekit.grading.session import CellResult, Sandboxes

pytestmark = [pytest.mark.needs("bwrap"), pytest.mark.timeout(600)]

SOURCE = """
import math
import numpy as np
import torch
from torch import nn

def scaled(x, factor=2.0, *, shift=None):
    x *= factor
    return {"x": x, "parts": (x[0], [None, True, 3, -0.5, math.inf, "text"]), "shift": shift}

def arrays(x):
    return [np.float64(0.5), np.arange(3), np.bool_(True), x.numpy(), np.float32(1), nn.Parameter(x)]

class Net(nn.Module):
    def __init__(self, n, bias=True):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n, 3, bias=bias), nn.BatchNorm1d(3), nn.Tanh())

    def forward(self, x, times=1.0):
        return times * self.layers(x)

    def sizes(self):
        return [len(list(self.parameters())), len(list(self.buffers()))]

def game(D, G, z):
    return D(G(z)).log().mean(), z.detach().sum()

def fails(x):
    raise KeyError("secret input")
"""
NAMES = {}
exec(compile(SOURCE, "<answers>", "exec"), NAMES)

X = torch.linspace(-1, 1, 8).reshape(4, 2)
DISCRIMINATOR = [["Linear", 2, 1], ["Sigmoid"]]
WEIGHTS = [torch.tensor([[0.3, -0.7]]), torch.tensor([0.1])]


@pytest.fixture(scope="module")
def session():
    with Sandboxes() as sandboxes, sandboxes.session({}) as session:
        assert session.run([SOURCE]) == [CellResult("ok")]
        yield session


def plain_call(subject):
    return subject(X, shift=torch.tensor([1, 2])), X.sum()


def arrays(subject):
    return subject(X)


def module(subject):
    net = subject.new(2, bias=False)
    shapes = net.shapes()
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.rand(shape, generator=generator) if shape else torch.tensor(3) for shape in shapes]
    net.load(tensors)
    trained = net(X)
    net.train(False)
    return [shapes, trained, net(X, times=2.0), net.method("sizes")]


def gradients(subject):
    D = subject.build(DISCRIMINATOR, WEIGHTS)
    G = subject.build([["Linear", 2, 2], ["LeakyReLU", 0.2], ["Unflatten", 1, [2]]], [torch.eye(2), torch.zeros(2)])
    return subject.gradients([D, G, X], of=[1, 0, 2])


def conv(subject):
    return subject.build([["Conv2d", 1, 2, 3, {"stride": 2, "bias": False}]]).shapes()


@pytest.mark.parametrize(
    "name, probe",
    [("scaled", plain_call), ("arrays", arrays), ("Net", module), ("game", gradients), ("game", conv)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_probe_gets_the_same_here_and_there(session, name, probe):
    here, there = probe(Local(NAMES[name])), probe(session.subject(name))
    assert_equal(here, there)


def assert_equal(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b)  # not the last bit: another process may have another number of threads
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for one, other in zip(a, b):
            assert_equal(one, other)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        assert_equal(list(a.values()), list(b.values()))
    else:
        assert a == b


def test_an_exception_crosses_as_its_type_alone(session):
    with pytest.raises(StudentError) as caught:
        session.subject("fails")(X)
    assert caught.value.args == ("KeyError",) and "secret" not in repr(caught.value.__context__)


def test_what_a_probe_may_not_do_is_refused(session):
    net = session.subject("Net").new(2)
    with pytest.raises(StudentError):
        net.method("_tensors")
    with pytest.raises(StudentError):
        net.load([torch.zeros(1)])
    with pytest.raises(StudentError):
        session.subject("scaled").new(X).shapes()
    with pytest.raises(Fault):
        session.subject("scaled").build([["Module"]])
    with pytest.raises(ValueError, match="cannot cross the wire"):
        session.subject("scaled")(nn.Linear(1, 1))


def test_an_unanswered_class_is_no_answer(session):
    session.run(["Blank = ..."])
    with pytest.raises(NotAnswered):
        session.subject("Blank")
