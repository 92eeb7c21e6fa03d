"""Tables as CSV files that a spreadsheet opens without taking any cell for a formula."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def to_csv(head: Sequence[str], lines: Iterable[Sequence[Any]]) -> bytes:
    """A line each, the names of the columns first; a text that looks like a formula gets an apostrophe in front."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([_cell(name) for name in head])
    table.writerows([_cell(value) for value in line] for line in lines)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
