"""What the command line tells of runs without labels, besides accuracies: transfer, likeness to the teacher, approximation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from engine.evaluation.scores import CKA, COSINE, Row, likeness, transfers
from engine.figures import formats
from engine.runs.store import Store


def told(rows: Sequence[Row], student: str) -> dict[str, dict[str, Any]]:
    """{"transfers": {source: {arm: numbers}}, "likeness": {arm: {"cosine" or "cka": numbers}}} of one architecture, for JSON."""
    mine = [row for row in rows if row.student == student]
    return {
        "transfers": {source: {arm: _numbers(row) for arm, row in arms.items()} for source, arms in transfers(mine).items()},
        "likeness": {arm: {name: _numbers(row) for name, row in found.items()} for arm, found in likeness(mine).items()},
    }  # fmt: skip


def _numbers(row: Row) -> dict[str, Any]:
    return {"mean": row.mean, "std": None if math.isnan(row.std) else row.std, "n": row.n}


def print_told(rows: Sequence[Row], student: str) -> None:
    """The same, a line each."""
    mine = [row for row in rows if row.student == student]
    for source, arms in transfers(mine).items():
        for arm, row in arms.items():
            print(f"{arm:14} transfer to {source}: {formats.percent_spread(row.mean, row.std, row.n)} (n={row.n})")
    for arm, found in likeness(mine).items():
        parts = [f"{name} {found[name].mean:.3f}" for name in (COSINE, CKA) if name in found]
        print(f"{arm:14} likeness to the teacher: {', '.join(parts)}")


def print_errors(store: Store, run_id: str) -> None:
    """Errors of the representations under each augmentation, where a run has approximation networks."""
    values = store.analyses(run_id).get("approximation")
    if values is None:
        return
    for name, own, without in zip(values["augmentations"], values["with_networks"], values["without"], strict=True):
        print(f"{name:14} relative error {100 * own:.0f} % with its network, {100 * without:.0f} % without")
