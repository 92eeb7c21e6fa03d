"""What a price import found: columns, repairs, gaps and dates of each token, and what was skipped."""

from datetime import UTC, datetime

from engine.core.options import Config
from engine.data.imported.library import Report
from engine.data.prices.options import Mapping

UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


class FileReport(Config):
    """What a file contained. first, last: unix seconds (UTC). seconds: median distance. num_missing: bars in gaps."""

    name: str
    token: str
    mapping: Mapping
    repairs: tuple[str, ...] = ()
    num_rows: int = 0
    num_bars: int = 0
    first: int = 0
    last: int = 0
    seconds: int = 0
    num_missing: int = 0


class PriceReport(Report):
    """What a price import found. files: one per token."""

    files: tuple[FileReport, ...]


def moment(seconds: int) -> str:
    """A readable UTC time: "2018-01-31", with hours and minutes unless it is midnight."""
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time:%Y-%m-%d}" if seconds % 86_400 == 0 else f"{time:%Y-%m-%d %H:%M}"


def distance(seconds: float) -> str:
    """A duration in its largest whole unit: "1 day", "4 hours", "90 minutes"."""
    unit, size = next((unit, size) for unit, size in UNITS if size == 1 or (seconds % size == 0 and seconds))
    return counted(round(seconds / size), unit)


def counted(count: int, one: str, many: str = "") -> str:
    """A number and its noun: "1 bar", "1,000 bars"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def were(count: int, one: str, what: str, many: str = "") -> str:
    """Such as "1 row was left out", "3 rows were left out". one, many: the noun with its adjectives."""
    return f"{counted(count, one, many)} {'was' if count == 1 else 'were'} {what}"
