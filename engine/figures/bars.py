"""Bar charts: scores of the training sets with their intervals, and how many samples each class has."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures.formats import percent, percent_spread
from engine.figures.layout import GROUPED, WRITTEN, columns, lay_out, safe, short, whiskers
from engine.figures.palette import ARM_NAMES, NAIVE_ARMS, PAGE, arm_name, measure, place, protocol_name, shown_order

MANY_CLASSES = 30
"""Beyond so many classes a chart does not name each of them."""
SHORT_NAME = 6
LEAST_SKILL = -1.0
"""Skills below are cut off in a chart, where they would leave no room for the others; their number is written still."""


def scores(rows: Sequence[Row], height: int = 320) -> go.Figure:
    """Mean accuracy, or skill, of each training set under each protocol, with its 95 % interval.

    rows: of one student and one metric, as fractions. Naive forecasts have no bar: skill is relative to one.
    """
    rows = sorted((row for row in rows if row.arm not in NAIVE_ARMS), key=shown_order)
    figure, hover = go.Figure(), "%{fullData.name}<br>%{x}: %{customdata[0]}, n = %{customdata[1]}<extra></extra>"
    for arm in sorted({row.arm for row in rows}, key=lambda arm: (place(arm, ARM_NAMES), arm)):
        mine = [row for row in rows if row.arm == arm]
        x = ["<br>".join(textwrap.wrap(protocol_name(row.protocol), 18)) for row in mine]
        text = [percent(row.mean).removesuffix(" %") for row in mine]
        told = [(percent_spread(row.mean, row.std, row.n), row.n) for row in mine]
        more = {"error_y": whiskers(mine, PAGE.ink), "text": text, "customdata": told} | WRITTEN
        columns(figure, x, [100 * row.mean for row in mine], arm_name(arm), PAGE.arm(arm), hover, **more)
    lay_out(figure, height, yaxis=_score_axis(rows), **GROUPED)
    if measure(rows) == "skill":  # many skills are bars too low to be written in
        figure.update_layout(uniformtext={"minsize": 9, "mode": "hide"})
    return figure


def _score_axis(rows: Sequence[Row]) -> dict[str, Any]:
    """The axis of test scores: accuracies from 0 to 100 %, skills as far as they go, with a line at zero.

    Intervals of few students may reach far beyond all means; they are cut off where they would leave these no room.
    """
    axis: dict[str, Any] = {"title": {"text": f"test {measure(rows)} (%)"}}
    if measure(rows) == "accuracy":
        return axis | {"range": [0, 100]}
    means = [0.0, *(max(row.mean, LEAST_SKILL) for row in rows)]
    room = max(max(means) - min(means), 0.01)
    # one student gives no interval
    low = min(row.mean if math.isnan(row.low) else row.low for row in rows)
    high = max(row.mean if math.isnan(row.high) else row.high for row in rows)
    low, high = max(min(means) - room, low, LEAST_SKILL), min(max(means) + room, high)
    ends = [100 * (min(low, 0.0) - 0.05 * room), 100 * (max(high, 0.0) + 0.05 * room)]
    return axis | {"zeroline": True, "zerolinewidth": 2, "range": ends}


def runs(rows: Sequence[tuple[str, Row]]) -> go.Figure:
    """All training sets of several runs side by side, with 95 % intervals; naive forecasts have no bar.

    rows: (name of the run, row of scores), one per training set and run.
    """
    rows = [(safe(name), row) for name, row in rows if row.arm not in NAIVE_ARMS]
    names = list(dict.fromkeys(name for name, _ in rows))
    figure, hover = go.Figure(), "%{y}<br>%{fullData.name}: %{x:.1f} %<extra></extra>"
    for arm in ARM_NAMES:
        if found := {name: row for name, row in rows if row.arm == arm}:
            x, ends = [100 * row.mean for row in found.values()], whiskers(list(found.values()), PAGE.ink)
            columns(figure, x, list(found), arm_name(arm), PAGE.arm(arm), hover, orientation="h", error_x=ends)
    tall = max(320, 60 + 24 * len(rows) + 16 * len(names))
    down = {"autorange": "reversed", "categoryarray": names, "categoryorder": "array"}
    return lay_out(figure, tall, xaxis=_score_axis([row for _, row in rows]), yaxis=down, barmode="group")


def class_counts(counts: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> go.Figure:
    """Samples per class, one colour per split; long names of many classes are left to the bars' hover text.

    counts: split -> number of samples of each class, in `class_names` order.
    """
    figure, order = go.Figure(), (PAGE.full, PAGE.kmeans_real, PAGE.random_real)
    names = [short(name, 14) for name in class_names]
    positions = list(range(len(names)))
    for number, (split, values) in enumerate(counts.items()):
        hover, colour = f"%{{customdata}}: %{{y:,}} {split}<extra></extra>", order[number % len(order)]
        columns(figure, positions, list(values), split.capitalize(), colour, hover, customdata=names)
    is_long = len(positions) > MANY_CLASSES
    shown = positions[:: math.ceil(len(positions) / 20)] if is_long else positions
    is_counted = is_long and any(len(class_names[i]) > SHORT_NAME for i in shown)
    across = {"tickvals": shown, "ticktext": [f"{i + 1}" if is_counted else names[i] for i in shown]}
    title = "class, by its place in the list" if is_counted else "class"
    lay_out(figure, 280, title, "samples", xaxis=across, yaxis={"tickformat": ",d"})
    return figure.update_layout(barmode="stack", bargap=0 if is_long else 0.25)
