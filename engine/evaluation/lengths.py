"""What is measured of a student of labelled images after each length of its training, and which length counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.data.source import LabelledSet
from engine.evaluation.balance import Network, added, balanced_accuracy, compact, confusion


@dataclass(frozen=True)
class Length:
    """A student after `num_steps`: its accuracies, None if not measured, and the seconds of training alone.

    balanced_validation, balanced_test: balanced accuracies, of unbalanced classes. confusion: on test images, see
    `balance.compact`; empty if it is not kept.
    """

    num_steps: int
    validation: float | None
    test: float | None
    seconds: float
    balanced_validation: float | None = None
    balanced_test: float | None = None
    confusion: tuple[tuple[int, ...], ...] = ()

    @property
    def merit(self) -> float:
        """The score on validation data that decides; 0 without one."""
        return (self.validation if self.balanced_validation is None else self.balanced_validation) or 0.0


@dataclass(frozen=True)
class Accuracies:
    """A student after each of the lengths of its training."""

    lengths: tuple[Length, ...]


def measured(
    network: Network,
    parts: Mapping[str, LabelledSet],
    num_classes: int,
    num_steps: int,
    seconds: float,
    *,
    is_unbalanced: bool,
    keeps_confusion: bool,
) -> Length:
    """A trained network on each of the parts, "validation" and "test"."""
    values: dict[str, Any] = {"validation": None, "test": None}
    for name, part in parts.items():
        counts = confusion(network, part, num_classes)
        values[name] = (counts.diagonal().sum() / counts.sum().double()).item()
        if is_unbalanced:
            values[f"balanced_{name}"] = balanced_accuracy(counts.diagonal(), counts.sum(1))
        if name == "test" and keeps_confusion:
            values["confusion"] = compact(counts)
    return Length(num_steps, seconds=seconds, **values)


def best_length(students: Sequence[Accuracies]) -> tuple[int, float]:
    """The place of the length with the best mean on validation data, the longer of equals, and that mean."""
    found = [each.lengths for each in students]
    means = [sum(each[place].merit for each in found) / len(found) for place in range(len(found[0]))]
    best = max(range(len(means)), key=lambda place: (means[place], place))
    return best, means[best]


def confusions(students: Mapping[tuple[str, str], Sequence[Accuracies]]) -> dict[str, Any]:
    """{arm: its confusion under the best protocol on validation data, summed over students}, for JSON.

    students: by arm and protocol. Arms whose confusion was not kept are left out.
    """
    best, arms = dict[str, float](), dict[str, Any]()
    for (arm, protocol), found in students.items():
        place, merit = best_length(found)
        kept = [each.lengths[place].confusion for each in found]
        if all(kept) and merit > best.get(arm, -1.0):
            best[arm] = merit
            arms[arm] = {"protocol": protocol, "students": len(kept)} | added(kept)
    return arms
