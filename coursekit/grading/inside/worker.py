"""The process inside the sandbox: runs a notebook's cells, and answers the grader's questions about what they define.

It shares its interpreter with the student's code, which may do to it what it likes: kill it, rewrite it, answer in its
place. Nothing depends on its honesty. It holds no expected value and no secret, so a forged reply is a wrong value; a
missing one is waited for until a deadline, by the grader, who then kills the whole PID namespace.

Started as ``worker.py FD KIND SETTINGS`` with a socket, ``single``, ``template`` or ``trial`` (build the walls, say so,
end), and JSON. A template imports what
notebooks import, runs nothing of anyone's, and forks one child for each student, behind walls of its own
(`confine`): so torch is imported once for a class. It gives its pidfd, with which the grader kills that child.
"""

import ast
import builtins
import json
import linecache
import os
import re
import signal
import socket
import sys
import types
from array import array

AGAIN = 0.05  # seconds after which an interruption that was swallowed is repeated
STILL_RUN = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
BODY_MAGICS = ("time", "capture", "prun")
ASSIGNED = re.compile(r"^([ \t]*\w[\w., \t]*=[ \t]*)([!%])([^=\n].*)$", re.MULTILINE)
OWN_FILE = __file__


class Overtime(BaseException):
    """The time of a cell or call is over."""


# -- time ------------------------------------------------------------------------------------------


class Limit:
    """Interrupts the student's code when its time is over: once, and then, should it go on, again and again.

    A loop around ``except BaseException: pass`` swallows the first; so from the second on every line that it comes to
    raises, the one in its handler included. What cannot be interrupted is killed by the grader.
    """

    def __init__(self, seconds):
        self.seconds, self.rings = seconds, 0
        self.on = False

    def __enter__(self):
        self.on = True
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, max(self.seconds, 0.001), AGAIN)

    def __exit__(self, *error):
        self.on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(None)

    def _ring(self, number, frame):
        own = frame.f_code.co_filename == OWN_FILE
        if not self.on or own and frame.f_code.co_name in ("__enter__", "__exit__"):
            return
        self.rings += 1
        if self.rings > 1:
            while frame is not None:
                if frame.f_code.co_filename != OWN_FILE:
                    frame.f_trace = self._trace
                frame = frame.f_back
            sys.settrace(self._trace)
        raise Overtime

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename == OWN_FILE or not self.on:
            return None
        raise Overtime


# -- cells -----------------------------------------------------------------------------------------


class Shell:
    """What ``get_ipython()`` gives: magics and the system's commands do nothing, ``%%time`` runs its body."""

    def __init__(self, notebook):
        self._notebook = notebook
        self.user_ns = notebook.names

    def run_cell_magic(self, name, line, cell):
        if name in BODY_MAGICS:
            self._notebook.execute(cell)

    def run_line_magic(self, name, line, *more):
        if name == "time" and line.strip():
            self._notebook.execute(line)

    def magic(self, line):
        name, _, rest = line.strip().lstrip("%").partition(" ")
        self.run_line_magic(name, rest)

    def getoutput(self, *command):
        return []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


class Notebook:
    """The names that cells define, in a module that passes for ``__main__``."""

    def __init__(self):
        self.module = types.ModuleType("__main__")
        self.names = self.module.__dict__
        shell = Shell(self)
        self.names["get_ipython"] = builtins.get_ipython = lambda: shell
        self.names["display"] = lambda *args, **kwargs: None
        self.names["exit"] = self.names["quit"] = _leave
        sys.modules["__main__"] = self.module
        self.flags = 0
        self.count = 0
        self.transform = _transformer()

    def run(self, source, seconds, skip, progress):
        """Run a cell, statement by statement; after one that fails, only definitions, imports and assignments.

        Parameters
        ----------
        source : str
        seconds : float
        skip : set of int
            Statements to leave out.
        progress : callable
            Called with the number of each statement before it runs.

        Returns
        -------
        status : {"ok", "error", "timeout"}
        exception : str or None
        index : int or None
            The first statement that failed.
        """
        failed = None
        limit = Limit(seconds)
        try:
            with limit:
                tree, filename = self._parse(source)
        except BaseException as error:
            return *_verdict(error), None
        for index, statement in enumerate(tree.body):
            if index in skip or failed and not isinstance(statement, STILL_RUN):
                continue
            progress(index)
            try:
                with limit:
                    self._run(statement, filename)
            except BaseException as error:
                failed = failed or (*_verdict(error), index)
            limit.seconds = seconds if not failed or failed[0] == "error" else min(seconds, 1.0)
        return failed or ("ok", None, None)

    def execute(self, source):
        """Run a cell's text as it is: for magics, within the cell that has them."""
        tree, filename = self._parse(source)
        for statement in tree.body:
            self._run(statement, filename)

    def _parse(self, source):
        self.count += 1
        filename = f"<cell {self.count}>"
        transformed = self.transform(source)
        try:
            tree = ast.parse(transformed, filename)
        except SyntaxError:
            # From Python 3.12 on, whose tokenizer knows "!", IPython 7 leaves `files = !ls` as it is.
            transformed = self.transform(ASSIGNED.sub(_called, source))
            tree = ast.parse(transformed, filename)
        linecache.cache[filename] = len(transformed), None, transformed.splitlines(True), filename
        return tree, filename

    def _run(self, statement, filename):
        module = ast.Module([statement], [])
        code = compile(module, filename, "exec", self.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        self.flags |= code.co_flags & FUTURES
        if code.co_flags & 0x80:
            import asyncio

            asyncio.run(types.FunctionType(code, self.names)())
        else:
            exec(code, self.names)


def _futures():
    import __future__

    flags = 0
    for name in __future__.all_feature_names:
        flags |= getattr(__future__, name).compiler_flag
    return flags


FUTURES = _futures()


def _leave(*args):
    raise SystemExit


def _transformer():
    """IPython's own transformer of cells; where IPython is not installed, one that blanks magics and commands."""
    try:
        from importlib import import_module

        return import_module("IPython.core.inputtransformer2").TransformerManager().transform_cell
    except Exception:
        return _without_magics


def _called(match):
    """What is assigned from the system's command or a magic, as a call."""
    start, kind, rest = match.groups()
    if kind == "!":
        return f"{start}get_ipython().getoutput({rest!r})"
    return f"{start}get_ipython().magic({rest!r})"


def _without_magics(source):
    lines = source.splitlines()
    first = lines[0].strip() if lines else ""
    if first.startswith("%%"):
        lines[0] = ""
        if first[2:].split(" ")[0] not in BODY_MAGICS:
            return ""
    blanked = []
    for line in lines:
        text = line.lstrip()
        blanked.append(line[: len(line) - len(text)] + "pass" if text.startswith(("%", "!")) else line)
    return "\n".join(blanked) + "\n"


def _verdict(error):
    if isinstance(error, Overtime):
        return "timeout", None
    return "error", _name(error)


def _name(error):
    """Name of the exception's type, or of the nearest base that Python or torch has."""
    for kind in type(error).__mro__:
        module = kind.__module__.split(".")[0]
        if module in ("builtins", "torch", "coursekit"):
            return kind.__name__[:60]
    return "Exception"


# -- questions -------------------------------------------------------------------------------------


class Worker:
    """Answers one question after the other.

    Parameters
    ----------
    channel : wire.Channel
    """

    def __init__(self, channel):
        import torch

        from coursekit.exercises import numbers, subject
        from coursekit.grading import wire
        from coursekit.grading.inside import reference

        self.channel, self.wire, self.subjects, self.torch = channel, wire, subject, torch
        self.reference, self.numbers = reference, numbers
        self.notebook = Notebook()
        self.held = {}
        self.pid = os.getpid()

    def loop(self):
        """Until the grader closes the wire."""
        self.channel.send({"ready": True})
        while True:
            try:
                question = self.channel.receive()
            except self.wire.WireError:
                return
            number = question.pop("id")
            reply = self._reply(question.pop("op"), question, number)
            if self._is_a_fork():
                os._exit(0)
            try:
                self.channel.send({"id": number, **reply})
            except self.wire.Closed:
                return
            except self.wire.WireError:
                self.channel.send({"id": number, "fault": "refused"})

    def _is_a_fork(self):
        """Whether this is a child that a cell has forked: it runs to the cell's end, and says nothing on the wire."""
        return os.getpid() != self.pid

    def _reply(self, op, question, number):
        if op == "numbers":
            self.numbers.update(question["numbers"])
            return {"value": None}
        if op == "run":
            result = self.notebook.run(
                question["cell"],
                question["seconds"],
                set(question["skip"]),
                lambda index: self._is_a_fork() or self.channel.send({"id": number, "at": index}),
            )
            return {"value": result}
        seconds = question.pop("seconds")
        self.reference.calls.clear()
        self.torch.set_grad_enabled(True)
        try:
            with Limit(seconds):
                value = self._answer(op, **question)
            reply = {"value": value}
        except BaseException as error:
            reply = self._fault(error)
        if self.reference.calls:
            return {"fault": "reference"}
        return reply

    def _fault(self, error):
        if isinstance(error, Overtime):
            return {"fault": "timeout"}
        if isinstance(error, _Undefined):
            return {"fault": "undefined"}
        if isinstance(error, self.subjects.NotAnswered):
            return {"fault": "unanswered"}
        if isinstance(error, self.subjects.UnsupportedValue):
            return {"fault": "refused"}
        return {"fault": "error", "type": _name(error)}

    def _answer(self, op, **question):
        names = self.notebook.names
        if op in ("defined", "value", "call", "new", "gradients"):
            name = question.pop("name")
            if name not in names:
                raise _Undefined
            answer = names[name]
            if op in ("defined", "value"):
                if answer is Ellipsis:
                    raise self.subjects.NotAnswered
                return None if op == "defined" else self.subjects.plain(answer)
            subject = self.subjects.Local(answer)
            given = self._given(question["args"]), self._given(question["kwargs"])
            if op == "gradients":
                return subject.gradients(*given, of=question["of"])
            if op == "new":
                return self._hold(subject.new(*given[0], **given[1]))
            return subject(*given[0], **given[1])
        if op == "build":
            return self._hold(self.subjects.Local(None).build(question["layers"], question["tensors"]))
        handle = self.held[question["handle"]]
        if op == "method":
            return handle.method(question["name"], *self._given(question["args"]), **self._given(question["kwargs"]))
        if op == "handle":
            return handle(*self._given(question["args"]), **self._given(question["kwargs"]))
        return {"shapes": handle.shapes, "load": handle.load, "train": handle.train}[op](*question["args"])

    def _hold(self, handle):
        self.held[len(self.held)] = handle
        return self.wire.Held(len(self.held) - 1)

    def _given(self, value):
        if type(value) is self.wire.Held:
            return self.held[value.number]
        if type(value) is list:
            return [self._given(item) for item in value]
        if type(value) is dict:
            return {key: self._given(item) for key, item in value.items()}
        return value


class _Undefined(Exception):
    """The notebook defines no such name."""


# -- starting --------------------------------------------------------------------------------------


def main():
    """See the module's description."""
    descriptor, kind, settings = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    _silence()
    os.environ.update(settings["environment"])
    sys.path[0:0] = [os.path.abspath(os.path.join(OWN_FILE, *[os.pardir] * 4))]
    sys.path += settings["path"]
    sys.argv[:] = ["notebook"]
    sock = socket.socket(fileno=descriptor)
    if kind == "trial":
        _confine(settings, nested=False)
        sock.sendall(b"T")
        os._exit(0)
    _import_first()
    if kind == "template":
        sock = _serve(sock)
    _confine(settings, nested=kind == "template")
    from coursekit.grading import wire

    Worker(wire.Channel(sock, held=True)).loop()
    os._exit(0)


def _silence():
    """Standard streams to nowhere, so that no flood of output costs anyone memory."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    if null > 2:
        os.close(null)


def _import_first():
    import numpy
    import torch

    import coursekit.exercises.subject
    import coursekit.grading.wire

    torch.set_num_threads(1)
    _transformer()
    return coursekit, numpy


def _import(names):
    """What the class's notebooks were seen to import, once for all that follow."""
    from importlib import import_module

    for name in names:
        try:
            import_module(name)
        except Exception:
            continue


def _confine(settings, nested):
    from coursekit.grading.inside import confine

    limits = settings["limits"]
    if sys.platform == "linux":
        if nested:
            confine.mount_own(limits["folder"])
        os.chdir(settings["environment"]["HOME"])
        if settings["mode"] == "bwrap":
            confine.drop_capabilities()
        confine.no_new_privileges()
    confine.set_limits(limits["memory"], limits["processes"], limits["file"], limits["processor"])
    if sys.platform == "linux" and settings["mode"] != "none":
        confine.filter_system_calls()


def _serve(control):
    """The template: fork a child for each request. Returns in the child only, with its own socket."""
    from coursekit.grading.inside import confine

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    control.sendall(b"T")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
        if not message:
            os._exit(0)
        _import(json.loads(message))
        if os.fork() == 0:
            control.close()
            return _become_student(socket.socket(fileno=descriptors[0]), confine)
        os.close(descriptors[0])


def _become_student(sock, confine):
    """In a child of the template: new namespaces, and in them a first process, whose pidfd the grader gets."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    confine.new_namespaces()
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        pidfd = os.pidfd_open(child)
        sock.sendmsg([b"P"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [pidfd]))])
        os._exit(0)
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)
    return sock


if __name__ == "__main__":
    try:
        main()
    except Exception:
        os._exit(3)
