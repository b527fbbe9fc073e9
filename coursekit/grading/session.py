"""One student's notebook, alive in a sandbox: run its cells, ask its answers.

The session holds the clock and believes nothing. Each question has a number and a deadline; a reply that is late, has
another number, breaks the wire's rules or never comes ends the sandbox, by its PID namespace. A sandbox that died is
built again when the next question comes, from the cells that ran, without the statement that it died of.
"""

import builtins
import math
import re
import time
from dataclasses import dataclass, field

import torch

from coursekit.exercises.subject import NotAnswered
from coursekit.grading.faults import (
    CallsReference,
    CallTimeout,
    NotDefined,
    RefusedValue,
    SandboxKilled,
    SandboxUnavailable,
    StudentError,
)
from coursekit.grading.remote import Remote
from coursekit.grading.sandbox import START_SECONDS, Limits, Template, start
from coursekit.grading.stripped import make_tree
from coursekit.grading.wire import Channel, Held, Late, WireError, encode

__all__ = ["CellResult", "Limits", "Sandboxes", "Session"]

MAX_RECEIVED = 2**30
MAX_STATEMENTS = 10_000
WARMED = {
    "matplotlib.pyplot": re.compile(r"\bmatplotlib\b|coursekit\.plots|coursekit import .*\bplots\b"),
    "coursekit.trainers": re.compile(r"coursekit\.trainers|coursekit import .*\btrainers\b"),
    "coursekit.data": re.compile(r"coursekit\.data|coursekit import .*\bdata\b"),
    "sklearn.datasets": re.compile(r"\bload_images\b|\bsklearn\b"),
    "torchvision": re.compile(r"\btorchvision\b"),
    "scipy.stats": re.compile(r"\bscipy\b"),
    "pandas": re.compile(r"\bpandas\b"),
}
MAKES_HANDLES = ("new", "build")
EXCEPTIONS = frozenset(
    {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)}
    | {"LinAlgError", "OutOfMemoryError", "DoesNotFit", "DataUnavailable", "TrainingDiverged", "CheckpointError"}
)


@dataclass(frozen=True)
class CellResult:
    """What became of a cell.

    Attributes
    ----------
    status : str
        ``ok``; ``error``: a statement raised; ``timeout``; ``killed``: it took the sandbox with it; ``skipped``: there
        was no time left.
    exception : str or None
        Type of the exception: one of Python's or torch's own, or ``Exception``.
    """

    status: str
    exception: str | None = None


class TooMuch(ValueError):
    """The grader's own question has no place on the wire."""


@dataclass
class _Cell:
    """A cell that ran, for the day when it has to run again, and the statements to leave out then."""

    source: str
    skip: set = field(default_factory=set)


class Sandboxes:
    """Where sessions get their sandboxes from: one for each job of the grader.

    Parameters
    ----------
    implementations : sequence of str
        What the assignment asks for, by dotted name in coursekit: not to be called inside.
    sandbox : {"bwrap", "uid", "none"}
    limits : Limits
    template : bool
        Fork students from a sandbox that has imported torch, where the machine lets it.

    Attributes
    ----------
    closed : bool
        Whether it was closed: no sandbox is opened then.
    """

    def __init__(self, implementations=(), *, sandbox="bwrap", limits=None, template=True):
        self.implementations, self.sandbox = tuple(implementations), sandbox
        self.limits = limits or Limits()
        self.has_template = template and sandbox == "bwrap"
        self._trees, self._templates = {}, {}
        self._mentions = set()
        self._in_use = set()
        self.closed = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def session(self, numbers, allow_reference=False):
        """The `Session` of a student with these numbers."""
        return Session(self, numbers, allow_reference=allow_reference)

    def open(self, allow_reference=False):
        """A new sandbox in which nothing has run.

        Returns
        -------
        Process, Channel

        Raises
        ------
        SandboxUnavailable
        """
        process = self._new(allow_reference)
        self._in_use.add(process)
        try:
            self._require_open()
            return process, self._warm(process)
        except SandboxUnavailable:
            self.end(process)
            raise

    def end(self, process):
        """Kill a sandbox that `open` gave."""
        process.kill()
        self._in_use.discard(process)

    def notice(self, cells):
        """Take note of what a student's cells import: the template imports it for the students that follow."""
        text = "\n".join(cells)
        self._mentions.update(name for name, pattern in WARMED.items() if pattern.search(text))

    def close(self):
        """End everything, sandboxes in use too, for good. From any thread, while another one opens a sandbox too."""
        self.closed = True
        for process in list(self._in_use):
            self.end(process)
        for tree in list(self._templates):
            self._drop_template(tree)

    def _require_open(self):
        """Raise SandboxUnavailable if `close` was called.

        Asked after something that it should have ended is noted: then either `close` has seen it, or this sees `close`.
        """
        if self.closed:
            raise SandboxUnavailable("the grader is stopping")

    def _new(self, allow_reference):
        self._require_open()
        if allow_reference not in self._trees:
            self._trees[allow_reference] = make_tree(() if allow_reference else self.implementations)
        tree = self._trees[allow_reference]
        if self.has_template:
            for _ in range(2):  # a template may have died
                try:
                    return self._template(tree).fork(self._mentions)
                except SandboxUnavailable:
                    self._drop_template(tree)
                    self._require_open()
            self.has_template = False
        return start(tree, self.sandbox, self.limits)

    def _template(self, tree):
        template = self._templates.get(tree)
        if template is None:
            template = self._templates[tree] = Template(tree, self.limits)
            self._require_open()
            template.wait()
        return template

    def _drop_template(self, tree):
        template = self._templates.pop(tree, None)
        if template:
            template.close()

    def _warm(self, process):
        try:
            channel = Channel(process.sock)
            if channel.receive(time.monotonic() + START_SECONDS) == {"ready": True}:
                return channel
            said = ""
        except (WireError, OSError) as error:
            said = str(error)
        raise SandboxUnavailable(f"the sandbox does not start: {process.words() or said}")


class Session:
    """A student's notebook. Use it as a context manager.

    Parameters
    ----------
    sandboxes : Sandboxes
    numbers : dict
        Of the trusted student.
    allow_reference : bool
        Whether coursekit's own implementations may be called.
    limits : Limits, optional
        Other than those of `sandboxes`.

    Attributes
    ----------
    generation : int
        Number of sandboxes so far.
    """

    def __init__(self, sandboxes, numbers, *, allow_reference=False, limits=None):
        self.limits = limits or sandboxes.limits
        self.numbers, self.allow_reference = dict(numbers), allow_reference
        self.generation = 0
        self._sandboxes = sandboxes
        self._process = self._channel = None
        self._cells = []
        self._number = 0
        self._end = math.inf

    def __enter__(self):
        self._build()
        self._end = time.monotonic() + self.limits.total
        return self

    def __exit__(self, *error):
        self._kill()

    # What the grader calls

    def run(self, cells):
        """Run cells in their order.

        Parameters
        ----------
        cells : sequence of str

        Returns
        -------
        list of CellResult

        Raises
        ------
        SandboxUnavailable
        """
        cells = list(cells)
        self._sandboxes.notice(cells)
        return [self._run(source) for source in cells]

    def subject(self, name):
        """The answer called `name`, a `Remote`.

        Raises
        ------
        NotDefined, NotAnswered, Fault
        """
        self.ask("defined", name=name)
        return Remote(self, name)

    def value(self, name):
        """The number called `name`, a float.

        Raises
        ------
        NotDefined, NotAnswered, RefusedValue, Fault
        """
        value = self.ask("value", name=name)
        if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex():
            value = value.item()
        if type(value) not in (int, float):
            raise RefusedValue("not a number")
        return float(value)

    # What a Remote calls

    def ask(self, op, **question):
        """Ask the worker, and give its value.

        Raises
        ------
        NotAnswered, Fault, SandboxUnavailable
        """
        self._need()
        left = self._left()
        if left <= 0:
            raise CallTimeout
        seconds = min(self.limits.call, left)
        try:
            reply = self._exchange(op, seconds, seconds=seconds, **question)
        except Late:
            self._kill()
            raise CallTimeout from None
        except (WireError, SandboxKilled):
            self._kill()
            raise SandboxKilled from None
        return self._value_of(reply, op)

    def require(self, generation):
        """Raise SandboxKilled unless this generation's sandbox is alive."""
        if generation != self.generation or self._channel is None:
            raise SandboxKilled

    # Inside

    def _exchange(self, op, within, on_progress=None, /, **question):
        """Send a question; return its reply, a dict that has its number and is otherwise unchecked."""
        self._number += 1
        try:
            frame = encode({"id": self._number, "op": op, **question})
        except WireError as error:
            raise TooMuch(f"this cannot cross the wire: {error}") from None
        deadline = time.monotonic() + within + self.limits.grace
        channel, watch = self._channel, self._process.watch
        channel.held = op in MAKES_HANDLES
        channel.send(frame, deadline, watch)
        for _ in range(MAX_STATEMENTS):
            reply = channel.receive(deadline, watch)
            if channel.received > MAX_RECEIVED or reply.get("id") != self._number:
                raise WireError("a reply to nothing")
            if not on_progress or set(reply) != {"id", "at"}:
                return reply
            on_progress(reply["at"])
        raise WireError("no end of replies")

    def _value_of(self, reply, op):
        if set(reply) == {"id", "value"}:
            value = reply["value"]
            if (op in MAKES_HANDLES) is not (type(value) is Held):
                self._kill()
                raise SandboxKilled
            return value
        fault = reply.get("fault")
        if fault == "undefined":
            raise NotDefined
        if fault == "unanswered":
            raise NotAnswered("the answer is still ...")
        if fault == "refused":
            raise RefusedValue("not a value that a task asks for")
        if fault == "timeout":
            raise CallTimeout
        if fault == "reference":
            raise CallsReference
        if fault == "error":
            raise StudentError(_exception(reply.get("type")))
        self._kill()
        raise SandboxKilled

    def _run(self, source):
        try:
            self._need()
        except SandboxKilled:
            return CellResult("skipped")
        if self._left() <= 0:
            return CellResult("skipped")
        cell = _Cell(source)
        self._cells.append(cell)
        return self._run_in_sandbox(cell)

    def _run_in_sandbox(self, cell):
        at = []
        seconds = max(0.01, min(self.limits.cell, self._left()))
        try:
            reply = self._exchange("run", seconds, at.append, cell=cell.source, seconds=seconds, skip=sorted(cell.skip))
            status, exception, index = self._result_of(reply)
        except TooMuch:  # a cell of more text than a frame holds
            self._cells.remove(cell)
            return CellResult("skipped")
        except (WireError, SandboxKilled) as error:
            self._kill()
            cell.skip |= set(at[-1:]) if at and type(at[-1]) is int else set(range(MAX_STATEMENTS))
            return CellResult("timeout" if isinstance(error, Late) else "killed")
        if status == "timeout" and type(index) is int:
            cell.skip.add(index)
        return CellResult(status, exception)

    def _result_of(self, reply):
        value = reply.get("value")
        if type(value) is not list or len(value) != 3 or value[0] not in ("ok", "error", "timeout"):
            raise WireError("no result of a cell")
        return value[0], _exception(value[1]) if value[0] == "error" else None, value[2]

    def _need(self):
        """Build the sandbox again if it is gone."""
        if self._channel is not None:
            return
        while True:
            if self.generation > self.limits.rebuilds or self._left() <= 0:
                raise SandboxKilled
            self._build()
            for cell in self._cells:
                self._run_in_sandbox(cell)
                if self._channel is None:
                    break
            else:
                return

    def _build(self):
        """A new sandbox. The time that its start takes is not the student's."""
        began = time.monotonic()
        self._process, self._channel = self._sandboxes.open(self.allow_reference)
        self.generation += 1
        try:
            self._exchange("numbers", START_SECONDS, numbers=self.numbers)
        except WireError as error:
            self._kill()
            raise SandboxUnavailable(f"the sandbox does not start: {error}") from None
        self._end += time.monotonic() - began

    def _kill(self):
        if self._process is not None:
            self._sandboxes.end(self._process)
        self._process = self._channel = None

    def _left(self):
        return self._end - time.monotonic()


def _exception(name):
    return name if type(name) is str and name in EXCEPTIONS else "Exception"
