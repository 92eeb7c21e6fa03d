"""The log of a run, `events.jsonl`, and the state it adds up to.

Each line is a record: a JSON object with a `kind` and a `time` (unix seconds). Most are `engine.core.events`; the store
adds a few of its own:

    submitted, queued      a new run; a run that is to go on
    claimed                a process has taken it: {owner}
    pulse                  about once per second: {seconds, step, memory_bytes, seconds_per_step}
    stop_requested         it is to stop
    rewound                it goes on from a checkpoint; all later lines were cut: {step, and what survives the cut}
    interrupted            its process died

A row of the store is the log folded by `RunState.apply`.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from engine.core.checkpoint import write_atomically
from engine.core.course import Course
from engine.core.events import Event, to_json
from engine.core.run_row import RunProgress, Status

Record = dict[str, Any]
NOTES = ("scored", "warned", "expert_epoch", "teacher_epoch", "analysed")
"""Kinds of events that have a row each in the database."""
_COPIED = {
    "claimed": ("owner",),
    "rewound": ("step", "owner", "started", "seconds", "claims", "rewinds"),
    "pulse": ("seconds", "step", "seconds_per_step"),
    "started": ("total_steps", "facts"),
    "measured": ("step",),
    "finished": ("summary",),
}
"""The fields that a state copies from records of a kind."""


@dataclass(kw_only=True)
class RunState(RunProgress):
    """What the log says so far.

    heard: time of the last record. rewinds: how often the run went back to a checkpoint. num_metrics and num_notes:
    number of measured records and of those of NOTES. course: the fields of a `Course`.
    """

    queued: float = 0.0
    heard: float = 0.0
    owner: dict[str, Any] | None = None
    rewinds: int = 0
    num_metrics: int = 0
    num_notes: int = 0
    course: dict[str, Any] = field(default_factory=dict)

    def apply(self, record: Record) -> None:
        """Update the state by the next record."""
        course = Course(**self.course)
        course.apply(record)
        self.course = vars(course)
        for name in _COPIED.get(record["kind"], ()):
            setattr(self, name, record[name])
        match record["kind"]:
            case "submitted":
                self.created = self.queued = record["time"]
            case "queued":
                self.status, self.queued = "queued", record["time"]
                self._clear_ending()
            case "claimed":
                self.status = "running"
                self.claims += 1
                self.started = self.started or record["time"]
                self._clear_ending()
            case "rewound":
                self.status, self.memory_bytes = "running", record["memory_bytes"]
                self.epochs_done = 0  # they are told again
                self._clear_ending()
            case "stop_requested":
                self.stop_requested = True
            case "pulse":
                self.memory_bytes = max(self.memory_bytes, record["memory_bytes"])
            case "progress":
                self.phase, self.phase_done, self.phase_total = record["phase"], record["done"], record["total"]
            case "measured":
                self.num_metrics += 1
                self._clear_phase()
            case "expert_epoch":
                self.epochs_total = record["num_experts"] * record["num_epochs"]
                self.epochs_done += record["epoch"] > 0
            case "teacher_epoch":  # of one network, told of again where a run compares
                self.epochs_total, self.epochs_done = record["num_epochs"], record["epoch"]
            case "finished":
                self._end("done", record["time"])
            case "failed":
                self.error, self.error_step, self.details = record["message"], record["step"], record["details"]
                self._end("failed", record["time"])
            case "stopped":
                self._end("stopped", record["time"])
            case "interrupted":
                self._end("interrupted", self.heard)  # it ended when it was last heard, not when that was noticed
        self.num_notes += record["kind"] in NOTES
        self.heard = record["time"]

    def _end(self, status: Status, when: float) -> None:
        self.status, self.finished, self.owner, self.stop_requested = status, when, None, False
        self._clear_phase()

    def _clear_ending(self) -> None:
        self.finished, self.stop_requested = None, False
        self.error, self.error_step, self.details = "", 0, ""
        self._clear_phase()

    def _clear_phase(self) -> None:
        self.phase, self.phase_done, self.phase_total = "", 0, 0


def record(event: Event, time: float, **extra: Any) -> Record:
    """An event as a record of JSON values; NaN and infinities become null.

    Raises TypeError for a value that JSON cannot hold, and for Preview and Checkpoint, which are stored as files.
    """
    plain = to_jsonable_python(to_json(event), inf_nan_mode="null", fallback=_scalar)
    return {"kind": plain.pop("kind"), "time": time, **plain, **extra}


def size(path: Path) -> int:
    """Bytes of the log; 0 if it is missing."""
    return path.stat().st_size if path.exists() else 0


def append(path: Path, records: Iterable[Record]) -> None:
    """Add records in one write, under the store's write lock. Raises OSError and leaves the log as it was."""
    with path.open("ab") as file:
        end = file.tell()
        try:
            file.write(_lines(records))
            file.flush()
        except OSError:
            os.truncate(path, end)
            raise


def mend(path: Path) -> None:
    """Cut off a last line that a killed writer left half done."""
    os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


def create(path: Path, records: Iterable[Record]) -> None:
    """Start a log."""
    path.write_bytes(_lines(records))


def sync(path: Path) -> int:
    """Flush the log to disk, so that it survives a power cut; its size in bytes."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return file.seek(0, os.SEEK_END)


def rewind(path: Path, position: int | None, then: Record) -> None:
    """Cut the log at `position` bytes (None: after its first line) and add a record, atomically."""
    with path.open("rb") as file:
        kept = file.readline() if position is None else file.read(position)
    kept = kept[: kept.rfind(b"\n") + 1]
    write_atomically(path, kept + _lines([then]))


def read(path: Path) -> Iterator[Record]:
    """The records of a log, oldest first, without a last line that is still being written.

    A damaged line is replaced by a `warned` record that says so.
    """
    heard = 0.0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            found = _parse(line)
            if found is None:
                text = f"Line {number} of {path.name} is damaged and was left out."
                found = {"kind": "warned", "time": heard, "message": text}
            heard = found["time"]
            yield found


def _parse(line: bytes) -> Record | None:
    try:
        found = json.loads(line)
    except ValueError:  # bad JSON, bad UTF-8
        return None
    return found if isinstance(found, dict) and {"kind", "time"} <= found.keys() else None


def _lines(records: Iterable[Record]) -> bytes:
    return b"".join(json.dumps(each, allow_nan=False).encode() + b"\n" for each in records)


def _scalar(value: Any) -> Any:
    """A scalar of NumPy or torch as a Python number."""
    if getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"an event cannot carry a {type(value).__name__}: {value!r}")
