"""Numbers in the formats that files use: decimal points or commas, thousands, currency signs, "1.5M", "null"."""

import re
from collections.abc import Collection, Iterable
from typing import Literal

import numpy as np

Decimal = Literal[".", ","]
NOTHING = frozenset({"", "null", "nan", "none", "na", "n/a", "#n/a", "nil", "\\n", "-", "--", "–", "—", "?"})
TIMES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}

_DECORATION = re.compile(r"[\s'’\u00a0\u202f\u2009$€£¥₿]+")
_NUMBER = {
    ".": re.compile(r"([-+]?(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d*)(?:\.\d*)?(?:e[-+]?\d{1,3})?)([kmbt]?)", re.ASCII),
    ",": re.compile(r"([-+]?(?:\d{1,3}(?:\.\d{2,3})*\.\d{3}|\d*)(?:,\d*)?(?:e[-+]?\d{1,3})?)([kmbt]?)", re.ASCII),
}
_EXACTLY_THREE = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}", re.ASCII)


def is_nothing(cell: str) -> bool:
    return cell.strip().casefold() in NOTHING


def is_number(cell: str) -> bool:
    """Whether a cell is a number in either format."""
    text = _plain(cell)
    is_shaped = any(pattern.fullmatch(text) for pattern in _NUMBER.values())
    return is_shaped and any(character.isdecimal() for character in text)


def decimal_of(cells: Iterable[str], is_comma_likely: bool = False) -> Decimal:
    """Whether cells use decimal points or commas; `is_comma_likely` decides on a comma before exactly three digits."""
    has_three = False
    for text in map(_plain, cells):
        point, comma = text.rfind("."), text.rfind(",")
        if comma < 0 or not is_number(text):
            continue
        if point >= 0:
            return "." if point > comma else ","
        if text.count(",") == 1 and not _EXACTLY_THREE.fullmatch(text):
            return ","
        has_three = has_three or text.count(",") == 1
    return "," if has_three and is_comma_likely else "."


def parsed(cells: Collection[str], decimal: Decimal) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) float64, NaN for empty cells, and which cells (n,) bool are not numbers."""
    values, is_unreadable = np.full(len(cells), np.nan), np.zeros(len(cells), bool)
    if decimal == ".":
        try:
            return np.array([float(cell) for cell in cells]), is_unreadable
        except ValueError:
            pass  # not all of them are plain numbers: read one by one
    thousands = "," if decimal == "." else "."
    for number, cell in enumerate(cells):
        text = _plain(cell)
        if text.lstrip("+-") in ("inf", "infinity"):
            values[number] = float(text)
        elif not is_nothing(cell):
            found = _NUMBER[decimal].fullmatch(text)
            digits = found[1].replace(thousands, "").replace(",", ".") if found else ""
            try:
                values[number] = float(digits) * TIMES[found[2] if found else ""]
            except ValueError:
                is_unreadable[number] = True
    return values, is_unreadable


def _plain(cell: str) -> str:
    return _DECORATION.sub("", cell).casefold()
