"""Data sets that come with an installed package and need no network."""

import numpy as np
import torch
from torch.nn import functional

EMBEDDED = ("digits", "digits_8x8")


def digits(split):
    """Scikit-learn's 1,797 handwritten digits, enlarged from 8 x 8 to 28 x 28.

    A margin of one pixel goes around each digit, as the strokes touch the edge and MNIST's do not; then 0 to 16 become
    0 to 255 by bicubic interpolation. Put in order of class, every fifth image is a test image: 360 for testing, 1,437
    for training, the same share of every class, and no random numbers.

    Parameters
    ----------
    split : {"train", "test"}

    Returns
    -------
    images : torch.Tensor
        uint8, (N, 1, 28, 28), in [0, 255].
    labels : torch.Tensor
        int64, (N,).

    References
    ----------
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
    (the test part; CC BY 4.0).
    """
    large, labels = enlarged_digits(split, 28)
    return _to_bytes(large), labels


def digits_8x8(split):
    """Scikit-learn's 1,797 handwritten digits as they are, 8 x 8 pixels.

    0 to 16 become 0 to 255. The same images are test images as in `digits`.

    Parameters
    ----------
    split : {"train", "test"}

    Returns
    -------
    images : torch.Tensor
        uint8, (N, 1, 8, 8), in [0, 255].
    labels : torch.Tensor
        int64, (N,).
    """
    small, labels = _original_digits(split)
    return _to_bytes(small), labels


def enlarged_digits(split, side):
    """Digits with a margin of one of their pixels, enlarged: float32, (N, 1, side, side), in [0, 1], and labels."""
    small, labels = _original_digits(split)
    large = functional.interpolate(
        functional.pad(small, (1, 1, 1, 1)), size=(side, side), mode="bicubic", align_corners=False
    )
    return large.clamp(0, 1), labels


def _original_digits(split):
    """float32 (N, 1, 8, 8) in [0, 1], and labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    is_test = np.zeros(len(bunch.target), dtype=bool)
    is_test[np.argsort(bunch.target, kind="stable")[::5]] = True
    chosen = is_test if split == "test" else ~is_test
    small = torch.from_numpy(bunch.images[chosen]).to(torch.float32).unsqueeze(1) / 16
    return small, torch.from_numpy(bunch.target[chosen]).to(torch.int64)


def _to_bytes(images):
    return images.clamp(0, 1).mul(255).round().to(torch.uint8)
