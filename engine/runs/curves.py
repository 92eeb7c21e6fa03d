"""The measured values of a run as arrays that grow, so that a refresh reads only what is new."""

import json
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# The store measures this one itself; a method that reports it under the same name goes first.
PACE = "seconds_per_step"


@dataclass(frozen=True)
class Series:
    """One metric: steps (n,) int64 in order, values (n,) float64 with NaN where a value was not finite."""

    steps: np.ndarray
    values: np.ndarray


class Curves:
    """All metrics of one run. `course` tells one course of the run from the next after a rewind."""

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
        """Copies of every metric by name, in the order of first appearance; read only."""
        found = {}
        for name, (steps, values) in self._columns.items():
            found[name] = Series(np.frombuffer(steps.tobytes(), np.int64), np.frombuffer(values.tobytes(), np.float64))
        return found
