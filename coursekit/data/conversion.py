"""From pixels at rest to floats, and to black and white."""

from dataclasses import replace

import torch


def to_float(images, range="unit"):
    """Convert pixels to floats.

    Parameters
    ----------
    images : torch.Tensor
        uint8, in [0, 255].
    range : {"unit", "signed"}
        ``"unit"``: [0, 1], for likelihood models. ``"signed"``: [-1, 1], for tanh generators.

    Returns
    -------
    torch.Tensor
        float32, same shape and device.

    Raises
    ------
    TypeError
        If `images` is not a uint8 tensor; floats are not scaled twice.
    ValueError
        If `range` is unknown.
    """
    if range not in ("unit", "signed"):
        raise ValueError(f'range must be "unit" or "signed", not {range!r}')
    if not isinstance(images, torch.Tensor) or images.dtype != torch.uint8:
        raise TypeError(f"images must be a uint8 tensor, not {getattr(images, 'dtype', type(images).__name__)}")
    x = images.to(torch.float32)
    return x.div_(255) if range == "unit" else x.div_(127.5).sub_(1)


def binarize(image_set, seed=None):
    """Make every pixel 0 or 255.

    Parameters
    ----------
    image_set : ImageSet
    seed : int, optional
        None: a pixel becomes 255 when its value is above 0.5 in [0, 1]. An integer: it becomes 255 with probability
        pixel / 255, drawn once with this seed.

    Returns
    -------
    ImageSet
        A new set; its ``source`` says how it was binarised.

    References
    ----------
    Drawing each pixel once follows R. Salakhutdinov and I. Murray, "On the quantitative analysis of deep belief
    networks", ICML 2008. They fix one draw for all; here the seed fixes it.
    """
    images = image_set.images
    if seed is None:
        bright, how = images > 127, "threshold"
    else:
        generator = torch.Generator().manual_seed(seed)
        # For u uniform on {0, ..., 254}, P(u < pixel) is pixel / 255 exactly.
        u = torch.randint(0, 255, images.shape, dtype=torch.uint8, generator=generator)
        bright, how = images > u.to(images.device), f"seed {seed}"
    return replace(image_set, images=bright.to(torch.uint8).mul_(255), source=f"{image_set.source}, binarised ({how})")
