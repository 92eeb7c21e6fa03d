"""Results of runs as plain records, which pages, reports and the terminal each draw in their own way.

Texts are plain; `**so**` is emphasis. Lines of a sentence are joined, except on a terminal. The second line of a cell
of a table is a remark on the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import plotly.graph_objects as go


@dataclass(frozen=True)
class Sentence:
    """One or more sentences. verdict: the outcome of a run. note: framed. caption: small, explains its neighbour.

    warning: framed, and marked as one.
    """

    text: str
    tone: Literal["plain", "verdict", "note", "warning", "caption"] = "plain"


@dataclass(frozen=True)
class Metric:
    """One figure of merit. note: a few words below the value. help: a sentence that explains it."""

    label: str
    value: str
    note: str = ""
    help: str = ""


@dataclass(frozen=True)
class Metrics:
    """Figures of merit side by side. is_explained: their help is written out and not a tooltip."""

    of: Sequence[Metric]
    is_explained: bool = False


@dataclass(frozen=True)
class Table:
    """Columns of equally many cells, by title. alt: what it shows, for those who cannot see it."""

    columns: Mapping[str, Sequence[str]]
    alt: str


@dataclass(frozen=True)
class Chart:
    """A Plotly figure, made when it is drawn. key: unique within a run."""

    draw: Callable[[], go.Figure]
    key: str
    alt: str


@dataclass(frozen=True)
class Picture:
    """An image, made when it is drawn."""

    png: Callable[[], bytes]
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Code:
    """Text to copy."""

    text: str


@dataclass(frozen=True)
class File:
    """Something to download."""

    label: str
    name: str
    mime: str
    content: Callable[[], str | bytes]


@dataclass(frozen=True)
class Group:
    """Sections under a heading. grid: side by side where there is room. box: framed. fold: shut until it is opened."""

    title: str
    of: Sequence[Section]
    layout: Literal["stack", "box", "grid", "fold"] = "stack"


@dataclass(frozen=True)
class Choice:
    """Sections of which the reader picks one set, by name.

    is_list: offered as a drop-down list rather than as buttons. is_another_view: the options show the same thing in
    different ways, so that a reader who cannot pick gets the first one alone.
    """

    label: str
    options: Mapping[str, Callable[[], Sequence[Section]]]
    key: str
    is_list: bool = False
    is_another_view: bool = False

    def shown_at_once(self) -> Mapping[str, Callable[[], Sequence[Section]]]:
        """The options to show where a reader cannot pick: all, or the first of several views."""
        return dict(list(self.options.items())[:1]) if self.is_another_view else self.options


Section = Sentence | Metrics | Table | Chart | Picture | Code | File | Group | Choice
