"""Checkpoints: what a run needs to be resumed. A crash at any moment loses only the steps since the last one.

A checkpoint is a safetensors file, `step-00000120-<sha256>.safetensors`, with numbers and texts as JSON in its header.
The name holds the checksum, so that both appear in one rename. A write: temporary file in the same folder, fsync,
rename, fsync of the folder; only then are older files removed. If a checksum is wrong, the file before is read.
"""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor

SCHEMA_VERSION = 1
NUM_KEPT = 2
_NAME = re.compile(r"step-(\d{8,})-([0-9a-f]{64})\.safetensors")

State = dict[str, Tensor | int | float | str]


def save(folder: Path, step: int, state: State) -> Path:
    """Write the state after `step` outer steps and return the file. Removes files but the previous one.

    folder: made if absent; one writer at a time. state: tensors of any device and dtype, ints, floats (NaN too) and
    texts by name. Raises TypeError for others, and OSError if the disk is full; then earlier checkpoints stay.
    """
    content = _encode(step, state)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}-{hashlib.sha256(content).hexdigest()}.safetensors"
    write_atomically(path, content)
    files = _files(folder)
    earlier = [kept for number, kept in files if number < step]  # later ones are of an abandoned course
    for _, old in files:
        if old not in (path, *earlier[-(NUM_KEPT - 1) :]):
            old.unlink()
    return path


def load_latest(folder: Path, warn: Callable[[str], None] = warnings.warn) -> tuple[int, State] | None:
    """Step and state of the newest undamaged checkpoint, tensors on the CPU; None if there is none.

    Damaged files are renamed to `damaged-…` and reported to `warn`. Temporary files of killed writes are removed.
    """
    for leftover in folder.glob("*.tmp"):
        leftover.unlink()
    for step, path in reversed(_files(folder)):
        try:
            return step, _decode(path)
        except _Damaged as problem:
            path.rename(path.with_name(f"damaged-{path.name}"))
            warn(f"The checkpoint of step {step} is damaged ({problem}); the run continues from the one before it.")
    return None


def latest_step(folder: Path) -> int | None:
    """The step of the newest checkpoint, which is not read; None if there is none."""
    files = _files(folder)
    return files[-1][0] if files else None


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`: readers see the whole old file or the whole new one, also after a crash."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut; does nothing on Windows."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _Damaged(Exception):
    pass


def _files(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of every complete checkpoint, by step and then by time of writing."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = [(match, entry) for entry in entries if (match := _NAME.fullmatch(entry.name))]
        ordered = sorted((int(match[1]), entry.stat().st_mtime_ns, entry.name) for match, entry in found)
    return [(step, folder / name) for step, _, name in ordered]


def _encode(step: int, state: State) -> bytes:
    tensors, scalars = {}, {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            # a copy of its own: safetensors refuses tensors that share memory
            tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        elif isinstance(value, int | float | str):
            scalars[name] = value
        else:
            raise TypeError(f"a checkpoint holds tensors, numbers and texts; '{name}' is a {type(value).__name__}")
    header = {"schema_version": str(SCHEMA_VERSION), "step": str(step), "scalars": json.dumps(scalars)}
    return bytes_from_tensors(tensors, header)


def _decode(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != path.stem.rpartition("-")[2]:
        raise _Damaged("its checksum is wrong")
    with safe_open(path, "pt") as file:
        header = file.metadata()
    if header["schema_version"] != str(SCHEMA_VERSION):
        raise _Damaged(f"it has schema version {header['schema_version']}, this program reads {SCHEMA_VERSION}")
    return tensors_from_bytes(content) | json.loads(header["scalars"])
