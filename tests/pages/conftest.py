"""Pages are tried on canned runs: a store of their own, a worker that runs nothing, a visitor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

import engine

APP = Path(__file__).parents[2] / "app.py"


class IdleWorker:
    """Takes requests and runs nothing."""

    def __init__(self, store: engine.Store) -> None:
        self.store = store

    def start(self) -> None:
        """Nothing to start."""

    def submit(self, request: engine.RunRequest) -> str:
        return self.store.submit(request)

    def resume(self, run_id: str) -> None:
        self.store.resume(run_id)

    def close(self, timeout: float) -> None:
        """Nothing to end."""


class IdleTrials:
    """Answers what a test has put there; nothing is tried."""

    answer: engine.Estimate | engine.Refusal | engine.Pending = engine.Estimate(
        num_steps=800,
        num_timed=30,
        seconds_preparing=2.0,
        seconds_per_step=0.02,
        seconds_distilling=16.0,
        seconds_evaluating=9.0,
        memory_bytes=200_000_000,
        available_memory=8_000_000_000,
        disk_bytes=300_000,
        available_disk=50_000_000_000,
    )
    key = staticmethod(engine.Trials.key)

    def __init__(self, store: engine.Store) -> None:
        """Nothing to start."""

    def known(self, request: engine.RunRequest) -> engine.Estimate | engine.Refusal | None:
        return None if isinstance(self.answer, engine.Pending) else self.answer

    def ask(self, request: engine.RunRequest, asker: str) -> engine.Estimate | engine.Refusal | engine.Pending:
        return self.answer

    wait = ask

    def close(self) -> None:
        """Nothing to end."""


@pytest.fixture(scope="session", autouse=True)
def packages_read_once() -> Iterator[None]:
    """Streamlit reads the metadata of every installed package whenever a page is tried, which takes half the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[engine.Store]:
    """An empty store in a folder of its own, which the pages use too."""
    monkeypatch.setenv("DISTILLERY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DISTILLERY_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(engine, "Worker", IdleWorker)
    monkeypatch.setattr(engine, "Trials", IdleTrials)
    st.cache_resource.clear()
    st.cache_data.clear()
    yield engine.Store(engine.runs_root())
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def visit(store: engine.Store):
    """visit("runs", run="0001"): a page as a visitor sees it, after the script has ended."""

    def open_page(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=60)
        for key, value in query.items():
            app.query_params[key] = value
        if name != "home":
            app.switch_page(f"pages/{name}.py")
        app.run()
        assert not app.exception, [entry.value for entry in app.exception]
        return app

    return open_page
