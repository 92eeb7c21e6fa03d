"""Teachers on the command line: what is trained, and how the teacher of a run ended."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from engine.figures import formats
from engine.pretrained.teachers import TeacherInfo, delete_teacher, list_teachers
from engine.runs.store import Store


def manage(store: Store, options) -> int:
    """Carry out --list or --delete."""
    cache_root = store.root / "cache"
    if options.delete is not None:
        delete_teacher(cache_root, options.delete)
        print(f"teacher {options.delete} deleted")
        return 0
    found = list_teachers(cache_root)
    if options.json:
        print(json.dumps([dataclasses.asdict(info) for info in found], indent=2))
        return 0
    if not found:
        print("no teachers yet; train one with: python -m engine teachers --source digits --preset quick")
    for info in found:
        print(
            f"{info.digest}  {info.source:14} {info.title}, {formats.counted(info.num_dims, 'dimension')}, {_standing(info)}, "
            f"{formats.num_bytes(info.num_bytes)}"
        )
    return 0


def _standing(info: TeacherInfo) -> str:
    """How far a teacher is, and how good."""
    if not info.is_complete:
        return f"stopped after epoch {info.epochs_done} of {info.num_epochs}"
    trained = formats.counted(info.num_epochs, "epoch") if info.num_epochs else "brought along"
    return f"{trained}, {formats.percent(info.probe_accuracy)} linear probe on validation images"


def end(store: Store, run_id: str) -> dict[str, Any] | None:
    """The last epoch that the teacher of a run has reached; None where it has trained none."""
    epochs = store.teacher_epochs(run_id)
    if not epochs:
        return None
    names = ("epoch", "num_epochs", "train_loss", "knn_accuracy", "cached")
    return {name: getattr(epochs[-1], name) for name in names}


def print_end(store: Store, run_id: str) -> None:
    """The same, as a line."""
    found = end(store, run_id)
    if found is not None:
        where = (
            "" if found["epoch"] == found["num_epochs"] else f" after epoch {found['epoch']} of {found['num_epochs']}"
        )
        earlier = ", trained earlier" if found["cached"] else ""
        print(f"teacher    {formats.percent(found['knn_accuracy'])} nearest neighbours, validation{where}{earlier}")
