"""Experts on the command line: what is recorded, and how the experts of a run ended."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from engine.core.events import ExpertEpoch
from engine.figures import formats
from engine.pretrained.experts import delete_buffer, list_buffers
from engine.runs.store import Store


def manage_options(parser: argparse.ArgumentParser) -> None:
    """The options that look after recordings instead of making one."""
    parser.add_argument("--list", action="store_true", help="list what is recorded, and record nothing")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.add_argument("--delete", default=None, metavar="RECORDING", help="delete one of the list")


def is_managing(options) -> bool:
    """Whether recordings are only looked after."""
    return options.list or options.delete is not None


def manage(store: Store, options) -> int:
    """Carry out --list or --delete."""
    cache_root = store.root / "cache"
    if options.delete is not None:
        delete_buffer(cache_root, options.delete)
        print(f"recording {options.delete} deleted")
        return 0
    found = list_buffers(cache_root)
    if options.json:
        print(json.dumps([dataclasses.asdict(info) for info in found], indent=2))
        return 0
    if not found:
        print("no experts yet; record some with: python -m engine experts --source digits --preset quick")
    for info in found:
        print(
            f"{info.digest}  {info.source:14} {info.student:12} {formats.counted(info.num_experts, 'expert')} of "
            f"{formats.counted(info.num_epochs, 'epoch')}, {100 * info.accuracy:.1f} % validation, {formats.num_bytes(info.num_bytes)}"
        )
    return 0


def ends(store: Store, run_id: str) -> list[dict[str, Any]]:
    """The last epoch that each expert of a run has reached."""
    last: dict[int, ExpertEpoch] = {}
    for event in store.expert_epochs(run_id):
        last[event.expert] = event
    return [
        {
            "expert": event.expert,
            "epoch": event.epoch,
            "num_epochs": event.num_epochs,
            "validation_accuracy": event.validation_accuracy,
            "cached": event.cached,
        }
        for event in last.values()
    ]


def print_ends(store: Store, run_id: str) -> None:
    """The same, a line an expert."""
    for end in ends(store, run_id):
        where = "" if end["epoch"] == end["num_epochs"] else f" after epoch {end['epoch']} of {end['num_epochs']}"
        earlier = ", recorded earlier" if end["cached"] else ""
        print(f"expert {end['expert'] + 1:<3} {100 * end['validation_accuracy']:.1f} % validation{where}{earlier}")
