"""What the command line tells of runs on prices besides skill: every measure of a forecast, token by token too, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from engine.core.events import Scored
from engine.evaluation.scores import SKILL, by_measure
from engine.figures.measures import MEASURES, measured
from engine.runs.store import Store


def told(scores: Sequence[Scored], student: str) -> dict[str, dict[str, dict[str, Any]]]:
    """{"forecasts": {arm: {metric: numbers}}} of one architecture, metrics of one token as "rmse@BTC", for JSON.

    Each arm under the protocol that did best on validation windows.
    """
    found: dict[str, dict[str, Any]] = {}
    for (arm, metric), row in by_measure(scores, student).items():
        std = None if math.isnan(row.std) else row.std
        found.setdefault(arm, {})[metric] = {"mean": row.mean, "std": std, "n": row.n}
    return {"forecasts": found}


def print_told(scores: Sequence[Scored], student: str) -> None:
    """The same, a line an arm, then a line a token of it."""
    found = by_measure(scores, student)
    for arm in dict.fromkeys(arm for arm, _ in found):
        mine = {metric: row for (known, metric), row in found.items() if known == arm}
        tokens = dict.fromkeys(metric.partition("@")[2] for metric in mine)
        for token in tokens:  # the empty one is all of them
            parts = [
                f"{title} {measured(mine[name], metric)}"
                for metric, title in MEASURES.items()
                if (name := f"{metric}@{token}" if token else metric) in mine and name != SKILL
            ]
            if parts:
                print(f"{arm:14} {f'{token}: ' if token else ''}{', '.join(parts)}")


def print_verdict(store: Store, run_id: str) -> None:
    """Whether anything beats a naive forecast, and what the set gives away, where that was measured."""
    found = store.analyses(run_id)
    for name in ("verdict", "privacy"):
        if name in found:
            print(found[name]["sentence"])
