"""A teacher that is ready: what it says of images, as a fixed function of each."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from engine.core.events import Event
from engine.data.source import LabelledSet
from engine.evaluation.probing.probe import features_of

PIECE = 64
"""Images that go through a network at once, so that what they become on the way stays small."""


@dataclass(frozen=True)
class Teacher:
    """A network whose representations are distilled.

    network: prepared inputs (n, C, H, W) to (n, d), of each image alone. scale: what that is multiplied by, so that the mean
    variance of a dimension is 1 over training images. digest: equal only where representations are. facts: what else is
    known of it, for people.
    """

    title: str
    num_dims: int
    digest: str
    network: Callable[[Tensor], Tensor]
    scale: float
    facts: dict[str, Any] = field(default_factory=dict)

    @torch.no_grad()
    def represent(self, inputs: Tensor) -> Tensor:
        """Representations (n, d) float32 of prepared inputs (n, C, H, W), however many; no gradient flows."""
        return torch.cat([self.network(piece) for piece in inputs.split(PIECE)]) * self.scale

    def describe(self) -> dict[str, Any]:
        """What it is, for people: {"title", "num_dims", "num_params", "num_epochs", "knn_accuracy", "probe_accuracy", "seconds"}.

        Accuracies are fractions, of validation images; None where there is none.
        """
        return {"title": self.title, "num_dims": self.num_dims} | self.facts


def of_set(teacher: Teacher, data: LabelledSet, phase: str) -> Generator[Event, None, Tensor]:
    """Representations (N, d) of all images of a set in their order, each computed once; yields Progress each second."""
    return (yield from features_of(teacher.represent, data, phase))
