"""Find what students handed in, and read it without trusting it.

A submission is whatever lies directly in the folder: ``<student>.zip``, ``<student>.ipynb`` or a folder
``<student>``. Names that Canvas or Moodle give to downloaded files are understood too. Nothing is unpacked to disk,
no link is followed, and every read has a limit; what is wrong becomes a flag, never an exception.
"""

import ast
import csv
import hashlib
import json
import math
import os
import re
import stat
import threading
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from coursekit.errors import CoursekitError
from coursekit.exercises.numbers import PLACEHOLDER, student_id

__all__ = ["Found", "Submission", "canonical_id", "find_submissions", "read_roster", "read_submission"]

MIB = 2**20
MAX_FILE = 64 * MIB
MAX_NOTEBOOK = 24 * MIB
MAX_CONTAINERS = 400_000  # opening brackets in a notebook's JSON: what small text could make large objects
MAX_ARTEFACT = 16 * MIB
MAX_SMALL = 64 * 1024
MAX_MEMBERS = 2_000
MAX_DIRECTORY = MIB  # bytes of a zip's list of members
MAX_NOTEBOOKS = 8
MAX_ZIPS = 4  # in one folder
MAX_DEPTH = 6
MAX_CELLS = 500
MAX_SOURCE = MIB
MAX_TEXT = 20_000  # characters of an answer in words

_JUNK = re.compile(r"^(\..*|__MACOSX|Thumbs\.db|desktop\.ini|.*\.csv|lost\+found)$", re.IGNORECASE)
_CANVAS = re.compile(r"^(?P<student>[^_]+_(?:LATE_)?\d+)_\d+_.+$")
_MOODLE = re.compile(r"^(?P<student>.+_\d+)_assignsubmission_(?:file|onlinetext)(?:_.*)?$")
_COPY = re.compile(r"(?: ?\(\d{1,3}\)| - Copy)$")
_TEXT_ANSWER = re.compile(r"^\s*<!--\s*answer:\s*([A-Za-z_]\w*)\s*-->[ \t]*\r?\n?")
_BETWEEN = re.compile(r"[\s,]*")
_IMPORT = re.compile(r"coursekit\.exercises(?:\.(\w+)| +import +\(?([\w, ]+))")
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Found:
    """Where a submission lies and whose it is by its name."""

    student: str
    path: Path


@dataclass(frozen=True)
class Submission:
    """What a student handed in, read.

    Attributes
    ----------
    student : str
        The trusted id: from the name of the file or folder.
    name : str
        That name.
    digest : str
        Of the content.
    cells : tuple of str
        Sources of the code cells, in order.
    texts : dict of str to str
        Answers in words, by task.
    answers : dict of str to float
        Numbers from ``answers.json``, by task.
    artefacts : dict of str to bytes
        Safetensors files, by task, unread.
    flags : tuple of str
        What was noticed: ``unreadable``, ``no-notebook``, ``id-differs``, …
    """

    student: str
    name: str
    digest: str
    cells: tuple = ()
    texts: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    artefacts: dict = field(default_factory=dict)
    flags: tuple = ()


class _Unreadable(Exception):
    """Nothing can be made of a file; the message is the flag."""


# -- whose it is -----------------------------------------------------------------------------------


def find_submissions(folder, assignment="", roster=None, besides=()):
    """List what was handed in, sorted by student.

    Parameters
    ----------
    folder : path
    assignment : str
        A prefix ``<assignment>-`` of a name, as `submit` writes it, is no part of the id.
    roster : dict of str to str, optional
        Name in the folder, or what would be the id, to the id to use instead.
    besides : sequence of path
        The grader's own files and folders, which are nobody's submission where they lie in the folder.

    Returns
    -------
    list of Found

    Raises
    ------
    CoursekitError
        The folder is not there, or there is nothing in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CoursekitError(f"{folder} is not a folder of submissions")
    roster = roster or {}
    own = {Path(path).resolve() for path in besides}
    found = []
    for entry in os.scandir(folder):
        if _JUNK.match(entry.name) or Path(entry.path).resolve() in own:
            continue
        student = _student_of(entry, assignment)
        student = roster.get(_printable(entry.name)) or roster.get(student) or student
        found.append(Found(student, Path(entry.path)))
    if not found:
        raise CoursekitError(f"there is no submission in {folder}: it should hold .zip or .ipynb files, or folders")
    return sorted(found, key=lambda one: (one.student, one.path.name.encode(errors="surrogateescape")))


def _student_of(entry, assignment):
    name = _printable(entry.name)
    stem = name if entry.is_dir(follow_symlinks=False) else _stem(name)
    for pattern in (_MOODLE, _CANVAS):
        if match := pattern.match(stem):
            return match["student"].replace("_LATE_", "_")
    stem = _COPY.sub("", stem).strip()
    prefix = f"{assignment}-"
    if assignment and stem.startswith(prefix) and len(stem) > len(prefix):
        stem = stem[len(prefix) :]
    return stem or name


def canonical_id(student):
    """The id that numbers are drawn from: what a student could have typed, other characters become hyphens."""
    try:
        return student_id(student)
    except ValueError:
        return student_id(re.sub(r"[^\w.@+-]+", "-", student.strip())[:60].strip(".") or "-")


def _stem(name):
    stem, dot, end = name.rpartition(".")
    return stem if dot and stem and re.fullmatch(r"\w{1,8}", end) else name


def _printable(text):
    """A file name as text that can be written as UTF-8, without control characters."""
    text = os.fsencode(text).decode("utf-8", "replace")
    text = unicodedata.normalize("NFC", text)
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else "�" for c in text)


def read_roster(path):
    """Read a CSV file with the columns ``submission`` and ``student``.

    Returns
    -------
    dict of str to str

    Raises
    ------
    CoursekitError
        It cannot be read, lacks a column, or names a submission twice.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CoursekitError(f"the roster {path} cannot be read: {error}") from None
    roster = {}
    for number, row in enumerate(rows, 2):
        name, student = ((row.get(column) or "").strip() for column in ("submission", "student"))
        if not name or not student:
            raise CoursekitError(
                f"the roster {path} needs the columns submission and student, both filled (line {number})"
            )
        if name in roster:
            raise CoursekitError(f"the roster {path} names {name} twice (line {number})")
        roster[name] = student
    return roster


def digest_of(path):
    """Of the bytes of a file, or of the names and bytes in a folder; of the size alone where it is over the limit."""
    digest = hashlib.sha256()
    for name, file in _files_below(path) if path.is_dir() and not path.is_symlink() else [("", path)]:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        try:
            status = os.lstat(file)
            digest.update(f"{status.st_size} {stat.S_IFMT(status.st_mode)}\0".encode())
            if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE:
                with open(file, "rb") as opened:
                    while block := opened.read(MIB):
                        digest.update(block)
        except OSError as error:
            digest.update(type(error).__name__.encode())
    return digest.hexdigest()


def _files_below(folder):
    """`(relative name, path)` of at most `MAX_MEMBERS` things below a folder, links unfollowed, in order."""
    listed, todo = [], [("", Path(folder), 0)]
    while todo and len(listed) < MAX_MEMBERS:
        prefix, here, depth = todo.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries[:MAX_MEMBERS]:
            if entry.is_dir(follow_symlinks=False):
                if depth < MAX_DEPTH:
                    todo.append((f"{prefix}{entry.name}/", Path(entry.path), depth + 1))
            else:
                listed.append((prefix + entry.name, Path(entry.path)))
    return listed


# -- what is in it ---------------------------------------------------------------------------------


def read_submission(found, assignment):
    """Read a submission for an assignment.

    Parameters
    ----------
    found : Found
    assignment : coursekit.exercises.Assignment
        Its name and the names of its tasks say what is looked for.

    Returns
    -------
    Submission
        Always; its flags say what was wrong.
    """
    name = _printable(found.path.name)
    flags = []
    # Parsed one at a time: each may take a few hundred megabytes for a moment.
    with _ONE_AT_A_TIME:
        digest = digest_of(found.path)
        try:
            content = _read(found, assignment, flags)
        except _Unreadable as error:
            flags.append(str(error))
            content = {}
        except (OSError, ValueError, RecursionError, MemoryError, OverflowError):
            flags.append("unreadable")
            content = {}
    return Submission(found.student, name, digest, flags=tuple(dict.fromkeys(flags)), **content)


def _read(found, assignment, flags):
    if found.path.is_symlink():
        raise _Unreadable("link")
    if found.path.is_dir():
        members = _folder_members(found.path, flags)
    elif not found.path.is_file():
        raise _Unreadable("unreadable")
    else:
        members = _file_members(found.path, flags)
    try:
        return _assemble(found.student, members, assignment, flags)
    finally:
        for member in members.values():
            member.close()


class _FileMember:
    def __init__(self, path):
        self.path = path

    def read(self, limit):
        with open(self.path, "rb") as file:
            return file.read(limit)

    def close(self):
        pass


class _ZipMember:
    def __init__(self, archive, info):
        self.archive, self.info = archive, info

    def read(self, limit):
        try:
            with self.archive.open(self.info) as file:
                return file.read(limit)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError):
            raise _Unreadable("unreadable") from None

    def close(self):
        self.archive.close()


def _file_members(path, flags):
    if path.stat().st_size > MAX_FILE:
        raise _Unreadable("oversized")
    with open(path, "rb") as file:
        start = file.read(4)
    if start in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zip_members(path, flags)
    return {"notebook.ipynb": _FileMember(path)}


def _folder_members(folder, flags):
    members, zips = {}, []
    for name, path in _files_below(folder):
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            flags.append("link")
        elif not stat.S_ISREG(mode) or _is_junk(name):
            continue
        elif name.lower().endswith(".zip"):
            zips.append((name, path))
        else:
            members[name] = _FileMember(path)
    for name, path in zips[:MAX_ZIPS]:
        try:
            inside = _file_members(path, flags)
        except (_Unreadable, OSError) as error:
            flags.append(str(error) if isinstance(error, _Unreadable) else "unreadable")
            continue
        members |= {f"{name}/{inner}": member for inner, member in inside.items()}
    return members


def _zip_members(path, flags):
    _refuse_large_directory(path)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        raise _Unreadable("unreadable") from None
    members = {}
    for info in archive.infolist():
        parts = PurePosixPath(info.filename.replace("\\", "/")).parts
        if info.is_dir() or _is_junk(info.filename):
            continue
        if ".." in parts or info.filename.startswith(("/", "\\")) or re.match(r"^[A-Za-z]:", info.filename):
            flags.append("unsafe-path")
        elif stat.S_ISLNK(info.external_attr >> 16):
            flags.append("link")
        # Only deflate can be read a piece at a time: the others unpack a block of any size at once.
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            flags.append("unreadable")
        else:
            members["/".join(parts)] = _ZipMember(archive, info)
    if not members:
        archive.close()
    return members


def _refuse_large_directory(path):
    """Look at the end of a zip before `zipfile` reads its whole list of members into memory."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65_557 - 20))
        tail = file.read()
    end = len(tail) - 22 if tail[-22:-18] == b"PK\x05\x06" and tail[-2:] == b"\0\0" else tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise _Unreadable("unreadable")
    if tail[max(0, end - 20) : end].startswith(b"PK\x06\x07"):
        raise _Unreadable("oversized")  # an archive of more than 4 GB, or one that says so
    entries = int.from_bytes(tail[end + 10 : end + 12], "little")
    directory = int.from_bytes(tail[end + 12 : end + 16], "little")
    if entries > MAX_MEMBERS or directory > MAX_DIRECTORY:
        raise _Unreadable("oversized")


def _is_junk(name):
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in parts)


def _assemble(student, members, assignment, flags):
    names = sorted(name for name in members if name.lower().endswith(".ipynb"))
    if not names:
        raise _Unreadable("no-notebook")
    if len(names) > 1:
        flags.append("several-notebooks")
    candidates = []
    for name in names[:MAX_NOTEBOOKS]:
        noticed = []
        try:
            cells = _notebook(members[name], noticed)
        except _Unreadable as error:
            noticed.append(str(error))
            cells = None
        candidates.append((_fit(name, cells, assignment), name, cells, noticed))
    # The best fit; among equals the first by name.
    _, name, cells, noticed = max(candidates, key=lambda candidate: candidate[0])
    flags.extend(noticed)
    if cells is None:
        return {}
    base = name.rpartition("/")[0]
    base = f"{base}/" if base else ""
    manifest = _small_json(members.get(f"{base}manifest.json"), flags)
    code = [source for kind, source in cells if kind == "code"]
    _check_identity(student, code, manifest, assignment, flags)
    tasks = list(assignment.tasks)
    return {
        "cells": tuple(code),
        "texts": {task: text for task, text in _texts(cells) if task in tasks},
        "answers": _answers(_small_json(members.get(f"{base}answers.json"), flags), tasks),
        "artefacts": _artefacts(members, base, assignment, flags),
    }


def _fit(name, cells, assignment):
    """How much a notebook looks like the assignment's: the more of it is answered or asked, the better."""
    if cells is None:
        return (-1, 0)
    source = "\n".join(source for _, source in cells)
    asked = sum(f"{assignment.name}.{task}." in source for task in assignment.tasks)
    defined = sum(
        bool(re.search(rf"^(?:def|class) +{task}\b|^{task} *[=:]|answer: *{task}\b", source, re.MULTILINE))
        for task in assignment.tasks
    )
    return (asked + defined, name.rpartition("/")[2] == "notebook.ipynb")


def _notebook(member, flags):
    """`[(kind, source)]` of a notebook's cells."""
    raw = member.read(MAX_NOTEBOOK + 1)
    if len(raw) > MAX_NOTEBOOK or raw.count(b"[") + raw.count(b"{") > MAX_CONTAINERS:
        raise _Unreadable("oversized")
    text, noticed = _decode(raw)
    if not text.strip():
        raise _Unreadable("empty")
    if text.lstrip().startswith("<"):
        raise _Unreadable("html")
    try:
        cells = _cells_of(json.loads(text))
    except (ValueError, RecursionError):
        cells = _salvage(text)
        noticed.append("truncated")
    if cells is None:
        raise _Unreadable("unreadable")
    flags += noticed
    parsed = [pair for pair in map(_cell, cells) if pair]
    if len(parsed) > MAX_CELLS or sum(len(source) for _, source in parsed) > MAX_SOURCE:
        raise _Unreadable("oversized")
    if not parsed:
        flags.append("empty")
    return parsed


def _decode(raw):
    marks = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
    noticed = ["byte-order-mark"] if raw.startswith(marks) else []
    if raw.startswith(marks[:2]):
        return raw.decode("utf-16", "replace"), noticed
    if b"\0" in raw:
        raise _Unreadable("unreadable")
    try:
        return raw.decode("utf-8-sig"), noticed
    except UnicodeDecodeError:
        return raw.decode("latin-1"), [*noticed, "not-utf-8"]


def _cells_of(notebook):
    if not isinstance(notebook, dict):
        return None
    if isinstance(notebook.get("cells"), list):
        return notebook["cells"]
    sheets = notebook.get("worksheets")  # format 3
    if isinstance(sheets, list) and sheets and isinstance(sheets[0], dict) and isinstance(sheets[0].get("cells"), list):
        return sheets[0]["cells"]
    return None


def _salvage(text):
    """The whole cells at the beginning of a notebook that breaks off; None without any."""
    start = re.search(r'"cells"\s*:\s*\[', text)
    decoder, cells = json.JSONDecoder(), []
    position = start.end() if start else len(text)
    try:
        while position < len(text):
            position = _BETWEEN.match(text, position).end()
            cell, position = decoder.raw_decode(text, position)
            cells.append(cell)
    except (ValueError, RecursionError):
        pass
    return cells or None


def _cell(cell):
    if not isinstance(cell, dict):
        return None
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    if not isinstance(source, str):
        return None
    source = source.encode("utf-8", "replace").decode()  # a lone surrogate, which JSON can hold and UTF-8 cannot
    kind = cell.get("cell_type")
    if kind not in ("markdown", "raw"):
        kind = "code"
    return kind, source


def _texts(cells):
    """`(task, text)` of the cells that begin with their mark; the last of a name counts."""
    for kind, source in cells:
        if kind != "code" and (match := _TEXT_ANSWER.match(source)):
            yield match[1], source[match.end() :].strip()[:MAX_TEXT]


def _small_json(member, flags):
    if member is None:
        return {}
    raw = member.read(MAX_SMALL + 1)
    try:
        value = json.loads(raw.decode("utf-8-sig")) if len(raw) <= MAX_SMALL else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        flags.append("damaged-parts")
        return {}
    return value


def _answers(stored, tasks):
    return {
        task: float(stored[task])
        for task in tasks
        if type(stored.get(task)) in (int, float) and abs(stored[task]) < 1e300 and math.isfinite(stored[task])
    }


def _artefacts(members, base, assignment, flags):
    """Weights by task: as `submit` packs them, or the files of `write_artefact` handed in beside the notebook."""
    artefacts = {}
    for task in assignment.tasks:
        kept = f"{assignment.name}-{task}"
        names = (f"{base}{name}.safetensors" for name in (f"artefacts/{task}", f"artefacts/{kept}", kept))
        member = next(filter(None, map(members.get, names)), None)
        if member is None:
            continue
        try:
            raw = member.read(MAX_ARTEFACT + 1)
        except _Unreadable:
            flags.append("damaged-parts")
            continue
        if len(raw) > MAX_ARTEFACT:
            flags.append("oversized")
        else:
            artefacts[task] = raw
    return artefacts


def _check_identity(student, code, manifest, assignment, flags):
    claimed = [manifest.get("student"), *_assigned_ids(code)]
    claimed = {one.strip() for one in claimed if isinstance(one, str)} - {"", PLACEHOLDER}
    if any(canonical_id(one) != canonical_id(student) for one in claimed):
        flags.append("id-differs")
    statements = _IMPORT.findall("\n".join(code))
    imported = {name for one, several in statements for name in (one, *several.replace(",", " ").split()) if name}
    named = manifest.get("assignment")
    if (imported and assignment.name not in imported) or (isinstance(named, str) and named != assignment.name):
        flags.append("wrong-assignment")


def _assigned_ids(code):
    for source in code:
        for line in re.findall(r"^STUDENT *= *(.{1,200})$", source, re.MULTILINE):
            try:
                yield ast.literal_eval(line.split("#")[0].strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
