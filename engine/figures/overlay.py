"""Several runs in one chart: what each measured over its course, and how well a sweep's values did."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from engine.figures.curves import MAX_POINTS, SPARSE, Line, chart_of, log_ticks, smooth, thin
from engine.figures.formats import percent, percent_spread
from engine.figures.palette import PALETTES, SHADES, Palette, Theme, arm_name, measure

MAX_OVERLAY_POINTS = 2000
"""Points of all lines of one chart together."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PACE = "seconds_per_step"
_SWEEP_ARMS = ("distilled", "kmeans_real", "random_real")


def run_style(number: int, theme: Theme = "page") -> tuple[str, str]:
    """Colour and dash pattern of the run at a place in a comparison; no two of the first thirty look alike."""
    colours = PALETTES[theme].runs
    return colours[number % len(colours)], DASHES[(number + number // len(colours)) % len(DASHES)]


def overlay(
    name: str,
    runs: Sequence[tuple[str, Mapping[str, Line]]],
    *,
    against: Literal["step", "seconds"] = "step",
    span: int = 1,
    log: bool = False,
    theme: Theme = "page",
    height: int = 340,
) -> go.Figure:
    """One measured quantity of several runs, a line each, told apart by colour and dashes.

    Args:
        name: of the quantity; runs that did not measure it have no line, but keep their place's colour.
        runs: (how the run is called, its lines by name).
        against: outer steps, or seconds of outer steps so far, which need the run's `seconds_per_step`.
        span: points the smoothing averages over; 1 for none. Lines of few points are drawn as they are.
        log: logarithmic value axis.
    """
    chart = chart_of(name)
    scale = 100.0 if chart.axis.endswith("(%)") else 1.0
    most = min(MAX_POINTS, MAX_OVERLAY_POINTS // max(1, len(runs)))
    figure, drawn = go.Figure(), []
    for number, (title, series) in enumerate(runs):
        places = None if name not in series else _places(series[name], series, against)
        if places is None:
            continue
        values = series[name].values * scale
        is_sparse = len(values) <= SPARSE
        if span > 1 and not is_sparse:
            values = smooth(values, span)
        drawn.append(values)
        colour, dash = run_style(number, theme)
        x, y = thin(places, values, most)
        figure.add_scatter(
            x=x,
            y=y,
            name=html.escape(title, quote=False),
            mode="lines+markers" if is_sparse else "lines",
            line={"color": colour, "width": 2.2, "dash": dash, "simplify": False},
            marker={"size": 5},
            hovertemplate="%{y:.3~g}",
        )
    _lay_out(figure, height, "outer step" if against == "step" else "seconds of outer steps", chart.axis)
    figure.update_xaxes(tickformat=",d", nticks=7)
    ticks = log_ticks(np.concatenate(drawn)) if log and drawn else np.array([])
    if len(ticks):
        figure.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{float(f'{tick:.3g}'):,.10g}" for tick in ticks])
    return figure


def _places(line: Line, series: Mapping[str, Line], against: str) -> np.ndarray | None:
    """Where the points of a line stand on the axis, (n,); None where the time is not known."""
    if against == "step":
        return line.steps
    pace = series.get(PACE)
    if pace is None or not len(pace.steps):
        return None
    return np.interp(line.steps, pace.steps, np.cumsum(np.nan_to_num(pace.values)))


def sweep_line(
    points: Sequence[tuple[object, Mapping[str, object]]], option: str, *, theme: Theme = "page", height: int = 320
) -> go.Figure:
    """Validation accuracy, or skill, over the values of one option: a line an arm, with 95 % intervals.

    Args:
        points: (value of the option, {arm: row of `engine.summarise`}). The full set does not vary and is left out.
            Numbers stand where they are, on a logarithmic axis where they span a decade; all else side by side, in order.
        option: what the option is called.
    """
    colours = PALETTES[theme]
    values = [value for value, _ in points]
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if is_numeric:
        points = sorted(points, key=lambda point: point[0])  # the line goes from left to right, however they were typed
    figure = go.Figure()
    for arm in _SWEEP_ARMS:
        found = [(value, rows[arm]) for value, rows in points if arm in rows]
        if found:
            _add_arm(figure, arm, found, is_numeric, colours)
    what = measure(row for _, rows in points for row in rows.values())
    _lay_out(figure, height, option, f"validation {what} (%)")
    places = sorted(set(values)) if is_numeric else [_shown(value) for value in values]
    figure.update_xaxes(
        type="linear" if is_numeric else "category", tickvals=places, ticktext=[_shown(place) for place in places]
    )
    if is_numeric and places and places[0] > 0 and places[-1] >= 10 * places[0]:
        figure.update_xaxes(type="log")
    return figure


def _add_arm(
    figure: go.Figure, arm: str, found: Sequence[tuple[object, object]], is_numeric: bool, colours: Palette
) -> None:
    is_main = arm == "distilled"
    figure.add_scatter(
        x=[value if is_numeric else _shown(value) for value, _ in found],
        y=[100 * row.mean for _, row in found],
        error_y={
            "type": "data",
            "array": [_half(row.high, row.mean) for _, row in found],
            "arrayminus": [_half(row.mean, row.low) for _, row in found],
            "thickness": 1.5,
            "width": 5,
        },
        name=arm_name(arm),
        mode="lines+markers" if is_numeric else "markers",
        line={"color": colours.arm(arm), "width": 2.2 if is_main else 1.6, "dash": "solid" if is_main else "dash"},
        marker={"size": 8 if is_main else 6, "color": colours.arm(arm)},
        customdata=[percent_spread(row.mean, row.std, row.n) for _, row in found],
        hovertemplate="%{customdata}",
    )  # fmt: skip


def sweep_map(
    cells: Mapping[tuple[str, str], float | None], options: tuple[str, str], *, theme: Theme = "page", height: int = 0
) -> go.Figure:
    """Validation accuracy, or skill, over the values of two options: the first down, the second across, a number in each cell.

    cells: (value of the first, value of the second) -> fraction. Cells that are missing stay empty.
    """
    down = list(dict.fromkeys(first for first, _ in cells))
    across = list(dict.fromkeys(second for _, second in cells))
    shares = [[cells.get((first, second)) for second in across] for first in down]
    figure = go.Figure(
        go.Heatmap(
            z=[[None if share is None else 100 * share for share in line] for line in shares],
            text=[["" if share is None else percent(share) for share in line] for line in shares],
            x=[_shown(value) for value in across],
            y=[_shown(value) for value in down],
            texttemplate="%{text}",
            hovertemplate=f"{html.escape(options[0])} %{{y}}, {html.escape(options[1])} %{{x}}: %{{text}}<extra></extra>",
            textfont={"color": PALETTES[theme].ink},
            colorscale=SHADES,
            xgap=3,
            ygap=3,
            showscale=False,
        )
    )
    _lay_out(figure, height or 110 + 52 * len(down), options[1], options[0])
    figure.update_layout(hovermode="closest", showlegend=False, margin={"l": 4, "r": 8, "t": 8, "b": 4})
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def _shown(value: object) -> str:
    """A value of an option beside an axis."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    return html.escape(", ".join(value) or "none" if isinstance(value, tuple | list) else str(value), quote=False)


def _half(high: float, low: float) -> float:
    """Half an interval in per cent; 0 where one student gives none."""
    width = high - low
    return 0.0 if math.isnan(width) else 100 * width


def _lay_out(figure: go.Figure, height: int, x_title: str, y_title: str) -> None:
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 8, "t": 30, "b": 4},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis={"title": {"text": html.escape(x_title, quote=False)}, "showgrid": False, "automargin": True},
        yaxis={"title": {"text": html.escape(y_title, quote=False)}, "nticks": 6, "automargin": True},
        hovermode="x unified",
        dragmode=False,
        uirevision="kept",
    )
