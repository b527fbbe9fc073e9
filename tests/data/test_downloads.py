import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import requests

from coursekit.data import DataUnavailable, OfflineFallbackWarning, download, is_available, load_images

FAULTS = {
    "truncates": "is damaged",
    "corrupts": "is damaged",
    "dies": "the connection broke off",
    "stalls": "timed out",
    "hangs": "timed out",
    "missing": "HTTP status 404",
    "broken": "HTTP status 500",
}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "MNIST" / "raw"


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def place(folder, tiny):
    folder.mkdir(parents=True)
    for name, content in tiny.contents.items():
        (folder / name).write_bytes(content)


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in folder.rglob("*")}


def assert_is_tiny(image_set, tiny, split="train"):
    images, labels = tiny.arrays[split]
    assert np.array_equal(image_set.images.squeeze(1).numpy(), images)
    assert np.array_equal(image_set.labels.numpy(), labels)


def assert_one_error(caught):
    """One error, in one line, with no chain of others printed above it."""
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_downloads_once_and_then_reads_from_disk(mirrors, tiny, tmp_path, folder):
    server = mirrors("good", "good")
    first = load_images("mnist", "train")
    assert_is_tiny(first, tiny)
    assert len(server.requests) == 2
    assert files_below(tmp_path) == sorted(file.name for file in tiny.splits["train"])
    assert (folder / "train-images-idx3-ubyte.gz").read_bytes() == tiny.contents["train-images-idx3-ubyte.gz"]
    second = load_images("mnist", "train")
    assert_is_tiny(second, tiny)
    assert len(server.requests) == 2
    assert second.source == "mnist"


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_every_mirror_gives_one_clear_error_and_leaves_no_file(mirrors, server, tmp_path, fault):
    mirrors(fault, "missing")
    with pytest.raises(DataUnavailable) as caught:
        load_images("mnist")
    assert_one_error(caught)
    message = str(caught.value)
    assert f"{server.mirror(fault)} (" in message and FAULTS[fault] in message
    assert f"{server.mirror('missing')} (HTTP status 404)" in message
    assert "train-images-idx3-ubyte.gz is missing" in message
    assert "COURSEKIT_DATA" in message and 'offline="digits"' in message
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_second_mirror_makes_up_for_the_first(mirrors, tiny, tmp_path, fault):
    mirrors(fault, "good")
    assert_is_tiny(load_images("mnist", "test"), tiny, "test")
    assert files_below(tmp_path) == sorted(file.name for file in tiny.splits["test"])


def test_mirror_that_recovers_is_asked_again(mirrors, tiny):
    server = mirrors("recovers")
    assert_is_tiny(load_images("mnist"), tiny)
    assert len(server.requests) == 4


def test_nobody_listening_gives_one_clear_error(mirrors, monkeypatch, tiny, tmp_path):
    mirrors("good")
    closed = download.RemoteSet("MNIST/raw", ("http://127.0.0.1:1/",), tiny.splits, tuple("0123456789"))
    monkeypatch.setitem(download.REGISTRY, "mnist", closed)
    with pytest.raises(DataUnavailable, match="could not connect") as caught:
        load_images("mnist")
    assert_one_error(caught)
    assert files_below(tmp_path) == []


def test_interrupt_leaves_no_file(mirrors, monkeypatch, tmp_path):
    mirrors("good")

    def interrupted(self, n=1):
        raise KeyboardInterrupt

    monkeypatch.setattr(download._Bar, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_images("mnist")
    assert files_below(tmp_path) == []


def test_damaged_file_on_disk_is_downloaded_again(mirrors, tiny, folder):
    server = mirrors("good")
    place(folder, tiny)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"half a fi")
    assert not is_available("mnist")
    assert_is_tiny(load_images("mnist"), tiny)
    assert [name for _, name in server.requests] == ["train-images-idx3-ubyte.gz"]
    assert is_available("mnist")


def test_well_formed_file_of_other_content_is_damaged(mirrors, monkeypatch, tiny, folder):
    mirrors("good")
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    place(folder, tiny)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(tiny.contents["t10k-labels-idx1-ubyte.gz"])
    with pytest.raises(DataUnavailable, match="train-labels-idx1-ubyte.gz is damaged"):
        load_images("mnist")


def test_failed_repair_never_reads_the_damaged_file(mirrors, tiny, folder):
    mirrors("missing")
    place(folder, tiny)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"half a fi")
    for _ in range(2):
        with pytest.raises(DataUnavailable, match="damaged .* could not be downloaded"):
            load_images("mnist")


def test_folder_that_holds_the_files_is_never_written(mirrors, tiny, tmp_path, folder):
    """Read-only as well, which stops everybody but root; the times of files and folders tell on root too."""
    server = mirrors("good")
    place(folder, tiny)
    for path in [*folder.iterdir(), folder]:
        path.chmod(0o555)
    before = snapshot(tmp_path)
    assert_is_tiny(load_images("mnist"), tiny)
    assert_is_tiny(load_images("mnist", "test"), tiny, "test")
    assert snapshot(tmp_path) == before
    assert server.requests == []
    folder.chmod(0o755)


def test_folder_that_cannot_be_made_gives_one_clear_error(mirrors, tmp_path):
    server = mirrors("good", "good")
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(DataUnavailable, match="cannot be written .* COURSEKIT_DATA") as caught:
        load_images("mnist")
    assert_one_error(caught)
    assert server.requests == []


@pytest.mark.parametrize("present", [False, True], ids=["missing", "damaged"])
def test_unwritable_folder_gives_one_clear_error(mirrors, monkeypatch, tmp_path, folder, present):
    mirrors("good", "good")
    if present:
        folder.mkdir(parents=True)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(b"half a fi")

    def refuse(source, target):
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataUnavailable) as caught:
        load_images("mnist")
    assert_one_error(caught)
    problem = "is damaged" if present else "is missing"
    assert f"train-images-idx3-ubyte.gz {problem}" in str(caught.value)
    assert "cannot be written (Permission denied)" in str(caught.value)
    assert files_below(tmp_path) == (["train-images-idx3-ubyte.gz"] if present else [])


def test_offline_forbids_every_request(mirrors, monkeypatch, tmp_path):
    server = mirrors("good")
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    with pytest.raises(
        DataUnavailable, match='is missing, and COURSEKIT_OFFLINE forbids .* offline="digits"'
    ) as caught:
        load_images("mnist")
    assert_one_error(caught)
    assert server.requests == []
    assert not (tmp_path / "data").exists()


def test_offline_0_allows_downloads(mirrors, monkeypatch, tiny):
    mirrors("good")
    monkeypatch.setenv("COURSEKIT_OFFLINE", "0")
    assert_is_tiny(load_images("mnist"), tiny)


def test_offline_reads_what_is_on_disk(mirrors, monkeypatch, tiny, folder):
    mirrors("good")
    place(folder, tiny)
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    assert_is_tiny(load_images("mnist"), tiny)


def test_fallback_warns_and_is_recorded(mirrors, monkeypatch):
    mirrors("good")
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")
    with pytest.warns(OfflineFallbackWarning, match="mnist is replaced by the embedded digits") as caught:
        fallback = load_images("mnist", "test", offline="digits")
    assert caught[0].filename == __file__
    assert fallback.source == "digits (embedded; mnist unavailable)"
    assert fallback.name == "digits"
    assert len(fallback) == len(load_images("digits", "test"))


def test_fallback_is_silent_when_the_data_are_there(mirrors, tiny, folder):
    mirrors("good")
    place(folder, tiny)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_is_tiny(load_images("mnist", offline="digits"), tiny)


def test_root_argument_wins_over_the_environment(mirrors, tiny, tmp_path):
    mirrors("missing")
    place(tmp_path / "elsewhere" / "MNIST" / "raw", tiny)
    assert_is_tiny(load_images("mnist", root=tmp_path / "elsewhere"), tiny)
    assert not (tmp_path / "data").exists()


def test_default_root_is_the_users_cache(monkeypatch):
    pooch = pytest.importorskip("pooch")
    for unset in (None, ""):
        monkeypatch.delenv("COURSEKIT_DATA", raising=False)
        if unset is not None:
            monkeypatch.setenv("COURSEKIT_DATA", unset)
        assert download.data_folder() == pooch.os_cache("coursekit")


def test_home_folder_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert download.data_folder("~/images") == tmp_path / "images"


def test_transparent_compression_is_not_asked_for(mirrors, monkeypatch, tiny):
    mirrors("good")
    asked = []
    get = requests.get
    monkeypatch.setattr(requests, "get", lambda url, **kwargs: asked.append(kwargs["headers"]) or get(url, **kwargs))
    assert_is_tiny(load_images("mnist"), tiny)
    assert asked == [{"Accept-Encoding": "identity"}] * 2


def test_progress_goes_to_stderr_and_ends_full(mirrors, monkeypatch, capsys, tiny):
    mirrors("good")
    bar = download._Bar
    monkeypatch.setattr(download, "_Bar", lambda **options: bar(**options | {"delay": 0, "disable": False}))
    assert_is_tiny(load_images("mnist"), tiny)
    shown = capsys.readouterr()
    assert "train-images-idx3-ubyte.gz: 100%" in shown.err
    assert shown.out == ""


CLIENT = """
import json, sys
from coursekit.data import download, load_images
spec = json.loads(sys.argv[1])
splits = {split: tuple(download.RemoteFile(*file) for file in files) for split, files in spec["splits"].items()}
download.REGISTRY["mnist"] = download.RemoteSet("MNIST/raw", tuple(spec["mirrors"]), splits, tuple("0123456789"))
download.TIMEOUT = (20.0, 60.0)
print(load_images("mnist").images.sum().item())
"""


@pytest.fixture
def client(tiny, server, mirrors):
    """Start a process that loads the tiny set from a mirror of the given behaviour."""
    splits = {split: [[f.name, f.size, f.sha256] for f in files] for split, files in tiny.splits.items()}
    started = []

    def start(behaviour):
        spec = json.dumps({"splits": splits, "mirrors": [server.mirror(behaviour)]})
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, spec], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_at_once_both_succeed(client, server, mirrors, tiny, tmp_path):
    """The server gives both half of the images, and the rest only when both have come this far."""
    mirrors("together")
    other = client("together")
    assert_is_tiny(load_images("mnist"), tiny)
    stdout, stderr = other.communicate(timeout=60)
    assert stdout.strip() == str(tiny.arrays["train"][0].sum()), stderr
    assert not server.both_here.broken
    assert sum("images" in name for _, name in server.requests) == 2
    assert files_below(tmp_path) == sorted(file.name for file in tiny.splits["train"])


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGKILL")
def test_killed_process_leaves_nothing_that_is_read_later(client, server, mirrors, tiny, folder):
    process = client("stalls")
    deadline = time.monotonic() + 30
    while not server.requests and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert not (folder / "train-images-idx3-ubyte.gz").exists()
    mirrors("good")
    assert_is_tiny(load_images("mnist"), tiny)
