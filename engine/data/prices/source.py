"""Price histories as sources: simulated, or imported by a user."""

from collections.abc import Generator
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.core.config import DataConfig
from engine.core.events import Event
from engine.data.imported.library import Imported, Library
from engine.data.prices import kept
from engine.data.prices.bars import Bars
from engine.data.prices.options import Token
from engine.data.prices.report import PriceReport, counted, distance
from engine.data.prices.simulate import simulate
from engine.data.prices.windows import WindowSplits, prepare_windows
from engine.data.source import NUM_FEATURES, Availability

DEFAULT_SHAPE = (DataConfig().windows.window_length, NUM_FEATURES)


def roughly(num_bars: int, share: float) -> int:
    """Windows in a share of a history before it is split: one per bar."""
    return max(1, round(num_bars * share))


class SimulatedPrices:
    """Three simulated tokens of 2,200 daily bars. The seed belongs to the data set, not to a run."""

    kind: ClassVar[Literal["prices"]] = "prices"
    key = "simulated_prices"
    title = "Simulated prices"
    summary = "Three simulated tokens with calm, rising, falling and volatile periods, for trying the program."
    origin = "simulated by this program (regimes and GARCH, seed 2018)"
    class_names = ("SIM-A", "SIM-B", "SIM-C")
    sample_shape = DEFAULT_SHAPE
    num_bars = 2200
    seed = 2018
    num_train = roughly(num_bars * len(class_names), 0.8)
    num_test = roughly(num_bars * len(class_names), 0.2)
    fewest_per_class = roughly(num_bars, 0.8)

    def availability(self, data_root: Path) -> Availability:
        return Availability("present", "Computed by the program.")

    def paths(self, data_root: Path) -> tuple[Path, ...]:
        return ()

    def bars(self, data_root: Path) -> tuple[Bars, ...]:
        return simulate(self.class_names, self.num_bars, self.seed)

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, WindowSplits]:
        return (yield from prepare_windows(self.bars(data_root), self.title, self.key, config.windows))


class PriceSource(Imported):
    """Imported price histories."""

    kind: ClassVar[Literal["prices"]] = "prices"
    sample_shape: ClassVar[tuple[int, ...]] = DEFAULT_SHAPE
    tokens: Annotated[tuple[Token, ...], Field(min_length=1)]
    report: PriceReport

    @model_validator(mode="after")
    def _one_report_per_token(self) -> Self:
        if len(self.tokens) != len(self.report.files):
            raise ValueError("the tokens do not match the report")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.tokens

    @property
    def summary(self) -> str:
        bars = f"{self._num_bars:,} bars of {distance(self.report.files[0].seconds)}"
        return f"Your own: {counted(len(self.tokens), 'token')}, {bars}."

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

    def stored(self, data_root: Path) -> Path:
        return LIBRARY.folder_of(self.key, data_root) / kept.FILE

    def paths(self, data_root: Path) -> tuple[Path, ...]:
        return tuple(path for path in self.stored(data_root).parent.rglob("*") if path.is_file())

    def bars(self, data_root: Path) -> tuple[Bars, ...]:
        """One history per token. Raises DataError if they are missing or damaged."""
        return kept.read(self.stored(data_root), self.tokens, self.digest)

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, WindowSplits]:
        """The splits. Raises DataError if the bars are missing or damaged, or the config leaves too few."""
        # the key is the content's: data sets of the same bars share scores
        key = f"{LIBRARY.prefix}{self.digest}"
        return (yield from prepare_windows(self.bars(data_root), self.title, key, config.windows))


LIBRARY = Library(PriceSource, folder="prices", prefix="prices:", fallback="prices")
