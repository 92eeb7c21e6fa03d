"""A file of unknown making as a table: its encoding, what stands before the header, what separates its cells."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from engine.core.errors import DataError
from engine.data.images.names import shown
from engine.data.prices import columns, dates, numbers
from engine.data.prices.options import MAX_COLUMN
from engine.data.prices.report import counted, was

MAX_BYTES = 200_000_000
MAX_ROWS = 5_000_000
MAX_LINE = 100_000
HEAD_LINES = 200
SAMPLE_ROWS = 2000
DELIMITERS = (",", ";", "\t", "|")
HEAD_BYTES = 4096

Row = tuple[int, list[str]]

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHERS = (
    (re.compile(rb"PK[\x03\x05\x07]"), "is an Excel or zip file inside; save it as CSV, or unpack it"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "is an old Excel file; save it as CSV"),
    (re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd"), "is packed; unpack it"),
    (re.compile(rb"PAR1|SQLite format 3|\x89HDF|ARROW1"), "is a database or a binary table; save it as CSV"),
    (re.compile(rb"%PDF|\x89PNG|\xff\xd8\xff|GIF8"), "is a document or a picture; bring the prices as CSV"),
    (re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE), "is a web page, not what it links to; download the CSV itself"),
    (re.compile(rb"\s*[\[{]\s*[\"\[{\]}]"), "is JSON; save it as CSV"),
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A text file whose cells can be read, row by row.

    columns: their names, each once; "column 1" and so on without a header. header: its cells as they stand there, none
    without a header. begin: lines before the first row. sample: the first rows, a cell for each column. notes: sentences on how it was read.
    """

    name: str
    content: bytes
    encoding: str
    delimiter: str
    columns: tuple[str, ...]
    header: tuple[str, ...]
    begin: int
    sample: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def rows(self) -> Iterator[Row]:
        """(line number, cells) of every row that is not empty, as many cells as there are columns or more.

        Raises DataError: too many rows, a line without end, a quotation mark that is never closed.
        """
        return _rows(self.name, self.content, self.encoding, self.delimiter, self.begin, len(self.columns))


def opened(content: bytes, name: str) -> Table:
    """Find out how a file is written.

    Raises:
        DataError: it is empty, too large, no text, or holds no table; the message names the file.
    """
    if not content.strip():
        raise DataError(f"'{shown(name)}' is empty; bring a file with a row for each bar.")
    if len(content) > MAX_BYTES:
        raise DataError(
            f"'{shown(name)}' holds {len(content):,} bytes and {MAX_BYTES:,} are allowed; bring longer bars or fewer."
        )
    encoding = _encoding(content, name)
    lines = list(islice(_lines(name, content, encoding), HEAD_LINES))
    delimiter = _delimiter(lines)
    cells = [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
    place, header = _header(cells, name)
    begin = 0 if place is None else place + (1 if header else 0)
    sample = [row for _, row in islice(_rows(name, content, encoding, delimiter, begin, 0), SAMPLE_ROWS)]
    if not sample:
        raise DataError(f"'{shown(name)}' has a header and no rows below it; bring a file with a row for each bar.")
    names = _named(header, sample)
    _check_width(sample, len(names), name)
    return Table(
        name,
        content,
        encoding,
        delimiter,
        names,
        tuple(header),
        begin,
        tuple(tuple(row + [""] * (len(names) - len(row)))[: len(names)] for row in sample),
        tuple(_notes(encoding, delimiter, cells, place, header)),
    )


def _encoding(content: bytes, name: str) -> str:
    """Raises DataError for what is no text."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _decodable(content, encoding, name)
    head = content[:HEAD_BYTES]
    for pattern, what in _OTHERS:
        if pattern.match(head):
            raise DataError(f"'{shown(name)}' {what}.")
    zeros = Counter(place % 2 for place, byte in enumerate(head) if byte == 0)
    if zeros and sum(zeros.values()) > 0.3 * len(head) and min(zeros[0], zeros[1]) == 0:
        return _decodable(content, "utf-16-le" if zeros[1] else "utf-16-be", name)
    strange = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
    if b"\0" in content or strange > 0.01 * len(head):
        raise _no_text(name)
    try:
        return _decodable(content, "utf-8", name)
    except DataError:
        return "latin-1"


def _decodable(content: bytes, encoding: str, name: str) -> str:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        raise _no_text(name) from None
    return encoding


def _no_text(name: str) -> DataError:
    return DataError(f"'{shown(name)}' is no text that can be read; save the prices as CSV (UTF-8).")


def _lines(name: str, content: bytes, encoding: str) -> Iterator[str]:
    """The lines of a file. Raises DataError for one without end."""
    file = io.TextIOWrapper(io.BytesIO(content), encoding=encoding, newline="")
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise DataError(
                f"'{shown(name)}', line {number:,}: it is longer than {MAX_LINE:,} letters; save it as CSV."
            )
        yield line


def _rows(name: str, content: bytes, encoding: str, delimiter: str, begin: int, width: int) -> Iterator[Row]:
    reader = csv.reader(islice(_lines(name, content, encoding), begin, None), delimiter=delimiter)
    count, before = 0, 0
    try:
        for cells in reader:
            number, before = begin + before + 1, reader.line_num
            if begin + before > number:
                raise DataError(
                    f"'{shown(name)}', line {number:,}: a quotation mark is not closed in its line; close it."
                )
            if not any(cells) or not any(map(str.strip, cells)):
                continue
            count += 1
            if count > MAX_ROWS:
                raise DataError(
                    f"'{shown(name)}' has more than the {MAX_ROWS:,} rows allowed; bring longer bars or a part of it."
                )
            yield number, cells if len(cells) >= width else cells + [""] * (width - len(cells))
    except csv.Error as error:
        raise DataError(
            f"'{shown(name)}', line {begin + before + 1:,}: it is no CSV ({error}); save it again."
        ) from None


def _delimiter(lines: list[str]) -> str:
    """What separates cells: that which leaves most numbers, dates, and known names."""

    def score(delimiter: str) -> int:
        found = 0
        for line in lines:
            cells = next(csv.reader([line], delimiter=delimiter), [])
            if len(cells) > 1:
                found += sum(_is_value(cell) for cell in cells) + len(columns.roles(cells))
        return found

    return max(DELIMITERS, key=score)  # the first of equal ones


def _header(cells: list[list[str]], name: str) -> tuple[int | None, list[str]]:
    """(line of the header or of the first row, the header's cells), none of these where the rows begin without one.

    Raises DataError where there is neither.
    """
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
    raise DataError(
        f"'{shown(name)}' has no line with a date and prices; bring a CSV with the columns date, open, high, low, close "
        "and volume."
    )


def _is_value(cell: str) -> bool:
    return bool(cell.strip()) and (numbers.is_number(cell) or dates.is_date(cell))


def _named(header: list[str], sample: list[list[str]]) -> tuple[str, ...]:
    """The columns' names, each once; cells that stand empty behind the last named column are none."""
    width = len(header) or Counter(map(len, sample)).most_common(1)[0][0]
    if header:
        while width and not header[width - 1].strip() and not any(row[width - 1 : width] > [""] for row in sample):
            width -= 1
    found: list[str] = []
    for place in range(width):
        text = " ".join(header[place].split()) if header else ""
        text = shown(text)[:MAX_COLUMN] or f"column {place + 1}"
        again = found.count(text)
        base, number = text, 2
        while again and text in found:
            text, number = f"{base} ({number})", number + 1
        found.append(text)
    return tuple(found)


def _check_width(sample: list[list[str]], width: int, name: str) -> None:
    """Raise DataError where most rows have more cells than there are columns."""
    wide = [row for row in sample if any(map(str.strip, row[width:]))]
    if 2 * len(wide) > len(sample):
        raise DataError(
            f"'{shown(name)}' has {width} names in its header and {len(wide[0])} cells in a row; save it with another "
            "separator, or with decimal points instead of commas."
        )


def _notes(
    encoding: str, delimiter: str, cells: list[list[str]], place: int | None, header: list[str]
) -> Iterator[str]:
    if encoding not in ("utf-8", "utf-8-sig"):
        yield f"The text was read as {encoding.upper()}."
    before = [row for row in cells[:place] if any(map(str.strip, row))]
    if before:
        said = shown(delimiter.join(before[0]).strip())
        yield f"{counted(len(before), 'line')} before the table {was(len(before))} skipped ('{said}')."
    if not header:
        yield "There is no header; the columns were told by what they hold."
    names = [" ".join(cell.split()).casefold() for cell in header]
    for text in dict.fromkeys(name for name in names if name and names.count(name) > 1):
        yield f"The column '{shown(text)}' stands there {names.count(text)} times; the first one counts."
