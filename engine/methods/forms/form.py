"""What an algorithm asks of a form, and what a form answers."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from engine.core.config import Size, Task, image_shape
from engine.core.context import Context
from engine.core.events import Event
from engine.data.transforms.prepare import ImageSplits
from engine.synthetic.base import Training
from engine.synthetic.labelled import LabelledImages, LabelsKind


@dataclass(frozen=True)
class Asked:
    """What an algorithm asks of its set, whatever the form.

    num_batches: that the images of each class are split into. num_rates: learning rates, 1 or one per inner step.
    companion: the arm of a second version of the samples; "" for none.
    """

    training: Training
    student_lr: float
    learn_rates: bool
    num_batches: int = 1
    num_rates: int = 1
    companion: str = ""

    def options(self, splits: ImageSplits) -> dict[str, Any]:
        """Arguments that the sets of all forms take."""
        rates = {"num_rates": self.num_rates, "learn_rates": self.learn_rates}
        return {"spec": splits.spec, "training": self.training, "companion": self.companion, **rates}

    def batched(self, splits: ImageSplits, ipc: int, labels: LabelsKind) -> dict[str, Any]:
        """The same, of sets of `ipc` images per class in batches."""
        learned = {f"{labels}_labels": True} if labels != "hard" else {}
        return self.options(splits) | {"ipc": ipc, "num_batches": self.num_batches} | learned


class Form(Protocol):
    """How a set is stored."""

    def size_for(self, spec: Task) -> Size:
        """Samples and stored values. Raises ConfigError if there can be no such set."""

    def whole_batch(self, spec: Task) -> int:
        """Samples per step if all are used."""

    def describe(self, spec: Task) -> str:
        """The size in words, as the beginning of a sentence; "" for plain images."""

    def check_for(self, spec: Task, data_root: Path) -> None:
        """Raise UserError for what can be known to fail before a run begins."""

    def make(self, splits: ImageSplits, asked: Asked, context: Context) -> Generator[Event, None, LabelledImages]:
        """The set before its start, on the CPU."""


def labelled_size(num_samples: int, num_values: int, num_labels: int, spec: Task, labels: LabelsKind) -> Size:
    """The size of a set that stores a label per image: a byte if it is hard, a value per class if it is learned."""
    found = Size(num_samples, num_values, num_channels=image_shape(spec.sample_shape)[0])
    if labels != "hard":
        num_labels *= spec.num_outputs
        return replace(found, num_label_values=num_labels, num_fine=num_labels)
    return replace(found, num_indices=num_labels)
