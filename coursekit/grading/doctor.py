"""Whether a sandbox works on this machine, and how to mend it where it does not."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from coursekit.grading.faults import Fault, SandboxUnavailable
from coursekit.grading.sandbox import Limits, Template, limits_processes, trial
from coursekit.grading.session import Sandboxes
from coursekit.grading.stripped import make_tree

__all__ = ["examine", "working_sandboxes"]

PROC = Path("/proc/sys")
INSTALL = "install bubblewrap: `sudo apt install bubblewrap` (Debian, Ubuntu), `sudo dnf install bubblewrap` (Fedora)"
OLD = (
    "this bubblewrap is too old: it has no --size (0.6 and before, Ubuntu 22.04 among them). Take a newer one from "
    "your distribution's backports, or build it: it is one small C program"
)
APPARMOR = """AppArmor forbids user namespaces to programs that have no profile (Ubuntu 23.10 and later). Give bubblewrap one:
  printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile bwrap /usr/bin/bwrap flags=(unconfined) {\\n  userns,\\n}\\n' \\
    | sudo tee /etc/apparmor.d/bwrap && sudo apparmor_parser -r /etc/apparmor.d/bwrap
(or, for all programs and until the next start: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0)"""
CLONE = "the kernel forbids user namespaces: `sudo sysctl -w kernel.unprivileged_userns_clone=1`, and in /etc/sysctl.d"
NONE_LEFT = (
    "the kernel allows no user namespaces: `sudo sysctl -w user.max_user_namespaces=15000`, and in /etc/sysctl.d"
)
CONTAINER = (
    "a container without namespaces: start it with `--security-opt seccomp=unconfined --security-opt "
    "apparmor=unconfined --security-opt systempaths=unconfined` (Docker, Podman). As root, the weaker sandbox 'uid' "
    "does without"
)
PLATFORM = "the sandbox needs Linux: on Windows use WSL 2, on macOS a Linux virtual machine or container"
SEARCHABLE = (
    "the sandbox's uid cannot reach Python's folders, which are under a folder for its owner only: install Python and "
    "coursekit in a place that everybody may read, such as /opt or /usr/local"
)
SPEED = (
    "a sandbox cannot build walls inside here, so torch is imported for every student: as safe, but slower by some "
    "seconds each. AppArmor's profile bwrap-userns-restrict does that; the profile above does not"
)
COUNTED = (
    "the kernel's does not hold: you are root where there are no other uids, and it does not bind root. The grader counts "
    "processes itself, several times a second, which is weaker: cap them for the container, such as `--pids-limit 512`"
)


def working_sandboxes():
    """Names of the sandboxes that can be built here, the strongest first: some of ``bwrap``, ``uid``, ``none``."""
    return [mode for mode in ("bwrap", "uid", "none") if _trouble(mode) is None]


def examine():
    """Check everything that the sandbox needs, and the walls themselves from inside.

    Returns
    -------
    report : list of (str, str)
        What was looked at, and what was found.
    problems : list of str
        What keeps the sandbox from working, each with how to mend it. Empty when all is well.
    """
    bwrap = shutil.which("bwrap")
    report = [
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("python", f"{platform.python_version()}, {sys.base_prefix}"),
        ("grader's uid", f"{os.geteuid()}" if hasattr(os, "geteuid") else "?"),
        ("bubblewrap", f"{_version(bwrap)}, {bwrap}" if bwrap else "not installed"),
        ("user namespaces", _namespaces()),
    ]
    trouble = _trouble("bwrap")
    report.append(("sandbox bwrap", "works" if trouble is None else f"does not work: {trouble}"))
    report.append(("limit on processes", "holds" if limits_processes() else COUNTED))
    if trouble is not None:
        other = [mode for mode in working_sandboxes() if mode != "bwrap"]
        report.append(("weaker sandboxes", ", ".join(other) or "none"))
        return report, remedies(trouble, bwrap)
    walls, holes = _from_inside()
    speed = _template_trouble()
    report += [*walls, ("one import of torch for all", "works" if speed is None else f"does not work. {SPEED}")]
    return report, holes


def remedies(trouble, bwrap, proc=PROC):
    """What may mend a sandbox that failed.

    Parameters
    ----------
    trouble : str
        What was said when it failed.
    bwrap : str or None
        Path of the program.
    proc : Path
        Folder of the kernel's settings.

    Returns
    -------
    list of str
    """
    if platform.system() != "Linux":
        return [PLATFORM]
    if bwrap is None:
        return [INSTALL]
    found = []
    if "--size" in trouble:
        found.append(OLD)
    if _setting(proc, "kernel/apparmor_restrict_unprivileged_userns") == "1":
        found.append(APPARMOR)
    if _setting(proc, "kernel/unprivileged_userns_clone") == "0":
        found.append(CLONE)
    if _setting(proc, "user/max_user_namespaces") == "0":
        found.append(NONE_LEFT)
    if re.search(r"Permission denied", trouble) and not found:
        found.append(SEARCHABLE)
    if not found:
        found.append(f"{CONTAINER}. It said: {trouble}")
    return found


def _setting(proc, name):
    try:
        return (proc / name).read_text(encoding="ascii").strip()
    except OSError:
        return None


def _namespaces(proc=PROC):
    names = (
        "user/max_user_namespaces",
        "kernel/unprivileged_userns_clone",
        "kernel/apparmor_restrict_unprivileged_userns",
    )
    found = [(name.split("/")[1], _setting(proc, name)) for name in names]
    return ", ".join(f"{name} = {value}" for name, value in found if value is not None) or "no settings"


def _version(bwrap):
    try:
        said = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    return said.stdout.strip() or "?"


def _trouble(mode):
    """What goes wrong with a sandbox, or None."""
    if not hasattr(os, "geteuid") or platform.system() != "Linux" and mode != "none":
        return "it needs Linux"
    try:
        trial(make_tree(), mode, Limits())
    except SandboxUnavailable as error:
        return str(error)
    return None


def _template_trouble():
    try:
        template = Template(make_tree(), Limits())
        try:
            template.wait()
            template.fork().kill()
        finally:
            template.close()
    except SandboxUnavailable as error:
        return str(error)
    return None


LOOK = """
import os, socket, tempfile
def is_open(call, *arguments):
    try:
        call(*arguments)
    except Exception:
        return False
    return True
def environment():
    try:
        return open("/proc/1/environ", "rb").read() + repr(os.environ).encode()
    except OSError:
        return repr(os.environ).encode()
found = {
    "network": is_open(socket.socket, socket.AF_INET),
    "grader's files": any(os.path.exists(path) for path in (GRADER, "/etc/shadow")),
    "grader's processes": any(name.isdigit() and int(name) > 50 for name in os.listdir("/proc")),
    "grader's environment": MARK in environment(),
    "writing to the system": is_open(lambda: tempfile.TemporaryFile(dir="/usr/lib").close()),
    "being root": os.getuid() == 0,
}
def look():
    return found
"""


def _from_inside():
    """Look at the walls from inside: `(report, problems)`."""
    mark, grader = "COURSEKIT_DOCTOR_WAS_HERE", str(Path(__file__).resolve())
    os.environ[mark] = "1"
    try:
        with Sandboxes(template=False) as sandboxes, sandboxes.session({}) as session:
            session.run([f"GRADER = {grader!r}\nMARK = {mark.encode()!r}\n{LOOK}"])
            found = session.subject("look")()
    except (SandboxUnavailable, Fault) as error:
        return [("walls", f"could not be looked at: {error!r}")], [f"the sandbox starts and then fails: {error!r}"]
    finally:
        del os.environ[mark]
    report = [(f"inside: {name}", "open" if is_open else "closed") for name, is_open in found.items()]
    return report, [f"the sandbox leaves open: {name}; please report it" for name, is_open in found.items() if is_open]
