"""One set of digits in two colourings, each the negative of the other: a translation whose truth is known."""

import torch
from torch.nn import functional

from coursekit.data import embedded

SIDE = 32
HUES = (0.0, 60.0)  # of the ink in X, in degrees: class 0 is red, class 9 yellow
SATURATION, BRIGHTNESS, GROUND = 0.9, 0.55, 0.95


def coloured_digits(split):
    """Scikit-learn's handwritten digits as dark, warm ink on light ground, and as light, cool ink on dark ground.

    Each digit of 8 x 8 pixels gets a margin of one pixel and is enlarged to 32 x 32 by bicubic interpolation. In X, ink
    of class c has the hue 60 c / 9 degrees: from red for 0 to yellow for 9. Y is the negative, ``255 - x`` in every
    pixel and channel, so its ink has the opposite hue: from cyan for 0 to blue for 9. This is the truth that a
    translation between the two can be scored against. The hue is a function of the class, and so of the shape: hue and
    shape together tell the true translation from one that swaps hues.

    Training sets share no digit: those of each class go to X and to Y in turn. Test sets are aligned: row i of both is
    the same digit.

    Parameters
    ----------
    split : {"train", "test"}
        The same digits are test images as in `coursekit.data.embedded.digits`.

    Returns
    -------
    x, y : tuple of torch.Tensor
        Images, uint8, (N, 3, 32, 32), and labels, int64, (N,). N is 721 for X and 716 for Y when training, 360 for
        both when testing.
    """
    ink, labels = embedded.enlarged_digits(split, SIDE)
    warm = (_coloured(ink, labels) * 255).round().to(torch.uint8)
    if split == "test":
        return (warm, labels), (255 - warm, labels.clone())
    first = _every_other_of_each_class(labels)
    return (warm[first], labels[first]), (255 - warm[~first], labels[~first])


def _coloured(ink, labels):
    """Ground where `ink`, (N, 1, H, W) in [0, 1], is 0, and the colour of its class where it is 1."""
    low, high = HUES
    hue = low + (high - low) * labels / 9
    # Between red and yellow the hue is green's share of what saturation leaves between the brightest and the darkest.
    darkest = BRIGHTNESS * (1 - SATURATION)
    red, blue = torch.full_like(hue, BRIGHTNESS), torch.full_like(hue, darkest)
    green = darkest + (BRIGHTNESS - darkest) * hue / 60
    colour = torch.stack([red, green, blue], dim=1)[:, :, None, None]
    return GROUND + ink * (colour - GROUND)


def _every_other_of_each_class(labels):
    """True for the first, third, fifth, ... of each class."""
    one_hot = functional.one_hot(labels)
    rank = one_hot.cumsum(dim=0).gather(1, labels[:, None]).squeeze(1)
    return rank % 2 == 1
