"""A request for price files with the argument names of the published system: `engine.distill(data_paths=[...])`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal

from engine.core.config import RunRequest, checked
from engine.core.context import data_root
from engine.core.errors import ConfigError
from engine.core.events import Event
from engine.data import check_title, prices
from engine.data.prices import PriceOptions, PriceSource
from engine.data.prices.kept import digest_of
from engine.methods import METHODS

TASKS = {"regression": "close", "classification": "direction"}
"""The published system's names of targets; ours work too."""


def price_request(
    data_paths: Sequence[str | Path] | str | Path,
    *,
    sequence_length: int = 30,
    sequences_per_token: int = 1,
    distillation_steps: int = 1000,
    model_type: Literal["lstm", "gru", "transformer", "linear"] = "lstm",
    task: str = "regression",
    name: str = "",
    seed: int = 0,
    root: Path | None = None,
) -> RunRequest:
    """Import price files, one per token, unless the same bars are imported already, and distil sequences from them.

    sequence_length: bars per window. task: "regression" (next close), "classification" (its direction), "volatility" or
    "both". name: of the data set; by default, the files' names. root: of data sets; by default, the data root. All else
    is as in the preset "next_close"; change it with `model_copy`. Raises UserError if a file or an option is wrong.
    """
    if isinstance(data_paths, str | Path):
        data_paths = [data_paths]
    if not data_paths:
        raise ConfigError("There are no price files: data_paths is empty. Name one CSV a token.")
    paths = [Path(path) for path in data_paths]
    _check_names(paths)
    source = _imported(paths, name, root or data_root())
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


def _check_names(paths: list[Path]) -> None:
    """Raise ConfigError for two files of one name: a token is called after its file."""
    names = [path.name for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"Two of the price files are called '{name}', and a token is called after its file. Rename one of them."
            )


def _imported(paths: list[Path], name: str, root: Path) -> PriceSource:
    """The data set of these files: the one that holds the same bars, or a new one."""
    brought = [(path.name, path) for path in paths]
    bars = [prices.read_bars(content, file)[0] for file, content in prices.expanded(brought).files]
    known = {source.digest: source for source in prices.saved(root).values()}
    if found := known.get(digest_of(bars)):
        return found
    options = checked(PriceOptions, {"name": name or " ".join(path.stem for path in paths)[:80]}, "name")
    check_title(options.name, root)
    return _drained(prices.import_prices(brought, options, root, ", ".join(path.name for path in paths)))


def _drained(events: Generator[Event, None, PriceSource]) -> PriceSource:
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value
