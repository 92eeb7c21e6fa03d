"""Which column of a price file is what, by its name, or by its content if there are no names."""

import re
import tomllib
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import permutations
from pathlib import Path

import numpy as np

from engine.data.prices import dates, numbers
from engine.data.prices.options import Mapping

ALIASES: dict[str, list[str]] = tomllib.loads(Path(__file__).with_name("columns.toml").read_text(encoding="utf-8"))
"""Plain names of columns, the most certain first."""
SYMBOLS = frozenset({"symbol", "ticker", "pair", "token", "coin", "asset", "instrument", "market", "product id"})

_PLACES = re.compile(r"\([^)]*\)|\[[^\]]*\]|^\s*\d+[a-z]?[.)]\s")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")

Cells = Sequence[Sequence[str]]


@lru_cache(1024)  # asked once for every role
def plain(name: str) -> str:
    """A column's name without case, accents, punctuation and units: "1. Open (USD)" and "<OPEN>" are "open"."""
    text = unicodedata.normalize("NFKD", _CAMEL.sub(" ", _PLACES.sub(" ", name)))
    letters = "".join(letter for letter in text if not unicodedata.combining(letter)).casefold()
    return " ".join(re.sub(r"[^a-z0-9]+", " ", letters).split())


def candidates(role: str, names: Sequence[str]) -> list[int]:
    """Columns whose names fit a role, the most certain first."""
    return _fitting(role, [plain(name) for name in names])


def roles(names: Sequence[str]) -> set[str]:
    """Roles that the names of a header fit; empty for a row of values."""
    words = [plain(name) for name in names]
    return {role for role in ALIASES if role != "time" and _fitting(role, words)}


def _fitting(role: str, words: Sequence[str]) -> list[int]:
    found = [place for alias in ALIASES[role] for place, word in enumerate(words) if word == alias]
    if role == "volume":  # the first one: "Volume BTC" comes before "Volume USD"
        found += [place for place, word in enumerate(words) if word.startswith(("volume ", "vol "))]
    return list(dict.fromkeys(found))


def turnover(names: Sequence[str], volume: str) -> int | None:
    """The column "Volume USD" beside a volume "Volume BTC", if there are exactly these two."""
    places = [place for place, name in enumerate(names) if plain(name).startswith("volume ")]
    others = [place for place in places if names[place] != volume]
    return others[0] if len(places) == 2 and len(others) == 1 else None


def detected(names: Sequence[str], sample: Cells, has_header: bool) -> Mapping:
    """The detected columns, "" for roles without one. sample: rows as long as `names`."""
    places = _by_name(names, sample) if has_header else _by_content(sample)
    return Mapping(**{role: names[place] for role, place in places.items()})


def symbol(names: Sequence[str]) -> int | None:
    return next((place for place, name in enumerate(names) if plain(name) in SYMBOLS), None)


def _by_name(names: Sequence[str], sample: Cells) -> dict[str, int]:
    places: dict[str, int] = {}

    def free(role: str) -> list[int]:
        return [place for place in candidates(role, names) if place not in places.values()]

    for role in ("open", "high", "low", "close", "volume"):
        if found := free(role):
            places[role] = next((place for place in found if _mostly(numbers.is_number, sample, place)), found[0])
    found = free("date")
    others = [place for place in range(len(names)) if place not in places.values() and place not in found]
    dated = [place for place in found + others if _mostly(dates.is_date, sample, place)]
    if dated or found:
        date = (dated or found)[0]
        places["date"] = date
        has_clock = any(dates.has_clock(row[date]) for row in sample)
        if not has_clock and (clocks := free("time")) and _mostly(dates.is_clock, sample, clocks[0]):
            places["time"] = clocks[0]
    return places


def _by_content(sample: Cells) -> dict[str, int]:
    """The first column of dates, then four of numbers that can be open, high, low and close, then the volume."""
    width = len(sample[0])
    date = next((place for place in range(width) if _mostly(dates.is_date, sample, place)), None)
    if date is None:
        return {}
    places = {"date": date}
    first = date + 1
    if first < width and _mostly(dates.is_clock, sample, first) and not dates.has_clock(sample[0][date]):
        places["time"] = first
        first += 1
    columns = [place for place in range(first, width) if _mostly(numbers.is_number, sample, place)]
    if len(columns) < 4:
        return places
    decimal = numbers.decimal_of(row[place] for row in sample for place in columns[:4])
    values = np.stack([numbers.parsed([row[place] for row in sample], decimal)[0] for place in columns[:4]])
    values = values[:, np.isfinite(values).all(0)]
    for order in permutations(range(4)):  # open, high, low, close comes first
        if values.size and (values[order[1]] >= values.max(0)).all() and (values[order[2]] <= values.min(0)).all():
            places |= dict(zip(("open", "high", "low", "close"), (columns[place] for place in order), strict=True))
            return places | ({"volume": columns[4]} if len(columns) > 4 else {})
    return places


def _mostly(is_wanted: Callable[[str], bool], sample: Cells, place: int) -> bool:
    """Whether at least half of the non-empty cells of a column, in the first rows, are wanted."""
    cells = [row[place] for row in sample[:200] if not numbers.is_nothing(row[place])]
    return bool(cells) and 2 * sum(map(is_wanted, cells)) >= len(cells)
