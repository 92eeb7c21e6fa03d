"""From a table and its mapping to bars: rows are mended and put in order, with a sentence each, or the file is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.core.config import WindowConfig
from engine.core.errors import DataError
from engine.data.images.names import shown
from engine.data.prices import cells
from engine.data.prices.bars import Bars
from engine.data.prices.cells import PRICES, Rows
from engine.data.prices.options import Mapping
from engine.data.prices.report import counted, distance, moment, was
from engine.data.prices.tables import Table

MIN_BARS = 3 * WindowConfig().embargo + 1
"""Training, validation and test need a window with its forecast each, and the first bar a close before it."""
ROUNDING = 1e-4
"""Share of a price by which an open or close may lie beyond high or low: files are written with few digits."""
GAP = 1.5
"""Two bars further apart than this many usual distances have a gap between them."""
LARGEST = 1e15


@dataclass(frozen=True)
class Built:
    """Bars, and what was done to the file to have them. num_rows: below the header. num_missing: bars left out by gaps."""

    bars: Bars
    repairs: tuple[str, ...]
    num_rows: int
    num_missing: int


def build(table: Table, mapping: Mapping, token: str) -> Built:
    """The bars of a file.

    Raises:
        DataError: the rows cannot be read, a price cannot be, there are too few bars, or nothing ever changes. The message
            names the file, and the line where there is one.
    """
    repairs = list(table.notes)
    rows, num_rows = cells.read(table, mapping, repairs)
    _check_prices(table, rows, repairs)
    _mend_volume(table, rows, bool(mapping.volume), repairs)
    _in_order(rows, repairs)
    _check_enough(table, rows)
    num_missing = _gaps(rows, repairs)
    bars = Bars(token, rows.times, np.ascontiguousarray(rows.prices), rows.volume)
    return Built(bars, tuple(repairs), num_rows, num_missing)


def _check_prices(table: Table, rows: Rows, repairs: list[str]) -> None:
    """Raise DataError for the first price that cannot be; mend highs and lows that are off by rounding."""
    where = f"'{shown(table.name)}', line "
    if (place := _first(~np.isfinite(rows.prices) | (rows.prices > LARGEST))) is not None:
        raise DataError(
            f"{where}{rows.lines[place]:,}: a price is infinite or absurdly high; correct or remove the row."
        )
    if (place := _first(rows.prices <= 0)) is not None:
        worst = int(rows.prices[place].argmin())
        raise DataError(
            f"{where}{rows.lines[place]:,}: the {PRICES[worst]} is {_number(rows.prices[place, worst])}, and prices are above 0; "
            "correct or remove the row."
        )
    open_, high, low, close = rows.prices.T
    if (place := _first(high < low * (1 - ROUNDING))) is not None:
        raise DataError(
            f"{where}{rows.lines[place]:,}: the high {_number(high[place])} is below the low {_number(low[place])}; correct the "
            "row, or choose other columns."
        )
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    if (place := _first((top > high * (1 + ROUNDING)) | (bottom < low * (1 - ROUNDING)))) is not None:
        name = "open" if not low[place] * (1 - ROUNDING) <= open_[place] <= high[place] * (1 + ROUNDING) else "close"
        value = open_[place] if name == "open" else close[place]
        raise DataError(
            f"{where}{rows.lines[place]:,}: the {name} {_number(value)} is not between the low {_number(low[place])} and the high "
            f"{_number(high[place])}; correct the row, or choose other columns."
        )
    off = (top > high) | (bottom < low) | (high < low)
    if count := int(off.sum()):
        rows.prices = np.stack([open_, np.maximum(high, top), np.minimum(low, bottom), close], axis=1)
        repairs.append(
            f"{counted(count, 'high or low', 'highs or lows')} off by rounding {was(count)} set to the open or close."
        )


def _mend_volume(table: Table, rows: Rows, is_mapped: bool, repairs: list[str]) -> None:
    """Raise DataError for a volume below 0 or without end; 1 where no row has any, 0 where some have none."""
    given = rows.volume
    if (place := _first((given < 0) | (given > LARGEST * LARGEST))) is not None:
        raise DataError(
            f"'{shown(table.name)}', line {rows.lines[place]:,}: the volume is {_number(given[place])}; correct or remove the row, "
            "or choose no column for the volume."
        )
    if not np.nansum(given) > 0:
        rows.volume = np.ones(len(rows))
        why = "holds nothing" if is_mapped else "is missing"
        repairs.append(f"The volume {why}: every bar has the volume 1, from which nothing can be learnt.")
    elif count := int(np.isnan(given).sum()):
        rows.volume = np.nan_to_num(given, nan=0.0)
        repairs.append(f"{counted(count, 'bar')} without a volume {was(count)} given the volume 0.")


def _in_order(rows: Rows, repairs: list[str]) -> None:
    """Oldest first, each time once."""
    steps = np.diff(rows.times)
    if (steps < 0).any():
        newest_first = 2 * int((steps < 0).sum()) > len(steps)
        repairs.append(
            "The newest bar came first; the rows were turned round."
            if newest_first
            else f"{counted(int((steps < 0).sum()), 'row')} stood out of order; the rows were sorted by time."
        )
    rows.keep(np.lexsort([rows.lines, rows.times]))
    is_last = np.append(np.diff(rows.times) > 0, True)
    if is_last.all():
        return
    again = np.flatnonzero(~is_last)
    differs = (rows.prices[again] != rows.prices[again + 1]).any(1)
    if count := int((~differs).sum()):
        repairs.append(f"{counted(count, 'bar')} that came twice {was(count)} left out.")
    if count := int(differs.sum()):
        repairs.append(
            f"{counted(count, 'bar')} came again with other prices; the one further down in the file was kept "
            f"(the first on {moment(int(rows.times[again[differs][0]]))})."
        )
    rows.keep(is_last)


def _check_enough(table: Table, rows: Rows) -> None:
    if len(rows) < MIN_BARS:
        raise DataError(
            f"'{shown(table.name)}' has {counted(len(rows), 'bar')} and {MIN_BARS} are needed, so that training, validation and test "
            "hold a window with its forecast each; bring a longer history."
        )
    if (rows.prices[:, 3] == rows.prices[0, 3]).all():
        raise DataError(
            f"'{shown(table.name)}': the close is {_number(rows.prices[0, 3])} in every bar; bring prices that change, or "
            "choose another column."
        )


def _gaps(rows: Rows, repairs: list[str]) -> int:
    """Bars that are missing between those there are; says where most are."""
    steps = np.diff(rows.times)
    usual = int(np.median(steps))
    wide = np.flatnonzero(steps > GAP * usual)
    if not len(wide):
        return 0
    missing = int(sum(round(int(step) / usual) - 1 for step in steps[wide]))
    longest = int(wide[steps[wide].argmax()])
    repairs.append(
        f"{counted(len(wide), 'gap')} where {counted(missing, 'bar')} of {distance(usual)} {'is' if missing == 1 else 'are'} missing, the "
        f"longest from {moment(int(rows.times[longest]))} to {moment(int(rows.times[longest + 1]))}; kept as they are."
    )
    return missing


def _first(is_bad: np.ndarray) -> int | None:
    """The first bad row of a mask (n,) or (n, 4)."""
    places = np.flatnonzero(is_bad.any(1) if is_bad.ndim > 1 else is_bad)
    return int(places[0]) if len(places) else None


def _number(value: float) -> str:
    return f"{value:.10g}"
