"""The measured values of a run as arrays that grow, so that a refresh reads only what is new."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# The store measures this one itself; a method that reports it under the same name goes first.
PACE = "seconds_per_step"


@dataclass(frozen=True)
class Series:
    """One metric: steps (n,) int64 in order, values (n,) float64 with NaN where a value was not finite. Read only."""

    steps: np.ndarray
    values: np.ndarray


class Curves:
    """All metrics of one run. `course` tells one course of the run from the next after a rewind."""

    def __init__(self, course: tuple[float, int]) -> None:
        self.course = course
        self.count = 0
        self._columns: dict[str, _Column] = {}

    def extend(self, rows: Iterable[tuple[int, float | None, str]]) -> None:
        """Add rows of (step, seconds it took or None, values as JSON)."""
        for step, seconds, text in rows:
            values = json.loads(text)
            if seconds is not None:
                values.setdefault(PACE, seconds)
            for name, value in values.items():
                column = self._columns.get(name)
                if column is None:
                    column = self._columns[name] = _Column()
                column.add(step, float("nan") if value is None else value)
            self.count += 1

    def series(self) -> dict[str, Series]:
        """Every metric by name, in the order of first appearance. The arrays are views and are never written again."""
        return {name: column.series() for name, column in self._columns.items()}


class _Column:
    """Two arrays that double when full; what was handed out stays valid, for rows are only added behind it."""

    def __init__(self) -> None:
        self._size = 0
        self._steps = np.empty(64, np.int64)
        self._values = np.empty(64, np.float64)

    def add(self, step: int, value: float) -> None:
        if self._size == len(self._steps):
            self._steps = np.concatenate([self._steps, np.empty_like(self._steps)])
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._steps[self._size], self._values[self._size] = step, value
        self._size += 1

    def series(self) -> Series:
        steps, values = self._steps[: self._size], self._values[: self._size]
        steps.flags.writeable = values.flags.writeable = False
        return Series(steps, values)
