"""The token's name of a file, from its symbol column or from the file's name."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from engine.data.prices import columns
from engine.data.prices.options import MAX_TOKEN
from engine.data.prices.tables import Table

UNNAMED = "token"

_EXCHANGES = r"binance|bitstamp|bitfinex|bittrex|bybit|cex|coinbase|ftx|gemini|huobi|kraken|kucoin|okx|poloniex|yahoo"
_BEHIND = re.compile(
    r"[-_ .](?:d|w|h|m|\d{1,3}(?:s|m|min|h|d|w|mo)|daily|day|weekly|week|hourly|hour|minute|min|monthly|ohlcv?|prices?|"
    r"data|hist(?:ory|orical)?|candles?|klines?|max|full|\d{4}(?:-\d{2}){0,2}|\(\d+\))$",
    re.IGNORECASE,
)
_BEFORE = re.compile(rf"^(?:{_EXCHANGES})[-_ ]", re.IGNORECASE)


def token_of(table: Table) -> str:
    """The token of a file."""
    place = columns.symbol(table.columns)
    named = (cleaned(row[place]) for row in table.sample) if place is not None else ()
    return next(filter(None, named), "") or cleaned(_without_frame(PurePosixPath(table.name).name)) or UNNAMED


def cleaned(text: str) -> str:
    """A short name on one line, of printable characters; the leading quote of "'=A" is dropped, as in spreadsheets."""
    text = "".join(" " if letter.isspace() else letter for letter in unicodedata.normalize("NFC", text))
    visible = "".join(letter for letter in text if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return " ".join(visible.split()).removeprefix("'")[:MAX_TOKEN].strip()


def _without_frame(name: str) -> str:
    """A file's name without extension, exchange and length of bars: "Kraken_BTC_daily.csv" is "BTC"."""
    stem = re.sub(r"\.(?:csv|tsv|txt|dat)$", "", name, flags=re.IGNORECASE)
    while (shorter := _BEHIND.sub("", stem)) not in ("", stem):
        stem = shorter
    return _BEFORE.sub("", stem) or stem
