"""Price histories as sources: the simulated one that comes with the program, and those that a user imported."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from engine.core.config import DataConfig
from engine.core.events import Event
from engine.data.prices import kept
from engine.data.prices.bars import Bars
from engine.data.prices.report import PriceReport, distance
from engine.data.prices.simulate import simulate
from engine.data.prices.windows import WindowSplits, prepare_windows
from engine.data.source import NUM_FEATURES, Availability

KEY_PREFIX = "prices:"
DEFAULT_SHAPE = (DataConfig().windows.window_length, NUM_FEATURES)


def roughly(num_bars: int, share: float) -> int:
    """Windows of a share of a history, before it is cut: one a bar."""
    return max(1, round(num_bars * share))


class SimulatedPrices:
    """Three simulated tokens of 2,200 daily bars; the seed is a part of the data set, not of a run."""

    kind: ClassVar[Literal["prices"]] = "prices"
    key = "simulated_prices"
    title = "Simulated prices"
    summary = "Three simulated tokens with calm, rising, falling and wild times: no market, but good for a first try."
    origin = "simulated by this program (regimes and GARCH, seed 2018)"
    class_names = ("SIM-A", "SIM-B", "SIM-C")
    sample_shape = DEFAULT_SHAPE
    num_bars = 2200
    seed = 2018

    @property
    def num_train(self) -> int:
        return roughly(self.num_bars * len(self.class_names), 0.8)

    @property
    def num_test(self) -> int:
        return roughly(self.num_bars * len(self.class_names), 0.2)

    @property
    def fewest_per_class(self) -> int:
        return roughly(self.num_bars, 0.8)

    def availability(self, data_root: Path) -> Availability:
        """Always present: it is computed."""
        return Availability("present", "Computed by the program.")

    def paths(self, data_root: Path) -> tuple[Path, ...]:
        """No file."""
        return ()

    def bars(self, data_root: Path) -> tuple[Bars, ...]:
        """Of each token, the same every time."""
        return simulate(self.class_names, self.num_bars, self.seed)

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, WindowSplits]:
        """The splits. Raises DataError if the config leaves too few bars."""
        return (yield from prepare_windows(self.bars(data_root), self.title, self.key, config.windows))


@dataclass(frozen=True)
class PriceSource:
    """Price histories that a user brought.

    report: what the import found. created: unix seconds. digest: names its bars.
    """

    kind: ClassVar[Literal["prices"]] = "prices"
    sample_shape: ClassVar[tuple[int, ...]] = DEFAULT_SHAPE
    key: str
    title: str
    origin: str
    tokens: tuple[str, ...]
    report: PriceReport
    created: float
    digest: str

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.tokens

    @property
    def summary(self) -> str:
        tokens = "1 token" if len(self.tokens) == 1 else f"{len(self.tokens):,} tokens"
        return f"Your own: {tokens}, {self._num_bars:,} bars of {distance(self.report.files[0].seconds)}."

    @property
    def num_train(self) -> int:
        return roughly(self._num_bars, 0.8)

    @property
    def num_test(self) -> int:
        return roughly(self._num_bars, 0.2)

    @property
    def fewest_per_class(self) -> int:
        return roughly(min(file.num_bars for file in self.report.files), 0.8)

    @property
    def _num_bars(self) -> int:
        return sum(file.num_bars for file in self.report.files)

    def availability(self, data_root: Path) -> Availability:
        """Present while its bars are."""
        if (self._folder(data_root) / kept.FILE).is_file():
            return Availability("present", f"{self.origin}, kept under {data_root.absolute()}.")
        return Availability("missing", "Its prices are gone; delete it and import it again.")

    def paths(self, data_root: Path) -> tuple[Path, ...]:
        """Its files on disk."""
        return tuple(path for path in self._folder(data_root).rglob("*") if path.is_file())

    def bars(self, data_root: Path) -> tuple[Bars, ...]:
        """Of each token. Raises DataError if they are gone or damaged."""
        return kept.read(self._folder(data_root) / kept.FILE, self.tokens, self.digest)

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, WindowSplits]:
        """The splits. Raises DataError if the bars are gone or damaged, or the config leaves too few."""
        # by content, not by name: scores of the same bars are shared
        key = f"{KEY_PREFIX}{self.digest}"
        return (yield from prepare_windows(self.bars(data_root), self.title, key, config.windows))

    def _folder(self, data_root: Path) -> Path:
        return data_root / "prices" / self.key.removeprefix(KEY_PREFIX)
