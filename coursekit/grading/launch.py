"""What root runs to start a sandbox: give up being root, then become the sandbox's program.

Limits on processes do not bind root, and files of root are open to it, so bubblewrap itself is started by a uid that
owns nothing. Where that uid could not reach Python's folders (a Python in root's home), they are first shown in a
mount namespace of this process's own. Run as a script, without site packages: it imports the standard library alone.
"""

import ctypes
import json
import os
import sys


def _mount(libc, source, target, kind, flags):
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {target.decode()}: {os.strerror(error)}")


def stage(sources, folder):
    """Show `sources` in `folder`, as ``0``, ``1``, …, to this process and its children alone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _mount(libc, b"none", b"/", None, 0x4000 | 0x40000)  # recursive, private
    held = [os.open(source, os.O_PATH) for source in sources]
    _mount(libc, b"tmpfs", os.fsencode(folder), b"tmpfs", 0)
    for index, (source, descriptor) in enumerate(zip(sources, held)):
        target = os.path.join(folder, str(index))
        if os.path.isdir(source):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
        _mount(libc, f"/proc/self/fd/{descriptor}".encode(), os.fsencode(target), None, 0x1000 | 0x4000)
        os.close(descriptor)
    os.chmod(folder, 0o755)


def become(uid):
    """Be `uid`, in no group but its own, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def main():
    """``launch.py SETTINGS``: uid, stage folder or null, sources, whether to die with the parent, command."""
    settings = json.loads(sys.argv[1])
    if settings["stage"] is not None:
        stage(settings["sources"], settings["stage"])
    become(settings["uid"])
    if settings.get("kill"):
        os.kill(-1, 9)
        return
    if settings["folder"] is not None:
        os.chdir(settings["folder"])
    if settings["die"]:
        ctypes.CDLL(None).prctl(1, ctypes.c_ulong(9), 0, 0, 0)
    os.execve(settings["command"][0], settings["command"], settings["environment"])


if __name__ == "__main__":
    main()
