"""ONNX files of saved runs: onnxruntime computes from them what the trainer predicts."""

import sys
import warnings

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from coursekit import cli, export
from coursekit.errors import CheckpointError, ExportError
from coursekit.trainers import (
    AutoencoderTrainer,
    AutoregressiveTrainer,
    ClassifierTrainer,
    CycleGANTrainer,
    DCGANTrainer,
    GANTrainer,
    VAETrainer,
)

TINY_GAN = dict(noise_dim=3, generator_hidden=(5,), discriminator_hidden=(4,))
TINY_CYCLE = dict(width=4, blocks=1, discriminator_layers=1)


def images(channels=1, side=8, n=12):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(0))


RUNS = {
    "vae": lambda: (VAETrainer(latent_dim=2, hidden=(6,), device="cpu"), images()),
    "vae-conv-gaussian-ema": lambda: (
        VAETrainer(
            latent_dim=3, architecture="conv", channels=(4,), likelihood="gaussian", ema_decay=0.9, lr=0.1, device="cpu"
        ),
        images(3),
    ),
    "gan": lambda: (GANTrainer(**TINY_GAN, device="cpu"), images()),
    "gan-symmetric": lambda: (GANTrainer(**TINY_GAN, data_range="symmetric", device="cpu"), images()),
    "gan-maxout-uniform": lambda: (
        GANTrainer(**TINY_GAN, architecture="maxout", noise="uniform", device="cpu"),
        images(),
    ),
    "gan-points": lambda: (GANTrainer(**TINY_GAN, device="cpu"), torch.randn(12, 2)),
    "gan-points-symmetric": lambda: (GANTrainer(**TINY_GAN, data_range="symmetric", device="cpu"), torch.randn(12, 2)),
    "dcgan": lambda: (DCGANTrainer(width=4, noise_dim=3, device="cpu"), images(3, 16)),
    "dcgan-nearest-sigmoid-ema": lambda: (
        DCGANTrainer(
            width=4,
            noise_dim=3,
            upsampling="nearest",
            generator_output="sigmoid",
            ema_decay=0.9,
            lr=0.1,
            device="cpu",
        ),
        images(1, 8),
    ),
    "cyclegan": lambda: (CycleGANTrainer(**TINY_CYCLE, device="cpu"), (images(3), images(3) ** 2)),
    "cyclegan-group-nearest-ema": lambda: (
        CycleGANTrainer(**TINY_CYCLE, norm="group", upsampling="nearest", ema_decay=0.9, lr=0.01, device="cpu"),
        (images(), images() ** 2),
    ),
}


@pytest.fixture
def saved(tmp_path):
    """`saved(name)` fits a run of `RUNS` a little and saves it; gives the file and the trainer."""

    def saved(name, make=None):
        trainer, data = (make or RUNS[name])()
        path = tmp_path / f"{name}.safetensors"
        return path, trainer.fit(data, max_steps=3, progress=False).save(path)

    return saved


def computed(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return torch.from_numpy(session.run(None, {given.name: x.numpy()})[0])


def furthest(a, b):
    assert a.shape == b.shape
    return (a - b).abs().max().item()


def rows(n, *shape):
    draw = torch.randn if len(shape) == 1 else torch.rand
    return draw(n, *shape, generator=torch.Generator().manual_seed(100 + n))


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("cyclegan")])
def test_what_draws_equals_the_trainer(graph_of, name, n):
    trainer, (path,) = graph_of(name)
    z = rows(n, trainer.config.latent_dim if name.startswith("vae") else trainer.config.noise_dim)
    predict = trainer.decode if name.startswith("vae") else trainer.generate
    assert furthest(computed(path, z), predict(z)) <= 1e-5


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith("cyclegan")])
def test_both_translators_equal_the_trainer(graph_of, name, n):
    trainer, (to_y, to_x) = graph_of(name)
    x = rows(n, *trainer.data_spec.image_shape)
    assert furthest(computed(to_y, x), trainer.translate(x, to="Y")) <= 1e-5
    assert furthest(computed(to_x, x), trainer.translate(x, to="X")) <= 1e-5
    assert furthest(computed(to_y, x), trainer.translate(x, to="X")) > 1e-3


@pytest.fixture(scope="module")
def graph_of(tmp_path_factory):
    """`graph_of(name)` gives the trainer of a run of `RUNS` and its ONNX files, made once."""
    made = {}

    def graph_of(name):
        if name not in made:
            path = tmp_path_factory.mktemp("runs") / f"{name}.safetensors"
            trainer, data = RUNS[name]()
            trainer.fit(data, max_steps=3, progress=False).save(path)
            made[name] = trainer, export.export_onnx(path)
        return made[name]

    return graph_of


def test_a_moving_average_is_what_is_written(graph_of):
    trainer, (path,) = graph_of("vae-conv-gaussian-ema")
    z = rows(4, 3)
    with torch.no_grad():
        of_last_step = trainer.networks["network"].decode(z).clamp(0, 1)
    assert furthest(computed(path, z), of_last_step) > 1e-3


@pytest.mark.parametrize(
    ("name", "files", "inputs", "outputs"),
    [
        ("vae", ["vae.onnx"], {"z": ["n", 2]}, {"image": ["n", 1, 8, 8]}),
        ("gan-points", ["gan-points.onnx"], {"z": ["n", 3]}, {"points": ["n", 2]}),
        ("dcgan", ["dcgan.onnx"], {"z": ["n", 3]}, {"image": ["n", 3, 16, 16]}),
        (
            "cyclegan",
            ["cyclegan-G.onnx", "cyclegan-F.onnx"],
            {"image": ["n", 3, 8, 8]},
            {"translation": ["n", 3, 8, 8]},
        ),
    ],
)
def test_files_inputs_and_outputs_have_their_names(graph_of, name, files, inputs, outputs):
    _, paths = graph_of(name)
    assert [path.name for path in paths] == files
    for path in paths:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert {value.name: value.shape for value in session.get_inputs()} == inputs
        assert {value.name: value.shape for value in session.get_outputs()} == outputs


def test_a_file_is_valid_whole_and_tells_nothing_of_this_machine(graph_of):
    for name in ("vae", "dcgan", "cyclegan"):
        for path in graph_of(name)[1]:
            model = onnx.load(path, load_external_data=False)
            onnx.checker.check_model(model, full_check=True)
            assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", export.OPSET)]
            assert all(weight.data_location == onnx.TensorProto.DEFAULT for weight in model.graph.initializer)
            content = path.read_bytes()
            assert b"stack_trace" not in content and b".py" not in content


# -- what is refused ---------------------------------------------------------------------------------


def test_a_graph_that_differs_is_refused_and_leaves_what_was_there(saved, monkeypatch, tmp_path):
    path, _ = saved("vae")
    translated = export._translated

    def a_little_off(module, *others):
        next(module.parameters()).data.add_(1e-3)
        content = translated(module, *others)
        next(module.parameters()).data.sub_(1e-3)
        return content

    monkeypatch.setattr(export, "_translated", a_little_off)
    target = tmp_path / "decoder.onnx"
    target.write_bytes(b"older")
    with pytest.raises(ExportError, match="differs from torch by .* for a batch of 1"):
        export.export_onnx(path, target)
    assert target.read_bytes() == b"older"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["decoder.onnx", "vae.safetensors"]


def test_the_second_of_two_graphs_is_checked_before_the_first_is_written(saved, monkeypatch, tmp_path):
    path, _ = saved("cyclegan")
    calls = []

    def fails_for_F(module, *others, **named):
        calls.append(module)
        if len(calls) == 2:
            raise ExportError("differs")
        return b"of G"

    monkeypatch.setattr(export, "to_onnx", fails_for_F)
    with pytest.raises(ExportError, match="differs"):
        export.export_onnx(path)
    assert len(calls) == 2 and [file.name for file in tmp_path.iterdir()] == ["cyclegan.safetensors"]


class OfSeven(nn.Module):
    """Adds the size of its batch where that is not the one it was translated for."""

    def forward(self, z):
        return z * (1 if len(z) == 7 else 2)


def test_a_network_that_holds_for_one_batch_size_only_is_refused():
    with pytest.raises(ExportError, match="differs|cannot run|cannot express"):
        export.to_onnx(OfSeven(), (2,), names=("z", "image"))


class Branches(nn.Module):
    def forward(self, z):
        return z if z.sum() > 0 else -z


def test_a_network_that_is_no_graph_is_one_clear_error():
    with pytest.raises(ExportError, match="cannot express this Branches"):
        export.to_onnx(Branches(), (2,), names=("z", "image"))


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    export.to_onnx(module, (2,), names=("z", "image"))
    assert module.training and all(weight.requires_grad for weight in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_your_own_networks_are_passed_as_for_load(saved):
    def make():
        G = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8)))
        return GANTrainer(**TINY_GAN, generator=G, device="cpu"), images()

    path, trainer = saved("own", make)
    with pytest.raises(CheckpointError, match="generator"):
        export.export_onnx(path)
    (file,) = export.export_onnx(path, generator=make()[0]._own_networks["generator"])
    assert furthest(computed(file, rows(5, 3)), trainer.generate(rows(5, 3))) <= 1e-5


OTHERS = {
    "autoencoder": lambda: (AutoencoderTrainer(latent_dim=2, hidden=(4,), device="cpu"), images()),
    "autoregressive": lambda: (AutoregressiveTrainer(hidden=(8,), device="cpu"), images()),
    "classifier": lambda: (
        ClassifierTrainer(network=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), device="cpu"),
        images(),
    ),
}


def test_another_model_is_told_what_can_be_exported(saved, tmp_path):
    path, _ = saved("autoencoder", OTHERS["autoencoder"])
    with pytest.raises(ExportError, match="AutoencoderTrainer run.* VAETrainer, GANTrainer, DCGANTrainer and Cycle"):
        export.export_onnx(path)
    assert [file.name for file in tmp_path.iterdir()] == ["autoencoder.safetensors"]


def test_a_run_that_is_missing_or_no_run_is_the_error_of_loading(tmp_path):
    with pytest.raises(CheckpointError, match="is not there"):
        export.export_onnx(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("no run")
    with pytest.raises(CheckpointError, match="damaged"):
        export.export_onnx(tmp_path / "text.safetensors")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(saved, monkeypatch, tmp_path, package):
    path, _ = saved("vae")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError, match=f"pip install onnx onnxscript onnxruntime .*{package}"):
        export.export_onnx(path)
    assert [file.name for file in tmp_path.iterdir()] == ["vae.safetensors"]


def test_where_nothing_can_be_written_the_error_says_so(saved, tmp_path):
    path, _ = saved("vae")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportError, match="cannot write .*decoder.onnx"):
        export.export_onnx(path, tmp_path / "file" / "decoder.onnx")


def test_a_disk_that_fills_up_leaves_no_part_of_a_file(saved, monkeypatch, tmp_path):
    path, _ = saved("vae")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ExportError, match="No space left"):
        export.export_onnx(path)
    assert [file.name for file in tmp_path.iterdir()] == ["vae.safetensors"]


def test_the_run_itself_is_not_overwritten(saved):
    path, trainer = saved("vae")
    with pytest.raises(ExportError, match="is the run itself"):
        export.export_onnx(path, path)
    assert VAETrainer.load(path).step == trainer.step


# -- the command line --------------------------------------------------------------------------------


@pytest.fixture
def run(capfd):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stop, warnings.catch_warnings():
            warnings.simplefilter("default")
            cli.main([str(argument) for argument in arguments])
        return stop.value.code, *capfd.readouterr()

    return run


def test_the_command_writes_beside_the_run_or_where_it_is_told(saved, run, tmp_path):
    path, trainer = saved("vae")
    beside, told = tmp_path / "vae.onnx", tmp_path / "new" / "decoder.onnx"
    for arguments, target in (([path, "--onnx"], beside), ([path, "--onnx", told], told)):
        code, printed, errors = run("export", *arguments)
        assert (code, errors) == (0, "")
        assert printed == f"{target}: 0.00 MB, equals torch to 1e-05\n"
        assert furthest(computed(target, rows(2, 2)), trainer.decode(rows(2, 2))) <= 1e-5


def test_the_command_writes_two_files_of_a_cyclegan(saved, run, tmp_path, monkeypatch):
    path, _ = saved("cyclegan")
    contents = iter([b"of G", b"of F"])
    monkeypatch.setattr(export, "to_onnx", lambda *_, **named: next(contents))
    code, printed, _ = run("export", path, "--onnx", tmp_path / "emoji.onnx")
    files = [tmp_path / "emoji-G.onnx", tmp_path / "emoji-F.onnx"]
    assert code == 0 and [line.split(":")[0] for line in printed.splitlines()] == [str(file) for file in files]
    assert [file.read_bytes() for file in files] == [b"of G", b"of F"]
    assert not (tmp_path / "emoji.onnx").exists()


def test_the_command_fails_in_one_line(saved, run, tmp_path, monkeypatch):
    path, _ = saved("vae")
    for arguments, said in (
        ([path], "Missing option '--onnx'"),
        ([tmp_path / "none.safetensors", "--onnx"], "is not there"),
        ([saved("autoencoder", OTHERS["autoencoder"])[0], "--onnx"], "has no ONNX form here"),
    ):
        code, printed, errors = run("export", *arguments)
        assert code != 0 and printed == "" and said in errors and errors.count("\n") == 1
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    code, printed, errors = run("export", path, "--onnx")
    assert code == 1 and printed == "" and "pip install onnx onnxscript onnxruntime" in errors
    assert errors.count("\n") == 1
