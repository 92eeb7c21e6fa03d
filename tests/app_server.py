"""The real app, served on a free port for as long as a test needs it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Server(NamedTuple):
    """Where the app answers, and its process."""

    url: str
    process: subprocess.Popen


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(runs: Path) -> Iterator[Server]:
    """The app while it runs, with its runs in `runs`."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    log = runs.parent / "server.log"
    with log.open("w") as output:
        environment = os.environ | {"DISTILLERY_RUNS": str(runs), "PYTHONFAULTHANDLER": "1"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 120
            while True:
                try:
                    urllib.request.urlopen(url + "/_stcore/health", timeout=1)
                    break
                except (urllib.error.URLError, OSError):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise AssertionError(f"the app did not start:\n{log.read_text()}") from None
                    time.sleep(0.2)
            yield Server(url, process)
        finally:
            end(process, log)


def end(process: subprocess.Popen, log: Path) -> None:
    """Ask the app to end; where it does not, fail with what each of its threads is doing."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)  # the fault handler writes all stacks
        process.wait(60)
        raise AssertionError(f"the app did not end:\n{log.read_text()}") from None
