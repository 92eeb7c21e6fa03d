"""One function applied to many files in threads, with progress."""

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
    """`[work(0), ..., work(total - 1)]`, one file per thread at a time. Yields Progress.

    Closing the generator, or an error, which is raised here, stops every thread after its current file.
    """
    results: dict[int, Result] = {}
    numbers = iter(range(total))  # shared by the threads: taking the next number is atomic
    stop = threading.Event()

    def worker() -> None:
        try:
            for number in numbers:
                if stop.is_set():
                    return
                results[number] = work(number)
        except BaseException:
            stop.set()
            raise

    num_threads = min(MAX_THREADS, os.cpu_count() or 1, max(total, 1))
    with ThreadPoolExecutor(num_threads) as executor:
        futures = [executor.submit(worker) for _ in range(num_threads)]
        try:
            yield Progress(phase, 0, total)
            while wait(futures, timeout=PROGRESS_SECONDS, return_when=FIRST_EXCEPTION).not_done:
                yield Progress(phase, len(results), total)
                if stop.is_set():
                    break
        finally:
            stop.set()
    for future in futures:
        future.result()
    yield Progress(phase, total, total)
    return [results[number] for number in range(total)]
