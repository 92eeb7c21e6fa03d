"""Price bars of one token, as read from a file or simulated."""

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


def to_csv(bars: Bars) -> str:
    """`date,open,high,low,close,volume`, oldest first, in UTC, with all digits: `read_bars` gives the bars back."""
    times = bars.times.astype("datetime64[s]")
    is_daily = bool((bars.times % 86_400 == 0).all())
    dates = np.datetime_as_string(times.astype("datetime64[D]") if is_daily else times).tolist()
    rows = zip(dates, bars.table.tolist(), strict=True)
    lines = [",".join((date.replace("T", " "), *map(repr, values))) for date, values in rows]
    return "\n".join([",".join(("date", *COLUMNS)), *lines, ""])
