"""An answer as a probe sees it: called, constructed, differentiated, and nothing else.

A probe (see `coursekit.exercises.tasks`) reaches the answer through a subject only, so the same probe runs in the
student's notebook, on `Local`, and across the sandbox's wire. Nothing in this module knows a task: it runs inside
the sandbox too.
"""

import numpy as np
import torch
from torch import nn

from coursekit.errors import CoursekitError

__all__ = ["DoesNotFit", "Handle", "Local", "NotAnswered", "UnsupportedValue", "plain"]

LAYERS = frozenset(
    "AvgPool2d BatchNorm1d BatchNorm2d Conv2d ConvTranspose2d Dropout ELU Flatten GELU Identity InstanceNorm2d LayerNorm "
    "LeakyReLU Linear MaxPool2d ReLU ReflectionPad2d Sigmoid SiLU Softplus Tanh Unflatten Upsample ZeroPad2d".split()
)
DTYPES = frozenset(
    {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
    | {torch.float16, torch.bfloat16, torch.float32, torch.float64}
)
MAX_ELEMENTS = 20_000_000
MAX_TEXT = 10_000
MAX_DEPTH = 8


class NotAnswered(CoursekitError):
    """The starter's ``...`` is still there."""


class UnsupportedValue(CoursekitError):
    """A value of a kind that no task asks for; the message names the kind."""


class DoesNotFit(CoursekitError):
    """A module cannot take these parameters, or an object lacks what a probe asks of it."""


def plain(value, depth=0):
    """The value as data: None, bool, int, float, str, list, dict or CPU tensor; arrays become tensors, tuples lists.

    Raises
    ------
    NotAnswered
        It is, or holds, an Ellipsis.
    UnsupportedValue
        It is, or holds, anything else; or it is too large or too deep.
    """
    if value is Ellipsis:
        raise NotAnswered("the answer is still ...")
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, torch.Tensor):
        return _plain_tensor(value)
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    if type(value) is str:
        if len(value) > MAX_TEXT:
            raise UnsupportedValue(f"a text of {len(value)} characters")
        return value
    if isinstance(value, (list, tuple, dict)) and depth >= MAX_DEPTH:
        raise UnsupportedValue("lists in lists, too deep")
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            raise UnsupportedValue("a dict whose keys are not all texts")
        return {key: plain(item, depth + 1) for key, item in value.items()}
    raise UnsupportedValue(f"a {type(value).__name__}")


def _plain_tensor(tensor):
    if type(tensor) not in (torch.Tensor, nn.Parameter):
        raise UnsupportedValue(f"a {type(tensor).__name__}")
    if tensor.dtype not in DTYPES:
        raise UnsupportedValue(f"a tensor of {str(tensor.dtype).removeprefix('torch.')}")
    if tensor.layout != torch.strided or tensor.device.type == "meta":
        raise UnsupportedValue("a tensor that is sparse or without data")
    if tensor.numel() > MAX_ELEMENTS:
        raise UnsupportedValue(f"a tensor of {tensor.numel():,} numbers")
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _plain_array(array):
    if array.dtype.kind not in "biuf":
        raise UnsupportedValue(f"an array of {array.dtype}")
    if array.size > MAX_ELEMENTS:
        raise UnsupportedValue(f"an array of {array.size:,} numbers")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    elif array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


class Local:
    """The answer itself, in this process.

    Parameters
    ----------
    answer : callable
        Function or class. Its arguments are copies, so an answer that changes them spoils nothing.

    Raises
    ------
    NotAnswered, UnsupportedValue
        From every call: what came back is not a value (see `plain`). Whatever the answer raises passes through.
    """

    def __init__(self, answer):
        self._answer = answer

    def __call__(self, *args, **kwargs):
        return plain(self._answer(*_inside(args), **_inside(kwargs)))

    def new(self, *args, **kwargs):
        """Construct the class, or call the factory; what it makes stays inside the handle."""
        made = self._answer(*_inside(args), **_inside(kwargs))
        if made is Ellipsis:
            raise NotAnswered("the answer is still ...")
        return Handle(made)

    def build(self, layers, tensors=None):
        """An ``nn.Sequential`` to be passed as an argument.

        Parameters
        ----------
        layers : list of list
            ``["Linear", 3, 4]``, ``["Conv2d", 3, 8, 4, {"stride": 2}]``: a name from torch.nn, its arguments, and
            at the end a dict of named ones.
        tensors : list of Tensor, optional
            Parameters, then buffers, in their order.
        """
        modules = []
        for name, *arguments in layers:
            if name not in LAYERS:
                raise UnsupportedValue(f"a layer {name!r}; there are {', '.join(sorted(LAYERS))}")
            named = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
            modules.append(getattr(nn, name)(*map(_as_tuple, arguments), **named))
        handle = Handle(nn.Sequential(*modules))
        if tensors is not None:
            handle.load(tensors)
        return handle

    def gradients(self, args, kwargs=None, of=()):
        """Value of the call, and gradients of the sum of all its numbers.

        Parameters
        ----------
        args, kwargs
            Of the call.
        of : sequence of int
            Which of `args`: tensors, or handles of modules.

        Returns
        -------
        list
            ``[value, [gradient, ...]]``: a tensor of the argument's shape; for a handle one vector, its parameters
            flattened one after the other; None where no gradient flows.
        """
        inside = list(_inside(tuple(args)))
        leaves = {}
        with torch.enable_grad():
            for index in of:
                if isinstance(inside[index], nn.Module):
                    leaves[index] = list(inside[index].parameters())
                else:
                    leaf = inside[index].requires_grad_(True)
                    leaves[index] = [leaf]
                    inside[index] = leaf.clone()  # no leaf, so that the answer may change it in place
            value = self._answer(*inside, **_inside(kwargs or {}))
            result = plain(value)
            total = sum((part.sum() for part in _differentiable(value)), torch.zeros(()))
            # The answer may have frozen a module: nothing flows there.
            flat = [leaf for index in of for leaf in leaves[index] if leaf.requires_grad]
            grads = iter(())
            if total.requires_grad and flat:
                grads = iter(torch.autograd.grad(total, flat, allow_unused=True))
        gradients = []
        for index in of:
            own = [next(grads, None) if leaf.requires_grad else None for leaf in leaves[index]]
            gradients.append(_joined(own, leaves[index], isinstance(inside[index], nn.Module)))
        return [result, gradients]


class Handle:
    """An object that a `Local` subject made, `held`; a probe sees only what its methods give."""

    def __init__(self, held):
        self.held = held

    def __call__(self, *args, **kwargs):
        return plain(self.held(*_inside(args), **_inside(kwargs)))

    def method(self, name, *args, **kwargs):
        """Call a public method of the object."""
        if name.startswith("_") or not callable(getattr(self.held, name, None)):
            raise DoesNotFit(f"there is no method {name!r}")
        return plain(getattr(self.held, name)(*_inside(args), **_inside(kwargs)))

    def shapes(self):
        """Shapes of the module's parameters, then of its buffers, in their order."""
        return [list(tensor.shape) for tensor in self._tensors()]

    def load(self, tensors):
        """Set the module's parameters, then its buffers, in their order."""
        own = self._tensors()
        if [list(tensor.shape) for tensor in own] != [list(tensor.shape) for tensor in tensors]:
            wanted = [tuple(tensor.shape) for tensor in tensors]
            raise DoesNotFit(f"shapes are {[tuple(tensor.shape) for tensor in own]}, not {wanted}")
        with torch.no_grad():
            for tensor, new in zip(own, tensors, strict=True):
                tensor.copy_(new)

    def train(self, mode):
        """Switch the module to training (True) or evaluation (False)."""
        self._module().train(bool(mode))

    def _module(self):
        if not isinstance(self.held, nn.Module):
            raise DoesNotFit(f"a {type(self.held).__name__} is not an nn.Module")
        return self.held

    def _tensors(self):
        return [*self._module().parameters(), *self._module().buffers()]


def _inside(value):
    """What the answer gets for an argument: copies of tensors, and what handles hold."""
    if isinstance(value, Handle):
        return value.held
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, (list, tuple)):
        return type(value)(_inside(item) for item in value)
    if isinstance(value, dict):
        return {key: _inside(item) for key, item in value.items()}
    return value


def _as_tuple(value):
    return tuple(value) if isinstance(value, list) else value


def _differentiable(value):
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [part for item in value for part in _differentiable(item)]
    return []


def _joined(grads, leaves, is_module):
    if all(grad is None for grad in grads):
        return None
    if not is_module:
        return plain(grads[0])
    parts = [torch.zeros_like(leaf) if grad is None else grad for grad, leaf in zip(grads, leaves, strict=True)]
    return plain(torch.cat([part.reshape(-1) for part in parts]))
