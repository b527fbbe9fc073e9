"""Image files of any common kind as RGB of 8 bits."""

import warnings
from contextlib import contextmanager

import numpy as np

# What Pillow reads by itself: some of its other formats start programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
MOST_PIXELS = 64_000_000


def decode_rgb(file):
    """Decode the first picture of an image file.

    Turned as its EXIF tag says. Grey values are repeated in red, green and blue, palettes looked up, transparent parts
    laid on white, CMYK converted, and 16-bit grey divided by 257 and rounded.

    Parameters
    ----------
    file : path-like or binary file
        JPEG, PNG, WebP, BMP, GIF, TIFF, PPM or PGM, judged by content and not by name.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read or decoded whole, has more than 64 million pixels, or holds values that have no
        fixed range (floats, 32-bit integers); the message says which, without the name of the file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"has {image.width} x {image.height} pixels, too many")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except (FileNotFoundError, ValueError):
        raise
    except UnidentifiedImageError:
        raise ValueError("is not an image of a known format") from None
    except Image.DecompressionBombError:
        raise ValueError("has too many pixels") from None
    # On damaged files Pillow raises whatever it stumbles over: OSError, SyntaxError, struct.error, EOFError, ...
    except Exception as error:
        raise ValueError(f"cannot be decoded ({getattr(error, 'strerror', None) or error})") from None


@contextmanager
def quiet_pillow():
    """Within this block Pillow's warnings of odd but readable files are not shown. For the main thread only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def _to_rgb(image):
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray(_scaled_to_bytes(np.asarray(image))).convert("RGB")
    if image.mode == "F":
        raise ValueError("holds floats, whose range is not known")
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _scaled_to_bytes(values):
    """Of 16-bit values, as Pillow gives them: in int32 for some files."""
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("holds 32-bit integers, whose range is not known")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
