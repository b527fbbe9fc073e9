import itertools
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from coursekit.errors import ProcessLost
from coursekit.trainers import runtime
from coursekit.trainers.failures import ended_with_others

CPU = torch.device("cpu")


def test_streams_of_a_run_do_not_meet():
    seeds = {runtime.stream_seed(*where) for where in itertools.product(range(5), range(20), range(200))}
    assert len(seeds) == 5 * 20 * 200
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_medium_products_are_used_only_where_they_cost_no_accuracy(monkeypatch):
    for exact, expected in ((True, "medium"), (False, "highest")):
        monkeypatch.setattr(runtime, "medium_is_as_exact", lambda exact=exact: exact)
        with runtime.tuned(CPU):
            assert torch.get_float32_matmul_precision() == expected
        assert torch.get_float32_matmul_precision() == "highest"


def test_precision_that_the_caller_chose_is_kept(monkeypatch):
    monkeypatch.setattr(runtime, "medium_is_as_exact", lambda: True)
    torch.set_float32_matmul_precision("high")
    try:
        with runtime.tuned(CPU):
            assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_probe_measures_the_products_of_this_machine(monkeypatch):
    runtime.medium_is_as_exact.cache_clear()
    honest = runtime.medium_is_as_exact()
    assert torch.get_float32_matmul_precision() == "highest"
    runtime.medium_is_as_exact.cache_clear()
    set_precision, real = torch.set_float32_matmul_precision, torch.Tensor.__matmul__

    def rounds_to_bfloat16(a, b):
        if a.dtype == torch.float32 and torch.get_float32_matmul_precision() == "medium":
            a, b = a.bfloat16().float(), b.bfloat16().float()
        return real(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounds_to_bfloat16)
    assert not runtime.medium_is_as_exact()
    monkeypatch.undo()
    runtime.medium_is_as_exact.cache_clear()
    assert runtime.medium_is_as_exact() == honest
    set_precision("highest")


def test_tuning_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("COURSEKIT_CPU_TUNING", "0")
    monkeypatch.setattr(runtime, "medium_is_as_exact", lambda: pytest.fail("probed though switched off"))
    runtime.keep_freed_memory.cache_clear()
    assert not runtime.keep_freed_memory()
    with runtime.tuned(CPU):
        assert torch.get_float32_matmul_precision() == "highest"
    runtime.keep_freed_memory.cache_clear()


def test_allocator_setting_leaves_the_weights_bit_identical():
    script = """
import torch
from coursekit.trainers import VAETrainer, runtime
x = torch.randint(0, 255, (256, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
keep = runtime.keep_freed_memory
weights = []
for setting in (lambda: False, keep):
    runtime.keep_freed_memory = setting
    trainer = VAETrainer(epochs=2).fit(x, progress=False)
    weights.append(torch.cat([p.detach().flatten() for p in trainer.network.parameters()]))
print("asked", keep.cache_info().currsize, "equal", torch.equal(*weights))
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert printed.stdout.split() == ["asked", "1", "equal", "True"], printed.stderr


def test_driver_check_is_off_only_while_tuned(monkeypatch):
    variable = "PYTORCH_NVML_BASED_CUDA_CHECK"
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with runtime.tuned(CPU):
        assert os.environ[variable] == "0"
    assert os.environ[variable] == "1"


def test_a_process_that_is_told_to_end_among_others_says_so_at_once(capsys):
    trainer = SimpleNamespace(fabric=SimpleNamespace(world_size=2, global_rank=1), step=3)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ProcessLost, match="process 1 of 2 was told to end after step 3"), ended_with_others(trainer):
        os.kill(os.getpid(), signal.SIGTERM)
    assert "coursekit: process 1 of 2 was told to end" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_process_alone_leaves_sigterm_to_the_system():
    trainer = SimpleNamespace(fabric=SimpleNamespace(world_size=1))
    before = signal.getsignal(signal.SIGTERM)
    with ended_with_others(trainer):
        assert signal.getsignal(signal.SIGTERM) is before
