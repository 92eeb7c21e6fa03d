"""The same work on many files, in threads, with progress."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from engine.core.events import Event, Progress

PROGRESS_SECONDS = 0.2
MAX_THREADS = 8

Result = TypeVar("Result")


def in_threads(work: Callable[[int], Result], total: int, phase: str) -> Generator[Event, None, list[Result]]:
    """`work(number)` for every number below `total`; the results in order. Progress five times a second.

    As many are under way as there are threads, so memory stays that of a few. Closing the generator ends the threads
    after what each has in hand; so does an error, which is raised here.
    """
    results: list[Result | None] = [None] * total
    numbers = iter(range(total))  # shared: taking the next one is atomic
    stop = threading.Event()
    done = [0]

    def worker() -> None:
        try:
            for number in numbers:
                if stop.is_set():
                    return
                results[number] = work(number)
                done[0] += 1
        except BaseException:
            stop.set()
            raise

    num_threads = min(MAX_THREADS, os.cpu_count() or 1, max(total, 1))
    with ThreadPoolExecutor(num_threads) as executor:
        futures = [executor.submit(worker) for _ in range(num_threads)]
        try:
            yield Progress(phase, 0, total)
            while wait(futures, timeout=PROGRESS_SECONDS, return_when=FIRST_EXCEPTION).not_done:
                yield Progress(phase, min(done[0], total), total)
                if stop.is_set():
                    break
        finally:
            stop.set()
    for future in futures:
        future.result()
    yield Progress(phase, total, total)
    return results
