"""Walls that a process builds around itself, before any of the student's code runs. Linux only; no torch here.

Each is a second wall: in a bubblewrap sandbox the first one is already standing.
"""

import ctypes
import os
import platform
import resource
import struct
import sys

NEW_NAMESPACES = 0x00020000 | 0x20000000 | 0x08000000 | 0x04000000 | 0x02000000  # mount, PID, IPC, UTS, cgroup
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x4000, 0x40000
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 22, 24, 38, 47

# System calls that a notebook has no use for: namespaces, mounts, other processes' memory, and memory that no limit
# counts. Numbers of x86_64 and of arm64 (asm/unistd_64.h and asm-generic/unistd.h of Linux).
DENIED = {
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "acct": (163, 89),
    "syslog": (103, 116),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
}
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
CLONE, SOCKET, CLONE3 = (56, 220), (41, 198), 435
NAMESPACE_FLAGS = 0x7E020000
AF_UNIX = 1
EPERM, EACCES, ENOSYS = 1, 13, 38


class Unconfined(Exception):
    """A wall cannot be built here."""


_libc = None


def libc():
    """The C library, opened once."""
    global _libc
    if _libc is None:
        _libc = ctypes.CDLL(None, use_errno=True)
    return _libc


def _call(name, *arguments):
    wide = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    if getattr(libc(), name)(*wide) != 0:
        error = ctypes.get_errno()
        raise Unconfined(f"{name}: {os.strerror(error)}")


def new_namespaces():
    """Leave for new namespaces of mounts, IPC, host name and cgroups; the next child is the first of a new PID one."""
    _call("unshare", NEW_NAMESPACES)


def mount_own(size):
    """In a new mount namespace: a ``/proc`` of one's own processes, and empty folders to write to.

    Parameters
    ----------
    size : int
        Bytes that each of these may hold.
    """
    _call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    options = f"size={size},nr_inodes=20000,mode=0755".encode()
    for folder in (b"/tmp", b"/home/student", b"/dev/shm"):
        _call("mount", b"tmpfs", folder, b"tmpfs", MS_NOSUID | MS_NODEV, options)
    try:
        _call("mount", b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    except Unconfined:  # rather none than that of the others
        _call("mount", b"tmpfs", b"/proc", b"tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, b"size=4096")


def drop_capabilities():
    """Give up every capability, for good."""
    for capability in range(64):
        if libc().prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break
    libc().prctl(PR_CAP_AMBIENT, ctypes.c_ulong(4), 0, 0, 0)
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    data = ctypes.create_string_buffer(struct.pack("=6I", 0, 0, 0, 0, 0, 0))
    _call("capset", header, data)


def no_new_privileges():
    """No program started from here gains rights by its file's."""
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def seccomp_program(machine):
    """The filter of system calls as BPF, or None for a machine whose numbers are not listed.

    Denied are the calls of `DENIED`, new namespaces through ``clone`` (``clone3``, whose arguments a filter cannot
    read, is "not implemented": the C library then takes ``clone``), and every socket but those of Unix. The last keeps
    the network out even where there is no network namespace.
    """
    if machine not in MACHINES:
        return None
    column, architecture = MACHINES[machine]

    def load(offset):
        return struct.pack("=HBBI", 0x20, 0, 0, offset)

    def give(error):
        return struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000 if error == 0 else 0x00050000 | error)

    def unless_equal(value, skip):
        return struct.pack("=HBBI", 0x15, 0, skip, value)

    program = [load(4), unless_equal(architecture, 1), struct.pack("=HBBI", 0x05, 0, 0, 1), give(EPERM), load(0)]
    if machine == "x86_64":
        program += [struct.pack("=HBBI", 0x35, 0, 1, 0x40000000), give(EPERM)]  # the x32 calls
    for numbers in DENIED.values():
        program += [unless_equal(numbers[column], 1), give(EPERM)]
    program += [unless_equal(CLONE3, 1), give(ENOSYS)]
    program += [
        unless_equal(CLONE[column], 4),
        load(16),
        struct.pack("=HBBI", 0x45, 0, 1, NAMESPACE_FLAGS),
        give(EPERM),
        give(0),
    ]
    program += [unless_equal(SOCKET[column], 4), load(16), unless_equal(AF_UNIX, 1), give(0), give(EACCES)]
    return [*program, give(0)]


def filter_system_calls():
    """Put `seccomp_program` into force. Needs `no_new_privileges`.

    Returns
    -------
    bool
        False where this machine's numbers are not known.
    """
    program = seccomp_program(platform.machine())
    if program is None or sys.maxsize < 2**32:
        return False
    code = ctypes.create_string_buffer(b"".join(program))
    head = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(program), ctypes.addressof(code)))
    _call("prctl", PR_SET_SECCOMP, 2, ctypes.cast(head, ctypes.c_void_p), 0, 0)
    return True


def set_limits(memory, processes, file_size, seconds):
    """Limits of the kernel on this process and its children, on top of what is in use already.

    Parameters
    ----------
    memory : int
        Bytes of data and of address space for each process.
    processes : int
        Threads count too.
    file_size : int
        Bytes of each file.
    seconds : int
        Of the processor's time.
    """
    used = _in_use()
    used_seconds = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    for name, limit in (
        ("RLIMIT_DATA", used["VmData"] + memory),
        ("RLIMIT_AS", used["VmSize"] + memory + 2**29),
        ("RLIMIT_NPROC", processes),
        ("RLIMIT_FSIZE", file_size),
        ("RLIMIT_CPU", int(used_seconds + seconds)),
        ("RLIMIT_NOFILE", 256),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_MSGQUEUE", 0),
        ("RLIMIT_MEMLOCK", 2**16),
    ):
        if hasattr(resource, name):
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            try:
                resource.setrlimit(kind, (limit, limit))
            except (OSError, ValueError):
                if name in ("RLIMIT_DATA", "RLIMIT_NPROC", "RLIMIT_FSIZE") and sys.platform == "linux":
                    raise Unconfined(f"setrlimit {name}") from None


def _in_use():
    used = {"VmData": 0, "VmSize": 0}
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                name, _, rest = line.partition(":")
                if name in used:
                    used[name] = int(rest.split()[0]) * 1024
    except OSError:
        used = {"VmData": 2**31, "VmSize": 2**34}
    return used
