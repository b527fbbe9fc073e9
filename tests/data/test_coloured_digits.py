import colorsys

import pytest
import torch

from coursekit.data import load_images, load_unpaired


@pytest.fixture(scope="module", params=["train", "test"])
def pair(request):
    return load_unpaired("coloured_digits", request.param)


def ink(image_set):
    """RGB in [0, 1] of each image's pixel with the strongest ink: farthest from the ground in its corner."""
    pixels = image_set.images.flatten(2).double() / 255
    farthest = (pixels - pixels[:, :, :1]).abs().sum(dim=1).argmax(dim=1)
    return [pixels[i, :, j].tolist() for i, j in enumerate(farthest)]


def test_sets_are_rgb_of_32_pixels_with_labels(pair):
    for side, image_set in zip("XY", pair):
        assert image_set.image_shape == (3, 32, 32) and image_set.images.is_contiguous()
        assert image_set.name == f"coloured_digits/{side}" and image_set.source == "coloured_digits (embedded)"
        assert image_set.classes == tuple("0123456789")


def test_test_sets_are_aligned_and_the_truth_is_the_negative():
    x, y = load_unpaired("coloured_digits", "test")
    assert torch.equal(y.images, 255 - x.images)
    assert torch.equal(x.labels, y.labels)
    assert torch.equal(x.labels, load_images("digits", "test").labels)


def test_training_sets_share_no_digit_and_every_class_equally():
    x, y = load_unpaired("coloured_digits", "train")
    digits = load_images("digits", "train")
    assert len(x) + len(y) == len(digits)
    assert torch.equal(torch.cat([x.labels, y.labels]).bincount(), digits.labels.bincount())
    assert (x.labels.bincount() - y.labels.bincount()).abs().max() <= 1
    distance = torch.cdist(x.images.flatten(1).float(), (255 - y.images).flatten(1).float())
    assert distance.min() > 0


def test_training_and_test_sets_share_no_digit():
    x, y = load_unpaired("coloured_digits", "train")
    seen = torch.cat([x.images, 255 - y.images]).flatten(1).float()
    assert torch.cdist(load_unpaired("coloured_digits", "test")[0].images.flatten(1).float(), seen).min() > 0


def test_x_is_dark_warm_ink_on_light_ground_and_y_light_cool_ink_on_dark_ground(pair):
    for image_set, hue_of_0, dark_ink in zip(pair, (0, 180), (True, False)):
        for (red, green, blue), label, image in zip(ink(image_set), image_set.labels.tolist(), image_set.images):
            hue = 360 * colorsys.rgb_to_hsv(red, green, blue)[0]
            assert (hue - hue_of_0 - 60 * label / 9 + 180) % 360 - 180 == pytest.approx(0, abs=4), label
            ground = image[:, 0, 0].double() / 255
            assert ground.tolist() == pytest.approx([0.95 if dark_ink else 0.05] * 3, abs=0.01)
            assert (max(red, green, blue) < 0.75) if dark_ink else (min(red, green, blue) > 0.25)


def test_digits_are_those_of_the_grey_set():
    """Shrunk to 8 x 8 and read as ink, each coloured digit is the small one of the same row."""
    small = load_images("digits_8x8", "test").images.float() / 255
    x, _ = load_unpaired("coloured_digits", "test")
    blue = x.images[:, 2:].float() / 255  # no warm ink has blue
    ink = (0.95 - blue) / (0.95 - 0.055)
    centres = (torch.arange(1, 9) + 0.5) / 10 * 2 - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).expand(len(ink), 8, 8, 2)
    shrunk = torch.nn.functional.grid_sample(ink, grid, align_corners=False)
    assert (shrunk - small).abs().mean() < 0.02


def test_they_are_the_same_every_time_and_need_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path / "nowhere"))
    for first, second in zip(load_unpaired("coloured_digits"), load_unpaired("coloured_digits")):
        assert torch.equal(first.images, second.images)
    assert not (tmp_path / "nowhere").exists()
