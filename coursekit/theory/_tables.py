"""What every function of two distributions does first: check them. Tables, or densities on a grid with weights."""

import numpy as np
import torch

# A table may miss 1 by rounding; a density on a grid taken for a table misses it by far more.
TABLE_TOLERANCE = 1e-3
# A grid may miss 1 by quadrature; a density that runs off the grid, or is no density, misses it by more.
GRID_TOLERANCE = 1e-2


def checked_pair(p, q, weights=None, names=("p", "q")):
    """Two distributions of one shape and precision, and their weights (1 for tables), or a ValueError."""
    p, q = real_tensor(names[0], p), real_tensor(names[1], q)
    check_shapes(p, q, names)
    if is_table := weights is None:
        weights = 1.0
    weights = real_tensor("weights", weights).to(p.device)
    if weights.ndim and weights.shape != p.shape:
        raise ValueError(f"weights must be one number or of shape {tuple(p.shape)}, got {tuple(weights.shape)}")
    dtype = torch.promote_types(p.dtype, q.dtype)
    p, q, weights = p.to(dtype), q.to(dtype), weights.to(dtype)
    for name, density in zip(names, (p, q), strict=True):
        total = (weights * density).sum().item()
        if is_table and abs(total - 1) > TABLE_TOLERANCE:
            raise ValueError(
                f"{name} is a table of probabilities but sums to {total:.6g}; for densities on a grid pass weights="
            )
        if abs(total - 1) > GRID_TOLERANCE:
            raise ValueError(
                f"{name} is a density on a grid but integrates to {total:.6g} with these weights; "
                "is the grid too narrow or too coarse?"
            )
    return p, q, weights


def check_shapes(p, q, names):
    if p.shape != q.shape or p.ndim == 0 or p.numel() == 0:
        raise ValueError(
            f"{names[0]} and {names[1]} must be tables of the same shape, got {tuple(p.shape)} and {tuple(q.shape)}"
        )


def integrate(integrand, weights):
    # A point of weight 0 counts for nothing, even where the integrand is infinite.
    return torch.where(weights > 0, weights * integrand, 0).sum()


def real_tensor(name, values):
    """A finite, non-negative floating-point tensor."""
    values = float_tensor(values)
    if not ((values >= 0) & values.isfinite()).all():
        raise ValueError(f"{name} must be finite and at least 0 everywhere")
    return values


def float_tensor(values):
    """Tensors and arrays keep their precision; lists and whole numbers count as float64."""
    exact = isinstance(values, (torch.Tensor, np.ndarray, np.generic))
    values = torch.as_tensor(values, dtype=None if exact else torch.float64)
    return values if values.is_floating_point() else values.to(torch.float64)
