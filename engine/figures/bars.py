"""Bar charts: scores of the arms with their intervals, and how many samples each class has."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from engine.figures.formats import percent, percent_spread
from engine.figures.palette import ARM_NAMES, NAIVE_ARMS, PALETTES, Theme, arm_name, measure, protocol_name, shown_order

MANY_CLASSES = 30
"""Beyond so many classes a chart does not name each of them."""
SHORT_NAME = 6
LEAST_SKILL = -1.0
"""Skills below are cut off in a chart, where they would leave no room for the others; their number is written still."""


def scores(rows: Sequence[object], *, theme: Theme = "page", height: int = 320) -> go.Figure:
    """Mean accuracy, or skill, of each arm under each protocol, with its 95 % interval where there is more than one student.

    rows: of one student architecture and one metric, as `engine.summarise` gives them, as fractions. Forecasts of no network
    have no bar: skill counts from one.
    """
    colours = PALETTES[theme]
    rows = [row for row in rows if row.arm not in NAIVE_ARMS]
    shown = sorted(rows, key=shown_order)
    protocols = list(dict.fromkeys(row.protocol for row in shown))
    arms = sorted(
        {row.arm for row in rows}, key=lambda arm: (list(ARM_NAMES).index(arm) if arm in ARM_NAMES else 99, arm)
    )
    found = {(row.arm, row.protocol): row for row in rows}
    figure = go.Figure()
    for arm in arms:
        mine = [(protocol, found[arm, protocol]) for protocol in protocols if (arm, protocol) in found]
        figure.add_bar(
            name=arm_name(arm),
            x=["<br>".join(textwrap.wrap(protocol_name(protocol), 18)) for protocol, _ in mine],
            y=[100 * row.mean for _, row in mine],
            error_y={
                "type": "data",
                "array": [_half(row.high, row.mean) for _, row in mine],
                "arrayminus": [_half(row.mean, row.low) for _, row in mine],
                "color": colours.ink,
                "thickness": 1.5,
                "width": 5,
            },
            marker={"color": colours.arm(arm), "line": {"width": 0}},
            text=[percent(row.mean).removesuffix(" %") for _, row in mine],
            textposition="inside",
            insidetextanchor="start",
            customdata=[(percent_spread(row.mean, row.std, row.n), row.n) for _, row in mine],
            hovertemplate="%{fullData.name}<br>%{x}: %{customdata[0]}, n = %{customdata[1]}<extra></extra>",
        )
    figure.update_layout(
        height=height,
        barmode="group",
        bargap=0.28,
        bargroupgap=0.08,
        margin={"l": 4, "r": 8, "t": 34, "b": 4},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        yaxis=_score_axis(rows) | {"nticks": 6},
        xaxis={"automargin": True},
        dragmode=False,
    )
    if measure(rows) == "skill":
        figure.update_layout(
            uniformtext={"minsize": 9, "mode": "hide"}
        )  # many skills are bars too low to be written in
    return figure


def _score_axis(rows: Sequence[object]) -> dict[str, object]:
    """The axis of test scores: accuracies from 0 to 100 %, skills as far as they go, with a line where there is none.

    Intervals of few students may reach far beyond all means; they are cut off where they would leave these no room.
    """
    axis: dict[str, object] = {"title": {"text": f"test {measure(rows)} (%)"}, "automargin": True}
    if measure(rows) == "accuracy":
        return axis | {"range": [0, 100]}
    axis |= {"zeroline": True, "zerolinewidth": 2}
    if not rows:
        return axis
    means = [0.0, *(max(row.mean, LEAST_SKILL) for row in rows)]
    room = max(max(means) - min(means), 0.01)
    low = max(min(means) - room, min(_end(row.low, row.mean) for row in rows), LEAST_SKILL)
    high = min(max(means) + room, max(_end(row.high, row.mean) for row in rows))
    edge = 0.05 * room
    return axis | {"range": [100 * (min(low, 0.0) - edge), 100 * (max(high, 0.0) + edge)]}


def _end(end: float, mean: float) -> float:
    """An end of an interval; the mean where one student gives none."""
    return mean if math.isnan(end) else end


def runs(rows: Sequence[tuple[str, object]], *, theme: Theme = "page", height: int = 320) -> go.Figure:
    """All arms of several runs side by side, with 95 % intervals; forecasts of no network have no bar.

    rows: (name of the run, row of `engine.summarise`), one an arm and run.
    """
    colours = PALETTES[theme]
    rows = [(html.escape(name, quote=False), row) for name, row in rows]
    names = list(dict.fromkeys(name for name, _ in rows))
    figure = go.Figure()
    for arm in ARM_NAMES:
        found = {name: row for name, row in rows if row.arm == arm}
        if not found or arm in NAIVE_ARMS:
            continue
        shown = [name for name in names if name in found]
        figure.add_bar(
            name=arm_name(arm),
            y=shown,
            x=[100 * found[name].mean for name in shown],
            orientation="h",
            error_x={
                "type": "data",
                "array": [_half(found[name].high, found[name].mean) for name in shown],
                "arrayminus": [_half(found[name].mean, found[name].low) for name in shown],
                "color": colours.ink,
                "thickness": 1.5,
                "width": 5,
            },
            marker={"color": colours.arm(arm)},
            hovertemplate="%{y}<br>%{fullData.name}: %{x:.1f} %<extra></extra>",
        )
    figure.update_layout(
        height=max(height, 60 + 24 * len(rows) + 16 * len(names)),
        barmode="group",
        margin={"l": 4, "r": 8, "t": 34, "b": 4},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis=_score_axis([row for _, row in rows if row.arm not in NAIVE_ARMS]),
        yaxis={"autorange": "reversed", "automargin": True},
        dragmode=False,
    )
    return figure


def _half(high: float, low: float) -> float:
    """Half an interval in per cent; 0 where one student gives none."""
    width = high - low
    return 0.0 if math.isnan(width) else 100 * width


def class_counts(
    counts: Mapping[str, Sequence[int]], class_names: Sequence[str], *, theme: Theme = "page", height: int = 280
) -> go.Figure:
    """Samples a class, one colour a split; long names of many classes are left to the bars' hover text.

    counts: split -> number of samples of each class, in `class_names` order.
    """
    colours = PALETTES[theme]
    order = (colours.full, colours.kmeans_real, colours.random_real)
    figure = go.Figure()
    positions = list(range(len(class_names)))
    for number, (split, values) in enumerate(counts.items()):
        figure.add_bar(
            name=split.capitalize(),
            x=positions,
            y=list(values),
            customdata=[_plain(name) for name in class_names],
            hovertemplate="%{customdata}: %{y:,} " + split + "<extra></extra>",
            marker={"color": order[number % len(order)], "line": {"width": 0}},
        )
    is_long = len(positions) > MANY_CLASSES
    shown = positions[:: math.ceil(len(positions) / 20)] if is_long else positions
    is_counted = is_long and any(len(class_names[i]) > SHORT_NAME for i in shown)
    figure.update_layout(
        height=height,
        barmode="stack",
        bargap=0 if is_long else 0.25,
        margin={"l": 4, "r": 8, "t": 34, "b": 4},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis={
            "tickvals": shown,
            "ticktext": [f"{i + 1}" if is_counted else _plain(class_names[i]) for i in shown],
            "automargin": True,
            "title": {"text": "class, by its place in the list" if is_counted else "class"},
        },
        yaxis={"title": {"text": "samples"}, "tickformat": ",d", "automargin": True},
        dragmode=False,
    )
    return figure


def _plain(name: str) -> str:
    """A class name as Plotly shows it: its small HTML is user text here, and long names are cut."""
    short = name if len(name) <= 14 else name[:13] + "…"
    return html.escape(short, quote=False)
