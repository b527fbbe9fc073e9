"""book/results/record.py: measured numbers, kept with where they came from."""

import json
import warnings

import pytest
import record
import torch
from matplotlib.figure import Figure
from PIL import Image

from coursekit.data import load_images
from coursekit.errors import OfflineFallbackWarning
from coursekit.trainers import DCGANTrainer, load_trainer


def read(folder):
    return json.loads((folder / "demo.json").read_text(encoding="utf-8"))


def run_demo(folder, run, *argv, cases=("a", "b"), seeds=(0, 1)):
    return record.main("demo", run, cases=cases, seeds=seeds, data=(), folder=folder, argv=list(argv))


def test_every_row_names_command_device_date_commit_and_versions(tmp_path):
    run_demo(tmp_path, lambda case, seed: {"loss": seed})

    written = read(tmp_path)

    assert [(row["case"], row["seed"]) for row in written["rows"]] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert [row["metrics"]["loss"] for row in written["rows"]] == [0.0, 1.0, 0.0, 1.0]
    origin = written["runs"][written["rows"][0]["run"]]
    assert origin["command"] == "python book/results/demo.py"
    assert origin["device"] and origin["threads"] >= 1
    assert {"python", "torch", "coursekit"} <= set(origin["versions"])
    assert len(origin["date"].split("-")) == 3


def test_an_interrupted_script_goes_on_where_it_stopped(tmp_path):
    done = []

    def fails_at_the_third(case, seed):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append((case, seed))
        return {"loss": 1.0}

    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path, fails_at_the_third)
    assert len(read(tmp_path)["rows"]) == 2

    later = []
    run_demo(tmp_path, lambda case, seed: later.append((case, seed)) or {"loss": 2.0})

    assert done + later == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]  # a seed is finished before the next begins
    losses = {(row["case"], row["seed"]): row["metrics"]["loss"] for row in read(tmp_path)["rows"]}
    assert losses == {("a", 0): 1.0, ("b", 0): 1.0, ("a", 1): 2.0, ("b", 1): 2.0}


def test_one_seed_can_be_run_alone_and_an_unknown_one_is_refused(tmp_path, capsys):
    run_demo(tmp_path, lambda case, seed: {"loss": 1.0}, "--seeds", "1")
    assert {row["seed"] for row in read(tmp_path)["rows"]} == {1}
    with pytest.raises(SystemExit):
        run_demo(tmp_path, lambda case, seed: {"loss": 1.0}, "--seeds", "7")
    assert "no such seed: 7; there are 0, 1" in capsys.readouterr().err


def test_rows_of_dropped_cases_disappear_and_restart_forgets_all(tmp_path):
    run_demo(tmp_path, lambda case, seed: {"loss": 1.0})
    run_demo(tmp_path, lambda case, seed: {"loss": 2.0}, cases=("b",))
    assert {row["case"] for row in read(tmp_path)["rows"]} == {"b"}
    assert {row["metrics"]["loss"] for row in read(tmp_path)["rows"]} == {1.0}

    run_demo(tmp_path, lambda case, seed: {"loss": 3.0}, "--restart", cases=("b",))
    assert {row["metrics"]["loss"] for row in read(tmp_path)["rows"]} == {3.0}


def test_smoke_runs_one_seed_of_each_case_and_writes_nothing(tmp_path, capsys):
    seen = []

    def run(case, seed, smoke=False):
        seen.append((case, seed, smoke))
        return {"loss": 1.0}

    run_demo(tmp_path, run, "--smoke")

    assert seen == [("a", 0, True), ("b", 0, True)]
    assert not list(tmp_path.iterdir())
    assert "loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [
        ([], True),
        (["--restart"], True),
        (["--smoke"], False),
        (["--cases", "a"], False),
        (["--cases=a"], False),
        (["--seeds", "0"], False),
    ],
)
def test_a_script_knows_whether_all_that_its_figures_show_was_run(tmp_path, arguments, whole):
    assert run_demo(tmp_path, lambda case, seed: {"loss": 1.0}, *arguments) is whole


def test_a_figure_is_named_by_its_chapter_and_does_not_name_what_drew_it(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "FIGURES", tmp_path / "figures")
    record.save_figure(Figure(figsize=(2, 1)), "demo", "curve", dpi=50)
    with Image.open(tmp_path / "figures" / "demo-curve.png") as picture:
        assert picture.size == (100, 50) and picture.getpixel((0, 0)) == (255, 255, 255, 255)
        assert "Software" not in picture.info


@pytest.mark.parametrize("metrics", [{}, {"loss": float("nan")}, {"loss": float("inf")}])
def test_a_number_that_is_none_is_refused(tmp_path, metrics):
    with pytest.raises(ValueError, match="finite"):
        run_demo(tmp_path, lambda case, seed: metrics)
    assert read(tmp_path)["rows"] == []


def test_a_number_from_an_offline_fallback_is_refused(tmp_path):
    def run(case, seed):
        warnings.warn("digits instead of mnist", OfflineFallbackWarning, stacklevel=1)
        return {"loss": 1.0}

    with pytest.raises(OfflineFallbackWarning):
        run_demo(tmp_path, run)


def test_an_unknown_case_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_demo(tmp_path, lambda case, seed: {"loss": 1.0}, "--cases", "c")
    assert "no such case: c" in capsys.readouterr().err


@pytest.mark.parametrize(("half", "tolerance"), [(False, 0), (True, 2e-3)])
def test_a_run_that_is_kept_predicts_as_before_and_is_small(tmp_path, half, tolerance):
    digits = load_images("digits").take(64)
    trainer = DCGANTrainer(width=8, noise_dim=4, batch_size=16, ema_decay=0.9, device="cpu", seed=0)
    trainer.fit(digits, max_steps=3, progress=False).save(tmp_path / "whole.safetensors")
    record.keep_run(trainer, tmp_path / "kept.safetensors", half=half)
    kept, z = load_trainer(tmp_path / "kept.safetensors", device="cpu"), torch.randn(5, 4)
    assert (kept.generate(z) - trainer.generate(z)).abs().max() <= tolerance
    assert kept.step == 3 and next(kept.generator.parameters()).dtype == torch.float32
    whole, small = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "kept"))
    assert small < (0.35 if half else 0.6) * whole
