"""What watching costs: the same request in the app with a page open and live, and headless, in turns.

make bench        prints the seconds of each pair, their ratio, and how long a refresh of the page takes
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from app_server import ROOT, served
from playwright.sync_api import Page
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from engine import RunRequest, Store, request_from_preset

PAIRS = 3
MOST_OVERHEAD = 1.05
MOST_REFRESH_SECONDS = 0.3

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]


def request() -> RunRequest:
    """The quick run of the digits, three times as long: opening the page is not what is measured."""
    quick = request_from_preset("digits", "bilevel", "quick")
    return quick.model_copy(update={"config": quick.config | {"outer_steps": 2400}})


def headless(runs: Path) -> float:
    """Seconds of work of one run by the command line."""
    store = Store(runs)
    path = runs / "request.json"
    path.write_text(request().model_dump_json())
    subprocess.run(
        [sys.executable, "-m", "engine", "distill", str(path), "--runs", str(runs)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return store.runs()[0].seconds


def watched(runs: Path, url: str, page: Page) -> float:
    """Seconds of work of one run in the app while its page is open."""
    store = Store(runs)
    run_id = store.submit(request())
    page.goto(f"{url}/runs?run={run_id}")
    deadline = time.monotonic() + 300
    while store.run(run_id).status != "done":
        assert time.monotonic() < deadline and store.run(run_id).status in ("queued", "running")
        page.wait_for_timeout(500)  # not time.sleep: the page's messages are read while we wait
    return store.run(run_id).seconds


class Refreshes:
    """Seconds from each request of the page for a rerun to the message that ends it, read off the websocket."""

    def __init__(self, page: Page) -> None:
        self.seconds: list[float] = []
        self._asked: float | None = None
        page.on("websocket", self._listen)

    def _listen(self, socket) -> None:
        socket.on("framesent", self._sent)
        socket.on("framereceived", self._received)

    def _sent(self, _payload) -> None:
        self._asked = time.perf_counter()

    def _received(self, payload) -> None:
        if not isinstance(payload, bytes) or self._asked is None:
            return
        message = ForwardMsg()
        message.ParseFromString(payload)
        if message.WhichOneof("type") == "script_finished":
            self.seconds.append(time.perf_counter() - self._asked)
            self._asked = None


def test_a_live_page_costs_little(page: Page, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    headless(runs)  # fills the cache of real arms; not counted
    refreshes = Refreshes(page)
    pairs = []
    with served(runs) as (url, _):
        page.goto(url)
        page.get_by_role("heading", name="Dataset Distillery").wait_for()
        for _ in range(PAIRS):
            page.goto("about:blank")
            alone = headless(runs)
            pairs.append((watched(runs, url, page), alone))
            print(
                f"watched {pairs[-1][0]:.2f} s, headless {pairs[-1][1]:.2f} s, ratio {pairs[-1][0] / pairs[-1][1]:.3f}"
            )
    ratio = statistics.median(with_page / without for with_page, without in pairs)
    refresh = statistics.median(refreshes.seconds)
    print(f"median ratio {ratio:.3f}; {len(refreshes.seconds)} refreshes, median {1000 * refresh:.0f} ms")
    assert len(refreshes.seconds) > 10
    assert refresh < MOST_REFRESH_SECONDS
    assert ratio <= MOST_OVERHEAD
