"""Shared by all tests: few threads, a data root of one's own, and the real files where they are."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start too: two run at a time, on toy data

import pytest

FAST_TESTS = 4
"""Tests per file of the fast tier."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --fast: the first case of each of the first tests of each file, without slow ones."""
    parser.addoption("--fast", action="store_true", help="run the core of each file only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--fast"):
        return
    chosen: dict[str, pytest.Item] = {}
    count: Counter[Path] = Counter()
    for item in items:
        name = item.nodeid.partition("[")[0]
        is_slow = any(item.get_closest_marker(marker) for marker in ("slow", "browser"))
        if name not in chosen and not is_slow and count[item.path] < FAST_TESTS:
            chosen[name] = item
            count[item.path] += 1
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen.values()])
    items[:] = chosen.values()


@pytest.fixture(autouse=True)
def own_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's runs."""
    monkeypatch.setenv("DISTILLERY_RUNS", str(tmp_path / "runs"))


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """An empty folder to keep data sets in."""
    root = tmp_path / "data"
    root.mkdir()
    return root


@pytest.fixture
def real_data(request: pytest.FixtureRequest) -> Path:
    """The folder of real files, DISTILLERY_DATA. Skips where `@pytest.mark.real_data("MNIST", ...)` names folders
    not in it.
    """
    marker = request.node.get_closest_marker("real_data")
    wanted = marker.args if marker else ()
    root = os.environ.get("DISTILLERY_DATA")
    if not root:
        pytest.skip("needs real files: set DISTILLERY_DATA to their folder")
    absent = [name for name in wanted if not (Path(root) / name).is_dir()]
    if absent:
        pytest.skip(f"needs {', '.join(absent)} under DISTILLERY_DATA={root}")
    return Path(root)
