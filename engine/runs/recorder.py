"""Writes the events of a run to the store in a separate thread, so that the run never waits for the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import torch

from engine.core import machine
from engine.core.events import Event, Measured, Preview
from engine.runs import log
from engine.runs.store import RunRow, Store

WRITE_SECONDS = 0.25
PULSE_SECONDS = 1.0


class Recorder:
    """Collects events, writes them four times per second, samples memory, and notices a request to stop.

    A context manager around one run. step: outer steps done. device: whose memory is measured. memory_left: bytes that
    were free when memory ran short; None while there is enough.
    """

    def __init__(self, store: Store, row: RunRow, on_event: Callable[[Event], object]) -> None:
        self.step = row.step
        self.device = torch.device("cpu")
        self.stop_wanted = False
        self.memory_left: int | None = None
        self.tell = on_event  # without storing the event
        self._store, self._run_id = store, row.id
        self._seconds_before, self._begun = row.seconds, time.monotonic()
        self._pace = Pace(row.seconds_per_step)
        self._memory = 0
        self._waiting: list[log.Record | Preview] = []
        self._waiting_lock, self._flush_lock = threading.Lock(), threading.Lock()
        self._problem: BaseException | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"recorder-{row.id}", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def add(self, event: Event) -> None:
        """Take an event (any but a Checkpoint). Raises the error of the writing thread, such as a full disk."""
        if self._problem is not None:
            raise self._problem
        line: log.Record | Preview
        if isinstance(event, Measured):
            self.step = event.step
            line = log.record(event, time.time(), seconds=self._pace.measured(event.step))
        else:
            line = event if isinstance(event, Preview) else log.record(event, time.time())
            self._pace.other()
        with self._waiting_lock:
            self._waiting.append(line)
        self.tell(event)

    def flush(self, *more: log.Record) -> None:
        """Write the waiting events in order, then `more`. After an error they stay in the queue."""
        with self._flush_lock:
            with self._waiting_lock:
                batch, self._waiting = self._waiting, []
            try:
                self._store.append(self._run_id, [*batch, *more])
            except BaseException:
                with self._waiting_lock:
                    self._waiting = batch + self._waiting
                raise

    def end(self, event: Event) -> None:
        """Write the waiting events and the one that ends the run, at once."""
        self.flush(self._beat(), log.record(event, time.time()))
        self.tell(event)

    def _beat(self) -> log.Record:
        self._memory = max(self._memory, _memory(self.device))
        seconds = self._seconds_before + time.monotonic() - self._begun
        measured = {"seconds": seconds, "memory_bytes": self._memory, "seconds_per_step": self._pace.average}
        return {"kind": "pulse", "time": time.time(), "step": self.step, **measured}

    def _watch(self) -> None:
        next_pulse = time.monotonic()
        while not self._closed.wait(WRITE_SECONDS):
            try:
                self._memory = max(self._memory, _memory(self.device))
                if self.memory_left is None:
                    self.memory_left = machine.shortage()
                is_due = time.monotonic() >= next_pulse
                self.flush(*([self._beat()] if is_due else []))
                if is_due:
                    next_pulse = time.monotonic() + PULSE_SECONDS
                self.stop_wanted = self.stop_wanted or self._store.run(self._run_id).stop_requested
            except Exception as problem:  # raised again in the run's own thread, by `add`
                self._problem = problem
                return


def _memory(device: torch.device) -> int:
    """Bytes in use; on a GPU the peak, which torch tracks."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else machine.used_memory(device)


class Pace:
    """Seconds per outer step: the mean of the first 20, then an exponential moving average."""

    def __init__(self, average: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.average = average
        self._clock, self._count = clock, 0
        self._last_time: float | None = None
        self._last_step: int | None = None

    def other(self) -> None:
        """Something other than a step happened: before the first step, restart the clock."""
        if self._last_step is None:
            self._last_time = self._clock()

    def measured(self, step: int) -> float | None:
        """Outer step `step` was measured: returns seconds per step since the last one; None for the first."""
        now, last_time = self._clock(), self._last_time
        steps = 1 if self._last_step is None else step - self._last_step
        self._last_time, self._last_step = now, step
        if last_time is None or steps < 1:
            return None
        seconds = (now - last_time) / steps
        self._count += 1
        weight = max(1 / self._count, 0.05)
        before = seconds if self._count == 1 or self.average is None else self.average
        self.average = (1 - weight) * before + weight * seconds
        return seconds
