"""Comparisons time their units of work for a moment only: what is planned is the same."""

from __future__ import annotations

import pytest

from engine.evaluation import comparison


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "QUICK_SECONDS", 0.0)
