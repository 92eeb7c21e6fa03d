"""Scores of training sets: as bars with their intervals, as a map of architectures and sets, and over one quantity."""

import csv
import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures.formats import percent
from engine.figures.layout import GROUPED, WRITTEN, columns, heat_map, lay_out, line, safe, whiskers
from engine.figures.palette import (
    ARM_NAMES,
    NAIVE_ARMS,
    PAGE,
    arm_name,
    measure,
    place,
    protocol_name,
    protocol_words,
    shown_order,
    spread,
)

LEAST_SKILL = -1.0
"""Bars of lower skills are cut off, or they would leave no room for the others; their numbers are still written."""
FOOT = 0.2
"""Share of an axis that a number takes at the foot of a bar."""
MOST_WRITTEN = 16
"""Classes of a confusion whose shares are written in its cells."""
LEFT_OUT = ("distilled_hard", *NAIVE_ARMS)  # not in the map: tried with the set's own architecture only, or no network
_LINE = 9  # characters per line of an arm's name, which stands over a narrow column
_SWEEP_ARMS = ("distilled", "kmeans_real", "random_real", "random_samples", "start")

Cells = Mapping[str, Mapping[str, Row]]  # {architecture, or run: {arm: row}}


def scores(rows: Sequence[Row], height: int = 320) -> go.Figure:
    """Mean accuracy, or skill, of each training set under each protocol, with its 95 % interval.

    rows: of one student and one metric, as fractions. Naive forecasts have no bar: skill is relative to one.
    """
    rows = sorted((row for row in rows if row.arm not in NAIVE_ARMS), key=shown_order)
    figure, hover = go.Figure(), "%{fullData.name}<br>%{x}: %{customdata[0]}, n = %{customdata[1]}<extra></extra>"
    arms, axis = sorted({row.arm for row in rows}, key=lambda arm: (place(arm, ARM_NAMES), arm)), _score_axis(rows)
    for arm in arms:
        mine = [row for row in rows if row.arm == arm]
        x = ["<br>".join(textwrap.wrap(protocol_name(row.protocol), 18)) for row in mine]
        told = {
            "text": [_bare(row) if _has_foot(row, axis) else "" for row in mine],
            "customdata": [(spread(row), row.n) for row in mine],
        }
        more = told | WRITTEN | {"error_y": whiskers(mine, PAGE.ink)}
        columns(figure, x, [100 * row.mean for row in mine], arm_name(arm), PAGE.arm(arm), hover, **more)
    lay_out(figure, height + 20 * max(0, len(arms) - 3), yaxis=axis, **GROUPED)  # on a phone, a line per name
    return figure.update_layout(uniformtext={"minsize": 9, "mode": "hide"})  # bars may be too narrow or low for numbers


def _has_foot(row: Row, axis: Mapping[str, Any]) -> bool:
    """Whether the foot of a bar has room for a number that its whiskers do not cross."""
    low, high = axis["range"]
    ends = [100 * (row.mean if math.isnan(end) else end) for end in (row.low, row.high)]
    return ends[0] * ends[1] > 0 and min(map(abs, ends)) >= FOOT * (high - low)


def _bare(row: Row) -> str:
    return percent(row.mean).removesuffix(" %")


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


def matrix_arms(cells: Cells) -> list[str]:
    """The arms that any architecture was scored on, in the order they are shown."""
    return [arm for arm in ARM_NAMES if arm not in LEFT_OUT and any(arm in arms for arms in cells.values())]


def matrix(cells: Cells, titles: Sequence[str]) -> go.Figure:
    """Test accuracy, or skill, by architecture, down, and arm, across: mean, standard deviation and n in each cell.

    titles: of the architectures, in order. Cells without a score stay empty.
    """
    arms = matrix_arms(cells)
    found = [[of.get(arm) for arm in arms] for of in cells.values()]
    text, told = ([["" if row is None else tell(row) for row in line] for line in found] for tell in (_cell, _told))
    shares = [[None if row is None else row.mean for row in line] for line in found]
    x, y = [_wrapped(arm_name(arm)) for arm in arms], [_wrapped(title) for title in titles]
    more = {"text": text, "customdata": told, "hoverongaps": False, "textfont": {"size": 12}}
    figure = heat_map(x, y, shares, "%{y}<br>%{customdata}<extra></extra>", **more)
    axis = {"type": "category", "showgrid": False, "ticks": ""}
    across, down = axis | {"side": "top", "autotickangles": [0, -90]}, axis | {"autorange": "reversed"}
    lay_out(figure, 130 + 64 * len(cells), legend=False, xaxis=across, yaxis=down)
    return figure.update_layout(margin={"r": 4})


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> go.Figure:
    """How many of each class, down, got each answer, across: in per cent of the class, written where there is room."""
    totals = [sum(line) for line in counts]
    shares = [[count / total if total else None for count in line] for line, total in zip(counts, totals, strict=True)]
    is_written = len(classes) <= MOST_WRITTEN
    text = [[percent(share).removesuffix(" %") if is_written and share else "" for share in line] for line in shares]
    names, hover = [safe(name) for name in classes], "%{y} taken for %{x}: %{z:.1f} %<extra></extra>"
    gap = {} if is_written else {"xgap": 0, "ygap": 0}
    figure = heat_map(names, names, shares, hover, text=text, hoverongaps=False).update_traces(gap)
    axis = {"type": "category", "showgrid": False, "ticks": ""} | ({"dtick": 1} if is_written else {})
    xaxis, yaxis = axis | {"side": "top", "autotickangles": [0, -90]}, axis | {"autorange": "reversed"}
    return lay_out(figure, 120 + 34 * min(max(len(classes), 6), MOST_WRITTEN), legend=False, xaxis=xaxis, yaxis=yaxis)


def matrix_csv(cells: Cells) -> str:
    """The cells as comma-separated values, a line each; fractions, and nothing where one student has no spread."""
    text, arms = io.StringIO(), matrix_arms(cells)
    table = csv.writer(text)
    table.writerow(("architecture", "trained on", "protocol", "mean", "std", "n", "low", "high", "seconds"))
    for row in (of[arm] for of in cells.values() for arm in arms if arm in of):
        ends = ("", row.n, "", "") if row.n < 2 else (row.std, row.n, row.low, row.high)
        table.writerow((row.student, row.arm, row.protocol, row.mean, *ends, row.seconds))
    return text.getvalue()


def _cell(row: Row) -> str:
    """The three lines of a cell, each short enough for a phone."""
    return f"<b>{_bare(row)}</b>{'' if row.n < 2 else f'<br>± {100 * row.std:.1f}'}<br>n = {row.n}"


def _told(row: Row) -> str:
    return f"{arm_name(row.arm)}, {protocol_words(row.protocol)}: {spread(row)}, n = {row.n}"


def _wrapped(name: str) -> str:
    """A name in short lines."""
    return "<br>".join(safe(line) for line in textwrap.wrap(name, _LINE, break_long_words=False))


def over_steps(lengths: Mapping[int, Mapping[str, Row]]) -> go.Figure:
    """Test accuracy of each training set by inner steps, with 95 % intervals: {inner steps: {arm: row}}, ascending."""
    figure = go.Figure()
    for arm in ARM_NAMES:
        _arm_line(figure, arm, [(num_steps, rows[arm]) for num_steps, rows in lengths.items() if arm in rows])
    across = {"tickformat": ",d", "rangemode": "tozero"}
    return lay_out(figure, 280, "inner steps", "test accuracy (%)", hover="x unified", xaxis=across)


def _arm_line(figure: go.Figure, arm: str, points: Sequence[tuple[Any, Row]], mode: str = "lines+markers") -> None:
    """Scores of an arm with 95 % intervals, from left to right."""
    if not points:
        return
    is_main, colour, rows = arm == "distilled", PAGE.arm(arm), [row for _, row in points]
    look = {"marker": {"size": 8 if is_main else 6, "color": colour}, "dash": "solid" if is_main else "dash"}
    more: dict[str, Any] = look | {"mode": mode, "width": 2.2 if is_main else 1.6, "error_y": whiskers(rows, colour)}
    more["customdata"] = [f"{spread(row)}, {protocol_words(row.protocol)}" for row in rows]
    y = [100 * row.mean for row in rows]
    line(figure, [x for x, _ in points], y, arm_name(arm), colour, hover="%{customdata}", **more)


def sweep_line(points: Sequence[tuple[float | str, Mapping[str, Row]]], option: str) -> go.Figure:
    """Validation accuracy, or skill, over the values of one option: a line per training set, with 95 % intervals.

    points: (value of the option, {arm: row of scores}). Numbers are placed by value, on a logarithmic axis if they
    span a decade; all else side by side, in order. option: what the option is called.
    """
    is_numeric = not any(isinstance(value, str) for value, _ in points)
    ordered: list[tuple[Any, Mapping[str, Row]]] = [(x if is_numeric else _shown(x), rows) for x, rows in points]
    if is_numeric:
        ordered.sort(key=lambda point: point[0])
    figure, mode = go.Figure(), "lines+markers" if is_numeric else "markers"
    for arm in _SWEEP_ARMS:
        _arm_line(figure, arm, [(x, rows[arm]) for x, rows in ordered if arm in rows], mode)
    what = measure(row for _, rows in points for row in rows.values())
    places = list(dict.fromkeys(x for x, _ in ordered))
    is_log = is_numeric and bool(places) and places[0] > 0 and places[-1] >= 10 * places[0]
    across: dict[str, Any] = {"type": "log" if is_log else "linear" if is_numeric else "category", "tickvals": places}
    across["ticktext"] = [_shown(x) for x in places] if is_numeric else places
    return lay_out(figure, 320, option, f"validation {what} (%)", hover="x unified", xaxis=across)


def sweep_map(cells: Mapping[tuple[str, str], float | None], options: tuple[str, str]) -> go.Figure:
    """Validation accuracy, or skill, over the values of two options: the first down, the second across.

    cells: (value of the first, value of the second) -> fraction. Cells that are missing stay empty.
    """
    down, across = (list(dict.fromkeys(pair[place] for pair in cells)) for place in (0, 1))
    shares = [[cells.get((first, second)) for second in across] for first in down]
    text = [["" if share is None else percent(share) for share in row] for row in shares]
    hover = f"{safe(options[0])} %{{y}}, {safe(options[1])} %{{x}}: %{{text}}<extra></extra>"
    figure = heat_map([safe(value) for value in across], [safe(value) for value in down], shares, hover, text=text)
    xaxis, yaxis = {"type": "category"}, {"type": "category", "autorange": "reversed", "showgrid": False}
    return lay_out(figure, 110 + 52 * len(down), options[1], options[0], legend=False, xaxis=xaxis, yaxis=yaxis)


def _shown(value: float | str) -> str:
    """A value of an option beside an axis."""
    return safe(value) if isinstance(value, str) else f"{value:,.10g}"
