"""The models that run in the pages: what stands in their record is what is there, and computes the same."""

import hashlib
import json
import re
from datetime import date
from pathlib import Path

import make_models
import numpy as np
import pytest
from _models import PREDICTIONS, inputs, predict, session
from PIL import Image

from coursekit.trainers import VAETrainer

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "book" / "_extra" / "models"
LARGEST = 1_500_000


@pytest.fixture(scope="module")
def record():
    return json.loads((MODELS / "models.json").read_text(encoding="utf-8"))


def entries(value):
    """Every file that the record names, wherever it stands."""
    if isinstance(value, dict):
        if "sha256" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from entries(part)


def test_every_file_is_as_it_was_recorded(record):
    for entry in entries(record):
        content = (ROOT / entry["file"]).read_bytes()
        recorded = entry["bytes"], entry["sha256"]
        assert (len(content), hashlib.sha256(content).hexdigest()) == recorded, entry["file"]
        assert len(content) <= LARGEST, entry["file"]


def test_every_file_that_is_served_is_recorded(record):
    served = {path.relative_to(ROOT).as_posix() for path in MODELS.rglob("*") if path.is_file()}
    recorded = {entry["file"] for entry in entries(record)}
    assert served - recorded == {"book/_extra/models/models.json"}
    weights = {path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks" / "checkpoints").glob("*.safetensors")}
    assert recorded - served == weights


def test_each_model_says_what_made_it(record):
    assert set(record["models"]) == set(make_models.RUNS)
    for made in (record["exported"], *(model["made"] for model in record["models"].values())):
        assert re.fullmatch(r"python book/(results/)?\w+\.py( --train)?", made["command"])
        assert (ROOT / made["command"].split()[1]).is_file()
        assert date.fromisoformat(made["date"]) and made["device"] and made["versions"]["torch"]
    for model in record["models"].values():
        assert isinstance(model["made"]["seed"], int)
        assert model["made"]["data"] and all("unavailable" not in source for source in model["made"]["data"].values())
        assert "CC BY-SA 3.0" in model["licence_of_data"] or "Apache License 2.0" in model["licence_of_data"]
    assert record["models"]["vae-digits"]["made"]["settings"] == json.loads(json.dumps(make_models.VAE))
    assert "Google, Apache License 2.0" in record["emoji"]["licence"]


@pytest.mark.parametrize("name", PREDICTIONS)
def test_the_graph_computes_what_its_run_predicts(record, name):
    for n in (1, 4):
        x = inputs(name, n, seed=10 + n)
        (computed,) = session(name).run(None, {session(name).get_inputs()[0].name: x.numpy()})
        assert np.abs(computed - predict(name)(x).numpy()).max() <= record["equals_torch_to"] == 1e-5
        assert 0 <= computed.min() and computed.max() <= 1 + 1e-6 and computed.std() > 0.05


@pytest.mark.parametrize("name", PREDICTIONS)
def test_pages_find_the_names_and_shapes_that_the_record_promises(record, name):
    (entry,) = [entry for entry in entries(record) if entry["file"].endswith(f"/{name}.onnx")]
    (given,), (made,) = session(name).get_inputs(), session(name).get_outputs()
    assert (given.name, given.shape, made.name) == (entry["input"], entry["shape"], entry["output"])
    assert re.search(rb"/(work|root|home)/|stack_trace", (MODELS / f"{name}.onnx").read_bytes()) is None


def test_the_codes_are_those_of_labelled_digits_in_many_places():
    codes = json.loads((MODELS / "vae-digits.json").read_text(encoding="utf-8"))
    points, labels = np.array(codes["points"]), np.array(codes["labels"])
    assert points.shape == (make_models.CODES, 2) and labels.shape == (make_models.CODES,)
    assert 1000 <= len(labels) <= 2000 and set(labels.tolist()) == set(range(10))
    assert np.isfinite(points).all() and (points.std(axis=0) > 0.5).all()
    # A digit's code lies nearest to one of its own kind far more often than chance.
    distances = ((points[:, None] - points) ** 2).sum(-1) + np.diag(np.full(len(points), np.inf))
    assert (labels[distances.argmin(1)] == labels).mean() > 0.5


@pytest.mark.parametrize("split", ["test"])
def test_the_codes_are_what_the_encoder_gives(split):
    from coursekit.data import load_images
    from coursekit.data.images import images_are_here

    if not images_are_here("mnist", split, None):
        pytest.skip("MNIST is not here (COURSEKIT_DATA)")
    codes = json.loads((MODELS / "vae-digits.json").read_text(encoding="utf-8"))
    held_out = load_images("mnist", split).take(100)
    assert codes["labels"][:100] == held_out.labels.tolist()
    mu, _ = VAETrainer.load(make_models.CHECKPOINTS / "vae-digits.safetensors", device="cpu").encode(held_out.images)
    assert np.abs(mu.numpy() - np.array(codes["points"][:100])).max() < 1e-3


def test_the_emoji_are_pictures_of_both_domains_with_a_name_each(record):
    files = record["emoji"]["files"]
    by_domain = {domain: [f["name"] for f in files if f["domain"] == domain] for domain in "XY"}
    assert by_domain["X"] == by_domain["Y"] and len(by_domain["X"]) == len(make_models.EMOJI)
    for entry in files:
        with Image.open(ROOT / entry["file"]) as picture:
            assert (picture.size, picture.mode) == ((32, 32), "RGB")
            assert np.asarray(picture).std() > 20


def test_no_emoji_that_is_shown_was_trained_on():
    from coursekit.data.emoji import emoji_halves, emoji_rows
    from coursekit.data.emoji_index import codepoints

    rows = [codepoints().index(point) for point in make_models.EMOJI]
    assert set(rows) <= set(emoji_rows("test")) and not set(rows) & {row for half in emoji_halves() for row in half}
