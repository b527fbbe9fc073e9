"""Mark one submission: run its cells in a sandbox, ask its answers hidden questions, compare outside."""

import json
import math
import threading
import time
from dataclasses import asdict, dataclass, field, replace

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from coursekit.exercises import IMPORTS
from coursekit.exercises.comparison import same
from coursekit.exercises.subject import NotAnswered
from coursekit.grading.faults import (
    CallsReference,
    CallTimeout,
    Fault,
    NotDefined,
    RefusedValue,
    SandboxKilled,
    SandboxUnavailable,
    StudentError,
)
from coursekit.grading.submissions import canonical_id

__all__ = ["Marked", "TaskMark", "load_artefact", "mark"]

MAX_HEADER = 64 * 1024  # bytes that list the tensors of an artefact
MAX_TIMEOUTS = 2  # of one task, after which its other cases are not tried
_REFERENCE = threading.Lock()  # references and scores may use torch's global generator


@dataclass(frozen=True)
class TaskMark:
    """What a task earned.

    Attributes
    ----------
    points, out_of : float
    status : str
        ``passed``, ``partial``, ``failed``, ``error``, ``timeout``, ``killed``, ``refused``, ``blank``,
        ``not-defined``, ``missing``, ``calls-reference``, ``pending`` (to be read by a person) or ``marked`` (read).
    detail : str
        Type of the first exception, or which criteria a person gave points for.
    parts : dict of str to bool
        Which parts of the hidden cases passed.
    flags : tuple of str
    """

    points: float
    out_of: float
    status: str
    detail: str = ""
    parts: dict = field(default_factory=dict)
    flags: tuple = ()


@dataclass(frozen=True)
class Marked:
    """A submission's marks: all that reports are made from.

    Attributes
    ----------
    student, name, digest : str
        As in `Submission`.
    assignment : str
    tasks : dict of str to TaskMark
    flags : tuple of str
    texts : dict of str to str
        Answers that a person reads.
    seconds : float
    sandbox : str
        ``bwrap``, ``uid`` or ``none``.
    """

    student: str
    name: str
    digest: str
    assignment: str
    tasks: dict
    flags: tuple = ()
    texts: dict = field(default_factory=dict)
    seconds: float = 0.0
    sandbox: str = "bwrap"

    @property
    def total(self):
        return round(sum(task.points for task in self.tasks.values()), 2)

    @property
    def out_of(self):
        return sum(task.out_of for task in self.tasks.values())

    @property
    def pending(self):
        """Names of the tasks that a person has yet to read."""
        return [name for name, task in self.tasks.items() if task.status == "pending"]

    @property
    def all_flags(self):
        """Flags of the submission and, as ``task:flag``, of its tasks."""
        return [*self.flags, *(f"{name}:{flag}" for name, task in self.tasks.items() for flag in task.flags)]

    def to_json(self):
        return json.dumps(asdict(self), ensure_ascii=True, indent=1)

    @classmethod
    def from_json(cls, text):
        """Raises ValueError, KeyError or TypeError where that is not what `to_json` wrote."""
        stored = json.loads(text)
        stored["tasks"] = {
            name: TaskMark(**task | {"flags": tuple(task["flags"])}) for name, task in stored["tasks"].items()
        }
        return cls(**stored | {"flags": tuple(stored["flags"])})


def mark(submission, key, secret, open_session, *, allow_reference=frozenset(), sandbox="bwrap"):
    """Mark a submission.

    Parameters
    ----------
    submission : Submission
    key : Key
    secret : bytes
        Of the class: hidden cases are drawn from it.
    open_session : callable
        ``open_session(numbers, allow_reference)`` gives a context manager that holds a `Session`.
    allow_reference : set of str
        Tasks of this student whose answer may call coursekit's own implementation.
    sandbox : str
        What `open_session` uses, for the record.

    Returns
    -------
    Marked

    Raises
    ------
    SandboxUnavailable
        The grader's own trouble, none of the student's; there is no mark.
    """
    start = time.perf_counter()
    assignment = key.assignment
    numbers = assignment.numbers_of(canonical_id(submission.student))
    flags = list(submission.flags)
    marks = {}
    for task in assignment.tasks.values():
        if task.kind == "text":
            marks[task.name] = _mark_text(task, submission)
        elif task.kind == "artefact":
            marks[task.name] = _mark_artefact(task, submission, key, secret)
    code = [task for task in assignment.tasks.values() if task.kind in ("function", "value")]
    allowed = {task.name for task in code} & set(allow_reference)
    for permitted in (False, True):
        tasks = [task for task in code if (task.name in allowed) is permitted]
        if tasks and submission.cells:
            with open_session(numbers, permitted) as session:
                flags += _run(session, submission, assignment)
                for task in tasks:
                    marks[task.name] = _mark_code(task, session, submission, key, secret, numbers)
    for name in allowed & set(marks):
        marks[name] = replace(marks[name], flags=(*marks[name].flags, "reference-allowed"))
    if sandbox != "bwrap":
        flags.append("unsafe" if sandbox == "none" else "weaker-sandbox")
    return Marked(
        submission.student,
        submission.name,
        submission.digest,
        assignment.name,
        {
            task.name: marks.get(task.name) or TaskMark(0.0, float(task.points), "missing")
            for task in assignment.tasks.values()
        },
        tuple(dict.fromkeys(flags)),
        {task: text for task, text in submission.texts.items() if marks[task].status == "pending"},
        round(time.perf_counter() - start, 2),
        sandbox,
    )


# -- cells -----------------------------------------------------------------------------------------


def _run(session, submission, assignment):
    """Run the cells; give the flags that this earns."""
    cells = _without_overwriting_starters(submission.cells, assignment)
    session.run([_prelude(assignment)])
    results = session.run(cells)
    # A cell above the one that it needs: once more, now that all is defined.
    again = [
        cell for cell, result in zip(cells, results) if result.status == "error" and result.exception == "NameError"
    ]
    if again:
        second = iter(session.run(again))
        results = [
            next(second) if result.status == "error" and result.exception == "NameError" else result
            for result in results
        ]
    noticed = {"error": "cell-failed", "timeout": "cell-timeout", "killed": "cell-killed", "skipped": "cell-skipped"}
    return [noticed[result.status] for result in results if result.status in noticed]


def _prelude(assignment):
    """What a notebook's first cells give, for one whose author deleted them."""
    return (
        f"{IMPORTS}from coursekit.exercises import {assignment.name}\n"
        "STUDENT = ''\n"
        f"numbers = {assignment.name}.start(STUDENT)\n"
    )


def _without_overwriting_starters(cells, assignment):
    """Leave out a copy of an untouched starter where the answer stands in another cell."""
    starters = {task.name: _normal(task.starter) for task in assignment.tasks.values() if task.kind != "text"}

    def untouched(cell):
        return [name for name, starter in starters.items() if starter and _is_only(_normal(cell), starter, assignment)]

    answered = {name for cell in cells for name in starters if _defines(cell, name) and name not in untouched(cell)}
    return [cell for cell in cells if not set(untouched(cell)) & answered]


def _is_only(cell, starter, assignment):
    rest = cell[len(starter) :].splitlines()
    idle = ("#", f"{assignment.name}.")
    return cell.startswith(starter) and all(not line.strip() or line.startswith(idle) for line in rest)


def _normal(source):
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _defines(cell, name):
    starts = (f"def {name}(", f"class {name}(", f"class {name}:", f"{name} =", f"{name}=")
    return any(line.startswith(starts) for line in cell.splitlines())


# -- tasks -----------------------------------------------------------------------------------------


def _mark_code(task, session, submission, key, secret, numbers):
    marker = _mark_function if task.kind == "function" else _mark_value
    try:
        return marker(task, session, submission, key, secret, numbers)
    except SandboxUnavailable:
        raise
    except (Fault, NotAnswered) as fault:
        status, detail = _describe(fault)
        return TaskMark(0.0, float(task.points), status, detail, flags=_flags_of(status))


def _mark_function(task, session, submission, key, secret, numbers):
    with _REFERENCE:
        cases = key.hidden_cases(task.name, secret, numbers)
        expected = key.expected(task.name, cases)
    subject = session.subject(task.name)
    parts = dict.fromkeys(case.part for case in cases)
    first, timeouts = None, 0
    for case, wanted in zip(cases, expected, strict=True):
        if parts[case.part] is False:
            continue
        if timeouts >= MAX_TIMEOUTS:
            parts[case.part] = False
            continue
        try:
            value = task.probe(subject, *case.args, **case.kwargs)
            parts[case.part] = bool(same(value, wanted, task.rtol, task.atol, task.nan))
        except (SandboxUnavailable, CallsReference, NotDefined, NotAnswered):
            raise
        except Fault as fault:
            parts[case.part] = False
            first = first or _describe(fault)
            timeouts += isinstance(fault, (CallTimeout, SandboxKilled))
        except Exception:  # a probe that could make nothing of what came back
            parts[case.part] = False
    return _by_parts(task, parts, first)


def _by_parts(task, parts, first):
    share = sum(map(bool, parts.values())) / len(parts)
    status, detail = first or ("failed", "")
    if share == 1:
        status = "passed"
    elif share > 0:
        status = "partial"
    named = {name: bool(passed) for name, passed in parts.items()}
    return TaskMark(_points(task, share), float(task.points), status, detail, named, _flags_of(*(first or ("",))[:1]))


def _mark_value(task, session, submission, key, secret, numbers):
    with _REFERENCE:
        expected = key.value(task.name, numbers)
    fault = None
    try:
        value = session.value(task.name)
        if same(value, expected, task.rtol, 0.0):
            return TaskMark(float(task.points), float(task.points), "passed")
    except SandboxUnavailable:
        raise
    except (Fault, NotAnswered) as error:
        fault = error
    if task.name in submission.answers and same(submission.answers[task.name], expected, task.rtol, 0.0):
        return TaskMark(float(task.points), float(task.points), "passed", flags=("from-answers-file",))
    if fault:
        raise fault
    return TaskMark(0.0, float(task.points), "failed")


def _mark_text(task, submission):
    text = submission.texts.get(task.name, "")
    if not text.strip() or _normal(text) == _normal(_answer_in(task.starter)):
        return TaskMark(0.0, float(task.points), "blank" if task.name in submission.texts else "missing")
    return TaskMark(0.0, float(task.points), "pending")


def _answer_in(starter):
    first, _, rest = starter.strip().partition("\n")
    return rest if first.startswith("<!--") else starter


def _mark_artefact(task, submission, key, secret):
    raw = submission.artefacts.get(task.name)
    if raw is None:
        return TaskMark(0.0, float(task.points), "missing")
    try:
        with _REFERENCE:
            module = load_artefact(raw, task.architecture)
            score = float(key.score(task.name, module, secret))
    except RefusedValue as error:
        return TaskMark(0.0, float(task.points), "refused", str(error))
    except (ArithmeticError, RuntimeError, ValueError, TypeError):
        score = math.nan
    shares = [share for threshold, share in task.thresholds.items() if score >= threshold]
    share = max(shares, default=0.0)
    status = "passed" if share == 1 else "partial" if share > 0 else "failed"
    return TaskMark(_points(task, share), float(task.points), status)


def load_artefact(raw, architecture):
    """The reference architecture with a student's numbers in it, in evaluation mode.

    Parameters
    ----------
    raw : bytes
        A safetensors file.
    architecture : callable
        Gives the module to be filled.

    Raises
    ------
    RefusedValue
        Damaged, or with other names, shapes or types than the module's, or with NaN or infinity.
    """
    header = int.from_bytes(raw[:8], "little") if len(raw) >= 8 else 0
    if not 0 < header <= min(MAX_HEADER, len(raw) - 8):
        raise RefusedValue("damaged")
    module = architecture()
    wanted = module.state_dict()
    try:
        listed = json.loads(raw[8 : 8 + header])
        listed.pop("__metadata__", None)
        shapes = {name: tuple(entry["shape"]) for name, entry in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RefusedValue("damaged") from None
    if set(shapes) != set(wanted):
        raise RefusedValue("other tensors")
    if any(shapes[name] != tuple(wanted[name].shape) for name in wanted):
        raise RefusedValue("other shapes")
    try:
        tensors = load_safetensors(raw)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError):
        raise RefusedValue("damaged") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != wanted[name].is_floating_point() or tensor.is_complex():
            raise RefusedValue("other types")
        if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
            raise RefusedValue("not finite")
    module.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()})
    return module.eval().requires_grad_(False)


def _points(task, share):
    return round(task.points * share, 2)


def _describe(fault):
    """`(status, detail)` of what went wrong."""
    if isinstance(fault, NotAnswered):
        return "blank", ""
    if isinstance(fault, NotDefined):
        return "not-defined", ""
    if isinstance(fault, CallsReference):
        return "calls-reference", ""
    if isinstance(fault, StudentError):
        return "error", fault.type_name
    if isinstance(fault, CallTimeout):
        return "timeout", ""
    if isinstance(fault, SandboxKilled):
        return "killed", ""
    return "refused", ""


def _flags_of(status):
    return ("calls-reference",) if status == "calls-reference" else ()
