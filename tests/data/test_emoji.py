import io
import os
import tarfile
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from coursekit.data import (
    DataUnavailable,
    OfflineFallbackWarning,
    download,
    emoji,
    emoji_index,
    is_available,
    load_images,
    load_unpaired,
)

POINTS = ["1f004", "1f0cf", "1f170", "1f300", "1f4a9", "1f600", "203c", "2600", "2b50", "3030"]


def picture(style, i):
    """128 x 128: left half transparent, right half opaque, in a colour of its own."""
    values = np.zeros((128, 128, 4), dtype=np.uint8)
    colour = (25 * i, 40, 60) if style == "blob" else (90, 25 * i, 200)
    values[:, 64:] = (*colour, 255)
    return values


def png(values):
    content = io.BytesIO()
    Image.fromarray(values).save(content, "PNG")
    return content.getvalue()


def pictures(style):
    return {f"png/128/emoji_u{point}.png": png(picture(style, i)) for i, point in enumerate(POINTS)}


def packed(files, commit):
    """A repository as GitHub packs it, with other files around."""
    content = io.BytesIO()
    others = {
        "README.md": b"emoji",
        "png/128/emoji_u1f004_1f3fb.png": b"no picture",
        "png/72/emoji_u1f004.png": b"small",
    }
    with tarfile.open(fileobj=content, mode="w:gz", pax_headers={"comment": commit}) as tar:
        for name, value in (others | files).items():
            member = tarfile.TarInfo(f"noto-emoji-{commit}/{name}")
            member.size = len(value)
            tar.addfile(member, io.BytesIO(value))
    return content.getvalue()


@pytest.fixture
def few(monkeypatch):
    """The set as if it had ten emoji, three of them for testing; the brightness is what the pictures have."""
    monkeypatch.setattr(emoji, "codepoints", lambda: POINTS)
    monkeypatch.setattr(emoji, "TEST", 3)
    # Half of every picture is white ground.
    means = {
        style: np.array([(255 + picture(style, i)[0, 127, :3].mean()) / 2 for i in range(len(POINTS))])
        for style in emoji.STYLES
    }
    monkeypatch.setattr(emoji, "mean_brightness", means.__getitem__)


@pytest.fixture
def repository(monkeypatch, few, serve):
    """Call with behaviours and changed files by style: the archives are behind one mirror for each behaviour."""

    def use(*behaviours, **changes):
        contents = {
            commit: packed(pictures(style) | changes.get(style, {}), commit) for style, commit in emoji.COMMITS.items()
        }
        monkeypatch.setattr(emoji, "MIRRORS", serve(contents, *behaviours))

    return use


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_set_is_built_once_from_the_published_pictures(repository, server, online):
    repository("good")
    assert not is_available("emoji_blob") and not is_available("emoji")
    train, test = load_images("emoji_blob"), load_images("emoji_blob", "test")
    noto = load_images("emoji_noto")
    assert server.requests == [("good", commit) for commit in emoji.COMMITS.values()]
    assert files_below(online) == ["noto_emoji_32.npz"]
    assert is_available("emoji_blob") and is_available("emoji_noto", "test") and is_available("emoji")
    assert (len(train), len(test), len(noto)) == (7, 3, 7)
    assert train.image_shape == (3, 32, 32) and train.labels is None and train.images.is_contiguous()
    with np.load(online / "noto-emoji" / "noto_emoji_32.npz", allow_pickle=False) as archive:
        assert sorted(archive) == ["blob", "codepoints", "noto"]
        assert archive["codepoints"].tolist() == POINTS and archive["blob"].shape == (10, 32, 32, 3)


def test_pictures_are_on_white_and_in_the_order_of_the_code_points(repository):
    repository("good")
    for style in emoji.STYLES:
        both = {split: load_images(f"emoji_{style}", split).images for split in ("train", "test")}
        for split, images in both.items():
            for image, i in zip(images, emoji.emoji_rows(split)):
                assert image[:, 16, 4].tolist() == [255] * 3
                assert image[:, 16, 28].tolist() == picture(style, i)[0, 127, :3].tolist()


@pytest.mark.parametrize("alpha", [0, 1, 64, 128, 254, 255])
def test_shrinking_composites_on_white(alpha):
    values = np.empty((128, 128, 4), dtype=np.uint8)
    values[:] = (200, 100, 0, alpha)
    expected = np.array([200, 100, 0]) * alpha / 255 + 255 * (1 - alpha / 255)
    assert np.abs(emoji.shrink(io.BytesIO(png(values))).astype(float) - expected).max() <= 1


def test_shrinking_is_lanczos():
    """A white line on black, against the kernel sinc(x) sinc(x / 3) of the textbooks."""
    values = np.zeros((128, 128), dtype=np.uint8)
    values[:, 66] = 255
    centres = np.arange(32) * 4 + 2
    kernel = np.sinc((66.5 - centres) / 4) * np.sinc((66.5 - centres) / 12)
    kernel[np.abs(66.5 - centres) >= 12] = 0
    weights = np.array([
        (lambda x: (np.sinc(x) * np.sinc(x / 3))[np.abs(x) < 3].sum())((np.arange(128) + 0.5 - c) / 4) for c in centres
    ])  # fmt: skip
    expected = np.clip(255 * kernel / weights, 0, 255)
    assert np.abs(emoji.shrink(io.BytesIO(png(values)))[16, :, 0] - expected).max() <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"png/128/emoji_u1f300.png": b"<html>"}, "damaged picture: png/128/emoji_u1f300.png is not an image"),
        (
            {"png/128/emoji_u1f300.png": pictures("blob")["png/128/emoji_u1f300.png"][:-60]},
            "emoji_u1f300.png cannot be",
        ),
        ({"png/128/emoji_u1f300.png": b"\x89PNG" + bytes(2**20)}, "has 1048580 bytes .* too many for an emoji"),
        ({"png/128/emoji_u1f300.png": pictures("blob")["png/128/emoji_u3030.png"]}, "1 of the blob .* them 1f300"),
    ],
    ids=["html", "cut", "large", "other picture"],
)
def test_wrong_picture_is_named_and_nothing_is_kept(repository, online, changes, message):
    repository("good", blob=changes)
    with pytest.raises(DataUnavailable, match=message) as caught:
        load_images("emoji_noto")
    assert "\n" not in str(caught.value) and caught.value.__suppress_context__
    assert files_below(online) == []


def test_missing_pictures_are_counted(monkeypatch, few, serve, online):
    kept = dict(list(pictures("blob").items())[:4])
    contents = {commit: packed(kept, commit) for commit in emoji.COMMITS.values()}
    monkeypatch.setattr(emoji, "MIRRORS", serve(contents, "good"))
    with pytest.raises(DataUnavailable, match="lacks 6 of 10 pictures, among them png/128/emoji_u1f4a9.png"):
        load_images("emoji_blob")


def test_archive_of_the_other_commit_is_refused(monkeypatch, few, serve, online):
    contents = {commit: packed(pictures("noto"), commit) for commit in emoji.COMMITS.values()}
    monkeypatch.setattr(emoji, "MIRRORS", serve(contents, "good"))
    with pytest.raises(DataUnavailable, match="differs from what was published: .* of the blob images have another"):
        load_images("emoji_noto")
    assert files_below(online) == []


FAULTS = {
    "truncates": "is not a whole tar.gz archive",
    "corrupts": "is not a whole tar.gz archive|has a damaged picture|lacks",
    "dies": "the connection broke off",
    "stalls": "timed out",
    "missing": "HTTP status 404",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_every_mirror_give_one_clear_error(repository, online, fault):
    repository(fault, "missing")
    with pytest.raises(DataUnavailable, match=FAULTS[fault]) as caught:
        load_images("emoji_blob")
    message = str(caught.value)
    assert message.startswith("emoji_blob: ") and 'offline="digits"' in message and "COURSEKIT_DATA" in message
    assert "noto_emoji_32.npz is missing and could not be downloaded" in message and "\n" not in message
    assert files_below(online) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_second_mirror_makes_up_for_the_first(repository, online, fault):
    repository(fault, "good")
    assert len(load_images("emoji_blob")) == 7
    assert files_below(online) == ["noto_emoji_32.npz"]


def test_offline_forbids_every_request(repository, monkeypatch, server, online):
    repository("good")
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    with pytest.raises(DataUnavailable, match="noto_emoji_32.npz is missing, and COURSEKIT_OFFLINE forbids"):
        load_images("emoji_blob")
    with pytest.warns(OfflineFallbackWarning, match="emoji_blob is replaced by the embedded digits"):
        digits = load_images("emoji_blob", offline="digits")
    with pytest.warns(OfflineFallbackWarning, match="emoji is replaced by the embedded coloured_digits"):
        x, _ = load_unpaired("emoji", offline="coloured_digits")
    assert digits.source == "digits (embedded; emoji_blob unavailable)"
    assert x.source == "coloured_digits (embedded; emoji unavailable)"
    assert server.requests == [] and not online.exists()


def test_folder_that_cannot_be_written_gives_one_clear_error(repository, monkeypatch, online):
    repository("good")

    def refuse(source, target):
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(
        DataUnavailable, match=r"noto_emoji_32.npz is missing and cannot be written \(Permission denied"
    ):
        load_images("emoji_blob")
    assert files_below(online) == []


def test_disk_that_fills_up_gives_one_clear_error(repository, monkeypatch, online):
    repository("good")

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(DataUnavailable, match="cannot be written .No space left"):
        load_images("emoji_blob")
    assert files_below(online) == []


@pytest.fixture
def built(repository, online):
    """The file of a finished build, and its arrays; from now on every mirror fails."""
    repository("good")
    load_images("emoji_blob")
    repository("missing")
    path = online / "noto-emoji" / "noto_emoji_32.npz"
    with np.load(path) as archive:
        return path, dict(archive)


def saved(arrays):
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def flipped(content, at):
    """One bit changed, within the packed pixels of the first array."""
    return content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: b"", "is damaged"),
        (lambda arrays: b"<html>", "is damaged"),
        (lambda arrays: saved(arrays)[:-300], "is damaged"),
        (lambda arrays: flipped(saved(arrays), 200), "is damaged"),
        (lambda arrays: saved({"blob": arrays["blob"]}), "is damaged"),
        (lambda arrays: saved(arrays | {"blob": np.array([{}], dtype=object)}), "is damaged .*pickle"),
        (lambda arrays: saved(arrays | {"codepoints": np.array(POINTS[::-1])}), "it holds other code points"),
        (lambda arrays: saved(arrays | {"noto": arrays["noto"][:9]}), r"noto is uint8 \(9, 32, 32, 3\), not"),
        (lambda arrays: saved(arrays | {"noto": arrays["noto"].astype(float)}), "noto is float64"),
        (lambda arrays: saved(arrays | {"noto": arrays["blob"]}), "of the noto images have another brightness"),
    ],
    ids=["empty", "html", "cut", "changed byte", "half", "pickle", "code points", "rows", "floats", "other style"],
)
def test_damaged_file_is_named_and_not_used(built, change, message):
    path, arrays = built
    path.write_bytes(change(arrays))
    assert not is_available("emoji_blob")
    with pytest.raises(DataUnavailable, match=f"noto_emoji_32.npz .*{message}") as caught:
        load_images("emoji_blob")
    assert "\n" not in str(caught.value) and "could not be downloaded" in str(caught.value)


def test_file_that_is_whole_is_never_written_to(built, online):
    before = {path: path.stat().st_mtime_ns for path in online.rglob("*")}
    load_images("emoji_blob"), load_images("emoji_noto", "test"), load_unpaired("emoji")
    assert {path: path.stat().st_mtime_ns for path in online.rglob("*")} == before


def test_a_build_that_rounds_differently_says_so(built, monkeypatch):
    path, arrays = built
    assert "own build" in load_images("emoji_blob").source and "own build" in load_unpaired("emoji")[1].source
    digests = {style: emoji.sha256(arrays[style].tobytes()).hexdigest() for style in emoji.STYLES}
    monkeypatch.setattr(emoji, "DIGESTS", digests)
    assert load_images("emoji_blob").source == "emoji_blob" and load_unpaired("emoji")[1].source == "emoji"
    arrays["blob"][0, 0, 0, 0] -= 1
    path.write_bytes(saved(arrays))
    assert "own build" in load_images("emoji_blob").source


def test_unpaired_halves_are_disjoint_and_test_sets_aligned(built):
    x, y = load_unpaired("emoji")
    first, second = emoji.emoji_halves()
    assert (len(x), len(y)) == (3, 4) and (x.name, y.name) == ("emoji_blob", "emoji_noto")
    assert x.images[:, :, 16, 28].tolist() == [picture("blob", i)[0, 127, :3].tolist() for i in first]
    assert y.images[:, :, 16, 28].tolist() == [picture("noto", i)[0, 127, :3].tolist() for i in second]
    x, y = load_unpaired("emoji", "test")
    assert torch.equal(x.images, load_images("emoji_blob", "test").images)
    assert torch.equal(y.images, load_images("emoji_noto", "test").images)


def test_code_points_are_1078_in_the_order_of_their_names():
    points = emoji_index.codepoints()
    assert len(set(points)) == 1078 and points == sorted(points)
    assert all(len(point) in (4, 5) and int(point, 16) for point in points)
    for style in emoji.STYLES:
        assert emoji_index.mean_brightness(style).shape == (1078,)


def test_rows_are_split_as_published_in_the_contract():
    train, test, (first, second) = emoji.emoji_rows("train"), emoji.emoji_rows("test"), emoji.emoji_halves()
    assert (len(train), len(test), len(first), len(second)) == (862, 216, 431, 431)
    assert sorted(train + test) == list(range(1078)) and sorted(first + second) == train
    assert all(rows == sorted(rows) for rows in (train, test, first, second))


def test_real_file_is_the_one_of_the_book():
    if not os.environ.get("COURSEKIT_DATA"):
        pytest.skip("COURSEKIT_DATA is not set")
    if not is_available("emoji"):
        pytest.skip("COURSEKIT_DATA does not hold the emoji")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blob, noto = load_images("emoji_blob"), load_images("emoji_noto")
        x, y = load_unpaired("emoji")
    assert (blob.source, noto.source, x.source) == ("emoji_blob", "emoji_noto", "emoji")
    assert (len(blob), len(x), len(y)) == (862, 431, 431)
    path = download.data_folder() / emoji.FOLDER / emoji.FILE
    with np.load(path, allow_pickle=False) as archive:
        assert archive["codepoints"].tolist() == emoji_index.codepoints()
        rows = torch.from_numpy(archive["blob"][emoji.emoji_rows("train")]).permute(0, 3, 1, 2)
    assert torch.equal(blob.images, rows)
    both = torch.cdist(x.images.flatten(1).float(), blob.images.flatten(1).float()).argmin(dim=1)
    other = torch.cdist(y.images.flatten(1).float(), noto.images.flatten(1).float()).argmin(dim=1)
    assert sorted(both.tolist() + other.tolist()) == list(range(862))
