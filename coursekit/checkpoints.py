"""Runs on disk: one safetensors file with its description as JSON in the header. Nothing is ever unpickled."""

import glob
import hashlib
import json
import os
import secrets
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from coursekit.errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

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
        When the folder cannot be written, or the disk is full. An older file at `path` is left as it was.

    Notes
    -----
    The file is written beside `path` under a name that ends in ``.tmp``, and renamed when it is whole. A
    process killed in between leaves that one behind; the next write to `path` removes it.
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        with whole_or_not_at_all(path) as file:
            file.write(save(tensors, metadata=header))
    except (OSError, SafetensorError) as error:
        kept = f" The run that {path.name} held is unchanged." if path.is_file() else ""
        raise CheckpointError(
            f"cannot write {path}: {error}. Make room, or choose a folder that you may write to.{kept}"
        ) from error


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
        # In one go: safe_open opens the file twice, and a run that is training may replace it in between.
        data = path.read_bytes()
        tensors = load(data)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({error}). Train or copy it again."
        ) from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
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


@contextmanager
def whole_or_not_at_all(path):
    """A new file beside `path`, which takes its place when the body has written it, and is gone if it could not."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:  # under the lock; Windows renames no open file
                os.replace(temporary, path)
        if fcntl is None:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_abandoned(path):
    """Remove what writers of `path` left that were killed: their locks ended with them."""
    for temporary in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        try:
            with open(temporary, "rb+") as file:
                if _lock(file):
                    temporary.unlink()
        except OSError:  # gone in the meantime, or not ours to touch
            continue


def _lock(file):
    """Whether this process now holds the lock on an open file, which it keeps until the file is closed."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has it, or the file system has no locks
        return False
    return True


def _digest(tensors, text):
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
