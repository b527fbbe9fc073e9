"""Processes that run a student's code, and the walls around them.

``bwrap``
    bubblewrap: new user, PID, IPC, UTS, network and cgroup namespaces; no network; an allow-list of read-only folders
    (Python, its packages without coursekit, the system's libraries); small file systems in memory for ``/tmp``, home
    and ``/dev/shm``, everything else read-only; a ``/proc`` of its own. bubblewrap is started with an empty environment,
    because its own would be readable at ``/proc/1/environ`` whatever ``--clearenv`` says. If the grader is root,
    bubblewrap is started by a uid that owns nothing (`coursekit.grading.launch`), since limits do not bind root. In
    a container whose root has no other uids it is started by root, the kernel's limit on processes does not hold, and
    the grader counts them (`limits_processes`).
``uid``
    For containers that forbid namespaces, and for a grader who is root there: another uid, that owns nothing. Weaker:
    the student's code sees the file system, and reads whatever everybody may read. So secrets, keys and other
    submissions must be readable by root only.
``none``
    A process of the grader's own uid: no wall at all.

In all three, limits of the kernel stand on memory, processes, file size and processor time, in the first two a filter
of system calls too (`coursekit.grading.inside.confine`), and the grader watches the number and memory of all
processes together.
What the kernel itself lets through is out of scope.
"""

import json
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coursekit.grading.faults import SandboxKilled, SandboxUnavailable
from coursekit.grading.folders import Folder

__all__ = ["Limits", "Process", "Template", "bwrap_command", "limits_processes", "start", "trial"]

MODES = ("bwrap", "uid", "none")
HOME = "/home/student"
TREE = "/coursekit"
FIRST_UID, UIDS = 20_000, 40_000
START_SECONDS = 120.0
OWN_PROCESSES = 8  # at most, beside the student's: of bubblewrap, and of what starts it
PAGE = os.sysconf("SC_PAGE_SIZE")
UID_MAP = Path("/proc/self/uid_map")
LAUNCH = Path(__file__).resolve().parent / "launch.py"


@dataclass(frozen=True)
class Limits:
    """Limits of one student's sandbox.

    Attributes
    ----------
    cell, call, total : float
        Seconds of wall time for a cell, for a question to an answer, and for everything together.
    memory : int
        Bytes that each process may have beyond what torch takes.
    all_memory : int
        Bytes of all its processes together.
    processes : int
        Threads count too.
    file, folder : int
        Bytes of a file, and of each folder that can be written to.
    grace : float
        Seconds that an interrupted cell or call has to end, after which the sandbox is killed.
    rebuilds : int
        Times that a killed sandbox is built again.
    """

    cell: float = 60.0
    call: float = 10.0
    total: float = 600.0
    memory: int = 2 * 2**30
    all_memory: int = 4 * 2**30
    processes: int = 64
    file: int = 64 * 2**20
    folder: int = 64 * 2**20
    grace: float = 2.0
    rebuilds: int = 20


class Spawner:
    """Starts all processes from one thread that lives as long as this one does.

    A sandbox dies with its parent; to the kernel, the parent is the thread.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._pool, self._process = None, None

    def __call__(self, *args, **kwargs):
        with self._lock:
            if self._process != os.getpid():
                self._pool, self._process = ThreadPoolExecutor(1, "sandbox-spawner"), os.getpid()
        return self._pool.submit(subprocess.Popen, *args, **kwargs).result()


_spawn = Spawner()


# -- commands --------------------------------------------------------------------------------------


def site_folders():
    """Folders of installed packages that Python imports from here."""
    found = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages") and Path(path).is_dir()]
    found += [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return list(dict.fromkeys(os.path.realpath(path) for path in found if os.path.isdir(path)))


def python():
    """The interpreter behind a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def read_only_folders():
    """What is shown read-only, at its own place: Python's folders, its packages, and the system's libraries."""
    wanted = [*site_folders(), python()]
    for prefix in {os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)}:
        if prefix in ("/usr", "/"):
            continue  # of the system: its libraries come below
        wanted += [os.path.join(prefix, name) for name in ("bin", "lib", "lib64")]
    wanted += ["/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]
    shown = []
    for path in dict.fromkeys(wanted):
        if os.path.exists(path) and not os.path.islink(path):
            shown.append(path)
    return [path for path in shown if not any(other != path and path.startswith(other + "/") for other in shown)]


def placed(path):
    """Where the sandbox shows `path`: at its own place, unless the sandbox has a folder of its own there."""
    return f"/shown{path}" if f"{path}/".startswith(("/tmp/", f"{HOME}/", "/dev/", "/proc/")) else path


def masked(shown=None):
    """Copies of coursekit among what is shown, which hold the answers: of this environment, and of the Python behind."""
    found = []
    for folder in read_only_folders() if shown is None else shown:
        for inner in ("coursekit", "python*/*-packages/coursekit", "lib*/python*/*-packages/coursekit"):
            found += [str(path) for path in sorted(Path(folder).glob(inner)) if path.is_dir()]
    return list(dict.fromkeys(found))


def worker_arguments(tree, descriptor, kind, settings):
    """Python's command line for the worker."""
    worker = os.path.join(tree, "coursekit", "grading", "inside", "worker.py")
    flags = ["-I", "-S", "-B", "-X", "utf8"]
    program = placed(python()) if settings["mode"] == "bwrap" else python()
    return [program, *flags, worker, str(descriptor), kind, json.dumps(settings)]


def worker_settings(mode, limits, home):
    """What the worker is told: nothing secret."""
    return {
        "mode": mode,
        "path": [placed(path) if mode == "bwrap" else path for path in site_folders()],
        "environment": {
            "HOME": home,
            "USER": "student",
            "TMPDIR": home if mode != "bwrap" else "/tmp",
            "MPLCONFIGDIR": home,
            "MPLBACKEND": "Agg",
            "COURSEKIT_OFFLINE": "1",
            "COURSEKIT_DATA": os.path.join(home, "data"),
            "CUDA_VISIBLE_DEVICES": "",
        },
        "limits": {
            "memory": limits.memory,
            "processes": limits.processes,
            "file": limits.file,
            "folder": limits.folder,
            "processor": int(limits.total) + 60,
        },
    }


def environment():
    """All that the worker's program gets before it begins."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "MALLOC_ARENA_MAX": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
        **threads,
    }


def bwrap_command(bwrap, tree, limits, command, *, shown=None, sources=None, capabilities=False):
    """bubblewrap's command line.

    Parameters
    ----------
    bwrap : str
        Path of the program.
    tree : str
        See `coursekit.grading.stripped.make_tree`.
    limits : Limits
    command : list of str
        What runs inside.
    shown, sources : list of str, optional
        Folders to show (see `placed`), and where they are outside. Default: `read_only_folders`, where they are.
    capabilities : bool
        Keep those of the sandbox's own user namespace: for a template, which runs no one's code and builds walls.
    """
    shown = read_only_folders() if shown is None else shown
    sources = shown if sources is None else sources
    arguments = [bwrap, "--die-with-parent", "--new-session", "--as-pid-1"]
    arguments += ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net"]
    arguments += ["--unshare-cgroup-try", "--hostname", "sandbox", "--uid", "1000", "--gid", "1000"]
    arguments += ["--cap-add", "ALL"] if capabilities else ["--cap-drop", "ALL"]
    for source, path in zip(sources, shown, strict=True):
        arguments += ["--ro-bind", source, placed(path)]
    for path in ("/lib", "/lib64", "/bin"):
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
    for path in map(placed, masked(shown)):
        arguments += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
    size = str(limits.folder)
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/dev/shm", "/tmp", HOME):
        arguments += ["--size", size, "--tmpfs", path]
    tree_source, passwd, group = tree
    arguments += ["--ro-bind", tree_source, TREE, "--ro-bind", passwd, "/etc/passwd", "--ro-bind", group, "/etc/group"]
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]
    for name, value in environment().items():
        arguments += ["--setenv", name, value]
    return [*arguments, "--", *command]


# -- processes -------------------------------------------------------------------------------------


class Process:
    """A student's process, or a template, as the grader holds it.

    Attributes
    ----------
    sock : socket.socket
    """

    def __init__(self, sock, *, popen=None, pidfd=None, uid=None, folder=None, limits=None):
        self.sock, self.popen, self.pidfd, self.uid, self.folder = sock, popen, pidfd, uid, folder
        self.limits = limits
        self._lock = threading.Lock()
        self.pid = popen.pid if popen else _pid_of(pidfd)
        self._watched = 0.0

    def words(self):
        """What a program that would not start said, shortened."""
        try:
            said = os.read(self.popen.stderr.fileno(), 2000)
        except (OSError, ValueError, AttributeError):  # without a program, or killed by another thread
            return ""
        return " ".join(said.decode("utf-8", "replace").split())[-500:]

    def watch(self):
        """Kill it and raise SandboxKilled if its processes are too many, or take too much memory together.

        Looks every 0.2 s at most. The kernel limits the number too, but for root.
        """
        now = time.monotonic()
        if now - self._watched < 0.2:
            return
        self._watched = now
        pids = [self.pid, *descendants(self.pid)] if self.pid else []
        for found, limit, what in (
            (len(pids), self.limits.processes + OWN_PROCESSES, "processes"),
            (memory_of(pids), self.limits.all_memory, "memory"),
        ):
            if found > limit:
                self.kill()
                raise SandboxKilled(what)

    def kill(self):
        """Kill it with all it started, and wait for the end. Killing the first process of a PID namespace kills all.

        From any thread, and more than once.
        """
        with self._lock:
            self._kill()

    def _kill(self):
        if self.pidfd is not None:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
                ended = select.poll()
                ended.register(self.pidfd, select.POLLIN)
                ended.poll(5000)
            except ProcessLookupError:
                pass
            os.close(self.pidfd)
            self.pidfd = None
        if self.popen is not None:
            if self.popen.poll() is None:
                for pid in [*descendants(self.pid), self.pid]:
                    _kill(pid)
            if self.uid is not None:
                _kill_all_of(self.uid)
            self.popen.wait()
            if self.popen.stderr:
                self.popen.stderr.close()
            self.popen = None
        self.pid = None
        with suppress(OSError):  # closed already, by an earlier kill or by its end
            self.sock.shutdown(socket.SHUT_RDWR)  # closing alone wakes no other thread that waits for an answer
        self.sock.close()
        if self.folder is not None:
            self.folder.remove()
            self.folder = None
        if self.uid is not None:
            _UIDS.give_back(self.uid)
            self.uid = None


def descendants(pid):
    """Processes below this one, as the kernel lists them now."""
    found, waiting = [], [pid]
    while waiting and len(found) < 10_000:
        parent = waiting.pop()
        try:
            threads = os.listdir(f"/proc/{parent}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as children:
                    below = [int(child) for child in children.read().split()]
            except (OSError, ValueError):
                continue
            found += below
            waiting += below
    return found


def memory_of(pids):
    """Bytes of their own that these processes hold: resident, without files."""
    total = 0
    for each in pids:
        try:
            with open(f"/proc/{each}/statm", encoding="ascii") as statm:
                _, resident, shared = statm.read().split()[:3]
        except (OSError, ValueError):
            continue
        total += (int(resident) - int(shared)) * PAGE
    return total


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _pid_of(pidfd):
    if pidfd is None:
        return None
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as info:
        for line in info:
            if line.startswith("Pid:"):
                pid = int(line.split()[1])
                return pid if pid > 0 else None
    return None


class _Uids:
    """Uids that own nothing, one for each sandbox at a time."""

    def __init__(self):
        self._lock = threading.Lock()
        self._taken = set()

    def take(self):
        with self._lock:
            for offset in range(UIDS):
                uid = FIRST_UID + (os.getpid() * 16 + offset) % UIDS
                if uid not in self._taken and not _is_known(uid):
                    self._taken.add(uid)
                    return uid
        raise SandboxUnavailable("no uid is free for a sandbox")

    def give_back(self, uid):
        with self._lock:
            self._taken.discard(uid)


_UIDS = _Uids()


def can_become_another():
    """Whether this process is root, and of a user namespace that has the uids of sandboxes."""
    if os.geteuid() != 0:
        return False
    ranges = [tuple(map(int, line.split())) for line in UID_MAP.read_text(encoding="ascii").splitlines()]
    return any(first <= FIRST_UID and FIRST_UID + UIDS <= first + count for first, _, count in ranges)


def limits_processes():
    """Whether the kernel's limit on processes holds in a sandbox that is started here: it binds everybody but root."""
    return os.geteuid() != 0 or can_become_another()


def _is_known(uid):
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _kill_all_of(uid):
    settings = {"uid": uid, "stage": None, "kill": True}
    subprocess.run([sys.executable, "-I", "-S", str(LAUNCH), json.dumps(settings)], env={}, check=False)


def start(tree, mode, limits, kind="single"):
    """Start a worker; it sends its first message when it is warm.

    Parameters
    ----------
    tree : Path
        See `coursekit.grading.stripped.make_tree`.
    mode : {"bwrap", "uid", "none"}
    limits : Limits
    kind : {"single", "template", "trial"}

    Returns
    -------
    Process

    Raises
    ------
    SandboxUnavailable
    """
    if mode not in MODES:
        raise ValueError(f"no sandbox is called {mode!r}; there are {', '.join(MODES)}")
    kept_apart = socket.SOCK_SEQPACKET if kind == "template" else socket.SOCK_STREAM
    ours, theirs = socket.socketpair(socket.AF_UNIX, kept_apart)
    folder = uid = None
    is_root = can_become_another()
    try:
        os.set_inheritable(theirs.fileno(), True)
        if mode == "bwrap":
            command, uid = _bwrap(tree, limits, theirs.fileno(), kind, is_root)
        else:
            if mode == "uid" and not is_root:
                raise SandboxUnavailable("the sandbox 'uid' needs a grader who is root and knows other uids")
            folder = Folder("student")
            home = os.path.join(folder, "home")
            os.mkdir(home)
            command = worker_arguments(str(tree), theirs.fileno(), kind, worker_settings(mode, limits, home))
            if mode == "uid":
                uid = _UIDS.take()
                os.chmod(folder, 0o711)
                os.chown(home, uid, uid)
                command = _launched(command, uid, folder=home, environment=environment(), die=True)
        popen = _spawn(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment() if mode == "none" else {},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            cwd=home if mode == "none" else "/",
        )
    except BaseException as error:
        ours.close()
        if folder is not None:
            folder.remove()
        if uid is not None:
            _UIDS.give_back(uid)
        if isinstance(error, OSError):
            raise SandboxUnavailable(f"the sandbox could not be started: {error.strerror}") from None
        raise
    finally:
        theirs.close()
    os.set_blocking(popen.stderr.fileno(), False)
    return Process(ours, popen=popen, uid=uid, folder=folder, limits=limits)


def _bwrap(tree, limits, descriptor, kind, is_root):
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise SandboxUnavailable("bubblewrap (bwrap) is not installed")
    command = worker_arguments(TREE, descriptor, kind, worker_settings("bwrap", limits, HOME))
    shown = read_only_folders()
    tree = str(tree)
    own = [tree, os.path.join(tree, "passwd"), os.path.join(tree, "group")]
    sources = [*shown, *own]
    stage = None
    if is_root and _can_mount():
        stage = os.path.join(tree, "stage")
        sources = [os.path.join(stage, str(index)) for index in range(len(sources))]
    arguments = bwrap_command(
        bwrap,
        sources[len(shown) :],
        limits,
        command,
        shown=shown,
        sources=sources[: len(shown)],
        capabilities=kind == "template",
    )
    if not is_root:
        return arguments, None
    uid = _UIDS.take()
    return _launched(arguments, uid, stage=stage, sources=[*shown, *own]), uid


def _launched(command, uid, *, stage=None, sources=(), folder=None, environment=None, die=False):
    settings = {
        "uid": uid,
        "stage": stage,
        "sources": list(sources),
        "folder": folder,
        "environment": environment or {},
        "die": die,
        "command": command,
    }
    return [python(), "-I", "-S", str(LAUNCH), json.dumps(settings)]


def _can_mount():
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> 21 & 1)
    return False


def trial(tree, mode, limits):
    """Try whether a sandbox's walls can be built here, without torch: quick.

    Raises
    ------
    SandboxUnavailable
        The message says what went wrong.
    """
    process = start(tree, mode, limits, "trial")
    try:
        process.sock.settimeout(START_SECONDS)
        if process.sock.recv(1) != b"T":
            process.popen.wait(10)
            raise SandboxUnavailable(process.words() or "its walls cannot be built")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxUnavailable(str(error)) from None
    finally:
        process.kill()


class Template:
    """A sandbox that imports torch and forks a walled-off child for each student.

    Raises
    ------
    SandboxUnavailable
    """

    def __init__(self, tree, limits):
        self.limits = limits
        self.process = start(tree, "bwrap", limits, "template")

    def wait(self):
        """Return when torch is imported.

        Raises
        ------
        SandboxUnavailable
            The machine does not let a sandbox build further walls inside. Then each student gets a sandbox alone, which
            is as safe, and slower by the import of torch.
        """
        try:
            self.process.sock.settimeout(START_SECONDS)
            if self.process.sock.recv(1) == b"T":
                return
            said = self.process.words()
        except OSError as error:
            said = str(error)
        self.close()
        raise SandboxUnavailable(f"no template: {said}")

    def fork(self, modules=()):
        """The `Process` of a new student; `modules` are imported before, for this student and all later ones."""
        ours, theirs = socket.socketpair()
        pidfds = []
        try:
            with theirs:
                socket.send_fds(self.process.sock, [json.dumps(sorted(modules)).encode()], [theirs.fileno()])
            ours.settimeout(START_SECONDS)
            message, pidfds, _, _ = socket.recv_fds(ours, 1, 1)
            if message == b"P" and pidfds:
                return Process(ours, pidfd=pidfds[0], limits=self.limits)
        except OSError:
            pass
        for descriptor in pidfds:
            os.close(descriptor)
        ours.close()
        raise SandboxUnavailable("the template does not fork")

    def close(self):
        """End it, with all its students."""
        self.process.kill()
