"""Data sets and their preparation: `sources(data_root)[key].load(config, data_root)` yields events, returns the splits.

`SOURCES` come with the program; imported images and prices lie under the data root.
"""

from pathlib import Path

from engine.core.context import data_root
from engine.core.errors import DataError
from engine.data import images, prices
from engine.data.images.digits import DigitsSource
from engine.data.images.vision import VISION
from engine.data.prices.source import SimulatedPrices
from engine.data.source import Availability, Source, Splits, TaskSpec, task_of
from engine.data.transforms.prepare import ImageSplits, num_held_out

_OWN: tuple[Source, ...] = (DigitsSource(), *VISION, SimulatedPrices())
SOURCES = {source.key: source for source in _OWN}


def sources(data_root: Path) -> dict[str, Source]:
    """Every data set that can be chosen now, by key: those of the program, then the imported ones."""
    return SOURCES | images.saved(data_root) | prices.saved(data_root)


def find_source(key: str) -> Source | None:
    """The data set of a key, None if there is none."""
    return SOURCES.get(key) or sources(data_root()).get(key)


def check_title(title: str, data_root: Path, own_key: str = "") -> None:
    """Raise DataError if another data set has this title."""
    taken = {source.title.casefold() for key, source in sources(data_root).items() if key != own_key}
    if title.strip().casefold() in taken:
        raise DataError(f"There is already a data set called '{title}'; choose another name.")


__all__ = ["Availability", "ImageSplits", "Source", "Splits", "TaskSpec", "images", "num_held_out", "prices", "task_of"]
