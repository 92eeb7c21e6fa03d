"""From the cells of a table to dates and numbers: every row is read, or counted among those left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from engine.core.errors import DataError
from engine.data.imported.names import shown
from engine.data.prices import columns, dates, numbers
from engine.data.prices.options import ROLES, Mapping
from engine.data.prices.report import were
from engine.data.prices.tables import Row, Table, cleaned, flaw

CHUNK_ROWS = 20_000
PRICES = ROLES[1:]
TURNOVER = "turnover"
"""The volume in money, beside the one in units of the token."""
SAME_TURNOVER = np.log(1.5)
"""Largest log ratio between volume times close and the turnover."""
ROW = np.dtype([("line", "i8"), ("time", "i8"), ("prices", "f8", 4), ("volume", "f8")])
"""A row that was read; its volume is NaN if it has none."""
_CELLS = np.dtype([("line", "i8"), ("date", "i8", 6), ("values", "f8", 6), ("is_unreadable", "?", 6)])
"""A row as it is parsed: see `dates.parts`; the values are PRICES, volume and turnover, NaN if empty."""


@dataclass
class _Seen:
    """Noted while rows are parsed. first_date, first_value: line and text of the first unreadable one."""

    first_date: tuple[int, str] | None = None
    first_value: tuple[int, str] | None = None
    symbols: set[str] = field(default_factory=set)
    num_headers: int = 0


def read(table: Table, mapping: Mapping, repairs: list[str]) -> tuple[np.ndarray, int]:
    """(n,) ROW records in the order of the file, and the number of rows including those left out; extends `repairs`.

    Raises DataError: a column does not exist or is not chosen, there are several tokens, or most rows are unreadable.
    """
    places = _places(table, mapping)
    used = [places[role] for role in PRICES]
    if same := [role for role in PRICES if used.count(places[role]) > 1]:
        repairs.append(f"{_and(same).capitalize()} use the same column, as chosen.")
    seen = _Seen()
    chunks = list(_chunks(table, places, seen))
    if not chunks:
        raise flaw(table.name, "contains nothing but headers; it needs a row for each bar.")
    named = sorted({token for cell in seen.symbols if (token := cleaned(cell))})
    if len(named) > 1:
        listed = ", ".join(named[:3]) + (" …" if len(named) > 3 else "")
        raise flaw(table.name, f"contains {len(named):,} tokens ({listed}); make a file for each.")
    return _readable(table, mapping, np.concatenate(chunks), seen, repairs)


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


def _chunks(table: Table, places: dict[str, int], seen: _Seen) -> Iterator[np.ndarray]:
    """(n,) _CELLS of the rows of a table, without repeated headers."""
    value_places = [places[role] for role in (*PRICES, "volume") if role in places]
    sample = (row[place] for row in table.sample for place in value_places)
    decimal = numbers.decimal_of(sample, is_comma_likely=table.delimiter == ";")
    marks = (places["date"], places["close"])
    header = [table.header[place].strip().casefold() for place in marks] if table.header else None
    symbol = columns.symbol(table.columns)
    rows = table.rows()
    while batch := list(islice(rows, CHUNK_ROWS)):
        kept = [row for row in batch if [row[1][place].strip().casefold() for place in marks] != header]
        seen.num_headers += len(batch) - len(kept)
        if kept:
            chunk = _parsed(kept, places, decimal, seen)
            if symbol is not None:
                is_dated = chunk["date"][:, 0] != dates.UNREADABLE
                seen.symbols |= {kept[number][1][symbol] for number in np.flatnonzero(is_dated)}
            yield chunk


def _parsed(rows: Sequence[Row], places: dict[str, int], decimal: numbers.Decimal, seen: _Seen) -> np.ndarray:
    found = np.zeros(len(rows), _CELLS)
    found["line"], found["values"] = [line for line, _ in rows], np.nan
    cells = {role: [row[place] for _, row in rows] for role, place in places.items()}
    found["date"] = dates.parts(cells["date"], cells.get("time"))
    for column, role in enumerate((*PRICES, "volume", TURNOVER)):
        if role in cells:
            found["values"][:, column], found["is_unreadable"][:, column] = numbers.parsed(cells[role], decimal)
    no_date = np.flatnonzero(found["date"][:, 0] == dates.UNREADABLE)
    if seen.first_date is None and len(no_date):
        seen.first_date = int(found["line"][no_date[0]]), cells["date"][no_date[0]]
    no_value = np.argwhere(found["is_unreadable"][:, :4])
    if seen.first_value is None and len(no_value):
        row, column = no_value[0]
        seen.first_value = int(found["line"][row]), cells[PRICES[column]][row]
    return found


def _readable(
    table: Table, mapping: Mapping, found: np.ndarray, seen: _Seen, repairs: list[str]
) -> tuple[np.ndarray, int]:
    """The rows with a date and four prices, and how many there were; says what is left out. Raises DataError."""
    times, has_date, notes = dates.resolved(found["date"])
    values, is_bad = found["values"], found["is_unreadable"][:, :4].any(1)
    is_empty = np.isnan(values[:, :4]).any(1) & ~is_bad
    if seen.first_date is None and not has_date.all():  # a day that does not exist
        seen.first_date = int(found["line"][~has_date][0]), ""
    repairs += notes
    if count := seen.num_headers:
        repairs.append(were(count, "repeated header", "left out."))
    if 2 * int((~has_date).sum()) > len(found):
        where = f"has no readable dates in column '{shown(mapping.date)}'{_first(seen.first_date)}"
        raise flaw(table.name, f"{where}; choose another column, or write dates as 2018-01-31.")
    if 2 * int(is_bad.sum()) > len(found):
        where = f"has prices that are not numbers in most rows{_first(seen.first_value)}"
        raise flaw(table.name, f"{where}; choose other columns, or write prices as 1234.5.")
    if count := int((~has_date).sum()):
        left_out = f"left out{_first(seen.first_date)}."
        repairs.append(were(count, "row without a readable date", left_out, "rows without a readable date"))
    if count := int((has_date & is_bad).sum()):
        left_out = f"left out{_first(seen.first_value)}."
        repairs.append(were(count, "row with unreadable prices", left_out, "rows with unreadable prices"))
    if count := int((has_date & is_empty).sum()):
        repairs.append(were(count, "row without prices", "left out.", "rows without prices"))
    rows = np.zeros(len(found), ROW)
    rows["line"], rows["time"], rows["prices"] = found["line"], times, values[:, :4]
    rows["volume"] = _in_units(values, repairs)
    rows = rows[has_date & ~is_bad & ~is_empty]
    if not len(rows):
        raise flaw(table.name, "has no row with a date and prices; it needs a row for each bar.")
    return rows, len(found) + seen.num_headers


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


def _first(first: tuple[int, str] | None) -> str:
    """Where the first unreadable cell is, and its text."""
    if first is None:
        return ""
    text = f": '{shown(first[1].strip())}'" if first[1].strip() else ""
    return f" (the first in line {first[0]:,}{text})"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
