"""The same runs without a browser: `python -m engine ...`.

Exit status 0: done. 1: the run failed or was stopped. 2: the request is wrong; one line says how.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import Context, evaluate, load
from engine.cli import dashboard, estimates, exports, imports, lists, pretrained, reference, results
from engine.cli.lists import print_json
from engine.cli.requests import request_options, requested
from engine.cli.sections import print_sections
from engine.core import machine
from engine.core.config import RunRequest, checked
from engine.core.context import runs_root
from engine.core.course import Course
from engine.core.errors import UserError
from engine.core.events import (
    Checkpoint,
    Event,
    ExpertEpoch,
    Failed,
    Measured,
    Preview,
    Progress,
    Scored,
    Stopped,
    TeacherEpoch,
    Warned,
    to_json,
)
from engine.core.program import COMMAND, version
from engine.evaluation.scores import summarise
from engine.figures import formats
from engine.methods import METHODS
from engine.results import Run, kind_of, titles
from engine.run import resolve
from engine.runs.store import Store
from engine.runs.worker import execute

LISTED = [
    "id",
    "name",
    "status",
    "source",
    "method",
    "preset",
    "seed",
    "step",
    "total_steps",
    "seconds",
    "error",
    "created",
    "started",
    "finished",
    "memory_bytes",
]
"""What is listed of a run as JSON."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, do, return the exit status."""
    parser = _parser()
    options = parser.parse_args(pretrained.translated(sys.argv[1:] if arguments is None else arguments))
    try:
        return options.command(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Distil data sets, and compare and export the results.")
    parser.add_argument("--version", action="version", version=f"Dataset Distillery {version()}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command, text: str, *, machine_readable: bool = False) -> argparse.ArgumentParser:
        # a command without a text is not listed
        sub = commands.add_parser(name, description=text, help=text) if text else commands.add_parser(name)
        sub.set_defaults(command=command)
        runs = "folder of the runs (default: DISTILLERY_RUNS or runs/)"
        sub.add_argument("--runs", type=Path, default=None, metavar="DIR", help=runs)
        if machine_readable:
            sub.add_argument("--json", action="store_true", help="print JSON")
        return sub

    lists.register(add)
    request_options(add("distill", _start, "Start a run here and show its progress."))
    pretrained.register(add, _start)
    for name, command, text in (
        ("resume", _resume, "Go on with a run that was stopped, interrupted or failed."),
        ("stop", _stop, "Stop a run, wherever it is running, within one outer step."),
        ("delete", _delete, "Delete a run and all its files."),
    ):
        add(name, command, text).add_argument("run")
    add("list", _list, "List the runs, newest first.", machine_readable=True)
    add("show", _show, "Show one run: status, last metrics, scores.", machine_readable=True).add_argument("run")
    evaluate = add("evaluate", _evaluate, "Compare a run's result with real data again.", machine_readable=True)
    evaluate.add_argument("run")
    evaluate.add_argument("--students", default="", help="architectures, separated by commas")
    evaluate.add_argument("--seeds", type=int, default=None, help="students per arm")
    for part in (reference, dashboard, imports, estimates, exports, results):
        part.register(add)
    return parser


# ---------------------------------------------------------------------------------------------- runs


def _start(options) -> int:
    request = requested(options)
    resolve(request)
    store = _store(options)
    return _execute(store, store.submit(request, status="running"))


def _resume(options) -> int:
    store = _store(options)
    store.resume(options.run, status="running")
    return _execute(store, store.run(options.run).id)


def _execute(store, run_id: str) -> int:
    print(f"run {run_id} in {store.folder(run_id)}", file=sys.stderr)
    printer = _Printer(store.run(run_id).request)
    execute(store, run_id, on_event=printer)
    printer.close()
    row = store.run(run_id)
    if row.status == "done":
        _print_results(store, row)
        return 0
    return 1


class _Printer:
    """Progress on standard error: one line rewritten on a terminal, one line a phase elsewhere."""

    def __init__(self, request: RunRequest) -> None:
        self.total = resolve(request, begins=False)[1].outer_steps
        self.makes_a_set = request.action != "record"
        self.recorded = titles.recorded(request.method)
        self.live = sys.stderr.isatty()
        self.course = Course()
        self.bar = ""  # of the outer step that was done last
        self.told: set[str] = set()  # phases

    def __call__(self, event: Event) -> None:
        if not isinstance(event, Preview | Checkpoint):
            self.course.apply(to_json(event) | {"time": time.time()})
        if isinstance(event, Measured):
            self._step(event)
        elif isinstance(event, Progress):
            self._phase(event)
        elif isinstance(event, Warned):
            self._line(f"{event.level}: {event.message}")
        elif isinstance(event, Failed):
            self._line(f"failed: {event.message}")
        elif isinstance(event, Stopped):
            making = "the teacher was trained" if self.recorded == "teacher" else "experts were recorded"
            where = f"after step {event.step}" if self.makes_a_set else f"while {making}"
            self._line(f"stopped {where}; `resume` goes on from there")
        elif isinstance(event, ExpertEpoch):
            self._epoch(event)
        elif isinstance(event, TeacherEpoch):
            self._epoch_of_teacher(event)
        elif isinstance(event, Scored) and not self.live:
            what = f"{event.arm} {event.protocol} {event.student} seed {event.seed}"
            self._line(f"{what}: {event.metric} {event.value:.4f} ({event.split})")

    def _step(self, event: Measured) -> None:
        milestone = event.step == self.total or event.step % max(1, self.total // 10) == 0
        if not self.live and not milestone:
            return
        filled = int(30 * event.step / self.total)
        name, value = next(iter(event.values.items()))
        text = f"[{'#' * filled}{'.' * (30 - filled)}] step {event.step:,} of {self.total:,}{self._left()}, {name} {value:.4f}"
        self.bar = f"{text}; " if event.step < self.total else ""
        self._rewrite(text) if self.live else self._line(text)

    def _epoch(self, event: ExpertEpoch) -> None:
        if event.epoch < event.num_epochs and not self.live:
            return
        which = f"expert {event.expert + 1} of {event.num_experts}, epoch {event.epoch} of {event.num_epochs}"
        text = f"{which}: {100 * event.validation_accuracy:.1f} % validation"
        if event.cached:
            text += " (recorded earlier)"
        self._rewrite(text) if self.live else self._line(text)

    def _epoch_of_teacher(self, event: TeacherEpoch) -> None:
        if event.epoch < event.num_epochs and not self.live:
            return
        accuracy = f"{formats.percent(event.knn_accuracy)} nearest neighbours, validation"
        text = f"teacher, epoch {event.epoch} of {event.num_epochs}: {accuracy}"
        if event.cached:
            text += " (trained earlier)"
        self._rewrite(text) if self.live else self._line(text)

    def _phase(self, event: Progress) -> None:
        if self.live:
            before = "" if event.part == "compare" else self.bar
            unit = " trainings" if event.part == "compare" else ""
            self._rewrite(f"{before}{event.phase} {event.done:,} of {event.total:,}{unit}{self._left()}")
        elif event.phase not in self.told:  # those within outer steps come again and again
            self._line(event.phase)
        self.told.add(event.phase)

    def _left(self) -> str:
        """How long the whole run will still take, where that is known."""
        left = self.course.outlook().seconds_left
        return "" if left is None else f", {formats.about(left)} left"

    def _rewrite(self, text: str) -> None:
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def _line(self, text: str) -> None:
        print(("\r\x1b[K" if self.live else "") + text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _stop(options) -> int:
    store = _store(options)
    before = store.run(options.run).status
    store.request_stop(options.run)
    said = {"running": "will stop after its current step", "queued": "is taken from the queue"}
    print(f"run {options.run} {said.get(before, f'is {before} already')}")
    return 0


def _delete(options) -> int:
    _store(options).delete(options.run)
    print(f"run {options.run} deleted")
    return 0


def _list(options) -> int:
    rows = _store(options).runs()
    if options.json:
        return print_json([_row_json(row) for row in rows])
    if not rows:
        print(f"no runs yet; start one with: {COMMAND} distill --source digits --method bilevel --preset quick")
    for row in rows:
        settings = f"{row.source} {row.method} {row.preset}  {row.name}"
        print(f"{row.id}  {row.status:12} step {row.step:,}/{row.total_steps:,}  {settings}".rstrip())
    return 0


def _show(options) -> int:
    store = _store(options)
    row = store.run(options.run)
    if options.json:
        metrics = {
            name: _clean({"step": int(series.steps[-1]), "value": float(series.values[-1])})
            for name, series in store.series(row.id).items()
            if len(series.steps)
        }
        measured = {"metrics": metrics, "scores": _score_rows(store, row.id), **_numbers(Run(row, store))}
        trained = {"experts": pretrained.experts_of(store, row.id), "teacher": pretrained.teacher_of(store, row.id)}
        told = {name: getattr(store, name)(row.id) for name in ("analyses", "warnings", "notes")}
        request = row.request.model_dump(mode="json")
        return print_json(_row_json(row) | {"request": request, **measured, **trained, **told, "summary": row.summary})
    steps = f"step {row.step:,} of {row.total_steps:,}, {formats.duration(row.seconds)}"
    print(f"run {row.id}: {row.status}, {row.source}, {row.method} {row.preset}, seed {row.seed}, {steps}")
    if row.error:
        print(f"error: {row.error}")
    for name, series in store.series(row.id).items():
        if len(series.steps):
            print(f"  {name:22} {series.values[-1]:.4g} at step {series.steps[-1]:,}")
    _print_results(store, row)
    return 0


def _evaluate(options) -> int:
    store = _store(options)
    row = store.run(options.run)
    path = store.result(row.id)
    if path is None:
        raise store.no_result(row.id)
    changes: dict[str, Any] = {}
    if options.students:
        changes["students"] = [name.strip() for name in options.students.split(",") if name.strip()]
    if options.seeds is not None:
        changes["num_students"] = options.seeds
    values = row.request.model_dump(mode="json")
    values["evaluation"] |= changes
    request = checked(RunRequest, values, "evaluate")
    device = machine.pick_device(request.device)
    context = Context(seed=request.seed, device=device, cache_root=store.root / "cache")
    printer, scores = _Printer(request), []

    def note(event: Event) -> None:
        printer(event)
        if isinstance(event, Scored):
            scores.append(event)

    evaluate(request, load(path, device), context, note)
    printer.close()
    if options.json:
        return print_json([_clean(vars(found)) for found in summarise(scores)])
    print_sections(kind_of(row.method).printed(Run(row, store, scores)))
    return 0


def _store(options):
    return Store(options.runs or runs_root())


def _row_json(row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in LISTED}


def _score_rows(store, run_id: str) -> list[dict[str, Any]]:
    return [_clean(vars(row)) for row in summarise(store.scores(run_id))]


def _numbers(run: Run) -> dict[str, Any]:
    """What its kind of result tells beside scores; nothing where this version does not know the method."""
    return kind_of(run.row.method).numbers(run) if run.row.method in METHODS else {"ranking": {}}


def _clean(values: dict[str, Any]) -> dict[str, Any]:
    """NaN has no place in JSON: a spread that does not exist is null."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def _print_results(store, row) -> None:
    """What a run found, as far as it is."""
    pretrained.print_ends(store, row.id)
    print_sections(kind_of(row.method).printed(Run(row, store)))
