"""From the cells of a table to bars: rows are read, repaired with a sentence each, and sorted; or it is rejected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.core.data_config import WindowConfig
from engine.core.errors import DataError
from engine.data.imported.names import shown
from engine.data.prices import columns, dates, numbers
from engine.data.prices.bars import Bars
from engine.data.prices.options import ROLES, Mapping
from engine.data.prices.report import FileReport, counted, distance, moment, were
from engine.data.prices.tables import Table, cleaned, flaw

if TYPE_CHECKING:
    import pandas as pd

MIN_BARS = 3 * WindowConfig().embargo + 1
"""Training, validation and test each need a window and its target, and the first bar needs a close before it."""
ROUNDING = 1e-4  # share of a price by which an open or close may exceed high or low: files have few digits
GAP = 1.5  # two bars further apart than this many median distances have a gap between them
LARGEST = 1e15
SAMPLE_ROWS = 2000  # that tell decimal points from commas
PRICES = list(ROLES[1:])
TURNOVER = "turnover"  # the volume in money, beside the one in units of the token
SAME_TURNOVER = np.log(1.5)  # largest log ratio between volume times close and the turnover


def build(table: Table, mapping: Mapping, token: str) -> tuple[Bars, FileReport]:
    """The bars of a file, and what was repaired. Raises DataError, naming the file and the line if there is one."""
    repairs = list(table.notes)
    places = _places(table, mapping)
    used = [places[role] for role in PRICES]
    if same := [role for role in PRICES if used.count(places[role]) > 1]:
        repairs.append(f"{_and(same).capitalize()} use the same column, as chosen.")
    cells = table.cells()
    rows = _readable(table, places, cells, repairs)
    _check_prices(table, rows, repairs)
    _fill_volume(table, rows, bool(mapping.volume), repairs)
    rows = _in_order(rows, repairs)
    times, prices, volume = rows["time"].to_numpy(), rows[PRICES].to_numpy(), rows["volume"].to_numpy()
    if len(rows) < MIN_BARS:
        needed = f"but at least {MIN_BARS} are needed: training, validation and test each need a window and its target"
        raise flaw(table.name, f"has {counted(len(rows), 'bar')}, {needed}. Use a longer history.")
    if (prices[:, 3] == prices[0, 3]).all():
        constant = f"has the close {_number(prices[0, 3])} in every bar"
        raise flaw(table.name, f"{constant}; use prices that change, or choose another column.")
    num_missing = _count_missing(times, repairs)
    bars = Bars(token, times, np.ascontiguousarray(prices), volume)
    counts = {"num_rows": len(cells), "num_bars": len(bars), "num_missing": num_missing, "seconds": bars.seconds}
    ends = {"first": int(times[0]), "last": int(times[-1])}
    report = FileReport(name=shown(table.name), token=token, mapping=mapping, repairs=tuple(repairs), **counts, **ends)
    return bars, report


def _places(table: Table, mapping: Mapping) -> dict[str, int]:
    """The column index of each role that has one. Raises DataError."""
    chosen = {role: name for role, name in mapping.model_dump().items() if name}
    listed = ", ".join(f"'{name}'" for name in table.columns[:20]) + (" …" if len(table.columns) > 20 else "")
    for name in chosen.values():
        if name not in table.columns:
            raise DataError(f"There is no column '{shown(name)}' in '{shown(table.name)}'; it has {listed}.")
    if absent := [role for role in ROLES if role not in chosen]:
        missing = f"has no recognisable column for {_and(absent)}; it has {listed}"
        raise flaw(table.name, f"{missing}. Choose the columns, or name them date, open, high, low and close.")
    for role in ("date", "time"):
        if sum(name == chosen.get(role) for name in chosen.values()) > 1:
            raise flaw(table.name, f"has one column, '{shown(chosen[role])}', chosen for {role} and another role.")
    places = {role: table.columns.index(name) for role, name in chosen.items()}
    other = columns.turnover(table.columns, chosen.get("volume", ""))
    return places if other is None else places | {TURNOVER: other}


def _readable(table: Table, places: dict[str, int], cells: pd.DataFrame, repairs: list[str]) -> pd.DataFrame:
    """time, PRICES and volume (or NaN) of the usable rows, by line; says what is left out. Raises DataError."""
    import pandas as pd  # slow to import

    if table.header:
        marks = [places["date"], places["close"]]
        is_header = (cells[marks] == [table.header[place] for place in marks]).all(axis=1)
        if count := int(is_header.sum()):
            repairs.append(were(count, "repeated header", "left out."))
        cells = cells[~is_header]
    if cells.empty:
        raise flaw(table.name, "contains nothing but headers; it needs a row for each bar.")
    texts = {role: cells[place] for role, place in places.items()}
    times, has_date, notes = dates.read(texts["date"], texts.get("time"))
    repairs += notes
    _check_token(table, cells[has_date])
    numeric = [role for role in (*PRICES, "volume", TURNOVER) if role in texts]
    sample = cells[[places[role] for role in numeric]].head(SAMPLE_ROWS).to_numpy().ravel()
    decimal = numbers.decimal_of(sample, is_comma_likely=table.delimiter == ";")
    read = {role: numbers.parsed(texts[role], decimal) for role in numeric}
    values = pd.DataFrame({role: found for role, (found, _) in read.items()}, index=cells.index)
    is_wrong = pd.DataFrame({role: wrong for role, (_, wrong) in read.items()}, index=cells.index)[PRICES]
    is_bad = is_wrong.any(axis=1).to_numpy()
    is_empty = values[PRICES].isna().any(axis=1).to_numpy() & ~is_bad

    def first(is_out: np.ndarray, role: str) -> str:
        """Where the first row that is left out is, and the text of its cell."""
        line = cells.index[is_out.argmax()]
        text = shown(texts[role][line].strip())
        return f" (the first in line {line:,}" + (f": '{text}')" if text else ")")

    no_date = "" if has_date.all() else first(~has_date, "date")
    no_value = first(is_bad, is_wrong[is_bad].iloc[0].idxmax()) if is_bad.any() else ""
    if 2 * (~has_date).sum() > len(cells):
        where = f"has no readable dates in column '{shown(table.columns[places['date']])}'{no_date}"
        raise flaw(table.name, f"{where}; choose another column, or write dates as 2018-01-31.")
    if 2 * is_bad.sum() > len(cells):
        where = f"has prices that are not numbers in most rows{no_value}"
        raise flaw(table.name, f"{where}; choose other columns, or write prices as 1234.5.")
    undated, unpriced = (~has_date, "without a readable date", no_date), (has_date & is_empty, "without prices", "")
    for is_out, what, where in (undated, (has_date & is_bad, "with unreadable prices", no_value), unpriced):
        if count := int(is_out.sum()):
            repairs.append(were(count, f"row {what}", f"left out{where}.", f"rows {what}"))
    rows = values[PRICES].assign(time=times, volume=_in_units(values, repairs))[has_date & ~is_bad & ~is_empty]
    if rows.empty:
        raise flaw(table.name, "has no row with a date and prices; it needs a row for each bar.")
    return rows


def _check_token(table: Table, cells: pd.DataFrame) -> None:
    """Raise DataError if a symbol column names several tokens."""
    place = columns.symbol(table.columns)
    named = sorted({cleaned(cell) for cell in cells[place].unique()} - {""}) if place is not None else []
    if len(named) > 1:
        listed = ", ".join(named[:3]) + (" …" if len(named) > 3 else "")
        raise flaw(table.name, f"contains {len(named):,} tokens ({listed}); make a file for each.")


def _in_units(values: pd.DataFrame, repairs: list[str]) -> pd.Series | float:
    """The volume, swapped with the turnover in the rows where the two are the other way round than in most."""
    if TURNOVER not in values:
        return values.get("volume", np.nan)
    close, volume, turnover = values["close"], values["volume"], values[TURNOVER]
    with np.errstate(all="ignore"):
        is_right = np.abs(np.log(turnover / (volume * close))) < SAME_TURNOVER
        is_swapped = (np.abs(np.log(volume / (turnover * close))) < SAME_TURNOVER) & ~is_right
    count = int(is_swapped.sum())
    if not 0 < count < is_right.sum():
        return volume
    repairs.append(were(count, "row with swapped volume columns", "corrected.", "rows with swapped volume columns"))
    return volume.where(~is_swapped, turnover)


def _check_prices(table: Table, rows: pd.DataFrame, repairs: list[str]) -> None:
    """Raise DataError for the first impossible price; correct highs and lows that are off by rounding."""
    prices, open_, high, low = rows[PRICES], rows["open"], rows["high"], rows["low"]
    highest, lowest = high * (1 + ROUNDING), low * (1 - ROUNDING)

    def refuse(is_wrong: pd.Series, what: Callable[[int], str]) -> None:
        """Raise DataError for the first wrong row. what: its line -> the sentence."""
        if is_wrong.any():
            line = is_wrong.idxmax()
            raise flaw(table.name, f"{what(line)}; correct the row, or choose other columns.", line)

    def below_0(line: int) -> str:
        worst = prices.loc[line].idxmin()
        return f"the {worst} is {_number(prices.at[line, worst])}, but prices must be above 0"

    def outside(line: int) -> str:
        name = "close" if lowest[line] <= open_[line] <= highest[line] else "open"
        between = f"between the low {_number(low[line])} and the high {_number(high[line])}"
        return f"the {name} {_number(prices.at[line, name])} is not {between}"

    refuse((prices > LARGEST).any(axis=1), lambda line: "a price is infinite or absurdly high")
    refuse((prices <= 0).any(axis=1), below_0)
    refuse(high < lowest, lambda line: f"the high {_number(high[line])} is below the low {_number(low[line])}")
    top, bottom = prices[["open", "close"]].max(axis=1), prices[["open", "close"]].min(axis=1)
    refuse((top > highest) | (bottom < lowest), outside)
    if count := int(((top > high) | (bottom < low) | (high < low)).sum()):
        rows["high"], rows["low"] = np.maximum(high, top), np.minimum(low, bottom)
        fixed = "set to the open or close because of rounding."
        repairs.append(were(count, "high or low", fixed, "highs or lows"))


def _fill_volume(table: Table, rows: pd.DataFrame, is_mapped: bool, repairs: list[str]) -> None:
    """Set missing volumes: to 1 if no row has any, otherwise to 0. Raises DataError for impossible ones."""
    volume = rows["volume"]
    is_wrong = (volume < 0) | (volume > LARGEST * LARGEST)
    if is_wrong.any():
        line = is_wrong.idxmax()
        wrong = f"the volume is {_number(volume[line])}; correct the row, or choose no column for the volume."
        raise flaw(table.name, wrong, line)
    if not volume.sum() > 0:
        rows["volume"] = 1.0
        repairs.append(f"The volume is {'empty' if is_mapped else 'missing'}, so it is 1 for every bar.")
    elif count := int(volume.isna().sum()):
        rows["volume"] = volume.fillna(0.0)
        repairs.append(f"{counted(count, 'bar')} without a volume {'has' if count == 1 else 'have'} volume 0.")


def _in_order(rows: pd.DataFrame, repairs: list[str]) -> pd.DataFrame:
    if count := int((rows["time"].diff() < 0).sum()):
        is_reversed = 2 * count > len(rows) - 1
        out_of_order = were(count, "row", "out of order; the rows were sorted by time.")
        repairs.append("The newest bar came first; the order was reversed." if is_reversed else out_of_order)
    rows = rows.sort_values("time", kind="stable")
    is_replaced = rows["time"].duplicated(keep="last")
    differs = is_replaced & (rows[PRICES] != rows[PRICES].shift(-1)).any(axis=1)
    if count := int((is_replaced & ~differs).sum()):
        repairs.append(were(count, "duplicate bar", "left out."))
    if count := int(differs.sum()):
        first = moment(int(rows["time"][differs].iloc[0]))
        kept = f"replaced by a later row of the same time with other prices (the first on {first})."
        repairs.append(were(count, "bar", kept))
    return rows[~is_replaced]


def _count_missing(times: np.ndarray, repairs: list[str]) -> int:
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


def _number(value: float) -> str:
    return f"{value:.10g}"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
