"""The store's database: an index of the run folders, rebuilt from them wherever the two disagree.

One SQLite file (WAL) beside the folders. `Index` opens it, lends connections, and turns a run's folder into rows:
its request, its note and tags, and the state that its log adds up to.
"""

import contextlib
import json
import logging
import re
import shutil
import sqlite3
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.core.config import RunRequest
from engine.core.errors import RunError
from engine.runs import about, log, owners
from engine.runs.log import Record, RunState

_TABLES = ("runs", "metrics", "notes")
_SCHEMA_VERSION = 3
_SCHEMA = """
DROP TABLE IF EXISTS runs; DROP TABLE IF EXISTS metrics; DROP TABLE IF EXISTS notes;
CREATE TABLE runs (number INTEGER PRIMARY KEY AUTOINCREMENT, status TEXT, queued REAL, log_bytes INTEGER,
    state TEXT, request TEXT, about TEXT);
CREATE TABLE metrics (number INTEGER, place INTEGER, step INTEGER, seconds REAL, measured TEXT,
    PRIMARY KEY (number, place)) WITHOUT ROWID;
CREATE TABLE notes (number INTEGER, place INTEGER, kind TEXT, record TEXT, PRIMARY KEY (number, place)) WITHOUT ROWID;
"""
_BUSY_SECONDS = 60.0
_LOG = logging.getLogger(__name__)


class Index:
    """The rows of all runs under one folder. Safe to share between threads; several processes may open the same file.

    Every change is made inside `writing()`, which holds SQLite's write lock until it commits.
    """

    def __init__(self, root: Path) -> None:
        """Create the database if needed; rename a corrupt one and rebuild it."""
        self._root, self._path = root, root / "runs.db"
        self._idle: defaultdict[int, deque[sqlite3.Connection]] = defaultdict(deque)  # by inode of the file
        with self._opening():
            if self._path.exists() and not _is_sound(self._path):
                _set_aside(self._path)
            with self._connection() as db:
                db.execute("PRAGMA journal_mode = WAL")
                if db.execute("PRAGMA user_version").fetchone()[0] != _SCHEMA_VERSION:
                    db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;")
            with self.writing() as db:
                self._reconcile(db)

    def writing(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """A transaction that holds the write lock from its beginning."""
        return self._transaction("BEGIN IMMEDIATE")

    def reading(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """A transaction that sees one state of the database throughout."""
        return self._transaction("BEGIN DEFERRED")

    # ---- folders ----

    def folder(self, number: int) -> Path:
        """The folder of a run, which may not exist."""
        return self._root / name_of(number)

    def next_number(self, db: sqlite3.Connection) -> int:
        """A number that was never used."""
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
        return 1 + max([found[0] if found else 0, *self._folder_numbers()])

    def _folder_numbers(self) -> set[int]:
        paths = (path for path in self._root.iterdir() if path.is_dir())
        return {int(path.name) for path in paths if re.fullmatch(r"\d{4,9}", path.name, re.ASCII)}

    # ---- one run ----

    def known(self, db: sqlite3.Connection, run_id: str) -> tuple[int, RunState]:
        """Number and state of a run. Raises RunError if there is none of this id."""
        number = number_of(run_id)
        found = db.execute("SELECT state FROM runs WHERE number = ?", (number,)).fetchone()
        if found is None:
            raise unknown(run_id)
        return number, RunState(**json.loads(found[0]))

    def append(self, db: sqlite3.Connection, number: int, records: list[Record]) -> None:
        """Add records to a run's log and to its rows."""
        path = self.folder(number) / "events.jsonl"
        text, known_bytes = db.execute("SELECT state, log_bytes FROM runs WHERE number = ?", (number,)).fetchone()
        state = RunState(**json.loads(text))
        if log.size(path) != known_bytes:
            state = self.read_in(db, number)  # a process died after writing the log
        for record in records:
            _keep(db, number, state, record)
            state.apply(record)
        log.append(path, records)
        _update(db, number, state, log.size(path))

    def read_in(self, db: sqlite3.Connection, number: int) -> RunState:
        """Make the rows of a run again from its folder."""
        folder = self.folder(number)
        request = RunRequest.model_validate_json((folder / "request.json").read_bytes())
        forget(db, number)
        values = (number, request.model_dump_json(), about.read(folder).model_dump_json())
        db.execute("INSERT INTO runs (number, request, about) VALUES (?, ?, ?)", values)
        path = folder / "events.jsonl"
        log.mend(path)
        state = RunState()
        for record in log.read(path):
            _keep(db, number, state, record)
            state.apply(record)
        _update(db, number, state, log.size(path))
        return state

    def interrupt_orphans(self) -> None:
        """Mark running runs whose process died."""
        with self.reading() as db:
            running = db.execute("SELECT number, state FROM runs WHERE status = 'running'").fetchall()
        orphans = [number for number, text in running if _is_orphan(text)]
        for number in orphans:
            with self.writing() as db:
                found = db.execute("SELECT state FROM runs WHERE number = ?", (number,)).fetchone()
                if found is None or not _is_orphan(found[0]):
                    continue  # another reader was faster
                if self.folder(number).is_dir():
                    self.append(db, number, [{"kind": "interrupted", "time": time.time()}])
                else:
                    forget(db, number)

    # ---- all runs ----

    def _reconcile(self, db: sqlite3.Connection) -> None:
        """Make rows and folders agree; remove what a killed submit or delete left."""
        for leftover in (*self._root.glob(".new-*"), *self._root.glob(".trash-*")):
            shutil.rmtree(leftover)
        known = dict(db.execute("SELECT number, log_bytes FROM runs"))
        present = self._folder_numbers()
        for number in known.keys() - present:
            forget(db, number)
        for number in sorted(present):
            if known.get(number) == log.size(self.folder(number) / "events.jsonl"):
                continue
            try:
                self.read_in(db, number)
            except (OSError, ValidationError) as problem:
                forget(db, number)
                _LOG.warning("Run %s is not shown, its folder cannot be read: %s", name_of(number), problem)

    # ---- connections ----

    @contextlib.contextmanager
    def _opening(self) -> Iterator[None]:
        """One process at a time. The lock is an empty SQLite file: it works everywhere and dies with its holder."""
        lock = sqlite3.connect(self._root / "runs.lock", timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            lock.execute("BEGIN EXCLUSIVE")
            yield
        finally:
            lock.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to the present file: an idle one or a new one.

        One per thread would leak: pages run in threads that come and go.
        """
        if not self._path.exists():
            self._path.touch()
        idle = self._idle[self._path.stat().st_ino]
        try:
            db = idle.pop()
        except IndexError:
            db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA synchronous = NORMAL")
        try:
            yield db
        finally:
            idle.append(db)

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._connection() as db, db:  # commits, or rolls back after an error
            db.execute(begin)
            yield db


def number_of(run_id: str) -> int:
    """The number of an id such as "0007". Only digits are accepted, so that no id can be a path."""
    if not re.fullmatch(r"\d{1,9}", run_id, re.ASCII):
        raise unknown(run_id)
    return int(run_id)


def name_of(number: int) -> str:
    """The id of a run, which is the name of its folder."""
    return f"{number:04d}"


def unknown(run_id: str) -> RunError:
    """The error for an unknown id."""
    return RunError(f"There is no run '{run_id[:40]}'. It may have been deleted; choose one from the list of runs.")


def one(db: sqlite3.Connection, query: str, number: int) -> Any:
    """The value that a query about a run returns."""
    return db.execute(query, (number,)).fetchone()[0]


def next_queued(db: sqlite3.Connection) -> int | None:
    """The run that has waited longest; None if the queue is empty."""
    found = db.execute("SELECT number FROM runs WHERE status = 'queued' ORDER BY queued, number LIMIT 1").fetchone()
    return found[0] if found else None


def forget(db: sqlite3.Connection, number: int) -> None:
    """Remove all rows of a run."""
    for table in _TABLES:
        db.execute(f"DELETE FROM {table} WHERE number = ?", (number,))


def _keep(db: sqlite3.Connection, number: int, state: RunState, record: Record) -> None:
    """Insert the row of a metric or a note. state: before this record."""
    if record["kind"] == "measured":
        values = (number, state.num_metrics, record["step"], record.get("seconds"), json.dumps(record["values"]))
        db.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", values)
    elif record["kind"] in log.NOTES:
        note = (number, state.num_notes, record["kind"], json.dumps(record))
        db.execute("INSERT INTO notes VALUES (?, ?, ?, ?)", note)


def _update(db: sqlite3.Connection, number: int, state: RunState, log_bytes: int) -> None:
    values = (state.status, state.queued, log_bytes, json.dumps(vars(state)), number)
    db.execute("UPDATE runs SET status = ?, queued = ?, log_bytes = ?, state = ? WHERE number = ?", values)


def _is_orphan(text: str) -> bool:
    """Whether a state, as JSON, is that of a running run whose process died."""
    state = RunState(**json.loads(text))
    return state.status == "running" and not (state.owner and owners.is_alive(state.owner, state.heard))


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
    _LOG.warning("%s was corrupt. It was renamed and is rebuilt from the run folders.", path)
