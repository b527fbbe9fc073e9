"""What a check says: where an answer differs, and which usual mistake it looks like."""

import inspect
import linecache
import math
import sys
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from numbers import Number

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from coursekit.exercises.comparison import difference, same, show
from coursekit.exercises.subject import Local, NotAnswered, UnsupportedValue

WIDTH = 88
HIDDEN = (
    "Hidden cases decide the mark, not these: they try other sizes and values, and the edges of what the task allows."
)


def readable(text):
    """The text in lines that fit a page; what is indented stays as it is."""
    return "\n".join(
        line if line.startswith(" ") else textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )


@dataclass
class Feedback:
    """Outcome of a check: `status` (unanswered, wrong, passed, recorded, kept), `text`, and a `value` to keep."""

    status: str
    text: str
    value: object = None


@dataclass(frozen=True)
class Outcome:
    """What an answer did on one case: a value, or an exception."""

    value: object = None
    error: BaseException | None = None

    def is_like(self, other, task):
        """Whether two answers did the same."""
        if self.error or other.error:
            return type(self.error) is type(other.error) and str(self.error) == str(other.error)
        return same(self.value, other.value, task.rtol, task.atol, nan=True)


def outcome(task, answer, case):
    """Let the task's probe ask `answer` on `case`."""
    try:
        return Outcome(task.value(Local(answer), case))
    except (Exception, SystemExit) as error:
        return Outcome(error=error)


# -- functions and classes -------------------------------------------------------------------------


def on_function(task, answer, cases, expected):
    """Feedback on a function or class, from its public cases and their expected values."""
    if answer is Ellipsis or answer is None or _is_starter(task, answer):
        return _unanswered(task)
    if not callable(answer):
        call = f"{task.assignment.name}.{task.name}.check({task.name})"
        return Feedback("wrong", f"{task.name}: this is {_kind(answer)}. Give the function itself: {call}.")
    with _calls_of(task.implementations) as called:
        outcomes = [outcome(task, answer, case) for case in cases]
    if any(isinstance(one.error, NotAnswered) for one in outcomes):
        return _unanswered(task)
    wrong = [index for index, one in enumerate(outcomes) if not _is_right(one, expected[index], task)]
    passed = len(cases) - len(wrong)
    if not wrong:
        lines = [f"{task.name}: all {passed} public cases pass. {HIDDEN}"]
    else:
        first = wrong[0]
        lines = [f"{task.name}: {passed} of {len(cases)} public cases pass. Here is the first that does not."]
        lines += _about_case(task, answer, cases[first], outcomes[first], expected[first], first + 1)
        lines += _diagnosis(task, answer, cases, outcomes, expected, wrong)
        if task.hints:
            lines.append(f"Stuck? {task.assignment.name}.{task.name}.hint() helps in steps.")
    if called:
        lines.append(
            f"You call {called[0]}, which is this course's own answer. It is not yours: the mark for that is 0."
        )
    return Feedback("wrong" if wrong or called else "passed", "\n".join(lines))


def _is_right(one, expected, task):
    return one.error is None and same(one.value, expected, task.rtol, task.atol, task.nan)


def _unanswered(task):
    return Feedback("unanswered", f"{task.name}: not answered yet ({task.points} points).")


def _about_case(task, answer, case, one, expected, number):
    lines = [f"Case {number}" + (f": {case.note}" if case.note else "")]
    lines += [f"  {name} = {show(value)}" for name, value in _named_inputs(task, answer, case)]
    if one.error is None:
        lines.append(f"  yours:    {show(one.value)}")
    lines.append(f"  expected: {show(expected)}")
    if one.error is not None:
        return lines + _about_error(answer, one.error)
    if one.value is None:
        return [*lines, "  It returns nothing. Is a return missing?"]
    found = difference(one.value, expected, task.rtol, task.atol, task.nan)
    lines.append(f"  {'First difference: ' if found.startswith('at ') else 'Difference: '}{found}")
    return [*lines, *_about_shape(one.value, expected)]


def _about_shape(value, expected):
    """What a wrong shape usually comes from."""
    if not isinstance(expected, torch.Tensor | int | float) or not isinstance(value, torch.Tensor | int | float):
        return []
    a, b = tuple(torch.as_tensor(value).shape), tuple(torch.as_tensor(expected).shape)
    if a == b:
        return []
    if [size for size in a if size != 1] == [size for size in b if size != 1] and len(a) != len(b):
        many = "many" if len(a) > len(b) else "few"
        return [f"  An axis of size 1 is too {many}."] if a else ["  One number is left of a whole batch."]
    if len(a) > 1 and a == b[::-1]:
        return ["  It is transposed."]
    if len(a) == len(b) + 1 and a[:-1] == b:
        return ["  The last axis is still there: each entry wants to become one number."]
    if not a and len(b) == 1:
        return ["  One number is left of a whole batch: the first axis is gone, too."]
    return []


def _named_inputs(task, answer, case):
    """`(name, value)` of what the case gives."""
    ours = task.probe.__name__ != "call"
    try:
        names = list(inspect.signature(task.probe if ours else answer).parameters)[1 if ours else 0 :]
    except (TypeError, ValueError):
        names = []
    names += [f"argument {index + 1}" for index in range(len(names), len(case.args))]
    return [*zip(names, case.args, strict=False), *case.kwargs.items()]


def _about_error(answer, error):
    if isinstance(error, UnsupportedValue):
        return [f"  It returns {error}; what is asked for is in the task."]
    message = str(error).strip().split("\n")[0]
    lines = [f"  Your code stops with {type(error).__name__}" + (f": {message[:300]}" if message else "")]
    files = _files_of(answer)
    frame = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in files:
            frame = (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    if frame:
        source = linecache.getline(*frame).strip()
        lines.append(f"  in line {frame[1]} of your cell: {source}" if source else f"  in line {frame[1]} of your cell")
    return lines


def _files_of(answer):
    functions = [answer, *vars(answer).values()] if inspect.isclass(answer) else [answer]
    return {code.co_filename for code in (getattr(function, "__code__", None) for function in functions) if code}


def _diagnosis(task, answer, cases, outcomes, expected, wrong):
    """What the answer looks like: a usual mistake, or a simple relation to the expected values."""
    partly = None
    for misconception in task.misconceptions:
        theirs = [outcome(task, misconception.answer, case) for case in cases]
        alike = [one.is_like(other, task) for one, other in zip(outcomes, theirs, strict=True)]
        if all(alike):
            return [f"It looks like this: {misconception.message}"]
        if partly is None and all(alike[i] for i in wrong) and outcomes[wrong[0]].error is None:
            partly = misconception
    if outcomes[wrong[0]].error is None and not outcome(task, answer, cases[wrong[0]]).is_like(
        outcomes[wrong[0]], task
    ):
        return [
            "Called twice on the same input, it gives two values. Draw nothing at random inside: use what you are given."
        ]
    if partly:
        return [f"Where it is wrong, it looks like this: {partly.message}"]
    values = [one.value for one in outcomes if one.error is None]
    if len(values) < len(outcomes):
        return []
    return _relation(values, expected)


def _relation(values, expected):
    a, b = _floats(values), _floats(expected)
    if a is None or b is None or a.shape != b.shape or len(a) < 2 or not (a.isfinite() & b.isfinite()).all():
        return []
    if b.norm() == 0 or a.norm() == 0:
        return []
    factor = float((a @ b) / (b @ b))
    if torch.allclose(a, factor * b, rtol=1e-4, atol=1e-6) and abs(factor - 1) > 1e-3:
        what = "the negative of" if abs(factor + 1) < 1e-3 else f"{factor:.4g} times"
        return [f"In every case yours is {what} the expected value."]
    offset = float((a - b).mean())
    if torch.allclose(a, b + offset, rtol=1e-4, atol=1e-6) and abs(offset) > 1e-3:
        return [f"In every case yours is {abs(offset):.4g} {'more' if offset > 0 else 'less'} than expected."]
    return []


def _floats(values):
    """All numbers of a list of float tensors and numbers as one vector; None if there are other values."""
    tensors = [torch.as_tensor(value) if isinstance(value, (float, torch.Tensor)) else None for value in values]
    if any(tensor is None or not tensor.is_floating_point() for tensor in tensors):
        return None
    return torch.cat([tensor.reshape(-1).to(torch.float64) for tensor in tensors])


def _is_starter(task, answer):
    """Whether the answer is, instruction by instruction, what stands in the starter."""
    try:
        starter = _codes(compile(task.starter, "<starter>", "exec"))
    except SyntaxError:
        return False
    if inspect.isclass(answer):
        own = [value.__code__ for value in vars(answer).values() if inspect.isfunction(value)]
    else:
        own = [answer.__code__] if inspect.isfunction(answer) else []
    return bool(own) and all(_signature(code) in starter for code in own)


def _codes(code):
    inner = [constant for constant in code.co_consts if inspect.iscode(constant)]
    return {_signature(code) for code in inner}.union(*(_codes(code) for code in inner))


def _signature(code):
    constants = tuple(_signature(item) if inspect.iscode(item) else repr(item) for item in code.co_consts)
    return (code.co_name, code.co_code, code.co_names, code.co_varnames, constants)


@contextmanager
def _calls_of(names):
    """Collect which of these functions are called, whatever they are called by."""
    codes = {}
    for name in names:
        module, _, attribute = name.rpartition(".")
        target = getattr(import_module(module), attribute)
        for function in [target, *vars(target).values()] if inspect.isclass(target) else [target]:
            if inspect.isfunction(function):
                codes[function.__code__] = name
    called = []

    def note(frame, event, argument):
        if event == "call" and frame.f_code in codes:
            called.append(codes[frame.f_code])

    before = sys.getprofile()
    if codes:
        sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(before)


# -- numbers ---------------------------------------------------------------------------------------


def on_value(task, value, numbers):
    """Feedback on a number: never whether it is the right one."""
    if value is Ellipsis or value is None:
        return _unanswered(task)
    if numbers is None:
        return Feedback("wrong", f"{task.name}: run the cell with start(STUDENT) first, your numbers are drawn there.")
    number = _as_number(value)
    if number is None:
        return Feedback("wrong", f"{task.name}: this is {_kind(value)}, where one number is expected.")
    if not math.isfinite(number):
        return Feedback("wrong", f"{task.name}: this is {number}, where a finite number is expected.")
    for misconception in task.misconceptions:
        if math.isclose(number, misconception.answer(numbers), rel_tol=task.rtol, abs_tol=1e-9):
            text = f"{task.name}: {show(number)} is not right. It looks like this: {misconception.message}"
            return Feedback("wrong", text, number)
    text = f"{task.name}: {show(number)} is recorded. It has the right form; whether it is right, only grading tells."
    if number == float(f"{number:.3g}") and not number.is_integer():
        text += " If you rounded it, give more digits."
    return Feedback("recorded", text, number)


def _as_number(value):
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Number) or isinstance(value, complex):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


# -- artefacts and texts ---------------------------------------------------------------------------


def on_artefact(task, trained):
    """Feedback on a trained network; its weights as safetensors are the value."""
    if trained is Ellipsis or trained is None:
        return _unanswered(task)
    module = task.architecture()
    wanted = _shapes(module)
    candidates = _modules(trained)
    if not candidates and hasattr(trained, "fit") and not isinstance(trained, type):
        return Feedback("wrong", f"{task.name}: this {type(trained).__name__} has no network yet. Call its fit first.")
    if not candidates:
        return Feedback(
            "wrong", f"{task.name}: this is {_kind(trained)}, where a trainer after fit or a module is expected."
        )
    fitting = [candidate for candidate in candidates if _shapes(candidate) == wanted]
    if not fitting:
        found = "; ".join(f"{len(_shapes(one))} tensors" for one in candidates)
        text = f"{task.name}: the network is not the one that is asked for ({found}, not {len(wanted)} tensors of the "
        return Feedback(
            "wrong", text + "same names and shapes). Leave the settings of the network as they are in the starter."
        )
    state = {name: value.detach().cpu().contiguous().clone() for name, value in fitting[0].state_dict().items()}
    if any(value.is_floating_point() and not value.isfinite().all() for value in state.values()):
        return Feedback(
            "wrong", f"{task.name}: a weight is NaN or infinite. Train again, with a smaller learning rate."
        )
    module.load_state_dict(state)
    with torch.no_grad():
        score = float(task.public_score(module.eval()))
    share = share_of(task.thresholds, score)
    steps = ", ".join(f"{portion:.0%} from {threshold:g}" for threshold, portion in sorted(task.thresholds.items()))
    lines = [f"{task.name}: score {score:.3g} here, worth {share:.0%} of {task.points} points ({steps})."]
    lines.append("The mark comes from other data than these: do not stop right at a threshold.")
    return Feedback("kept", "\n".join(lines), save(state))


def share_of(thresholds, score):
    """Share of the points that a score is worth."""
    return max((share for threshold, share in thresholds.items() if score >= threshold), default=0.0)


def _modules(trained):
    if isinstance(trained, nn.Module):
        return [trained]
    networks = getattr(trained, "networks", None)
    return [trained.predictor(name) for name in networks] if isinstance(networks, dict) else []


def _shapes(module):
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def on_text(task):
    """What a person will look for in a text."""
    lines = [f"{task.name}: read by a person, who looks for this:"]
    return "\n".join([*lines, *(f"  {points:>3}  {criterion}" for criterion, points in task.rubric)])


def _kind(value):
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    names = {type(None): "None", int: "a whole number", float: "a number", str: "a text", bool: "True or False"}
    return names.get(type(value), f"of type {type(value).__name__}")
