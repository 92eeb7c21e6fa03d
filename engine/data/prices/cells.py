"""The cells of a table as dates and numbers: every row is read, or left out with a count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from engine.core.errors import DataError
from engine.data.images.names import shown
from engine.data.prices import columns, dates, numbers, tokens
from engine.data.prices.options import ROLES, Mapping
from engine.data.prices.report import counted, was
from engine.data.prices.tables import Row, Table

CHUNK_ROWS = 20_000
PRICES = ROLES[1:]
TURNOVER = "turnover"
"""The volume in money, beside the one in pieces."""
SAME_TURNOVER = np.log(1.5)
"""Logarithm up to which volume times close and turnover may differ."""


@dataclass
class Rows:
    """Rows with a date and four prices. lines: (n,) where each stands in its file. times: (n,). prices: (n, 4). volume: (n,), NaN for none."""

    lines: np.ndarray
    times: np.ndarray
    prices: np.ndarray
    volume: np.ndarray

    def __len__(self) -> int:
        return len(self.lines)

    def keep(self, chosen: np.ndarray) -> None:
        """Only the rows of a mask, or rows in another order."""
        self.lines, self.times, self.prices, self.volume = (
            values[chosen] for values in (self.lines, self.times, self.prices, self.volume)
        )


@dataclass
class _Chunk:
    """What some rows say: dates as `dates.parts` gives them, values (n, 6) with NaN for none, texts that could not be read, tokens."""

    lines: np.ndarray
    dates: np.ndarray
    values: np.ndarray
    is_unreadable: np.ndarray
    first_date: tuple[int, str] | None
    first_value: tuple[int, str] | None
    symbols: set[str]
    num_headers: int


def read(table: Table, mapping: Mapping, repairs: list[str]) -> tuple[Rows, int]:
    """The rows that have a date and prices, as they come, and how many there are with the others; adds what was left out.

    Raises:
        DataError: the mapping names no such column or lacks one, there are several tokens, or most rows cannot be read.
    """
    places = _places(table, mapping)
    same = [role for role in PRICES if [places[other] for other in PRICES].count(places[role]) > 1]
    if same:
        repairs.append(f"{_and(same).capitalize()} were taken from columns that they share, as the mapping says.")
    chunks = list(_chunks(table, places))
    if not chunks:
        raise DataError(f"'{shown(table.name)}' holds nothing but headers; bring a file with a row for each bar.")
    _check_one_token(table, chunks)
    return _readable(table, mapping, chunks, repairs)


def _places(table: Table, mapping: Mapping) -> dict[str, int]:
    """The column of each role that has one. Raises DataError."""
    chosen = {role: name for role, name in mapping.model_dump().items() if name}
    listed = ", ".join(f"'{name}'" for name in table.columns[:20]) + (" …" if len(table.columns) > 20 else "")
    for name in chosen.values():
        if name not in table.columns:
            raise DataError(f"There is no column '{shown(name)}' in '{shown(table.name)}'; it has {listed}.")
    absent = [role for role in ROLES if role not in chosen]
    if absent:
        raise DataError(
            f"'{shown(table.name)}' has no column for {_and(absent)} that is known; it has {listed}. Choose the columns, or "
            "bring a file with date, open, high, low and close."
        )
    for role in ("date", "time"):
        if sum(name == chosen.get(role) for name in chosen.values()) > 1:
            raise DataError(
                f"The column '{shown(chosen[role])}' of '{shown(table.name)}' is chosen for {role} and more."
            )
    places = {role: table.columns.index(name) for role, name in chosen.items()}
    other = columns.turnover(table.columns, chosen.get("volume", ""))
    return places if other is None else places | {TURNOVER: other}


def _chunks(table: Table, places: dict[str, int]) -> Iterator[_Chunk]:
    value_places = [places[role] for role in (*PRICES, "volume") if role in places]
    decimal = numbers.decimal_of(
        (row[place] for row in table.sample for place in value_places), is_comma_likely=table.delimiter == ";"
    )
    marks = (places["date"], places["close"])
    header = [table.header[place].strip().casefold() for place in marks] if table.header else None
    rows = table.rows()
    while batch := list(islice(rows, CHUNK_ROWS)):
        kept = [row for row in batch if [row[1][place].strip().casefold() for place in marks] != header]
        if kept:
            yield _chunk(kept, places, decimal, columns.symbol(table.columns), len(batch) - len(kept))


def _chunk(
    rows: Sequence[Row], places: dict[str, int], decimal: numbers.Decimal, symbol: int | None, num_headers: int
) -> _Chunk:
    lines = np.array([line for line, _ in rows], np.int64)
    cells = {role: [row[place] for _, row in rows] for role, place in places.items()}
    found = dates.parts(cells["date"], cells.get("time"))
    values, is_unreadable = np.full((len(rows), 6), np.nan), np.zeros((len(rows), 6), bool)
    for column, role in enumerate((*PRICES, "volume", TURNOVER)):
        if role in cells:
            values[:, column], is_unreadable[:, column] = numbers.parsed(cells[role], decimal)
    has_date = found[:, 0] != dates.UNREADABLE
    named = (
        set()
        if symbol is None
        else {row[symbol] for (_, row), is_dated in zip(rows, has_date, strict=True) if is_dated}
    )
    no_date = np.flatnonzero(~has_date)
    no_value = np.argwhere(is_unreadable[:, :4])
    return _Chunk(
        lines, found, values, is_unreadable,
        (int(lines[no_date[0]]), cells["date"][no_date[0]]) if len(no_date) else None,
        (int(lines[no_value[0][0]]), cells[PRICES[no_value[0][1]]][no_value[0][0]]) if len(no_value) else None,
        named,
        num_headers,
    )  # fmt: skip


def _check_one_token(table: Table, chunks: list[_Chunk]) -> None:
    named = sorted({token for chunk in chunks for cell in chunk.symbols if (token := tokens.cleaned(cell))})
    if len(named) > 1:
        said = ", ".join(named[:3]) + (" …" if len(named) > 3 else "")
        raise DataError(f"'{shown(table.name)}' holds {len(named):,} tokens ({said}); bring a file for each.")


def _readable(table: Table, mapping: Mapping, chunks: list[_Chunk], repairs: list[str]) -> tuple[Rows, int]:
    """The rows with a date and four prices, and how many there were; says what is left out. Raises DataError."""
    num_headers = sum(chunk.num_headers for chunk in chunks)
    times, has_date, notes = dates.resolved(np.concatenate([chunk.dates for chunk in chunks]))
    values = np.concatenate([chunk.values for chunk in chunks])
    is_unreadable = np.concatenate([chunk.is_unreadable for chunk in chunks])
    lines = np.concatenate([chunk.lines for chunk in chunks])
    first_date = next((chunk.first_date for chunk in chunks if chunk.first_date), None)
    if first_date is None and not has_date.all():  # a day that is in no calendar
        first_date = int(lines[np.flatnonzero(~has_date)[0]]), ""
    first_value = next((chunk.first_value for chunk in chunks if chunk.first_value), None)
    total = len(times)
    bad_price = is_unreadable[:, :4].any(1)
    no_price = np.isnan(values[:, :4]).any(1) & ~bad_price
    repairs += notes
    if num_headers:
        repairs.append(
            f"{counted(num_headers, 'row')} that {'repeats' if num_headers == 1 else 'repeat'} the header {was(num_headers)} left out."
        )
    if 2 * int((~has_date).sum()) > total:
        raise DataError(
            f"'{shown(table.name)}': the column '{shown(mapping.date)}' holds no dates that can be read{_as(first_date)}; "
            "choose another column, or write dates as 2018-01-31."
        )
    if 2 * int(bad_price.sum()) > total:
        raise DataError(
            f"'{shown(table.name)}': most prices are no numbers{_as(first_value)}; choose other columns, or write them as 1234.5."
        )
    if count := int((~has_date).sum()):
        repairs.append(
            f"{counted(count, 'row')} without a date that can be read {was(count)} left out{_as(first_date)}."
        )
    if count := int((has_date & bad_price).sum()):
        repairs.append(
            f"{counted(count, 'row')} with a price that is no number {was(count)} left out{_as(first_value)}."
        )
    if count := int((has_date & no_price).sum()):
        repairs.append(f"{counted(count, 'row')} without prices {was(count)} left out.")
    rows = Rows(lines, times, values[:, :4], _in_pieces(values, repairs))
    rows.keep(has_date & ~bad_price & ~no_price)
    if not len(rows):
        raise DataError(
            f"'{shown(table.name)}' has no row with a date and prices; bring a file with a row for each bar."
        )
    return rows, total + num_headers


def _in_pieces(values: np.ndarray, repairs: list[str]) -> np.ndarray:
    """The volume (n,), exchanged with the turnover in rows that have the two the other way round than most."""
    close, volume, turnover = values[:, 3:].T
    with np.errstate(all="ignore"):
        is_right = np.abs(np.log(turnover / (volume * close))) < SAME_TURNOVER
        is_swapped = (np.abs(np.log(volume / (turnover * close))) < SAME_TURNOVER) & ~is_right
    count = int(is_swapped.sum())
    if not 0 < count < int(is_right.sum()):
        return volume
    repairs.append(
        f"{counted(count, 'row')} with {'its' if count == 1 else 'their'} two volumes the wrong way round {was(count)} put right."
    )
    return np.where(is_swapped, turnover, volume)


def _as(first: tuple[int, str] | None) -> str:
    """Where the first one stands, and what is written there if that is known."""
    if first is None:
        return ""
    text = f": '{shown(first[1].strip())}'" if first[1].strip() else ""
    return f" (the first in line {first[0]:,}{text})"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
