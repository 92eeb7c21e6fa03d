"""Counts the trainings of a comparison and estimates the time left."""

import time
from collections.abc import Generator, Mapping, Sequence
from typing import TypeVar

from engine.core.events import Event, Progress
from engine.evaluation.plan import Training, num_trainings

Found = TypeVar("Found")

PULSE_SECONDS = 0.5
"""Time between two progress events of a training."""
TRUST = 0.2
"""Weight of the planned pace against the observed one, as a share of all planned seconds."""


class Clock:
    """Counts the trainings done and estimates the time left. seconds: planned for each; may be empty."""

    def __init__(self, trainings: Sequence[Training], seconds: Mapping[Training, float]) -> None:
        self._total, self._num_done = num_trainings(trainings), 0
        self._seconds = seconds
        self._left = self._all = sum(seconds.values())
        self._spent = self._planned = 0.0  # of trainings done, without cached ones
        self._began = time.perf_counter()

    def told(
        self, events: Generator[Event, None, Found], training: Training, words: str
    ) -> Generator[Event, None, Found]:
        """The same events, with the progress of the whole plan in place of the training's own."""
        self._began = said = time.perf_counter()
        yield self._progress(training, words)
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            if not isinstance(event, Progress):
                yield event
            elif time.perf_counter() - said >= PULSE_SECONDS:
                said = time.perf_counter()
                yield self._progress(training, words)

    def done(self, training: Training, is_cached: bool) -> None:
        """Note that a training has ended."""
        planned = self._seconds.get(training, 0.0)
        self._num_done += len(training.seeds)
        self._left -= planned
        if not is_cached:
            self._spent += time.perf_counter() - self._began
            self._planned += planned

    def _progress(self, training: Training, words: str) -> Progress:
        if not self._seconds:
            return Progress(words, self._num_done, self._total)
        trusted, planned = TRUST * self._all, self._seconds.get(training, 0.0)
        pace = (trusted + self._spent) / (trusted + self._planned) if trusted else 1.0
        left = max(0.0, planned * pace - (time.perf_counter() - self._began)) + (self._left - planned) * pace
        return Progress(words, self._num_done, self._total, part="compare", seconds_left=left)
