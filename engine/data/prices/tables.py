"""A file of unknown format as a table: its encoding, what comes before the header, what separates its cells."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from engine.core.errors import DataError
from engine.data.imported.limits import limits
from engine.data.imported.names import shown
from engine.data.prices import columns, dates, numbers
from engine.data.prices.files import check_size
from engine.data.prices.options import MAX_TOKEN
from engine.data.prices.report import were

if TYPE_CHECKING:
    import pandas as pd

MAX_LINE = 100_000
MAX_COLUMN = 80
HEAD_LINES = 200
CHUNK_ROWS = 50_000  # as pandas needs much more memory for text while it reads it
UNNAMED = "token"
DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 4096

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_OTHERS = {
    rb"PK[\x03\x05\x07]": "is an Excel file or a nested zip file; save it as CSV, or unpack it.",
    rb"\xd0\xcf\x11\xe0": "is an old Excel file; save it as CSV.",
    rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd": "is compressed; unpack it.",
    rb"PAR1|SQLite format 3|\x89HDF|ARROW1": "is a database or a binary table; save it as CSV.",
    rb"%PDF|\x89PNG|\xff\xd8\xff|GIF8": "is a document or a picture; save the prices as CSV.",
    rb"\s*<(?i:!doctype|html|\?xml)": "is a web page; download the CSV file that it links to.",
    rb"\s*[\[{]\s*[\"\[{\]}]": "is JSON; save it as CSV.",
}

_EXCHANGES = r"binance|bitstamp|bitfinex|bittrex|bybit|cex|coinbase|ftx|gemini|huobi|kraken|kucoin|okx|poloniex|yahoo"
_BEHIND = re.compile(
    r"[-_ .](?:d|w|h|m|\d{1,3}(?:s|m|min|h|d|w|mo)|daily|day|weekly|week|hourly|hour|minute|min|monthly|ohlcv?|prices?|"
    r"data|hist(?:ory|orical)?|candles?|klines?|max|full|\d{4}(?:-\d{2}){0,2}|\(\d+\))$",
    re.IGNORECASE,
)
_BEFORE = re.compile(rf"^(?:{_EXCHANGES})[-_ ]", re.IGNORECASE)


def flaw(name: str, what: str, line: int | None = None) -> DataError:
    """The error to raise for a file: where, what, and what to do."""
    return DataError(f"'{shown(name)}'{'' if line is None else f', line {line:,}:'} {what}")


@dataclass(frozen=True)
class Table:
    """A text file whose cells can be read.

    text: lines that end with "\\n". begin: number of lines before the first row. header: its cells, empty without one.
    columns: unique names. sample: the first rows, one cell per column. notes: sentences on how the file was read.
    """

    name: str
    text: str
    delimiter: str
    begin: int
    header: tuple[str, ...]
    columns: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    @property
    def token(self) -> str:
        place = columns.symbol(self.columns)
        named = (cleaned(row[place]) for row in self.sample) if place is not None else ()
        return next(filter(None, named), "") or cleaned(_without_frame(PurePosixPath(self.name).name)) or UNNAMED

    def cells(self) -> pd.DataFrame:
        """All rows that are not empty; columns are numbered, the index is the line. Raises DataError."""
        import pandas as pd  # slow to import

        body, width = self.text.split("\n", self.begin)[-1], len(self.columns)
        for line, text in enumerate(body.split("\n"), self.begin + 1):
            if '"' in text and "\n" in "".join(_cells(text + "\n", self.delimiter)):
                raise flaw(self.name, "a quotation mark is not closed in its line; close it.", line)
        content = io.BytesIO(f"{self.delimiter.join(map(str, range(width)))}\n{body}".encode())
        how = {"dtype": str, "na_filter": False, "skip_blank_lines": False, "index_col": False, "usecols": range(width)}
        found = pd.concat(pd.read_csv(content, sep=self.delimiter, chunksize=CHUNK_ROWS, **how))
        found.columns, found.index = range(width), found.index + self.begin + 1
        found = found[(found.apply(lambda column: column.str.strip()) != "").any(axis=1)]
        has = f"'{shown(self.name)}' has {len(found):,} rows"
        limits().check("max_price_rows", len(found), has, "use longer bars or a shorter history")
        return found


def opened(content: bytes, name: str) -> Table:
    """Find out the format of a file. Raises DataError: it is empty, too large, not text, or not a table."""
    if not content.strip():
        raise flaw(name, "is empty; it needs a row for each bar.")
    check_size(len(content), name)
    text, encoding = _decoded(content, name)
    text = re.sub("\r\n?", "\n", text).removesuffix("\n") + "\n"
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            raise flaw(name, f"the line is longer than {MAX_LINE:,} characters; save the file as CSV.", number)
    lines = text.split("\n", HEAD_LINES)[:HEAD_LINES]
    delimiter = _delimiter(lines)
    cells = [_cells(line, delimiter) for line in lines]
    place, header = _header(cells, name)
    begin = place + 1 if header else place
    sample = [row for row in cells[begin:] if any(map(str.strip, row))]
    if not sample:
        raise flaw(name, "has a header but no rows; it needs a row for each bar.")
    names = _named(header, sample)
    width = len(names)
    wide = [row for row in sample if any(map(str.strip, row[width:]))]
    if 2 * len(wide) > len(sample):
        counts = f"has {width} names in its header but {len(wide[0])} cells in a row"
        raise flaw(name, f"{counts}; save it with another separator, or with decimal points instead of commas.")
    whole = tuple(tuple(row + [""] * (width - len(row)))[:width] for row in sample)
    notes = tuple(_notes(encoding, delimiter, cells[:place], header))
    return Table(name, text, delimiter, begin, tuple(header), names, whole, notes)


def _decoded(content: bytes, name: str) -> tuple[str, str]:
    """The text and its encoding. Raises DataError if it is not text, or of a known format that is not."""
    encodings = [encoding for mark, encoding in _BYTE_ORDER_MARKS.items() if content.startswith(mark)][:1]
    if not encodings:
        head = content[:HEAD_BYTES]
        for pattern, what in _OTHERS.items():
            if re.match(pattern, head):
                raise flaw(name, what)
        even, odd = head[::2].count(0), head[1::2].count(0)
        strange = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
        if even + odd > 0.3 * len(head) and min(even, odd) == 0:
            encodings = ["utf-16-le" if odd else "utf-16-be"]
        elif b"\0" not in content and strange <= 0.01 * len(head):
            encodings = ["utf-8", "latin-1"]
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            return content.decode(encoding), encoding
    raise flaw(name, "is not readable text; save the prices as CSV (UTF-8).")


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _delimiter(lines: list[str]) -> str:
    """The separator that gives the most numbers, dates, and known names."""

    def score(delimiter: str) -> int:
        rows = [cells for line in lines if len(cells := _cells(line, delimiter)) > 1]
        return sum(sum(map(_is_value, cells)) + len(columns.roles(cells)) for cells in rows)

    return max(DELIMITERS, key=score)  # the first of equal ones


def _header(cells: list[list[str]], name: str) -> tuple[int, list[str]]:
    """(line of the header or first row, cells of the header, [] without one). Raises DataError if there is neither."""
    before = None
    for place, row in enumerate(cells):
        if len(columns.roles(row)) > 1:
            return place, row
        if sum(map(_is_value, row)) > 1 and any(map(dates.is_date, row)):
            if before is not None and len(cells[before]) == len(row) and not any(map(_is_value, cells[before])):
                return before, cells[before]
            return place, []
        if any(map(str.strip, row)):
            before = place
    wanted = "save it as CSV with the columns date, open, high, low, close and volume"
    raise flaw(name, f"has no line with a date and prices; {wanted}.")


def _is_value(cell: str) -> bool:
    return bool(cell.strip()) and (numbers.is_number(cell) or dates.is_date(cell))


def _named(header: list[str], sample: list[list[str]]) -> tuple[str, ...]:
    """Unique names of the columns, without empty columns behind the last one with a name."""
    width = len(header) or Counter(map(len, sample)).most_common(1)[0][0]
    while header and width and not header[width - 1].strip() and not any("".join(r[width - 1 : width]) for r in sample):
        width -= 1
    found: list[str] = []
    for place in range(width):
        text = shown(" ".join(header[place].split()) if header else "")[:MAX_COLUMN] or f"column {place + 1}"
        more = (f"{text} ({number})" for number in range(2, width + 2))
        found.append(next(name for name in (text, *more) if name not in found))
    return tuple(found)


def _notes(encoding: str, delimiter: str, before: list[list[str]], header: list[str]) -> Iterator[str]:
    """Sentences on how a file was read. before: the cells of the lines before the table."""
    if encoding not in ("utf-8", "utf-8-sig"):
        yield f"The text was read as {encoding.upper()}."
    before = [row for row in before if any(map(str.strip, row))]
    if before:
        first = shown(delimiter.join(before[0]).strip())
        yield were(len(before), "line before the table", f"skipped ('{first}').", "lines before the table")
    if not header:
        yield "There is no header; the columns were recognised by their content."
    names = [" ".join(cell.split()).casefold() for cell in header]
    for text in dict.fromkeys(name for name in names if name and names.count(name) > 1):
        yield f"There are {names.count(text)} columns called '{shown(text)}'; the first one is used."


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
