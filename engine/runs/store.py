"""Where runs are kept: one folder a run, and one SQLite database that is only an index of the folders.

    runs/runs.db                 rows, metrics, scores; rebuilt from the folders whenever it is missing or corrupt
    runs/0007/request.json       what was asked for
    runs/0007/events.jsonl       the log (see `log.py`): everything that happened
    runs/0007/previews/          step-00000120.npz, pictures
    runs/0007/checkpoints/       see `engine/checkpoint.py`
    runs/0007/result.safetensors the distilled set as of the last checkpoint, or the finished one

Every change is one transaction that holds SQLite's write lock, appends to the log and then commits, so that threads
and processes take turns. The log is the truth: where its size is not the one the database remembers, the rows of that
run are made again from it. A live run and a finished one are read by the same functions.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from engine import checkpoint
from engine.config import RunRequest
from engine.errors import RunError
from engine.events import Event, Preview, Scored, from_json
from engine.runs import log, owners
from engine.runs.curves import Curves, Series
from engine.runs.log import Record, RunState

Status = Literal["queued", "running", "stopped", "interrupted", "failed", "done"]

_SCHEMA_VERSION = 1
_SCHEMA = """
DROP TABLE IF EXISTS runs;
DROP TABLE IF EXISTS metrics;
DROP TABLE IF EXISTS notes;
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, status TEXT, queued REAL, log_bytes INTEGER, state TEXT, request TEXT
);
CREATE TABLE metrics (
    number INTEGER, place INTEGER, step INTEGER, seconds REAL, measured TEXT, PRIMARY KEY (number, place)
) WITHOUT ROWID;
CREATE TABLE notes (
    number INTEGER, place INTEGER, kind TEXT, record TEXT, PRIMARY KEY (number, place)
) WITHOUT ROWID;
"""
_BUSY_SECONDS = 60.0
_LIVENESS_SECONDS = 1.0
_MAX_NAME = 120
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunRow:
    """One run as it stands now. Times are unix seconds, durations seconds.

    seconds: time spent working, over all resumes. step of total_steps outer steps are done. phase: the stretch under
    way besides distilling, "" if none. seconds_per_step: moving average. eta_seconds: until distilling ends, while it
    runs. memory_bytes: peak over the run. error: the sentence of a failed run, details its traceback.
    checkpoint_step: where a resume would start; None means at the beginning.
    """

    id: str
    name: str
    status: Status
    stop_requested: bool
    source: str
    method: str
    preset: str
    seed: int
    request: RunRequest
    created: float
    started: float | None
    finished: float | None
    seconds: float
    step: int
    total_steps: int
    phase: str
    phase_done: int
    phase_total: int
    seconds_per_step: float | None
    eta_seconds: float | None
    memory_bytes: int
    error: str
    error_step: int
    details: str
    facts: dict[str, Any]
    summary: dict[str, Any]
    resumable: bool
    checkpoint_step: int | None


class Store:
    """All runs under one folder. Safe to share between threads; several processes may open the same folder."""

    def __init__(self, root: Path) -> None:
        """Make the folder and the database where they are missing; set a corrupt database aside and make it again."""
        self.root = Path(root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"Runs cannot be kept in {self.root} ({error.strerror}). Choose a folder that can be written, with DISTILLERY_RUNS or --runs."
            ) from error
        self._path = self.root / "runs.db"
        self._idle: deque[tuple[int, sqlite3.Connection]] = deque()  # (the file's number, connection)
        self._curves: dict[int, Curves] = {}
        self._curves_lock = threading.Lock()
        self._liveness_lock = threading.Lock()
        self._liveness_checked = float("-inf")
        self._open()

    # ---- asking ----

    def submit(self, request: RunRequest, status: Literal["queued", "running"] = "queued") -> str:
        """Keep a request as a new run and return its id. "running": claimed for this process at once."""
        now = time.time()
        records: list[Record] = [{"kind": "submitted", "time": now}]
        if status == "running":
            records.append({"kind": "claimed", "time": now, "owner": owners.this_process()})
        with self._writing() as db:
            number = 1 + max([_last_number(db), *self._folder_numbers()])
            fresh = self.root / f".new-{number:04d}"
            fresh.mkdir()
            (fresh / "request.json").write_text(request.model_dump_json(indent=2), encoding="utf-8")
            log.create(fresh / "events.jsonl", records)
            fresh.rename(self._folder(number))
            self._index(db, number)
        return _name(number)

    def request_stop(self, run_id: str) -> None:
        """Stop a queued run now, a running one within an outer step. Harmless for one that has ended."""
        with self._writing() as db:
            number, state = self._known(db, run_id)
            if state.status == "queued":
                self._append(db, number, [{"kind": "stopped", "time": time.time(), "step": state.step}])
            elif state.status == "running" and not state.stop_requested:
                self._append(db, number, [{"kind": "stop_requested", "time": time.time()}])

    def resume(self, run_id: str, status: Literal["queued", "running"] = "queued") -> None:
        """Queue a stopped, interrupted or failed run again, or claim it for this process at once ("running").

        Raises RunError in any other state.
        """
        self._interrupt_orphans(at_once=True)
        with self._writing() as db:
            number, state = self._known(db, run_id)
            if state.status == "done":
                raise RunError(
                    f"Run {_name(number)} is done, so there is nothing to resume. Start a new run with the same settings instead."
                )
            if state.status in ("queued", "running"):
                raise RunError(f"Run {_name(number)} is {state.status} already. Wait for it, or stop it first.")
            records: list[Record] = [{"kind": "queued", "time": time.time()}]
            if status == "running":
                records.append({"kind": "claimed", "time": time.time(), "owner": owners.this_process()})
            self._append(db, number, records)

    def delete(self, run_id: str) -> None:
        """Remove a run and everything it made. Raises RunError while it is running."""
        self._interrupt_orphans(at_once=True)
        with self._writing() as db:
            number, state = self._known(db, run_id)
            if state.status == "running":
                raise RunError(f"Run {_name(number)} is running. Stop it first, then delete it.")
            _forget(db, number)
            trash = self.root / f".trash-{_name(number)}"
            self._folder(number).rename(trash)
            shutil.rmtree(trash)

    def rename(self, run_id: str, name: str) -> None:
        """Give a run another name, any text of up to 120 characters."""
        if len(name) > _MAX_NAME:
            raise RunError(f"This name has {len(name)} characters. Choose one of at most {_MAX_NAME}.")
        with self._writing() as db:
            number, _ = self._known(db, run_id)
            request = _request(_one(db, "SELECT request FROM runs WHERE number = ?", number)).model_copy(
                update={"name": name}
            )
            checkpoint.write_atomically(
                self._folder(number) / "request.json", request.model_dump_json(indent=2).encode()
            )
            db.execute("UPDATE runs SET request = ? WHERE number = ?", (request.model_dump_json(), number))

    # ---- reading ----

    def runs(self) -> list[RunRow]:
        """Every run, newest first. A running one whose owner is dead is stored and shown as interrupted."""
        self._interrupt_orphans()
        with self._reading() as db:
            rows = db.execute("SELECT number, state, request FROM runs ORDER BY number DESC").fetchall()
        return [self._row(number, RunState(**json.loads(state)), request) for number, state, request in rows]

    def run(self, run_id: str) -> RunRow:
        """One run. Raises RunError if there is none of this id."""
        self._interrupt_orphans()
        number = _number(run_id)
        with self._reading() as db:
            found = db.execute("SELECT state, request FROM runs WHERE number = ?", (number,)).fetchone()
        if found is None:
            raise _unknown(run_id)
        return self._row(number, RunState(**json.loads(found[0])), found[1])

    def series(self, run_id: str) -> dict[str, Series]:
        """Every metric by name, and "seconds_per_step" as measured here. Later calls read only rows that are new."""
        with self._curves_lock, self._reading() as db:
            number, state = self._known(db, run_id)
            course = (state.created, state.rewinds)
            curves = self._curves.get(number)
            if curves is None or curves.course != course or curves.count > state.num_metrics:
                curves = self._curves[number] = Curves(course)
            if curves.count < state.num_metrics:
                query = "SELECT step, seconds, measured FROM metrics WHERE number = ? AND place >= ? ORDER BY place"
                curves.extend(db.execute(query, (number, curves.count)))
            return curves.series()

    def previews(self, run_id: str) -> list[int]:
        """Steps of which a picture is kept, in order."""
        return sorted(_preview_steps(self.folder(run_id)))

    def preview(self, run_id: str, step: int) -> Preview:
        """The picture after `step` outer steps. Raises RunError if none was kept."""
        path = _preview_path(self.folder(run_id), step)
        if not path.exists():
            raise RunError(
                f"Run {_name(_number(run_id))} keeps no picture of step {step}. Choose one of the steps listed."
            )
        with np.load(path, allow_pickle=False) as file:
            return Preview(step, file["images"], tuple(str(label) for label in file["labels"]))

    def scores(self, run_id: str) -> list[Scored]:
        """Every trained student measured so far, in order."""
        return [
            from_json({key: value for key, value in note.items() if key != "time"})
            for note in self._notes(run_id, "scored")
        ]

    def warnings(self, run_id: str) -> list[str]:
        """What the run warned of, in order."""
        return [note["message"] for note in self._notes(run_id, "warned")]

    def events(self, run_id: str) -> Iterator[Record]:
        """The log as it is now, oldest first: dictionaries with "kind" and "time" (see `log.py`)."""
        return log.read(self.folder(run_id) / "events.jsonl")

    def folder(self, run_id: str) -> Path:
        """The run's folder. Raises RunError if there is no such run."""
        folder = self._folder(_number(run_id))
        if not folder.is_dir():
            raise _unknown(run_id)
        return folder

    def result(self, run_id: str) -> Path | None:
        """The distilled set as last saved, or None if there is none yet."""
        path = self.folder(run_id) / "result.safetensors"
        return path if path.exists() else None

    def stop_requested(self, run_id: str) -> bool:
        """Whether somebody wants this running run to stop."""
        with self._reading() as db:
            return self._known(db, run_id)[1].stop_requested

    # ---- working ----

    def claim(self, run_id: str | None = None) -> str | None:
        """Take a queued run for this process, the oldest if none is named; None if there is nothing to take.

        Atomic: of any number of threads and processes, one gets it.
        """
        if run_id is None:
            with self._reading() as db:
                if _next_queued(db) is None:
                    return None  # the usual case costs no write lock
        with self._writing() as db:
            number = _next_queued(db) if run_id is None else self._known(db, run_id)[0]
            if number is None or self._state(db, number).status != "queued":
                return None
            self._append(db, number, [{"kind": "claimed", "time": time.time(), "owner": owners.this_process()}])
        return _name(number)

    def append(self, run_id: str, events: Iterable[Event | Record]) -> None:
        """Keep events, or log records made by `log.record`: one write to the log and one transaction.

        Previews become files. Raises OSError or sqlite3.Error where the disk refuses; nothing is kept then.
        """
        number, folder, records = _number(run_id), self.folder(run_id), []
        for event in events:
            if isinstance(event, Preview):
                _save_preview(folder, event)
            else:
                records.append(event if isinstance(event, dict) else log.record(event, time.time()))
        if not records:
            return
        with self._writing() as db:
            self._known(db, run_id)
            self._append(db, number, records)

    def log_position(self, run_id: str) -> int:
        """Bytes of the log so far, safe on disk: kept with a checkpoint, for `rewind`."""
        return log.sync(self.folder(run_id) / "events.jsonl")

    def rewind(self, run_id: str, step: int, position: int | None) -> None:
        """Forget what a claimed run did after a checkpoint: metrics, scores, warnings and previews.

        Args:
            step: outer steps done at the checkpoint; 0 for the beginning.
            position: `log_position` at the checkpoint; None for the beginning.
        """
        with self._writing() as db:
            number, state = self._known(db, run_id)
            kept = ("seconds", "started", "memory_bytes", "claims", "owner")
            then = {"kind": "rewound", "time": time.time(), "step": step, "rewinds": state.rewinds + 1}
            then |= {name: getattr(state, name) for name in kept}
            folder = self._folder(number)
            log.rewind(folder / "events.jsonl", position, then)
            for later in (found for found in _preview_steps(folder) if found > step):
                _preview_path(folder, later).unlink()
            self._index(db, number)

    def has_worked_before(self, run_id: str) -> bool:
        """Whether a claimed run was claimed before, so that there is something to resume or to rewind."""
        with self._reading() as db:
            return self._known(db, run_id)[1].claims > 1

    def rebuild(self) -> None:
        """Make every row again from the folders alone."""
        with self._writing() as db:
            for table in ("runs", "metrics", "notes"):
                db.execute(f"DELETE FROM {table}")
            self._reconcile(db)

    # ---- the database ----

    def _open(self) -> None:
        with self._opening():
            if self._path.exists() and not _is_sound(self._path):
                _set_aside(self._path)
            with self._connection() as db:
                db.execute("PRAGMA journal_mode = WAL")
                if db.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA_VERSION:
                    db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
            with self._writing() as db:
                self._reconcile(db)

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        """One process at a time. An empty SQLite file is the lock: it works on every system and dies with its holder."""
        lock = sqlite3.connect(self.root / "runs.lock", timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            lock.execute("BEGIN EXCLUSIVE")
            yield
        finally:
            lock.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile: an idle one, unless its file was set aside, or a new one.

        Lent and not kept a thread: pages run in threads that come and go, and each would leave its files open.
        """
        file = self._path.stat().st_ino if self._path.exists() else None
        db = None
        while self._idle and db is None:
            with contextlib.suppress(IndexError):  # another thread took the last one
                known, db = self._idle.pop()
                if known != file:
                    db.close()
                    db = None
        if db is None:
            db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA synchronous = NORMAL")
            file = self._path.stat().st_ino
        try:
            yield db
        finally:
            self._idle.append((file, db))

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._connection() as db:
            db.execute(begin)
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _writing(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return self._transaction("BEGIN IMMEDIATE")

    def _reading(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        return self._transaction("BEGIN DEFERRED")

    def _state(self, db: sqlite3.Connection, number: int) -> RunState:
        return RunState(**json.loads(_one(db, "SELECT state FROM runs WHERE number = ?", number)))

    def _known(self, db: sqlite3.Connection, run_id: str) -> tuple[int, RunState]:
        number = _number(run_id)
        found = db.execute("SELECT state FROM runs WHERE number = ?", (number,)).fetchone()
        if found is None:
            raise _unknown(run_id)
        return number, RunState(**json.loads(found[0]))

    def _append(self, db: sqlite3.Connection, number: int, records: list[Record]) -> None:
        path = self._folder(number) / "events.jsonl"
        state = self._state(db, number)
        if log.size(path) != _one(db, "SELECT log_bytes FROM runs WHERE number = ?", number):
            state = self._index(db, number)  # a writer died between log and database
        for record in records:
            _keep(db, number, state, record)
            state.apply(record)
        log.append(path, records)
        _update(db, number, state, log.size(path))

    def _index(self, db: sqlite3.Connection, number: int) -> RunState:
        """Rows of one run, made from its folder."""
        folder = self._folder(number)
        request = RunRequest.model_validate_json((folder / "request.json").read_bytes())
        _forget(db, number)
        db.execute("INSERT INTO runs (number, request) VALUES (?, ?)", (number, request.model_dump_json()))
        path = folder / "events.jsonl"
        state = log.fold(log.read(path), lambda before, record: _keep(db, number, before, record))
        _update(db, number, state, log.size(path))
        return state

    def _reconcile(self, db: sqlite3.Connection) -> None:
        """Make rows and folders agree; clear what a killed submit or delete left."""
        for leftover in (*self.root.glob(".new-*"), *self.root.glob(".trash-*")):
            shutil.rmtree(leftover)
        known = dict(db.execute("SELECT number, log_bytes FROM runs"))
        present = self._folder_numbers()
        for number in known.keys() - present:
            _forget(db, number)
        for number in sorted(present):
            path = self._folder(number) / "events.jsonl"
            if known.get(number) != log.size(path):
                self._index_if_readable(db, number)

    def _index_if_readable(self, db: sqlite3.Connection, number: int) -> None:
        try:
            self._index(db, number)
        except (OSError, ValidationError) as problem:
            _forget(db, number)
            _LOG.warning("Run %s is not shown, its folder cannot be read: %s", _name(number), problem)

    def _interrupt_orphans(self, at_once: bool = False) -> None:
        """Mark running runs whose owner died. Looks once a second at most, unless `at_once`."""
        with self._liveness_lock:
            if not at_once and time.monotonic() - self._liveness_checked < _LIVENESS_SECONDS:
                return
            self._liveness_checked = time.monotonic()
        with self._reading() as db:
            running = db.execute("SELECT number, state FROM runs WHERE status = 'running'").fetchall()
        for number, text in running:
            if _is_orphan(RunState(**json.loads(text))):
                self._interrupt(number)

    def _interrupt(self, number: int) -> None:
        with self._writing() as db:
            found = db.execute("SELECT state FROM runs WHERE number = ?", (number,)).fetchone()
            if found is None or not _is_orphan(RunState(**json.loads(found[0]))):
                return  # another reader was faster
            if not self._folder(number).is_dir():
                _forget(db, number)
                return
            self._append(db, number, [{"kind": "interrupted", "time": time.time()}])

    def _notes(self, run_id: str, kind: str) -> list[Record]:
        with self._reading() as db:
            number, _ = self._known(db, run_id)
            query = "SELECT record FROM notes WHERE number = ? AND kind = ? ORDER BY place"
            return [json.loads(text) for (text,) in db.execute(query, (number, kind))]

    # ---- folders ----

    def _folder(self, number: int) -> Path:
        return self.root / _name(number)

    def _folder_numbers(self) -> set[int]:
        return {
            int(path.name)
            for path in self.root.iterdir()
            if re.fullmatch(r"\d{4,9}", path.name, re.ASCII) and path.is_dir()
        }

    def _row(self, number: int, state: RunState, request_text: str) -> RunRow:
        request = _request(request_text)
        left = state.total_steps - state.step
        is_paced = state.status == "running" and state.seconds_per_step is not None and left > 0
        return RunRow(
            id=_name(number),
            name=request.name,
            status=state.status,
            stop_requested=state.stop_requested,
            source=request.source,
            method=request.method,
            preset=request.preset,
            seed=request.seed,
            request=request,
            created=state.created,
            started=state.started,
            finished=state.finished,
            seconds=state.seconds,
            step=state.step,
            total_steps=state.total_steps,
            phase=state.phase,
            phase_done=state.phase_done,
            phase_total=state.phase_total,
            seconds_per_step=state.seconds_per_step,
            eta_seconds=left * state.seconds_per_step if is_paced else None,
            memory_bytes=state.memory_bytes,
            error=state.error,
            error_step=state.error_step,
            details=state.details,
            facts=state.facts,
            summary=state.summary,
            resumable=state.status in ("stopped", "interrupted", "failed"),
            checkpoint_step=checkpoint.latest_step(self._folder(number) / "checkpoints"),
        )


def _number(run_id: str) -> int:
    """The number behind an id such as "0007". Anything that is not plain digits is refused, so no path gets through."""
    if not re.fullmatch(r"\d{1,9}", run_id, re.ASCII):
        raise _unknown(run_id)
    return int(run_id)


def _name(number: int) -> str:
    return f"{number:04d}"


def _unknown(run_id: str) -> RunError:
    return RunError(f"There is no run '{run_id[:40]}'. It may have been deleted; choose one from the list of runs.")


@lru_cache(maxsize=1024)
def _request(text: str) -> RunRequest:
    return RunRequest.model_validate_json(text)


def _one(db: sqlite3.Connection, query: str, number: int) -> Any:
    return db.execute(query, (number,)).fetchone()[0]


def _last_number(db: sqlite3.Connection) -> int:
    found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
    return found[0] if found else 0


def _next_queued(db: sqlite3.Connection) -> int | None:
    found = db.execute("SELECT number FROM runs WHERE status = 'queued' ORDER BY queued, number LIMIT 1").fetchone()
    return found[0] if found else None


def _forget(db: sqlite3.Connection, number: int) -> None:
    for table in ("runs", "metrics", "notes"):
        db.execute(f"DELETE FROM {table} WHERE number = ?", (number,))


def _keep(db: sqlite3.Connection, number: int, state: RunState, record: Record) -> None:
    """A row of its own for a record that has one; `state` is the one before it."""
    if record["kind"] == "measured":
        values = (number, state.num_metrics, record["step"], record.get("seconds"), json.dumps(record["values"]))
        db.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", values)
    elif record["kind"] in ("scored", "warned"):
        db.execute(
            "INSERT INTO notes VALUES (?, ?, ?, ?)", (number, state.num_notes, record["kind"], json.dumps(record))
        )


def _update(db: sqlite3.Connection, number: int, state: RunState, log_bytes: int) -> None:
    db.execute(
        "UPDATE runs SET status = ?, queued = ?, log_bytes = ?, state = ? WHERE number = ?",
        (state.status, state.queued, log_bytes, json.dumps(vars(state)), number),
    )


def _is_orphan(state: RunState) -> bool:
    return state.status == "running" and not owners.is_alive(state.owner, state.heard)


def _is_sound(path: Path) -> bool:
    if path.stat().st_size == 0:
        return False
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as db:
            return db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    except sqlite3.OperationalError:
        raise  # locked or unreadable, which says nothing about its content
    except sqlite3.DatabaseError:
        return False


def _set_aside(path: Path) -> None:
    stamp = time.time_ns()
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}{suffix}.corrupt-{stamp}"))
    _LOG.warning("%s was corrupt; it was set aside and is made again from the folders.", path)


def _preview_path(folder: Path, step: int) -> Path:
    return folder / "previews" / f"step-{step:08d}.npz"


def _preview_steps(folder: Path) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in (folder / "previews").glob("step-*.npz")]


def _save_preview(folder: Path, preview: Preview) -> None:
    path = _preview_path(folder, preview.step)
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(
            file, images=preview.images.astype(np.uint8, copy=False), labels=np.array(preview.labels, dtype=np.str_)
        )
    temporary.replace(path)
