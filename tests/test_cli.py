import dataclasses
import json
import os
import re
import subprocess
import sys
import warnings

import pytest
import torch

from coursekit import cli, doctor
from coursekit.trainers import TRAINERS, VAETrainer, load_trainer


@pytest.fixture
def run(capfd, monkeypatch):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    monkeypatch.setenv("COURSEKIT_OFFLINE", "1")

    def run(*arguments):
        with pytest.raises(SystemExit) as stop, warnings.catch_warnings():
            warnings.simplefilter("default")  # here warnings are to be printed, not raised
            cli.main([str(argument) for argument in arguments])
        return stop.value.code, *capfd.readouterr()

    return run


@pytest.fixture
def saved(tmp_path, run):
    path = tmp_path / "vae.safetensors"
    code, printed, _ = run(
        "train", "vae", "--data", "digits", "--out", path, "--max-steps", 5, "--set", "latent_dim=2", "--set", "hidden=(16,)",
        "--quiet",
    )  # fmt: skip
    assert code == 0 and "step 5" in printed and "kl" in printed
    return path


def test_train_saves_a_run_with_the_settings_asked_for(saved):
    trainer = VAETrainer.load(saved)
    assert trainer.config.latent_dim == 2 and trainer.config.hidden == (16,)
    assert trainer.step == 5 and trainer.data_spec.name == "digits"


def test_compile_mode_is_the_trainers(tmp_path, run):
    code, _, errors = run(
        "train", "vae", "--data", "digits", "--out", tmp_path / "vae.safetensors", "--max-steps", 1, "--quiet",
        "--compile-mode", "faster",
    )  # fmt: skip
    assert code == 1 and "compile must be one of" in errors and "'reduce-overhead'" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("flip=false", "flip", False),
        ("flip=True", "flip", True),
        ("crop=none", "crop", None),
        ("norm=none", "norm", "none"),  # one of its names
        ("norm='none'", "norm", "none"),
        ("lr=1e-3", "lr", 1e-3),
        ("seed=7", "seed", 7),
    ],
)
def test_a_setting_is_what_its_text_says(setting, name, value):
    assert cli._parse_settings(TRAINERS["cyclegan"].Config, [setting]) == {name: value}


def test_resume_goes_on_from_the_file_on_its_own_data(saved, run):
    code, printed, errors = run("train", "vae", "--out", saved, "--max-steps", 8, "--resume")
    assert code == 0 and "step 8" in printed and "5/8" in errors
    assert load_trainer(saved).history["step"] == list(range(1, 9))


def test_sample_writes_a_picture(saved, run, tmp_path):
    code, printed, _ = run("sample", saved, "--n", 9, "--out", tmp_path / "samples.png")
    assert code == 0 and "9 samples, seed 0" in printed
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_prints_what_the_trainer_says(saved, run):
    from coursekit.data import load_images

    code, printed, _ = run("evaluate", saved, "--json", "--loss-only")
    assert code == 0
    report = json.loads(printed)
    assert report["split"] == "test" and report["data"] == "digits (embedded)" and "measures" not in report
    assert report["loss"] == VAETrainer.load(saved).evaluate(load_images("digits", "test"))["loss"]
    printed = run("evaluate", saved, "--data", "digits", "--loss-only")[1]
    assert "reconstruction" in printed and "parzen" not in printed


@pytest.fixture
def classifier(tmp_path, run):
    path = tmp_path / "classifier.safetensors"
    assert run("train", "classifier", "--data", "digits", "--out", path, "--max-steps", 5, "--quiet")[0] == 0
    return path


def test_evaluate_judges_the_samples_over_several_seeds(saved, classifier, run):
    from coursekit.data import load_images
    from coursekit.evaluation import evaluate_generator

    arguments = ["evaluate", saved, "--data", "digits", "--classifier", classifier, "--n", 60, "--seeds", 2]
    code, printed, _ = run(*arguments, "--json")
    assert code == 0
    report = json.loads(printed)
    test = load_images("digits", "test")
    held_out = len(test) // 2
    expected = evaluate_generator(
        VAETrainer.load(saved),
        load_images("digits"),
        test.take(held_out),
        test.subset(range(held_out, len(test))),
        load_trainer(classifier),
        sample_seeds=(0, 1),
        n_samples=60,
    )
    assert {name: measure["values"] for name, measure in report["measures"].items()} == expected
    measure = report["measures"]["frechet_distance"]
    assert measure["min"] < measure["mean"] < measure["max"] == max(measure["values"])
    assert report["samples"] == 60 and report["seeds"] == 2 and report["loss"] > 0

    code, printed, _ = run(*arguments)
    assert code == 0 and "2 sets of 60 samples" in printed and f"the first {held_out} test images" in printed
    assert all(name in printed for name in expected)
    assert f"{measure['mean']:.4g} ({measure['min']:.4g} to {measure['max']:.4g})" in printed


def test_evaluate_chooses_sigma_on_training_images_that_the_run_left_out(tmp_path, run, classifier):
    from coursekit.data import load_images

    path, few = tmp_path / "few.safetensors", load_images("digits").take(1000)
    VAETrainer(latent_dim=2, hidden=(16,)).fit(few, max_steps=2, progress=False).save(path)
    arguments = ["--data", "digits", "--classifier", classifier, "--n", 20, "--seeds", 1]
    code, printed, _ = run("evaluate", path, *arguments)
    assert code == 0 and "training images from 1000 on" in printed


@pytest.mark.parametrize("model", [name for name, trainer in TRAINERS.items() if hasattr(trainer, "sample")])
def test_evaluate_takes_every_model_that_draws_images_and_trains_a_classifier(model, run, tmp_path, monkeypatch):
    from coursekit import evaluation

    monkeypatch.setattr(evaluation, "CLASSIFIER_STEPS", 3)
    path = tmp_path / "run.safetensors"
    run("train", model, "--data", "digits_8x8", "--out", path, "--max-steps", 1, "--quiet")
    code, printed, errors = run("evaluate", path, "--data", "digits_8x8", "--n", 12, "--seeds", 1)
    assert code == 0, errors
    assert "a small one, trained for this" in printed and "classifier_score" in printed


def test_evaluate_of_a_model_that_draws_nothing_prints_its_loss(classifier, run):
    code, printed, _ = run("evaluate", classifier, "--data", "digits", "--json")
    assert code == 0 and {"loss", "accuracy"} <= set(json.loads(printed)) and "measures" not in printed


def test_what_cannot_judge_samples_is_one_clear_error(saved, classifier, run):
    for arguments, message in [
        (["--classifier", saved], "is a VAETrainer run: train a classifier"),
        (["--classifier", classifier, "--loss-only"], "there are none to judge"),
        (["--classifier", "none.safetensors"], "is not there"),
        (["--n", 1], "--n"),
        (["--seeds", 0], "--seeds"),
    ]:
        code, printed, errors = run("evaluate", saved, "--data", "digits", "--json", *arguments)
        assert code != 0 and printed == "" and errors.count("\n") == 1 and message in errors
    code, _, errors = run("evaluate", classifier, "--data", "digits", "--classifier", classifier)
    assert code == 2 and "there are none to judge" in errors


def test_a_classifier_of_other_images_is_refused(saved, run, tmp_path):
    from coursekit.data import load_images
    from coursekit.trainers import ClassifierTrainer

    other = tmp_path / "other.safetensors"
    images = dataclasses.replace(load_images("digits"), name="fashion_mnist")
    ClassifierTrainer(hidden=(4,)).fit(images, max_steps=1, progress=False).save(other)
    code, _, errors = run("evaluate", saved, "--data", "digits", "--classifier", other)
    assert code == 2 and "was trained on fashion_mnist, and these are digits" in errors


def test_fallback_is_said_in_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path))
    code, printed, errors = run(
        "train", "autoencoder", "--data", "mnist", "--offline", "digits", "--out", tmp_path / "run.safetensors",
        "--max-steps", 1, "--quiet",
    )  # fmt: skip
    assert code == 0 and "digits (embedded; mnist unavailable)" in printed
    assert errors.startswith("coursekit: warning: mnist is replaced") and errors.count("\n") == 1


ERRORS = {
    "unknown model": (["train", "gaan", "--out", "{tmp}/x"], "'gaan' is not one of"),
    "unknown command": (["trian"], "No such command 'trian'"),
    "unknown setting": (["train", "vae", "--out", "{tmp}/x", "--set", "latent=2"], "NAME one of .*latent_dim"),
    "setting without a value": (["train", "vae", "--out", "{tmp}/x", "--set", "beta"], "expected NAME=VALUE"),
    "a setting in words": (["train", "vae", "--out", "{tmp}/x", "--set", "lr=fast"], "lr must be a number, got 'fast'"),
    "half an image": (["train", "vae", "--out", "{tmp}/x", "--set", "batch_size=64.5"], "batch_size must be a whole number"),
    "a seed in words": (["train", "vae", "--out", "{tmp}/x", "--set", "seed=abc"], "seed must be a whole number"),
    "one size for many": (["train", "vae", "--out", "{tmp}/x", "--set", "hidden=400"], r"hidden must be whole numbers like \(400"),
    "half a switch": (["train", "gan", "--out", "{tmp}/x", "--set", "fresh_noise=0"], "fresh_noise must be True or False"),
    "three of two": (
        ["train", "autoencoder", "--out", "{tmp}/x", "--set", "bottleneck_dropout=0.1,0.2,0.3"],
        r"bottleneck_dropout must be two numbers like \(0.0, 0.9\) or None",
    ),
    "impossible setting": (["train", "vae", "--out", "{tmp}/x", "--set", "lr=-1"], "lr must be positive"),
    "no folder": (["train", "vae", "--out", "{tmp}/no/x"], "make it first"),
    "unknown data": (["train", "vae", "--out", "{tmp}/x", "--data", "mnits"], "unknown data set 'mnits'"),
    "data not there": (["train", "vae", "--out", "{tmp}/x", "--root", "{tmp}"], "COURSEKIT_OFFLINE forbids"),
    "no run": (["sample", "{tmp}/none", "--out", "{tmp}/x.png"], "is not there"),
    "not a run": (["evaluate", __file__], "not a safetensors file"),
    "no CUDA": (["train", "vae", "--out", "{tmp}/x", "--data", "digits", "--device", "cuda"], "no cuda device"),
    "unknown precision": (
        ["train", "vae", "--out", "{tmp}/x", "--data", "digits", "--precision", "64-true"],
        "'64-true' is not one of 'auto', '32-true', 'bf16-mixed'",
    ),
    "no folder for samples": (["sample", "{tmp}/none", "--out", "{tmp}/no/x.png"], "make it first"),
    "a folder as ONNX": (["export", "{tmp}/none", "--onnx", "{tmp}"], "this is a folder; name a file in it"),
    "the run after --onnx": (["export", "--onnx", "{tmp}/v.safetensors"], "put the run first: .*v.safetensors --onnx"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_every_error_is_one_line_and_a_non_zero_exit(case, run, tmp_path):
    import torch

    if case == "no CUDA" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    arguments, message = ERRORS[case]
    code, printed, errors = run(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert code != 0 and printed == ""
    assert errors.startswith("coursekit: ") and errors.count("\n") == 1 and "Traceback" not in errors
    assert re.search(message, errors), errors
    assert list(tmp_path.iterdir()) == []


def test_sampling_a_model_that_cannot_be_sampled_says_so(run, tmp_path):
    path = tmp_path / "c.safetensors"
    run("train", "classifier", "--data", "digits", "--out", path, "--max-steps", 1, "--quiet")
    code, _, errors = run("sample", path, "--out", tmp_path / "x.png")
    assert code == 2 and "ClassifierTrainer run, and that model cannot be sampled from" in errors


def test_resumed_run_takes_no_new_settings(saved, run):
    before = saved.read_bytes()
    code, _, errors = run("train", "vae", "--out", saved, "--data", "digits", "--resume", "--set", "beta=2")
    assert code == 2 and "cannot change a run that is resumed" in errors
    assert saved.read_bytes() == before


@pytest.mark.parametrize("command", [[], ["train"], ["sample"], ["evaluate"], ["doctor"]])
def test_help_shows_an_example(run, command):
    code, printed, _ = run(*command, "--help")
    assert code == 0 and "Example: coursekit" in printed


def test_every_trainer_can_be_trained_by_name():
    assert set(cli.MODELS) == set(TRAINERS)


def test_examples_in_the_help_are_real_options(run):
    for name, command in cli.cli.commands.items():
        words = command.epilog.split()[2:]
        assert words[0] == name
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_doctor_reports_versions_device_precision_and_data(run, monkeypatch, tmp_path):
    import torch

    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path))
    code, printed, _ = run("doctor")
    assert code == 0
    report = dict(
        line.split(maxsplit=1) for line in printed.splitlines() if line.split()[0] in ("torch", "device", "precision")
    )
    assert report["torch"] == torch.__version__.split("+")[0]
    assert report["device"].startswith("cuda" if torch.cuda.is_available() else "cpu")
    assert report["precision"] in ("32-true", "bf16-mixed")
    assert "no train or test split" in printed and str(tmp_path) in printed
    assert "to fix: mnist is not there and COURSEKIT_OFFLINE forbids" in printed
    assert "to fix: horse2zebra is not there" in printed and "to fix: apple2tomato" not in printed
    monkeypatch.delenv("COURSEKIT_OFFLINE")
    assert not [problem for problem in doctor.examine()[1] if "mnist" in problem]


def test_module_runs_as_a_program():
    result = subprocess.run(
        [sys.executable, "-m", "coursekit", "--version"], capture_output=True, text=True, env=os.environ, timeout=60
    )
    assert result.returncode == 0 and "coursekit, version" in result.stdout


# Translators


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    from coursekit.data import load_unpaired
    from coursekit.trainers import CycleGANTrainer

    path = tmp_path_factory.mktemp("run") / "cyclegan.safetensors"
    small = dict(width=2, blocks=1, discriminator_layers=1, batch_size=32, pool_size=0, device="cpu")
    CycleGANTrainer(**small).fit(load_unpaired("coloured_digits"), max_steps=2, progress=False).save(path)
    return path


def test_train_takes_a_pair_for_cyclegan(run, tmp_path):
    path = tmp_path / "run.safetensors"
    small = ["--set", "width=2", "--set", "blocks=1", "--set", "discriminator_layers=1", "--set", "batch_size=32"]
    code, printed, _ = run(
        "train", "cyclegan", "--out", path, "--max-steps", 1, "--quiet", *small, "--set", "pool_size=0"
    )
    assert code == 0 and "cyclegan on coloured_digits (embedded), step 1" in printed and "cycle_X" in printed
    assert load_trainer(path).data_spec.size_y is not None


def test_train_streams_a_folder_of_pictures(run, tmp_path):
    from PIL import Image

    for folder in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (20, 16), (40 * number, 90, 10)).save(tmp_path / "set" / folder / f"{number}.png")
    code, printed, errors = run(
        "train", "cyclegan", "--data", tmp_path / "set", "--size", 16, "--stream", "--workers", 0, "--max-steps", 2,
        "--set", "width=2", "--set", "blocks=1", "--set", "discriminator_layers=1", "--quiet",
        "--out", tmp_path / "run.safetensors",
    )  # fmt: skip
    assert code == 0, errors
    assert load_trainer(tmp_path / "run.safetensors").data_spec.image_shape == (3, 16, 16)


def test_evaluate_scores_a_translator_against_the_truth(translator, run):
    from coursekit.data import load_unpaired
    from coursekit.evaluation import evaluate_translator

    code, printed, _ = run("evaluate", translator, "--json")
    report = json.loads(printed)
    expected = evaluate_translator(load_trainer(translator), load_unpaired("coloured_digits", "test"))
    assert code == 0 and {name: report[name] for name in expected} == pytest.approx(expected)
    _, printed, _ = run("evaluate", translator, "--split", "train", "--json")
    assert "retrieval_to_Y" not in json.loads(printed)


@pytest.mark.parametrize("to", ["X", "Y"])
def test_translate_writes_each_picture_under_its_name(translator, run, tmp_path, to):
    import numpy as np
    from PIL import Image
    from torchvision.transforms.functional import to_tensor

    pictures = [tmp_path / "one.png", tmp_path / "two.png"]
    for shade, picture in enumerate(pictures):
        Image.new("RGB", (32, 32), (90 * shade, 200, 30)).save(picture)
    code, printed, _ = run("translate", translator, *pictures, "--to", to, "--out", tmp_path / "out")
    assert code == 0 and f"2 pictures in the style of {to}" in printed
    trainer = load_trainer(translator)
    for picture in pictures:
        expected = trainer.translate(to_tensor(Image.open(picture))[None], to=to)[0]
        written = to_tensor(Image.open(tmp_path / "out" / picture.name))
        assert np.abs((written - expected).numpy()).max() < 0.01


def test_translate_and_sample_refuse_each_others_runs(translator, saved, run, tmp_path):
    code, _, errors = run("sample", translator, "--out", tmp_path / "x.png")
    assert code != 0 and "cannot be sampled from; translate pictures with it: coursekit translate" in errors
    picture = tmp_path / "one.png"
    picture.write_bytes(b"no picture")
    code, _, errors = run("translate", saved, picture, "--out", tmp_path / "out")
    assert code != 0 and "VAETrainer run, and that model does not translate" in errors
    code, _, errors = run("translate", translator, picture, "--out", tmp_path / "out")
    assert code == 2 and "one.png is not an image of a known format" in errors and errors.count("\n") == 1
    assert "folder" not in errors and not (tmp_path / "out").exists()


def test_a_model_of_grey_images_translates_pictures_in_grey(run, tmp_path):
    from PIL import Image

    path, picture = tmp_path / "glyphs.safetensors", tmp_path / "A.png"
    Image.new("RGB", (64, 48), (250, 20, 30)).save(picture)
    run(
        "train", "cyclegan", "--data", "glyphs", "--out", path, "--max-steps", 1, "--quiet",
        "--set", "width=2", "--set", "blocks=1", "--set", "discriminator_layers=1",
    )  # fmt: skip
    code, _, errors = run("translate", path, picture, "--out", tmp_path / "out")
    assert code == 0, errors
    with Image.open(tmp_path / "out" / "A.png") as translated:
        assert (translated.size, translated.mode) == ((32, 32), "L")


def test_a_run_on_data_of_your_own_asks_which_to_judge_it_on(run, tmp_path):
    path = tmp_path / "own.safetensors"
    VAETrainer(latent_dim=2, hidden=(16,)).fit(torch.rand(8, 1, 28, 28), max_steps=1, progress=False).save(path)
    code, printed, errors = run("evaluate", path)
    assert code == 2 and printed == "" and "--data is missing: the run was fitted on 'tensor'" in errors


def test_samples_of_images_without_labels_are_not_judged(saved, run, monkeypatch):
    from coursekit import data

    load = data.load_images
    without = lambda *args, **options: dataclasses.replace(load(*args, **options), labels=None, classes=None)  # noqa: E731
    monkeypatch.setattr(data, "load_images", without)
    code, printed, errors = run("evaluate", saved)
    assert code == 2 and printed == "" and "digits has no labels" in errors and "--loss-only" in errors
    assert run("evaluate", saved, "--loss-only")[0] == 0


def test_samples_are_a_png_whatever_the_file_is_called(saved, run, tmp_path):
    code, _, _ = run("sample", saved, "--n", 2, "--out", tmp_path / "samples")
    assert code == 0 and (tmp_path / "samples").read_bytes().startswith(b"\x89PNG")


def test_too_many_samples_are_refused_in_one_line(run, tmp_path):
    path = tmp_path / "gan.safetensors"
    run("train", "gan", "--data", "digits", "--out", path, "--max-steps", 1, "--quiet")
    code, printed, errors = run("sample", path, "--n", 10**13, "--out", tmp_path / "x.png")
    assert code == 1 and printed == "" and errors.count("\n") == 1
    assert "no memory for the noise of 10,000,000,000,000 samples: ask for fewer" in errors


def test_size_is_for_folders(run, tmp_path):
    code, _, errors = run("train", "vae", "--size", 16, "--out", tmp_path / "vae.safetensors")
    assert code != 0 and "--size and --stream are for folders" in errors


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scale": 10}, 'To use it, set SCALE = 10 and DEVICE = "cuda" in this cell'),
        ({"scale": 5, "WIDTH": 64}, 'To use it, set SCALE = 5, WIDTH = 64 and DEVICE = "cuda" in this cell'),
        (
            {"scale": 5, "device": None, "WIDTH": 64, "BATCH": 128},
            "uses it. To give it more to do, set SCALE = 5, WIDTH",
        ),
        ({"scale": 5, "device": None}, "set SCALE = 5 in this cell"),
    ],
)
@pytest.mark.parametrize("found", [True, False])
def test_a_gpu_is_offered_only_where_there_is_one(monkeypatch, capsys, settings, said, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
    doctor.offer_gpu(**settings)
    printed = capsys.readouterr().out
    assert said in printed if found else not printed
