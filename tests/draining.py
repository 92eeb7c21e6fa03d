"""Running a generator of events to its end."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any


def drained(generator: Generator) -> tuple[list, Any]:
    """All events of a generator and what it returned."""
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return events, end.value
