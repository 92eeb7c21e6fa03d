"""What a user chooses when price files are brought in."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from engine.core.config import Config, option

MAX_NAME = 80
MAX_TOKEN = 40
MAX_COLUMN = 80
ROLES = ("date", "open", "high", "low", "close")
"""What a file must have a column for."""


def _shown_on_one_line(text: str) -> str:
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("a name is one line of letters that can be shown")
    return unicodedata.normalize("NFC", text)


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME),
    AfterValidator(_shown_on_one_line),
]
Token = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TOKEN),
    AfterValidator(_shown_on_one_line),
]


class Mapping(Config):
    """Which column of a file is what, by the columns' names as `PricePreview.columns` has them; "" for none."""

    date: str = option("", "When a bar begins: a date, a date with its time, or seconds since 1970")
    time: str = option("", "The time of day, where it has a column of its own")
    open: str = option("", "The first price of a bar")
    high: str = option("", "The highest price of a bar")
    low: str = option("", "The lowest price of a bar")
    close: str = option("", "The last price of a bar")
    volume: str = option("", "What was traded; without it every bar has the volume 1")


class PriceOptions(Config):
    """How price files become a data set.

    mappings: by the file's name, where the columns that were found are not those that are meant. tokens: names of tokens
    by the file's name, where the one that was found is not wanted.
    """

    name: Name = Field(description="How the data set is called")
    mappings: dict[str, Mapping] = {}
    tokens: dict[str, Token] = {}
