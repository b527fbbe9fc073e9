"""Runs on disk: one safetensors file with its description as JSON in the header. Nothing is ever unpickled."""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from coursekit.errors import CheckpointError

FORMAT = "coursekit-run"
VERSION = 1


def write(path, tensors, description):
    """Write a run atomically: a reader sees the old file or the new one, never a part.

    Parameters
    ----------
    path : str or Path
        Where to; missing parent folders are made. The usual ending is ``.safetensors``.
    tensors : dict of str to Tensor
        Any shapes and devices; stored from the CPU.
    description : dict
        Whatever JSON can hold.

    Raises
    ------
    CheckpointError
        When the folder cannot be written. An older file at `path` is left as it was.
    """
    path = Path(path)
    # Cloned, because safetensors refuses tensors that share memory (tied weights).
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(description)
    header = {
        "format": FORMAT,
        "version": str(VERSION),
        "description": text,
        "digest": _digest(tensors, text),
    }
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".safetensors.tmp")
        os.close(handle)
        save_file(tensors, temporary, metadata=header)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {path}: {error}. Choose a folder you may write to.") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def read(path):
    """Read a run that `write` wrote.

    Returns
    -------
    tensors : dict of str to Tensor
        On the CPU.
    description : dict

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, or not a run of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is not there. Save a run with trainer.save(path) or coursekit train --out.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({error}). Train or copy it again."
        ) from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a safetensors file, but not a run saved by coursekit.")
    if header.get("version") != str(VERSION):
        raise CheckpointError(
            f"{path} has run format {header.get('version')}; this coursekit reads {VERSION}. Use the release that wrote it."
        )
    text = header.get("description", "")
    if header.get("digest") != _digest(tensors, text):
        raise CheckpointError(f"{path} is damaged: its content does not match its digest. Train or copy it again.")
    return tensors, json.loads(text)


def _digest(tensors, text):
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
