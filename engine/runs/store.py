"""Stores runs: one folder per run, and one SQLite database that indexes the folders.

    runs/runs.db                 the index (see `index.py`); rebuilt from the folders if missing or corrupt
    runs/0007/request.json       the request
    runs/0007/about.json         a note and tags, if there are any
    runs/0007/events.jsonl       the log of events (see `log.py`)
    runs/0007/previews/          step-00000120.npz, pictures
    runs/0007/checkpoints/       see `engine/core/checkpoint.py`
    runs/0007/start.safetensors  the result it starts from or evaluates, if any
    runs/0007/begun.safetensors  the set before its first outer step, unless that was noise
    runs/0007/result.safetensors the distilled set as of the last checkpoint, or the finished one
    runs/0007/student.safetensors  a network trained on it, and its teacher.safetensors, if it has one

Every change is one transaction: it takes SQLite's write lock, appends to the log and commits, so threads and processes
take turns. If the log is not as long as the database expects, the rows of that run are made again from it.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from engine.core import checkpoint
from engine.core.config import RunRequest
from engine.core.course import Course
from engine.core.errors import RunError
from engine.core.events import Event, ExpertEpoch, Preview, Scored, TeacherEpoch, from_json
from engine.core.run_row import RunProgress, RunRow
from engine.runs import about, log, owners, previews
from engine.runs.about import About
from engine.runs.curves import Curves, Series
from engine.runs.index import Index, forget, name_of, next_queued, number_of, one, unknown
from engine.runs.log import Record, RunState

NETWORKS = ("student", "teacher")
START_FILE = "start.safetensors"
"""In a run's folder: the result that it starts from or evaluates."""
BEGUN_FILE = "begun.safetensors"
"""In a run's folder: its set before the first outer step, or that of the run it evaluates."""
_OF_STATE = {field.name for field in fields(RunProgress)}
_OF_REQUEST = {field.name for field in fields(RunRow)} & RunRequest.model_fields.keys()
"""The fields of a row that are copied from the state and from the request."""
_LIVENESS_SECONDS = 1.0
_MAX_NAME = 120


class Store:
    """All runs under one folder. Safe to share between threads; several processes may open the same folder."""

    def __init__(self, root: Path) -> None:
        """Create the folder and the database if needed; rename a corrupt database and rebuild it."""
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"Runs cannot be kept in {self.root} ({error.strerror})."
            raise RunError(f"{reason} Choose a writable folder with DISTILLERY_RUNS or --runs.") from error
        self._index = Index(self.root)
        self._curves: dict[int, Curves] = {}
        self._curves_lock = threading.Lock()
        self._liveness_lock = threading.Lock()
        self._liveness_checked = float("-inf")

    # ---- asking ----

    def submit(self, request: RunRequest, status: Literal["queued", "running"] = "queued") -> str:
        """Store a request as a new run and return its id. "running": claimed by this process at once.

        Raises RunError, and stores nothing, if the run it starts from has no result or the disk is full.
        """
        start = self.needed_result(request.start) if request.start else None
        with self._index.writing() as db:
            number = self._index.next_number(db)
            fresh = self.root / f".new-{number:04d}"
            try:
                fresh.mkdir()
                (fresh / "request.json").write_text(request.model_dump_json(indent=2), encoding="utf-8")
                if start is not None:
                    shutil.copyfile(start, fresh / START_FILE)
                    begun = start.with_name(BEGUN_FILE)
                    if request.action == "evaluate" and begun.exists():
                        shutil.copyfile(begun, fresh / BEGUN_FILE)
                log.create(fresh / "events.jsonl", _begun("submitted", status))
                fresh.rename(self._index.folder(number))
            except OSError as error:
                shutil.rmtree(fresh, ignore_errors=True)  # or the next run could not have this number
                reason = f"This run cannot be kept in {self.root} ({error.strerror})."
                raise RunError(f"{reason} Free some space there and start it again.") from error
            self._index.read_in(db, number)
        return name_of(number)

    def request_stop(self, run_id: str) -> None:
        """Stop a queued run now, a running one within an outer step. Does nothing to one that has ended."""
        with self._index.writing() as db:
            number, state = self._index.known(db, run_id)
            if state.status == "queued":
                self._index.append(db, number, [{"kind": "stopped", "time": time.time(), "step": state.step}])
            elif state.status == "running" and not state.stop_requested:
                self._index.append(db, number, [{"kind": "stop_requested", "time": time.time()}])

    def resume(self, run_id: str, status: Literal["queued", "running"] = "queued") -> None:
        """Queue a stopped, interrupted or failed run again, or claim it ("running"). Raises RunError for others."""
        self._interrupt_orphans(at_once=True)
        with self._index.writing() as db:
            number, state = self._index.known(db, run_id)
            if state.status == "done":
                what = f"Run {name_of(number)} is done, so there is nothing to resume."
                raise RunError(f"{what} Start a new run with the same settings instead.")
            if state.status in ("queued", "running"):
                raise RunError(f"Run {name_of(number)} is {state.status} already. Wait for it, or stop it first.")
            self._index.append(db, number, _begun("queued", status))

    def delete(self, run_id: str) -> None:
        """Remove a run and everything it made. Raises RunError while it is running."""
        self._interrupt_orphans(at_once=True)
        with self._index.writing() as db:
            number, state = self._index.known(db, run_id)
            if state.status == "running":
                raise RunError(f"Run {name_of(number)} is running. Stop it first, then delete it.")
            forget(db, number)
            trash = self.root / f".trash-{name_of(number)}"
            self._index.folder(number).rename(trash)
            shutil.rmtree(trash)

    def rename(self, run_id: str, name: str) -> None:
        """Give a run another name, any text of up to 120 characters."""
        if len(name) > _MAX_NAME:
            raise RunError(f"This name has {len(name)} characters. Choose one of at most {_MAX_NAME}.")
        with self._index.writing() as db:
            number, _ = self._index.known(db, run_id)
            before = _request(one(db, "SELECT request FROM runs WHERE number = ?", number))
            request = before.model_copy(update={"name": name})
            path = self._index.folder(number) / "request.json"
            checkpoint.write_atomically(path, request.model_dump_json(indent=2).encode())
            db.execute("UPDATE runs SET request = ? WHERE number = ?", (request.model_dump_json(), number))

    def annotate(self, run_id: str, *, note: str | None = None, tags: Iterable[str] | None = None) -> None:
        """Replace a run's note, its tags, or both; None keeps the old. Raises RunError if they are too long."""
        with self._index.writing() as db:
            number, _ = self._index.known(db, run_id)
            before = _about(one(db, "SELECT about FROM runs WHERE number = ?", number))
            said = about.checked(before.note if note is None else note, before.tags if tags is None else tuple(tags))
            about.write(self._index.folder(number), said)
            db.execute("UPDATE runs SET about = ? WHERE number = ?", (said.model_dump_json(), number))

    # ---- reading ----

    def runs(self) -> list[RunRow]:
        """Every run, newest first. A run whose process died is interrupted."""
        self._interrupt_orphans()
        with self._index.reading() as db:
            rows = db.execute("SELECT number, state, request, about FROM runs ORDER BY number DESC").fetchall()
        return [self._row(*row) for row in rows]

    def run(self, run_id: str) -> RunRow:
        """One run. Raises RunError if there is none of this id."""
        self._interrupt_orphans()
        number = number_of(run_id)
        with self._index.reading() as db:
            found = db.execute("SELECT state, request, about FROM runs WHERE number = ?", (number,)).fetchone()
        if found is None:
            raise unknown(run_id)
        return self._row(number, *found)

    def series(self, run_id: str) -> dict[str, Series]:
        """Every metric by name, and "seconds_per_step". Later calls read only new rows."""
        with self._curves_lock, self._index.reading() as db:
            number, state = self._index.known(db, run_id)
            course = (state.created, state.rewinds)
            curves = self._curves.get(number)
            if curves is None or curves.course != course or curves.count > state.num_metrics:
                curves = self._curves[number] = Curves(course)
            if curves.count < state.num_metrics:
                query = "SELECT step, seconds, measured FROM metrics WHERE number = ? AND place >= ? ORDER BY place"
                curves.extend(db.execute(query, (number, curves.count)))
            return curves.series()

    def previews(self, run_id: str) -> list[int]:
        """Steps that have a picture, in order."""
        return previews.steps(self.folder(run_id))

    def preview(self, run_id: str, step: int) -> Preview:
        """The picture after `step` outer steps. Raises RunError if none was kept."""
        folder = self.folder(run_id)
        if not previews.path_of(folder, step).exists():
            raise RunError(f"Run {folder.name} has no picture of step {step}. Choose a step from the list.")
        return previews.load(folder, step)

    def scores(self, run_id: str) -> list[Scored]:
        """The scores of every trained student so far, in order."""
        return self._events(run_id, "scored")

    def expert_epochs(self, run_id: str) -> list[ExpertEpoch]:
        """Every epoch of every expert, trained or cached, each once."""
        return list(_each_once(self._events(run_id, "expert_epoch"), lambda event: (event.expert, event.epoch)))

    def teacher_epochs(self, run_id: str) -> list[TeacherEpoch]:
        """Every epoch of the teacher, trained or cached, each once, in order."""
        found = _each_once(self._events(run_id, "teacher_epoch"), attrgetter("epoch"))
        return sorted(found, key=attrgetter("epoch"))

    def analyses(self, run_id: str) -> dict[str, dict[str, Any]]:
        """The latest findings by name: "spectrum", "approximation", "map" (see `engine.core.events.Analysed`)."""
        return {event.name: event.values for event in self._events(run_id, "analysed")}

    def warnings(self, run_id: str) -> list[str]:
        """The run's warnings, in order."""
        return [event.message for event in self._events(run_id, "warned") if event.level == "warning"]

    def notes(self, run_id: str) -> list[str]:
        """The run's notes, in order."""
        return [event.message for event in self._events(run_id, "warned") if event.level == "note"]

    def folder(self, run_id: str) -> Path:
        """The run's folder. Raises RunError if there is no such run."""
        folder = self._index.folder(number_of(run_id))
        if not folder.is_dir():
            raise unknown(run_id)
        return folder

    def result(self, run_id: str) -> Path | None:
        """The distilled set as last saved, or None if there is none yet."""
        path = self.folder(run_id) / "result.safetensors"
        return path if path.exists() else None

    def begun(self, run_id: str) -> Path | None:
        """The set before its first outer step, None if it was not kept."""
        path = self.folder(run_id) / BEGUN_FILE
        return path if path.exists() else None

    def networks(self, run_id: str) -> dict[str, Path]:
        """The networks that can be taken home with the result: "student" and "teacher", as far as there are any."""
        paths = {name: self.folder(run_id) / f"{name}.safetensors" for name in NETWORKS}
        return {name: path for name, path in paths.items() if path.exists()}

    def needed_result(self, run_id: str) -> Path:
        """The distilled set as last saved. Raises RunError if there is none: why, and what to do."""
        if path := self.result(run_id):
            return path
        row = self.run(run_id)
        if row.action == "record":
            made = "trained a teacher" if self.teacher_epochs(run_id) else "recorded experts"
            raise RunError(f"Run {row.id} {made}, so it has no result. Distil with the same settings to make one.")
        what = f"Run {row.id} has no result yet; it is {row.status}."
        raise RunError(f"{what} Let it run, or stop it: a stopped run keeps its set.")

    # ---- working ----

    def claim(self, run_id: str | None = None) -> str | None:
        """Claim a queued run for this process, the oldest if none is named; None if there is none. Atomic."""
        if run_id is None:
            with self._index.reading() as db:
                if next_queued(db) is None:
                    return None  # usually so, and this takes no write lock
        with self._index.writing() as db:
            number = next_queued(db) if run_id is None else number_of(run_id)
            if number is None or self._index.known(db, name_of(number))[1].status != "queued":
                return None
            self._index.append(db, number, _begun("queued", "running")[1:])
        return name_of(number)

    def append(self, run_id: str, events: Iterable[Event | Record]) -> None:
        """Store events, or records made by `log.record`, in one transaction; previews become files.

        Raises OSError or sqlite3.Error, and stores no record, if the disk is full or broken.
        """
        folder, records = self.folder(run_id), []
        for event in events:
            if isinstance(event, Preview):
                previews.save(folder, event)
            else:
                records.append(event if isinstance(event, dict) else log.record(event, time.time()))
        if records:
            with self._index.writing() as db:
                self._index.append(db, self._index.known(db, run_id)[0], records)

    def log_position(self, run_id: str) -> int:
        """Flush the log to disk and return its size in bytes: stored with a checkpoint, for `rewind`."""
        return log.sync(self.folder(run_id) / "events.jsonl")

    def rewind(self, run_id: str, step: int, position: int | None) -> None:
        """Remove what a claimed run did after a checkpoint: metrics, scores, warnings and previews.

        step: outer steps done at the checkpoint. position: its `log_position`. 0 and None restart the run.
        """
        with self._index.writing() as db:
            number, state = self._index.known(db, run_id)
            kept = ("seconds", "started", "memory_bytes", "claims", "owner")
            then = {"kind": "rewound", "time": time.time(), "step": step, "rewinds": state.rewinds + 1}
            then |= {name: getattr(state, name) for name in kept}
            folder = self._index.folder(number)
            log.rewind(folder / "events.jsonl", position, then)
            for later in (found for found in previews.steps(folder) if found > step):
                previews.path_of(folder, later).unlink()
            self._index.read_in(db, number)

    # ---- inside ----

    def _events(self, run_id: str, kind: str) -> list[Any]:
        """The events of one of `log.NOTES`, in order."""
        with self._index.reading() as db:
            number, _ = self._index.known(db, run_id)
            query = "SELECT record FROM notes WHERE number = ? AND kind = ? ORDER BY place"
            notes = [json.loads(text) for (text,) in db.execute(query, (number, kind))]
        return [from_json({key: value for key, value in note.items() if key != "time"}) for note in notes]

    def _interrupt_orphans(self, at_once: bool = False) -> None:
        """Mark running runs whose process died. Checks at most once per second, unless `at_once`."""
        with self._liveness_lock:
            if not at_once and time.monotonic() - self._liveness_checked < _LIVENESS_SECONDS:
                return
            self._liveness_checked = time.monotonic()
        self._index.interrupt_orphans()

    def _row(self, number: int, state_text: str, request_text: str, about_text: str) -> RunRow:
        state, request, said = RunState(**json.loads(state_text)), _request(request_text), _about(about_text)
        values = {name: getattr(request, name) for name in _OF_REQUEST} | vars(said)
        values |= {name: getattr(state, name) for name in _OF_STATE} | {"id": name_of(number), "request": request}
        step = checkpoint.latest_step(self._index.folder(number) / "checkpoints")
        return RunRow(**values, checkpoint_step=step, outlook=Course(**state.course).outlook())


def _begun(kind: Literal["submitted", "queued"], status: Literal["queued", "running"]) -> list[Record]:
    """The records of a run that is submitted or queued, and claimed by this process if it is to be running."""
    now = time.time()
    claimed: list[Record] = [{"kind": "claimed", "time": now, "owner": owners.this_process()}]
    return [{"kind": kind, "time": now}, *(claimed if status == "running" else [])]


def _each_once(events: Iterable[Any], key: Callable[[Any], Any]) -> Iterable[Any]:
    """One event per key: the latest that was trained, else the first that was cached."""
    found: dict[Any, Any] = {}
    for event in events:
        if not event.cached or key(event) not in found:
            found[key(event)] = event
    return found.values()


@lru_cache(maxsize=1024)
def _request(text: str) -> RunRequest:
    return RunRequest.model_validate_json(text)


@lru_cache(maxsize=1024)
def _about(text: str) -> About:
    return About.model_validate_json(text)
