"""A run lives through kill -9 at any moment, full disks and folders that cannot be written."""

import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from coursekit import checkpoints

STEPS = 60
PATIENCE = 900  # seconds, of what takes half a minute on an idle core: a machine may have ten other things to do
THIRTY_KILLS = (pytest.mark.slow, pytest.mark.timeout(4 * PATIENCE))


class Nursery:
    """Handle of `_nursery.py`: one child at a time."""

    def __init__(self, process, mounts):
        self.process = process
        self.mounts = mounts  # whether its children may mount file systems, which only they see

    def start(self, log, **job):
        self.log = log
        self.process.stdin.write(json.dumps(job | {"log": str(log)}).encode() + b"\n")
        return self._answer(60)["process"]

    def ended(self, timeout):
        """Whether the child has ended, waiting for at most `timeout` seconds."""
        return bool(select.select([self.process.stdout], [], [], timeout)[0])

    def code(self, patience=120):
        return self._answer(patience)["code"]

    def run(self, log, patience=120, **job):
        """Run a job that nobody disturbs from outside."""
        self.start(log, **job)
        code = self.code(patience)
        assert code == 0, (code, Path(log).read_text()[-2000:])

    def _answer(self, timeout):
        assert self.ended(timeout), "the nursery does not answer"
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def nursery():
    mounts = (
        bool(shutil.which("unshare")) and not subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode
    )
    process = subprocess.Popen(
        [*(["unshare", "-rm"] if mounts else []), sys.executable, Path(__file__).with_name("_nursery.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        bufsize=0,  # so that select sees what readline has not read
    )
    nursery = Nursery(process, mounts)
    assert nursery._answer(120) == "ready"
    yield nursery
    process.kill()
    process.communicate()


def content(path):
    """The digest of all that a file says: description, and names, types and bits of its tensors."""
    checkpoints.read(path)  # raises if the digest is not that of the content
    with safe_open(path, framework="pt") as file:
        return file.metadata()["digest"]


def undisturbed(nursery, folder, model, steps, every):
    """The content of the file of a run that nothing disturbed, and the seconds it took."""
    path = folder / "undisturbed.safetensors"
    start = time.monotonic()
    nursery.run(folder / "log", patience=PATIENCE, do="train", model=model, path=str(path), steps=steps, every=every)
    return content(path), time.monotonic() - start


def killed_run(nursery, path, kills, pace, moments, **job):
    """Train into `path`, killing the process up to `kills` times; returns how often it was."""
    step = 0
    for killed in range(kills + 1):
        process = nursery.start(path.with_name("log"), path=str(path), do="train", **job)
        deadline = time.monotonic() + moments.uniform(0, 2 * pace)
        while not nursery.ended(0.01):
            if path.exists():
                saved = checkpoints.read(path)[1]["step"]  # raises if the file is not whole
                assert saved >= step
                step = saved
            if killed < kills and time.monotonic() > deadline:
                os.kill(process, signal.SIGKILL)
                break
        code = nursery.code(PATIENCE)
        if code != -signal.SIGKILL:
            assert code == 0, path.with_name("log").read_text()[-2000:]
            return killed
    raise AssertionError("the last process was killed, though not by this test")


@pytest.mark.parametrize(
    ("model", "steps", "kills"),
    [
        ("cyclegan", STEPS, 3),
        pytest.param("cyclegan", 600, 30, marks=THIRTY_KILLS),
        pytest.param("dcgan", 1500, 30, marks=THIRTY_KILLS),
        pytest.param("vae", 3000, 30, marks=THIRTY_KILLS),
    ],
)
def test_run_killed_at_random_moments_ends_in_the_bits_of_an_undisturbed_one(nursery, tmp_path, model, steps, kills):
    job = dict(model=model, steps=steps, every=3)
    expected, seconds = undisturbed(nursery, tmp_path, **job)
    seed = random.randrange(1 << 32)
    print(f"moments from seed {seed}")
    moments, left = random.Random(seed), kills
    for number in range(kills):  # a run that ends early is followed by another, until there were enough kills
        folder = tmp_path / f"run {number}"
        folder.mkdir()
        left -= killed_run(nursery, folder / "run.safetensors", left, seconds / kills, moments, **job)
        assert content(folder / "run.safetensors") == expected
        assert sorted(os.listdir(folder)) == ["log", "run.safetensors"]
        if not left:
            break
    assert not left


def test_process_killed_in_the_middle_of_a_save_leaves_the_old_file_and_the_next_save_clears_up(nursery, tmp_path):
    job = dict(model="vae", steps=12, every=3)
    expected, _ = undisturbed(nursery, tmp_path, **job)
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "run.safetensors"
    nursery.start(tmp_path / "log", do="train", path=str(path), die_in_save=3, **job)
    assert nursery.code() == -signal.SIGKILL
    assert checkpoints.read(path)[1]["step"] == 6
    (half,) = set(folder.iterdir()) - {path}
    assert half.name.endswith(".tmp") and 0 < half.stat().st_size < path.stat().st_size
    nursery.run(tmp_path / "log", do="train", path=str(path), **job)
    assert content(path) == expected and list(folder.iterdir()) == [path]


def test_file_that_another_process_is_writing_is_not_cleared_away(tmp_path):
    path = tmp_path / "run.safetensors"
    with checkpoints.whole_or_not_at_all(path) as file:
        file.write(b"half")
        checkpoints.write(path, {}, {"who": "another"})
        assert len(list(tmp_path.iterdir())) == 2
        assert checkpoints.read(path)[1] == {"who": "another"}
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"half"


@pytest.mark.parametrize(
    ("how", "says"),
    [("full", "No space left on device"), ("limited", "File too large"), ("read-only", "Read-only|Permission denied")],
)
def test_save_that_fails_is_one_clear_error_and_leaves_the_old_file_and_a_usable_trainer(nursery, tmp_path, how, says):
    mount = nursery.mounts and how != "limited"
    if how == "full" and not mount:
        pytest.skip("no user namespaces here (unshare -rm): a full disk cannot be made; 'limited' stands for it")
    if how == "read-only" and not mount and os.geteuid() == 0:
        pytest.skip(
            "root may write to any folder, and there are no user namespaces (unshare -rm) for a read-only mount"
        )
    expected, _ = undisturbed(nursery, tmp_path, "vae", 12, 100)
    folder, report, spare = tmp_path / "folder", tmp_path / "report.json", tmp_path / "spare.safetensors"
    folder.mkdir()
    names = dict(folder=str(folder), report=str(report), spare=str(spare))
    nursery.run(tmp_path / "log", do="disturb", model="vae", how=how, mount=mount, steps=12, **names)
    said = json.loads(report.read_text())
    assert re.search(says, said["error"])
    assert said["error"].startswith(f"cannot write {folder}/run.safetensors") and "\n" not in said["error"]
    assert "The run that run.safetensors held is unchanged" in said["error"]
    assert said == said | {"step": 5, "same": True, "opens": True, "files": ["run.safetensors"]}
    assert content(spare) == expected  # once there is room, the same trainer ends as if nothing had been
