"""From a table and its mapping to bars: rows are repaired and sorted, with a sentence each, or the file is rejected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.core.data_config import WindowConfig
from engine.data.prices import cells
from engine.data.prices.bars import Bars
from engine.data.prices.cells import PRICES
from engine.data.prices.options import Mapping
from engine.data.prices.report import FileReport, counted, distance, moment, were
from engine.data.prices.tables import Table, flaw

MIN_BARS = 3 * WindowConfig().embargo + 1
"""Training, validation and test each need a window and its target, and the first bar needs a close before it."""
ROUNDING = 1e-4
"""Share of a price by which an open or close may exceed high or low: files have few digits."""
GAP = 1.5
"""Two bars further apart than this many median distances have a gap between them."""
LARGEST = 1e15


@dataclass(frozen=True)
class Built:
    """Bars, and what was repaired. num_rows: below the header. num_missing: bars missing in gaps."""

    bars: Bars
    repairs: tuple[str, ...]
    num_rows: int
    num_missing: int

    def report(self, name: str, mapping: Mapping) -> FileReport:
        """The report of the file called `name`, read with `mapping`."""
        bars = self.bars
        return FileReport(
            name=name,
            token=bars.token,
            mapping=mapping,
            repairs=self.repairs,
            num_rows=self.num_rows,
            num_bars=len(bars),
            first=int(bars.times[0]),
            last=int(bars.times[-1]),
            seconds=bars.seconds,
            num_missing=self.num_missing,
        )


def build(table: Table, mapping: Mapping, token: str) -> Built:
    """The bars of a file.

    Raises DataError, naming the file and the line if there is one: rows are unreadable, a price is impossible, there
    are too few bars, or the price never changes.
    """
    repairs = list(table.notes)
    rows, num_rows = cells.read(table, mapping, repairs)
    _check_prices(table, rows, repairs)
    _fill_volume(table, rows, bool(mapping.volume), repairs)
    rows = _in_order(rows, repairs)
    prices = np.ascontiguousarray(rows["prices"])
    if len(rows) < MIN_BARS:
        needed = f"but at least {MIN_BARS} are needed: training, validation and test each need a window and its target"
        raise flaw(table.name, f"has {counted(len(rows), 'bar')}, {needed}. Use a longer history.")
    if (prices[:, 3] == prices[0, 3]).all():
        constant = f"has the close {_number(prices[0, 3])} in every bar"
        raise flaw(table.name, f"{constant}; use prices that change, or choose another column.")
    num_missing = _gaps(rows["time"], repairs)
    bars = Bars(token, np.ascontiguousarray(rows["time"]), prices, np.ascontiguousarray(rows["volume"]))
    return Built(bars, tuple(repairs), num_rows, num_missing)


def _check_prices(table: Table, rows: np.ndarray, repairs: list[str]) -> None:
    """Raise DataError for the first impossible price; correct highs and lows that are off by rounding."""
    prices = rows["prices"]

    def wrong(row: int, what: str) -> Exception:
        return flaw(table.name, f"{what}; correct the row, or choose other columns.", rows["line"][row])

    if (row := _first(~np.isfinite(prices) | (prices > LARGEST))) is not None:
        raise wrong(row, "a price is infinite or absurdly high")
    if (row := _first(prices <= 0)) is not None:
        worst = int(prices[row].argmin())
        raise wrong(row, f"the {PRICES[worst]} is {_number(prices[row, worst])}, but prices must be above 0")
    open_, high, low, close = prices.T
    if (row := _first(high < low * (1 - ROUNDING))) is not None:
        raise wrong(row, f"the high {_number(high[row])} is below the low {_number(low[row])}")
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    if (row := _first((top > high * (1 + ROUNDING)) | (bottom < low * (1 - ROUNDING)))) is not None:
        is_open = not low[row] * (1 - ROUNDING) <= open_[row] <= high[row] * (1 + ROUNDING)
        name, value = ("open", open_[row]) if is_open else ("close", close[row])
        between = f"between the low {_number(low[row])} and the high {_number(high[row])}"
        raise wrong(row, f"the {name} {_number(value)} is not {between}")
    if count := int(((top > high) | (bottom < low) | (high < low)).sum()):
        rows["prices"] = np.stack([open_, np.maximum(high, top), np.minimum(low, bottom), close], axis=1)
        fixed = "set to the open or close because of rounding."
        repairs.append(were(count, "high or low", fixed, "highs or lows"))


def _fill_volume(table: Table, rows: np.ndarray, is_mapped: bool, repairs: list[str]) -> None:
    """Set missing volumes: to 1 if no row has any, otherwise to 0. Raises DataError for impossible ones."""
    volume = rows["volume"]
    if (row := _first((volume < 0) | (volume > LARGEST * LARGEST))) is not None:
        wrong = f"the volume is {_number(volume[row])}; correct the row, or choose no column for the volume."
        raise flaw(table.name, wrong, rows["line"][row])
    if not np.nansum(volume) > 0:
        rows["volume"] = 1.0
        repairs.append(f"The volume is {'empty' if is_mapped else 'missing'}, so it is 1 for every bar.")
    elif count := int(np.isnan(volume).sum()):
        rows["volume"] = np.nan_to_num(volume, nan=0.0)
        repairs.append(f"{counted(count, 'bar')} without a volume {'has' if count == 1 else 'have'} volume 0.")


def _in_order(rows: np.ndarray, repairs: list[str]) -> np.ndarray:
    """Oldest first, each time once."""
    steps = np.diff(rows["time"])
    if count := int((steps < 0).sum()):
        is_reversed = 2 * count > len(steps)
        out_of_order = were(count, "row", "out of order; the rows were sorted by time.")
        repairs.append("The newest bar came first; the order was reversed." if is_reversed else out_of_order)
    rows = rows[np.lexsort([rows["line"], rows["time"]])]
    is_last = np.append(np.diff(rows["time"]) > 0, True)
    again = np.flatnonzero(~is_last)
    differs = (rows["prices"][again] != rows["prices"][again + 1]).any(1)
    if count := int((~differs).sum()):
        repairs.append(were(count, "duplicate bar", "left out."))
    if count := int(differs.sum()):
        first = moment(int(rows["time"][again[differs][0]]))
        kept = f"replaced by a later row of the same time with other prices (the first on {first})."
        repairs.append(were(count, "bar", kept))
    return rows[is_last]


def _gaps(times: np.ndarray, repairs: list[str]) -> int:
    """The number of bars that are missing between the first and the last."""
    steps = np.diff(times)
    usual = int(np.median(steps))
    wide = np.flatnonzero(steps > GAP * usual)
    if not len(wide):
        return 0
    missing = int(sum(round(int(step) / usual) - 1 for step in steps[wide]))
    longest = int(wide[steps[wide].argmax()])
    span = f"the longest from {moment(int(times[longest]))} to {moment(int(times[longest + 1]))}"
    bars = f"{counted(missing, 'bar')} of {distance(usual)} {'is' if missing == 1 else 'are'} missing"
    repairs.append(f"{bars} in {counted(len(wide), 'gap')}, {span}; gaps are kept.")
    return missing


def _first(is_bad: np.ndarray) -> int | None:
    """The first bad row of a mask (n,) or (n, 4)."""
    places = np.flatnonzero(is_bad.any(1) if is_bad.ndim > 1 else is_bad)
    return int(places[0]) if len(places) else None


def _number(value: float) -> str:
    return f"{value:.10g}"
