"""Bar charts: scores of the training sets with their intervals, and how many samples each class has."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures.formats import percent, percent_spread
from engine.figures.layout import lay_out, safe, short, whiskers
from engine.figures.palette import ARM_NAMES, NAIVE_ARMS, PALETTES, Theme, arm_name, measure, protocol_name, shown_order

MANY_CLASSES = 30
"""Beyond so many classes a chart does not name each of them."""
SHORT_NAME = 6
LEAST_SKILL = -1.0
"""Skills below are cut off in a chart, where they would leave no room for the others; their number is written still."""


def scores(rows: Sequence[Row], *, theme: Theme = "page", height: int = 320) -> go.Figure:
    """Mean accuracy, or skill, of each training set under each protocol, with its 95 % interval.

    rows: of one student and one metric, as fractions. Naive forecasts have no bar: skill is relative to one.
    """
    colours = PALETTES[theme]
    rows = [row for row in rows if row.arm not in NAIVE_ARMS]
    protocols = list(dict.fromkeys(row.protocol for row in sorted(rows, key=shown_order)))
    found = {(row.arm, row.protocol): row for row in rows}
    figure = go.Figure()
    for arm in _ordered({row.arm for row in rows}):
        mine = [found[arm, protocol] for protocol in protocols if (arm, protocol) in found]
        figure.add_bar(
            name=arm_name(arm),
            x=["<br>".join(textwrap.wrap(protocol_name(row.protocol), 18)) for row in mine],
            y=[100 * row.mean for row in mine],
            error_y=whiskers(mine, colours.ink),
            marker={"color": colours.arm(arm), "line": {"width": 0}},
            text=[percent(row.mean).removesuffix(" %") for row in mine],
            textposition="inside",
            insidetextanchor="start",
            customdata=[(percent_spread(row.mean, row.std, row.n), row.n) for row in mine],
            hovertemplate="%{fullData.name}<br>%{x}: %{customdata[0]}, n = %{customdata[1]}<extra></extra>",
        )
    lay_out(figure, height, yaxis=_score_axis(rows), barmode="group", bargap=0.28, bargroupgap=0.08)
    if measure(rows) == "skill":
        figure.update_layout(
            uniformtext={"minsize": 9, "mode": "hide"}
        )  # many skills are bars too low to be written in
    return figure


def _ordered(arms: set[str]) -> list[str]:
    known = list(ARM_NAMES)
    return sorted(arms, key=lambda arm: (known.index(arm) if arm in known else len(known), arm))


def _score_axis(rows: Sequence[Row]) -> dict[str, Any]:
    """The axis of test scores: accuracies from 0 to 100 %, skills as far as they go, with a line at zero.

    Intervals of few students may reach far beyond all means; they are cut off where they would leave these no room.
    """
    axis: dict[str, Any] = {"title": {"text": f"test {measure(rows)} (%)"}}
    if measure(rows) == "accuracy":
        return axis | {"range": [0, 100]}
    means = [0.0, *(max(row.mean, LEAST_SKILL) for row in rows)]
    room = max(max(means) - min(means), 0.01)
    low = max(min(means) - room, min(_end(row.low, row.mean) for row in rows), LEAST_SKILL)
    high = min(max(means) + room, max(_end(row.high, row.mean) for row in rows))
    ends = [100 * (min(low, 0.0) - 0.05 * room), 100 * (max(high, 0.0) + 0.05 * room)]
    return axis | {"zeroline": True, "zerolinewidth": 2, "range": ends}


def _end(end: float, mean: float) -> float:
    """An end of an interval; the mean where one student gives none."""
    return mean if math.isnan(end) else end


def runs(rows: Sequence[tuple[str, Row]], *, theme: Theme = "page", height: int = 320) -> go.Figure:
    """All training sets of several runs side by side, with 95 % intervals; naive forecasts have no bar.

    rows: (name of the run, row of scores), one per training set and run.
    """
    colours = PALETTES[theme]
    rows = [(safe(name), row) for name, row in rows if row.arm not in NAIVE_ARMS]
    names = list(dict.fromkeys(name for name, _ in rows))
    figure = go.Figure()
    for arm in ARM_NAMES:
        found = {name: row for name, row in rows if row.arm == arm}
        if found:
            figure.add_bar(
                name=arm_name(arm),
                y=list(found),
                x=[100 * row.mean for row in found.values()],
                orientation="h",
                error_x=whiskers(list(found.values()), colours.ink),
                marker={"color": colours.arm(arm)},
                hovertemplate="%{y}<br>%{fullData.name}: %{x:.1f} %<extra></extra>",
            )
    tall = max(height, 60 + 24 * len(rows) + 16 * len(names))
    down = {"autorange": "reversed", "categoryarray": names, "categoryorder": "array"}
    return lay_out(figure, tall, xaxis=_score_axis([row for _, row in rows]), yaxis=down, barmode="group")


def class_counts(
    counts: Mapping[str, Sequence[int]], class_names: Sequence[str], *, theme: Theme = "page", height: int = 280
) -> go.Figure:
    """Samples per class, one colour per split; long names of many classes are left to the bars' hover text.

    counts: split -> number of samples of each class, in `class_names` order.
    """
    colours, figure = PALETTES[theme], go.Figure()
    order = (colours.full, colours.kmeans_real, colours.random_real)
    names = [short(name, 14) for name in class_names]
    positions = list(range(len(names)))
    for number, (split, values) in enumerate(counts.items()):
        figure.add_bar(
            name=split.capitalize(),
            x=positions,
            y=list(values),
            customdata=names,
            hovertemplate="%{customdata}: %{y:,} " + split + "<extra></extra>",
            marker={"color": order[number % len(order)], "line": {"width": 0}},
        )
    is_long = len(positions) > MANY_CLASSES
    shown = positions[:: math.ceil(len(positions) / 20)] if is_long else positions
    is_counted = is_long and any(len(class_names[i]) > SHORT_NAME for i in shown)
    across = {"tickvals": shown, "ticktext": [f"{i + 1}" if is_counted else names[i] for i in shown]}
    title = "class, by its place in the list" if is_counted else "class"
    lay_out(figure, height, title, "samples", xaxis=across, yaxis={"tickformat": ",d"})
    return figure.update_layout(barmode="stack", bargap=0 if is_long else 0.25)
