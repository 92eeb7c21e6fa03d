"""Bars as a CSV file that any program reads, ours included."""

from __future__ import annotations

import csv
import io

import numpy as np

from engine.data.prices.bars import COLUMNS, Bars


def to_csv(bars: Bars) -> str:
    """`date,open,high,low,close,volume`, oldest first, times in UTC, numbers with all their digits: `read_bars` gives them back."""
    times = bars.times.astype("datetime64[s]")
    dates = times.astype("datetime64[D]") if (bars.times % 86_400 == 0).all() else times
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("date", *COLUMNS))
    for date, values in zip(np.datetime_as_string(dates), bars.table.tolist(), strict=True):
        writer.writerow((str(date).replace("T", " "), *map(repr, values)))
    return text.getvalue()
