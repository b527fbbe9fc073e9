"""Folders of a grader in the system's temporary one, and those that a killed grader has left there.

A grader that ends removes its own. One that is killed cannot; but the kernel lets go of its locks, so the next grader
knows the folder as nobody's, and removes it.
"""

import fcntl
import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress

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
            self._lock = _lock(self.path, wait=True)  # None: another grader has swept it before it was locked

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
    for name in sorted(filter(NAME.fullmatch, os.listdir(base))):
        path = os.path.join(base, name)
        with suppress(OSError), _locked(path) as is_nobodys:
            if is_nobodys:
                shutil.rmtree(path, ignore_errors=True)
                removed.append(name)
    return removed


@contextmanager
def _locked(path):
    lock = _lock(path, wait=False)
    try:
        yield lock is not None and os.fstat(lock).st_uid == os.geteuid()
    finally:
        if lock is not None:
            os.close(lock)


def _lock(path, wait):
    """Descriptor that holds the folder's lock; None where another process has it, or where there is no such folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
