"""Exact statements about distributions, computed rather than estimated."""

from coursekit.theory import divergences, gaussian_classes
from coursekit.theory.divergences import jensen_shannon, kl_divergence
from coursekit.theory.gaussian_classes import shared_covariance_posterior

__all__ = ["divergences", "gaussian_classes", "jensen_shannon", "kl_divergence", "shared_covariance_posterior"]
