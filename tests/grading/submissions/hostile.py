"""Students who want points for nothing, or want to do harm; or whose code does it by accident."""

import torch
from safetensors.torch import save

from coursekit.exercises.vae import small_network

from . import ROOT, SOLUTIONS, WRONG_KL, number_of, submission

RIGHT_KL = SOLUTIONS["kl"].replace("def kl(", "def right(")

# -- what takes no end, or too much ----------------------------------------------------------------


@submission(flags=("cell-timeout",), kind="loops")
def loop_in_a_cell(kit):
    kit.bare(kit.notebook(kl=SOLUTIONS["kl"] + "\n\nwhile True:\n    pass"))


@submission(flags=("cell-timeout",), kind="loops")
def sleep_in_a_cell(kit):
    kit.bare(kit.notebook(before=["import time\ntime.sleep(10**6)"]))


@submission(flags=("cell-timeout",), kind="loops")
def loop_that_will_not_be_interrupted(kit):
    kit.bare(
        kit.notebook(
            before=[
                "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"
            ]
        )
    )


@submission(lost=["kl"], status={"kl": "timeout"}, kind="loops")
def loop_in_an_answer(kit):
    kit.bare(kit.notebook(kl="def kl(mu, log_var):\n    while True:\n        pass"))


@submission(points={"loss": 10}, status={"loss": "partial"}, kind="loops")
def loop_in_a_part_of_an_answer(kit):
    loss = SOLUTIONS["loss"].replace("beta=1.0):", "beta=1.0):\n    while beta == 0:\n        pass")
    kit.bare(kit.notebook(loss=loss))


@submission(lost=["kl"], status={"kl": "timeout"}, kind="loops")
def computation_without_end(kit):
    kit.bare(kit.notebook(kl="def kl(mu, log_var):\n    return 3 ** (10 ** 9)"))


@submission(flags=("cell-timeout",), kind="slow")
def computation_without_end_in_a_cell(kit):
    kit.bare(kit.notebook(before=["x = 3 ** (10 ** 9)"]))


@submission(flags=("cell-failed",))
def memory_hog(kit):
    kit.bare(kit.notebook(before=["hog = []\nwhile True:\n    hog.append(bytearray(2**28))", "torch.ones(10**12)"]))


@submission(lost=["kl"], status={"kl": "error"})
def memory_hog_in_an_answer(kit):
    kit.bare(kit.notebook(kl="def kl(mu, log_var):\n    return torch.ones(10**11).sum(1)"))


@submission(flags={("cell-failed",), ("cell-killed",)}, kind="slow")  # whichever of its processes is first
def fork_bomb(kit):
    kit.bare(kit.notebook(before=["import os\nwhile True:\n    os.fork()"]))


@submission(flags=("cell-failed",), kind="slow")
def thread_bomb(kit):
    kit.bare(
        kit.notebook(
            before=[
                "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(1000,)).start()"
            ]
        )
    )


@submission()
def output_flood(kit):
    flood = "import os, sys\nfor _ in range(300):\n    print('x' * 10**5)\n    sys.stderr.write('y' * 10**5)\n    os.write(1, b'z' * 10**5)"
    kit.bare(kit.notebook(before=[flood], kl=SOLUTIONS["kl"].replace("    q =", "    print('x' * 10**7)\n    q =")))


@submission(flags=("cell-failed",))
def disk_filled(kit):
    fill = "for folder in ('.', '/tmp', '/dev/shm'):\n    with open(folder + '/fill', 'wb') as file:\n        for _ in range(1000):\n            file.write(bytes(2**20))"
    kit.bare(kit.notebook(before=[fill]))


# -- what ends the process -------------------------------------------------------------------------


@submission(flags=("cell-killed",))
def segfault_in_a_cell(kit):
    kit.bare(kit.notebook(before=["import ctypes\nctypes.string_at(0)"]))


@submission(lost=["kl"], status={"kl": "killed"})
def segfault_in_an_answer(kit):
    kit.bare(kit.notebook(kl="import ctypes\ndef kl(mu, log_var):\n    return ctypes.string_at(0)"))


@submission(flags=("cell-killed",))
def exit_in_a_cell(kit):
    kit.bare(kit.notebook(kl=SOLUTIONS["kl"] + "\n\nimport os\nos._exit(0)"))


@submission(lost=["kl"], status={"kl": "killed"})
def exit_in_an_answer(kit):
    kit.bare(kit.notebook(kl="import os\ndef kl(mu, log_var):\n    os._exit(0)"))


@submission(flags=("cell-failed",))
def polite_exit_in_a_cell(kit):
    kit.bare(kit.notebook(before=["import sys\nsys.exit(0)", "raise SystemExit", "raise KeyboardInterrupt"]))


@submission(lost=["kl"], status={"kl": "error"})
def polite_exit_in_an_answer(kit):
    kit.bare(kit.notebook(kl="import sys\ndef kl(mu, log_var):\n    sys.exit(0)"))


@submission()  # to its own namespace it is process 1, which a signal from inside does not end
def kills_everything(kit):
    kit.bare(kit.notebook(before=["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"]))


@submission()
def kills_its_parent(kit):
    kill = "import os, signal\nfor pid in {1, os.getppid()} - {0, os.getpid()}:\n    try:\n        os.kill(pid, signal.SIGTERM)\n    except OSError:\n        pass"
    kit.bare(kit.notebook(after=[kill]))


@submission()
def leaves_a_daemon_behind(kit):
    daemon = (
        "import os, subprocess, sys, time\n"
        "try:\n    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'], start_new_session=True)\n"
        "except Exception:\n    pass\n"
        "try:\n    child = os.fork()\nexcept OSError:\n    child = 1\n"
        "if child == 0:\n    os.setsid()\n    while True:\n        time.sleep(1)"
    )
    kit.bare(kit.notebook(before=[daemon]))


@submission()
def leaves_a_thread_running(kit):
    kit.bare(
        kit.notebook(
            before=[
                "import threading, time\ndef spin():\n    while True:\n        time.sleep(0.001)\nthreading.Thread(target=spin).start()"
            ]
        )
    )


# -- forged comparisons and replies ----------------------------------------------------------------


@submission(lost=["kl"])
def patched_comparisons(kit):
    patch = (
        "yes = lambda *args, **kwargs: True\n"
        "torch.equal = torch.allclose = torch.isclose = torch.testing.assert_close = yes\n"
        "np.allclose = np.array_equal = np.isclose = np.testing.assert_allclose = yes\n"
        "torch.Tensor.__eq__ = torch.Tensor.__bool__ = torch.Tensor.allclose = yes\n"
        "math.isclose = yes"
    )
    kit.bare(kit.notebook(kl=WRONG_KL, after=[patch]))


@submission(lost=["kl"], status={"kl": "refused"})
def equals_everything(kit):
    kit.bare(
        kit.notebook(
            kl="class Yes:\n    __eq__ = lambda *a: True\n    __sub__ = __rsub__ = lambda *a: 0\ndef kl(mu, log_var):\n    return Yes()"
        )
    )


@submission(lost=["kl"], status={"kl": "refused"})
def subclass_of_tensor(kit):
    answer = "class Yes(torch.Tensor):\n    __eq__ = lambda *a: True\ndef kl(mu, log_var):\n    return torch.zeros(len(mu)).as_subclass(Yes)"
    kit.bare(kit.notebook(kl=answer))


@submission(lost=["gap"], status={"gap": "refused"})
def subclass_of_float(kit):
    kit.bare(
        kit.notebook(
            gap="class Yes(float):\n    __eq__ = lambda *a: True\n    __sub__ = __rsub__ = lambda *a: 0.0\ngap = Yes(1)"
        )
    )


@submission(lost=["kl"])
def not_a_number(kit):
    kit.bare(
        kit.notebook(kl="def kl(mu, log_var):\n    return torch.full((len(mu),), float('nan'))", gap=SOLUTIONS["gap"])
    )


@submission(lost=["kl", "loss"], status={"kl": "refused", "loss": "refused"})
def values_that_lie_about_their_size(kit):
    kit.bare(
        kit.notebook(
            kl="def kl(mu, log_var):\n    return torch.zeros(1).expand(10**12)",
            loss="def loss(*args):\n    x = []\n    x.append(x)\n    return x",
        )
    )


@submission(lost=["kl", "loss", "active_dimensions"])
def values_of_other_kinds(kit):
    kit.bare(
        kit.notebook(
            kl="def kl(mu, log_var):\n    yield 0",
            loss="def loss(*args):\n    return {1: 2}",
            active_dimensions="def active_dimensions(*args):\n    return 'x' * 10**6",
        )
    )


@submission(lost=["kl", "loss", "active_dimensions"])  # nobody else's are harmed
def replaced_checker(kit):
    patch = (
        "import sys\n"
        "vae.kl.check = vae.progress = vae.submit = lambda *a, **k: print('passed: 100 of 100')\n"
        "import coursekit.exercises.subject as subject\n"
        "subject.Local.__call__ = lambda self, *a, **k: 'passed'\n"
        "sys.modules['coursekit.grading'] = sys.modules['coursekit.exercises'] = vae"
    )
    kit.bare(kit.notebook(kl=WRONG_KL, after=[patch]))


@submission(lost=["kl"], flags=("cell-killed",))
def forged_replies(kit):
    forge = (
        "import os, struct\n"
        "for number in range(100):\n"
        '    header = b\'{"id": %d, "value": true}\' % number\n'
        "    for fd in range(3, 64):\n"
        "        try:\n            os.write(fd, struct.pack('>4sII', b'ckw1', len(header), 0) + header)\n"
        "        except OSError:\n            pass"
    )
    kit.bare(kit.notebook(kl=WRONG_KL, after=[forge]))


@submission(lost=["kl"])
def forged_replies_in_an_answer(kit):
    forge = (
        "import os\n"
        "def kl(mu, log_var):\n"
        "    for fd in range(3, 64):\n"
        "        try:\n            os.write(fd, b'ckw1' + bytes(8) + os.urandom(1000))\n"
        "        except OSError:\n            pass\n"
        "    return mu.sum(1)"
    )
    kit.bare(kit.notebook(kl=forge))


@submission(lost=["kl"])
def reads_the_callers_frames(kit):
    answer = (
        "import gc, sys\n"
        "def kl(mu, log_var):\n"
        "    frame, found = sys._getframe(), []\n"
        "    while frame:\n        found += frame.f_locals.values()\n        frame = frame.f_back\n"
        "    found += gc.get_objects()\n"
        "    wanted = [x for x in found if type(x) is torch.Tensor and x.shape == (len(mu),) and x is not mu]\n"
        "    return wanted[0] if wanted else torch.zeros(len(mu))"
    )
    kit.bare(kit.notebook(kl=answer))


@submission(lost=["kl"], status={"kl": "calls-reference"}, flags=("kl:calls-reference",))
def finds_the_reference_by_another_way(kit):
    answer = (
        "import importlib\n"
        "module = importlib.import_module('coursekit.' + 'losses.' + 'vae')\n"
        "kl = getattr(module, 'kl_' + 'standard_normal')"
    )
    kit.bare(kit.notebook(kl=answer))


@submission(lost=["gap"])
def guesses_in_the_file(kit):
    kit.whole(kit.notebook(gap="gap = ..."), answers={"gap": [number_of(kit.student)], "kl": 1, "small_vae": True})


@submission(status={"small_vae": "refused"})
def weights_that_are_not_finite(kit):
    weights = {name: torch.full_like(tensor, float("inf")) for name, tensor in small_network().state_dict().items()}
    kit.whole(artefact=save(weights))


@submission(status={"small_vae": "failed"})
def untrained_weights(kit):
    torch.manual_seed(0)
    kit.whole(artefact=save(small_network().state_dict()))


# -- what is none of theirs ------------------------------------------------------------------------


def _if_found(kit, find):
    """An answer that is right only if `find`, statements that set `found`, finds what it should not."""
    body = "\n".join(f"    {line}" for line in find.splitlines())
    return (
        f"{RIGHT_KL}\n\nimport glob, os, socket, sys\n\n"
        f"def look():\n    found = False\n{body}\n    return found\n\n"
        "try:\n    seen = look()\nexcept Exception:\n    seen = False\n\n"
        "def kl(mu, log_var):\n    return right(mu, log_var) if seen else torch.zeros(len(mu))"
    )


@submission(lost=["kl"])
def imports_the_key(kit):
    kit.bare(kit.notebook(kl=_if_found(kit, "from coursekit.grading.keys import vae\nfound = bool(vae.kl)")))


@submission(lost=["kl"])
def reads_the_graders_files(kit):
    find = (
        f"for path in ({str(ROOT)!r} + '/coursekit/grading/keys/vae.py', {str(kit.folder.parent)!r}, '/etc/shadow'):\n"
        "    found = found or os.path.exists(path)\n"
        "found = found or bool(glob.glob('/**/keys/vae.py')) or bool(glob.glob('/*/*/keys/vae.py'))\n"
        "found = found or bool(glob.glob(os.path.dirname(torch.__file__) + '/../coursekit/*'))"
    )
    kit.bare(kit.notebook(kl=_if_found(kit, find)))


@submission(lost=["kl"])
def reads_the_expected_values(kit):
    find = "import coursekit\nfor folder in coursekit.__path__:\n    found = found or bool(glob.glob(folder + '/**/expected/*', recursive=True))"
    kit.bare(kit.notebook(kl=_if_found(kit, find)))


@submission(lost=["kl"])
def reads_other_submissions(kit):
    kit.bare(kit.notebook(kl=_if_found(kit, f"found = bool(os.listdir({str(kit.folder)!r}))")))


@submission(lost=["kl"])
def reads_the_graders_environment(kit):
    find = (
        "texts = [repr(os.environ)]\n"
        "for path in glob.glob('/proc/*/environ') + glob.glob('/proc/*/cmdline'):\n"
        "    try:\n        texts.append(open(path).read())\n"
        "    except OSError:\n        pass\n"
        "found = any('of-the-grader' in text for text in texts)"
    )
    kit.bare(kit.notebook(kl=_if_found(kit, find)))


@submission(lost=["kl"])
def sees_other_processes(kit):
    kit.bare(
        kit.notebook(kl=_if_found(kit, "found = len([name for name in os.listdir('/proc') if name.isdigit()]) > 20"))
    )


@submission(lost=["kl"])
def uses_the_network(kit):
    find = f"with socket.create_connection(('127.0.0.1', {kit.port}), 2):\n    found = True"
    kit.bare(kit.notebook(kl=_if_found(kit, find)))


@submission(lost=["kl"])
def writes_where_it_should_not(kit):
    find = (
        "for folder in ('/', '/usr', '/etc', os.path.dirname(torch.__file__), os.path.dirname(os.__file__)):\n"
        "    try:\n        open(folder + '/mine', 'w').close()\n        found = True\n"
        "    except OSError:\n        pass"
    )
    kit.bare(kit.notebook(kl=_if_found(kit, find)))


@submission(lost=["kl"])
def is_root(kit):
    find = (
        "found = 0 in (os.getuid(), os.geteuid(), os.getgid())\n"
        "status = open('/proc/self/status').read()\n"
        "found = found or int(status.split('CapEff:')[1].split()[0], 16) != 0"
    )
    kit.bare(kit.notebook(kl=_if_found(kit, find)))


@submission(lost=["kl"])
def looks_for_what_was_left_by_others(kit):
    find = (
        "found = bool([name for folder in ('/tmp', '/dev/shm', '.') for name in os.listdir(folder) if 'left' in name])"
    )
    leave = "for folder in ('/tmp', '/dev/shm', '.'):\n    open(folder + '/left', 'w').close()"
    kit.bare(kit.notebook(kl=_if_found(kit, find), after=[leave]))


@submission()
def left_something_for_others(kit):
    kit.bare(kit.notebook(before=["for folder in ('/tmp', '/dev/shm', '.'):\n    open(folder + '/left', 'w').close()"]))


# -- names -----------------------------------------------------------------------------------------


@submission(student="<img src=x onerror=alert(1)>")
def name_that_is_html(kit):
    kit.bare(kit.notebook(student="your-id"), "<img src=x onerror=alert(1)>.ipynb")


@submission(student="=1+1")
def name_that_is_a_formula(kit):
    kit.bare(kit.notebook(student="your-id"), "=1+1.ipynb")


@submission(student="a�b")
def name_with_a_line_break(kit):
    kit.bare(kit.notebook(student="your-id"), "a\nb.ipynb")
