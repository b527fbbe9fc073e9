import pytest
import torch

from coursekit.data import ImageSet


@pytest.fixture
def images():
    """50 images of 8 x 8 pixels in three classes, told apart by which rows are bright."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (50,), generator=generator)
    pixels = torch.randint(0, 100, (50, 1, 8, 8), generator=generator, dtype=torch.uint8)
    for image, label in zip(pixels, labels):
        image[:, 2 * label : 2 * label + 2] += 150
    return ImageSet(pixels, labels, name="stripes", classes=("top", "middle", "bottom"), source="generated")
