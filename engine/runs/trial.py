"""Estimates of requests in a child process, so that one that runs out of memory does not end the program.

`Trials` keeps one such process, started on demand and ended when idle. Messages are JSON, one per line:

    to the child      {request, start, data_root, cache_root}
    from the child    {phase}, {so_far: Estimate}, then one of {estimate}, {refusal, is_final}, {out_of_memory: bytes}
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sqlite3
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import psutil
import torch

from engine.core import machine
from engine.core.config import RunRequest
from engine.core.context import Context, data_root
from engine.core.errors import UserError
from engine.core.events import Progress
from engine.core.program import ROOT
from engine.pretrained import store as pretrained
from engine.runs.estimate import Estimate, estimate
from engine.runs.store import BEGUN_FILE, Store
from engine.synthetic import load

MOST_SECONDS = 60.0
IDLE_SECONDS = 300.0
MOST_ANSWERS = 64
_LOOK_SECONDS = 0.05
_GONE_SECONDS = 10.0  # a waiting page asks every second
_LEFT_SECONDS = 5.0  # that a trial may go on when nobody waits: a new process would take as long to start
_START_SECONDS = 60.0
_MAIN_MEMORY = torch.device("cpu")
_OR_AGAIN = "Start without an estimate, or try again."
_NO_ANSWER = f"The trial step gave no answer. {_OR_AGAIN}"
_KILLED = "The trial step was killed, most likely because memory ran out. Try again, or start with smaller settings."

Message = dict[str, Any]
_Recorded = frozenset[tuple[str, int]]


@dataclass(frozen=True)
class Pending:
    """A trial that is queued or running. phase: what it is doing; "" while queued."""

    phase: str = ""


@dataclass(frozen=True)
class Refusal:
    """Why there is no estimate. is_final: the run itself would fail in the same way."""

    sentence: str
    is_final: bool = False


Answer = Estimate | Refusal | Pending


class Trials:
    """Estimates of requests; callers poll `ask` until the answer is there.

    Each asker (a browser session) has one request at a time: a newer one replaces the older. A trial that nobody waits
    for ends after a few seconds at most; an asker that has not polled for a while (a closed tab) no longer waits. A
    trial that takes too long ends with a lower bound. The last 64 answers are kept. Thread-safe.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._most_seconds, self._idle_seconds = store, MOST_SECONDS, IDLE_SECONDS
        self._changed = threading.Condition()
        self._wanted: dict[str, tuple[RunRequest, float]] = {}  # by asker, with the time when it last asked
        self._answers: OrderedDict[str, tuple[Estimate | Refusal, _Recorded]] = OrderedDict()
        self._current, self._phase = "", ""
        self._is_closing = False
        self._process: _Process | None = None
        self._thread: threading.Thread | None = None

    @staticmethod
    def key(request: RunRequest) -> str:
        """Requests with equal keys share an estimate."""
        return request.model_dump_json(exclude={"name", "seed", "preset", "sweep"})

    def known(self, request: RunRequest) -> Estimate | Refusal | None:
        """The answer to a request if there is one; starts nothing."""
        with self._changed:
            return self._known(self.key(request))

    def ask(self, request: RunRequest, asker: str = "") -> Answer:
        """The answer to a request, or Pending; queues its trial."""
        key = self.key(request)
        with self._changed:
            if (answer := self._known(key)) is not None:
                self._answers.move_to_end(key)
                return answer
            is_new = asker not in self._wanted or self.key(self._wanted[asker][0]) != key
            self._wanted[asker] = request, time.monotonic()
            if is_new:
                self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="trials", daemon=True)
                self._thread.start()
            return Pending(self._phase if key == self._current else "")

    def wait(self, request: RunRequest, asker: str = "") -> Estimate | Refusal:
        """Block until a request has its answer."""
        deadline = time.monotonic() + _START_SECONDS + 2 * self._most_seconds
        while isinstance(answer := self.ask(request, asker), Pending):
            if time.monotonic() > deadline:
                return Refusal(_NO_ANSWER)
            with self._changed:
                self._changed.wait(_LOOK_SECONDS)
        return answer

    def forget(self, request: RunRequest) -> None:
        """Drop the answer to a request, so that the next `ask` starts a new trial."""
        with self._changed:
            self._answers.pop(self.key(request), None)

    def close(self) -> None:
        """End the process and the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(5.0)

    # ---- in the thread ----

    def _work(self) -> None:
        try:
            while (request := self._next()) is not None:
                recorded = self._recorded_now()
                answer = self._answer(request)
                with self._changed:
                    if answer is not None:
                        self._keep(self.key(request), answer, recorded)
                    self._current, self._phase = "", ""
                    self._changed.notify_all()
        finally:
            self._end_process()

    def _next(self) -> RunRequest | None:
        """The request that has waited longest; None after `close`."""
        with self._changed:
            while not self._still_wanted() and not self._is_closing:
                if not self._changed.wait(self._idle_seconds):
                    self._end_process()
            if self._is_closing:
                return None
            request = self._still_wanted()[0]
            self._current = self.key(request)
            return request

    def _known(self, key: str) -> Estimate | Refusal | None:
        """A kept answer, unless the experts or teachers it counted have changed. Called with the lock held."""
        answer, recorded = self._answers.get(key, (None, None))
        if isinstance(answer, Estimate) and answer.num_experts and recorded != self._recorded_now():
            del self._answers[key]
            return None
        return answer

    def _recorded_now(self) -> _Recorded:
        return pretrained.state(self._store.root / "cache")

    def _keep(self, key: str, answer: Estimate | Refusal, recorded: _Recorded) -> None:
        """recorded: the experts and teachers that the trial counted."""
        self._answers[key] = answer, recorded
        self._wanted = {asker: wanted for asker, wanted in self._wanted.items() if self.key(wanted[0]) != key}
        while len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)

    def _is_wanted(self, key: str) -> bool:
        with self._changed:
            return any(self.key(request) == key for request in self._still_wanted())

    def _still_wanted(self) -> list[RunRequest]:
        """The requests, without those of askers that have gone. Called with the lock held."""
        oldest = time.monotonic() - _GONE_SECONDS
        self._wanted = {asker: wanted for asker, wanted in self._wanted.items() if wanted[1] > oldest}
        return [request for request, _ in self._wanted.values()]

    def _answer(self, request: RunRequest) -> Estimate | Refusal | None:
        """Try a request; None if nobody waits for it any more. Failures of the process become a Refusal."""
        try:
            beside = self._is_beside()
            message = self._message(request)
            if self._process is None or not self._process.is_alive():
                self._process = _Process()
            self._process.send(message)
            answer = self._followed(self.key(request), self._process)
            if isinstance(answer, Estimate):
                answer = replace(answer, beside=beside or self._is_beside())
            return answer
        except UserError as error:
            return Refusal(str(error), is_final=True)
        except (OSError, sqlite3.Error) as error:
            self._end_process()
            return Refusal(f"The trial step could not be started ({error}). {_OR_AGAIN}")

    def _followed(self, key: str, process: _Process) -> Estimate | Refusal | None:
        """Listen until the trial answers. End its process if nobody waits, or it takes too long or too much memory."""
        found, phase = Estimate(), ""
        asked, began, phase_began, taken = time.monotonic(), None, None, 0
        wanted = asked
        end: Estimate | Refusal | None = None
        while not self._is_closing:
            message = process.hear(_LOOK_SECONDS) or {}
            now, taken = time.monotonic(), max(taken, process.memory_taken())
            if message and began is None:
                began = now  # the process may have had to start
            if self._is_wanted(key):
                wanted = now
            elif began is not None and now - max(wanted, began) > _LEFT_SECONDS:
                break
            match message:
                case {"phase": phase}:
                    phase_began = now
                    with self._changed:
                        self._phase = phase
                case {"so_far": values}:
                    found = Estimate(**values)
                case {"estimate": values}:
                    return Estimate(**values)
                case {"refusal": sentence, "is_final": is_final}:
                    return Refusal(sentence, is_final)
                case {"out_of_memory": memory_bytes}:
                    end = _too_large(found, memory_bytes)
                    break
                case {"ended": status}:
                    by_itself = f"The trial step ended by itself with status {status}. {_OR_AGAIN}"
                    end = Refusal(_KILLED if status < 0 else by_itself)
                    break
            if began is None and now - asked > _START_SECONDS:
                end = Refusal(_NO_ANSWER)
                break
            if began is not None and now - began > self._most_seconds:
                found = found.cut_short(phase, now - (phase_began or began))
                end = replace(found, memory_bytes=max(found.memory_bytes, taken))
                break
            if machine.available_memory(_MAIN_MEMORY) < machine.reserve(_MAIN_MEMORY):
                end = _too_large(found, taken)
                break
        self._end_process()
        return end

    def _message(self, request: RunRequest) -> Message:
        start = self._store.result(request.start) if request.start else None
        roots = {"data_root": str(data_root()), "cache_root": str(self._store.root / "cache")}
        return {"request": request.model_dump(mode="json"), "start": str(start) if start else None, **roots}

    def _is_beside(self) -> bool:
        return any(row.status == "running" for row in self._store.runs())

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()


class _Process:
    """One `python -m engine trial`, and what it says."""

    def __init__(self) -> None:
        command, pipe = [sys.executable, "-m", "engine", "trial"], subprocess.PIPE
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        # a session of its own, so that Ctrl-C in the terminal does not reach it
        self._popen = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        self._stdin, self._stdout = cast(IO[str], self._popen.stdin), cast(IO[str], self._popen.stdout)
        self._at_first = 0
        self._heard: queue.Queue[Message] = queue.Queue()
        threading.Thread(target=self._listen, name="trial", daemon=True).start()

    def send(self, message: Message) -> None:
        """Ask for a trial."""
        self._at_first = self._memory()
        self._stdin.write(json.dumps(message) + "\n")
        self._stdin.flush()

    def hear(self, timeout: float) -> Message | None:
        """The next message; None if there is none in time. {"ended": status} is the last one."""
        try:
            return self._heard.get(timeout=timeout)
        except queue.Empty:
            return None

    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._popen.poll() is None

    def memory_taken(self) -> int:
        """Bytes that it has taken since `send`."""
        return max(0, self._memory() - self._at_first)

    def end(self) -> None:
        """Kill it and wait until its memory is free."""
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(OSError, ValueError):
                pipe.close()

    def _memory(self) -> int:
        try:
            return psutil.Process(self._popen.pid).memory_info().rss
        except psutil.Error:
            return 0

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._stdout:
                self._heard.put(json.loads(line))
        self._heard.put({"ended": self._popen.wait()})


def _too_large(found: Estimate, memory_bytes: int) -> Estimate:
    most = max(found.memory_bytes, memory_bytes)
    return replace(found, memory_bytes=most, lower_bound=True, is_out_of_memory=True)


# ---------------------------------------------------------------------------------------------- the other side


def serve() -> int:
    """Answer requests from standard input until it closes: `python -m engine trial`."""
    _step_back()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print to standard error, not among the answers

    def say(message: Message) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    asked: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(asked,), name="asked", daemon=True).start()
    while True:
        _try(json.loads(asked.get()), say)


def _read(asked: queue.Queue[str]) -> None:
    """Queue the requests; end the process at once when standard input closes."""
    for line in sys.stdin:
        asked.put(line)
    os._exit(0)


def _step_back() -> None:
    """Lower this process's priority, and make it the first target of the out-of-memory killer."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _try(asked: Message, say: Callable[[Message], None]) -> None:
    request, room = RunRequest(**asked["request"]), 0
    try:
        device = machine.pick_device(request.device)
        path = Path(asked["start"]) if asked["start"] else None
        start, kept = (load(path, device), path.with_name(BEGUN_FILE)) if path else (None, None)
        begun = load(kept, device) if kept and kept.exists() and request.action == "evaluate" else None
        data, cache = Path(asked["data_root"]), Path(asked["cache_root"])
        context = Context(seed=request.seed, device=device, data_root=data, cache_root=cache, start=start, begun=begun)
        with machine.bounded_data(device) as room:
            found = _told(request, context, say)
        say({"estimate": asdict(found)})
    except UserError as error:
        say({"refusal": str(error), "is_final": True})
    except Exception as error:
        sentence = f"The trial step failed: {type(error).__name__}: {error}."
        is_memory = machine.is_out_of_memory(error)
        say({"out_of_memory": room} if is_memory else {"refusal": sentence, "is_final": False})


def _told(request: RunRequest, context: Context, say: Callable[[Message], None]) -> Estimate:
    """The estimate; sends each phase and each partial estimate as soon as it is known."""
    phase, events = "", estimate(request, context)
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        if isinstance(event, Estimate):
            say({"so_far": asdict(event)})
        elif isinstance(event, Progress) and event.phase != phase:
            phase = event.phase
            say({"phase": phase})
