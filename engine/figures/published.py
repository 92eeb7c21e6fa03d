"""Results that others published with their full cost, to be shown beside what was measured here."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One published test accuracy.

    source: key of the data set. ipc: images per class, in pixels. value: a fraction. cost: what it took. num_values:
    of the pixels alone; learned labels are not counted. is_second_hand: not read in the authors' own paper or code,
    but in somebody else's account of it.
    """

    source: str
    method: str
    ipc: float
    value: float
    cost: str
    num_values: int
    is_second_hand: bool = True

    @property
    def num_bytes(self) -> int:
        """Of the pixels, 4 a value, as everything here is counted."""
        return 4 * self.num_values

    @property
    def name(self) -> str:
        return f"{self.method}, {self.ipc:g} per class"


def _published(source: str, classes: int, method: str, ipc: float, value: float, cost: str, **more: bool) -> Published:
    return Published(source, method, ipc, value, cost, math.floor(ipc * classes * 3 * 32 * 32), **more)


PUBLISHED = (
    _published("cifar10", 10, "PoDD", 0.3, 0.423, "100,000 outer steps, days on a GPU"),
    _published("cifar10", 10, "PoDD", 0.5, 0.495, "100,000 outer steps, days on a GPU"),
    _published("cifar10", 10, "PoDD", 1.0, 0.591, "100,000 outer steps, days on a GPU"),
    # stated by its authors, in the description of their code
    _published("cifar100", 100, "PoDD", 0.4, 0.357, "250,000 outer steps, days on a GPU", is_second_hand=False),
)


def published(source: str) -> list[Published]:
    """What is known for a data set, smallest first; empty for most."""
    return sorted((found for found in PUBLISHED if found.source == source), key=lambda found: found.num_values)
