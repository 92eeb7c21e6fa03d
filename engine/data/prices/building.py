"""From the cells of a table to bars: rows are read, repaired with a sentence each, and sorted; or it is rejected."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from engine.core.data_config import WindowConfig
from engine.core.errors import DataError
from engine.data.imported.names import shown
from engine.data.prices import columns, dates, numbers
from engine.data.prices.bars import Bars
from engine.data.prices.options import ROLES, Mapping
from engine.data.prices.report import FileReport, counted, distance, moment, were
from engine.data.prices.tables import Table, cleaned, flaw

MIN_BARS = 3 * WindowConfig().embargo + 1
"""Training, validation and test each need a window and its target, and the first bar needs a close before it."""
ROUNDING = 1e-4  # share of a price by which an open or close may exceed high or low: files have few digits
GAP = 1.5  # two bars further apart than this many median distances have a gap between them
LARGEST = 1e15
CHUNK_ROWS = 20_000
PRICES = ROLES[1:]
TURNOVER = "turnover"  # the volume in money, beside the one in units of the token
SAME_TURNOVER = np.log(1.5)  # largest log ratio between volume times close and the turnover
_CELLS = np.dtype([("line", "i8"), ("is_header", "?"), ("date", "i8", 6), ("values", "f8", 6), ("is_bad", "?", 6)])
"""A row as it is parsed: see `dates.parts`; the values are PRICES, volume and turnover, NaN if empty."""
ROW = np.dtype([("line", "i8"), ("time", "i8"), ("prices", "f8", 4), ("volume", "f8")])
"""A row that was read; its volume is NaN if it has none."""


def build(table: Table, mapping: Mapping, token: str) -> tuple[Bars, FileReport]:
    """The bars of a file, and what was repaired.

    Raises DataError, naming the file and the line if there is one: a column does not exist or is not chosen, there are
    several tokens, most rows are unreadable, a price is impossible or never changes, or there are too few bars.
    """
    repairs = list(table.notes)
    places = _places(table, mapping)
    used = [places[role] for role in PRICES]
    if same := [role for role in PRICES if used.count(places[role]) > 1]:
        repairs.append(f"{_and(same).capitalize()} use the same column, as chosen.")
    symbols: set[str] = set()
    found = np.concatenate(list(_parsed(table, places, symbols)))
    named = sorted({token for cell in symbols if (token := cleaned(cell))})
    if len(named) > 1:
        listed = ", ".join(named[:3]) + (" …" if len(named) > 3 else "")
        raise flaw(table.name, f"contains {len(named):,} tokens ({listed}); make a file for each.")
    rows = _readable(table, places, found, repairs)
    _check_prices(table, rows, repairs)
    _fill_volume(table, rows, bool(mapping.volume), repairs)
    rows = _in_order(rows, repairs)
    times, prices, volume = (np.ascontiguousarray(rows[name]) for name in ("time", "prices", "volume"))
    if len(rows) < MIN_BARS:
        needed = f"but at least {MIN_BARS} are needed: training, validation and test each need a window and its target"
        raise flaw(table.name, f"has {counted(len(rows), 'bar')}, {needed}. Use a longer history.")
    if (prices[:, 3] == prices[0, 3]).all():
        constant = f"has the close {_number(prices[0, 3])} in every bar"
        raise flaw(table.name, f"{constant}; use prices that change, or choose another column.")
    num_missing = _gaps(times, repairs)
    bars = Bars(token, times, prices, volume)
    counts = {"num_rows": len(found), "num_bars": len(bars), "num_missing": num_missing, "seconds": bars.seconds}
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


def _parsed(table: Table, places: dict[str, int], symbols: set[str]) -> Iterator[np.ndarray]:
    """(n,) _CELLS of all rows, in chunks that bound memory; adds the symbols of rows with a date to `symbols`."""
    value_places = [places[role] for role in (*PRICES, "volume") if role in places]
    sample = (row[place] for row in table.sample for place in value_places)
    decimal = numbers.decimal_of(sample, is_comma_likely=table.delimiter == ";")
    marks = (places["date"], places["close"])
    header = [table.header[place].strip().casefold() for place in marks] if table.header else None
    symbol = columns.symbol(table.columns)
    rows = table.rows()
    while batch := list(islice(rows, CHUNK_ROWS)):
        found = np.zeros(len(batch), _CELLS)
        found["line"], found["values"] = [line for line, _ in batch], np.nan
        found["is_header"] = [[row[place].strip().casefold() for place in marks] == header for _, row in batch]
        cells = {role: [row[place] for _, row in batch] for role, place in places.items()}
        found["date"] = dates.parts(cells["date"], cells.get("time"))
        for column, role in enumerate((*PRICES, "volume", TURNOVER)):
            if role in cells:
                found["values"][:, column], found["is_bad"][:, column] = numbers.parsed(cells[role], decimal)
        if symbol is not None:
            symbols |= {batch[row][1][symbol] for row in np.flatnonzero(found["date"][:, 0] != dates.UNREADABLE)}
        yield found


def _readable(table: Table, places: dict[str, int], found: np.ndarray, repairs: list[str]) -> np.ndarray:
    """(n,) ROW, the rows with a date and four prices; says what is left out. Raises DataError."""
    num_headers, found = int(found["is_header"].sum()), found[~found["is_header"]]
    if not len(found):
        raise flaw(table.name, "contains nothing but headers; it needs a row for each bar.")
    times, has_date, notes = dates.resolved(found["date"])
    values, is_bad = found["values"], np.logical_or.reduce(found["is_bad"][:, :4], axis=1)
    is_empty = np.isnan(values[:, :4]).any(1) & ~is_bad
    repairs += notes
    if num_headers:
        repairs.append(were(num_headers, "repeated header", "left out."))

    def first(is_wrong: np.ndarray, place: int | None) -> str:
        """Where the first of the wrong rows (n,) is, and the text of its cell."""
        line = int(found["line"][is_wrong.argmax()])
        text = "" if place is None else next(row[place] for number, row in table.rows() if number == line).strip()
        return f" (the first in line {line:,}" + (f": '{shown(text)}')" if text else ")")

    no_date = no_value = ""
    if not has_date.all():
        no_text = found["date"][:, 0] == dates.UNREADABLE  # the others are days that do not exist
        no_date = first(no_text, places["date"]) if no_text.any() else first(~has_date, None)
    if is_bad.any():
        column = int(found["is_bad"][is_bad][0, :4].argmax())
        no_value = first(is_bad, places[PRICES[column]])
    if 2 * int((~has_date).sum()) > len(found):
        where = f"has no readable dates in column '{shown(table.columns[places['date']])}'{no_date}"
        raise flaw(table.name, f"{where}; choose another column, or write dates as 2018-01-31.")
    if 2 * int(is_bad.sum()) > len(found):
        where = f"has prices that are not numbers in most rows{no_value}"
        raise flaw(table.name, f"{where}; choose other columns, or write prices as 1234.5.")
    undated, unpriced = (~has_date, "without a readable date", no_date), (has_date & is_empty, "without prices", "")
    for is_out, what, where in (undated, (has_date & is_bad, "with unreadable prices", no_value), unpriced):
        if count := int(is_out.sum()):
            repairs.append(were(count, f"row {what}", f"left out{where}.", f"rows {what}"))
    rows = np.zeros(len(found), ROW)
    rows["line"], rows["time"], rows["prices"] = found["line"], times, values[:, :4]
    rows["volume"] = _in_units(values, repairs)
    rows = rows[has_date & ~is_bad & ~is_empty]
    if not len(rows):
        raise flaw(table.name, "has no row with a date and prices; it needs a row for each bar.")
    return rows


def _in_units(values: np.ndarray, repairs: list[str]) -> np.ndarray:
    """The volume (n,), swapped with the turnover in the rows where the two are the other way round than in most."""
    close, volume, turnover = values[:, 3:].T
    with np.errstate(all="ignore"):
        is_right = np.abs(np.log(turnover / (volume * close))) < SAME_TURNOVER
        is_swapped = (np.abs(np.log(volume / (turnover * close))) < SAME_TURNOVER) & ~is_right
    count = int(is_swapped.sum())
    if not 0 < count < int(is_right.sum()):
        return volume
    repairs.append(were(count, "row with swapped volume columns", "corrected.", "rows with swapped volume columns"))
    return np.where(is_swapped, turnover, volume)


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


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
