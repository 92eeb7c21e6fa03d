"""Several runs in one chart: what each measured over its course, and how well a sweep's values did."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures.curves import MAX_POINTS, SPARSE, Line, chart_of, log_axis, smooth, thin
from engine.figures.formats import percent, percent_spread
from engine.figures.layout import heat_map, lay_out, line, safe, whiskers
from engine.figures.palette import PAGE, arm_name, measure

MAX_OVERLAY_POINTS = 2000
"""Points of all lines of one chart together."""

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PACE = "seconds_per_step"
_SWEEP_ARMS = ("distilled", "kmeans_real", "random_real")


def run_style(number: int) -> tuple[str, str]:
    """Colour and dash pattern of the run at a place in a comparison; no two of the first thirty look alike."""
    colours = PAGE.runs
    return colours[number % len(colours)], DASHES[(number + number // len(colours)) % len(DASHES)]


def overlay(
    name: str,
    runs: Sequence[tuple[str, Mapping[str, Line]]],
    *,
    against: Literal["step", "seconds"] = "step",
    span: int = 1,
    log: bool = False,
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
        colour, dash = run_style(number)
        x, y = thin(places, values, most)
        line(figure, x, y, safe(title), colour, dash=dash, hover="%{y:.3~g}", has_markers=is_sparse)
    x_title, across = "outer step" if against == "step" else "seconds of outer steps", {"tickformat": ",d", "nticks": 7}
    lay_out(figure, 340, x_title, chart.axis, top=30, hover="x unified", xaxis=across)
    return figure.update_yaxes(**log_axis(np.concatenate(drawn))) if log and drawn else figure


def _places(line: Line, series: Mapping[str, Line], against: str) -> np.ndarray | None:
    """Where the points of a line stand on the axis, (n,); None where the time is not known."""
    if against == "step":
        return line.steps
    pace = series.get(PACE)
    if pace is None or not len(pace.steps):
        return None
    return np.interp(line.steps, pace.steps, np.cumsum(np.nan_to_num(pace.values)))


def sweep_line(points: Sequence[tuple[Any, Mapping[str, Row]]], option: str) -> go.Figure:
    """Validation accuracy, or skill, over the values of one option: a line per training set, with 95 % intervals.

    Args:
        points: (value of the option, {arm: row of scores}). The full set does not vary and is left out.
            Numbers are placed by value, on a logarithmic axis if they span a decade; all else side by side, in order.
        option: what the option is called.
    """
    values = [value for value, _ in points]
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if is_numeric:
        points = sorted(points, key=lambda point: point[0])  # the line goes from left to right, however they were typed
    figure, mode = go.Figure(), "lines+markers" if is_numeric else "markers"
    for arm in _SWEEP_ARMS:
        found = [(value, rows[arm]) for value, rows in points if arm in rows]
        if not found:
            continue
        is_main, rows, colour = arm == "distilled", [row for _, row in found], PAGE.arm(arm)
        x = [value if is_numeric else _shown(value) for value, _ in found]
        more: dict[str, Any] = {"marker": {"size": 8 if is_main else 6, "color": colour}, "hover": "%{customdata}"}
        more |= {"width": 2.2, "dash": "solid"} if is_main else {"width": 1.6, "dash": "dash"}
        more |= {"mode": mode, "error_y": whiskers(rows, colour)}
        told = [percent_spread(row.mean, row.std, row.n) for row in rows]
        line(figure, x, [100 * row.mean for row in rows], arm_name(arm), colour, customdata=told, **more)
    what = measure(row for _, rows in points for row in rows.values())
    places: list[Any] = sorted(set(values)) if is_numeric else [_shown(value) for value in values]
    is_log = is_numeric and bool(places) and places[0] > 0 and places[-1] >= 10 * places[0]
    across: dict[str, Any] = {"type": "log" if is_log else "linear" if is_numeric else "category", "tickvals": places}
    across["ticktext"] = [_shown(place) for place in places]
    return lay_out(figure, 320, option, f"validation {what} (%)", top=30, hover="x unified", xaxis=across)


def sweep_map(cells: Mapping[tuple[str, str], float | None], options: tuple[str, str]) -> go.Figure:
    """Validation accuracy, or skill, over the values of two options: the first down, the second across.

    cells: (value of the first, value of the second) -> fraction. Cells that are missing stay empty.
    """
    rows, columns = (list(dict.fromkeys(pair[place] for pair in cells)) for place in (0, 1))
    shares = [[cells.get((first, second)) for second in columns] for first in rows]
    text = [["" if share is None else percent(share) for share in row] for row in shares]
    hover = f"{safe(options[0])} %{{y}}, {safe(options[1])} %{{x}}: %{{text}}<extra></extra>"
    figure = heat_map([_shown(value) for value in columns], [_shown(value) for value in rows], shares, hover, text=text)
    across, down = {"type": "category"}, {"type": "category", "autorange": "reversed", "showgrid": False}
    return lay_out(figure, 110 + 52 * len(rows), options[1], options[0], legend=False, xaxis=across, yaxis=down)


def _shown(value: object) -> str:
    """A value of an option beside an axis."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:,.10g}"
    return safe(", ".join(value) or "none" if isinstance(value, tuple | list) else str(value))
