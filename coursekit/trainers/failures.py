"""What goes wrong from outside, said in one line: no memory left, another process gone."""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

import torch

from coursekit.errors import OutOfMemory, ProcessLost
from coursekit.trainers.config import choose_precision

# Settings that activations grow with, as far as a model has them.
MEMORY_SETTINGS = (
    "batch_size", "crop", "width", "generator_width", "discriminator_width", "hidden", "generator_hidden",
    "discriminator_hidden", "channels",
)  # fmt: skip
# What torch says when the connection to another process breaks: gloo in RuntimeErrors, the others in DistErrors.
BROKEN_CONNECTION = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL")
LOOK_EVERY = 5.0  # seconds


@contextmanager
def explained(trainer, without_memory):
    """Turn torch's errors for no memory and for lost processes into those of coursekit.

    `without_memory` writes the message: `in_a_step`, or `at_inference`.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        message = str(error)
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in message:
            raise OutOfMemory(without_memory(trainer)) from error
        distributed = isinstance(error, torch.distributed.DistError) if torch.distributed.is_available() else False
        if trainer.fabric.world_size > 1 and (distributed or any(said in message for said in BROKEN_CONNECTION)):
            raise _lost(trainer, "lost the others") from error
        raise


@contextmanager
def ended_with_others(trainer):
    """Under several processes, let SIGTERM end this one with a message: launchers send it when another has ended."""
    if trainer.fabric.world_size == 1 or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signum, frame):
        raise _lost(trainer, "was told to end")

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except ProcessLost as error:
        # At once: a launcher may end this process before Python has printed the traceback.
        print(f"coursekit: {error}", file=sys.stderr, flush=True)
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def _lost(trainer, what):
    return ProcessLost(
        f"process {trainer.fabric.global_rank} of {trainer.fabric.world_size} {what} after step {trainer.step}: one of "
        "them has ended, and its own message, if it could leave one, says why. Start again from the last checkpoint."
    )


def in_a_step(trainer):
    """What to do where a training step finds no memory."""
    values = {name: getattr(trainer.config, name, None) for name in MEMORY_SETTINGS}
    lower = [f"{name} (now {value})" for name, value in values.items() if value not in (None, 1)]
    precision = choose_precision(trainer.precision, trainer.fabric.device.type)
    if trainer.fabric.device.type == "cuda" and "16" not in str(precision):
        lower.append("precision, to 'bf16-mixed'")
    return (
        f"{trainer.fabric.device} has no memory left in step {trainer.step + 1}. Lower {', or '.join(lower)}. The "
        "weights of this trainer are not to be used; a checkpoint on disk stays as it was."
    )


def at_inference(trainer):
    """What to do where an evaluation, a sample or another prediction finds no memory."""
    lower = []
    if trainer.inference_batch > 1:
        lower.append(f"Lower inference_pixels of this trainer (now {trainer.inference_pixels})")
    if trainer.fabric.device.type != "cpu":
        lower.append("load the run with device='cpu'")
    advice = ", or ".join(lower) or "Give smaller images or fewer of them"
    return (
        f"{trainer.fabric.device} has no memory left for predictions of shape {trainer.data_spec.image_shape}, "
        f"{trainer.inference_batch} at once. {advice[0].upper()}{advice[1:]}. The weights of this trainer are as they were."
    )


def end_with_parent():
    """In a process that Lightning started: end soon after the one that started it is gone, whatever this one waits for."""
    parent = os.getppid()

    def look():
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        print(
            "coursekit: the process that started this one has ended, so this one ends too", file=sys.stderr, flush=True
        )
        os._exit(1)

    threading.Thread(target=look, name="end-with-parent", daemon=True).start()
