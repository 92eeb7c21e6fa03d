"""Price files in: looked at, read to bars, and kept as one data set of several tokens.

An import is all or nothing: it is built in a folder of its own, which gets its name at the end and is removed by any error,
or by closing the generator.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from engine.core.config import WindowConfig
from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.images import names
from engine.data.images.parallel import in_threads
from engine.data.prices import building, columns, files, kept, library, tables, tokens
from engine.data.prices.bars import Bars
from engine.data.prices.building import Built
from engine.data.prices.files import Content
from engine.data.prices.options import Mapping, PriceOptions
from engine.data.prices.report import FileReport, PriceReport, distance, moment
from engine.data.prices.source import KEY_PREFIX, PriceSource
from engine.data.prices.windows import split_times

SHOWN_ROWS = 8
MAX_TOKENS = 50
SAME_DISTANCE = 1.5
"""Bars of two tokens are of one length if neither distance is this many times the other: months are."""


@dataclass(frozen=True)
class PricePreview:
    """A file before it is imported.

    columns: names of all of them. mapping: what was detected, or given. rows: the first ones as they stand there, a cell
    for each column. num_rows: below the header, 0 where it could not be read. first, last: unix seconds (UTC). seconds: the
    usual distance of two bars. repairs: sentences. problem: why it cannot be imported so, "" where it can.
    """

    name: str
    token: str
    columns: tuple[str, ...]
    mapping: Mapping
    rows: tuple[tuple[str, ...], ...]
    num_rows: int = 0
    num_bars: int = 0
    first: int = 0
    last: int = 0
    seconds: int = 0
    repairs: tuple[str, ...] = ()
    problem: str = ""


def preview(content: Content, name: str, mapping: Mapping | None = None) -> PricePreview:
    """What a file holds, read with a mapping or the one detected.

    Raises:
        DataError: no table can be read from it at all; where the mapping alone is wrong, `problem` says so.
    """
    table = tables.opened(files.content_of(content, name), name)
    chosen = mapping or _detected(table)
    seen = PricePreview(name, tokens.token_of(table), table.columns, chosen, table.sample[:SHOWN_ROWS])
    try:
        built = building.build(table, chosen, seen.token)
    except DataError as error:
        return replace(seen, problem=str(error))
    bars = built.bars
    return replace(
        seen,
        num_rows=built.num_rows,
        num_bars=len(bars),
        first=int(bars.times[0]),
        last=int(bars.times[-1]),
        seconds=bars.seconds,
        repairs=built.repairs,
    )


def read_bars(
    content: Content, name: str, mapping: Mapping | None = None, token: str = ""
) -> tuple[Bars, tuple[str, ...]]:
    """The bars of a file, and a sentence on each repair.

    Args:
        mapping: the detected one if None.
        token: the one that the file names if "".

    Raises:
        DataError: the file cannot be used; one sentence says why.
    """
    built, _ = _read(content, name, mapping, token)
    return built.bars, built.repairs


def import_prices(
    brought: Sequence[tuple[str, Content]], options: PriceOptions, data_root: Path, origin: str = ""
) -> Generator[Event, None, PriceSource]:
    """Make a data set of price files, one a token; zip files and folders among them are opened.

    Args:
        brought: (name, the file's bytes or where it lies). Whether a path may be read is for the caller to check.
        origin: where they are from, in words; told from the files if "".

    Raises:
        DataError: a file cannot be used, two do not fit together, the name is taken or the disk is full; nothing is kept.
    """
    library.check_title(options.name, data_root)
    try:
        (opened,) = yield from in_threads(lambda _: files.expanded(brought), 1, "open files")
        _check_names(opened, options)
        read = yield from in_threads(
            lambda number: _read_chosen(*opened.files[number], options), len(opened.files), "read files"
        )
    except MemoryError:
        raise DataError(
            f"There is not enough memory for the files of {options.name} now; bring fewer or shorter ones, or wait until the "
            "running run has ended."
        ) from None
    built, reports = [one for one, _ in read], tuple(report for _, report in read)
    bars = tuple(one.bars for one in built)
    _check_together(bars, reports)
    report = PriceReport(files=reports, notes=tuple(_notes(bars)), skipped=opened.skipped)
    source = PriceSource(
        key=KEY_PREFIX + names.slug(options.name, "prices"),
        title=options.name,
        origin=origin or _origin(brought),
        tokens=tuple(each.token for each in bars),
        report=report,
        created=time.time(),
        digest=kept.digest_of(bars),
    )
    yield Progress("keep prices", 0, 1)
    return library.keep(source, bars, data_root)


def _detected(table: tables.Table) -> Mapping:
    return columns.detected(table.columns, table.sample, bool(table.header))


def _read(content: Content, name: str, mapping: Mapping | None, token: str) -> tuple[Built, Mapping]:
    table = tables.opened(files.content_of(content, name), name)
    chosen = mapping or _detected(table)
    return building.build(table, chosen, token or tokens.token_of(table)), chosen


def _read_chosen(name: str, content: Content, options: PriceOptions) -> tuple[Built, FileReport]:
    """The bars of a file as the options want them, and the report of it."""
    built, mapping = _read(content, name, options.mappings.get(name), options.tokens.get(name, ""))
    bars = built.bars
    return built, FileReport(
        name=names.shown(name),
        token=bars.token,
        mapping=mapping,
        repairs=built.repairs,
        num_rows=built.num_rows,
        num_bars=len(bars),
        first=int(bars.times[0]),
        last=int(bars.times[-1]),
        seconds=bars.seconds,
        num_missing=built.num_missing,
    )


def _check_names(opened: files.Opened, options: PriceOptions) -> None:
    """Raise DataError where there is no file, too many, or one is mapped that is not there."""
    there = [name for name, _ in opened.files]
    if not there:
        why = f": '{opened.skipped[0][0]}' {opened.skipped[0][1]}" if opened.skipped else ""
        raise DataError(f"There is no CSV file of prices here{why}. Bring one for each token.")
    if len(there) > MAX_TOKENS:
        raise DataError(f"There are {len(there):,} price files and {MAX_TOKENS} are allowed; bring fewer tokens.")
    for name in (*options.mappings, *options.tokens):
        if name not in there:
            raise DataError(f"Columns or a token are chosen for '{names.shown(name)}', which is not among the files.")


def _check_together(bars: Sequence[Bars], reports: Sequence[FileReport]) -> None:
    """Raise DataError where two files are of one token, or their bars of different length."""
    seen: dict[str, str] = {}
    for each, report in zip(bars, reports, strict=True):
        other = seen.setdefault(each.token.casefold(), report.name)
        if other != report.name:
            raise DataError(
                f"'{other}' and '{report.name}' are both of {each.token}; leave one out, or give one another name."
            )
    shortest, longest = min(bars, key=lambda each: each.seconds), max(bars, key=lambda each: each.seconds)
    if longest.seconds > SAME_DISTANCE * shortest.seconds:
        raise DataError(
            f"{shortest.token} has a bar every {distance(shortest.seconds)} and {longest.token} every "
            f"{distance(longest.seconds)}; bring bars of one length."
        )


def _notes(bars: Sequence[Bars]) -> list[str]:
    """What is worth knowing of all tokens together."""
    found = []
    for one, other in combinations(sorted(bars, key=lambda each: int(each.times[0])), 2):
        if one.times[-1] < other.times[0]:
            found.append(
                f"{one.token} ends on {moment(int(one.times[-1]))}, before {other.token} begins on {moment(int(other.times[0]))}: "
                "the two have no time in common."
            )
    config = WindowConfig()
    validation, test = split_times(bars, config)
    for each in bars:
        held_out = (each.times >= test).sum(), ((each.times >= validation) & (each.times < test)).sum()
        if min(held_out) < config.embargo + config.window_length + config.horizon:
            found.append(
                f"{each.token} has too few bars for windows of {config.window_length} in each part; choose shorter windows, or "
                "larger shares for validation and test, when you distil."
            )
    return found


def _origin(brought: Sequence[tuple[str, Content]]) -> str:
    places = [content.absolute() for _, content in brought if isinstance(content, Path)]
    if not places:
        return "Uploaded files"
    return f"Read from {places[0]}" + (f" and {len(places) - 1:,} more" if len(places) > 1 else "")
