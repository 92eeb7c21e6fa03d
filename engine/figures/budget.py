"""What accuracy costs: in stored bytes over several runs, and in inner steps over one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures.curves import log_ticks
from engine.figures.formats import counted, num_bytes, percent, percent_spread
from engine.figures.layout import lay_out, line, safe, whiskers
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
    """Test accuracy, or skill, of each run's distilled set against the bytes it is stored in, with 95 % intervals.

    Posters are squares, whole images and sequences circles, real data of the same sizes small marks, published results
    hollow.
    """
    colours, judged_by = PALETTES[theme], measure(row for run in runs for row in run.arms.values())
    figure = go.Figure()
    for form, (title, symbol) in FORMS.items():
        found = [(run, run.arms["distilled"]) for run in runs if run.form == form and "distilled" in run.arms]
        if found:
            _add(figure, title, found, colours, symbol)
    for arm, symbol in zip(_REAL_ARMS, ("triangle-up", "x"), strict=True):
        found = [(run, run.arms[arm]) for run in runs if arm in run.arms]
        if found:
            _add(figure, arm_name(arm), found, colours, symbol)
    if published:
        _add_published(figure, published, colours)
    sizes = [size for trace in figure.data for size in trace.x]
    return lay_out(figure, height, "bytes stored", f"test {judged_by} (%)", xaxis=_log_axis(sizes))


def _add(figure: go.Figure, title: str, found: Sequence[tuple[Budgeted, Row]], colours: Palette, symbol: str) -> None:
    """The points of one training set with their intervals; distilled ones with the short names of their runs."""
    rows = [row for _, row in found]
    colour, is_main = colours.arm(rows[0].arm), rows[0].arm == "distilled"
    figure.add_scatter(
        name=title,
        x=[row.num_bytes for row in rows],
        y=[100 * row.mean for row in rows],
        error_y=whiskers(rows, colour),
        mode="markers+text" if is_main else "markers",
        text=[safe(run.short) for run, _ in found] if is_main else None,
        textposition="middle right",
        textfont={"size": 12},
        cliponaxis=False,
        marker={"symbol": symbol, "size": 12 if is_main else 8, "color": colour, "line": {"width": 0}},
        customdata=[
            (safe(run.name), percent_spread(row.mean, row.std, row.n), num_bytes(row.num_bytes)) for run, row in found
        ],
        hovertemplate="%{customdata[0]}<br>" + title + ": %{customdata[1]}, %{customdata[2]}<extra></extra>",
    )


def _add_published(figure: go.Figure, published: Sequence[Published], colours: Palette) -> None:
    """Hollow marks; those that are second-hand are named so in the legend and under the pointer."""
    for is_second_hand in (True, False):
        found = [one for one in published if one.is_second_hand is is_second_hand]
        if found:
            symbol = "square-open" if is_second_hand else "diamond-open"
            figure.add_scatter(
                name="Published, second-hand" if is_second_hand else "Published by its authors",
                x=[one.num_bytes for one in found],
                y=[100 * one.value for one in found],
                mode="markers",
                cliponaxis=False,
                marker={"symbol": symbol, "size": 12, "color": colours.others[0], "line": {"width": 2}},
                customdata=[(one.name, percent(one.value), one.cost) for one in found],
                hovertemplate="%{customdata[0]}: %{customdata[1]}<br>%{customdata[2]}<extra>%{fullData.name}</extra>",
            )


def accuracy_over_steps(
    lengths: Mapping[int, Mapping[str, Row]], *, theme: Theme = "page", height: int = 280
) -> go.Figure:
    """Test accuracy of each training set by inner steps, with 95 % intervals: {inner steps: {arm: row}}, ascending."""
    colours, figure = PALETTES[theme], go.Figure()
    for arm in ARM_NAMES:
        measured = {num_steps: at[arm] for num_steps, at in lengths.items() if arm in at}
        if not measured:
            continue
        rows, colour = list(measured.values()), colours.arm(arm)
        said = [percent_spread(row.mean, row.std, row.n) for row in rows]
        line(
            figure,
            list(measured),
            [100 * row.mean for row in rows],
            arm_name(arm),
            colour,
            hover="%{fullData.name}<br>%{customdata[1]}: %{customdata[0]}<extra></extra>",
            width=2.2 if arm == "distilled" else 1.6,
            has_markers=True,
            error_y=whiskers(rows, colour),
            marker={"size": 7, "color": colour},
            customdata=[(text, counted(steps, "inner step")) for text, steps in zip(said, measured, strict=True)],
        )
    across = {"tickformat": ",d", "rangemode": "tozero"}
    return lay_out(figure, height, "inner steps", "test accuracy (%)", xaxis=across)


def _log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis of bytes, with room for what is written beside the outermost points."""
    if not values:
        return {"type": "log"}
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(0.08, 0.12 * (high - low))
    ends = (low - room, high + 2 * room)
    ticks = log_ticks(10.0 ** np.array(ends), least=3)
    ticks = ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
    shown = {"tickvals": list(ticks), "ticktext": [_tick(tick) for tick in ticks], "tickangle": 0}
    return {"type": "log", "showgrid": True, "range": ends} | shown


def _tick(size: float) -> str:
    """Bytes without the zeros that `num_bytes` gives for exactness: "40 kB"."""
    amount, unit = num_bytes(size).split()
    return f"{float(amount):g} {unit}"
