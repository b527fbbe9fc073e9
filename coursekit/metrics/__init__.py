"""Measures of models and samples: pure functions of tensors, no training."""

from coursekit.metrics.binary_parzen import binary_parzen_log_likelihood
from coursekit.metrics.classification import accuracy, calibration_bins, expected_calibration_error
from coursekit.metrics.coverage import class_coverage, mode_coverage
from coursekit.metrics.distances import (
    frechet_distance,
    frechet_distance_of,
    memorisation_ratio,
    nearest_neighbours,
    precision_recall,
)
from coursekit.metrics.latent import active_units, kl_per_dimension
from coursekit.metrics.parzen import SIGMAS, ParzenResult, parzen_log_likelihood, parzen_protocol, select_sigma
from coursekit.metrics.representation import hoyer_sparsity, linear_probe_accuracy, relative_sensitivity
from coursekit.metrics.scores import classifier_score
from coursekit.metrics.translation import ColourMatching, paired_error, retrieval_accuracy

__all__ = [
    "ColourMatching",
    "ParzenResult",
    "SIGMAS",
    "accuracy",
    "active_units",
    "binary_parzen_log_likelihood",
    "calibration_bins",
    "class_coverage",
    "classifier_score",
    "expected_calibration_error",
    "frechet_distance",
    "frechet_distance_of",
    "hoyer_sparsity",
    "kl_per_dimension",
    "linear_probe_accuracy",
    "memorisation_ratio",
    "mode_coverage",
    "nearest_neighbours",
    "paired_error",
    "parzen_log_likelihood",
    "parzen_protocol",
    "precision_recall",
    "relative_sensitivity",
    "retrieval_accuracy",
    "select_sigma",
]
