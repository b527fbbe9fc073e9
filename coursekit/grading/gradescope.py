"""Grading on Gradescope: the bundle that is uploaded there, and what runs in its container.

Gradescope unpacks the bundle to ``/autograder/source``, runs ``setup.sh`` once and, for every submission,
``run_autograder``, which must write ``/autograder/results/results.json``. See
https://gradescope-autograders.readthedocs.io.
"""

import json
import os
import re
import shutil
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import coursekit
from coursekit.errors import CoursekitError

__all__ = ["grade_one", "main", "write_bundle"]

SETUP = """\
#!/usr/bin/env bash
# Runs once, as root, when the autograder is built.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends bubblewrap python3 python3-venv
python=python3
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  apt-get install -y --no-install-recommends python3.11 python3.11-venv
  python=python3.11
fi
$python -m venv /opt/coursekit
/opt/coursekit/bin/pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
/opt/coursekit/bin/pip install --no-cache-dir -r /autograder/source/requirements.txt
chown -R root:root /autograder/source
chmod 600 /autograder/source/secret
"""

RUN = """\
#!/usr/bin/env bash
# Runs for every submission, as root.
chown root:root /autograder/source/secret && chmod 600 /autograder/source/secret
export PYTHONPATH=/autograder/source OMP_NUM_THREADS=1
exec /opt/coursekit/bin/python -m coursekit.grading.gradescope /autograder
"""

SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc")


def write_bundle(folder, assignment, secret):
    """Write the autograder of an assignment.

    Parameters
    ----------
    folder : path
        New or empty. Gets ``setup.sh``, ``run_autograder``, the source of coursekit, its requirements, the secret,
        and all of it once more as ``autograder.zip``, which is what Gradescope wants.
    assignment : str
    secret : bytes

    Returns
    -------
    Path
        Of the zip.

    Raises
    ------
    CoursekitError
        The folder has something in it, or coursekit is imported without being installed.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise CoursekitError(f"{folder} is not empty: give a new folder for the autograder")
    requirements = [*_requirements(), "ipython"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("setup.sh", SETUP), ("run_autograder", RUN)):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    (folder / "secret").touch(mode=0o600)
    (folder / "secret").write_bytes(secret)
    (folder / "bundle.json").write_text(json.dumps({"assignment": assignment}), encoding="utf-8")
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    shutil.copytree(Path(coursekit.__file__).parent, folder / "coursekit", ignore=SKIPPED)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    archive = folder / "autograder.zip"
    archive.touch(mode=0o600)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in files:
            packed.write(path, path.relative_to(folder))
    return archive


def _requirements():
    """What coursekit needs, without extras."""
    try:
        listed = requires("coursekit")
    except PackageNotFoundError:
        raise CoursekitError(
            "coursekit is not installed, so what it needs is not known: run `make install` or `pip install .`"
        ) from None
    return [requirement for requirement in listed if not re.search(r";.*\bextra\b", requirement)]


def grade_one(root, sandbox=None):
    """Grade the one submission that lies in a container.

    Parameters
    ----------
    root : Path
        ``/autograder``; holds ``source``, ``submission``, ``submission_metadata.json`` and gets ``results``.
    sandbox : str, optional
        ``bwrap`` or ``uid``. By default the first of them that works here.

    Returns
    -------
    assignment : Assignment
    marked : Marked
    """
    from coursekit.grading.classroom import Sessions
    from coursekit.grading.doctor import working_sandboxes
    from coursekit.grading.faults import SandboxUnavailable
    from coursekit.grading.key import load_key
    from coursekit.grading.marking import mark

    bundle = json.loads((root / "source" / "bundle.json").read_text(encoding="utf-8"))
    secret = (root / "source" / "secret").read_bytes()
    key = load_key(bundle["assignment"])
    submission = _submission(root, key.assignment)
    sandbox = sandbox or next((name for name in working_sandboxes() if name in ("bwrap", "uid")), None)
    if sandbox is None:
        raise SandboxUnavailable("neither bubblewrap nor another user can be had in this container")
    sessions = Sessions(key.assignment, sandbox)
    try:
        return key.assignment, mark(submission, key, secret, sessions, sandbox=sandbox)
    finally:
        sessions.close()


def _submission(root, assignment):
    """Read under the first of the submitters' ids that the notebook bears; else under the first."""
    from coursekit.grading.submissions import Found, read_submission

    try:
        metadata = json.loads((root / "submission_metadata.json").read_text(encoding="utf-8"))
        emails = [user["email"] for user in metadata["users"] if user.get("email")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        emails = []
    ids = [form for email in emails for form in (email, email.partition("@")[0])] or ["unknown"]
    read = [read_submission(Found(one, root / "submission"), assignment) for one in ids]
    return next((one for one in read if "id-differs" not in one.flags), read[0])


def main(root):
    """Grade what is in the container and write ``results/results.json``, whatever happens."""
    from coursekit.grading.reports import results_json

    root = Path(root)
    try:
        assignment, marked = grade_one(root)
        results = results_json(marked, assignment)
    except Exception as error:  # Gradescope shows a student whatever is printed: nothing is
        results = {
            "score": 0,
            "output": f"The grader failed ({type(error).__name__}). This is not your fault: tell your instructor.",
            "stdout_visibility": "hidden",
        }
    (root / "results").mkdir(exist_ok=True)
    temporary = root / "results" / "results.json.tmp"
    temporary.write_text(json.dumps(results, indent=1), encoding="utf-8")
    os.replace(temporary, root / "results" / "results.json")


if __name__ == "__main__":
    main(sys.argv[1])
