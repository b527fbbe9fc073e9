"""The bundle for Gradescope, and what it does in a folder that stands for ``/autograder``.

The service itself is not asked: nothing here says that it runs there.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

import coursekit
from coursekit.errors import CoursekitError
from coursekit.grading import gradescope
from coursekit.grading.gradescope import grade_one, main, write_bundle
from coursekit.grading.sandbox import can_become_another

sys.path.insert(0, str(Path(__file__).parent))
from submissions import SOLUTIONS, WRONG_KL, Kit  # noqa: E402

sys.path.pop(0)

SECRET = b"the secret of a class on Gradescope"


@pytest.fixture
def autograder(tmp_path):
    """A folder like ``/autograder``, with the unpacked bundle and a right submission by ada@example.org."""
    root = Path(tempfile.mkdtemp(prefix="autograder-"))  # not below tmp_path, which only its owner may enter
    root.chmod(0o755)
    archive = write_bundle(tmp_path / "bundle", "vae", SECRET)
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(root / "source")
    (root / "submission").mkdir()
    metadata(root, "ada@example.org")
    yield root
    shutil.rmtree(root)


def metadata(root, *emails, **more):
    users = [{"email": email, "id": 7, "name": "A Student"} for email in emails]
    (root / "submission_metadata.json").write_text(json.dumps({"id": 1, "users": users} | more))


def hand_in(root, student, **answers):
    kit = Kit(root / "submission", student, 0, None)
    kit.bare(kit.notebook(**answers), "vae.ipynb")


# -- the bundle ------------------------------------------------------------------------------------


def test_the_bundle_holds_what_gradescope_needs_and_all_of_coursekit(tmp_path):
    archive = write_bundle(tmp_path / "bundle", "vae", SECRET)
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in packed.infolist()}
    assert {"setup.sh", "run_autograder", "secret", "bundle.json", "requirements.txt"} <= names
    package = Path(coursekit.__file__).parent
    wanted = {
        path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.suffix in (".py", ".json")
    }
    assert wanted <= names and not [name for name in names if "__pycache__" in name]
    assert modes["run_autograder"] == modes["setup.sh"] == 0o755 and modes["secret"] == 0o600
    assert archive.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("script", ["setup.sh", "run_autograder"])
def test_the_scripts_are_shell(tmp_path, script):
    write_bundle(tmp_path / "bundle", "vae", SECRET)
    result = subprocess.run(["bash", "-n", tmp_path / "bundle" / script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_requirements_are_coursekits_own(tmp_path):
    write_bundle(tmp_path / "bundle", "vae", SECRET)
    written = (tmp_path / "bundle" / "requirements.txt").read_text().split("\n")[:-1]
    ours = [line for line in requires("coursekit") if "extra ==" not in line]
    assert written == [*ours, "ipython"] and len(ours) >= 10


def test_a_copy_that_is_not_installed_is_told_to_be(tmp_path, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(gradescope, "requires", missing)
    with pytest.raises(CoursekitError, match="pip install"):
        write_bundle(tmp_path / "bundle", "vae", SECRET)
    assert not (tmp_path / "bundle").exists()


def test_the_bundle_overwrites_nothing(tmp_path):
    (tmp_path / "mine").write_text("")
    with pytest.raises(CoursekitError, match="not empty"):
        write_bundle(tmp_path, "vae", SECRET)


# -- grading ---------------------------------------------------------------------------------------


def run_as_gradescope(root, before=()):
    """What ``run_autograder`` runs, by the unpacked source, from a folder of its own."""
    environment = {"PYTHONPATH": str(root / "source"), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}
    command = [*before, sys.executable, "-m", "coursekit.grading.gradescope", str(root)]
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    return json.loads((root / "results" / "results.json").read_text())


OPENED = """
set -e
mount --bind "$1" "$2"
mount -t tmpfs -o mode=755 tmpfs "$3"
mkdir -p "$1"
mount --bind "$2" "$1"
shift 3
exec "$@"
"""


def with_python_for_everybody(tmp_path):
    """A command before a command: Python's folder, where others may not enter it, is shown below one they may."""
    prefix = Path(sys.base_prefix)
    closed = [folder for folder in reversed(prefix.parents) if not folder.stat().st_mode & 0o001]
    if not closed:
        return ()
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-m", "true"], capture_output=True).returncode:
        pytest.skip("another uid cannot reach this Python, and there is no namespace to show it in")
    place = tmp_path / "python"
    place.mkdir()
    return (unshare, "-m", shutil.which("bash"), "-c", OPENED, "-", prefix, place, closed[0])


@pytest.mark.needs("bwrap")
def test_a_submission_is_graded_as_it_would_be_in_the_container(autograder):
    hand_in(autograder, "ada@example.org", kl=WRONG_KL)
    results = run_as_gradescope(autograder)
    assert results["score"] == 55 and len(results["tests"]) == 7
    assert results["tests"][0] | {"name": "", "output": ""} == {
        "name": "",
        "score": 0.0,
        "max_score": 15.0,
        "status": "failed",
        "output": "",
        "output_format": "text",
        "visibility": "visible",
    }
    assert results["extra_data"] == {"assignment": "vae", "flags": [], "sandbox": "bwrap"}


@pytest.mark.skipif(not can_become_another(), reason="the container's grader is root, and so must be this one")
def test_where_there_is_no_bubblewrap_another_uid_is_used_and_the_report_says_so(autograder, tmp_path):
    secret = autograder / "source" / "secret"
    secret.chmod(0o600)
    peek = f"def kl(mu, log_var):\n    return torch.tensor(list(open({str(secret)!r}, 'rb').read()))"
    hand_in(autograder, "ada@example.org", kl=peek)
    hidden = (shutil.which("env"), "PATH=/nowhere")
    results = run_as_gradescope(autograder, before=[*with_python_for_everybody(tmp_path), *hidden])
    assert results["extra_data"]["sandbox"] == "uid" and "another user with limits" in results["output"]
    assert results["score"] == 55 and "PermissionError" in results["tests"][0]["output"]


def test_without_a_sandbox_nobody_is_graded(autograder, monkeypatch):
    monkeypatch.setattr("coursekit.grading.doctor.working_sandboxes", lambda: ["none"])
    hand_in(autograder, "ada@example.org")
    main(autograder)
    results = json.loads((autograder / "results" / "results.json").read_text())
    assert results["score"] == 0 and "not your fault" in results["output"] and "tests" not in results


@pytest.mark.parametrize(
    "break_it",
    [
        lambda root: shutil.rmtree(root / "source"),
        lambda root: (root / "source" / "bundle.json").write_text("{"),
        lambda root: (root / "source" / "secret").unlink(),
    ],
)
def test_whatever_fails_there_are_results_that_tell_nothing(autograder, break_it, capsys):
    break_it(autograder)
    main(autograder)
    text = (autograder / "results" / "results.json").read_text()
    assert json.loads(text)["score"] == 0 and "not your fault" in text
    assert str(autograder) not in text and capsys.readouterr() == ("", "")


def graded_ids(monkeypatch, root):
    """Whom the submission is graded as."""
    monkeypatch.setattr("coursekit.grading.marking.mark", lambda submission, *args, **kwargs: submission)
    return grade_one(root, sandbox="bwrap")[1]


@pytest.mark.parametrize(
    "emails, typed, student, flags",
    [
        (["ada@example.org"], "ada@example.org", "ada@example.org", ()),
        (["ada@example.org"], "Ada", "ada", ()),
        (["ada@example.org"], "your-id", "ada@example.org", ()),
        (["ada@example.org"], "mallory", "ada@example.org", ("id-differs",)),
        (["ada@example.org", "bob@example.org"], "bob", "bob", ()),
        ([], "ada", "unknown", ("id-differs",)),
    ],
)
def test_the_id_is_a_submitters_address_or_its_first_part(autograder, monkeypatch, emails, typed, student, flags):
    metadata(autograder, *emails)
    hand_in(autograder, typed)
    submission = graded_ids(monkeypatch, autograder)
    assert (submission.student, submission.flags) == (student, flags)
    assert submission.cells and SOLUTIONS["kl"] in submission.cells


@pytest.mark.parametrize("text", ["", "[]", "{", '{"users": [1]}', '{"users": [{"name": "x"}]}', '{"users": null}'])
def test_strange_metadata_stops_nothing(autograder, monkeypatch, text):
    (autograder / "submission_metadata.json").write_text(text)
    hand_in(autograder, "ada")
    assert graded_ids(monkeypatch, autograder).student == "unknown"


def test_a_submission_of_several_files_is_read(autograder, monkeypatch):
    kit = Kit(autograder / "submission", "ada", 0, None)
    kit.whole()
    (autograder / "submission" / "notes.txt").write_text("x")
    submission = graded_ids(monkeypatch, autograder)
    assert submission.cells and submission.flags == ()
