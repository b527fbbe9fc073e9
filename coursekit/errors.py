"""Errors and warnings for what can go wrong though the arguments are right.

An argument that cannot be, such as a negative size, an unknown choice or a tensor of another shape, raises Python's own
``ValueError`` or ``TypeError``.
"""


class CoursekitError(Exception):
    """Base of these errors: one ``except`` for all that data, devices, files, training and submissions can do."""


class DataUnavailable(CoursekitError):
    """A data set is not on disk, or is damaged there, and could not be downloaded."""


class TrainingDiverged(CoursekitError):
    """A loss became NaN or infinite; the message names the step and the loss."""


class OutOfMemory(CoursekitError):
    """The device has no memory left for a training step or a prediction; the message names what to lower."""


class ProcessLost(CoursekitError):
    """Another process of the same run has ended in the middle of it."""


class CheckpointError(CoursekitError):
    """A checkpoint is damaged, foreign, or does not fit the trainer that reads it."""


class ExportError(CoursekitError):
    """A model could not be written as ONNX, or what was written would not compute the same."""


class OfflineFallbackWarning(UserWarning):
    """An embedded data set stands in for one that is not available."""


class SkippedFilesWarning(UserWarning):
    """A folder of images holds files that cannot be used; the message names them."""


def require_choice(name, value, choices):
    """Raise a ValueError that lists `choices` unless `value` is one of them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
