"""Measures of models and samples: pure functions of tensors, no training."""

from coursekit.metrics.classification import accuracy, calibration_bins, expected_calibration_error
from coursekit.metrics.latent import active_units, kl_per_dimension

__all__ = ["accuracy", "active_units", "calibration_bins", "expected_calibration_error", "kl_per_dimension"]
