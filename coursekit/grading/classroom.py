"""Grade a class: every submission once, several at a time, and again only what changed."""

import hashlib
import json
import os
import platform
import re
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tqdm import tqdm

import coursekit
from coursekit.errors import CoursekitError
from coursekit.grading.faults import SandboxUnavailable
from coursekit.grading.marking import Marked, TaskMark, mark
from coursekit.grading.session import Limits, Sandboxes
from coursekit.grading.submissions import canonical_id, digest_of, find_submissions, read_submission

__all__ = ["Classroom", "Interrupted", "Sessions", "code_digest", "in_shard", "safe_name", "write_whole"]


TRIALS = 2  # of a submission whose sandbox cannot be started
WAKE = 0.5  # seconds
MAX_IN_A_ROW = 3  # submissions without a sandbox, after which none is expected any more


class Sessions:
    """Opens sandboxed sessions for an assignment, for any number of threads.

    Parameters
    ----------
    assignment : Assignment
    sandbox : {"bwrap", "uid", "none"}
    limits : Limits, optional
    """

    def __init__(self, assignment, sandbox="bwrap", limits=None):
        names = [name for task in assignment.tasks.values() for name in getattr(task, "implementations", ())]
        self.limits = limits or Limits()
        self._make = lambda: Sandboxes(tuple(dict.fromkeys(names)), sandbox=sandbox, limits=self.limits)
        self._own, self._all, self._lock = threading.local(), [], threading.Lock()

    def __call__(self, numbers, allow_reference):
        """A `Session` with these numbers, a context manager."""
        if not hasattr(self._own, "sandboxes") or self._own.sandboxes.closed:
            self._own.sandboxes = self._make()
            with self._lock:
                self._all.append(self._own.sandboxes)
        return self._own.sandboxes.session(numbers, allow_reference)

    def close(self):
        """End all sandboxes, those in use too."""
        with self._lock:
            while self._all:
                self._all.pop().close()


class Interrupted(CoursekitError):
    """Ctrl-C: what was graded until then is kept."""


class Classroom:
    """One assignment, one class.

    Parameters
    ----------
    key : Key
        The assignment's.
    secret : bytes
        The class's.
    out : path
        Folder for results; made if need be.
    open_session : callable
        As `mark` takes it. Where it has `limits`, as `Sessions` does, other limits grade anew.
    sandbox : str
        ``bwrap``, ``uid`` or ``none``: what `open_session` uses.
    allow_reference : set of (str, str), optional
        ``(student, task)`` whose answer may call coursekit's own implementation.
    roster : dict of str to str, optional
        As `find_submissions` takes it.
    besides : sequence of path, optional
        As `find_submissions` takes it; `out` is one of them.

    Attributes
    ----------
    graded, reused : int
        Submissions marked in the last `grade`, and those whose marks were still good.
    """

    def __init__(self, key, secret, out, open_session, *, sandbox="bwrap", allow_reference=(), roster=None, besides=()):
        self.key, self.secret, self.out = key, secret, Path(out)
        self.open_session, self.sandbox, self.roster = open_session, sandbox, roster
        self.besides = (self.out, *besides)
        self.allow_reference = {(canonical_id(student), task) for student, task in allow_reference}
        self.graded = self.reused = self._in_a_row = 0
        self.cache = self.out / "cache"
        self._stop = threading.Event()
        self._log_lock = threading.Lock()
        limits = getattr(open_session, "limits", None)
        self._common = {
            "assignment": key.assignment.name,
            "code": code_digest(),
            "secret": hashlib.sha256(secret).hexdigest(),
            "sandbox": sandbox,
            "limits": asdict(limits) if limits else None,
            "python": platform.python_version(),
            "torch": torch.__version__,
        }

    def grade(self, folder, *, jobs=1, shard=None, progress=True):
        """Mark what is in a folder.

        Parameters
        ----------
        folder : path
        jobs : int
            Submissions at a time.
        shard : (int, int), optional
            ``(3, 20)``: the third of twenty parts of the class. A student's submissions are in one part.
        progress : bool
            Show a bar.

        Returns
        -------
        list of Marked
            One for each student, sorted. Of several submissions the better one, flagged ``duplicate``.

        Raises
        ------
        CoursekitError
            The folder is not there or empty.
        SandboxUnavailable
            Sandboxes can no longer be started. What was marked before is kept.
        Interrupted
            Ctrl-C. What was marked before is kept.
        """
        found = find_submissions(folder, self.key.assignment.name, self.roster, self.besides)
        self.cache.mkdir(parents=True, exist_ok=True)
        if shard:
            found = [one for one in found if in_shard(one.student, *shard)]
        self.graded = self.reused = 0
        self._stop.clear()
        marked = self._mark_all(found, jobs, progress)
        return sorted(_one_per_student(marked), key=lambda one: one.student)

    def _mark_all(self, found, jobs, progress):
        marked, waiting, todo = [], set(), iter(found)
        executor = ThreadPoolExecutor(jobs, thread_name_prefix="grading")
        with tqdm(total=len(found), desc=self.key.assignment.name, unit="submission", disable=not progress) as bar:
            try:
                # No more are handed over than are worked on: memory stays flat, and Ctrl-C has nothing to cancel.
                for one in todo:
                    waiting.add(executor.submit(self._mark_one, one))
                    if len(waiting) >= jobs:
                        done, waiting = _some_of(waiting)
                        marked += [future.result() for future in done]
                        bar.update(len(done))
                while waiting:
                    done, waiting = _some_of(waiting)
                    marked += [future.result() for future in done]
                    bar.update(len(done))
            except KeyboardInterrupt:
                raise Interrupted(
                    f"interrupted after {len(marked)} of {len(found)}; what is graded is kept: "
                    "run the same command again to go on"
                ) from None
            finally:
                self._stop.set()
                if close := getattr(self.open_session, "close", None):
                    close()
                executor.shutdown(wait=True, cancel_futures=True)
        return marked

    def _mark_one(self, found):
        """Marks of a submission, from the cache where they are still good."""
        store = self.cache / f"{safe_name(found.path.name)}.json"
        identity = self._identity(found)
        stored = _stored(store, identity)
        if stored:
            self.reused += 1
            return stored
        start = time.perf_counter()
        allowed = {task for student, task in self.allow_reference if student == canonical_id(found.student)}
        submission = read_submission(found, self.key.assignment)
        marked = self._mark_or_none(submission, allowed)
        if marked is None:
            return self._ungraded(found, submission)
        if self._stop.is_set():
            raise Interrupted("interrupted")  # its sandbox was taken away: no mark
        write_whole(store, json.dumps({"identity": identity, "marked": json.loads(marked.to_json())}, indent=1))
        self.graded += 1
        flags = f" [{', '.join(marked.all_flags)}]" if marked.all_flags else ""
        seconds = time.perf_counter() - start
        self.log(f"{marked.student}: {marked.total:g} of {marked.out_of:g} in {seconds:.1f} s, {marked.name}{flags}")
        return marked

    def _mark_or_none(self, submission, allowed):
        """Marks; None where the grader itself failed: this submission waits, the others go on."""
        for trial in range(TRIALS):
            try:
                marked = mark(
                    submission, self.key, self.secret, self._open, allow_reference=allowed, sandbox=self.sandbox
                )
                self._in_a_row = 0
                return marked
            except Exception as error:
                lost = isinstance(error, SandboxUnavailable)
                if self._stop.is_set():
                    raise
                if lost and trial + 1 < TRIALS:
                    continue
                self.log(f"{submission.student}: the grader failed: {type(error).__name__}: {error}")
                self._in_a_row += lost
                if self._in_a_row >= MAX_IN_A_ROW:
                    raise
                return None

    def _open(self, numbers, allow_reference):
        session = self.open_session(numbers, allow_reference)
        # Looked at afterwards: a session of before the stop is ended by it, and one of after it is seen here.
        if self._stop.is_set():
            raise SandboxUnavailable("the grader is stopping")
        return session

    def _ungraded(self, found, submission):
        tasks = {
            task.name: TaskMark(0.0, float(task.points), "grader-error") for task in self.key.assignment.tasks.values()
        }
        flags = (*submission.flags, "grader-error")
        return Marked(found.student, submission.name, "", self.key.assignment.name, tasks, flags, sandbox=self.sandbox)

    def _identity(self, found):
        allowed = sorted(task for student, task in self.allow_reference if student == canonical_id(found.student))
        own = {"student": found.student, "submission": digest_of(found.path), "allowed": allowed}
        return hashlib.sha256(json.dumps(self._common | own, sort_keys=True).encode()).hexdigest()

    def log(self, line):
        """Add a line to ``grade.log``, control characters made visible."""
        line = line.encode("unicode_escape").decode() if not line.isprintable() else line
        with self._log_lock, open(self.out / "grade.log", "a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")


def _some_of(waiting):
    """Those that are done, at least one, and those that are not.

    A Ctrl-C that comes when a wait without end is just about to begin is noticed when it ends.
    """
    while True:
        done, left = wait(waiting, timeout=WAKE, return_when=FIRST_COMPLETED)
        if done:
            return done, left


def _stored(path, identity):
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Marked.from_json(json.dumps(stored["marked"])) if stored["identity"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_whole(path, content):
    """Write text or bytes, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(temporary, path)


def _one_per_student(marked):
    by_student = {}
    for one in sorted(marked, key=lambda one: one.name):
        by_student.setdefault(one.student.casefold(), []).append(one)
    for several in by_student.values():
        best = max(several, key=lambda one: (one.total, len(one.pending)))
        yield replace(best, flags=(*best.flags, "duplicate")) if len(several) > 1 else best


def in_shard(student, part, parts):
    """Whether a student is in a part, 1 to `parts`, of the class; it does not depend on who else is there."""
    return int(hashlib.sha256(canonical_id(student).encode()).hexdigest(), 16) % parts == part - 1


def safe_name(name):
    """A file name for a student's files: short, portable, and different for different names."""
    name = os.fsencode(name).decode("utf-8", "backslashreplace")
    plain = re.sub(r"[^a-z0-9._@+-]+", "-", name.lower()).strip(".-")[:60]
    return plain if plain == name and plain else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")


def code_digest():
    """Of every Python and JSON file of the installed coursekit: what marks depend on, and more."""
    digest = hashlib.sha256(sys.implementation.name.encode())
    root = Path(coursekit.__file__).parent
    for path in sorted(path for end in ("py", "json") for path in root.rglob(f"*.{end}")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
