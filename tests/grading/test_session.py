"""Sessions: what honest notebooks get, and what hostile ones do not."""

import gc
import json
import operator
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch

from coursekit.exercises.subject import NotAnswered
from coursekit.grading import sandbox, session
from coursekit.grading.faults import (
    CallsReference,
    CallTimeout,
    Fault,
    NotDefined,
    RefusedValue,
    SandboxKilled,
    SandboxUnavailable,
    StudentError,
)
from coursekit.grading.inside import worker
from coursekit.grading.session import CellResult, Limits, Sandboxes
from coursekit.grading.wire import WireError

pytestmark = [pytest.mark.needs("bwrap"), pytest.mark.timeout(600)]

KL = "coursekit.losses.vae.kl_standard_normal"
OK = CellResult("ok")
QUICK = Limits(cell=20, call=20, total=300, grace=5, memory=2**30, all_memory=3 * 2**29)
IMPATIENT = Limits(cell=1.5, call=1.0, total=120, grace=1.0)


@pytest.fixture(scope="module")
def sandboxes():
    with Sandboxes((KL,), limits=QUICK) as sandboxes:
        yield sandboxes


@pytest.fixture
def open_session(sandboxes):
    """Opens a session, with these limits."""
    opened = []

    def open_session(limits=QUICK, numbers=None, **options):
        one = session.Session(sandboxes, numbers or {}, limits=limits, **options)
        opened.append(one.__enter__())
        return one

    yield open_session
    for one in opened:
        one.__exit__()


@pytest.fixture
def notebook(open_session):
    """Opens a session and runs cells in it."""

    def notebook(*cells, **options):
        one = open_session(**options)
        one.results = one.run(cells)
        return one

    return notebook


HONEST = """
import torch
from torch import nn
def double(x, plus=0.0):
    return 2 * x + plus
class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.map = nn.Linear(n, 2)
        self.norm = nn.BatchNorm1d(2)
    def forward(self, x):
        return self.norm(self.map(x))
    def norm_of(self, p):
        return self.map.weight.norm(p)
def through(network, x):
    return network(x)
answer = 3.5
unanswered = ...
"""
X = torch.arange(6.0).reshape(3, 2)


# -- what honest notebooks get ---------------------------------------------------------------------


def test_functions_values_and_objects(notebook):
    one = notebook(HONEST)
    assert one.results == [OK]
    assert torch.equal(one.subject("double")(X, plus=1), 2 * X + 1)
    assert one.value("answer") == 3.5
    net = one.subject("Net").new(2)
    assert net.shapes() == [[2, 2], [2], [2], [2], [2], [2], []]
    net.load(
        [torch.eye(2), torch.ones(2), torch.ones(2), torch.zeros(2), torch.zeros(2), torch.ones(2), torch.tensor(0)]
    )
    net.train(False)
    assert torch.allclose(net(X), X + 1, atol=1e-4)
    assert net.method("norm_of", 1).item() == 2
    value, (weights, inputs) = one.subject("through").gradients([net, X], of=[0, 1])
    assert torch.allclose(value, X + 1, atol=1e-4) and weights.shape == (10,) and inputs.shape == X.shape


def test_a_built_network_can_be_passed(notebook):
    one = notebook(HONEST)
    subject = one.subject("through")
    network = subject.build([["Linear", 2, 1], ["LeakyReLU", 0.2]], [torch.ones(1, 2), torch.zeros(1)])
    assert torch.equal(subject(network, X), X.sum(1, keepdim=True))
    with pytest.raises(Fault):
        subject.build([["Module"]])


def test_faults_are_named(notebook):
    one = notebook(
        HONEST,
        f"from {KL.rpartition('.')[0]} import kl_standard_normal as theirs\n"
        "def calls(x):\n    try:\n        return theirs(x, x)\n    except BaseException:\n        return x\n"
        "def raises(x):\n    raise ZeroDivisionError(x)\n"
        "class Odd(Exception): pass\nOdd.__name__ = '<script>'\n"
        "def odd(x):\n    raise Odd\n"
        "def leaves(x):\n    raise SystemExit\n"
        "def dots(x):\n    return ...\n"
        "def objects(x):\n    return object()\n"
        "def huge(x):\n    return torch.zeros(1).expand(2**40)\n"
        "def large(x):\n    return torch.zeros(2**25)\n"
        "def deep(x):\n    y = []\n    y.append(y)\n    return y\n"
        "class Text(str): pass\n"
        "def subclass(x):\n    return Text('x')\n"
        "def complex_(x):\n    return torch.zeros(2, dtype=torch.complex64)\n"
        "def half(x):\n    return '\\ud800'\n"
        "def bits(x):\n    return 2**64\n"
        "text = 'x'\n",
    )
    assert one.results == [OK, OK]

    def fault_of(name):
        with pytest.raises((Fault, NotAnswered)) as caught:
            one.subject(name)(X)
        return caught.value

    assert fault_of("raises").type_name == "ZeroDivisionError"
    assert fault_of("odd").type_name == "Exception"
    assert fault_of("leaves").type_name == "SystemExit"
    assert fault_of("text").type_name == "TypeError"
    assert type(fault_of("calls")) is CallsReference
    assert type(fault_of("nothing")) is NotDefined
    assert type(fault_of("unanswered")) is type(fault_of("dots")) is NotAnswered
    for name in ("objects", "huge", "large", "deep", "subclass", "complex_", "half", "bits"):
        assert type(fault_of(name)) is RefusedValue, name
    with pytest.raises(RefusedValue):
        one.value("text")
    assert one.generation == 1


def test_the_reference_may_be_allowed(notebook):
    one = notebook(f"from {KL.rpartition('.')[0]} import kl_standard_normal as mine", allow_reference=True)
    assert one.subject("mine")(X, 0 * X).tolist() == pytest.approx([0.5, 6.5, 20.5])


def test_notebooks_cells_run_as_in_ipython(notebook):
    one = notebook(
        "%matplotlib inline\n!ls\nfiles = !ls\nold = %pwd\nget_ipython().system('x')\nimport math",
        "%%time\nby_magic = 1",
        "%time by_line = 2",
        "%%bash\nexit 1",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\ndisplay(3)\ninput_ = None",
        "import asyncio\nasync def later():\n    return 3\nawaited = await later()",
        "from __future__ import annotations\ndef hinted(x: NoSuchType): return 1",
        "def still(x: NoSuchType): return 1",
        "syntax error",
        "x = 1\n1 / 0\ndef after(): return 7",
        "from coursekit.exercises import vae\nnumbers = vae.start('somebody else')\nvae.kl.check(None)\nvae.submit()",
        "import dataclasses, pickle, inspect\n@dataclasses.dataclass\nclass D:\n    a: int\n"
        "copied = pickle.loads(pickle.dumps(D(5))).a\nsource = inspect.getsource(after)",
        numbers={"sigma": 2.5},
    )
    good = [True] * 8 + [False, False] + [True] * 2
    assert [result.status == "ok" for result in one.results] == good
    assert [result.exception for result in one.results[8:10]] == ["SyntaxError", "ZeroDivisionError"]
    for name, value in {"by_magic": 1, "by_line": 2, "awaited": 3, "copied": 5}.items():
        assert one.value(name) == value
    assert one.subject("after")() == 7 and one.subject("hinted")(1) == one.subject("still")(1) == 1
    one.run(["def given(): return numbers['sigma']"])
    assert one.subject("given")() == 2.5


@pytest.mark.parametrize("transform", [worker._transformer(), worker._without_magics])
def test_what_is_assigned_from_a_command_is_read_where_ipython_does_not(transform):
    notebook = worker.Notebook.__new__(worker.Notebook)
    notebook.count, notebook.transform = 0, transform
    tree, _ = notebook._parse("files = !ls -l\nif files:\n    here = %pwd\ntext = '''\nx'''\nodd = 5 % 2 != 0\n")
    names = {"get_ipython": lambda: Shell()}

    class Shell:
        getoutput = run_line_magic = staticmethod(lambda *words: [*words])
        magic = staticmethod(lambda words: [words])

    exec(compile(tree, "<cell>", "exec"), names)
    assert (names["files"], names["odd"]) == (["ls -l"], True) and names["here"][0] == "pwd"
    with pytest.raises(SyntaxError):
        notebook._parse("x = !ls\nthis is no Python")


# -- time, memory, death ---------------------------------------------------------------------------

SURVIVES = "def kept(): return 1"


@pytest.mark.parametrize(
    "loop",
    [
        "while True: pass",
        "while True:\n    try:\n        pass\n    except BaseException:\n        pass",
        "import time\ntime.sleep(1000)",
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        "import sys\nsys.settrace = lambda f: None\nwhile True:\n    try:\n        pass\n    except BaseException: pass",
        "9**9**9",
        "import re\nre.match('(a+)+$', 'a' * 50 + 'b')",
    ],
    ids=["plain", "catches-all", "sleeps", "ignores", "blocks", "untraced", "big-power", "regex"],
)
def test_a_cell_that_does_not_end_costs_itself_alone(notebook, loop):
    before = time.monotonic()
    one = notebook(SURVIVES, f"def mine(): return 2\n{loop}\n", "def after(): return 3", limits=IMPATIENT)
    assert [result.status for result in one.results] == ["ok", "timeout", "ok"]
    assert [one.subject(name)() for name in ("kept", "mine", "after")] == [1, 2, 3]
    assert time.monotonic() - before < 100


@pytest.mark.parametrize("loop", ["while True: pass", "import signal\n    signal.alarm(0)\n    9**9**9"])
def test_an_answer_that_does_not_end_costs_itself_alone(notebook, loop):
    one = notebook(SURVIVES, f"def hangs():\n    {loop}", limits=IMPATIENT)
    with pytest.raises(CallTimeout):
        one.subject("hangs")()
    assert one.subject("kept")() == 1


DEADLY = {
    "exit": "import os\nos._exit(0)",
    "segfault": "import ctypes\nctypes.string_at(0)",
    "abort": "import os\nos.abort()",
    "recursion": "import sys, threading\nsys.setrecursionlimit(10**9)\n"
    "def f(): return [f() for _ in range(2)]\nimport ctypes\nctypes.memset(1, 0, 10)",
    "closed": "import os\nos.closerange(0, 4096)",
    "hijacked": "import os, socket\nfor fd in range(3, 100):\n    try:\n        os.dup2(1, fd)\n    except OSError: pass",
    "shut": "import socket\nfor fd in range(3, 100):\n    try:\n"
    "        socket.socket(fileno=fd).shutdown(2)\n    except OSError: pass",
    "noise": "import os\nfor fd in range(3, 100):\n    try:\n        os.write(fd, b'x' * 10000)\n    except OSError: pass",
    "flood": "import os\nwhile True:\n    for fd in range(3, 30):\n        try:\n"
    "            os.write(fd, b'ckw1' + bytes(8) * 1000)\n        except OSError: pass",
    "patched": "import json, struct, torch\njson.dumps = None\nimport coursekit.grading.wire as wire\nwire.encode = None",
}


@pytest.mark.parametrize("name", DEADLY)
def test_a_cell_that_kills_or_hijacks_the_worker_costs_itself_alone(notebook, name):
    one = notebook(SURVIVES, DEADLY[name], "def after(): return 3", limits=Limits(cell=10, call=10, total=200, grace=2))
    assert one.results[0] == OK and one.results[1].status in ("killed", "timeout", "error")
    assert one.results[2] == OK
    assert one.subject("kept")() == 1 and one.subject("after")() == 3


@pytest.mark.parametrize("name", ["exit", "segfault", "noise", "closed"])
def test_an_answer_that_kills_the_worker_costs_itself_alone(notebook, name):
    body = DEADLY[name].replace("\n", "\n    ")
    one = notebook(SURVIVES, f"def deadly():\n    {body}")
    for _ in range(2):
        with pytest.raises((SandboxKilled, CallTimeout)):
            one.subject("deadly")()
        assert one.subject("kept")() == 1
    assert one.generation == 3


def test_an_object_of_a_dead_sandbox_is_gone(notebook):
    one = notebook(HONEST, "import os\ndef deadly(): os._exit(1)")
    net = one.subject("Net").new(2)
    with pytest.raises(SandboxKilled):
        one.subject("deadly")()
    one.subject("double")
    with pytest.raises(SandboxKilled):
        net(X)
    with pytest.raises(SandboxKilled):
        one.subject("through")(net, X)


def test_a_sandbox_is_not_rebuilt_for_ever(notebook):
    limits = Limits(cell=20, call=20, total=200, rebuilds=2)
    one = notebook("import os\ndef deadly(): os._exit(1)", limits=limits)
    for _ in range(5):
        with pytest.raises(SandboxKilled):
            one.subject("deadly")()
    assert one.generation == 3


def test_the_total_time_is_kept(notebook):
    limits = Limits(cell=60, call=60, total=2, grace=1)
    one = notebook("while True: pass", "x = 1", limits=limits)
    assert [result.status for result in one.results] == ["timeout", "skipped"]
    with pytest.raises(Fault):
        one.subject("x")


HOGS = {
    "list": "hog = []\nwhile True: hog.append(bytearray(10**7))",
    "tensor": "import torch\nhog = torch.ones(2**31)",
    "shared": "import mmap\nhog = [mmap.mmap(-1, 2**29) for _ in range(40)]",
    "memfd": "import os\nos.memfd_create('x')",
    "file": "with open('/tmp/x', 'wb') as f:\n    while True: f.write(bytes(10**7))",
    "files": "for i in range(100):\n    with open(f'/dev/shm/{i}', 'wb') as f: f.write(bytes(10**7))",
    "home": "import os\nfor i in range(100):\n    with open(os.path.expanduser(f'~/{i}'), 'wb') as f: f.write(bytes(10**7))",
}


@pytest.mark.parametrize("name", HOGS)
def test_memory_and_files_are_limited(notebook, name):
    one = notebook(
        SURVIVES,
        f"import resource\ntry:\n    {HOGS[name].replace(chr(10), chr(10) + '    ')}\nfinally:\n    hog = None",
    )
    assert one.results[1].status in ("error", "killed")
    assert one.subject("kept")() == 1


def test_memory_of_all_processes_together_is_limited(notebook):
    fork = (
        "import os, time\nfor child in range(9):\n    if child == 8 or os.fork() == 0:\n"
        "        hog = bytearray(b'x') * (300 * 2**20)\n        time.sleep(1000)"
    )
    one = notebook(SURVIVES, fork)
    assert one.results[1] == CellResult("killed")
    assert one.subject("kept")() == 1


def test_a_fork_bomb_is_limited_and_dies(notebook):
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        break\nimport time\ntime.sleep(100)"
    one = notebook(SURVIVES, bomb, limits=IMPATIENT)
    pid = one._process.pid if one._process else None
    assert one.results[1].status in ("timeout", "killed", "error")
    one.run(["x = 1"])
    assert one.subject("kept")() == 1
    assert pid is None or len(sandbox.descendants(pid)) <= QUICK.processes


IN_A_CONTAINER = """
from coursekit.grading.sandbox import limits_processes
from coursekit.grading.session import Limits, Sandboxes
forks = "import os, time\\nfor child in range(501):\\n    if child == 500 or os.fork() == 0:\\n        time.sleep(1000)"
with Sandboxes(template=False, limits=Limits(cell=60)) as sandboxes, sandboxes.session({}) as one:
    results = [result.status for result in one.run(["def kept(): return 1", forks])]
    print(limits_processes(), results, one.subject("kept")())
"""


def test_processes_are_limited_where_root_has_no_other_uids():
    container = ["unshare", "--user", "--map-root-user"]
    try:
        tried = subprocess.run([*container, "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("unshare (util-linux) is not installed")
    if tried.returncode != 0:
        pytest.skip(f"no such container can be made here: {tried.stderr.strip()}")
    done = subprocess.run([*container, sys.executable, "-c", IN_A_CONTAINER], capture_output=True, text=True)
    assert done.stdout.strip() == "False ['ok', 'killed'] 1", done.stderr


def test_a_forked_child_that_runs_on_says_nothing_on_the_wire(notebook):
    fork = "import os, time\nchild = os.fork()\nif child == 0: time.sleep(0.3)\nx = child"
    one = notebook(SURVIVES, fork, "time.sleep(1)", "assert child != 0")
    assert one.results == [OK] * 4
    assert one.subject("kept")() == 1
    assert one.generation == 1


def test_daemons_die_with_the_session(sandboxes):
    daemon = (
        "import os, subprocess, sys\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        import time\n        time.sleep(100000)\n    os._exit(0)\nimport threading, time\n"
        "threading.Thread(target=time.sleep, args=(100000,)).start()"
    )
    with sandboxes.session({}) as one:
        assert one.run([daemon]) == [OK]
        alive = [one._process.pid, *sandbox.descendants(one._process.pid)]
        assert len(alive) >= 2
        started = {pid: started_at(pid) for pid in alive}
    assert not [pid for pid in alive if is_running(pid) and started_at(pid) == started[pid]]


def started_at(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_output_costs_no_memory(notebook):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one = notebook(
        "import sys, os\nfor _ in range(200):\n    print('x' * 10**6)\n    sys.stderr.write('y' * 10**6)\n    os.write(1, b'z' * 10**6)",
        "class R:\n    def __repr__(self): return 'r' * 10**9\nR()",
        "def f(): return 1",
    )
    assert one.results == [OK, OK, OK]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


# -- forging ---------------------------------------------------------------------------------------


def test_replies_written_in_advance_are_not_taken(notebook):
    forge = """
from coursekit.grading.wire import encode
import os
for number in range(1, 50):
    for fd in range(3, 30):
        try:
            os.write(fd, encode({"id": number, "value": 1.0}))
        except OSError:
            pass
"""
    one = notebook(SURVIVES, forge, "def answer(x): return 7.0", limits=Limits(cell=10, call=10, total=200, grace=2))
    assert one.results[1].status == "killed"
    assert one.subject("kept")() == 1 and one.subject("answer")(1) == 7.0


@pytest.mark.parametrize(
    "reply",
    [
        '{"value": 1}',
        '{"id": n, "value": 1, "more": 2}',
        '{"id": n + 1, "value": 1}',
        '{"id": n, "fault": "mercy"}',
        '{"id": n, "fault": {"x": 1}}',
        '{"id": n, "at": 3}',
        '{"id": n, "value": Held(0)}',
        "{}",
    ],
)
def test_a_worker_that_lies_is_killed_or_gives_a_wrong_value(notebook, reply):
    lie = f"""
import coursekit.grading.wire as wire
from coursekit.grading.wire import Held
import gc
from coursekit.grading.inside import reference
import sys
worker = next(o for o in gc.get_objects() if type(o).__name__ == "Worker")
def loop_reply(op, question, n):
    worker.channel.send({reply})
    return {{"value": 0}}
def arm():
    worker._reply = loop_reply
"""
    one = notebook(SURVIVES, lie)
    assert one.results == [OK, OK]
    one.subject("arm")()
    with pytest.raises(Fault):
        one.subject("kept")()
    assert one.subject("kept")() == 1


def test_patched_libraries_inside_change_nothing_outside(notebook):
    patch = """
import torch, numpy, json, builtins, math
torch.allclose = torch.equal = lambda *a, **k: True
torch.testing.assert_close = lambda *a, **k: None
torch.Tensor.__eq__ = lambda self, other: True
class Liar(float):
    __eq__ = __ne__ = lambda self, other: True
    __hash__ = float.__hash__
liar = Liar(1)
def f(x): return Liar(3)
def g(x): return torch.zeros(2)
"""
    one = notebook(patch)
    with pytest.raises(RefusedValue):
        one.subject("f")(1)
    with pytest.raises(RefusedValue):
        one.value("liar")
    value = one.subject("g")(1)
    assert type(value) is torch.Tensor and not torch.equal(value, torch.ones(2))


# -- looking ---------------------------------------------------------------------------------------

LOOK = """
import os, socket, subprocess, ctypes
def tried(what):
    try:
        return repr(what())[:4000]
    except BaseException as error:
        return f"{type(error).__name__}"
def files():
    return {path: tried(lambda: open(path, 'rb').read(2000)) for path in PATHS}
def everything():
    found = []
    for folder, folders, names in os.walk('/'):
        folders[:] = [f for f in folders if f not in ('proc', 'usr', 'dev', 'site-packages') and not f.startswith('python3')]
        found += [os.path.join(folder, name) for name in names if name.endswith(('.json', '.csv', '.ipynb', '.txt', 'secret'))]
        if len(found) > 20000: break
    return [f for f in found if 'site-packages' not in f and '/lib/python' not in f][:200]
def environment():
    return {pid: tried(lambda: open(f'/proc/{pid}/environ', 'rb').read()) for pid in os.listdir('/proc') if pid.isdigit()} | {'os': repr(dict(os.environ))}
def processes():
    return [pid for pid in os.listdir('/proc') if pid.isdigit()]
def mounts():
    return open('/proc/self/mounts').read()
def network():
    return {
        'inet': tried(lambda: socket.socket(socket.AF_INET)),
        'inet6': tried(lambda: socket.socket(socket.AF_INET6)),
        'netlink': tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
        'packet': tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
        'connect': tried(lambda: socket.create_connection(('127.0.0.1', PORT), 2)),
        'url': tried(lambda: __import__('urllib.request').request.urlopen(f'http://127.0.0.1:{PORT}', timeout=2)),
        'abstract': tried(lambda: socket.socket(socket.AF_UNIX).connect('\\0' + ABSTRACT)),
        'interfaces': str(os.listdir('/sys') if os.path.exists('/sys') else []),
    }
libc = ctypes.CDLL(None, use_errno=True)
def calls():
    def call(name, *arguments):
        done = getattr(libc, name)(*arguments)
        return 'done' if done == 0 or name == 'memfd_create' and done > 0 else 'refused'
    return {
        'unshare user': call('unshare', 0x10000000),
        'unshare mount': call('unshare', 0x20000),
        'mount': call('mount', b'none', b'/tmp', b'tmpfs', 0, None),
        'umount': call('umount2', b'/proc', 2),
        'chroot': call('chroot', b'/tmp'),
        'ptrace': call('ptrace', 0, 0, 0, 0),
        'setuid': call('setuid', 0),
        'memfd_create': call('memfd_create', b'x', 0),
        'sethostname': call('sethostname', b'x', 1),
        'kill init': tried(lambda: os.kill(PARENT, 9)),
        'limit': tried(lambda: __import__('resource').setrlimit(__import__('resource').RLIMIT_NPROC, (10**6, 10**6))),
        'clone': tried(lambda: subprocess.run(['unshare', '-U', 'true'], check=True)),
    }
def writes():
    return {path: tried(lambda: open(os.path.join(path, 'was-here'), 'w').close()) for path in
            ('/', '/usr/lib', '/etc', '/dev', '/coursekit', '/coursekit/coursekit', SITE, '/tmp', '/home', '/home/student')}
def who():
    status = open('/proc/self/status').read()
    picked = {line.split(':')[0]: line.split(':')[1].split() for line in status.splitlines() if line}
    return {'uid': picked['Uid'], 'caps': picked['CapEff'] + picked['CapBnd'] + picked['CapAmb'], 'seccomp': picked['Seccomp'], 'nnp': picked['NoNewPrivs'], 'groups': picked['Groups']}
def reference():
    found = {}
    for name in ('coursekit.grading.keys', 'coursekit.grading.keys.vae', 'coursekit.grading.key', 'coursekit.grading.marking', 'coursekit.exercises.tasks', 'coursekit.exercises.values'):
        found[name] = tried(lambda: __import__(name, fromlist=['x']).__file__)
    return found
"""


@pytest.fixture(params=["template", "single"])
def looking(request, sandboxes, tmp_path, monkeypatch):
    """A session that has seen what it could see, in both ways to start one."""
    monkeypatch.setenv("COURSEKIT_SECRET", "the-class-secret")
    secret = tmp_path / "secret"
    secret.write_text("the-class-secret")
    listener = socket.create_server(("127.0.0.1", 0))
    abstract = f"coursekit-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as unix, listener:
        unix.bind("\0" + abstract)
        unix.listen()
        paths = [str(secret), "/etc/shadow", "/etc/passwd", str(Path(session.__file__)), f"/proc/{os.getpid()}/environ"]
        given = {
            "PATHS": paths,
            "PORT": listener.getsockname()[1],
            "ABSTRACT": abstract,
            "PARENT": os.getpid(),
            "SITE": sandbox.site_folders()[0],
        }
        own = Sandboxes((KL,), limits=QUICK, template=False) if request.param == "single" else None
        with session.Session(own or sandboxes, {}, limits=Limits(cell=60, call=120)) as one:
            one.given = given
            given_cell = "\n".join(f"{name} = {value!r}" for name, value in given.items())
            assert one.run([given_cell, LOOK]) == [OK, OK]
            yield one
        if own:
            own.close()


def test_the_walls_from_inside(looking):
    def ask(name):
        return looking.subject(name)()

    files = ask("files")
    assert "student" in files.pop("/etc/passwd")
    assert set(files.values()) == {"FileNotFoundError"}
    assert not [path for path in ask("everything") if "coursekit" not in path.split("/")[1:2]], "files of the grader"
    environment = json.dumps(ask("environment"))
    assert "the-class-secret" not in environment and "COURSEKIT_SECRET" not in environment
    assert ask("processes") in (["1"], [])  # none where the kernel lets no namespace have a /proc of its own
    network = ask("network")
    assert {network[name] for name in ("inet", "inet6", "netlink", "packet")} == {"PermissionError"}
    assert network["connect"] == "PermissionError" and network["url"] == "URLError"
    assert network["abstract"] == "ConnectionRefusedError" and network["interfaces"] == "[]"
    calls = ask("calls")
    assert calls.pop("kill init") == "ProcessLookupError"
    assert calls.pop("limit") == "ValueError"
    assert calls.pop("clone") in ("FileNotFoundError", "CalledProcessError", "PermissionError")
    assert set(calls.values()) == {"refused"}, calls
    writes = ask("writes")
    assert [path for path, result in writes.items() if result == "None"] == ["/tmp", "/home/student"]
    if ask("processes") == []:
        return  # the rest is read from /proc
    who = ask("who")
    assert who["uid"] == ["1000"] * 4 and set(who["caps"]) == {"0" * 16}
    assert who["seccomp"] == ["2"] and who["nnp"] == ["1"]
    for name, found in ask("reference").items():  # of the exercises, a stand-in without a file
        assert found == ("AttributeError" if ".exercises." in name else "ModuleNotFoundError")
    mounts = [line.split() for line in ask("mounts").splitlines()]
    writable = {point for _, point, kind, options, *_ in mounts if kind == "tmpfs" and "rw" in options.split(",")}
    assert writable <= {"/tmp", "/home/student", "/dev/shm"}
    assert all("size=" in options for _, point, _, options, *_ in mounts if point in writable)


@pytest.fixture
def elsewhere():
    """A folder that is not below /tmp."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def test_an_installed_coursekit_is_empty_inside(monkeypatch, elsewhere):
    site = elsewhere / "site-packages"
    (site / "coursekit" / "grading").mkdir(parents=True)
    (site / "coursekit" / "grading" / "answers.py").write_text("answer = 42")
    (site / "beside.py").write_text("here = 1")
    theirs = sandbox.site_folders()
    monkeypatch.setattr(sandbox, "site_folders", lambda: [*theirs, str(site)])
    look = f"import os, beside\ndef look(): return [os.listdir({str(site / 'coursekit')!r}), beside.here]"
    with Sandboxes(limits=QUICK, template=False) as own, own.session({}) as one:
        assert one.run([look]) == [OK]
        assert one.subject("look")() == [[], 1]


def test_a_student_sees_nothing_of_the_one_before(sandboxes):
    leave = "for folder in ('/tmp', '/home/student', '/dev/shm'):\n    open(folder + '/answers', 'w').write('42')"
    look = "import os\ndef look(): return [os.listdir(f) for f in ('/tmp', '/home/student', '/dev/shm')] + ['kl' in globals()]"
    with sandboxes.session({}) as one:
        assert one.run([leave, "def kl(): return 1"]) == [OK, OK]
        with sandboxes.session({}) as other:
            other.run([look])
            assert other.subject("look")() == [[], [], [], False]
    with sandboxes.session({}) as other:
        other.run([look])
        assert other.subject("look")() == [[], [], [], False]


# -- many ------------------------------------------------------------------------------------------


def test_a_dead_template_is_made_again(sandboxes):
    with sandboxes.session({}) as one:
        template = next(iter(sandboxes._templates.values()))
        template.process.kill()
        with pytest.raises(Fault):
            one.ask("defined", name="x")
    with sandboxes.session({}) as one:
        assert one.run(["x = 1"]) == [OK] and one.value("x") == 1


def test_the_template_imports_what_a_class_imports_once():
    look = "import sys\nearly = float('matplotlib.pyplot' in sys.modules)"
    plot = "import matplotlib.pyplot as plt"
    with Sandboxes(limits=QUICK) as own:
        found = []
        for cells in ([look, plot], [look], [look]):
            with own.session({}) as one:
                assert one.run(cells) == [OK] * len(cells)
                found.append(one.value("early"))
    assert found == [0.0, 1.0, 1.0]


def test_without_a_template_each_student_gets_a_sandbox_alone(monkeypatch):
    def refuse(tree, limits):
        raise SandboxUnavailable("no")

    monkeypatch.setattr(session, "Template", refuse)
    with Sandboxes(limits=QUICK) as sandboxes:
        with sandboxes.session({}) as one:
            assert one.run(["import os\ny = os.getpid()"]) == [OK] and one.value("y") == 1
        assert not sandboxes.has_template


def test_a_machine_without_bubblewrap_says_so(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with Sandboxes(template=False) as own, pytest.raises(SandboxUnavailable, match="not installed"):
        own.session({}).__enter__()


def test_closing_ends_sessions_in_use(sandboxes):
    with Sandboxes((KL,), limits=QUICK, sandbox="none") as own:
        one = own.session({})
        one.__enter__()
        pid = one._process.pid
        own.close()
        assert not is_running(pid)
        with pytest.raises(Fault):
            one.ask("defined", name="x")
        one.__exit__()


@pytest.mark.parametrize(
    ("what", "template"), [("Template", True), ("Template.wait", True), ("Template.fork", True), ("start", False)]
)
def test_closing_ends_what_another_thread_is_just_starting(what, template, monkeypatch):
    """`close` comes in the middle of `what`, after which it ends no process that it did not see."""
    own, pids = Sandboxes((KL,), limits=QUICK, template=template), []
    original = operator.attrgetter(what)(session)

    def closing(*args):
        if what == "Template.wait":  # the import of torch, seconds long: the process is there from the beginning
            pids.append(args[0].process.pid)
            threading.Timer(0.2, own.close).start()
            return original(*args)
        started = original(*args)
        pids.append(getattr(started, "process", started).pid)
        own.close()
        return started

    monkeypatch.setattr(f"coursekit.grading.session.{what}", closing)
    with pytest.raises(SandboxUnavailable, match="stopping"):
        own.open()
    with pytest.raises(SandboxUnavailable, match="stopping"):
        own.open()
    assert len(pids) == 1 and not is_running(pids[0])


def memory():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * sandbox.PAGE


def run_many(sandboxes, count):
    for _ in range(count):
        with sandboxes.session({}) as one:
            assert one.run([HONEST]) == [OK]
            one.subject("double")(X)


def test_memory_and_descriptors_stay_flat(sandboxes):
    run_many(sandboxes, 3)
    before, descriptors = memory(), len(os.listdir("/proc/self/fd"))
    run_many(sandboxes, 15)
    assert memory() - before < 5 * 2**20
    assert len(os.listdir("/proc/self/fd")) == descriptors


@pytest.mark.slow
def test_memory_stays_flat_over_500_sessions(sandboxes):
    run_many(sandboxes, 20)
    before, descriptors = memory(), len(os.listdir("/proc/self/fd"))
    template = next(iter(sandboxes._templates.values())).process.pid

    def inside():
        return sandbox.memory_of([template, *sandbox.descendants(template)])

    first = inside()
    run_many(sandboxes, 500)
    assert memory() - before < 10 * 2**20
    assert inside() - first < 10 * 2**20
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_the_wires_own_errors_do_not_escape():
    assert not issubclass(WireError, Fault)
    assert issubclass(StudentError, Fault)
