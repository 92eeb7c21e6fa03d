"""What an import of price files found: columns, repairs, gaps and dates of each token, and what was left out."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.core.config import Config
from engine.data.prices.options import Mapping

UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


class FileReport(Config):
    """What one file held.

    repairs: sentences. num_rows: below the header. first, last: unix seconds (UTC) of the first and last bar. seconds: the
    usual distance of two bars. num_missing: bars that gaps leave out.
    """

    name: str
    token: str
    mapping: Mapping
    repairs: tuple[str, ...]
    num_rows: int
    num_bars: int
    first: int
    last: int
    seconds: int
    num_missing: int


class PriceReport(Config):
    """What an import found. files: one a token. notes: sentences on all of them. skipped: (file, reason)."""

    files: tuple[FileReport, ...]
    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def moment(seconds: int) -> str:
    """A time as people read it: "2018-01-31", with hours and minutes where it is not midnight (UTC)."""
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time:%Y-%m-%d}" if seconds % 86_400 == 0 else f"{time:%Y-%m-%d %H:%M}"


def distance(seconds: float) -> str:
    """A length of time in its largest whole unit: "1 day", "4 hours", "90 minutes"."""
    unit, size = next((unit, size) for unit, size in UNITS if size == 1 or seconds % size == 0 and seconds)
    return counted(round(seconds / size), unit)


def counted(count: int, one: str, many: str = "") -> str:
    """A whole number and its noun: "1 bar", "1,000 bars"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def was(count: int) -> str:
    return "was" if count == 1 else "were"
