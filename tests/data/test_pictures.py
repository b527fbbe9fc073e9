import io

import numpy as np
import pytest
from PIL import Image

from coursekit.data import pictures
from coursekit.data.pictures import decode_rgb

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def file_of(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    content.seek(0)
    return content


def decoded(file):
    picture = decode_rgb(file)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def rgb():
    return Image.fromarray(np.stack([RAMP, RAMP[::-1], RAMP.T], axis=2))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_comes_back_as_it_is(kind):
    assert np.array_equal(decoded(file_of(rgb(), kind)), np.asarray(rgb()))


def test_webp_without_loss_and_jpeg_with_a_little():
    assert np.array_equal(decoded(file_of(rgb(), "WEBP", lossless=True)), np.asarray(rgb()))
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    assert np.abs(decoded(file_of(flat, "JPEG", quality=95)).astype(int) - (200, 100, 50)).max() <= 3


def test_grey_is_repeated_in_every_channel():
    assert np.array_equal(decoded(file_of(Image.fromarray(RAMP))), RAMP[:, :, None].repeat(3, axis=2))
    bits = decoded(file_of(Image.fromarray(RAMP > 127)))
    assert np.array_equal(bits[..., 1], np.where(RAMP > 127, 255, 0))


def test_palette_is_looked_up():
    image = Image.fromarray(RAMP % 2).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    assert decoded(file_of(image))[0, :2].tolist() == [[10, 20, 30], [200, 100, 50]]


@pytest.mark.parametrize("kind", ["RGBA", "LA"])
def test_transparent_parts_are_laid_on_white(kind):
    image = rgb().convert("L").convert(kind) if kind == "LA" else rgb().convert(kind)
    image.putalpha(Image.fromarray(np.uint8(RAMP.T)))
    colour = np.asarray(image.convert("RGBA")).astype(float)
    alpha = colour[..., 3:] / 255
    expected = colour[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(decoded(file_of(image)) - expected).max() <= 1


def test_transparent_colour_of_a_palette_becomes_white():
    image = Image.fromarray(RAMP % 2).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    shown = decoded(file_of(image, transparency=0))
    assert shown[0, :2].tolist() == [[255, 255, 255], [200, 100, 50]]


def test_grey_of_16_bits_is_scaled_not_cut():
    values = (np.arange(256, dtype=np.uint16).reshape(16, 16)) * 257
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(decoded(file_of(Image.fromarray(values), kind))[..., 0], RAMP)
    assert decoded(file_of(Image.fromarray(np.full((8, 8), 128, np.uint16))))[0, 0, 0] == 0
    assert decoded(file_of(Image.fromarray(np.full((8, 8), 129, np.uint16))))[0, 0, 0] == 1


def test_cmyk_is_converted():
    image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    assert decoded(file_of(image, "TIFF"))[0, 0].tolist() == [0, 255, 255]


def test_pictures_stand_as_their_exif_tag_says():
    image = Image.fromarray(np.repeat(RAMP[:8, :, None], 3, axis=2))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = decoded(file_of(image, exif=exif))
    assert np.array_equal(turned, np.rot90(np.asarray(image), -1))


def test_first_picture_of_several_is_taken():
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    assert decoded(file_of(red, "GIF", save_all=True, append_images=[blue]))[0, 0].tolist() == [255, 0, 0]


def half(file):
    content = file.getvalue()
    return io.BytesIO(content[: len(content) // 2])


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (io.BytesIO(b""), "is not an image of a known format"),
        (io.BytesIO(b"<html>404</html>"), "is not an image of a known format"),
        (io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "is not an image of a known format"),
        (half(file_of(NOISE, "JPEG")), "cannot be decoded .*truncated"),
        (half(file_of(NOISE, "PNG")), "cannot be decoded"),
        (half(file_of(NOISE, "BMP")), "cannot be decoded"),
        (half(file_of(NOISE, "TIFF")), "cannot be decoded|not an image"),
        (half(file_of(NOISE, "WEBP")), "cannot be decoded|not an image"),
        (file_of(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), "holds floats"),
        (file_of(Image.fromarray(np.full((8, 8), 70000, np.int32)), "TIFF"), "holds 32-bit integers"),
        (file_of(Image.fromarray(np.full((8, 8), -1, np.int32)), "TIFF"), "holds 32-bit integers"),
    ],
    ids="empty html postscript jpeg png bmp tiff webp floats large-integers negative-integers".split(),
)
def test_what_cannot_be_decoded_is_refused_in_one_line(file, message):
    with pytest.raises(ValueError, match=message) as caught, pictures.quiet_pillow():
        decode_rgb(file)
    assert "\n" not in str(caught.value) and caught.value.__suppress_context__ | (caught.value.__context__ is None)


def test_too_many_pixels_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 100)
    with pytest.raises(ValueError, match="has 16 x 16 pixels, too many"):
        decode_rgb(file_of(rgb()))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="too many pixels"):
        decode_rgb(file_of(rgb()))


def test_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        decode_rgb(tmp_path / "nothing.png")
