"""Progress on standard error: one line that is rewritten on a terminal, or one line per phase in a file."""

import sys
import time
from collections.abc import Generator

from engine.core import events
from engine.core.config import RunRequest
from engine.core.course import Course
from engine.core.events import Event, Measured, Progress, to_json
from engine.core.progress import Result, drained
from engine.figures import formats
from engine.results import titles
from engine.run import resolve


class Printer:
    """Called with each event of a run, or of other work if there is no request."""

    def __init__(self, request: RunRequest | None = None) -> None:
        self.total = resolve(request, begins=False)[1].outer_steps if request else 0
        self.making = ""  # what happens in a run that makes no result
        if request and request.action == "record":
            is_teacher = titles.recorded(request.method) == "teacher"
            self.making = "the teacher was trained" if is_teacher else "experts were recorded"
        self.live = sys.stderr.isatty()
        self.course = Course()
        self.bar = ""  # of the last outer step
        self.told: set[str] = set()  # phases shown so far

    def __call__(self, event: Event) -> None:
        if not isinstance(event, events.Preview | events.Begun | events.Learned | events.Checkpoint):
            self.course.apply(to_json(event) | {"time": time.time()})
        match event:
            case Measured():
                self._step(event)
            case Progress():
                self._phase(event)
            case events.Warned():
                self._line(f"{event.level}: {event.message}")
            case events.Failed():
                self._line(f"failed: {event.message}")
            case events.Stopped():
                where = f"while {self.making}" if self.making else f"after step {event.step}"
                self._line(f"stopped {where}; `resume` goes on from there")
            case events.ExpertEpoch():
                which = f"expert {event.expert + 1} of {event.num_experts}"
                self._epoch(event, which, event.validation_accuracy, "validation", "recorded")
            case events.TeacherEpoch():
                self._epoch(event, "teacher", event.knn_accuracy, "nearest neighbours, validation", "trained")
            case events.Scored() if not self.live:
                what = f"{event.arm} {event.protocol} {event.student} seed {event.seed}"
                self._line(f"{what}: {event.metric} {event.value:.4f} ({event.split})")

    def _step(self, event: Measured) -> None:
        filled = int(30 * event.step / self.total)
        name, value = next(iter(event.values.items()))
        where = f"[{'#' * filled}{'.' * (30 - filled)}] step {event.step:,} of {self.total:,}"
        text = f"{where}{self._left()}, {name} {value:.4f}"
        self.bar = f"{text}; " if event.step < self.total else ""
        self._now_and_then(text, event.step == self.total or event.step % max(1, self.total // 10) == 0)

    def _epoch(
        self, event: events.ExpertEpoch | events.TeacherEpoch, network: str, found: float | None, what: str, made: str
    ) -> None:
        earlier = f" ({made} earlier)" if event.cached else ""
        accuracy = "" if found is None else f": {formats.percent(found)} {what}"
        text = f"{network}, epoch {event.epoch} of {event.num_epochs}{accuracy}{earlier}"
        self._now_and_then(text, event.epoch >= event.num_epochs)

    def _phase(self, event: Progress) -> None:
        if self.live:
            before, unit = ("", " trainings") if event.part == "compare" else (self.bar, "")
            rewrite(f"{before}{event.phase} {event.done:,} of {event.total:,}{unit}{self._left()}")
        elif event.phase not in self.told:  # phases within outer steps repeat
            self._line(event.phase)
        self.told.add(event.phase)

    def _left(self) -> str:
        """The time left, if known."""
        left = self.course.outlook().seconds_left
        return "" if left is None else f", {formats.about(left)} left"

    def _now_and_then(self, text: str, is_milestone: bool) -> None:
        """Show a line: always on a terminal, only at milestones in a file."""
        if self.live:
            rewrite(text)
        elif is_milestone:
            self._line(text)

    def _line(self, text: str) -> None:
        self.close()
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Clear the rewritten line."""
        if self.live:
            rewrite("")


def shown(generator: Generator[Event, None, Result]) -> Result:
    """Run a generator of events to its end, show its progress, and return its result."""
    printer = Printer()
    try:
        return drained(generator, printer)
    finally:
        printer.close()


def rewrite(text: str) -> None:
    """Replace the last line of the terminal."""
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
