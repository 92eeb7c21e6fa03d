"""Price files are previewed, read to bars, and kept as one data set of several tokens."""

import time
from collections.abc import Generator, Iterator, Sequence
from itertools import combinations
from pathlib import Path

from engine.core.data_config import WindowConfig
from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.imported.limits import limits
from engine.data.imported.names import shown
from engine.data.imported.parallel import in_threads
from engine.data.prices import building, columns, files, kept, tables
from engine.data.prices.bars import Bars
from engine.data.prices.files import Content
from engine.data.prices.options import Mapping, PriceOptions
from engine.data.prices.report import FileReport, PriceReport, distance, moment
from engine.data.prices.source import LIBRARY, PriceSource
from engine.data.prices.windows import split_times

SHOWN_ROWS = 8
SAME_DISTANCE = 1.5
"""Bars of two tokens have equal length if neither distance exceeds this multiple of the other: months differ."""


class PricePreview(FileReport):
    """A file before it is imported. rows: the first ones. problem: why it cannot be imported like this, "" if none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    problem: str = ""


def preview(content: Content, name: str, mapping: Mapping | None = None) -> PricePreview:
    """What a file contains, read with a mapping, or the detected one. Raises DataError if it is no table at all."""
    table, chosen = _opened(content, name, mapping)
    report, problem = FileReport(name=name, token=table.token, mapping=chosen), ""
    try:
        _, report = building.build(table, chosen, report.token)
    except DataError as error:
        problem = str(error)
    return PricePreview(**dict(report), columns=table.columns, rows=table.sample[:SHOWN_ROWS], problem=problem)


def read_bars(
    content: Content, name: str, mapping: Mapping | None = None, token: str = ""
) -> tuple[Bars, tuple[str, ...]]:
    """The bars of a file, and a sentence on each repair; mapping and token are detected if not given."""
    bars, report = _read(content, name, mapping, token)
    return bars, report.repairs


def import_prices(
    brought: Sequence[tuple[str, Content]], options: PriceOptions, data_root: Path, origin: str = ""
) -> Generator[Event, None, PriceSource]:
    """Make a data set of price files, one per token; zip files and folders among them are opened.

    brought: (name, bytes or path that may be read). origin: where they come from, derived if "". Raises DataError.
    """
    with LIBRARY.importing(options.name, data_root) as place:
        (opened,) = yield from in_threads(lambda _: files.expanded(brought), 1, "open files")
        _check_names(opened, options)

        def read(number: int) -> tuple[Bars, FileReport]:
            name, content = opened.files[number]
            return _read(content, name, options.mappings.get(name), options.tokens.get(name, ""))

        found = yield from in_threads(read, len(opened.files), "read files")
        bars, reports = [each for each, _ in found], tuple(report for _, report in found)
        _check_together(bars, reports)
        report = PriceReport(files=reports, notes=tuple(_notes(bars)), skipped=opened.skipped)
        tokens, digest = tuple(each.token for each in bars), kept.digest_of(bars)
        places = [f"Read from {content.absolute()}" for _, content in brought if isinstance(content, Path)]
        others = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
        origin = origin or (places[0] + others if places else "Uploaded files")
        about = {"title": options.name, "origin": origin, "created": time.time()}
        source = PriceSource.model_validate(about | {"tokens": tokens, "report": report, "digest": digest})
        yield Progress("store prices", 0, 1)
        place.mkdir(parents=True)
        kept.write(bars, place)
        source = LIBRARY.add(place, source, data_root)
        yield Progress("store prices", 1, 1)
        return source


def _opened(content: Content, name: str, mapping: Mapping | None) -> tuple[tables.Table, Mapping]:
    """A file as a table, and its mapping, detected if None. Raises DataError."""
    table = tables.opened(files.content_of(content, name), name)
    return table, mapping or columns.detected(table.columns, table.sample, bool(table.header))


def _read(content: Content, name: str, mapping: Mapping | None, token: str) -> tuple[Bars, FileReport]:
    table, chosen = _opened(content, name, mapping)
    return building.build(table, chosen, token or table.token)


def _check_names(opened: files.Opened, options: PriceOptions) -> None:
    """Raise DataError if there are no files, too many, or options for a file that does not exist."""
    there = [name for name, _ in opened.files]
    if not there:
        why = f": '{opened.skipped[0][0]}' {opened.skipped[0][1]}" if opened.skipped else ""
        raise DataError(f"There are no CSV files of prices here{why}. Add one for each token.")
    limits().check("max_tokens", len(there), f"There are {len(there):,} price files", "import fewer tokens")
    for name in (*options.mappings, *options.tokens):
        if name not in there:
            raise DataError(f"Columns or a token are chosen for '{shown(name)}', which is not among the files.")


def _check_together(bars: Sequence[Bars], reports: Sequence[FileReport]) -> None:
    """Raise DataError if two files are of the same token, or their bars have different lengths."""
    seen: dict[str, str] = {}
    for each, report in zip(bars, reports, strict=True):
        other = seen.setdefault(each.token.casefold(), report.name)
        if other != report.name:
            both = f"'{other}' and '{report.name}' are both of {each.token}"
            raise DataError(f"{both}; remove one, or give it another token name.")
    shortest, longest = min(bars, key=lambda each: each.seconds), max(bars, key=lambda each: each.seconds)
    if longest.seconds > SAME_DISTANCE * shortest.seconds:
        one, other = (f"{each.token} has a bar every {distance(each.seconds)}" for each in (shortest, longest))
        raise DataError(f"{one}, but {other}; use bars of equal length.")


def _notes(bars: Sequence[Bars]) -> Iterator[str]:
    for one, other in combinations(sorted(bars, key=lambda each: int(each.times[0])), 2):
        if one.times[-1] < other.times[0]:
            end, begin = moment(int(one.times[-1])), moment(int(other.times[0]))
            yield f"{one.token} ends on {end}, before {other.token} begins on {begin}: they do not overlap."
    config = WindowConfig()
    validation, test = split_times(bars, config)
    for each in bars:
        held_out = (each.times >= test).sum(), ((each.times >= validation) & (each.times < test)).sum()
        if min(held_out) < config.embargo + config.window_length + config.horizon:
            few = f"{each.token} has too few bars for windows of {config.window_length} in each part"
            yield f"{few}; choose shorter windows, or larger shares for validation and test, when you distil."
