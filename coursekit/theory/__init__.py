"""Exact statements about distributions, computed rather than estimated."""

from coursekit.theory import dirac_gan, divergences, gan, gaussian_classes, translation
from coursekit.theory.divergences import jensen_shannon, kl_divergence
from coursekit.theory.gan import (
    criterion,
    exponentiated_gradient_step,
    generator_gradient,
    non_saturating_criterion,
    optimal_discriminator,
    value,
    wasserstein_1,
)
from coursekit.theory.gaussian_classes import shared_covariance_posterior

__all__ = [
    "criterion",
    "dirac_gan",
    "divergences",
    "exponentiated_gradient_step",
    "gan",
    "gaussian_classes",
    "generator_gradient",
    "jensen_shannon",
    "kl_divergence",
    "non_saturating_criterion",
    "optimal_discriminator",
    "shared_covariance_posterior",
    "translation",
    "value",
    "wasserstein_1",
]
