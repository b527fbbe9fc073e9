r"""Convolutions as matrices: small, exact, and slow on purpose.

As in PyTorch, a convolution here does not flip its kernel:
:math:`y_i = \sum_t w_t\, x_{s i + t - p}` with kernel size k, stride s and padding p, where x counts as 0 outside
its ends. Book: ``eq-convolution``, ``eq-transposed-convolution``, ``thm-transposed-convolution``.
"""

import itertools
import math

import torch

__all__ = [
    "convolution_matrix",
    "convolution_size",
    "overlap_counts",
    "phase_means",
    "sizes_before",
    "transposed_size",
]


def convolution_size(n, kernel_size, stride=1, padding=0):
    r"""Length of a convolution's output: :math:`\lfloor (n + 2p - k) / s \rfloor + 1`.

    Book: ``thm-convolution-sizes``.

    Parameters
    ----------
    n, kernel_size, stride : int
        Length of the input, of the kernel, and the step between two windows, at least 1.
    padding : int
        Zeros added at each end, at least 0.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        A setting out of range, or a kernel longer than the padded input.
    """
    _check(kernel_size, stride, padding, n=n)
    if kernel_size > n + 2 * padding:
        raise ValueError(f"a kernel of {kernel_size} does not fit into {n} values and {padding} zeros at each end")
    return (n + 2 * padding - kernel_size) // stride + 1


def transposed_size(m, kernel_size, stride=1, padding=0, output_padding=0):
    r"""Length of a transposed convolution's output: :math:`(m - 1) s + k - 2p + r`, with r = `output_padding`.

    Book: ``thm-convolution-sizes``.

    Parameters
    ----------
    m : int
        Length of its input.
    kernel_size, stride, padding : int
        Those of the convolution that it is the transpose of.
    output_padding : int
        From 0 to stride - 1.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        A setting out of range, or a padding that leaves nothing.
    """
    _check(kernel_size, stride, padding, m=m)
    if not 0 <= output_padding < stride:
        raise ValueError(f"output_padding must lie in 0 to stride - 1 = {stride - 1}, got {output_padding}")
    size = (m - 1) * stride + kernel_size - 2 * padding + output_padding
    if size < 1:
        raise ValueError(f"a padding of {padding} leaves nothing of the {size + 2 * padding} values")
    return size


def sizes_before(m, kernel_size, stride=1, padding=0):
    """All lengths that a convolution turns into `m`: as many as the stride, one after the other.

    Book: ``thm-convolution-sizes``. Parameters as for :func:`transposed_size`.

    Returns
    -------
    range
        Of positive lengths; the i-th is that of ``output_padding=i``.
    """
    first = transposed_size(m, kernel_size, stride, padding)
    return range(first, first + stride)


def convolution_matrix(kernel, input_shape, stride=1, padding=0):
    r"""The matrix A of a convolution: ``A @ x.flatten()`` is ``conv(x).flatten()``.

    Its transpose is the matrix of the transposed convolution with the same kernel, stride and padding, and with
    the ``output_padding`` that gives back `input_shape`. Book: ``eq-convolution``, ``thm-transposed-convolution``.

    Parameters
    ----------
    kernel : Tensor (C_out, C_in, *k)
        As in ``torch.nn.functional.conv1d`` and ``conv2d``, with any number of axes.
    input_shape : sequence of int
        (C_in, *n) of one input.
    stride, padding : int
        The same along every axis.

    Returns
    -------
    Tensor (C_out * m_1 * m_2 ..., C_in * n_1 * n_2 ...)
        Of the kernel's dtype. Each row is a window: the kernel where the window lies, and 0 elsewhere.

    Raises
    ------
    ValueError
        A shape that does not fit, or a setting out of range.
    """
    kernel = torch.as_tensor(kernel)
    c_in, *n = input_shape
    if kernel.ndim != len(input_shape) + 1 or kernel.shape[1] != c_in:
        raise ValueError(f"a kernel {tuple(kernel.shape)} does not fit an input {tuple(input_shape)}")
    c_out, _, *k = kernel.shape
    m = [convolution_size(*sizes, stride, padding) for sizes in zip(n, k, strict=True)]
    matrix = kernel.new_zeros(c_out, *m, c_in, *n)
    for i in itertools.product(*map(range, m)):  # a window
        for t in itertools.product(*map(range, k)):  # a tap of the kernel
            position = tuple(stride * i_axis + t_axis - padding for i_axis, t_axis in zip(i, t, strict=True))
            if all(0 <= p < size for p, size in zip(position, n, strict=True)):
                matrix[(slice(None), *i, slice(None), *position)] = kernel[(slice(None), slice(None), *t)]
    return matrix.reshape(c_out * math.prod(m), c_in * math.prod(n))


def overlap_counts(m, kernel_size, stride=1, padding=0, output_padding=0):
    """How many inputs reach each output of a transposed convolution along one axis.

    On an image the counts of the two axes multiply. Book: ``thm-overlap-counts``.

    Parameters
    ----------
    m, kernel_size, stride, padding, output_padding : int
        As for :func:`transposed_size`.

    Returns
    -------
    Tensor (n,), int64
    """
    size = transposed_size(m, kernel_size, stride, padding, output_padding)
    counts = torch.zeros(size, dtype=torch.int64)
    for i in range(m):
        start = i * stride - padding
        counts[max(start, 0) : max(start + kernel_size, 0)] += 1
    return counts


def phase_means(images, period=2):
    """Mean of each phase: of the pixels whose row and column leave the same remainders on division by `period`.

    Where these means differ, an image has a pattern of that period: a checkerboard. Book: ``eq-phase-means``.

    Parameters
    ----------
    images : Tensor (..., H, W)
        Both sides multiples of `period`.
    period : int

    Returns
    -------
    Tensor (..., period, period)

    Raises
    ------
    ValueError
        Sides that are not multiples of `period`.
    """
    height, width = images.shape[-2:]
    if period < 1 or height % period or width % period:
        raise ValueError(f"sides must be multiples of the period {period}, got {height} x {width}")
    return images.unflatten(-1, (-1, period)).unflatten(-3, (-1, period)).mean((-4, -2))


def _check(kernel_size, stride, padding, **lengths):
    for name, value in {"kernel_size": kernel_size, "stride": stride, **lengths}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if padding < 0:
        raise ValueError(f"padding must be at least 0, got {padding}")
