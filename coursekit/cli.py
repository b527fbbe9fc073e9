"""The command line: ``coursekit train|sample|translate|evaluate|export|grade|doctor``, also as ``python -m coursekit``."""

import ast
import dataclasses
import json
import sys
import warnings
from pathlib import Path

import click

from coursekit.errors import CoursekitError, OfflineFallbackWarning
from coursekit.grading.command import Command, grade

MODELS = ("classifier", "autoencoder", "vae", "autoregressive", "gan", "dcgan", "cyclegan")


class _Group(click.Group):
    format_epilog = Command.format_epilog


def _device_options(command):
    for option in (
        click.option(
            "--precision",
            type=click.Choice(["auto", "32-true", "bf16-mixed"]),
            default="auto",
            show_default=True,
            help="Of the arithmetic, as Lightning Fabric names it.",
        ),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True),
    ):
        command = option(command)
    return command


def _data_options(command):
    for option in (
        click.option("--offline", metavar="NAME", help="Embedded data set to use when the named one is not there."),
        click.option(
            "--root", metavar="FOLDER", help="Where data sets are. Default: COURSEKIT_DATA, or the user's cache."
        ),
        click.option(
            "--size",
            type=click.IntRange(min=1),
            help="Side in pixels to bring the images of a folder to. Default: 256.",
        ),
        click.option(
            "--data",
            metavar="NAME",
            help="Data set to load. Default: that of the run; of a new one mnist, for cyclegan coloured_digits. For cyclegan "
            "a folder that holds trainA, trainB, testA and testB is one too.",
        ),
    ):
        command = option(command)
    return command


@click.group(cls=_Group, epilog="Example: coursekit train vae --data mnist --epochs 3 --out vae.safetensors")
@click.version_option(package_name="coursekit")
def cli():
    """Train and use the models of the course."""


cli.add_command(grade)


@cli.command(
    cls=Command, epilog="Example: coursekit train vae --data mnist --epochs 3 --set latent_dim=2 --out vae.safetensors"
)
@click.argument("model", type=click.Choice(MODELS))
@_data_options
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to save the run in.")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the data in all.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop after so many steps in all.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the model; may be repeated.")
@click.option("--resume", is_flag=True, help="Go on from --out where it exists.")
@click.option("--checkpoint-every", type=click.IntRange(min=1), metavar="STEPS", help="Save to --out on the way.")
@click.option("--devices", type=click.IntRange(min=1), default=1, show_default=True, help="Processes on this machine.")
@click.option("--compile", "compile_", is_flag=True, help="Use torch.compile.")
@click.option("--compile-mode", metavar="MODE", help="Use torch.compile in this mode: reduce-overhead for CUDA graphs.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.option("--stream", is_flag=True, help="Decode the images of a folder as they are needed; keep none in memory.")
@click.option("--workers", type=click.IntRange(min=0), default=2, show_default=True, help="Processes that do that.")
@_device_options
def train(
    model, data, size, root, offline, out, epochs, max_steps, settings, resume, checkpoint_every, devices, compile_,
    compile_mode, quiet, device, precision, stream, workers,
):  # fmt: skip
    """Train MODEL and save the run to a file."""
    from coursekit.trainers import TRAINERS

    options = dict(device=device, precision=precision, compile=compile_mode or compile_, devices=devices)
    trainer_class = TRAINERS[model]
    resuming = resume and out.exists()
    if resuming and settings:
        raise click.UsageError("--set cannot change a run that is resumed; leave it out")
    _need_folder_of(out)
    trainer = (
        trainer_class.load(out, **options)
        if resuming
        else trainer_class(**_parse_settings(trainer_class.Config, settings), **options)
    )
    data = data or _usual_data(trainer)
    images = _load(trainer, data, "train", root, offline, size, stream)
    trainer.fit(
        images,
        epochs=epochs,
        max_steps=max_steps,
        checkpoint=out,
        checkpoint_every=checkpoint_every,
        progress=not quiet,
        workers=workers,
    )
    if trainer.fabric.is_global_zero:
        last = {name: values[-1] for name, values in trainer.history.items()}
        terms = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name not in ("step", "epoch"))
        click.echo(f"{out}: {model} on {_source(images)}, step {last['step']}, {terms}")
    if trainer.interrupted:
        raise click.exceptions.Exit(130)


@cli.command(cls=Command, epilog="Example: coursekit sample vae.safetensors --n 64 --out samples.png")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="PNG file to write.")
@click.option("--n", type=click.IntRange(min=1), default=64, show_default=True, help="How many images.")
@click.option("--seed", type=int, default=0, show_default=True)
@_device_options
def sample(run, out, n, seed, device, precision):
    """Draw images from a saved RUN into a PNG file."""
    from coursekit.plots import image_grid
    from coursekit.trainers import load_trainer

    _need_folder_of(out)
    trainer = load_trainer(run, device=device, precision=precision)
    if not hasattr(trainer, "sample"):
        instead = "; translate pictures with it: coursekit translate" if hasattr(trainer, "translate") else ""
        raise click.UsageError(
            f"{run} is a {type(trainer).__name__} run, and that model cannot be sampled from{instead}"
        )
    image_grid(trainer.sample(n, seed=seed)).savefig(out, format="png")
    click.echo(f"{out}: {n} samples, seed {seed}")


@cli.command(
    cls=Command, epilog="Example: coursekit translate cyclegan.safetensors one.jpg two.png --to Y --out translated"
)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write PNGs to.")
@click.option("--to", type=click.Choice(["X", "Y"]), default="Y", show_default=True, help="The style wanted.")
@_device_options
def translate(run, pictures, out, to, device, precision):
    """Translate PICTURES with a saved CycleGAN RUN, at the size of the images it was trained on."""
    import torch
    from torchvision.transforms.functional import to_pil_image

    from coursekit.trainers import load_trainer

    trainer = load_trainer(run, device=device, precision=precision)
    if not hasattr(trainer, "translate"):
        raise click.UsageError(f"{run} is a {type(trainer).__name__} run, and that model does not translate")
    doubled = {name for name in (p.stem for p in pictures) if [p.stem for p in pictures].count(name) > 1}
    if doubled:
        raise click.UsageError(f"two pictures are called {sorted(doubled)[0]}; translate them one after the other")
    channels, *size = trainer.data_spec.image_shape
    images = torch.stack([_picture(path, size, grey=channels == 1) for path in pictures])
    translated = trainer.translate(images, to=to)
    out.mkdir(parents=True, exist_ok=True)
    for picture, image in zip(pictures, translated):
        to_pil_image(image).save(out / f"{picture.stem}.png")
    click.echo(f"{out}: {len(pictures)} pictures in the style of {to}")


@cli.command(
    cls=Command, epilog="Example: coursekit evaluate gan.safetensors --data mnist --classifier classifier.safetensors"
)
@click.argument("run", type=click.Path(path_type=Path))
@_data_options
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True, help="For the loss.")
@click.option("--loss-only", is_flag=True, help="The terms of the loss, and no measure of samples.")
@click.option(
    "--classifier",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Whose features to compare. Default: a small one is trained.",
)
@click.option("--n", type=click.IntRange(min=10), default=10_000, show_default=True, help="Samples in each set.")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Sets of samples, from seed 0 on."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_device_options
def evaluate(run, data, size, root, offline, split, loss_only, classifier, n, seeds, as_json, device, precision):
    """Print the terms of a saved RUN's loss on a data set and, if it draws images, every measure of its samples.

    The measures: Parzen log-likelihood, Fréchet distance, precision and recall, memorisation ratio, classifier
    score, each with its mean and range over sets of samples. Of a translator, where the truth is known: its paired
    error, and how often the right image is the nearest.
    """
    from coursekit.data import ALIGNED_TEST_SETS, load_images
    from coursekit.evaluation import evaluate_translator
    from coursekit.trainers import load_trainer

    trainer = load_trainer(run, device=device, precision=precision)
    data = data or _usual_data(trainer)
    images = _load(trainer, data, split, root, offline, size)
    judged = hasattr(trainer, "sample") and not loss_only
    if judged and images.labels is None:
        raise click.UsageError(
            f"{data} has no labels, and samples are judged by a classifier; --loss-only leaves that out"
        )
    if classifier and not judged:
        raise click.UsageError("--classifier judges samples, and there are none to judge")
    terms = trainer.evaluate(images)
    truth_is_known = split == "test" and data in ALIGNED_TEST_SETS
    if trainer.TAKES_PAIRS and not loss_only and truth_is_known:
        terms |= evaluate_translator(trainer, images)
    report = {"run": str(run), "data": _source(images), "split": split, **terms}
    if not as_json:
        sizes = " and ".join(str(len(part)) for part in images) if trainer.TAKES_PAIRS else len(images)
        click.echo(f"{_source(images)}, {split}, {sizes} images")
        for name, value in terms.items():
            click.echo(f"{name:28} {value:.6g}")
    if judged:
        options = dict(device=device, precision=precision)
        splits = (load_images(data, name, root=root, offline=offline) for name in ("train", "test"))
        report |= _judge(trainer, *splits, classifier, n, seeds, options)
        if not as_json:
            _show_measures(report)
    if as_json:
        click.echo(json.dumps(report))


def _onnx_file(text):
    """The file that --onnx names; None where it names none."""
    if not text:
        return None
    if Path(text).is_dir():
        raise click.UsageError(f"--onnx {text}: this is a folder; name a file in it")
    if text.endswith(".safetensors"):
        raise click.UsageError(f"--onnx takes the name of the file to write after it; put the run first: {text} --onnx")
    return Path(text)


@cli.command(cls=Command, epilog="Example: coursekit export vae.safetensors --onnx decoder.onnx")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--onnx",
    is_flag=False,
    flag_value="",
    required=True,
    metavar="[PATH]",
    callback=lambda context, option, value: _onnx_file(value),
    help="The format, and the file to write. Default: beside RUN, with the ending .onnx.",
)
def export(run, onnx):
    """Write what the model of a saved RUN predicts in another format, checked against torch.

    Of a VAE the decoder, of a GAN or DCGAN the generator; of a CycleGAN two files, whose names end in -G and -F.
    """
    from coursekit.export import TOLERANCE, export_onnx

    for path in export_onnx(run, onnx):
        click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB, equals torch to {TOLERANCE:g}")


@cli.command(cls=Command, epilog="Example: coursekit doctor")
def doctor():
    """Print versions, device, precision and data found, and what to fix."""
    from coursekit.doctor import examine, lines

    report, problems = examine()
    click.echo("\n".join(lines(report, problems)))
    if not problems:
        click.echo("nothing to fix")


def _load(trainer, data, split, root, offline, size, stream=False):
    """An image set, or a pair of them, as the trainer takes."""
    from coursekit.data import load_images, load_unpaired

    if trainer.TAKES_PAIRS:
        return load_unpaired(data, split, root=root, offline=offline, size=size, stream=stream)
    if size or stream:
        raise click.UsageError("--size and --stream are for folders of images, which only cyclegan is trained on")
    return load_images(data, split, root=root, offline=offline)


def _usual_data(trainer):
    """The data set of a run that has one, or else the one to begin with."""
    from coursekit.data import IMAGE_SETS, UNPAIRED_SETS

    if trainer.data_spec is None:
        return "coloured_digits" if trainer.TAKES_PAIRS else "mnist"
    name = trainer.data_spec.name.partition("/")[0]  # of a pair, the first set's
    if trainer.TAKES_PAIRS and name == "emoji_blob":
        name = "emoji"
    if name not in (UNPAIRED_SETS if trainer.TAKES_PAIRS else IMAGE_SETS):
        raise click.UsageError(f"--data is missing: the run was fitted on {name!r}, which is no data set of the course")
    return name


def _need_folder_of(out):
    if not out.parent.is_dir():
        raise click.UsageError(f"the folder {out.parent} of --out is not there; make it first")


def _picture(path, size, grey):
    """A picture as a model takes it: uint8 (3, H, W), or (1, H, W) of grey."""
    import numpy as np
    import torch

    from coursekit.data.folder_images import resized
    from coursekit.data.pictures import decode_rgb

    try:
        picture = decode_rgb(path)
    except ValueError as error:
        raise click.UsageError(f"{path} {error}") from None
    pixels = np.array(picture.convert("L"))[..., None] if grey else np.array(picture)
    return resized(torch.from_numpy(pixels).permute(2, 0, 1), size)


def _source(images):
    return " and ".join(dict.fromkeys(part.source for part in images)) if isinstance(images, tuple) else images.source


def _judge(trainer, train, test, classifier, n, seeds, options):
    """What `evaluate` reports of a generator's samples."""
    from coursekit.evaluation import evaluate_generator, train_classifier
    from coursekit.trainers import ClassifierTrainer, load_trainer

    fitted = trainer.data_spec.size
    if fitted < len(train) and trainer.data_spec.name in (train.name, "tensor"):
        validation = train.subset(range(fitted, len(train)))
        said = f"training images from {fitted} on, which the run has not seen if it was fitted on the first {fitted}"
        train = train.take(fitted)
    else:
        held_out = min(1000, len(test) // 2)
        validation, test = test.take(held_out), test.subset(range(held_out, len(test)))
        said = f"the first {held_out} test images; everything else is measured on the other {len(test)}"
    if classifier:
        judge = load_trainer(classifier, **options)
        if not isinstance(judge, ClassifierTrainer):
            raise click.UsageError(f"--classifier {classifier} is a {type(judge).__name__} run: train a classifier")
        if judge.data_spec.name != train.name:
            raise click.UsageError(
                f"--classifier {classifier} was trained on {judge.data_spec.name}, and these are {train.name}"
            )
    else:
        judge = train_classifier(train, **options)
    measures = evaluate_generator(trainer, train, validation, test, judge, range(seeds), n, progress=True)
    return {
        "samples": n,
        "seeds": seeds,
        "validation": said,
        "classifier": str(classifier) if classifier else "a small one, trained for this",
        "classifier_accuracy": judge.evaluate(test)["accuracy"],
        "measures": {
            name: {"mean": sum(values) / len(values), "min": min(values), "max": max(values), "values": values}
            for name, values in measures.items()
        },
    }


def _show_measures(report):
    click.echo(f"\n{report['seeds']} sets of {report['samples']} samples: mean (min to max)")
    for name, measure in report["measures"].items():
        spread = f" ({measure['min']:.4g} to {measure['max']:.4g})" if len(measure["values"]) > 1 else ""
        click.echo(f"{name:28} {measure['mean']:.4g}{spread}")
    click.echo(f"σ chosen on {report['validation']}")
    click.echo(f"features: {report['classifier']}, accuracy {report['classifier_accuracy']:.3f}")


def _parse_settings(config, settings):
    kinds = {field.name: field.type for field in dataclasses.fields(config)}
    parsed = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator or name not in kinds:
            raise click.UsageError(f"--set {setting}: expected NAME=VALUE with NAME one of {', '.join(sorted(kinds))}")
        parsed[name] = _setting(text, kinds[name])
    return parsed


def _setting(text, kind):
    """What a setting's text stands for; one that no Python value has stays text, for the model to refuse."""
    words = {"true": True, "false": False, "none": None}
    if kind is not str and text.lower() in words:
        return words[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return text if kind is str and not isinstance(value, str) else value


def main(arguments=None):
    """Run the command line; every error is one line on stderr and a non-zero exit."""
    warnings.showwarning = _one_line_warning
    try:
        code = cli.main(arguments, prog_name="coursekit", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = 2
    except click.ClickException as error:
        code = _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        code = _fail("interrupted", 130)
    except (CoursekitError, ValueError, TypeError, OSError) as error:
        code = _fail(error, 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message, code):
    click.echo(f"coursekit: {' '.join(str(message).split())}", err=True)
    return code


def _one_line_warning(message, category, filename, lineno, file=None, line=None):
    if issubclass(category, OfflineFallbackWarning) or category is UserWarning:
        click.echo(f"coursekit: warning: {' '.join(str(message).split())}", err=True)
