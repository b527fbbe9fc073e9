"""What torch computes where the pages run a model: what the run predicts that the ONNX file was exported from."""

import functools

import make_models
import onnxruntime
import torch

from coursekit.trainers import load_trainer

# By ONNX file, without its ending: the run, and which prediction.
PREDICTIONS = {
    "vae-digits": ("vae-digits", lambda run: run.decode),
    "dcgan-emoji": ("dcgan-emoji", lambda run: run.generate),
    "cyclegan-emoji-G": ("cyclegan-emoji", lambda run: functools.partial(run.translate, to="Y")),
    "cyclegan-emoji-F": ("cyclegan-emoji", lambda run: functools.partial(run.translate, to="X")),
}


def predict(name):
    """The prediction, a function from inputs to images."""
    run, prediction = PREDICTIONS[name]
    return prediction(load_trainer(make_models.CHECKPOINTS / f"{run}.safetensors", device="cpu", precision="32-true"))


@functools.cache
def session(name):
    """The ONNX file, opened by onnxruntime."""
    return onnxruntime.InferenceSession(make_models.MODELS / f"{name}.onnx", providers=["CPUExecutionProvider"])


def inputs(name, n, seed):
    """n inputs: normal codes, or images of noise."""
    shape = session(name).get_inputs()[0].shape[1:]
    draw = torch.randn if len(shape) == 1 else torch.rand
    return draw(n, *shape, generator=torch.Generator().manual_seed(seed))
