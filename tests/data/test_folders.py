"""Folders of images: scanned, streamed, loaded, downloaded."""

import dataclasses
import hashlib
import io
import os
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from coursekit.data import (
    EMBEDDED_UNPAIRED,
    UNPAIRED_SETS,
    DataUnavailable,
    FolderImages,
    ImageSet,
    OfflineFallbackWarning,
    SkippedFilesWarning,
    download,
    is_available,
    load_unpaired,
    scanning,
    unpaired_folders,
)
from coursekit.data.folder_images import resized
from coursekit.data.scanning import scan_folder
from coursekit.data.unpaired_folders import FolderSet

COLOURS = {"trainA": 10, "trainB": 20, "testA": 30, "testB": 40}


def flat(value, width=12, height=12):
    return Image.new("RGB", (width, height), (value, value, 200))


def fill(folder, n=3, width=12, height=12):
    """Folders of `n` images each; image i of a folder has the folder's grey value plus i."""
    for part, value in COLOURS.items():
        (folder / part).mkdir(parents=True)
        for i in range(n):
            flat(value + i, width, height).save(folder / part / f"{i}.png")
    return folder


@pytest.fixture
def photos(tmp_path):
    return fill(tmp_path / "photos")


def values(images):
    return [image[0, 0, 0].item() for image in images]


def spoil(folder):
    """One file of every kind that is skipped, by name, with what the message says of it."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    noise.save(folder / "truncated.jpg")
    (folder / "truncated.jpg").write_bytes((folder / "truncated.jpg").read_bytes()[:600])
    (folder / "page.png").write_text("<html>")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("notes")
    (folder / "deeper").mkdir()
    flat(1, 7, 20).save(folder / "tiny.png")
    Image.fromarray(np.zeros((9, 9), np.float32)).save(folder / "floats.tif")
    (folder / "link.png").symlink_to(folder / "nowhere.png")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / ".hidden.png").write_bytes(b"")
    return {
        "truncated.jpg": "cannot be decoded",
        "page.png": "is not an image of a known format",
        "empty.jpg": "is not an image of a known format",
        "notes.txt": "is not an image file",
        "deeper": "is a folder",
        "tiny.png": "is too small (7 x 20 pixels)",
        "floats.tif": "holds floats",
        "link.png": "is a broken link",
    }


def test_folder_is_loaded_whole_or_streamed(photos):
    x, y = load_unpaired(photos)
    assert isinstance(x, ImageSet) and values(x.images) == [10, 11, 12] and values(y.images) == [20, 21, 22]
    assert (x.name, x.source, x.labels, x.image_shape) == ("photos/trainA", "photos", None, (3, 12, 12))
    x, y = load_unpaired(str(photos), "test", stream=True)
    assert isinstance(x, FolderImages) and values(x) == [30, 31, 32] and values(y) == [40, 41, 42]
    assert (x.name, x.source, x.image_shape, len(x)) == ("photos/testA", "photos", (3, 12, 12), 3)
    assert repr(x) == "FolderImages('photos/testA': 3 images, 3 x 12 x 12, source 'photos')"
    assert torch.equal(x.load().images, torch.stack([x[i] for i in range(3)])) and x.load().name == x.name


def test_only_the_folders_of_the_split_are_needed(photos):
    (photos / "testA" / "0.png").unlink()
    assert len(load_unpaired(photos, "test", stream=True)[0]) == 2
    for part in ("testA", "testB"):
        for path in (photos / part).iterdir():
            path.unlink()
    assert len(load_unpaired(photos)[0]) == 3
    with pytest.raises(DataUnavailable, match="testA has no image that can be used"):
        load_unpaired(photos, "test")


def test_items_are_like_those_of_a_list_and_workers_can_share_them(photos):
    x, _ = load_unpaired(photos, stream=True)
    assert x[-1][0, 0, 0] == 12 and x[np.int64(1)][0, 0, 0] == 11
    assert x[0].dtype == torch.uint8 and x[0].is_contiguous() and values(x.take(2)) == [10, 11]
    with pytest.raises(IndexError):
        x[3]
    with pytest.raises(TypeError):
        x["0"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        x.size = (1, 1)
    assert values(pickle.loads(pickle.dumps(x))) == [10, 11, 12]
    batches = list(DataLoader(x, batch_size=2, num_workers=1, multiprocessing_context="spawn"))
    assert [batch[:, 0, 0, 0].tolist() for batch in batches] == [[10, 11], [12]]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"paths": ["a"]}, TypeError, "paths must be a tuple, not list"),
        ({"paths": ()}, ValueError, "no paths"),
        ({"size": 8}, TypeError, r"size must be \(height, width\)"),
        ({"size": (8.0, 8)}, TypeError, r"size must be \(height, width\)"),
        ({"size": (0, 8)}, ValueError, "size must be positive"),
    ],
)
def test_wrong_fields_are_refused_by_name(changes, error, message):
    with pytest.raises(error, match=message):
        FolderImages(**{"paths": ("a.png",), "size": (8, 8), "name": "n", "source": "s"} | changes)


def test_file_that_changes_after_the_scan_is_named(photos):
    x, _ = load_unpaired(photos, stream=True)
    (photos / "trainA" / "0.png").unlink()
    (photos / "trainA" / "1.png").write_text("<html>")
    for i, fault in ((0, "is gone"), (1, "is not an image of a known format")):
        with pytest.raises(
            DataUnavailable, match=f"{i}.png {fault}; it was whole when the folder was scanned"
        ) as caught:
            x[i]
        assert caught.value.__suppress_context__
    with pytest.raises(DataUnavailable, match="0.png is gone"):
        x.load()


def test_files_that_cannot_be_used_are_left_out_and_named_in_one_message(photos):
    faults = spoil(photos / "trainA")
    (photos / "trainB" / "readme.md").write_text("")
    with pytest.warns(SkippedFilesWarning) as caught:
        x, y = load_unpaired(photos, size=12, stream=True)
    assert len(caught) == 1 and caught[0].filename == __file__
    message = str(caught[0].message)
    assert f"8 of 11 files of {photos / 'trainA'} are skipped: " in message
    assert f"1 of 4 files of {photos / 'trainB'} are skipped: readme.md is not an image file" in message
    for name, fault in faults.items():
        assert f"{name} {fault}" in message
    assert "hidden" not in message and "DS_Store" not in message and "\n" not in message
    assert values(x) == [10, 11, 12] and values(y) == [20, 21, 22]


def test_many_files_that_cannot_be_used_are_counted(photos):
    for i in range(25):
        (photos / "trainA" / f"note{i:02}.txt").write_text("")
    with pytest.warns(SkippedFilesWarning, match="25 of 28 files .* note09.txt is not an image file; and 15 more"):
        load_unpaired(photos)


def test_folder_without_a_usable_image_is_refused_with_the_reasons(photos):
    for path in (photos / "trainB").iterdir():
        path.write_text("<html>")
    with pytest.raises(DataUnavailable, match="trainB has no image that can be used: 0.png is not an image of a known"):
        load_unpaired(photos)


def test_pictures_of_every_kind_become_rgb_without_a_warning(photos):
    grey = np.full((12, 12), 77, np.uint8)
    kinds = {
        "grey.png": Image.fromarray(grey),
        "palette.gif": Image.fromarray(grey).convert("P"),
        "alpha.png": Image.new("RGBA", (12, 12), (0, 0, 0, 0)),
        "deep.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "cmyk.jpg": Image.new("CMYK", (12, 12), (0, 0, 0, 0)),
        "BIG.JPEG": flat(80),
    }
    for name, image in kinds.items():
        image.save(photos / "testA" / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, _ = load_unpaired(photos, "test")
    shown = dict(zip(sorted(path.name for path in (photos / "testA").iterdir()), x.images))
    assert all(shown[name].unique().tolist() == [77] for name in ("grey.png", "palette.gif", "deep.png"))
    assert shown["alpha.png"].unique().tolist() == [255] and shown["cmyk.jpg"].min() >= 253
    assert abs(shown["BIG.JPEG"][0, 0, 0].item() - 80) <= 3


def test_sizes_that_differ_need_a_size(photos):
    flat(99, 40, 20).save(photos / "trainB" / "wide.png")
    with pytest.raises(ValueError, match="have 2 sizes, from 12 x 12 to 40 x 20 pixels: pass size=, as size=256"):
        load_unpaired(photos)
    x, y = load_unpaired(photos, size=16)
    assert x.image_shape == y.image_shape == (3, 16, 16) and values(y.images) == [20, 21, 22, 99]
    assert load_unpaired(photos, "test")[0].image_shape == (3, 12, 12)


def test_own_size_need_not_be_square(tmp_path):
    x, y = load_unpaired(fill(tmp_path / "wide", 1, width=20, height=10), stream=True)
    assert x.image_shape == y.image_shape == (3, 10, 20)


def test_resizing_keeps_proportions_and_the_centre():
    """Stripes left, centre, right: of a picture twice as wide as high the centre stays."""
    image = torch.zeros(3, 32, 64, dtype=torch.uint8)
    image[:, :, 20:44] = 255
    small = resized(image, (16, 16))
    assert small.shape == (3, 16, 16) and small.is_contiguous()
    assert small[:, :, 3:13].min() > 250 and small[:, :, 0].max() < 5 and small[:, :, -1].max() < 5
    assert resized(image, (32, 64)).data_ptr() == image.data_ptr()
    assert resized(image, (48, 96)).shape == (3, 48, 96) and resized(image[:, :, :10], (30, 40)).shape == (3, 30, 40)


def test_shrinking_averages():
    """White in every fourth column; sampling without a filter would see more of it, or none."""
    image = (torch.arange(64) % 4 == 0).mul(255).to(torch.uint8).expand(3, 64, 64).contiguous()
    assert (resized(image, (8, 8))[..., 1:-1].float() - 255 / 4).abs().max() < 4


def test_pixels_of_a_file_come_back_in_their_places(photos):
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(image).save(photos / "trainA" / "0.png")
    for stream in (False, True):
        x, _ = load_unpaired(photos, stream=stream)
        first = x[0] if stream else x.images[0]
        assert np.array_equal(first.numpy(), image.transpose(2, 0, 1))


@pytest.mark.parametrize("name", [*EMBEDDED_UNPAIRED])
def test_embedded_sets_are_resized_too_but_not_streamed(name):
    x, y = load_unpaired(name, "test", size=20)
    assert x.image_shape[1:] == y.image_shape[1:] == (20, 20) and len(x) == len(y)
    with pytest.raises(ValueError, match=f"{name} is not a folder of images: only folders can be streamed"):
        load_unpaired(name, stream=True)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            ("horse",),
            {},
            ValueError,
            "data set 'horse'; choose one of: coloured_digits, .*, or give the path of a folder",
        ),
        ((3,), {}, ValueError, "data set 3"),
        (("glyphs", "valid"), {}, ValueError, "split 'valid'; choose one of: train, test"),
        (("glyphs",), {"offline": "emoji"}, ValueError, "'emoji'; choose one of: coloured_digits, glyphs"),
        (("glyphs",), {"size": 32.0}, TypeError, "size must be an integer, not float"),
        (("glyphs",), {"size": True}, TypeError, "size must be an integer, not bool"),
        (("glyphs",), {"size": 7}, ValueError, "size must be at least 8, not 7"),
    ],
)
def test_wrong_arguments_are_answered_with_the_valid_ones(arguments, options, error, message):
    with pytest.raises(error, match=message):
        load_unpaired(*arguments, **options)


def test_missing_folder_is_named_and_can_be_replaced(tmp_path):
    with pytest.raises(DataUnavailable, match="folder .*nothing/trainA is missing.*offline=.coloured_digits"):
        load_unpaired(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataUnavailable, match="folder .*file/trainA is missing"):
        load_unpaired(tmp_path / "file")
    with pytest.warns(OfflineFallbackWarning, match="nothing is replaced by the embedded glyphs: ") as caught:
        x, _ = load_unpaired(tmp_path / "nothing", offline="glyphs", stream=True)
    assert caught[0].filename == __file__
    assert isinstance(x, ImageSet) and "glyphs (embedded; " in x.source and "nothing unavailable)" in x.source


def test_sets_win_over_folders_of_their_name(tmp_path, monkeypatch):
    fill(tmp_path / "glyphs")
    monkeypatch.chdir(tmp_path)
    assert load_unpaired("glyphs")[0].image_shape == (1, 32, 32)
    assert load_unpaired("./glyphs")[0].name == "glyphs/trainA"
    fill(tmp_path / "mine")
    assert load_unpaired("mine")[0].name == "mine/trainA"
    monkeypatch.chdir(tmp_path / "mine")
    assert load_unpaired("./")[0].name == "mine/trainA"


@pytest.fixture
def examined(monkeypatch):
    """Names of the files that scans decode."""
    names = []
    examine = scanning._examine
    monkeypatch.setattr(scanning, "_examine", lambda entry: names.append(entry.name) or examine(entry))
    return names


def test_second_scan_decodes_only_what_changed(photos, examined):
    folder = photos / "trainA"
    spoil(folder)
    first = scan_folder(folder)
    assert len(examined) == 11
    examined.clear()
    assert scan_folder(folder) == first and examined == ["link.png"]
    (folder / "0.png").write_text("<html>")
    flat(9).save(folder / "new.png")
    (folder / "1.png").unlink()
    examined.clear()
    second = scan_folder(folder)
    assert sorted(examined) == ["0.png", "link.png", "new.png"]
    assert [path.name for path in second.paths] == ["2.png", "new.png"] and "0.png" in second.skipped


def test_file_of_the_same_size_is_decoded_again_when_its_time_changed(photos, examined):
    path = photos / "trainA" / "0.png"
    scan_folder(photos / "trainA")
    content = path.read_bytes()
    path.write_bytes(content[:60] + bytes(len(content) - 60))
    os.utime(path, ns=(0, 0))
    assert "0.png" in scan_folder(photos / "trainA").skipped


def test_scans_are_kept_in_the_users_cache_and_never_in_the_folder(photos, users_cache):
    before = {path: path.stat().st_mtime_ns for path in (photos, *photos.rglob("*"))}
    load_unpaired(photos)
    assert {path: path.stat().st_mtime_ns for path in (photos, *photos.rglob("*"))} == before
    assert len(list((users_cache / "coursekit" / "scans").glob("*.json"))) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b'{"maker": 1, "files": {"0.png": 3}}', b'{"files": {"0.png": [[1, 2], {"a": 1}]}}'],
)
def test_damaged_memory_of_scans_is_forgotten(photos, users_cache, content):
    first = scan_folder(photos / "trainA")
    (kept,) = (users_cache / "coursekit" / "scans").iterdir()
    kept.write_bytes(content)
    assert scan_folder(photos / "trainA") == first


def test_memory_of_another_version_of_pillow_is_forgotten(photos, examined, monkeypatch):
    scan_folder(photos / "trainA")
    monkeypatch.setattr("PIL.__version__", "0.0")
    scan_folder(photos / "trainA")
    assert len(examined) == 6


def test_cache_that_cannot_be_written_is_done_without(photos, users_cache):
    users_cache.joinpath("coursekit").write_text("a file where the folder should be")
    assert len(scan_folder(photos / "trainA").paths) == 3


@pytest.fixture
def served(monkeypatch, serve, tmp_path):
    """Call with behaviours and a change of the archive: "horse2zebra" becomes three small images a folder."""
    source = fill(tmp_path / "source", width=16, height=16)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(source.rglob("*")):
            archive.write(path, f"horse2zebra/{path.relative_to(source)}")
    content = content.getvalue()

    def use(*behaviours, served=content, pinned=None, counts=3):
        pinned = pinned or served
        file = download.RemoteFile("horse2zebra.zip", len(pinned), hashlib.sha256(pinned).hexdigest())
        known = FolderSet(
            counts=dict.fromkeys(COLOURS, counts),
            archive=file,
            mirrors=serve({file.name: served}, *behaviours),
            size=8,
        )
        monkeypatch.setitem(unpaired_folders.FOLDER_SETS, "horse2zebra", known)
        return content

    return use


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_archive_is_downloaded_and_unpacked_once(served, server, online):
    served("broken", "good")
    assert not is_available("horse2zebra")
    x, y = load_unpaired("horse2zebra")
    assert x.image_shape == (3, 8, 8) and values(x.images) == [10, 11, 12] and values(y.images) == [20, 21, 22]
    assert (x.name, x.source) == ("horse2zebra/trainA", "horse2zebra")
    assert is_available("horse2zebra") and is_available("horse2zebra", "test")
    assert load_unpaired("horse2zebra", "test", size=16, stream=True)[1].image_shape == (3, 16, 16)
    assert server.requests == [("broken", "horse2zebra.zip"), ("good", "horse2zebra.zip")]
    assert files_below(online) == [f"horse2zebra/{part}/{i}.png" for part in sorted(COLOURS) for i in range(3)]


FAULTS = {
    "truncates": "is damaged",
    "corrupts": "its checksum is wrong",
    "dies": "the connection broke off",
    "stalls": "timed out",
    "missing": "HTTP status 404",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_network_give_one_clear_error_and_leave_nothing(served, online, fault):
    served(fault)
    with pytest.raises(DataUnavailable, match=FAULTS[fault]) as caught:
        load_unpaired("horse2zebra")
    message = str(caught.value)
    assert message.startswith("horse2zebra: ") and 'offline="glyphs"' in message and "\n" not in message
    assert caught.value.__suppress_context__ and files_below(online) == []


def test_archive_that_points_elsewhere_is_refused(served, online, tmp_path):
    content = io.BytesIO(served("good"))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("../../evil.jpg", b"evil")
    served("good", served=content.getvalue())
    with pytest.raises(DataUnavailable, match="what it sent has a name that points elsewhere"):
        load_unpaired("horse2zebra")
    assert files_below(online) == [] and not list(tmp_path.rglob("evil*"))


def test_disk_that_fills_up_gives_one_clear_error(served, monkeypatch, online):
    served("good")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unpaired_folders, "unpack_folders", full)
    with pytest.raises(DataUnavailable, match=r"horse2zebra is missing and cannot be written \(No space left"):
        load_unpaired("horse2zebra")
    assert files_below(online) == []


def test_folder_that_lacks_images_is_neither_used_nor_changed(served, server, online):
    served("good")
    load_unpaired("horse2zebra")
    (online / "horse2zebra" / "trainB" / "1.png").unlink()
    before = files_below(online)
    assert not is_available("horse2zebra") and is_available("horse2zebra", "test")
    with pytest.raises(DataUnavailable, match="trainB has 2 images of 3. Remove .*horse2zebra to have it"):
        load_unpaired("horse2zebra")
    assert files_below(online) == before and len(server.requests) == 1


def test_offline_forbids_the_download(served, server, monkeypatch, online):
    served("good")
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    with pytest.raises(DataUnavailable, match="horse2zebra is missing, and COURSEKIT_OFFLINE forbids"):
        load_unpaired("horse2zebra")
    assert server.requests == [] and not online.exists()


def test_set_that_is_not_downloaded_says_where_it_comes_from(online):
    assert not is_available("apple2tomato")
    with pytest.raises(
        DataUnavailable, match="apple2tomato is missing, and it is not downloaded: .*fruits-360.*trainA"
    ):
        load_unpaired("apple2tomato")
    fill(online / "apple2tomato")
    assert is_available("apple2tomato") and len(load_unpaired("apple2tomato")[0]) == 3


def test_registered_archive_is_the_published_one():
    known = unpaired_folders.FOLDER_SETS["horse2zebra"]
    assert known.archive.size == 116_867_962
    assert known.archive.sha256 == "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"
    assert sum(known.counts.values()) == 2661 and known.size == 256


def test_names_are_consistent():
    assert set(EMBEDDED_UNPAIRED) < set(UNPAIRED_SETS) and set(unpaired_folders.FOLDER_SETS) < set(UNPAIRED_SETS)
    assert all(is_available(name, split) for name in EMBEDDED_UNPAIRED for split in ("train", "test"))
    with pytest.raises(ValueError, match="choose one of: digits, .*, glyphs, emoji, apple2tomato, horse2zebra"):
        is_available("nothing")


def test_real_folders_load_without_a_complaint():
    if not os.environ.get("COURSEKIT_DATA"):
        pytest.skip("COURSEKIT_DATA is not set")
    if not is_available("apple2tomato", "test"):
        pytest.skip("COURSEKIT_DATA does not hold apple2tomato")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, y = load_unpaired("apple2tomato", "test")
    assert x.image_shape == y.image_shape == (3, 100, 100)
    red, green, _ = (y.images.float() / 255).mean(dim=(0, 2, 3))
    assert red > green + 0.05, "tomatoes are red"
