import dataclasses
import os

import pytest
import torch
from sklearn.datasets import load_digits

from coursekit.data import EMBEDDED, IMAGE_SETS, SPLITS, ImageSet, is_available, load_images


def numbered(n=10, **changes):
    """Image i is filled with i and labelled i % 3."""
    images = torch.arange(n, dtype=torch.uint8).reshape(n, 1, 1, 1).expand(n, 1, 2, 4).contiguous()
    fields = {
        "images": images,
        "labels": torch.arange(n) % 3,
        "name": "toy",
        "classes": ("a", "b", "c"),
        "source": "toy",
    }
    return ImageSet(**fields | changes)


def test_image_set_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        numbered().images = torch.zeros(1)


def test_shape_length_and_repr():
    image_set = numbered(10)
    assert len(image_set) == 10
    assert image_set.image_shape == (1, 2, 4)
    assert repr(image_set) == "ImageSet('toy': 10 images, 1 x 2 x 4, source 'toy')"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": [[1]]}, TypeError, "images must be a torch.Tensor, not list"),
        ({"images": torch.zeros(10, 1, 2, 4)}, TypeError, "images must have dtype torch.uint8, not torch.float32"),
        ({"images": torch.zeros(10, 2, 4, dtype=torch.uint8)}, ValueError, r"images must have shape \(N, C, H, W\)"),
        ({"labels": torch.zeros(10)}, TypeError, "labels must have dtype torch.int64"),
        ({"labels": torch.zeros(10, 1, dtype=torch.int64)}, ValueError, r"labels must have shape \(N,\)"),
        ({"labels": torch.zeros(9, dtype=torch.int64)}, ValueError, "10 images but 9 labels"),
        ({"labels": torch.full((10,), 3)}, ValueError, "labels go from 3 to 3, but there are 3 classes"),
        ({"labels": torch.full((10,), -1)}, ValueError, "labels go from -1 to -1"),
        ({"classes": ["a", "b", "c"]}, TypeError, "classes must be a tuple"),
    ],
)
def test_wrong_fields_are_refused_by_name(changes, error, message):
    with pytest.raises(error, match=message):
        numbered(**changes)


@pytest.mark.parametrize("changes", [{"labels": None}, {"classes": None}, {"labels": None, "classes": None}])
def test_labels_and_classes_may_be_absent(changes):
    image_set = numbered(**changes)
    assert len(image_set.take(4)) == len(image_set.subset([0, 1, 2, 3])) == 4


def test_take_is_the_first_n_or_all():
    image_set = numbered(10)
    assert image_set.take(3).images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert image_set.take(3).labels.tolist() == [0, 1, 2]
    assert len(image_set.take(99)) == 10
    assert len(image_set.take(0)) == 0
    with pytest.raises(ValueError, match="at least 0"):
        image_set.take(-1)


@pytest.mark.parametrize(
    "indices", [[7, 2], torch.tensor([7, 2]), torch.tensor([7, 2]).numpy()], ids=["list", "tensor", "array"]
)
def test_subset_keeps_the_order_asked_for(indices):
    subset = numbered(10).subset(indices)
    assert subset.images[:, 0, 0, 0].tolist() == [7, 2]
    assert subset.labels.tolist() == [1, 2]
    assert subset.source == "toy"


def test_subset_takes_a_mask_and_nothing():
    image_set = numbered(10)
    assert image_set.subset(image_set.labels == 2).images[:, 0, 0, 0].tolist() == [2, 5, 8]
    assert len(image_set.subset([])) == 0


def test_subset_refuses_floats():
    with pytest.raises(IndexError):
        numbered(10).subset([0.5])


def test_split_holds_every_image_once():
    first, second = numbered(10).split(0.7)
    values = torch.cat([first.images, second.images])[:, 0, 0, 0]
    assert (len(first), len(second)) == (7, 3)
    assert sorted(values.tolist()) == list(range(10))
    assert torch.equal(torch.cat([first.labels, second.labels]), values.long() % 3)


def test_split_is_seeded_and_leaves_the_global_random_state():
    image_set = numbered(100)
    state = torch.get_rng_state()
    first = image_set.split(0.5, seed=1)[0].images
    assert torch.equal(first, image_set.split(0.5, seed=1)[0].images)
    assert not torch.equal(first, image_set.split(0.5, seed=2)[0].images)
    assert not torch.equal(first, image_set.images[:50])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("fraction", [0, 0.01, 1, 1.5, -0.5])
def test_split_refuses_an_empty_part(fraction):
    with pytest.raises(ValueError, match="leaves one part empty"):
        numbered(10).split(fraction)


def test_unknown_arguments_are_answered_with_the_valid_ones():
    with pytest.raises(ValueError, match="data set 'MNIST'; choose one of: digits, digits_8x8, mnist, fashion_mnist"):
        load_images("MNIST")
    with pytest.raises(ValueError, match="split 'valid'; choose one of: train, test"):
        load_images("digits", "valid")
    with pytest.raises(ValueError, match="'mnist'; choose one of: digits"):
        load_images("mnist", offline="mnist")
    with pytest.raises(ValueError, match="choose one of"):
        is_available("nothing")


def test_digits_need_no_folder_and_no_network(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path / "nowhere"))
    assert is_available("digits")
    digits = load_images("digits")
    assert digits.source == "digits (embedded)"
    assert digits.image_shape == (1, 28, 28)
    assert digits.classes == tuple("0123456789")
    assert not (tmp_path / "nowhere").exists()


def reduced(images):
    """The 8 x 8 picture in 0 to 16: the 28 x 28 one read at the centres of 10 x 10 squares, without the outer ones."""
    centres = (torch.arange(1, 9) + 0.5) / 10 * 2 - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).expand(len(images), 8, 8, 2)
    return torch.nn.functional.grid_sample(images.float(), grid, align_corners=False).squeeze(1) * 16 / 255


def test_digits_are_scikit_learns_enlarged():
    original = torch.from_numpy(load_digits().images).float()
    train, test = load_images("digits", "train"), load_images("digits", "test")
    assert (len(train), len(test)) == (1437, 360)
    enlarged = reduced(torch.cat([train.images, test.images]))
    nearest = torch.cdist(enlarged.flatten(1), original.flatten(1)).argmin(dim=1)
    assert nearest.unique().numel() == len(original)
    assert nearest[len(train)] == 0, "every fifth image of the sorted digits, from the first, is a test image"
    labels = torch.cat([train.labels, test.labels])
    assert torch.equal(labels, torch.from_numpy(load_digits().target)[nearest])
    assert (enlarged - original[nearest]).abs().mean() < 0.5
    assert train.images.min() == 0 and train.images.max() == 255


def test_digits_split_has_the_same_share_of_every_class():
    train, test = load_images("digits", "train"), load_images("digits", "test")
    share = test.labels.bincount() / (train.labels.bincount() + test.labels.bincount())
    assert (share - 0.2).abs().max() < 0.01


@pytest.mark.parametrize("split", SPLITS)
def test_small_digits_are_scikit_learns_as_they_are_and_split_like_the_enlarged_ones(split):
    small, large = load_images("digits_8x8", split), load_images("digits", split)
    assert small.image_shape == (1, 8, 8) and small.source == "digits_8x8 (embedded)"
    sixteenths = small.images.flatten(1).double() * 16 / 255
    assert (sixteenths - sixteenths.round()).abs().max() <= 0.5 * 16 / 255
    originals = {image.tobytes(): target for image, target in zip(*load_digits(return_X_y=True))}
    found = [originals[row.numpy().tobytes()] for row in sixteenths.round()]
    assert torch.equal(small.labels, torch.tensor(found)) and torch.equal(small.labels, large.labels)
    assert (reduced(large.images) - sixteenths.round().reshape(-1, 8, 8)).abs().mean() < 0.5


def test_digits_are_the_same_every_time():
    assert torch.equal(load_images("digits").images, load_images("digits").images)


def test_names_are_consistent():
    assert set(EMBEDDED) < set(IMAGE_SETS)
    assert SPLITS == ("train", "test")


# Counts of labels as the publishers give them, and pixel statistics that everybody normalises with.
REAL = {
    ("mnist", "train"): ([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], 0.1307, 0.3081),
    ("mnist", "test"): ([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009], None, None),
    ("fashion_mnist", "train"): ([6000] * 10, 0.2860, 0.3530),
    ("fashion_mnist", "test"): ([1000] * 10, None, None),
}


@pytest.mark.parametrize(("name", "split"), REAL)
def test_real_files_hold_what_the_publishers_say(name, split):
    if not os.environ.get("COURSEKIT_DATA"):
        pytest.skip("COURSEKIT_DATA is not set")
    if not is_available(name, split):
        pytest.skip(f"COURSEKIT_DATA does not hold {name}")
    image_set = load_images(name, split)
    counts, mean, std = REAL[name, split]
    assert image_set.labels.bincount().tolist() == counts
    assert image_set.image_shape == (1, 28, 28)
    assert image_set.images.is_contiguous()
    if mean is not None:
        x = image_set.images.float() / 255
        assert x.mean().item() == pytest.approx(mean, abs=1e-4)
        assert x.std().item() == pytest.approx(std, abs=1e-4)
