"""The one file that is handed in."""

import hashlib
import io
import json
import os
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import coursekit
from coursekit.exercises import colab
from coursekit.exercises.feedback import readable
from coursekit.exercises.numbers import PLACEHOLDER, student_id

FORMAT = 1
MAX_NOTEBOOK = 5_000_000

BY_MENU = {
    "colab": "Then hand in the notebook itself: menu File, Download, Download .ipynb. Rename it to {name}.ipynb.{artefacts}",
    "here": (
        'Give its path: {chapter}.submit(student=STUDENT, notebook="…/{chapter}.ipynb"). Or hand in the notebook itself: '
        "save it, and rename a copy of the file to {name}.ipynb.{artefacts}"
    ),
}


def say(text):
    print(readable(text))


def write_artefact(assignment, task, data):
    """Write weights to ``artefacts/ASSIGNMENT-TASK.safetensors`` in the working folder.

    Returns
    -------
    Path or None
        None where the folder cannot be written.
    """
    path = _artefact_path(assignment, task)
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        return None
    return path


def _artefact_path(assignment, task):
    return Path("artefacts") / f"{assignment}-{task}.safetensors"


def submit(assignment, student, *, notebook=None, folder="."):
    """See `coursekit.exercises.tasks.Assignment.submit`."""
    try:
        content, source = _notebook(notebook)
        missing = None
    except colab.NotebookNotFound as error:
        content, source, missing = {"cells": []}, None, error
    if not _is_begun(assignment, content):
        say("Nothing is answered yet, so there is nothing to hand in. Run the notebook from the top first.")
        return
    if problem := _wrong_student(assignment, student):
        say(f"Nothing is written: {problem}")
        return
    name = f"{assignment.name}-{assignment.student}"
    if missing:
        say(f"Nothing is written: {missing}.")
        say(_by_menu(assignment, name))
        return
    if notebook is None and source != "colab" and (problem := _unsaved(assignment, content, source)):
        say(f"Nothing is written: {problem}")
        return
    _keep_artefacts_of_an_earlier_session(assignment)
    data = bundle(assignment, assignment.student, content)
    path = Path(folder) / f"{name}.zip"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        say(f'Nothing is written: {path} cannot be ({error.strerror}). Name another folder: folder="…".')
        return
    say(f"Written: {path} ({len(data) / 1024:.0f} kB)")
    for line in _remarks(assignment, content):
        say(line)
    if source == "colab" and not colab.download(path):
        say("The browser did not save it. Open the folder view on the left, and download it from there.")
    say("Hand in this file, under this name.")


def bundle(assignment, student, notebook, created=None):
    """The submission as bytes of a zip.

    Parameters
    ----------
    assignment : Assignment
    student : str
    notebook : dict
        Content of the .ipynb.
    created : datetime, optional
        Now, if it is not given.

    Returns
    -------
    bytes
        notebook.ipynb, answers.json (numbers of value tasks), artefacts/TASK.safetensors, and manifest.json with the
        format, assignment, student, student's numbers, time, version and SHA-256 of each file.
    """
    created = created or datetime.now(UTC)
    files = {"notebook.ipynb": _as_bytes(notebook)}
    files["answers.json"] = json.dumps(assignment.answers, indent=1, sort_keys=True).encode()
    for task, weights in sorted(assignment.artefacts.items()):
        files[f"artefacts/{task}.safetensors"] = weights
    manifest = {
        "format": FORMAT,
        "assignment": assignment.name,
        "student": student,
        "numbers": assignment.numbers_of(student),
        "created": created.isoformat(timespec="seconds"),
        "coursekit": coursekit.__version__,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files["manifest.json"] = json.dumps(manifest, indent=1).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, created.timetuple()[:6]), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _as_bytes(notebook):
    """The notebook as a file; without its outputs where they are large, for nobody needs them."""
    data = json.dumps(notebook, indent=1).encode()
    if len(data) <= MAX_NOTEBOOK:
        return data
    cells = [{**cell, "outputs": []} if cell.get("outputs") else cell for cell in notebook["cells"]]
    return json.dumps({**notebook, "cells": cells}, indent=1).encode()


def _is_begun(assignment, notebook):
    """Whether anything is answered."""
    checked = set(assignment.results.values()) & {"wrong", "passed", "recorded", "kept"}
    return bool(checked) or any(_has_text(notebook, task) for task in assignment.tasks.values() if task.kind == "text")


def _wrong_student(assignment, student):
    """What is wrong with the id, or None."""
    if assignment.student is None:
        return "run the cell with start(STUDENT) first, and the cells after it."
    try:
        student = student_id(assignment.student if student is None else student)
    except ValueError as error:
        return f"{error}."
    if student == PLACEHOLDER:
        return 'put your own id into STUDENT = "…" at the top, and run all cells again.'
    if student != assignment.student:
        return (
            f"the notebook was started for {assignment.student}, and this is {student}. Your numbers depend on the id: "
            "correct STUDENT at the top, and run all cells again."
        )
    return None


def _notebook(path):
    """Content of the notebook, and where it comes from: "colab", or a path."""
    if path is None and colab.on_colab():
        return colab.live_notebook(), "colab"
    found, notebook = colab.saved_notebook(path)
    return notebook, found


def _unsaved(assignment, notebook, path):
    """Why the saved notebook is not what ran here, or None."""
    saved = {_text(cell).strip() for cell in notebook["cells"]}
    ran = [cell.strip() for cell in colab.session_cells()]
    for name in assignment.tasks:
        defines = re.compile(rf"^((def|class)\s+{name}\b|{name}\s*(:[^=]+)?=(?!=))", re.MULTILINE)
        last = next((cell for cell in reversed(ran) if defines.search(cell)), None)
        if last is not None and last not in saved:
            return (
                f"what you ran last for {name} is not in {path}. Save the notebook (Ctrl-S), run what you changed, and "
                "then this cell again."
            )
    return None


def _keep_artefacts_of_an_earlier_session(assignment):
    """Take trained weights from the files that `hand_in` wrote, where this kernel has trained none."""
    for name, task in assignment.tasks.items():
        path = _artefact_path(assignment.name, name)
        if task.kind == "artefact" and name not in assignment.artefacts and path.is_file():
            assignment.artefacts[name] = path.read_bytes()
            assignment.results[name] = "kept"
            say(f"{name}: taken from {path}, handed in before this kernel was started.")


def _remarks(assignment, notebook):
    """What is missing, line by line: better known before the deadline than after."""
    open_tasks = [
        name
        for name, task in assignment.tasks.items()
        if task.kind != "text" and assignment.results.get(name, "unanswered") == "unanswered"
    ]
    if open_tasks:
        yield f"Not answered, or not checked since the kernel was started: {', '.join(open_tasks)}."
    for name, task in assignment.tasks.items():
        if task.kind == "text" and not _has_text(notebook, task):
            yield f"Nothing is written under <!-- answer: {name} -->."


def _has_text(notebook, task):
    marker = f"<!-- answer: {task.name} -->"
    for cell in notebook["cells"]:
        text = _text(cell).strip()
        if text.startswith(marker):
            return text.removeprefix(marker).strip() not in ("", task.starter.strip())
    return False


def _by_menu(assignment, name):
    files = ", ".join(f"artefacts/{assignment.name}-{task}.safetensors" for task in assignment.artefacts)
    artefacts = f" Hand in {files} with it." if files else ""
    where = BY_MENU["colab" if colab.on_colab() else "here"]
    return where.format(name=name, chapter=assignment.name, artefacts=artefacts)


def _text(cell):
    source = cell.get("source", "") if isinstance(cell, dict) else ""
    return source if isinstance(source, str) else "".join(part for part in source if isinstance(part, str))
