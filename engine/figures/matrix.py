"""Architectures and training sets in one map: the score of each pair, and the same as a CSV file."""

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures.formats import percent, percent_spread
from engine.figures.layout import heat_map, lay_out, safe
from engine.figures.palette import ARM_NAMES, NAIVE_ARMS, arm_name, protocol_name

LEFT_OUT = ("distilled_hard", *NAIVE_ARMS)
"""Arms that are only tried with the architecture that a set was distilled for, and forecasts of no network."""
COLUMNS = ("architecture", "trained on", "protocol", "mean", "std", "n", "low", "high", "seconds")
_LINE = 9
"""Characters of a line of an arm's name, which stands over a narrow column."""


def matrix_arms(cells: Mapping[str, Mapping[str, Row]]) -> list[str]:
    """The arms that any architecture was scored on, in the order they are shown."""
    return [arm for arm in ARM_NAMES if arm not in LEFT_OUT and any(arm in arms for arms in cells.values())]


def matrix(cells: Mapping[str, Mapping[str, Row]], titles: Sequence[str]) -> go.Figure:
    """Test accuracy, or skill, by architecture, down, and arm, across: mean, standard deviation and n in each cell.

    cells: {architecture, or run: {arm: row}}; gaps stay empty. titles: of the architectures, in order.
    """
    arms = matrix_arms(cells)
    found = [[row.get(arm) for arm in arms] for row in cells.values()]
    text = [["" if row is None else _cell(row) for row in line] for line in found]
    told = [["" if row is None else _told(row) for row in line] for line in found]
    shares = [[None if row is None else row.mean for row in line] for line in found]
    x, y = [_wrapped(arm_name(arm)) for arm in arms], [_wrapped(title) for title in titles]
    more = {"text": text, "customdata": told, "hoverongaps": False, "textfont": {"size": 12}}
    figure = heat_map(x, y, shares, "%{y}<br>%{customdata}<extra></extra>", **more)
    axis = {"type": "category", "showgrid": False, "ticks": ""}
    across, down = axis | {"side": "top", "autotickangles": [0, -90]}, axis | {"autorange": "reversed"}
    lay_out(figure, 130 + 64 * len(cells), legend=False, xaxis=across, yaxis=down)
    return figure.update_layout(margin={"r": 4})


def matrix_csv(cells: Mapping[str, Mapping[str, Row]]) -> str:
    """The cells as comma-separated values, a line each; fractions, and nothing where one student has no spread."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for arms in cells.values():
        for arm in matrix_arms(cells):
            if arm in arms:
                row = arms[arm]
                spread = ("", row.n, "", "") if row.n < 2 else (row.std, row.n, row.low, row.high)
                table.writerow((row.student, row.arm, row.protocol, row.mean, *spread, row.seconds))
    return text.getvalue()


def _cell(row: Row) -> str:
    """The three lines of a cell, each short enough for a phone."""
    spread = "" if row.n < 2 else f"<br>± {100 * row.std:.1f}"
    return f"<b>{percent(row.mean).removesuffix(' %')}</b>{spread}<br>n = {row.n}"


def _told(row: Row) -> str:
    score = percent_spread(row.mean, row.std, row.n)
    return f"{arm_name(row.arm)}, {protocol_name(row.protocol).lower()}: {score}, n = {row.n}"


def _wrapped(name: str) -> str:
    """A name in short lines; Plotly's small HTML is plain text in it."""
    return "<br>".join(safe(line) for line in textwrap.wrap(name, _LINE, break_long_words=False))
