"""Shared by all tests: few threads, a data root of one's own, and the real files where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # toy data: threads cost more than they bring


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
    """The folder of real files, DISTILLERY_DATA. Skips where `@pytest.mark.real_data("MNIST", ...)` names folders not in it."""
    marker = request.node.get_closest_marker("real_data")
    wanted = marker.args if marker else ()
    root = os.environ.get("DISTILLERY_DATA")
    if not root:
        pytest.skip("needs real files: set DISTILLERY_DATA to their folder")
    absent = [name for name in wanted if not (Path(root) / name).is_dir()]
    if absent:
        pytest.skip(f"needs {', '.join(absent)} under DISTILLERY_DATA={root}")
    return Path(root)
