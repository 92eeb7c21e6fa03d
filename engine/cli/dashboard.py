"""The dashboard, served by Streamlit in place of this process."""

from __future__ import annotations

import os
import sys

from engine.core.program import APP


def register(add) -> None:
    """Add `app` to the command line."""
    parser = add("app", _app, "Serve the dashboard.")
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default: %(default)s)")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on (default: %(default)s)")


def _app(options) -> int:
    if options.runs:
        os.environ["DISTILLERY_RUNS"] = str(options.runs)
    where = ["--server.port", str(options.port), "--server.address", options.address]
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(APP), *where])
