"""Carries out runs: `execute` does one in the calling thread, a `Worker` takes one after the other from the queue."""

import contextlib
import errno
import logging
import signal
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as bytes_from_tensors

from engine.core import checkpoint, events, machine
from engine.core.checkpoint import write_atomically
from engine.core.config import RunRequest
from engine.core.context import Context
from engine.core.errors import Diverged, RunError, UserError
from engine.core.events import Begun, Checkpoint, Event, Failed, Finished, Learned, Stopped, Warned
from engine.figures import formats
from engine.runs.recorder import Recorder
from engine.runs.store import BEGUN_FILE, START_FILE, RunRow, Store
from engine.synthetic import load

Runner = Callable[[RunRequest, Context], Generator[Event, None, Any]]

_LOG_POSITION = "runs.log_position"  # in the state of a checkpoint: the size of the log
_WRITING_SHARE = 0.05  # of the time, at most, is spent on writing checkpoints
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 5.0
_LOG = logging.getLogger(__name__)


def execute(
    store: Store,
    run_id: str,
    *,
    on_event: Callable[[Event], object] = lambda event: None,
    runner: Runner | None = None,
    checkpoint_seconds: float = 10.0,
) -> None:
    """Carry out a claimed run in this thread until it is done, stopped or failed, and store its events.

    In the main thread, Ctrl-C or SIGTERM stops the run within an outer step; a second signal stops it at once.

    on_event: called with every event, Checkpoints too. runner: makes the events, `engine.run.run` if None.
    checkpoint_seconds: least time between two checkpoints; one is always written when distilling ends or is stopped.

    Raises RunError if the run was not claimed, OSError or sqlite3.Error if its end could not be stored.
    """
    row = store.run(run_id)
    if row.status != "running":
        raise RunError(f"Run {row.id} is {row.status}, so it cannot be carried out. Resume it, or start a new one.")
    with Recorder(store, row, on_event) as recorder, _signals_stop(recorder):
        execution = _Execution(store, row, recorder, checkpoint_seconds)
        recorder.end(execution.carry_out(runner or _engine))


class Worker:
    """A thread that carries out queued runs, oldest first, as long as the process lives."""

    def __init__(self, store: Store, runner: Runner | None = None) -> None:
        self.store, self._runner = store, runner
        self._current: str | None = None
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)

    def start(self) -> None:
        """Begin to take runs."""
        self._thread.start()

    def submit(self, request: RunRequest) -> str:
        """Queue a request and return the id of its run; it starts at once if nothing else runs."""
        run_id = self.store.submit(request)
        self._wake.set()
        return run_id

    def resume(self, run_id: str) -> None:
        """Queue an ended run again. Raises RunError if it cannot be resumed."""
        self.store.resume(run_id)
        self._wake.set()

    def close(self, timeout: float | None = None) -> bool:
        """Stop the run under way, take no other, and wait up to `timeout` seconds; whether the thread has ended."""
        self._closing.set()
        self._wake.set()
        if (current := self._current) is not None:
            self.store.request_stop(current)
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            try:
                self._current = self.store.claim()
            except sqlite3.Error:
                _LOG.exception("The queue of runs could not be read; trying again.")
                self._closing.wait(_RETRY_SECONDS)
                continue
            if self._current is None:
                self._wake.wait(_POLL_SECONDS)
                continue
            self._carry_out(self._current)
            self._current = None
            machine.give_back()  # the graphs of a failed run are cyclic garbage
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _carry_out(self, run_id: str) -> None:
        try:
            execute(self.store, run_id, runner=self._runner)
            return
        except Exception as error:  # its end could not be stored, and it must not stay "running"
            _LOG.exception("The end of run %s could not be recorded.", run_id)
            failed = Failed(_sentence(error, self.store.root, 0, RunRequest()), traceback.format_exc())
        while not self._closing.is_set():  # the user may free some disk space
            try:
                self.store.append(run_id, [failed])
                return
            except RunError:
                _LOG.warning("Run %s was removed while it ran.", run_id)
                return
            except (OSError, sqlite3.Error):
                self._closing.wait(_RETRY_SECONDS)


class _Execution:
    """One run at work: its last checkpoints, seen and written, and what to do with each event."""

    def __init__(self, store: Store, row: RunRow, recorder: Recorder, checkpoint_seconds: float) -> None:
        self._store, self._run_id, self._request, self._recorder = store, row.id, row.request, recorder
        self._folder, self._is_first_start = store.folder(row.id), row.claims <= 1
        self._checkpoint_seconds = checkpoint_seconds
        self._next_write = time.monotonic() + checkpoint_seconds
        self._seen: Checkpoint | None = None
        self._written_step: int | None = None
        self._total_steps = 0
        self._is_distilling = False
        self._recording = "experts" if self._request.action == "record" else ""  # what is trained before distilling
        self._finished = Finished()

    def carry_out(self, runner: Runner) -> Event:
        """The event that ends the run: Finished, Stopped or Failed. By then, checkpoints and result are on disk."""
        try:
            device = machine.pick_device(self._request.device)
            self._recorder.device = device
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            copied, cache = self._folder / START_FILE, self._store.root / "cache"
            start, before = load(copied, device) if copied.exists() else None, self._resume_state()
            kept = self._store.begun(self._run_id)
            begun = load(kept, device) if kept else None
            context = Context(
                self._request.seed, device, cache_root=cache, resume_from=before, start=start, begun=begun
            )
            stream = _keeping_result(runner(self._request, context), self._save_result)
            with machine.bounded_data(device), contextlib.closing(stream):
                for event in stream:
                    if self._take(event):
                        return Stopped(self._recorder.step)
            return self._finished
        except KeyboardInterrupt:
            return Stopped(self._recorder.step)
        except Exception as error:
            return self._failure(error)

    def _resume_state(self) -> dict[str, Any] | None:
        """Rewind the store to the newest sound checkpoint and return its state; None if there is none."""
        if self._is_first_start:
            return None
        damages: list[str] = []
        found = checkpoint.load_latest(self._folder / "checkpoints", damages.append)
        step, state = found if found else (0, None)
        self._store.rewind(self._run_id, step, int(state.pop(_LOG_POSITION)) if state else None)
        self._recorder.step = step
        self._written_step = step if found else None
        for damage in damages:
            self._recorder.add(Warned(damage))
        return state

    def _take(self, event: Event) -> bool:
        """Store an event; returns whether the run is to stop now."""
        if isinstance(event, Checkpoint):
            return self._take_checkpoint(event)
        if isinstance(event, Begun):
            event.synthetic.save(self._folder / BEGUN_FILE)
            return False
        if isinstance(event, Learned):
            path = self._folder / f"{event.name}.safetensors"
            write_atomically(path, bytes_from_tensors(event.weights, event.about or None))
            return False
        if isinstance(event, Finished):
            self._finished = event  # stored when the result is on disk
            return False
        if isinstance(event, events.Started):
            self._total_steps = event.total_steps
        elif isinstance(event, events.ExpertEpoch):
            is_last = (event.expert + 1, event.epoch) == (event.num_experts, event.num_epochs)
            self._recording = "" if is_last and self._request.action != "record" else "experts"
        elif isinstance(event, events.TeacherEpoch):
            is_last = event.epoch == event.num_epochs
            self._recording = "" if is_last and self._request.action != "record" else "teacher"
        elif isinstance(event, events.Measured):
            self._is_distilling, self._recording = True, ""
        self._recorder.add(event)
        # while distilling, a stop waits for the next checkpoint, at most one outer step away
        if not self._is_distilling:
            self._refuse_shortage()
        return self._recorder.stop_wanted and not self._is_distilling

    def _take_checkpoint(self, event: Checkpoint) -> bool:
        self._seen = event
        self._recorder.step = event.step
        self._is_distilling = event.step < self._total_steps
        is_stopping = self._recorder.stop_wanted
        is_short = self._recorder.memory_left is not None
        if is_stopping or is_short or not self._is_distilling or time.monotonic() >= self._next_write:
            self._write(event)
        self._recorder.tell(event)
        if not is_stopping:
            self._refuse_shortage()
        return is_stopping

    def _refuse_shortage(self) -> None:
        """Fail the run before the system kills this process, which also serves the pages."""
        left = self._recorder.memory_left
        if left is not None:
            raise MemoryError(f"{formats.num_bytes(left)} were left")

    def _write(self, event: Checkpoint) -> None:
        begun = time.monotonic()
        self._recorder.flush()
        state = event.snapshot() | {_LOG_POSITION: self._store.log_position(self._run_id)}
        checkpoint.save(self._folder / "checkpoints", event.step, state)
        self._save_result(event.synthetic)
        self._written_step = event.step
        now = time.monotonic()
        self._next_write = now + max(self._checkpoint_seconds, (now - begun) / _WRITING_SHARE)

    def _save_result(self, synthetic: Any) -> None:
        synthetic.save(self._folder / "result.safetensors")

    def _failure(self, error: Exception) -> Failed:
        step = error.step if isinstance(error, Diverged) else self._recorder.step
        message = _sentence(error, self._store.root, step, self._request, recorded=self._recording)
        seen = self._seen
        is_current = seen is not None and self._is_distilling and seen.step == self._recorder.step != self._written_step
        # a UserError is raised before anything is updated, so the last state seen is still good
        if seen is not None and is_current and isinstance(error, UserError):
            try:
                self._write(seen)
            except (OSError, sqlite3.Error) as second:
                message = f"{message} Its last state could not be kept either: {second}"
        details = "".join(traceback.format_exception(error))
        return Failed(message, details, step)


def _engine(request: RunRequest, context: Context) -> Generator[Event, None, Any]:
    from engine.run import run  # late, because it imports every method

    return run(request, context)


def _keeping_result(stream: Generator[Event, None, Any], keep: Callable[[Any], None]) -> Generator[Event, None, None]:
    """The same events; `keep` is called with the generator's result, unless that is None."""
    result = yield from stream
    if result is not None:
        keep(result)


_RECORDING = {
    "experts": ("while experts were recorded", "experts recorded so far stay usable"),
    "teacher": ("while the teacher was trained", "teacher's epochs so far are kept"),
}
"""Phrases for an error during recording: when it happened, and what a full disk leaves."""


def _sentence(error: Exception, root: Path, step: int, request: RunRequest, *, recorded: str = "") -> str:
    """What went wrong, for the user. recorded: "experts" or "teacher" while those are trained."""
    if isinstance(error, UserError):
        return str(error)
    when, kept = _RECORDING.get(recorded, (f"after outer step {step}", "last checkpoint is kept"))
    if machine.is_out_of_memory(error):
        from engine.runs.advice import advice  # late, as `_engine`: it tries the request

        cause = f": {error}" if isinstance(error, MemoryError) and str(error) else ""
        return f"Out of memory {when}{cause}. Start again with {advice(request)}."
    if _is_disk_full(error):
        return f"The disk that holds {root} is full {when}. Free some space and resume; the {kept}."
    what = f"{type(error).__name__}: {error}"
    return f"Something went wrong inside the program {when}: {what}. The details are kept with the run."


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.Error) and "disk is full" in str(error)


@contextlib.contextmanager
def _signals_stop(recorder: Recorder) -> Iterator[None]:
    """In the main thread, the first signal asks the run to stop and the second interrupts it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        if recorder.stop_wanted:
            raise KeyboardInterrupt
        recorder.stop_wanted = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
