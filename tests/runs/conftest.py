from __future__ import annotations

import pytest
from small_runs import distilled

from engine.runs.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Store, str]:
    """A store with one real run, done, that no test changes; its name is what no page may take for its own text."""
    store = Store(tmp_path_factory.mktemp("finished") / "runs")
    name = "</script><script>alert(1)</script><img src=x onerror=alert(1)> $title ${body}"
    return store, distilled(store, name=name)
