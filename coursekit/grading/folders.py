"""Folders of a grader in the system's temporary one, and those that a killed grader has left there.

A grader that ends removes its own. One that is killed cannot; but the kernel lets go of its locks, so the next grader
knows the folder as nobody's, and removes it.
"""

import fcntl
import os
import re
import shutil
import tempfile
from contextlib import suppress

__all__ = ["Folder", "sweep"]

KINDS = ("inside", "student")
NAME = re.compile(rf"coursekit-(?:{'|'.join(KINDS)})-[a-z0-9_]{{8}}")


class Folder:
    """A new folder that is this process's own while it lives.

    Parameters
    ----------
    kind : {"inside", "student"}

    Attributes
    ----------
    path : str
    """

    def __init__(self, kind):
        self._lock = None
        while self._lock is None:
            self.path = tempfile.mkdtemp(prefix=f"coursekit-{kind}-")
            self._lock = _open(self.path)
            if self._lock is not None:
                with suppress(OSError):  # where nothing can be locked, nothing is swept
                    fcntl.flock(self._lock, fcntl.LOCK_EX)
                if not _is_there(self.path, self._lock):  # swept before it was locked
                    os.close(self._lock)
                    self._lock = None

    def __fspath__(self):
        return self.path

    def remove(self):
        """Remove it with all that is in it."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = None


def sweep(base=None):
    """Remove what killed graders have left.

    Only folders of this user, named as `Folder` names them, that no living process has locked. Links are not followed.

    Parameters
    ----------
    base : path, optional
        Default: the system's temporary folder.

    Returns
    -------
    list of str
        Names of what was removed.
    """
    base, removed = os.fspath(base or tempfile.gettempdir()), []
    try:
        names = sorted(filter(NAME.fullmatch, os.listdir(base)))
    except OSError:  # a temporary folder that nobody may list
        return removed
    for name in names:
        path = os.path.join(base, name)
        lock = _open(path)
        if lock is None:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.geteuid() and _is_there(path, lock):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(name)
        except OSError:  # somebody's
            pass
        finally:
            os.close(lock)
    return removed


def _open(path):
    """Descriptor of a folder that is no link; None where there is none."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None


def _is_there(path, descriptor):
    """Whether the folder that was opened is still the one of this path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False
