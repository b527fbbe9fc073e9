"""An answer in a sandbox, as a probe sees it: the twin of `coursekit.exercises.subject.Local`, across the wire.

Calls, objects, parameters and gradients all stay inside; inputs go in, values come out, and they are compared outside.
"""

__all__ = ["Remote", "RemoteHandle"]


class Remote:
    """The answer called `name` in a session.

    Parameters
    ----------
    session : coursekit.grading.session.Session
    name : str

    Raises
    ------
    NotAnswered, Fault
        From every call: see `coursekit.grading.faults`.
    """

    def __init__(self, session, name):
        self._session, self._name = session, name

    def __call__(self, *args, **kwargs):
        return self._session.ask("call", name=self._name, args=_pass(args), kwargs=_pass(kwargs))

    def new(self, *args, **kwargs):
        """Construct the class, or call the factory; what it makes stays inside."""
        return self._handle("new", name=self._name, args=_pass(args), kwargs=_pass(kwargs))

    def build(self, layers, tensors=None):
        """An ``nn.Sequential``, as of `coursekit.exercises.subject.Local.build`."""
        return self._handle("build", layers=layers, tensors=tensors)

    def gradients(self, args, kwargs=None, of=()):
        """Value and gradients, as of `coursekit.exercises.subject.Local.gradients`."""
        args, kwargs = _pass(tuple(args)), _pass(kwargs or {})
        return self._session.ask("gradients", name=self._name, args=args, kwargs=kwargs, of=list(of))

    def _handle(self, op, **question):
        held = self._session.ask(op, **question)
        return RemoteHandle(self._session, held, self._session.generation)


class RemoteHandle:
    """An object inside; gone when its sandbox was killed."""

    def __init__(self, session, held, generation):
        self._session, self._held, self._generation = session, held, generation

    def __call__(self, *args, **kwargs):
        return self._ask("handle", args=_pass(args), kwargs=_pass(kwargs))

    def method(self, name, *args, **kwargs):
        """Call a public method of the object."""
        return self._ask("method", name=name, args=_pass(args), kwargs=_pass(kwargs))

    def shapes(self):
        """Shapes of the module's parameters, then of its buffers, in their order."""
        return self._ask("shapes", args=[])

    def load(self, tensors):
        """Set the module's parameters, then its buffers, in their order."""
        self._ask("load", args=[list(tensors)])

    def train(self, mode):
        """Switch the module to training (True) or evaluation (False)."""
        self._ask("train", args=[bool(mode)])

    def held(self):
        """What stands for the object on the wire."""
        self._session.require(self._generation)
        return self._held

    def _ask(self, op, **question):
        return self._session.ask(op, handle=self.held().number, **question)


def _pass(value):
    if isinstance(value, RemoteHandle):
        return value.held()
    if isinstance(value, (list, tuple)):
        return [_pass(item) for item in value]
    if isinstance(value, dict):
        return {key: _pass(item) for key, item in value.items()}
    return value
