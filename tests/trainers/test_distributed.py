"""Two processes (gloo, CPU) give the run of one; and where one of them dies, the other does not wait for it."""

import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from coursekit import checkpoints

SCRIPT = Path(__file__).with_name("_two_processes.py")
LAUNCHERS = {
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"],
    "fabric run": [str(Path(sys.executable).with_name("fabric")), "run", "--accelerator=cpu", "--devices=2"],
    "devices=2": [sys.executable],
}
BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "n_averaged")

pytestmark = pytest.mark.distributed


def launch(folder, launcher, end):
    devices = 2 if launcher == "devices=2" else 1
    return subprocess.run(
        [*LAUNCHERS[launcher], str(SCRIPT), str(folder), str(devices), end],
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def alone(tmp_path_factory, script):
    """The runs of one process, by name."""
    folder = tmp_path_factory.mktemp("alone")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    script.fit_all(folder, 1)
    torch.set_num_threads(threads)
    return {name: checkpoints.read(folder / f"{name}.safetensors") for name in [*script.trainers(1), "batchnorm"]}


@pytest.fixture(scope="module", params=LAUNCHERS)
def both(request, tmp_path_factory):
    """Runs of two processes, in a folder; and how the launcher ended when then one of them was killed."""
    folder = tmp_path_factory.mktemp("both")
    result = launch(folder, request.param, "killed")
    return folder, result, time.time()


def assert_close(name, tensors, expected, without=()):
    assert tensors.keys() == expected.keys()
    for key, value in tensors.items():
        if not key.endswith(without or ("/",)):
            torch.testing.assert_close(value, expected[key], rtol=2e-4, atol=2e-5, msg=lambda m: f"{name} {key}: {m}")


def test_two_processes_equal_one_with_the_same_global_batch(alone, both, script):
    folder, result, _ = both
    for name in script.trainers(2):
        assert f"{name} on 2" in result.stdout, result.stderr[-3000:]
        tensors, description = checkpoints.read(folder / f"{name}.safetensors")
        expected, expected_description = alone[name]
        assert description["step"] == expected_description["step"] == script.STEPS.get(name, 9)
        assert_close(name, tensors, expected)


def test_batch_norm_in_two_processes_is_that_of_two_halves_of_each_batch(alone, both, script, tmp_path):
    class HalvesBatchNorm(nn.BatchNorm2d):
        def forward(self, x):
            half = len(x) // 2
            return torch.cat([super(HalvesBatchNorm, self).forward(part) for part in (x[:half], x[half:])])

    script.fit(tmp_path, "halves", script.batchnorm(1, HalvesBatchNorm))
    tensors, _ = checkpoints.read(both[0] / "batchnorm.safetensors")
    halves, _ = checkpoints.read(tmp_path / "halves.safetensors")
    assert_close("halves", tensors, halves, without=BUFFERS)
    whole, _ = alone["batchnorm"]
    assert (tensors["history/loss_D"] - whole["history/loss_D"]).abs().max() > 0.01


def test_death_of_one_process_ends_the_other_with_a_message(both):
    folder, result, ended = both
    assert result.returncode != 0
    assert ended - float((folder / "died").read_text()) < 60
    message = r"process 0 of 2 (lost the others|was told to end) after step 3: .*last checkpoint"
    assert re.search(message, result.stderr), result.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "says"),
    [("parent killed", "the process that started this one has ended"), ("child killed", "terminated with code -9")],
)
def test_death_of_one_process_ends_another_that_waits_for_ever(tmp_path, end, says):
    result = launch(tmp_path, "devices=2", end)
    assert result.returncode != 0 and time.time() - float((tmp_path / "died").read_text()) < 60
    assert says in result.stderr  # which both processes hold open: both have ended
