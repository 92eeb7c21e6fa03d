"""What other code needs to know of a kind of result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engine.core.config import RunRequest, Size
from engine.data.source import TaskSpec


@dataclass(frozen=True)
class Kind:
    """A kind of result: how it is named and judged.

    Attributes:
        takes: the kind of data that its students are trained on, as `STUDENTS[...].takes` and `Source.kind` have it.
        sample, real: nouns for one distilled and one real sample; `samples` and `reals` for several.
        measure: what runs are compared by; `validated` is the measured name of its course on validation data.
        has_classes: every sample has a class, so that sizes count per class and label noise can be measured.
        size: (request, size, spec) -> the size of a distilled set in a few words, for a run's title.
    """

    key: Literal["labelled", "representations", "forecasts"]
    takes: Literal["images", "prices"]
    sample: str
    real: str
    measure: Literal["accuracy", "skill"]
    has_classes: bool
    size: Callable[[RunRequest, Size, TaskSpec], str]

    @property
    def samples(self) -> str:
        return f"{self.sample}s"

    @property
    def reals(self) -> str:
        return f"{self.real}s"

    @property
    def validated(self) -> str:
        return f"validation_{self.measure}"
