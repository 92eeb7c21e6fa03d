"""Bars as a CSV file that any program reads."""

from __future__ import annotations

import numpy as np

from engine.data.prices.bars import COLUMNS, Bars


def to_csv(bars: Bars) -> str:
    """`date,open,high,low,close,volume`, oldest first, in UTC, with all digits: `read_bars` gives the bars back."""
    times = bars.times.astype("datetime64[s]")
    is_daily = bool((bars.times % 86_400 == 0).all())
    dates = np.datetime_as_string(times.astype("datetime64[D]") if is_daily else times).tolist()
    rows = zip(dates, bars.table.tolist(), strict=True)
    lines = [",".join((date.replace("T", " "), *map(repr, values))) for date, values in rows]
    return "\n".join([",".join(("date", *COLUMNS)), *lines, ""])
