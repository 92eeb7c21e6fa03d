"""Commands that export and load results, and the one that serves the dashboard."""

import os
import sys
from pathlib import Path

from engine.cli.requests import store_of
from engine.core.checkpoint import write_atomically
from engine.core.errors import ConfigError, RunError
from engine.core.program import APP, COMMAND
from engine.runs import export, report
from engine.runs.adopt import adopt


def register(add) -> None:
    """Add `app`, `export`, `report` and `load` to the command line."""
    parser = add("app", _app, "Serve the dashboard.")
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default: %(default)s)")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    text = "Write a run's result for other programs: pictures, arrays, scores, train.py, report."
    parser = add("export", _export, text)
    parser.add_argument("run")
    text = "a new or empty folder, or the zip file"
    parser.add_argument("--to", type=Path, required=True, metavar="PLACE", help=text)
    parser.add_argument("--zip", action="store_true", help="write one zip file instead of a folder")
    parser = add("report", _report, "Write a run's report: one HTML file that needs no network.")
    parser.add_argument("run")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE.html", help="the file")
    parser = add("load", _load, "Keep an exported result.safetensors as a finished run.")
    parser.add_argument("file", type=Path, help="the file")


def _app(options) -> int:
    """Replace this process by Streamlit."""
    if options.runs:
        os.environ["DISTILLERY_RUNS"] = str(options.runs)
    where = ["--server.port", str(options.port), "--server.address", options.address]
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(APP), *where])


def _export(options) -> int:
    store = store_of(options)
    if options.zip:
        path = options.to / f"run-{store.run(options.run).id}.zip" if options.to.is_dir() else options.to
        return _write(path, export.bundle(store, options.run))
    for path in export.export(store, options.run, options.to):
        print(path)
    return 0


def _report(options) -> int:
    return _write(options.to, report.report_html(store_of(options), options.run).encode())


def _load(options) -> int:
    try:
        content = options.file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{options.file} cannot be read ({error.strerror}).") from error
    run_id = adopt(store_of(options), content, options.file.name)
    print(f"run {run_id} loaded from {options.file.name}; compare it with: {COMMAND} evaluate {run_id}")
    return 0


def _write(path: Path, content: bytes) -> int:
    """Write a file atomically and print its path; returns the exit status."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        what = f"{path} cannot be written ({error.strerror})."
        raise RunError(f"{what} Free some space, or choose another place.") from error
    print(path)
    return 0
