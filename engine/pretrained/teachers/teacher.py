"""A teacher ready for use: a fixed function of each image."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor

from engine.core.checkpoint import write_atomically
from engine.core.context import Context
from engine.core.events import Event
from engine.data.source import Splits
from engine.evaluation.probing.probe import features_of

PIECE = 64
"""Images per forward pass, which bounds the memory of activations."""
FILE, TENSOR = "train.safetensors", "representations"
"""The training images' representations, in the teacher's folder."""


@dataclass(frozen=True)
class Teacher:
    """A network whose representations are distilled.

    network: prepared inputs (n, C, H, W) to (n, d). scale: factor that makes the mean variance of a dimension 1 over
    training images. digest: equal only if the representations are. facts: for `describe`.
    """

    title: str
    num_dims: int
    digest: str
    network: Callable[[Tensor], Tensor]
    scale: float
    facts: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def represent(self, inputs: Tensor) -> Tensor:
        """Representations (n, d) float32 of prepared inputs (n, C, H, W), without gradients."""
        return torch.cat([self.network(piece) for piece in inputs.split(PIECE)]) * self.scale

    def describe(self) -> dict[str, Any]:
        """The summary of a run that only trains a teacher."""
        return {"title": self.title, "num_dims": self.num_dims} | self.facts


def of_training(teacher: Teacher, splits: Splits, context: Context) -> Generator[Event, None, Tensor]:
    """Representations (N, d) float32 of the training images, in order, cached in the teacher's folder.

    The digest covers the data, so a folder belongs to one training set.
    """
    path = context.cache_root / "teachers" / teacher.digest / FILE
    found = _read(path)
    if found is None or found.shape != (len(splits.train), teacher.num_dims):
        found = (yield from features_of(teacher.represent, splits.train, "represent the training images")).cpu()
        write_atomically(path, bytes_from_tensors({TENSOR: found.contiguous()}))
    return found.to(context.device)


def _read(path: Path) -> Tensor | None:
    """The representations in a file; None if it is missing or damaged."""
    try:
        return load_file(path).get(TENSOR)
    except (OSError, SafetensorError):
        return None
