"""Progress while something long is under way."""

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any, TypeVar

from engine.core.events import Event, Progress

Item = TypeVar("Item")
Result = TypeVar("Result")

QUIET_SECONDS = 1.0  # time between two reports of progress


def ticking(phase: str, work: Callable[[], Any]) -> Generator[Event, None, Any]:
    """Do work in a thread and yield Progress every half second. Closing the generator waits for the work."""
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(work)
        while not future.done():
            yield Progress(phase, 0, 1)
            wait_for([future], timeout=0.5)
    yield Progress(phase, 1, 1)
    return future.result()


def paced(phase: str, items: Iterable[Item], total: int) -> Generator[Event, None, Item]:
    """Consume `items`, `total` of them and at least one, yielding Progress each second; returns the last."""
    told = time.monotonic()
    for done, item in enumerate(items, 1):
        last = item
        if time.monotonic() - told >= QUIET_SECONDS:
            yield Progress(phase, done, total)
            told = time.monotonic()
    return last


def drained(events: Generator[Event, None, Result], see: Callable[[Event], object] = lambda event: None) -> Result:
    """Run a generator of events to its end and return its result. `see` is called with each event."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        see(event)
