"""Line charts of what a run measured: thinned, smoothed, named, with units."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import plotly.graph_objects as go

from engine.figures.formats import words
from engine.figures.layout import lay_out
from engine.figures.layout import line as draw_line
from engine.figures.palette import PAGE, place

MAX_POINTS = 500
"""Points of one line sent to the browser; a chart is some 500 pixels wide."""

SPARSE = 60
"""Lines of up to this many points show each of them, and are not smoothed."""


class Line(Protocol):
    """A measured quantity: `steps` (n,) int64, ascending, and `values` (n,) float64."""

    @property
    def steps(self) -> np.ndarray: ...
    @property
    def values(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Chart:
    """What is known of a measured quantity: title, and axis name with unit.

    label: of its line where a second one is drawn beside it: `other`, and what that is called.
    """

    title: str
    axis: str
    label: str = ""
    other: tuple[str, str] | None = None


UNCHARTED = {"expert", "age"}
"""Measured names that tell which network was used, and no quantities."""

CHARTS = {
    "outer_loss": Chart("Outer loss", "outer loss"),
    "gradient_norm": Chart("Gradient norm", "norm of the meta-gradient"),
    "seconds_per_step": Chart("Time a step", "seconds"),
    "student_lr": Chart("Student learning rate", "learning rate"),
    "validation_accuracy": Chart(
        "Accuracy, validation", "accuracy (%)", "images as they are", ("ema_validation_accuracy", "moving average")
    ),
    "ema_validation_accuracy": Chart("Accuracy of the moving average, validation", "accuracy (%)"),
    "validation_skill": Chart("Skill, validation", "skill (%)"),
    "inner_loss": Chart("Loss of the inner networks", "mean squared error"),
    "matched_step": Chart("Step nearest to the expert", "inner step"),
    "start_epoch": Chart("Start on the expert's path", "epoch of the expert"),
    "window_start": Chart("Start of the window", "inner step"),
    "window_length": Chart("Length of the window", "inner steps"),
}


def chart_of(name: str) -> Chart:
    """The chart of a measured name; unknown names get one of their own in words."""
    return CHARTS.get(name, Chart(words(name), words(name).lower()))


def chart_names(names: Sequence[str]) -> list[str]:
    """The charts to draw for measured `names`, known ones first.

    The two bounds of a range belong to its mean's chart, and what is drawn beside another to that one's.
    """
    beside = {chart.other[0] for name in names if (chart := chart_of(name)).other is not None}
    shown = [name for name in names if not _is_bound(name, names) and name not in beside | UNCHARTED]
    return sorted(shown, key=lambda name: (place(name, CHARTS), name))


def _is_bound(name: str, names: Sequence[str]) -> bool:
    stem, _, end = name.rpartition("_")
    return end in ("min", "max") and stem in names


def thin(steps: np.ndarray, values: np.ndarray, max_points: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `max_points` of a line, keeping the smallest and the largest value of each stretch.

    steps: (n,) ascending; values: (n,) float64, NaN allowed. The first and the last point are always kept.
    """
    n = len(steps)
    if n <= max_points:
        return steps, values
    num_stretches = max(1, (max_points - 2) // 2)
    edges = np.linspace(1, n - 1, num_stretches + 1).astype(np.int64)
    low = np.where(np.isnan(values), np.inf, values)
    high = np.where(np.isnan(values), -np.inf, values)
    kept = {0, n - 1}
    for start, end in pairwise(edges):
        if end > start:
            kept |= {int(start + np.argmin(low[start:end])), int(start + np.argmax(high[start:end]))}
    index = np.fromiter(sorted(kept), dtype=np.int64)
    return steps[index], values[index]


def smooth(values: np.ndarray, span: int) -> np.ndarray:
    """The running median over about `span` points around each, then a running mean over half as many.

    The median keeps a single outlier from lifting its neighbours; the mean removes the median's stairs.
    NaN and infinite values are filled in from their neighbours. values: (n,) float64. span: 1 gives the values back.
    Result: (n,) float64.
    """
    present = np.isfinite(values)
    if span <= 1 or not present.any():
        return values
    from scipy.ndimage import median_filter, uniform_filter1d

    place = np.arange(len(values))
    filled = np.interp(place, place[present], values[present])
    # odd windows, or the line would be half a step late
    medians = median_filter(filled, size=2 * (span // 2) + 1, mode="mirror")
    return uniform_filter1d(medians, size=2 * (span // 4) + 1, mode="mirror")


def ceiling(values: np.ndarray, steady: np.ndarray) -> float | None:
    """Where to end a linear value axis when single steps shoot far beyond the `steady` course; None where none does.

    values, steady: (n,) float64, each step and smoothed.
    """
    highest = values[np.isfinite(values)].max()
    level, spread = steady.max(), max(steady.max() - steady.min(), 0.1 * abs(steady.max()))
    return level + 0.25 * spread if highest > level + 3 * spread else None


def curve(
    name: str,
    series: Mapping[str, Line],
    *,
    span: int = 1,
    log: bool = False,
    height: int = 300,
    reference: tuple[str, float] | None = None,
    axis: str = "",
) -> go.Figure:
    """The chart of one measured quantity: each step faint, smoothed in full colour; a range with its bounds.

    Args:
        name: a key of `series`; `name_min` and `name_max` are drawn too if present, and nothing is smoothed then.
        series: the lines by name.
        span: points the smoothing averages over; 1 for none.
        log: logarithmic value axis.
        reference: a name and a value for a horizontal line to compare with.
        axis: what the value axis is called, where the name alone does not tell.
    """
    chart, line = chart_of(name), series[name]
    scale = 100.0 if chart.axis.endswith("(%)") else 1.0
    figure = go.Figure()
    has_bounds = f"{name}_min" in series and f"{name}_max" in series
    is_sparse = len(line.steps) <= SPARSE
    is_smoothed = span > 1 and not has_bounds and not is_sparse and np.isfinite(line.values).any()
    if has_bounds:
        for bound, called, dash in (("max", "highest", "solid"), ("min", "lowest", "dot")):
            edge = series[f"{name}_{bound}"]
            _add_line(figure, called, edge, PAGE.distilled, width=1.2, opacity=0.5, dash=dash)
    values, top = line.values * scale, None
    if is_smoothed:
        steady = smooth(values, span)
        top = None if log else ceiling(values, steady)
        beyond = "" if top is None else f" ({np.sum(values > top):,} beyond the axis)"
        _add_line(figure, f"each step{beyond}", line, PAGE.distilled, scale, width=1, opacity=0.3)
        _add_line(figure, "smoothed", Points(line.steps, steady), PAGE.distilled)
    else:
        beside = chart.other if chart.other is not None and chart.other[0] in series else None
        label = "mean" if has_bounds else chart.label if beside is not None else chart.title.lower()
        _add_line(figure, label, line, PAGE.distilled, scale, has_markers=is_sparse)
        if beside is not None:
            other, second = series[beside[0]], PAGE.arm("distilled_ema")
            _add_line(figure, beside[1], other, second, scale, has_markers=is_sparse)
    if reference is not None and len(line.steps):
        label, level = reference
        margin = 1 if len(line.steps) == 1 else 0  # a line of one point would not be seen
        ends = Points(np.array([line.steps[0] - margin, line.steps[-1] + margin]), np.full(2, level))
        _add_line(figure, label, ends, PAGE.random_real, scale, width=1.6, dash="dash")
    has_legend, across = len(figure.data) > 1, {"tickformat": ",d", "nticks": 7}
    title, above = axis or chart.axis, 30 if len(figure.data) > 1 else 8
    lay_out(figure, height, "outer step", title, legend=has_legend, top=above, hover="x unified", xaxis=across)
    if top is not None:
        figure.update_yaxes(range=[min(0.0, np.nanmin(values)), top])
    elif len(values) and values[0] > 0 and np.all(values == values[0]):
        highest = 2 * values[0] if scale == 1 else min(100.0, 2 * values[0])
        highest = highest if reference is None else max(highest, 1.2 * reference[1] * scale)
        figure.update_yaxes(range=[0.0, highest])  # left to itself, the axis of a constant is a unit wide
    if len(line.steps) and line.steps[-1] - line.steps[0] < 6:
        figure.update_xaxes(dtick=1)  # there are no half steps
    return figure.update_yaxes(**log_axis(line.values * scale)) if log else figure


@dataclass(frozen=True)
class Points:
    """A line that was computed."""

    steps: np.ndarray
    values: np.ndarray


def _add_line(figure: go.Figure, label: str, line: Line, colour: str, scale: float = 1.0, **more: Any) -> None:
    x, y = thin(line.steps, line.values * scale)
    draw_line(figure, x, y, label, colour, hover="%{y:.3~g}", **more)


def log_ticks(values: np.ndarray, least: int = 4) -> np.ndarray:
    """Round numbers to write beside a logarithmic axis: the fewest of decades, 1-2-5 and all digits that give `least`.

    values: (n,) float64; what is not positive or not finite has no place on such an axis. Empty if nothing has.
    """
    positive = values[(values > 0) & np.isfinite(values)]
    if not len(positive):
        return positive
    low, high = positive.min(), positive.max()
    decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 2, 5), range(1, 10)):
        ticks = np.concatenate([decade * np.array(digits, dtype=np.float64) for decade in decades])
        ticks = ticks[(ticks >= low * 0.99) & (ticks <= high * 1.01)]
        if len(ticks) >= least:
            return ticks[:: math.ceil(len(ticks) / 8)]
    return np.linspace(low, high, 4)


def log_axis(values: np.ndarray) -> dict[str, Any]:
    """A logarithmic axis with round numbers beside it; left as it is where no value has a place on one."""
    ticks = log_ticks(values)
    shown = {"type": "log", "tickvals": ticks, "ticktext": [f"{float(f'{tick:.3g}'):,.10g}" for tick in ticks]}
    return shown if len(ticks) else {}


def spans_decades(values: np.ndarray) -> bool:
    """Whether the values differ so much, 30 times and more, that only a logarithmic axis shows them all."""
    positive = values[(values > 0) & np.isfinite(values)]
    return len(positive) > 0 and positive.max() > 30 * positive.min()
