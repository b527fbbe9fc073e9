"""Measures of models and samples: pure functions of tensors, no training."""

from coursekit.metrics.classification import accuracy, calibration_bins, expected_calibration_error

__all__ = ["accuracy", "calibration_bins", "expected_calibration_error"]
