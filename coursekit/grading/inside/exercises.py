"""Stand-in for ``coursekit.exercises`` inside the sandbox: numbers of the trusted student, and nothing else.

Every chapter and every task is there, and does nothing: no expected value, no misconception, no answer.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

numbers = {}


class Nothing:
    """Takes every call, attribute and loop, and gives nothing."""

    def __call__(self, *args, **kwargs):
        return None

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()

    def __iter__(self):
        return iter(())

    def __len__(self):
        return 0

    def __getitem__(self, key):
        return Nothing()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return False


def _start(*args, **kwargs):
    return dict(numbers)


class _Chapter(ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "numbers":
            return dict(numbers)
        made = _start if name == "start" else Nothing()
        setattr(self, name, made)
        return made


class _Finder:
    """Finds every ``coursekit.exercises.NAME`` that has no file."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("coursekit.exercises.") and name.count(".") == 2:
            return ModuleSpec(name, _Finder)
        return None

    @staticmethod
    def create_module(spec):
        return _Chapter(spec.name)

    @staticmethod
    def exec_module(module):
        module.assignment = module


sys.meta_path.append(_Finder)


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    from importlib import import_module

    return import_module(f"{__name__}.{name}")
