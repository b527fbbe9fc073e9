"""Companion package of the course: data, networks, losses, exact theory, trainers, metrics and plots.

Importing this module costs nothing: subpackages, and with them torch, load on first use.
"""

from importlib import import_module

_SUBMODULES = (
    "checkpoints",
    "data",
    "errors",
    "evaluation",
    "exercises",
    "export",
    "losses",
    "metrics",
    "museum",
    "networks",
    "plots",
    "roofline",
    "theory",
    "trainers",
)

__all__ = [*_SUBMODULES, "__version__"]


def __getattr__(name):
    if name in _SUBMODULES:
        return import_module(f"coursekit.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("coursekit")
    raise AttributeError(f"module 'coursekit' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
