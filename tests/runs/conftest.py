from __future__ import annotations

import pytest

from engine.runs.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")
