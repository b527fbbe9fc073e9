"""Modules beside the tests that several of them use."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _beside(name):
    """The module in ``name.py`` (or the package ``name``) beside this file."""
    if name not in sys.modules:
        path = Path(__file__).with_name(name)
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=[str(path.parent)])
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def toy():
    """A small assignment, and a session without a sandbox."""
    return _beside("_toy")
