"""Dates in the formats that files use: ISO with time zones, day or month first, month names, seconds to nanoseconds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

KNOWN, EITHER, EPOCH, UNREADABLE = range(4)
"""How a cell is understood: month and day; two numbers in either order; seconds since 1970; not at all."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FIRST_YEAR, LAST_YEAR = 1800, 2200
CENTURY_FROM = 70  # two-digit years from this one on are in the 20th century
EXCEL_EPOCH = -2_209_161_600  # 1899-12-30
MAX_CELL = 80  # characters

_TIME = (
    r"(?:[T,\s]\s*(?P<hour>\d{1,2})(?::?(?P<minute>\d{2}))?(?::?(?P<second>\d{2})(?:[.,]\d+)?)?\s*-?(?P<half>[ap]\.?m\.?)?)?"
    r"\s*(?P<zone>z|(?:utc|gmt)?[+-]\d{2}(?::?\d{2})?|utc|gmt)?(?:\s*\([^)]*\))?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[,.]?\s+)?"
_WORD = r"(?P<word>[a-z]{3,9})\.?"
_SHAPES = tuple(
    re.compile(_WEEKDAY + shape + _TIME, re.ASCII | re.IGNORECASE)
    for shape in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
        r"(?P<year>(?:18|19|20|21)\d{2})(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])",
        r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<other>\d{1,2})[-/.](?P<year>\d{4}|\d{2})",
        rf"(?P<day>\d{{1,2}})[-\s./]*{_WORD}[-\s,./]*(?P<year>\d{{4}}|\d{{2}})",
        rf"{_WORD}[-\s]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?[-\s]+(?P<year>\d{{4}})",
    )
)
_EPOCH = re.compile(r"\d{9,19}(?:\.\d*)?|\d\.\d+e\+?\d{1,2}", re.ASCII | re.IGNORECASE)
_CALENDAR = re.compile(r"(?P<date>(?:19|20)\d{6})(?P<time>\d{4}|\d{6})", re.ASCII)
_SERIAL = re.compile(r"\d{5}(?:\.\d*)?", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s*[ap]\.?m\.?)?|\d{6}", re.ASCII | re.IGNORECASE)

Parts = tuple[int, int, int, int, int, int]
"""How it is understood, month and day (or the two numbers), year, seconds of the day, offset from UTC in seconds."""
_NO_DATE: Parts = (UNREADABLE, 0, 0, 0, 0, 0)


def is_date(cell: str) -> bool:
    """Whether a cell is certainly a date: of plain numbers, only seconds since 1970 and 20180131 are."""
    return not _SERIAL.fullmatch(cell.strip()) and _parts(cell)[0] != UNREADABLE


def is_clock(cell: str) -> bool:
    return _CLOCK.fullmatch(cell.strip()) is not None


def has_clock(cell: str) -> bool:
    return _EPOCH.fullmatch(cell.strip()) is not None or ":" in cell


def read(cells: pd.Series, clocks: pd.Series | None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Unix seconds UTC (n,) int64, which of them are valid (n,) bool, and sentences on how they were read.

    clocks: times of day, if they have their own column.
    """
    if clocks is not None:
        cells = cells.str.strip() + " " + clocks.map(_clock)
    found = np.fromiter(map(_parts, cells), np.dtype((np.int64, 6)), len(cells))
    kind, month, day, year, seconds, offset = found.T
    notes = []
    if (kind == EITHER).any():
        is_day_first, why = _is_day_first(found[kind == EITHER])
        notes.append(f"Dates were read with the {'day' if is_day_first else 'month'} first{why}.")
        if is_day_first:
            month, day = np.where(kind == EITHER, day, month), np.where(kind == EITHER, month, day)
    days, is_valid = _days(month, day, year)
    times = np.where(kind == EPOCH, seconds, 86_400 * days + seconds - offset)
    if (offset != 0).any():
        notes.append("Times with an offset were converted to UTC.")
    return times, (kind == EPOCH) | (is_valid & (kind != UNREADABLE)), notes


def _is_day_first(either: np.ndarray) -> tuple[bool, str]:
    """Whether the day comes before the month, and how one can tell."""
    _, first, other, year, seconds, _ = either.T
    over_first, over_other = int((first > 12).sum()), int((other > 12).sum())
    if over_first != over_other:
        return over_first > over_other, ", as days after the 12th show"
    raggedness = []  # number of steps that are much longer than the median, with the day first and with the month first
    for month, day in ((other, first), (first, other)):
        steps = np.abs(np.diff(86_400 * _days(month, day, year)[0] + seconds))
        raggedness.append(int((steps > 1.5 * np.median(steps)).sum()) if len(steps) else 0)
    if raggedness[0] == raggedness[1]:
        return False, "; these dates do not show which comes first"
    return raggedness[0] < raggedness[1], ", which makes the bars evenly spaced"


def _days(month: np.ndarray, day: np.ndarray, year: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970, and which of the dates exist."""
    is_good = (month >= 1) & (month <= 12) & (day >= 1) & (year >= FIRST_YEAR) & (year <= LAST_YEAR)
    months = np.where(is_good, 12 * (year - 1970) + month - 1, 0)
    begin, end = (m.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for m in (months, months + 1))
    return begin + day - 1, is_good & (begin + day <= end)


def _parts(cell: str) -> Parts:
    text = cell.strip()
    if len(text) > MAX_CELL:
        return _NO_DATE
    if calendar := _CALENDAR.fullmatch(text):
        text = f"{calendar['date']} {calendar['time']}"
    elif _EPOCH.fullmatch(text):
        value = int(text) if text.isdecimal() else int(float(text))
        for divisor in (1, 10**3, 10**6, 10**9):  # seconds to nanoseconds, by the size of the number
            if 10**8 <= value // divisor < 10**10:
                return EPOCH, 0, 0, 0, min(value // divisor, 7_258_118_400), 0
        return _NO_DATE
    elif _SERIAL.fullmatch(text):
        return EPOCH, 0, 0, 0, EXCEL_EPOCH + round(86_400 * float(text)), 0
    found = next(filter(None, (shape.fullmatch(text) for shape in _SHAPES)), None)
    return _NO_DATE if found is None else _of_shape(found.groupdict(""))


def _of_shape(found: dict[str, str]) -> Parts:
    year, month, day = int(found["year"]), found.get("month", ""), found.get("day", "")
    if len(found["year"]) == 2:
        year += 1900 if year >= CENTURY_FROM else 2000
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if half := found["half"]:
        if not 1 <= hour <= 12:
            return _NO_DATE
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    if hour > 24 or minute > 59 or second > 60:
        return _NO_DATE
    zone = re.sub(r"[^-+\d]", "", found["zone"])  # "+0530"
    ahead = 3600 * int(zone[1:3]) + 60 * int(zone[3:5] or 0) if zone else 0
    rest = (year, 3600 * hour + 60 * minute + second, -ahead if zone.startswith("-") else ahead)
    if "first" in found:
        return EITHER, int(found["first"]), int(found["other"]), *rest
    if "word" in found:
        word = found["word"][:3].casefold()
        return (KNOWN, MONTHS.index(word) + 1, int(day), *rest) if word in MONTHS else _NO_DATE
    return KNOWN, int(month), int(day), *rest


def _clock(cell: str) -> str:
    """A time of day with colons: "930" is 09:30, "93000" is 09:30:00."""
    text = cell.strip()
    if text.isdecimal() and text.isascii() and len(text) <= 6:
        text = text.zfill(4) if len(text) <= 4 else text.zfill(6)
        return ":".join(text[place : place + 2] for place in range(0, len(text), 2))
    return text
