"""What a saved run predicts, as ONNX: for a browser, a phone, or anything else that runs such files."""

import copy
import math
from pathlib import Path

import torch
from torch import nn

from coursekit.checkpoints import whole_or_not_at_all
from coursekit.errors import ExportError
from coursekit.trainers import CycleGANTrainer, DCGANTrainer, GANTrainer, VAETrainer, load_trainer

__all__ = ["OPSET", "TOLERANCE", "export_onnx", "to_onnx"]

OPSET = 18
TOLERANCE = 1e-5
BATCH_SIZES = (1, 2, 7)
NEEDS = "ONNX files need more packages: pip install onnx onnxscript onnxruntime"


def export_onnx(run, path=None, **networks):
    """Write what the model of a saved run predicts as ONNX, checked against torch.

    ============  ==============================  =======================================================
    run           file                            what it computes
    ============  ==============================  =======================================================
    VAE           `path`                          ``z`` (n, K) -> ``image`` (n, C, H, W): the mean of p(x|z)
    GAN, DCGAN    `path`                          ``z`` (n, noise_dim) -> ``image``; of points, ``points`` (n, d)
    CycleGAN      `path` with ``-G`` and ``-F``   ``image`` -> ``translation``, X to Y and Y to X
    ============  ==============================  =======================================================

    All images are float32 in [0, 1], however the network sees them: that is part of the graph. n may be any number.

    Parameters
    ----------
    run : str or Path
        A file that ``trainer.save`` wrote.
    path : str or Path, optional
        Default: `run` with the ending ``.onnx``.
    **networks : nn.Module
        For a run that was made with networks of your own, as for ``Trainer.load``.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ExportError
        When the model is of another kind, a package is missing, a graph differs from torch, or a file cannot be
        written. Files that were there are left as they were.
    CheckpointError
        When the run is missing, damaged, or foreign.

    Notes
    -----
    Networks are in evaluation mode: batch normalisation with its running means, no dropout. Where the run keeps a
    moving average of the weights, that is what predicts here too. A VAE's encoder is left out: what draws is the
    decoder, and codes of images come from ``VAETrainer.encode``.
    """
    trainer = load_trainer(run, device="cpu", precision="32-true", **networks)
    path = Path(path) if path is not None else Path(run).with_suffix(".onnx")
    files = {}
    for ending, (module, shape, names, prediction) in _graphs(trainer, run).items():
        target = path.with_name(f"{path.stem}{ending}{path.suffix}")
        if target.resolve() == Path(run).resolve():
            raise ExportError(f"{target} is the run itself; give another name for the ONNX file")
        files[target] = to_onnx(module, shape, names=names, prediction=prediction)
    for target, content in files.items():
        _write(target, content)
    return list(files)


def to_onnx(module, shape, *, names, prediction=None):
    """The bytes of an ONNX file that computes `module`, checked against torch.

    Parameters
    ----------
    module : nn.Module
        (n, *shape) -> (n, ...), float32. It is copied, and left as it is.
    shape : tuple of int
        Of one row: (K,) for a code, (C, H, W) for an image.
    names : tuple of str
        Of input and output.
    prediction : callable, optional
        What the graph is compared with, from input to output, both on the CPU. Default: `module` in evaluation mode.

    Returns
    -------
    bytes
        One file with its weights, operators of `OPSET`, the first axis free.

    Raises
    ------
    ExportError
        When a package is missing, `module` cannot be expressed, or what onnxruntime computes is further than
        `TOLERANCE` from torch anywhere, for one of several batch sizes, on normal codes or uniform images.
    """
    _need_packages()
    module = copy.deepcopy(module).cpu().float().eval().requires_grad_(False)
    inputs = [_random(n, shape) for n in BATCH_SIZES]
    content = _translated(module, inputs[-1], names)
    with torch.no_grad():
        expected = [(prediction or module)(x) for x in inputs]
    _compare(inputs, expected, _run(content, inputs, names))
    return content


class _Decoder(nn.Module):
    """z -> the mean of p(x|z)."""

    def __init__(self, network, likelihood):
        super().__init__()
        self.decoder, self.bernoulli = network.decoder, likelihood == "bernoulli"

    def forward(self, z):
        decoded = self.decoder(z)
        return decoded.sigmoid() if self.bernoulli else decoded.clamp(0, 1)


class _UnitRange(nn.Module):
    """A network that sees and gives images in [-1, 1], for images in [0, 1].

    Parameters
    ----------
    network : nn.Module
    inputs : bool
        Whether its inputs are such images too, and not codes.
    """

    def __init__(self, network, inputs):
        super().__init__()
        self.network, self.inputs = network, inputs

    def forward(self, x):
        return (self.network(2 * x - 1 if self.inputs else x) + 1) / 2


def _graphs(trainer, run):
    """By the ending of the file's name: module, shape of a row of input, names, and what torch predicts."""
    if isinstance(trainer, VAETrainer):
        decoder = _Decoder(trainer.network, trainer.config.likelihood)
        return {"": (decoder, (trainer.config.latent_dim,), ("z", "image"), trainer.decode)}
    if isinstance(trainer, (GANTrainer, DCGANTrainer)):
        G, of_points = trainer.generator, len(trainer.data_spec.image_shape) == 1
        if trainer.data_range == "symmetric" and not of_points:
            G = _UnitRange(G, inputs=False)
        names = ("z", "points" if of_points else "image")
        return {"": (G, (trainer.config.noise_dim,), names, trainer.generate)}
    if isinstance(trainer, CycleGANTrainer):
        return {
            f"-{name}": (
                _UnitRange(trainer.predictor(name), inputs=True),
                trainer.data_spec.image_shape,
                ("image", "translation"),
                lambda images, to=to: trainer.translate(images, to=to),
            )
            for name, to in (("G", "Y"), ("F", "X"))
        }
    raise ExportError(
        f"{run} is a {type(trainer).__name__} run, which has no ONNX form here. "
        "Runs of VAETrainer, GANTrainer, DCGANTrainer and CycleGANTrainer have."
    )


def _need_packages():
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError(f"{NEEDS} ({error})") from error


def _random(n, shape):
    generator = torch.Generator().manual_seed(n)
    return (torch.randn if len(shape) == 1 else torch.rand)(n, *shape, generator=generator)


def _translated(module, example, names):
    try:
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            opset_version=OPSET,
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(f"torch cannot express this {type(module).__name__} as ONNX: {error}") from error
    model = program.model_proto
    _strip(model)
    return model.SerializeToString(deterministic=True)


def _strip(model):
    """Leave out what torch notes about its own translation: it names files of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.value_info[:]


def _compare(inputs, expected, computed):
    for x, wanted, given in zip(inputs, expected, computed):
        furthest = (given - wanted).abs().max().item() if given.shape == wanted.shape else math.inf
        if not furthest <= TOLERANCE:
            raise ExportError(
                f"the ONNX graph differs from torch by {furthest:.2g} for a batch of {len(x)}, and {TOLERANCE:g} is "
                "allowed; nothing was written"
            )


def _run(content, inputs, names):
    """What onnxruntime computes from each of the inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return [torch.from_numpy(session.run([names[1]], {names[0]: x.numpy()})[0]) for x in inputs]
    except Exception as error:  # onnxruntime's own have no common base but this
        raise ExportError(
            f"onnxruntime cannot run the graph for every batch size; nothing was written: {error}"
        ) from error


def _write(path, content):
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_or_not_at_all(path) as file:
            file.write(content)
    except OSError as error:
        raise ExportError(
            f"cannot write {path}: {error}. Make room, or choose a folder that you may write to."
        ) from error
