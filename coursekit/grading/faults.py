"""What can go wrong with an answer, as exceptions of the grader's own."""

from coursekit.errors import CoursekitError

__all__ = [
    "CallTimeout",
    "CallsReference",
    "Fault",
    "NotDefined",
    "RefusedValue",
    "SandboxKilled",
    "SandboxUnavailable",
    "StudentError",
]


class SandboxUnavailable(CoursekitError):
    """No sandbox can be started on this machine: the grader's trouble, not the student's."""


class Fault(CoursekitError):
    """Base of what an answer can do instead of giving a value."""


class NotDefined(Fault):
    """The notebook defines no such name."""


class StudentError(Fault):
    """The answer raised; `type_name` is the exception's type, one of Python's or torch's own, or ``Exception``."""

    def __init__(self, type_name):
        super().__init__(type_name)
        self.type_name = type_name


class CallTimeout(Fault):
    """The answer took longer than its limit."""


class SandboxKilled(Fault):
    """The sandbox died, broke its limits or the wire's rules, and was killed."""


class RefusedValue(Fault):
    """What came back is not a value that a task can ask for; `reason` says why, in the grader's words."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class CallsReference(Fault):
    """The answer called coursekit's own implementation of what was asked."""
