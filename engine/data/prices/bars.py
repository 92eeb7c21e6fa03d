"""Price bars of one token, as read from a file or simulated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False)
class Bars:
    """The history of one token, oldest bar first.

    times: (n,) int64, unix seconds (UTC) at which each bar begins, strictly increasing. prices: (n, 4) float64, open,
    high, low, close, above 0, with low <= open, close <= high. volume: (n,) float64, 0 or more.
    """

    token: str
    times: np.ndarray
    prices: np.ndarray
    volume: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    @property
    def seconds(self) -> int:
        """Median distance between bars."""
        return int(np.median(np.diff(self.times)))

    @property
    def table(self) -> np.ndarray:
        """(n, 5) float64 in the order of `COLUMNS`."""
        return np.column_stack([self.prices, self.volume])
