"""The command line: `python -m engine ...`.

Exit status 0: done. 1: the run failed or was stopped. 2: the request is wrong, with one line that says why.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import Context, evaluate, load
from engine.cli import estimates, files, imports, lists, pretrained, reference
from engine.cli.lists import print_json
from engine.cli.progress import Printer
from engine.cli.requests import request_options, requested, store_of
from engine.cli.sections import lines, print_sections
from engine.core import machine
from engine.core.config import RunRequest, checked
from engine.core.errors import UserError
from engine.core.events import Event, Scored
from engine.core.program import COMMAND, version
from engine.core.run_row import RunRow
from engine.evaluation.scores import summarise
from engine.figures import formats
from engine.methods import METHODS
from engine.results import Run, against, kind_of
from engine.results.names import size_in_words
from engine.run import resolve
from engine.runs.store import Store
from engine.runs.worker import execute

LISTED: tuple[str, ...] = ("id", "name", "status", "source", "method", "preset", "seed", "step", "total_steps")
LISTED += ("seconds", "error", "created", "started", "finished", "memory_bytes")
"""The fields of a run in JSON lists."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status."""
    parser = _parser()
    options = parser.parse_args(pretrained.translated(sys.argv[1:] if arguments is None else arguments))
    try:
        return options.command(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # the reader of the output ended, as `head` does
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
    evaluate.add_argument("--students", default="", help="architectures and pools, separated by commas")
    evaluate.add_argument("--recipes", default="", help="recipes of training, separated by commas: ours, standard, ...")
    evaluate.add_argument("--seeds", type=int, default=None, help="students per arm")
    for part in (reference, imports, estimates, files):
        part.register(add)
    return parser


def _start(options) -> int:
    request = requested(options)
    resolve(request)
    store = store_of(options)
    return _execute(store, store.submit(request, status="running"))


def _resume(options) -> int:
    store = store_of(options)
    store.resume(options.run, status="running")
    return _execute(store, store.run(options.run).id)


def _execute(store: Store, run_id: str) -> int:
    print(f"run {run_id} in {store.folder(run_id)}", file=sys.stderr)
    printer = Printer(store.run(run_id).request)
    execute(store, run_id, on_event=printer)
    printer.close()
    row = store.run(run_id)
    if row.status == "done":
        _print_results(store, row)
        return 0
    return 1


def _stop(options) -> int:
    store = store_of(options)
    before = store.run(options.run).status
    store.request_stop(options.run)
    said = {"running": "will stop after its current step", "queued": "is taken from the queue"}
    print(f"run {options.run} {said.get(before, f'is {before} already')}")
    return 0


def _delete(options) -> int:
    store_of(options).delete(options.run)
    print(f"run {options.run} deleted")
    return 0


def _list(options) -> int:
    rows = store_of(options).runs()
    if options.json:
        return print_json([_row_json(row) for row in rows])
    if not rows:
        print(f"no runs yet; start one with: {COMMAND} distill --source digits --method bilevel --preset quick")
    for row in rows:
        settings = f"{row.source} {row.method} {row.preset}  {row.name}"
        print(f"{row.id}  {row.status:12} step {row.step:,}/{row.total_steps:,}  {settings}".rstrip())
    return 0


def _show(options) -> int:
    store = store_of(options)
    row = store.run(options.run)
    if options.json:
        return print_json(run_json(store, row))
    steps = f"step {row.step:,} of {row.total_steps:,}, {formats.duration(row.seconds)}"
    steps += f"; {size}" if (size := size_in_words(row)) else ""
    print(f"run {row.id}: {row.status}, {row.source}, {row.method} {row.preset}, seed {row.seed}, {steps}")
    if row.error:
        print(f"error: {row.error}")
    for name, line in store.series(row.id).items():
        print(f"  {name:22} {line.values[-1]:.4g} at step {line.steps[-1]:,}")
    _print_results(store, row)
    return 0


def _evaluate(options) -> int:
    store = store_of(options)
    row = store.run(options.run)
    path = store.needed_result(row.id)
    values = row.request.model_dump(mode="json")
    for option, given in (("students", options.students), ("recipes", options.recipes)):
        if given:
            values["evaluation"][option] = [name.strip() for name in given.split(",") if name.strip()]
    if options.seeds is not None:
        values["evaluation"]["num_students"] = options.seeds
    request = checked(RunRequest, values, "evaluate")
    device = machine.pick_device(request.device)
    kept = store.begun(row.id)
    begun = load(kept, device) if kept else None
    context = Context(seed=request.seed, device=device, cache_root=store.root / "cache", begun=begun)
    printer, scores = Printer(request), []

    def note(event: Event) -> None:
        printer(event)
        if isinstance(event, Scored):
            scores.append(event)

    evaluate(request, load(path, device), context, note)
    printer.close()
    if options.json:
        return print_json(summarise(scores))
    print_sections(kind_of(row.method).printed(Run(row, store, scores)))
    return 0


def _row_json(row: RunRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in LISTED}


def run_json(store: Store, row: RunRow) -> dict[str, Any]:
    """All that is known of a run but its curves and pictures, as `show --json` prints it."""
    series = store.series(row.id).items()
    metrics = {name: {"step": line.steps[-1], "value": line.values[-1]} for name, line in series}
    measured = {"metrics": metrics, "scores": summarise(store.scores(row.id)), **_numbers(Run(row, store))}
    trained = {"experts": pretrained.experts_of(store, row.id), "teacher": pretrained.teacher_of(store, row.id)}
    told = {name: getattr(store, name)(row.id) for name in ("analyses", "warnings", "notes")}
    request = row.request.model_dump(mode="json")
    return _row_json(row) | {"request": request, **measured, **trained, **told, "summary": row.summary}


def _numbers(run: Run) -> dict[str, Any]:
    """The verdict and the numbers of a result besides its scores; fewer if this version does not know the method."""
    found: dict[str, Any] = {"ranking": {}, "against_full": against.numbers(run)}
    if run.row.method not in METHODS:
        return found
    kind = kind_of(run.row.method)
    return found | {"verdict": lines(kind.verdict(run)), **kind.numbers(run)}


def _print_results(store: Store, row: RunRow) -> None:
    """Print the results of a run so far."""
    pretrained.print_ends(store, row.id)
    print_sections(kind_of(row.method).printed(Run(row, store)))
