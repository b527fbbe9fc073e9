"""The walls: bubblewrap's command line, the filter of system calls, the weaker sandboxes, and what doctor says."""

import errno
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from coursekit.grading import doctor, folders, launch, sandbox
from coursekit.grading.faults import SandboxKilled, SandboxUnavailable
from coursekit.grading.inside import confine
from coursekit.grading.sandbox import Limits, bwrap_command, start, trial
from coursekit.grading.session import CellResult, Sandboxes
from coursekit.grading.stripped import make_tree

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
ROOT = Path(__file__).resolve().parents[2]


# -- the command line ------------------------------------------------------------------------------


def command(**options):
    given = {"shown": ["/opt/python"], "sources": ["/stage/0"], **options}
    return bwrap_command("/usr/bin/bwrap", ("/t", "/t/passwd", "/t/group"), Limits(folder=4096), ["python"], **given)


def pairs(arguments, option):
    return [tuple(arguments[at + 1 : at + 3]) for at, word in enumerate(arguments) if word == option]


def test_every_namespace_is_new_and_nothing_is_shared_back():
    arguments = command()
    for name in ("user", "pid", "ipc", "uts", "net"):
        assert f"--unshare-{name}" in arguments
    assert "--unshare-cgroup-try" in arguments
    assert {"--die-with-parent", "--new-session"} <= set(arguments)
    assert not {"--share-net", "--bind", "--dev-bind", "--unshare-all", "--clearenv"} & set(arguments)
    assert pairs(arguments, "--uid")[0][0] == "1000" and ("ALL", "--ro-bind") in pairs(arguments, "--cap-drop")


def test_only_a_template_keeps_the_capabilities_of_its_namespace():
    assert "--cap-add" not in command() and "--cap-add" in command(capabilities=True)


def test_folders_are_read_only_and_what_can_be_written_is_capped():
    arguments = command()
    assert ("/stage/0", "/opt/python") in pairs(arguments, "--ro-bind")
    writable = [at for at, word in enumerate(arguments) if word == "--tmpfs"]
    assert {"/tmp", "/home/student", "/dev/shm"} <= {arguments[at + 1] for at in writable}
    assert all(arguments[at - 2] == "--size" for at in writable)
    read_only = {path for path, _ in pairs(arguments, "--remount-ro")}
    assert {"/", "/dev"} <= read_only
    assert arguments.index("--dev") < arguments.index("/dev/shm") < arguments.index("--remount-ro")


@pytest.mark.parametrize(
    "place", ["coursekit", "python3.12/site-packages/coursekit", "lib/python3/dist-packages/coursekit"]
)
def test_an_installed_coursekit_is_covered(tmp_path, place):
    (tmp_path / place).mkdir(parents=True)
    arguments = command(shown=[str(tmp_path)])
    inside = sandbox.placed(str(tmp_path / place))
    at = arguments.index(inside)
    assert arguments[at - 3 : at] == ["--size", "4096", "--tmpfs"]
    assert arguments.index("--ro-bind") < at
    assert (inside, arguments[at + 3]) in pairs(arguments, "--remount-ro")


@pytest.mark.needs("bwrap")
def test_packages_that_lie_where_the_sandbox_has_folders_of_its_own_are_shown_elsewhere(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        packages = Path(folder) / "site-packages"
        packages.mkdir()
        Path(folder).chmod(0o755)
        (packages / "lies_in_tmp.py").write_text("HERE = __file__\n")
        (packages / "coursekit").mkdir()
        (packages / "coursekit" / "answers.py").write_text("")
        theirs = sandbox.site_folders()
        monkeypatch.setattr(sandbox, "site_folders", lambda: [*theirs, str(packages)])
        cell = (
            "import lies_in_tmp, os\n"
            "def here(): return [lies_in_tmp.HERE, os.listdir(os.path.dirname(lies_in_tmp.HERE) + '/coursekit')]"
        )
        with Sandboxes(template=False) as sandboxes, sandboxes.session({}) as one:
            assert one.run([cell])[0].status == "ok"
            assert one.subject("here")() == [f"/shown{packages}/lies_in_tmp.py", []]


def test_what_is_shown_is_python_its_packages_and_the_systems_libraries():
    shown = sandbox.read_only_folders()
    assert not {"/", "/usr", "/etc", "/home", "/root", "/tmp", "/var", os.path.expanduser("~"), str(ROOT)} & set(shown)
    allowed = (
        *sandbox.site_folders(),
        sandbox.python(),
        os.path.realpath(sys.base_prefix),
        os.path.realpath(sys.base_exec_prefix),
        *("/usr/lib", "/lib", "/etc/ld.so.cache", "/etc/alternatives"),
    )
    assert [path for path in shown if not path.startswith(allowed)] == []
    assert all(Path(path).exists() for path in shown)


def test_the_worker_is_told_nothing_of_the_graders_environment(monkeypatch):
    monkeypatch.setenv("COURSEKIT_SECRET", "the-secret")
    settings = sandbox.worker_settings("bwrap", Limits(), "/home/student")
    assert "the-secret" not in json.dumps([settings, sandbox.environment()])


# -- the filter of system calls --------------------------------------------------------------------

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def run_filter(machine, number, *arguments, architecture=None):
    """Errno with which the filter ends a call; 0 when it lets it through."""
    program = [struct.unpack("=HBBI", word) for word in confine.seccomp_program(machine)]
    arguments = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, architecture or ARCHITECTURES[machine][1], 0, *arguments)
    at = accumulator = 0
    while True:
        code, jump, otherwise, k = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == 0x05:
            at += k
        elif code == 0x06:
            if k == 0x7FFF0000:
                return 0
            assert k & 0xFFFF0000 == 0x00050000
            return k & 0xFFFF
        else:
            true = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[code]
            at += jump if true else otherwise


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_denies_what_it_lists_and_lets_the_rest_through(machine):
    column, _ = ARCHITECTURES[machine]
    for name, numbers in confine.DENIED.items():
        assert run_filter(machine, numbers[column]) == errno.EPERM, name
    special = {numbers[column] for numbers in confine.DENIED.values()}
    special |= {confine.CLONE[column], confine.SOCKET[column], confine.CLONE3}
    for number in set(range(460)) - special:
        assert run_filter(machine, number) == 0


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_processes_may_be_made_but_no_namespaces_and_sockets_only_of_unix(machine):
    column, _ = ARCHITECTURES[machine]
    clone, create = confine.CLONE[column], confine.SOCKET[column]
    assert run_filter(machine, clone, 0x01200011) == run_filter(machine, clone, 0x3D0F00) == 0  # fork, a thread
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert run_filter(machine, clone, 0x11 | flag) == errno.EPERM
    assert run_filter(machine, confine.CLONE3) == errno.ENOSYS
    assert run_filter(machine, create, socket.AF_UNIX) == 0
    for family in (0, 2, 10, 16, 17, 40):
        assert run_filter(machine, create, family) == errno.EACCES


def test_another_architectures_calls_are_denied_and_unknown_machines_have_no_filter():
    assert run_filter("x86_64", 39, architecture=0x40000003) == errno.EPERM  # 32 bits
    assert run_filter("x86_64", 0x40000000 + 39) == errno.EPERM  # x32
    assert confine.seccomp_program("riscv64") is None


def test_the_numbers_are_the_kernels():
    header = Path("/usr/include/asm-generic/unistd.h"), Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not all(path.exists() for path in header):
        pytest.skip("the kernel's headers are not installed (linux-libc-dev)")
    for column, path in ((1, header[0]), (0, header[1])):
        text = path.read_text(encoding="utf-8").replace("__NR3264_", "__NR_")
        for name, numbers in {**confine.DENIED, "clone": confine.CLONE, "socket": confine.SOCKET}.items():
            assert re.search(rf"^#define\s+__NR_{name}\s+{numbers[column]}$", text, re.MULTILINE), name


# -- starting --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree():
    return make_tree()


def works(mode, tree):
    try:
        trial(tree, mode, Limits())
    except SandboxUnavailable as error:
        return str(error)
    return None


@pytest.mark.needs("bwrap")
def test_a_trial_builds_all_walls(tree):
    assert works("bwrap", tree) is None
    assert "bwrap" in doctor.working_sandboxes()


def test_a_sandbox_of_no_known_kind_is_refused(tree):
    with pytest.raises(ValueError, match="no sandbox is called"):
        start(tree, "docker", Limits())


@linux
def test_a_program_that_fails_is_quoted(tree, tmp_path, monkeypatch):
    false = tmp_path / "bwrap"
    false.write_text("#!/bin/sh\necho 'No permissions to creating new namespace' >&2\nexit 1\n")
    false.chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: str(false))
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: 1)
    with pytest.raises(SandboxUnavailable, match="No permissions"):
        trial(tree, "bwrap", Limits())


@linux
def test_no_wall_at_all_still_limits_time_and_memory():
    limits = Limits(cell=5, call=5, total=300, grace=5, memory=2**29)
    with Sandboxes(sandbox="none", limits=limits) as sandboxes, sandboxes.session({"a": 1}) as session:
        hog = "hog = bytearray(2**31)"
        results = session.run(["def f(): return 1", hog, "while True: pass", "import os\nos._exit(3)"])
        assert [result.status for result in results] == ["ok", "error", "timeout", "killed"]
        assert results[1] == CellResult("error", "MemoryError")
        assert session.subject("f")() == 1


@linux
def test_another_uid_owns_nothing_and_its_processes_die(tree):
    if (trouble := works("uid", tree)) is not None:
        pytest.skip(f"no sandbox 'uid' here: {trouble}")
    secret = tree / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    cell = (
        "import os, socket, subprocess\n"
        "subprocess.Popen(['sleep', '10000'], start_new_session=True)\n"
        "def uid(): return [os.getuid(), os.geteuid(), len(os.getgroups())]\n"
        f"def secret(): return open({str(secret)!r}).read()\n"
        "def network(): socket.socket()\n"
        "def environment(): return str(dict(os.environ))\n"
    )
    with Sandboxes(sandbox="uid") as sandboxes, sandboxes.session({}) as session:
        assert session.run([cell]) == [CellResult("ok")]
        uid = session._process.uid
        assert session.subject("uid")() == [uid, uid, 0] and uid >= sandbox.FIRST_UID
        for name in ("secret", "network"):
            with pytest.raises(Exception, match="PermissionError"):
                session.subject(name)()
        assert "PYTEST" not in session.subject("environment")()
        folder = Path(session._process.folder)
        assert folder.is_dir()
    assert not folder.exists()
    deadline = time.monotonic() + 20
    while processes_of(uid) and time.monotonic() < deadline:
        os.sched_yield()
    assert processes_of(uid) == []


def processes_of(uid):
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if path.stat().st_uid == uid and ") Z" not in (path / "stat").read_text():
                found.append(path.name)
        except OSError:
            continue
    return found


def test_another_uid_needs_a_grader_who_is_root(tree, monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(folders.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="needs a grader who is root"):
        start(tree, "uid", Limits())
    assert list(tmp_path.iterdir()) == []


@linux
def test_a_sandbox_that_cannot_be_started_leaves_nothing(tree, monkeypatch, tmp_path):
    def fails(*args, **kwargs):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(folders.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sandbox, "_spawn", fails)
    taken = set(sandbox._UIDS._taken)
    for mode in ("none", "uid") if sandbox.can_become_another() else ("none",):
        with pytest.raises(SandboxUnavailable, match="temporarily"):
            start(tree, mode, Limits())
    assert list(tmp_path.iterdir()) == [] and sandbox._UIDS._taken == taken


@linux
@pytest.mark.parametrize("is_root", [False, True])
def test_what_starts_a_sandbox_gets_nothing_of_the_graders_environment(tree, is_root, monkeypatch):
    started = []

    def refuse(command, **options):
        started.append((command, options))
        raise OSError(errno.EAGAIN, "")

    monkeypatch.setenv("COURSEKIT_SECRET", "the-secret")
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: "/usr/bin/bwrap")
    monkeypatch.setattr(sandbox, "can_become_another", lambda: is_root)
    monkeypatch.setattr(sandbox, "_spawn", refuse)
    with pytest.raises(SandboxUnavailable):
        start(tree, "bwrap", Limits())
    ((command, options),) = started
    assert options["env"] == {} and "the-secret" not in " ".join(command)


def test_uids_are_not_given_twice_and_never_a_users():
    uids = sandbox._Uids()
    taken = {uids.take() for _ in range(50)}
    assert len(taken) == 50
    assert all(sandbox.FIRST_UID <= uid < sandbox.FIRST_UID + sandbox.UIDS for uid in taken)
    one = taken.pop()
    uids.give_back(one)
    assert uids.take() == one


@linux
@pytest.mark.parametrize(
    ("uid", "uids", "can"),
    [
        (0, "0 0 4294967295", True),
        (1000, "0 0 4294967295", False),
        (0, "0 1000 1", False),
        (0, "0 0 1\n1 1 65536", True),
    ],
)
def test_only_root_with_other_uids_can_become_another(uid, uids, can, tmp_path, monkeypatch):
    (tmp_path / "uid_map").write_text(uids + "\n")
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: uid)
    monkeypatch.setattr(sandbox, "UID_MAP", tmp_path / "uid_map")
    assert sandbox.can_become_another() is can


@linux
def test_root_is_given_up_for_good(tmp_path):
    if not sandbox.can_become_another():
        pytest.skip("only root can become another, where there are others")
    program = (
        f"import os, sys\nsys.path.insert(0, {str(Path(launch.__file__).parent)!r})\nimport launch\nlaunch.become(43210)\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "try:\n    os.setuid(0)\nexcept PermissionError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["(43210, 43210, 43210) (43210, 43210, 43210) []", "refused"], done.stderr


@linux
def test_the_graders_descendants_and_their_memory_are_counted():
    program = "import subprocess, sys; x = bytearray(b'x') * (64 * 2**20)\n"
    program += "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\nprint(child.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        assert sandbox.descendants(parent.pid) == [child]
        assert 64 * 2**20 < sandbox.memory_of([parent.pid, child]) < 200 * 2**20
        parent.stdin.close()
    assert sandbox.memory_of([parent.pid]) == 0


@linux
def test_the_grader_counts_processes_itself(monkeypatch):
    ours, theirs = socket.socketpair()
    with theirs, subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        os.set_blocking(child.stdin.fileno(), False)
        process = sandbox.Process(ours, popen=child, limits=Limits(processes=64))
        below = list(range(2**30, 2**30 + 64 + sandbox.OWN_PROCESSES))  # no process has such a number
        monkeypatch.setattr(sandbox, "descendants", lambda pid: below[1:])
        process.watch()
        process._watched = 0.0
        monkeypatch.setattr(sandbox, "descendants", lambda pid: below)
        with pytest.raises(SandboxKilled, match="processes"):
            process.watch()
        assert child.returncode == -9


# -- doctor ----------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path):
    """A folder of the kernel's settings, all well."""
    for name, value in {
        "kernel/apparmor_restrict_unprivileged_userns": "0",
        "kernel/unprivileged_userns_clone": "1",
        "user/max_user_namespaces": "1000",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(value + "\n")
    return tmp_path


@pytest.mark.parametrize(
    "name, value, remedy",
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "apparmor_parser -r"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces"),
    ],
)
def test_doctor_names_the_kernels_setting_and_how_to_change_it(settings, name, value, remedy):
    assert remedy not in doctor.remedies("x", "/usr/bin/bwrap", settings)[0]
    (settings / name).write_text(value)
    (found,) = doctor.remedies("bwrap: setting up uid map: Permission denied", "/usr/bin/bwrap", settings)
    assert remedy in found


def test_doctor_knows_other_troubles(settings):
    def only(trouble, bwrap="/usr/bin/bwrap"):
        (found,) = doctor.remedies(trouble, bwrap, settings)
        return found

    assert "apt install bubblewrap" in only("x", None)
    assert "too old" in only("bwrap: Unknown option --size")
    assert "seccomp=unconfined" in only("bwrap: Creating new namespace failed: Operation not permitted")
    assert "reach Python's folders" in only("bwrap: Can't find source path: Permission denied")


def test_doctor_sends_other_systems_to_linux(monkeypatch):
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    assert doctor.remedies("x", None) == [doctor.PLATFORM]
    assert "bwrap" not in doctor.working_sandboxes() and "uid" not in doctor.working_sandboxes()


def test_doctor_without_bubblewrap_says_what_is_left(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    report, problems = doctor.examine()
    assert dict(report)["sandbox bwrap"].startswith("does not work")
    assert "none" in dict(report)["weaker sandboxes"]
    assert problems == [doctor.INSTALL]


@pytest.mark.needs("bwrap")
def test_doctor_looks_at_the_walls_from_inside():
    report, problems = doctor.examine()
    assert problems == []
    walls = {name: found for name, found in report if name.startswith("inside: ")}
    assert len(walls) == 6 and set(walls.values()) == {"closed"}


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize(("uid", "uids", "holds"), [(0, "0 1000 1", False), (0, "0 0 4294967295", True), (7, "", True)])
def test_doctor_says_where_the_limit_on_processes_does_not_hold(uid, uids, holds, tmp_path, monkeypatch):
    (tmp_path / "uid_map").write_text(uids + "\n")
    monkeypatch.setattr(sandbox.os, "geteuid", lambda: uid)
    monkeypatch.setattr(sandbox, "UID_MAP", tmp_path / "uid_map")
    for name in ("_trouble", "_template_trouble"):
        monkeypatch.setattr(doctor, name, lambda *mode: None)
    monkeypatch.setattr(doctor, "_from_inside", lambda: ([], []))
    report, problems = doctor.examine()
    said = dict(report)["limit on processes"]
    assert problems == [] and (said == "holds") is holds
    assert holds or "does not bind root" in said and "--pids-limit" in said


@linux
def test_doctor_sees_open_walls(monkeypatch):
    monkeypatch.setattr(doctor, "Sandboxes", lambda template: Sandboxes(sandbox="none"))
    report, problems = doctor._from_inside()
    assert dict(report)["inside: grader's files"] == "open"
    assert any("grader's files" in problem for problem in problems)
