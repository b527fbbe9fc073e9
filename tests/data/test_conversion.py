import pytest
import torch

from coursekit.data import ImageSet, binarize, to_float

ALL = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)


def test_unit_range_is_pixel_over_255():
    x = to_float(ALL)
    assert x.dtype == torch.float32
    assert x.shape == ALL.shape
    assert (x.min(), x.max()) == (0, 1)
    assert torch.equal(x.flatten(), torch.arange(256) / 255)


def test_signed_range_is_symmetric():
    x = to_float(ALL, "signed").flatten()
    assert (x[0], x[-1]) == (-1, 1)
    torch.testing.assert_close(x, 2 * torch.arange(256) / 255 - 1)
    torch.testing.assert_close(x, -x.flip(0), atol=1e-7, rtol=0)


def test_pixels_at_rest_are_not_changed():
    images = ALL.clone()
    to_float(images), to_float(images, "signed")
    assert torch.equal(images, ALL)


def test_floats_are_not_scaled_twice():
    with pytest.raises(TypeError, match="uint8 tensor, not torch.float32"):
        to_float(to_float(ALL))
    with pytest.raises(TypeError, match="uint8 tensor, not list"):
        to_float([0, 255])


def test_unknown_range_is_refused():
    with pytest.raises(ValueError, match='"unit" or "signed", not "?\'?0-1'):
        to_float(ALL, "0-1")


def grey(value, n=200):
    return ImageSet(torch.full((n, 1, 28, 28), value, dtype=torch.uint8), None, "grey", None, "made")


def test_threshold_is_a_half():
    image_set = ImageSet(ALL, None, "ramp", None, "made")
    expected = torch.where(ALL.double() / 255 > 0.5, 255, 0)
    binary = binarize(image_set)
    assert torch.equal(binary.images.long(), expected)
    assert binary.images.dtype == torch.uint8
    assert binary.source == "made, binarised (threshold)"
    assert torch.equal(image_set.images, ALL)


@pytest.mark.parametrize("value", [0, 1, 64, 128, 254, 255])
def test_drawn_pixels_are_bright_with_probability_of_their_value(value):
    binary = binarize(grey(value), seed=0).images
    assert set(binary.unique().tolist()) <= {0, 255}
    p = value / 255
    standard_error = (p * (1 - p) / binary.numel()) ** 0.5
    assert (binary == 255).double().mean().item() == pytest.approx(p, abs=4 * standard_error)


def test_draw_is_fixed_by_its_seed_and_leaves_the_global_random_state():
    state = torch.get_rng_state()
    first = binarize(grey(100), seed=1)
    assert torch.equal(first.images, binarize(grey(100), seed=1).images)
    assert not torch.equal(first.images, binarize(grey(100), seed=2).images)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.source == "made, binarised (seed 1)"
