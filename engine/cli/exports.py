"""Commands that take a result out."""

from __future__ import annotations

from pathlib import Path

from engine.core.checkpoint import write_atomically
from engine.core.context import runs_root
from engine.core.errors import RunError
from engine.runs import export, report
from engine.runs.store import Store


def register(add) -> None:
    """Add `export` and `report` to the command line."""
    parser = add(
        "export", _export, "Write a run's result for other programs: pictures, arrays, scores, train.py, report."
    )
    parser.add_argument("run")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="PLACE", help="a new or empty folder, or the zip file"
    )
    parser.add_argument("--zip", action="store_true", help="write one zip file instead of a folder")
    parser = add("report", _report, "Write a run's report: one HTML file that needs no network.")
    parser.add_argument("run")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE.html", help="the file")


def _export(options) -> int:
    store = Store(options.runs or runs_root())
    if options.zip:
        path = options.to / f"run-{store.run(options.run).id}.zip" if options.to.is_dir() else options.to
        _write(path, export.bundle(store, options.run))
        print(path)
        return 0
    for path in export.export(store, options.run, options.to):
        print(path)
    return 0


def _report(options) -> int:
    store = Store(options.runs or runs_root())
    _write(options.to, report.report_html(store, options.run).encode())
    print(options.to)
    return 0


def _write(path: Path, content: bytes) -> None:
    """Put a file in its place, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}). Free some space, or choose another place."
        ) from error
