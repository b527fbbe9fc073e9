"""A generator on the line whose density is known exactly."""

import math

import torch
from torch import nn

from coursekit.errors import require_choice

__all__ = ["MonotoneGenerator"]

NOISES = ("uniform", "normal")
_HALF_WIDTH = math.sqrt(3)  # uniform noise of variance 1 lies within this of 0
_REACH = 2.5  # the first steps stand within this of 0, where nearly all noise is
_BISECTIONS = 64  # leave 5e-20 of the first interval: less than float64 can tell apart


class MonotoneGenerator(nn.Module):
    r"""Strictly increasing map of the line, z (N, 1) -> x (N, 1): G of a one-dimensional GAN.

    .. math:: g(z) = b + e^{s} z + \sum_j e^{a_j} \tanh\bigl(e^{r_j} (z - c_j)\bigr)

    Every term increases in z, so g has an inverse on the whole line, and a derivative that is written
    down, not estimated. The density of x = g(z) follows by change of variables, for any z of known
    density. Book: ``eq-monotone-generator``, ``thm-change-of-variables``.

    Parameters
    ----------
    units : int
        Steps that the map can bend with.
    shift, scale : float
        The map starts near x = shift + scale · z; scale is positive.

    Raises
    ------
    ValueError
        `units` is not a positive whole number, or `scale` is not positive and finite.

    Notes
    -----
    On the line nothing is lost by "increasing": F_x⁻¹(F_z(z)) increases, and turns z with distribution
    function F_z into x with F_x, whatever the two densities are.
    """

    def __init__(self, units=8, shift=0.0, scale=1.0):
        super().__init__()
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise ValueError(f"units must be a positive whole number, got {units!r}")
        if not (0 < scale < math.inf and math.isfinite(shift)):
            raise ValueError(f"scale must be positive and shift finite, got scale {scale!r} and shift {shift!r}")
        gap = 2 * _REACH / units  # between neighbouring centres
        self.bias = nn.Parameter(torch.tensor(float(shift)))
        # Half of the slope from the straight term, half from the steps, which at 1/gap add up to nearly a line.
        self.log_slope = nn.Parameter(torch.tensor(math.log(scale / 2)))
        self.log_height = nn.Parameter(torch.full((units,), math.log(scale / 2 * gap / 2)))
        self.log_steepness = nn.Parameter(torch.full((units,), -math.log(gap)))
        self.centre = nn.Parameter(gap * (torch.arange(units) + 0.5) - _REACH)

    def forward(self, z):
        """x = g(z), (N, 1), in the precision of z and of the parameters."""
        return self._map(_column("z", z), self._terms())

    def derivative(self, z):
        """g'(z) > 0, (N, 1): exact, and differentiable in the parameters."""
        return self._slope(_column("z", z), self._terms())

    @torch.no_grad()
    def inverse(self, x):
        """The z with g(z) = x, by bisection.

        Parameters
        ----------
        x : Tensor, (N, 1)
            Finite numbers.

        Returns
        -------
        Tensor, (N, 1), float64

        Raises
        ------
        ValueError
            x is not a column of finite numbers.
        """
        x = _column("x", x).double()
        if not x.isfinite().all():
            raise ValueError("x must be finite")
        terms = self._terms(torch.float64)
        bias, slope, height, _, _ = terms
        reach = height.sum()  # of the tanh terms together: the line through them bounds g on both sides
        low, high = (x - bias - reach) / slope, (x - bias + reach) / slope
        for _ in range(_BISECTIONS):
            middle = low + (high - low) / 2
            below = self._map(middle, terms) < x
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return low + (high - low) / 2

    @torch.no_grad()
    def density(self, x, noise="uniform"):
        r"""Density of g(z) at x, by change of variables.

        .. math:: p_g(x) = \frac{p_z(z)}{g'(z)}, \qquad z = g^{-1}(x)

        Parameters
        ----------
        x : Tensor, (N,) or (N, 1)
            Where to evaluate, such as a grid.
        noise : {"uniform", "normal"}
            Of mean 0 and variance 1: uniform on [-√3, √3], or standard normal.

        Returns
        -------
        Tensor, shape of `x`, float64

        Raises
        ------
        ValueError
            Unknown noise, or x that is not finite or of another shape.

        Notes
        -----
        Computed in float64 whatever the parameters are: where g is steep, z moves less than float32 can
        tell from one point of a grid to the next.
        """
        require_choice("noise", noise, NOISES)
        column = _column("x", x[:, None] if isinstance(x, torch.Tensor) and x.ndim == 1 else x)
        z = self.inverse(column)
        if noise == "uniform":
            p_z = (z.abs() <= _HALF_WIDTH).double() / (2 * _HALF_WIDTH)
        else:
            p_z = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
        return (p_z / self._slope(z, self._terms(torch.float64))).view(x.shape)

    def _terms(self, dtype=None):
        """Bias, slope, heights, steepness and centres of the formula."""
        parameters = self.bias, self.log_slope, self.log_height, self.log_steepness, self.centre
        bias, log_slope, log_height, log_steepness, centre = (p if dtype is None else p.to(dtype) for p in parameters)
        return bias, log_slope.exp(), log_height.exp(), log_steepness.exp(), centre

    @staticmethod
    def _map(z, terms):
        bias, slope, height, steepness, centre = terms
        steps = height * torch.tanh(steepness * (z - centre))  # (N, units)
        return bias + slope * z + steps.sum(1, keepdim=True)

    @staticmethod
    def _slope(z, terms):
        _, slope, height, steepness, centre = terms
        # 1 - tanh², which would round to 0 far from the centre, as 4 σ(2u) σ(-2u).
        u = steepness * (z - centre)
        return slope + (height * steepness * 4 * torch.sigmoid(2 * u) * torch.sigmoid(-2 * u)).sum(1, keepdim=True)


def _column(name, values):
    if not isinstance(values, torch.Tensor) or values.ndim != 2 or values.shape[1] != 1:
        shape = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
        raise ValueError(f"{name} must be a tensor of shape (N, 1), got {shape}")
    return values
