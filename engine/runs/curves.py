"""The metrics of a run as growing arrays, so that a refresh reads only new rows."""

import json
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

PACE = "seconds_per_step"  # measured by the store, unless the method reports it


@dataclass(frozen=True)
class Series:
    """One metric: steps (n,) int64 in order, values (n,) float64 with NaN where a value was not finite."""

    steps: np.ndarray
    values: np.ndarray


class Curves:
    """All metrics of one run. course: changes when the run is rewound."""

    def __init__(self, course: tuple[float, int]) -> None:
        self.course, self.count = course, 0
        self._columns: dict[str, tuple[array[int], array[float]]] = {}

    def extend(self, rows: Iterable[tuple[int, float | None, str]]) -> None:
        """Add rows of (step, seconds it took or None, values as JSON)."""
        for step, seconds, text in rows:
            measured = json.loads(text)
            if seconds is not None:
                measured.setdefault(PACE, seconds)
            for name, value in measured.items():
                steps, values = self._columns.setdefault(name, (array("q"), array("d")))
                steps.append(step)
                values.append(math.nan if value is None else value)
            self.count += 1

    def series(self) -> dict[str, Series]:
        """Read-only copies of every metric by name, in the order of first appearance."""
        return {
            name: Series(np.frombuffer(steps.tobytes(), np.int64), np.frombuffer(values.tobytes(), np.float64))
            for name, (steps, values) in self._columns.items()
        }
