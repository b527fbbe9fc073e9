"""Measures of models and samples: pure functions of tensors, no training."""

from coursekit.metrics.classification import accuracy, calibration_bins, expected_calibration_error
from coursekit.metrics.latent import active_units, kl_per_dimension
from coursekit.metrics.parzen import SIGMAS, ParzenResult, parzen_log_likelihood, parzen_protocol, select_sigma
from coursekit.metrics.representation import hoyer_sparsity, linear_probe_accuracy, relative_sensitivity

__all__ = [
    "ParzenResult",
    "SIGMAS",
    "accuracy",
    "active_units",
    "calibration_bins",
    "expected_calibration_error",
    "hoyer_sparsity",
    "kl_per_dimension",
    "linear_probe_accuracy",
    "parzen_log_likelihood",
    "parzen_protocol",
    "relative_sensitivity",
    "select_sigma",
]
