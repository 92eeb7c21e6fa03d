"""A request for price files with the argument names of the published system: `engine.distill(data_paths=[...])`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from engine.core.config import RunRequest, checked
from engine.core.context import data_root
from engine.core.errors import ConfigError
from engine.core.progress import drained
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
    start_from: Literal["real", "noise"] = "real",
    name: str = "",
    seed: int = 0,
    root: Path | None = None,
) -> RunRequest:
    """Import price files, one per token, unless the same bars are imported already, and distil sequences from them.

    sequence_length: bars per window. task: "regression" (next close), "classification" (its direction), "volatility" or
    "both". start_from: real windows, which sequences may stay close to, or noise, which copies no real window. name: of
    the data set; by default, the files' names. root: of data sets; by default, the data root. All else is as in the
    preset "next_close"; change it with `model_copy`. Raises UserError if a file or an option is wrong.
    """
    if isinstance(data_paths, str | Path):
        data_paths = [data_paths]
    if not data_paths:
        raise ConfigError("There are no price files: data_paths is empty. Name one CSV file per token.")
    paths = [Path(path) for path in data_paths]
    twice = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
    if twice:
        what = f"Two of the price files are called '{twice[0]}', and a token is called after its file."
        raise ConfigError(f"{what} Rename one of them.")
    source = _imported(paths, name, root or data_root())
    preset = METHODS["ohlc"].presets_for("prices")["next_close"].config
    asked = {"sequences_per_token": sequences_per_token, "outer_steps": distillation_steps, "images_from": start_from}
    config = preset | asked | {"student": preset["student"] | {"name": model_type}}
    windows = {"window_length": sequence_length, "target": TASKS.get(task, task)}
    values = {"source": source.key, "method": "ohlc", "config": config, "data": {"windows": windows}, "seed": seed}
    return checked(RunRequest, values | {"evaluation": {"inner_steps": 120}}, "request")


def _imported(paths: list[Path], name: str, root: Path) -> PriceSource:
    """The data set of these files: the one that holds the same bars, or a new one."""
    brought = [(path.name, path) for path in paths]
    bars = [prices.read_bars(content, file)[0] for file, content in prices.expanded(brought).files]
    known = {source.digest: source for source in prices.saved(root).values()}
    if found := known.get(digest_of(bars)):
        return found
    options = checked(PriceOptions, {"name": name or " ".join(path.stem for path in paths)[:80]}, "name")
    check_title(options.name, root)
    return drained(prices.import_prices(brought, options, root, ", ".join(path.name for path in paths)))
