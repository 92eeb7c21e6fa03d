"""What accuracy costs: in stored bytes over several runs, and in inner steps over one."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures.curves import log_ticks
from engine.figures.formats import counted, num_bytes, percent, percent_spread
from engine.figures.palette import ARM_NAMES, PALETTES, Palette, Theme, arm_name, measure
from engine.figures.published import Published

_MOST_TICKS = 5
_REAL_ARMS = ("kmeans_real", "random_real")


FORMS = {
    "Poster": ("Distilled poster", "square"),
    "Synthetic images": ("Distilled images", "circle"),
    "Distilled sequences": ("Distilled sequences", "circle"),
}
"""What sets look like: their name in a legend, and their mark."""


@dataclass(frozen=True)
class Budgeted:
    """One run in a chart of accuracy against bytes.

    short: written beside its point. name: in full. form: what its set looks like, a key of `FORMS`. arms: its rows of
    scores by arm, under one protocol.
    """

    short: str
    name: str
    form: str
    arms: Mapping[str, Row]


def accuracy_against_bytes(
    runs: Sequence[Budgeted], published: Sequence[Published] = (), *, theme: Theme = "page", height: int = 380
) -> go.Figure:
    """Test accuracy, or skill, of each run's distilled set against the bytes it is stored in, with 95 % intervals: posters as
    squares, whole images and sequences as circles, real data of the same sizes as small marks, published results hollow.
    """
    colours, judged_by = PALETTES[theme], measure(row for run in runs for row in run.arms.values())
    figure = go.Figure()
    for form, (title, symbol) in FORMS.items():
        found = [(run, run.arms["distilled"]) for run in runs if run.form == form and "distilled" in run.arms]
        if found:
            names = [run.name for run, _ in found]
            _add(figure, title, [row for _, row in found], names, colours, symbol, [run.short for run, _ in found])
    for arm, symbol in zip(_REAL_ARMS, ("triangle-up", "x"), strict=True):
        found = [(run, run.arms[arm]) for run in runs if arm in run.arms]
        if found:
            _add(figure, arm_name(arm), [row for _, row in found], [run.name for run, _ in found], colours, symbol)
    if published:
        _add_published(figure, published, colours)
    sizes = [size for trace in figure.data for size in trace.x]
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 8, "t": 34, "b": 4},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis=_log_axis("bytes stored", sizes),
        yaxis={"title": {"text": f"test {judged_by} (%)"}, "nticks": 6, "automargin": True},
        hovermode="closest",
        dragmode=False,
    )
    return figure


def _add(
    figure: go.Figure,
    title: str,
    rows: Sequence[Row],
    names: Sequence[str],
    colours: Palette,
    symbol: str,
    shorts: Sequence[str] = (),
) -> None:
    """The points of one arm with their intervals."""
    colour, is_main = colours.arm(rows[0].arm), rows[0].arm == "distilled"
    figure.add_scatter(
        name=title,
        x=[row.num_bytes for row in rows],
        y=[100 * row.mean for row in rows],
        error_y=_whiskers(rows, colour),
        mode="markers+text" if shorts else "markers",
        text=[html.escape(short, quote=False) for short in shorts] or None,
        textposition="middle right",
        textfont={"size": 12},
        cliponaxis=False,
        marker={"symbol": symbol, "size": 12 if is_main else 8, "color": colour, "line": {"width": 0}},
        customdata=[
            (html.escape(name, quote=False), percent_spread(row.mean, row.std, row.n), num_bytes(row.num_bytes))
            for name, row in zip(names, rows, strict=True)
        ],
        hovertemplate="%{customdata[0]}<br>" + title + ": %{customdata[1]}, %{customdata[2]}<extra></extra>",
    )


def _add_published(figure: go.Figure, published: Sequence[Published], colours: Palette) -> None:
    """Hollow marks; those that are second-hand are named so in the legend and when pointed at."""
    for is_second_hand in (True, False):
        found = [one for one in published if one.is_second_hand is is_second_hand]
        if found:
            figure.add_scatter(
                name="Published, second-hand" if is_second_hand else "Published by its authors",
                x=[one.num_bytes for one in found],
                y=[100 * one.value for one in found],
                mode="markers",
                cliponaxis=False,
                marker={
                    "symbol": "square-open" if is_second_hand else "diamond-open",
                    "size": 12,
                    "color": colours.others[0],
                    "line": {"width": 2},
                },
                customdata=[(one.name, percent(one.value), one.cost) for one in found],
                hovertemplate="%{customdata[0]}: %{customdata[1]}<br>%{customdata[2]}<extra>%{fullData.name}</extra>",
            )


def accuracy_over_steps(
    lengths: Mapping[int, Mapping[str, Row]], *, theme: Theme = "page", height: int = 280
) -> go.Figure:
    """Test accuracy of each arm after so many inner steps, with 95 % intervals: {inner steps: {arm: row}}, ascending."""
    colours = PALETTES[theme]
    figure = go.Figure()
    for arm in ARM_NAMES:
        measured = {num_steps: at[arm] for num_steps, at in lengths.items() if arm in at}
        if not measured:
            continue
        rows = list(measured.values())
        figure.add_scatter(
            name=arm_name(arm),
            x=list(measured),
            y=[100 * row.mean for row in rows],
            error_y=_whiskers(rows, colours.arm(arm)),
            mode="lines+markers",
            line={"color": colours.arm(arm), "width": 2.2 if arm == "distilled" else 1.6},
            marker={"size": 7, "color": colours.arm(arm)},
            customdata=[
                (percent_spread(row.mean, row.std, row.n), counted(num_steps, "inner step"))
                for num_steps, row in measured.items()
            ],
            hovertemplate="%{fullData.name}<br>%{customdata[1]}: %{customdata[0]}<extra></extra>",
        )
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 8, "t": 34, "b": 4},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis={"title": {"text": "inner steps"}, "tickformat": ",d", "rangemode": "tozero", "automargin": True},
        yaxis={"title": {"text": "test accuracy (%)"}, "nticks": 6, "automargin": True},
        dragmode=False,
    )
    return figure


def _whiskers(rows: Sequence[Row], colour: str) -> dict[str, object]:
    """95 % intervals in per cent; none where one student gives none."""
    return {
        "type": "data",
        "array": [_part(row.high - row.mean) for row in rows],
        "arrayminus": [_part(row.mean - row.low) for row in rows],
        "color": colour,
        "thickness": 1.5,
        "width": 5,
    }


def _part(width: float) -> float:
    return 0.0 if math.isnan(width) else 100 * width


def _log_axis(title: str, values: Sequence[float]) -> dict[str, object]:
    """A logarithmic axis of bytes, with room for what is written beside the outermost points."""
    axis = {"title": {"text": title}, "type": "log", "showgrid": True, "automargin": True}
    if not values:
        return axis
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(0.08, 0.12 * (high - low))
    ends = (low - room, high + 2 * room)
    ticks = log_ticks(10.0 ** np.array(ends), least=3)
    ticks = ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
    return axis | {"range": ends, "tickvals": list(ticks), "ticktext": [_tick(tick) for tick in ticks], "tickangle": 0}


def _tick(size: float) -> str:
    """Bytes without the zeros that `num_bytes` gives for exactness: "40 kB"."""
    amount, unit = num_bytes(size).split()
    return f"{float(amount):g} {unit}"
