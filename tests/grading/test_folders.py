"""Folders of a grader, and what is left of those that were killed."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coursekit.grading import folders, stripped
from coursekit.grading.folders import Folder, sweep

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
MAKES_ONE = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from coursekit.grading.folders import Folder
folder = Folder("inside")
open(folder.path + "/answer.py", "w").close()
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def base(tmp_path, monkeypatch):
    """The system's temporary folder."""
    monkeypatch.setattr(folders.tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def grader(base):
    """Another process with a folder of its own: `(process, its folder)`."""
    with subprocess.Popen(
        [sys.executable, "-c", MAKES_ONE, str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def left(base, name="coursekit-inside-abcdefgh"):
    """A folder as a killed grader leaves it."""
    folder = base / name
    folder.mkdir()
    (folder / "answer.py").write_text("")
    return folder


def test_a_folder_is_its_makers_until_it_is_removed(base):
    folder = Folder("student")
    assert folders.NAME.fullmatch(Path(folder).name) and Path(folder).parent == base
    assert sweep() == [] and Path(folder).is_dir()
    folder.remove()
    folder.remove()
    assert not Path(folder).exists()


@linux
def test_what_a_killed_grader_leaves_is_swept_and_what_a_living_one_has_is_not(grader, base):
    process, folder = grader
    assert sweep() == [] and (folder / "answer.py").exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert folder.exists()
    assert sweep() == [folder.name]
    assert not folder.exists()


@pytest.mark.parametrize("kind", folders.KINDS)
def test_both_kinds_are_swept(base, kind):
    folder = left(base, f"coursekit-{kind}-0a_bcdef")
    assert sweep() == [folder.name] and not folder.exists()


@pytest.mark.parametrize(
    "name",
    [
        "coursekit-inside-abcdefgh.bak",
        "coursekit-inside-abc",
        "coursekit-other-abcdefgh",
        "my-coursekit-inside-abcdefgh",
    ],
)
def test_other_names_are_let_alone(base, name):
    folder = left(base, name)
    assert sweep() == [] and folder.exists()


def test_no_link_is_followed(base):
    (base / "mine").mkdir()
    (base / "mine" / "thesis.txt").write_text("")
    (base / "coursekit-inside-abcdefgh").symlink_to(base / "mine")
    folder = left(base, "coursekit-student-abcdefgh")
    (folder / "link").symlink_to(base / "mine")
    assert sweep() == [folder.name]
    assert (base / "mine" / "thesis.txt").exists() and (base / "coursekit-inside-abcdefgh").is_symlink()


def test_a_file_of_that_name_is_let_alone(base):
    (base / "coursekit-inside-abcdefgh").write_text("")
    assert sweep() == [] and (base / "coursekit-inside-abcdefgh").exists()


def test_folders_of_others_are_let_alone(base, monkeypatch):
    folder = left(base)
    monkeypatch.setattr(folders.os, "geteuid", lambda: folder.stat().st_uid + 1)
    assert sweep() == [] and folder.exists()


@pytest.mark.parametrize("step", ["_open", "fcntl.flock"])
def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(base, monkeypatch, step):
    made, make = [], folders.tempfile.mkdtemp
    module, name = (folders, step) if step == "_open" else (folders.fcntl, "flock")
    call = getattr(module, name)

    def noted(prefix):
        made.append(make(prefix=prefix))
        return made[-1]

    def swept_before(*arguments):
        if len(made) == 1 and os.path.exists(made[0]):
            os.rmdir(made[0])
        return call(*arguments)

    monkeypatch.setattr(folders.tempfile, "mkdtemp", noted)
    monkeypatch.setattr(module, name, swept_before)
    folder = Folder("inside")
    assert len(made) == 2 and folder.path == made[1] and Path(folder).is_dir()
    assert sweep() == []


def test_where_nothing_can_be_locked_folders_are_made_and_none_is_swept(base, monkeypatch):
    def refuse(descriptor, how):
        raise OSError(errno.ENOLCK, "No locks available")

    other = left(base)
    monkeypatch.setattr(folders.fcntl, "flock", refuse)
    folder = Folder("inside")
    assert sweep() == [] and Path(folder).is_dir() and other.is_dir()
    folder.remove()
    assert not Path(folder).exists()


def test_a_temporary_folder_that_cannot_be_listed_stops_nothing(tmp_path):
    assert sweep(tmp_path / "nowhere") == []


def test_a_grader_sweeps_before_it_makes_its_first_copy_of_coursekit(base, monkeypatch):
    folder = left(base)
    monkeypatch.setattr(stripped, "_MADE", {})
    monkeypatch.setattr(stripped, "_write", lambda folder, implementations: None)
    tree = stripped.make_tree()
    assert not folder.exists() and tree.is_dir()
    again = left(base)
    assert stripped.make_tree(("coursekit.losses.vae.reparameterise",)) != tree
    assert again.exists()
