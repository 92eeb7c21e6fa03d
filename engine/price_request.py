"""A request for a few price files, in the words of the published system: `engine.distill(data_paths=[...], model_type="lstm")`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from engine.config import RunRequest, checked
from engine.context import data_root
from engine.data import check_title, prices
from engine.data.prices import PriceOptions, PriceSource
from engine.errors import ConfigError
from engine.methods import METHODS

TASKS = {"regression": "close", "classification": "direction"}
"""Targets by what the published system calls them; our own names serve too."""


def price_request(
    data_paths: Sequence[str | Path],
    *,
    sequence_length: int = 30,
    sequences_per_token: int = 1,
    distillation_steps: int = 1000,
    model_type: Literal["lstm", "gru", "transformer", "linear"] = "lstm",
    task: str = "regression",
    name: str = "",
    seed: int = 0,
) -> RunRequest:
    """Import price files, one a token, unless the same bars are imported already, and ask for sequences of them.

    sequence_length: bars of a window. task: "regression" (next close), "classification" (its direction), "volatility" or
    "both". name: of the data set, the files' names by default. Everything else is as the preset "next_close" has it; change it
    with `model_copy`. Raises UserError where a file cannot be read, or an option is wrong.
    """
    if not data_paths:
        raise ConfigError("There are no price files: data_paths is empty. Name one CSV a token.")
    source = _imported([Path(path) for path in data_paths], name)
    preset = _config(model_type, sequences_per_token, distillation_steps)
    windows = {"window_length": sequence_length, "target": TASKS.get(task, task)}
    values = {
        "source": source.key, "method": "ohlc", "config": preset, "data": {"windows": windows},
        "evaluation": {"inner_steps": 120}, "seed": seed,
    }  # fmt: skip
    return checked(RunRequest, values, "request")


def _config(model_type: str, sequences_per_token: int, outer_steps: int) -> dict[str, Any]:
    config = METHODS["ohlc"].presets_for("prices")["next_close"].config
    return config | {
        "student": config["student"] | {"name": model_type},
        "sequences_per_token": sequences_per_token,
        "outer_steps": outer_steps,
    }


def _imported(paths: list[Path], name: str) -> PriceSource:
    """The data set of these files: the one that holds the same bars, or a new one."""
    root, title = data_root(), name or " ".join(path.stem for path in paths)[:80]
    brought, options = [(path.name, path) for path in paths], checked(PriceOptions, {"name": title}, "name")
    with tempfile.TemporaryDirectory() as folder:
        digest = _drained(prices.import_prices(brought, options, Path(folder))).digest
    known = {source.digest: source for source in prices.saved(root).values()}
    if digest in known:
        return known[digest]
    check_title(title)
    return _drained(prices.import_prices(brought, options, root, ", ".join(path.name for path in paths)))


def _drained(events) -> PriceSource:
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value
