"""What every trainer promises, whatever its model."""

import dataclasses
import json
import os
import signal
import warnings
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from coursekit import checkpoints
from coursekit.errors import OutOfMemory
from coursekit.trainers import (
    AutoencoderTrainer,
    AutoregressiveTrainer,
    CheckpointError,
    ClassifierTrainer,
    CycleGANTrainer,
    DCGANTrainer,
    GANConfig,
    GANTrainer,
    TrainingDiverged,
    VAETrainer,
    base,
    config,
    load_trainer,
)
from coursekit.trainers.adversarial import AdversarialTrainer
from coursekit.trainers.batches import DataSpec
from coursekit.trainers.config import TrainerConfig

SMALL = {"hidden": (12,), "batch_size": 16, "epochs": 3, "lr": 1e-2}
SMALL_GAN = {"noise_dim": 4, "generator_hidden": (12, 12), "discriminator_hidden": (12,), "batch_size": 16, "epochs": 3}
SMALL_DCGAN = {"noise_dim": 4, "width": 4, "batch_size": 16, "epochs": 3, "ema_decay": 0.9}
SMALL_CYCLEGAN = {
    "width": 2, "blocks": 1, "discriminator_layers": 1, "pool_size": 20, "flip": True,
    "batch_size": 16, "epochs": 3, "decay_epochs": 2, "ema_decay": 0.9,
}  # fmt: skip
MAKERS = {
    "classifier": lambda **options: ClassifierTrainer(**SMALL | options),
    "autoencoder": lambda **options: AutoencoderTrainer(
        **SMALL | {"latent_dim": 4, "noise_std": 0.1, "mask_rate": 0.2, "bottleneck_dropout": (0.0, 0.5)} | options
    ),
    "vae": lambda **options: VAETrainer(**SMALL | {"latent_dim": 3} | options),
    "vae with moving average": lambda **options: VAETrainer(
        **SMALL | {"latent_dim": 3, "architecture": "conv", "channels": (4,), "ema_decay": 0.9} | options
    ),
    "autoregressive": lambda **options: AutoregressiveTrainer(**SMALL | options),
    "gan": lambda **options: GANTrainer(**SMALL_GAN | {"k": 3, "lr": 1e-2} | options),
    "gan of the paper with moving average": lambda **options: GANTrainer(
        **dataclasses.asdict(GANConfig.paper(**SMALL_GAN, momentum_epochs=2, ema_decay=0.9)) | options
    ),
    "dcgan with moving average": lambda **options: DCGANTrainer(**SMALL_DCGAN | options),
    "cyclegan with moving average": lambda **options: CycleGANTrainer(**SMALL_CYCLEGAN | options),
}
STEPS_PER_EPOCH = 4


@pytest.fixture(params=MAKERS.values(), ids=MAKERS.keys())
def make(request):
    return request.param


@pytest.fixture
def data(make, images):
    """What the trainer under test is fitted on: images, or two sets of them of unequal size."""
    if not make().TAKES_PAIRS:
        return images
    return images, dataclasses.replace(images.take(40), images=255 - images.images[:40], name="negatives")


def each(change, data):
    """`change` of the images, or of both sets."""
    return tuple(change(part) for part in data) if isinstance(data, tuple) else change(data)


def losses(trainer):
    """What the model minimises, step by step: the discriminator's loss where there are two."""
    return trainer.history[next(name for name in ("loss", "loss_D", "loss_D_X") if name in trainer.history)]


def fit(trainer, images, **options):
    return trainer.fit(images, progress=False, **options)


def assert_same_run(first, second):
    """Weights, averages, optimizers and history are equal bit for bit."""
    tensors, description = first._state()
    others, other_description = second._state()
    assert tensors.keys() == others.keys() and description == other_description
    for name in tensors:
        assert torch.equal(tensors[name], others[name]), name
    assert first.step == second.step


def test_fit_returns_self_and_records_every_step(make, data):
    trainer = make()
    assert fit(trainer, data) is trainer
    assert trainer.history["step"] == list(range(1, 3 * STEPS_PER_EPOCH + 1))
    assert trainer.history["epoch"][-1] == 3
    assert {len(values) for values in trainer.history.values()} == {3 * STEPS_PER_EPOCH}
    if "loss" in trainer.history:  # two losses at odds need not fall
        assert losses(trainer)[-1] < losses(trainer)[0]


def test_same_seed_gives_the_same_run_and_another_seed_another(make, data):
    first, second = fit(make(), data), fit(make(), data)
    assert_same_run(first, second)
    other = fit(make(seed=1), data)
    assert losses(other) != losses(first)


@pytest.mark.parametrize("stop", [3, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1])
def test_resumed_run_equals_the_uninterrupted_one(make, data, tmp_path, stop):
    whole = fit(make(), data, validation=data)
    fit(make(), data, max_steps=stop, validation=data).save(tmp_path / "run.safetensors")
    torch.manual_seed(123)
    resumed = load_trainer(tmp_path / "run.safetensors")
    fit(resumed, data, validation=data)
    assert_same_run(whole, resumed)


def test_fitting_twice_goes_on_to_the_larger_total(make, data):
    whole = fit(make(), data, epochs=2)
    parts = fit(make(), data, epochs=1)
    parts.evaluate(data)
    assert_same_run(whole, fit(parts, data, epochs=2))


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_steps": 14}, 14),
        ({"epochs": 1}, 4),
        ({"epochs": 4, "max_steps": 14}, 14),
        ({"epochs": 1, "max_steps": 14}, 4),
    ],
)
def test_fit_stops_at_the_limit_that_comes_first(images, limits, steps):
    assert fit(MAKERS["vae"](), images, **limits).step == steps


def test_fit_leaves_the_callers_random_numbers_and_settings_alone(make, data):
    state, precision = torch.get_rng_state(), torch.get_float32_matmul_precision()
    handler = signal.getsignal(signal.SIGINT)
    fit(make(), data)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_float32_matmul_precision() == precision
    assert signal.getsignal(signal.SIGINT) is handler


def test_fit_that_has_nothing_to_do_says_so(make, data):
    trainer = fit(make(), data, epochs=1)
    with pytest.warns(UserWarning, match="4 steps .* larger epochs"):
        fit(trainer, data, epochs=1)
    assert trainer.step == STEPS_PER_EPOCH


def test_float_images_and_bare_tensors_are_the_same_data(images):
    first = fit(MAKERS["vae"](), images)
    for floats in (images.images.float() / 255, images.images.double() / 255):
        assert fit(MAKERS["vae"](), floats).history["loss"] == pytest.approx(first.history["loss"], rel=1e-5)


def test_evaluate_is_the_mean_over_all_images_whatever_the_batches(make, data, monkeypatch):
    trainer = fit(make(), data, epochs=1)
    if isinstance(trainer, (VAETrainer, AutoregressiveTrainer, AdversarialTrainer)):
        monkeypatch.setattr(type(trainer), "noise", lambda self, batch, *shape, **kind: torch.zeros(len(batch), *shape))
    at_once = trainer.evaluate(data)
    monkeypatch.setattr(base, "INFERENCE_IMAGES", 7)
    assert trainer.evaluate(data) == pytest.approx(at_once, rel=1e-5)
    assert at_once.keys() == trainer.history.keys() - {"step", "epoch"}


def test_validation_is_recorded_once_an_epoch(make, data):
    trainer = fit(make(), data, validation=(few := each(lambda part: part.take(10), data)))
    assert trainer.validation_history["epoch"] == [1, 2, 3]
    last = {name: values[-1] for name, values in trainer.validation_history.items()}
    assert last == {"step": 12, "epoch": 3} | trainer.evaluate(few)


def test_validation_leaves_dropout_on_for_the_next_epoch(images):
    def history(**options):
        torch.manual_seed(0)
        layers = torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)
        return fit(
            ClassifierTrainer(network=torch.nn.Sequential(*layers), batch_size=16), images, epochs=3, **options
        ).history

    assert history(validation=images) == history()


def test_divergence_names_the_step_and_the_loss_and_spares_the_checkpoint(make, data, tmp_path):
    trainer = fit(make(), data, max_steps=2, checkpoint=tmp_path / "run.safetensors")
    before = (tmp_path / "run.safetensors").read_bytes()
    with torch.no_grad():
        next(trainer.networks[trainer.NETWORKS[0]].parameters()).fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match=r"loss\w* is nan at step 3\b.*Lower the learning rate"):
        fit(trainer, data, checkpoint=tmp_path / "run.safetensors")
    assert (tmp_path / "run.safetensors").read_bytes() == before


def test_ctrl_c_ends_after_the_step_under_way_and_the_run_can_go_on(make, data, monkeypatch, capsys):
    whole = fit(make(), data)
    trainer = make()
    step = type(trainer).training_step

    def interrupted_step(self, batch):
        if self.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch)

    monkeypatch.setattr(type(trainer), "training_step", interrupted_step)
    fit(trainer, data)
    assert trainer.interrupted and trainer.step == 5 and len(losses(trainer)) == 5
    assert "Stopped by Ctrl-C after step 5 of 12" in capsys.readouterr().err
    trainer.evaluate(data)
    monkeypatch.undo()
    assert_same_run(whole, fit(trainer, data))
    assert not trainer.interrupted


def test_second_ctrl_c_interrupts_at_once(images, monkeypatch):
    def stuck_step(self, batch):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the step went on after a second Ctrl-C")

    monkeypatch.setattr(VAETrainer, "training_step", stuck_step)
    with pytest.raises(KeyboardInterrupt):
        fit(MAKERS["vae"](), images)


def test_checkpoint_every_n_steps_writes_a_run_that_loads(make, data, tmp_path, monkeypatch):
    saved = []
    write = checkpoints.write
    monkeypatch.setattr(checkpoints, "write", lambda path, *rest: (saved.append(rest[1]["step"]), write(path, *rest)))
    fit(make(), data, checkpoint=tmp_path / "run.safetensors", checkpoint_every=5)
    assert saved == [5, 10, 12]
    assert load_trainer(tmp_path / "run.safetensors").step == 12


def test_every_prediction_survives_saving(make, data, tmp_path):
    trainer = fit(make(), data)
    trainer.save(tmp_path / "deep" / "run.safetensors")
    loaded = type(trainer).load(tmp_path / "deep" / "run.safetensors")
    assert loaded.evaluate(data) == trainer.evaluate(data)
    assert loaded.config == trainer.config and loaded.history == trainer.history


def test_progress_bar_shows_the_losses_and_can_be_hidden(images, capfd):
    MAKERS["vae"]().fit(images)
    shown = capfd.readouterr().err
    assert "VAETrainer" in shown and "kl=" in shown and "12/12" in shown
    fit(MAKERS["vae"](), images)
    assert capfd.readouterr().err == ""


def test_moving_average_follows_its_recursion_and_is_what_predicts(images):
    trainer = MAKERS["vae with moving average"]()
    seen = []

    class Watched(type(trainer)):
        def training_step(self, batch):
            if self.step:
                seen.append(next(self.networks["network"].parameters()).detach().clone())
            return super().training_step(batch)

    trainer.__class__ = Watched
    fit(trainer, images, max_steps=3)
    seen.append(next(trainer.networks["network"].parameters()).detach())
    average = seen[0]
    for weight in seen[1:]:
        average = 0.9 * average + 0.1 * weight
    predicting = next(trainer.network.parameters())
    assert torch.allclose(predicting, average, atol=1e-6)
    assert not torch.equal(predicting, seen[-1])


def test_optimizers_are_fused_on_cpu(make, data):
    trainer = fit(make(), data, max_steps=1)
    assert all(group["fused"] for optimizer in trainer._raw_optimizers.values() for group in optimizer.param_groups)


def test_bf16_follows_float32_closely(images):
    exact = fit(MAKERS["vae"](), images).history["loss"]
    rough = fit(MAKERS["vae"](precision="bf16-mixed"), images).history["loss"]
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.02)


def test_double_precision_follows_float32_closely(make, data, monkeypatch):
    monkeypatch.setattr(config, "PRECISIONS", (*config.PRECISIONS, "64-true"))  # for this comparison only
    rough, exact = (fit(make(precision=precision), data, max_steps=3) for precision in ("32-true", "64-true"))
    assert next(next(iter(exact.networks.values())).parameters()).dtype == torch.float64
    assert losses(exact) == pytest.approx(losses(rough), rel=1e-3)


@pytest.mark.slow
def test_compiled_network_trains_to_the_same_losses(make, data):
    with warnings.catch_warnings():
        # torch.compile warns of its own internals, differently in every release.
        warnings.simplefilter("ignore")
        compiled = fit(make(compile=True), data, max_steps=6)
    assert losses(compiled) == pytest.approx(losses(fit(make(), data, max_steps=6)), rel=1e-3)


@pytest.mark.parametrize(
    ("asked", "mode"), [(True, "default"), ("reduce-overhead", "reduce-overhead"), ("max-autotune", "max-autotune")]
)
def test_networks_are_compiled_in_the_mode_that_was_asked_for_and_every_step_begins_anew(
    make, data, monkeypatch, asked, mode
):
    modes, begun = [], []
    monkeypatch.setattr(torch, "compile", lambda network, mode: modes.append(mode) or network)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(True))
    trainer = fit(make(compile=asked), data, max_steps=3)
    assert set(modes) == {mode}
    assert len(modes) == sum(trainer.can_compile(name) for name in trainer.NETWORKS)
    assert len(begun) == 3


def test_unknown_compile_mode_lists_the_known_ones(make):
    with pytest.raises(ValueError, match="compile must be one of False, True, 'default', .*, got 'faster'"):
        make(compile="faster")


@pytest.mark.cuda
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_and_recorded_networks_train_to_the_same_losses_on_cuda(make, data, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = fit(make(compile=mode, device="cuda", precision="32-true"), data, max_steps=8)
    eager = fit(make(device="cuda", precision="32-true"), data, max_steps=8)
    assert losses(compiled) == pytest.approx(losses(eager), rel=1e-3)


@pytest.fixture
def fixed_order(monkeypatch):
    """Sums in a fixed order on CUDA too."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.cuda
def test_same_seed_gives_the_same_run_on_cuda(make, data, fixed_order):
    assert_same_run(fit(make(device="cuda"), data), fit(make(device="cuda"), data))


def test_deterministic_algorithms_change_no_loss(make, data, request):
    free = fit(make(), data, max_steps=3)
    request.getfixturevalue("fixed_order")
    assert losses(fit(make(), data, max_steps=3)) == pytest.approx(losses(free), rel=1e-5)


@pytest.mark.cuda
def test_resumed_run_on_cuda_equals_the_uninterrupted_one(make, data, tmp_path, fixed_order):
    whole = fit(make(device="cuda"), data)
    fit(make(device="cuda"), data, max_steps=5).save(tmp_path / "run.safetensors")
    assert_same_run(whole, fit(load_trainer(tmp_path / "run.safetensors", device="cuda"), data))


# Bad input


def test_unknown_setting_lists_the_known_ones(make):
    with pytest.raises(TypeError, match="no setting lattent_dim. Its settings: .*batch_size"):
        make(lattent_dim=2)


@pytest.mark.parametrize(
    "setting",
    [{"lr": 0}, {"batch_size": 0}, {"epochs": 0}, {"ema_decay": 1.0}],
    ids=lambda setting: next(iter(setting)),
)
def test_impossible_settings_are_refused(make, setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        make(**setting)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"epochs": True}, "epochs must be a whole number, got True"),
        ({"ema_decay": "none"}, "ema_decay must be a number or None, got 'none'"),
    ],
)
def test_settings_of_another_kind_are_refused(make, setting, said):
    with pytest.raises(ValueError, match=said):
        make(**setting)


def test_settings_may_be_numbers_of_numpy_or_torch(make):
    told = make(lr=np.float32(0.5), seed=torch.tensor(3)).config
    assert json.dumps([told.lr, told.seed]) == "[0.5, 3]"


def test_settings_of_a_trainer_of_your_own_may_be_of_any_kind():
    @dataclasses.dataclass(frozen=True)
    class Own(TrainerConfig):
        names: dict = dataclasses.field(default_factory=dict)
        way: Literal["there", "back"] = "there"
        late: "int" = 3

    assert Own(names={"a": 1}, way="back", late=4).names == {"a": 1}
    with pytest.raises(ValueError, match="lr must be a number"):
        Own(lr="fast")


@pytest.mark.parametrize("precision", ["64-true", "16-mixed", "bf16"])
def test_a_precision_that_cannot_predict_or_resume_is_refused(images, precision):
    with pytest.raises(ValueError, match="precision must be one of 'auto', '32-true', 'bf16-mixed'"):
        fit(MAKERS["vae"](precision=precision), images)


def test_device_that_is_not_there_is_named(images):
    with pytest.raises(ValueError, match="device must be one of 'cpu', 'cuda', 'mps', got 'abacus'"):
        fit(MAKERS["vae"](device="abacus"), images)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no cuda device here.*doctor"):
            fit(MAKERS["vae"](device="cuda"), images)


@pytest.mark.parametrize(
    "raised", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()], ids=["torch", "python"]
)
def test_no_memory_left_is_one_error_that_names_what_to_lower(make, data, tmp_path, monkeypatch, raised):
    trainer = fit(make(), data, max_steps=2, checkpoint=tmp_path / "run.safetensors")
    before = (tmp_path / "run.safetensors").read_bytes()

    def forward(*inputs, **named):
        raise raised

    monkeypatch.setattr(trainer.networks[trainer.NETWORKS[-1]], "forward", forward)
    with pytest.raises(OutOfMemory, match=r"no memory left in step 3\. Lower batch_size \(now 16\)") as error:
        fit(trainer, data, checkpoint=tmp_path / "run.safetensors")
    assert "\n" not in str(error.value)
    assert any(f"{name} (now" in str(error.value) for name in ("width", "hidden", "generator_hidden"))
    assert (tmp_path / "run.safetensors").read_bytes() == before


def test_memory_that_the_cpu_refuses_is_the_same_error(images):
    class Greedy(torch.nn.Linear):
        def forward(self, x):
            return torch.empty(1 << 50)

    with pytest.raises(OutOfMemory, match="Lower batch_size"):
        fit(ClassifierTrainer(network=Greedy(1, 1), batch_size=16), images)


def predictions(trainer, data):
    """Every way to ask `trainer` for something about `data`, by name."""
    first, *second = data if isinstance(data, tuple) else (data,)
    ways = {
        name: lambda name=name: getattr(trainer, name)(first)
        for name in ("reconstruct", "encode", "predict", "predict_proba", "discriminate", "translate", "cycle")
        if hasattr(trainer, name)
    }
    if hasattr(trainer, "sample"):
        ways["sample"] = lambda: trainer.sample(20, seed=3)
    return ways | {"evaluate": lambda: trainer.evaluate(data)}


def test_predictions_are_the_same_however_many_are_taken_at_once(make, data):
    trainer = fit(make(), data, epochs=1)
    ways = predictions(trainer, data)
    assert len(ways) >= 2 and ways.pop("evaluate")
    at_once = {name: predict() for name, predict in ways.items()}
    trainer.inference_pixels = 7 * 8 * 8
    assert trainer.inference_batch == 7
    for name, predict in ways.items():
        torch.testing.assert_close(predict(), at_once[name], atol=1e-6, rtol=1e-5)


def test_no_memory_left_for_a_prediction_names_what_to_lower(make, data, monkeypatch):
    trainer = fit(make(), data, max_steps=2)
    weights = trainer._state()[0]
    for network in trainer.networks.values():
        for module in [*network.modules(), *(m for average in trainer.averages.values() for m in average.modules())]:
            monkeypatch.setattr(module, "forward", without_memory)
    for name, predict in predictions(trainer, data).items():
        with pytest.raises(
            OutOfMemory, match=r"cpu has .* \(1, 8, 8\), 1000 at once\. Lower inference_pixels"
        ) as error:
            predict()
        assert "batch_size" not in str(error.value) and "device='cpu'" not in str(error.value), name
    assert all(torch.equal(value, weights[name]) for name, value in trainer._state()[0].items())


def without_memory(*inputs, **named):
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_no_memory_left_for_one_image_asks_for_smaller_ones(data, images, monkeypatch):
    trainer = fit(MAKERS["vae"](), images, max_steps=2)
    trainer.inference_pixels = 1
    monkeypatch.setattr(trainer.network, "decode", without_memory)
    with pytest.raises(OutOfMemory, match="1 at once. Give smaller images or fewer"):
        trainer.sample(2)


@pytest.mark.parametrize(
    ("shape", "at_once"),
    [((1, 28, 28), 1000), ((3, 32, 32), 1000), ((3, 64, 64), 256), ((3, 128, 128), 64), ((3, 256, 256), 16)]
    + [((1, 2048, 2048), 1), ((1, 64, 128), 128)],
    ids=str,
)
def test_predictions_take_no_more_pixels_at_once_than_memory_is_sure_to_hold(shape, at_once):
    sizes = []

    class Spy(torch.nn.Conv2d):
        def forward(self, x):
            sizes.append(len(x))
            return x.new_zeros(()).expand(x.shape)

    spies = {name: Spy(shape[0], shape[0], 1) for name in ("G", "F", "D_X", "D_Y")}
    trainer = CycleGANTrainer(**spies, init_std=None, pool_size=0, device="cpu")
    trainer._build(DataSpec(shape, 1, "blank", None, 1))
    images = torch.zeros((), dtype=torch.uint8).expand(2 * at_once + 1, *shape)
    for predict in (trainer.translate, trainer.cycle, lambda images: trainer.evaluate((images, images))):
        sizes.clear()
        predict(images)
        calls = len(sizes) // 3
        assert sizes == 2 * calls * [at_once] + calls * [1]


@pytest.mark.parametrize(("side", "at_once"), [(28, 1000), (64, 256)])
def test_samples_are_drawn_in_parts_of_one_draw_of_noise(side, at_once):
    seen = []

    class Spy(torch.nn.Linear):
        def forward(self, z):
            seen.append(z)
            return super().forward(z).unflatten(1, (1, 1, 1)).expand(-1, 1, side, side)

    trainer = DCGANTrainer(generator=Spy(100, 1), discriminator=torch.nn.Linear(1, 1), init_std=None, device="cpu")
    trainer._build(DataSpec((1, side, side), 1, "blank", None))
    samples = trainer.sample(1000, seed=3)
    assert [len(z) for z in seen] == (1000 // at_once) * [at_once] + (1000 % at_once > 0) * [1000 % at_once]
    assert torch.equal(torch.cat(seen), trainer.sample_noise(1000, seed=3))
    assert len(samples) == 1000


@pytest.mark.cuda
def test_no_memory_left_on_cuda_for_a_prediction_names_what_to_lower():
    images = torch.zeros(2000, 3, 64, 64, dtype=torch.uint8)
    trainer = fit(DCGANTrainer(batch_size=4, width=256, device="cuda"), images[:4], max_steps=1)
    trainer.inference_pixels = 2**40
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        with pytest.raises(OutOfMemory, match="Lower inference_pixels .*, or load the run with device='cpu'"):
            trainer.discriminate(images)
        trainer.inference_pixels = 2**15
        assert len(trainer.discriminate(images)) == 2000
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.cuda
def test_no_memory_left_on_cuda_names_what_to_lower():
    images = torch.zeros(8192, 3, 64, 64, dtype=torch.uint8)
    torch.cuda.set_per_process_memory_fraction(0.02)
    try:
        with pytest.raises(OutOfMemory, match="cuda:0 has no memory left in step 1. Lower batch_size"):
            fit(DCGANTrainer(batch_size=8192, width=256, device="cuda"), images, max_steps=1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_errors_of_another_kind_stay_what_they_are(images):
    class Broken(torch.nn.Linear):
        def forward(self, x):
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        fit(ClassifierTrainer(network=Broken(1, 1), batch_size=16), images)


def test_other_data_than_the_runs_are_refused_and_nothing_changes(make, data):
    trainer = fit(make(), data, max_steps=3)
    with pytest.raises(ValueError, match="fitted on 50 .*these are 30"):
        fit(trainer, each(lambda part: part.take(30), data))
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8\); these have \(1, 8, 6\)"):
        trainer.evaluate(each(lambda part: part.images[..., :6], data))
    assert trainer.step == 3


@pytest.mark.parametrize(
    "wrong", [torch.zeros(3, 8, 8), torch.zeros(0, 1, 8, 8), torch.zeros(2, 1, 8, 8).long(), "mnist"]
)
def test_images_of_a_wrong_kind_are_refused(make, wrong):
    with pytest.raises(ValueError, match="images must be"):
        fit(make(), wrong)


def test_trainer_without_a_fit_says_so(make, tmp_path, data):
    for use in (lambda t: t.save(tmp_path / "x"), lambda t: t.evaluate(data), lambda t: t.network):
        with pytest.raises(CheckpointError, match="no network yet: fit it"):
            use(make())


def test_file_of_another_trainer_is_refused_by_name(images, tmp_path):
    fit(MAKERS["vae"](), images, max_steps=1).save(tmp_path / "run.safetensors")
    with pytest.raises(CheckpointError, match="saved by VAETrainer, not ClassifierTrainer"):
        ClassifierTrainer.load(tmp_path / "run.safetensors")


def test_own_network_is_trained_saved_and_asked_for_again(images, tmp_path):
    def own():
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))

    trainer = fit(ClassifierTrainer(network=own(), lr=1e-2), images, epochs=20)
    assert trainer.history["accuracy"][-1] > 0.9
    trainer.save(tmp_path / "run.safetensors")
    with pytest.raises(CheckpointError, match="Pass one of the same shape as network="):
        ClassifierTrainer.load(tmp_path / "run.safetensors")
    with pytest.raises(CheckpointError, match="does not fit"):
        ClassifierTrainer.load(tmp_path / "run.safetensors", network=torch.nn.Linear(3, 3))
    loaded = ClassifierTrainer.load(tmp_path / "run.safetensors", network=own())
    assert torch.equal(loaded.predict(images), trainer.predict(images))


def test_any_damage_to_a_file_gives_one_clear_error(images, tmp_path):
    path = tmp_path / "run.safetensors"
    fit(MAKERS["vae"](), images, max_steps=1).save(path)
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 40)):
        flipped = bytearray(whole)
        flipped[position] ^= 0x10
        for damaged in (whole[:position], bytes(flipped)):
            path.write_bytes(damaged)
            with pytest.raises(CheckpointError, match="run.safetensors"):
                VAETrainer.load(path)


def test_foreign_files_are_refused(tmp_path):
    save_file({"w": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    torch.save({"w": torch.zeros(2)}, tmp_path / "pickle.pt")
    with pytest.raises(CheckpointError, match="not a run saved by coursekit"):
        load_trainer(tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="damaged or not a safetensors file"):
        load_trainer(tmp_path / "pickle.pt")
    with pytest.raises(CheckpointError, match="is not there"):
        load_trainer(tmp_path / "nothing.safetensors")


def test_failed_write_keeps_the_old_file_and_leaves_no_other(images, tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    trainer = fit(MAKERS["vae"](), images, max_steps=1)
    trainer.save(path)
    before = path.read_bytes()

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", full_disk)
    fit(trainer, images, max_steps=2)
    with pytest.raises(CheckpointError, match="cannot write .*No space left.* held is unchanged"):
        trainer.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
