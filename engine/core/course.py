"""The progress of a run and its time left, from the lines of its log.

A run has three parts, shown in one bar: prepare (data, experts, a teacher), distil and compare. The time left is the
outer steps left at their mean pace, plus the planned seconds of the comparison. The expected end is smoothed so that
it does not jump with every step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Part = Literal["prepare", "distil", "compare", "done"]

FEW_SECONDS = 1.0
"""Seconds of steps needed to measure a pace."""
SMOOTH_SHARE, SMOOTH_SECONDS = 0.25, 2.0
"""The time constant of the smoothing: this share of the time left, and at least these seconds."""
NOMINAL_SHARES: dict[Part, float] = {"prepare": 0.3, "distil": 0.7, "compare": 1.0, "done": 1.0}
"""The filled share of the bar at the end of each part while the time left is unknown."""


@dataclass(frozen=True)
class Outlook:
    """What the bar shows. share: of the whole run, 0 to 1. seconds_left: None if not known yet."""

    part: Part = "prepare"
    share: float = 0.0
    seconds_left: float | None = None


@dataclass
class Course:
    """The state of a run's progress, updated by the lines of its log in order. Times are unix seconds.

    began: start of the run, without pauses between sittings. heard: time of the latest line. worked: seconds of work so
    far. done, total: outer steps or epochs, the latest at `reached`; their pace counts from `before` at `since`.
    compare_seconds: planned for the comparison, or left of it at `told`. end: the expected end.
    """

    part: Part = "prepare"
    began: float = 0.0
    heard: float = 0.0
    worked: float = 0.0
    total_steps: int = 0
    done: int = 0
    total: int = 0
    since: float | None = None
    reached: float = 0.0
    before: int = 0
    compare_seconds: float | None = None
    told: float = 0.0
    end: float | None = None
    share: float = 0.0

    def apply(self, record: Mapping[str, Any]) -> None:
        """Update by a line of the log: an event with its `kind` and `time`."""
        now, kind = record["time"], record["kind"]
        if kind == "claimed":
            self._begin(now - self.worked)
        elif kind == "rewound":
            self._begin(now - record["seconds"])
        elif kind == "pulse":
            self.worked = record["seconds"]
        elif kind == "started":
            self.total_steps = record["total_steps"]
        elif kind == "expert_epoch" and self.part == "prepare":
            epochs = record["num_experts"] * record["num_epochs"]
            self._count(self.done + (record["epoch"] > 0), epochs, now, is_new=not record["cached"])
        elif kind == "teacher_epoch" and self.part == "prepare":
            self._count(record["epoch"], record["num_epochs"], now, is_new=not record["cached"])
        elif kind == "measured":
            is_first, self.part = self.part != "distil", "distil"
            self._count(record["step"], self.total_steps, now, is_new=not is_first)
        elif kind == "planned":
            self.compare_seconds, self.since = record["seconds"], None  # planning took time; restart the pace
        elif kind == "progress" and record.get("part") == "compare":
            self.part = "compare"
            if record["seconds_left"] is not None:
                self.compare_seconds, self.told = record["seconds_left"], now
        elif kind == "finished":
            self.part, self.share, self.end = "done", 1.0, now
        self._foresee(now)

    def outlook(self) -> Outlook:
        """What the bar shows now."""
        left = None if self.end is None else max(0.0, self.end - self.heard)
        return Outlook(self.part, self.share, left)

    def _begin(self, began: float) -> None:
        """Start a sitting."""
        self.part, self.began, self.share = "prepare", began, 0.0
        self.since = self.end = self.compare_seconds = None
        self.done = self.total = 0

    def _count(self, done: int, total: int, now: float, *, is_new: bool) -> None:
        """Note steps or epochs done. is_new: False restarts the pace, after cached epochs and before the first step."""
        self.done, self.total, self.reached = done, total, now
        if not is_new or self.since is None:
            self.since, self.before = now, done

    def _foresee(self, now: float) -> None:
        """Move the expected end towards the current estimate, and advance the bar."""
        self.began = self.began or now
        elapsed, self.heard = now - self.heard, now
        left = self._left(now)
        if self.part == "done":
            return
        if left is None:
            if self.total:
                self.share = max(self.share, NOMINAL_SHARES[self.part] * self.done / self.total)
            return
        if self.end is None:
            self.end = now + left
        else:
            trusted = min(SMOOTH_SHARE * left, now - (self.since or self.began))  # a first estimate counts little
            weight = 1 - math.exp(-elapsed / max(SMOOTH_SECONDS, trusted))
            self.end += weight * (now + left - self.end)
        worked, left = now - self.began, max(0.0, self.end - now)
        if worked + left > 0:
            self.share = max(self.share, worked / (worked + left))

    def _left(self, now: float) -> float | None:
        """The current estimate of the seconds left."""
        if self.part == "compare":
            return None if self.compare_seconds is None else max(0.0, self.compare_seconds - (now - self.told))
        pace = self._pace()
        if pace is None or (self.part == "prepare" and self.total_steps):
            return None  # while experts are recorded, the pace of the steps is unknown
        steps = max(0.0, pace * (self.total - self.done) - (now - self.reached))
        return steps + (self.compare_seconds or 0.0)

    def _pace(self) -> float | None:
        """Seconds per step or epoch."""
        count = self.done - self.before
        if self.since is None or not count or (self.part == "distil" and self.reached - self.since < FEW_SECONDS):
            return None
        return (self.reached - self.since) / count
