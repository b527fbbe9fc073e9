"""Measures of models and samples: pure functions of tensors, no training."""

from coursekit.metrics.classification import accuracy, calibration_bins, expected_calibration_error
from coursekit.metrics.latent import active_units, kl_per_dimension
from coursekit.metrics.representation import hoyer_sparsity, linear_probe_accuracy, relative_sensitivity

__all__ = [
    "accuracy",
    "active_units",
    "calibration_bins",
    "expected_calibration_error",
    "hoyer_sparsity",
    "kl_per_dimension",
    "linear_probe_accuracy",
    "relative_sensitivity",
]
