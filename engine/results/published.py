"""What others published on the data set of a run, beside its own scores and never among them.

The numbers and where each comes from are data, in the files of `published/`. Sizes count images as float32, 4 bytes a
value, and no labels, as papers do.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from engine import figures
from engine.data import find_source
from engine.figures import formats
from engine.methods import METHODS
from engine.results.run import Run
from engine.results.sections import Group, Section, Sentence, Table

TITLE = "Published elsewhere, not measured here"
SELECTED = {"best": "best test score kept", "fixed": "score of a fixed last step", "unknown": "selection unknown"}
"""How a published score was chosen."""
NOTE = (
    "Numbers that others published, with the marks that say how far to trust them; this program measured none of them. "
    "Sizes count images as float32 without labels, as papers do. A best test score that was kept does not rank beside "
    "the score of a fixed last step. Standard: SGD at 0.01 with momentum, 1,000 epochs, a tenth of it after half, DSA."
)


class Record(BaseModel):
    """A part of the files in `published/`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(Record):
    """A data set as papers use it. shape: (C, H, W)."""

    title: str = Field(min_length=1)
    shape: tuple[int, int, int]
    classes: int = Field(gt=1)


Scores = dict[str, dict[float, tuple[float] | tuple[float, float]]]
"""{data set: {images per class: (value,) or (value, deviation)}}, in per cent or points."""


class Publication(Record):
    """Scores of one method in one source; the fields are explained in `published/data_sets.toml`."""

    method: str = Field(min_length=1)
    ours: str = ""
    network: str = "not noted"
    recipe: str = "not noted"
    selection: Literal["best", "fixed", "unknown"] = "unknown"
    second_hand: bool = False
    audit: str = ""
    measure: Literal["accuracy", "improvement"] = "accuracy"
    bits: float = Field(default=32, gt=0, le=32)
    source: str = Field(min_length=1)
    note: str = ""
    scores: Scores
    networks: dict[str, Scores] = {}

    @property
    def marks(self) -> str:
        """How far to trust the scores, in phrases."""
        said = [SELECTED[self.selection], "second-hand" if self.second_hand and not self.audit else ""]
        said += [f"measured again by {self.audit}" if self.audit else "", self.note]
        return "; ".join(filter(None, said))


@dataclass(frozen=True)
class Published:
    """One published score. value, std: fractions; std is NaN if not given. num_bytes: of its images."""

    about: Publication
    data: str
    network: str
    ipc: float
    value: float
    std: float
    num_bytes: int

    def __str__(self) -> str:
        return f"{self.ipc:g}: {self.score}"

    @property
    def score(self) -> str:
        """ "48.3 ± 1.0 %", or points above random images."""
        if self.about.measure == "improvement":
            return f"{formats.points(self.value)} above random images"
        return formats.percent_spread(self.value, self.std, 2)


@cache
def read() -> tuple[Mapping[str, Data], tuple[Published, ...]]:
    """The data sets by key, and every score. Raises pydantic's ValidationError for a wrong or missing field."""
    files = sorted(Path(__file__).with_name("published").glob("*.toml"))
    tables = [tomllib.loads(file.read_text(encoding="utf-8")) for file in files]
    data = {key: Data.model_validate(each) for table in tables for key, each in table.get("data", {}).items()}
    found = [Publication.model_validate(each) for table in tables for each in table.get("published", ())]
    return data, tuple(row for each in found for row in _rows(each, data))


def _rows(about: Publication, data: Mapping[str, Data]) -> Iterator[Published]:
    for network, scores in {about.network: about.scores, **about.networks}.items():
        for key, by_size in scores.items():
            for ipc, (value, *std) in by_size.items():
                num_values = ipc * data[key].classes * math.prod(data[key].shape)
                deviation = std[0] / 100 if std else math.nan
                num_bytes = round(num_values * about.bits / 8)
                yield Published(about, key, network, ipc, value / 100, deviation, num_bytes)


def on(source: str) -> list[Published]:
    """All scores on a data set, by its key in this program, smallest sets first; none for most data sets."""
    data, rows = read()
    found = find_source(source)
    layout = getattr(getattr(found, "report", None), "layout", "")  # of imported images
    shape = getattr(found, "sample_shape", ())
    keys = [key for key, each in data.items() if key == source or (each.title == layout and each.shape == shape)]
    return sorted((row for row in rows if row.data in keys), key=lambda row: row.num_bytes)


def beside(runs: Sequence[Run], *, is_brief: bool = False) -> list[Section]:
    """Published scores on the data sets of runs: those near the bytes that runs store, the rest folded or left out."""
    sizes: dict[str, list[int]] = {}
    for run in runs:
        is_labelled = run.row.method in METHODS and METHODS[run.row.method].result == "labelled"
        if is_labelled and "distilled" in run.best:
            sizes.setdefault(run.row.source, []).append(run.best["distilled"].num_bytes)
    found = [_boxed(on(source), sorted(set(stored)), is_brief) for source, stored in sizes.items()]
    return [group for group in found if group is not None]


def _boxed(rows: Sequence[Published], stored: Sequence[int], is_brief: bool) -> Group | None:
    if not rows:
        return None
    close = [row for row in rows if any(_is_near(row, size, rows) for size in stored)]
    rest = [row for row in rows if row not in close]
    ends = sorted({close[0].num_bytes, close[-1].num_bytes})
    near, mine = (" to ".join(f"{size:,}" for size in each) for each in (ends, sorted({stored[0], stored[-1]})))
    title = read()[0][rows[0].data].title
    where = f"{title}, at {near} bytes as float32 images: the published sizes nearest to the {mine} bytes stored here."
    parts: list[Section] = [Sentence(f"{where} {NOTE}", "caption"), _table(close)]
    if rest and not is_brief:
        parts.append(Group("Other published sizes", [_table(rest)], "fold"))
    return Group(TITLE, parts, "box")


def _is_near(row: Published, size: int, rows: Sequence[Published]) -> bool:
    """Whether a row's size is within a quarter of the published size that is nearest to `size`."""
    nearest = min((each.num_bytes for each in rows), key=lambda other: abs(math.log(other / size)))
    return abs(math.log(row.num_bytes / nearest)) <= math.log(1.25)


def _table(rows: Sequence[Published]) -> Table:
    """A line per score."""
    columns = {
        "Method": [
            f"{row.about.method}\nas our {METHODS[row.about.ours].title}" if row.about.ours else row.about.method
            for row in rows
        ],
        "Test accuracy": [row.score for row in rows],
        "Images per class": [f"{row.ipc:g}\n{row.num_bytes:,} bytes" for row in rows],
        "Network": [row.network for row in rows],
        "Recipe": [row.about.recipe for row in rows],
        "Marks": [row.about.marks for row in rows],
        "Source": [row.about.source for row in rows],
    }
    return Table(columns, "Published scores with network, recipe, marks and source")


def marks(source: str) -> list[figures.Published]:
    """The accuracies on a data set as hollow marks of a chart."""
    accuracies = [row for row in on(source) if row.about.measure == "accuracy"]
    return [
        figures.Published(
            f"{row.about.method}, {row.network}",
            row.ipc,
            row.value,
            row.about.marks,
            row.num_bytes,
            row.about.second_hand,
        )
        for row in accuracies
    ]


def of_method(method: str) -> list[Section]:
    """What was published for methods of one kind."""
    table = _by_data(method)
    return [Group(TITLE, [table])] if table.columns["Method"] else []


def card(method: str) -> str:
    """The same as a table in Markdown, for the method's card."""
    columns = _by_data(method).columns
    lines = [list(columns), ["---"] * len(columns), *map(list, zip(*columns.values(), strict=True))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _by_data(method: str) -> Table:
    """A line for each method of a kind, data set and network."""
    data, rows = read()
    mine = (row for row in rows if row.about.ours == method)
    found = [(*key, list(each)) for key, each in groupby(mine, lambda row: (row.about, row.data, row.network))]
    columns = {
        "Method": [about.method for about, *_ in found],
        "Data set": [data[key].title for _, key, *_ in found],
        "Images per class: test accuracy": [", ".join(map(str, each)) for *_, each in found],
        "Network": [network for _, _, network, _ in found],
        "Marks": [about.marks for about, *_ in found],
        "Source": [about.source for about, *_ in found],
    }
    return Table(columns, "Published scores by data set and network")
