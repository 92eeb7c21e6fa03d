"""What a teacher says of all training images, made once and kept beside it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor

from engine.core.checkpoint import write_atomically
from engine.core.context import Context
from engine.core.events import Event
from engine.data.source import Splits
from engine.pretrained.teachers.store import FOLDER
from engine.pretrained.teachers.teacher import Teacher, of_set

FILE = "train.safetensors"
TENSOR = "representations"


def of_training(teacher: Teacher, splits: Splits, context: Context) -> Generator[Event, None, Tensor]:
    """Representations (N, d) float32 of the training images in their order, from the cache where they are there and whole.

    A teacher's digest names the data that it was trained on too, so its folder holds those of one training set.
    """
    path = context.cache_root / FOLDER / teacher.digest / FILE
    found = _read(path)
    if found is None or found.shape != (len(splits.train), teacher.num_dims):
        found = (yield from of_set(teacher, splits.train, "represent the training images")).cpu()
        write_atomically(path, bytes_from_tensors({TENSOR: found.contiguous()}))
    return found.to(context.device)


def _read(path: Path) -> Tensor | None:
    """The representations of a file; None where there are none that can be read."""
    try:
        return load_file(path).get(TENSOR)
    except (OSError, SafetensorError):
        return None
