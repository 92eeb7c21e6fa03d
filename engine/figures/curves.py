"""Line charts of what runs measured: thinned, smoothed, named, with units."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
import plotly.graph_objects as go

from engine.figures.formats import words
from engine.figures.layout import STEPS, lay_out, line, safe
from engine.figures.palette import PAGE, arm_name, place

MAX_POINTS = 500  # points of one line sent to the browser; a chart is some 500 pixels wide
MAX_OVERLAY_POINTS = 2000  # of all lines of a chart of several runs together
SPARSE = 60  # lines of up to this many points show each of them, and are not smoothed
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
PACE = "seconds_per_step"
UNCHARTED = {"expert", "age"}  # measured names that tell which network was used, and are no quantities


class Line(Protocol):
    """A measured quantity: `steps` (n,) int64, ascending, and `values` (n,) float64."""

    @property
    def steps(self) -> np.ndarray: ...
    @property
    def values(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Chart:
    """A measured quantity: title, and axis name with unit.

    other: a second quantity to draw in the same chart, and the name of its line; label: the name of its own line then.
    """

    title: str
    axis: str
    label: str = ""
    other: tuple[str, str] | None = None

    @property
    def scale(self) -> float:
        """Measured fractions are drawn in per cent."""
        return 100.0 if self.axis.endswith("(%)") else 1.0


CHARTS = {
    "outer_loss": Chart("Outer loss", "outer loss"),
    "gradient_norm": Chart("Gradient norm", "norm of the meta-gradient"),
    "seconds_per_step": Chart("Time per step", "seconds"),
    "student_lr": Chart("Student learning rate", "learning rate"),
    "validation_accuracy": Chart(
        "Accuracy, validation", "accuracy (%)", "images as they are", ("ema_validation_accuracy", "moving average")
    ),
    "ema_validation_accuracy": Chart("Accuracy of the moving average, validation", "accuracy (%)"),
    "validation_balanced_accuracy": Chart(
        "Balanced accuracy, validation",
        "balanced accuracy (%)",
        "images as they are",
        ("ema_validation_balanced_accuracy", "moving average"),
    ),
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

    Bounds of a range are part of the chart of its mean, and an `other` quantity is part of that of its neighbour.
    """
    hidden = UNCHARTED | {chart.other[0] for name in names if (chart := chart_of(name)).other is not None}
    hidden |= {f"{name}_{end}" for name in names for end in ("min", "max")}
    return sorted((name for name in names if name not in hidden), key=lambda name: (place(name, CHARTS), name))


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
    references: Mapping[str, float] | None = None,
    axis: str = "",
) -> go.Figure:
    """The chart of one measured quantity: each step faint, smoothed in full colour; a range with its bounds.

    Args:
        name: a key of `series`; `name_min` and `name_max` are drawn too if present, and nothing is smoothed then.
        series: the lines by name.
        span: points the smoothing averages over; 1 for none.
        log: logarithmic value axis.
        references: {training set: value} of horizontal lines to compare with.
        axis: what the value axis is called, where the name alone does not tell.
    """
    chart, figure, top = chart_of(name), go.Figure(), None
    scale, steps, values = chart.scale, series[name].steps, series[name].values * chart.scale

    def draw(label: str, x: np.ndarray, y: np.ndarray, colour: str = PAGE.distilled, **look: Any) -> None:
        line(figure, *thin(x, y), label, colour, hover="%{y:.3~g}", **look)

    has_bounds, is_sparse = f"{name}_min" in series and f"{name}_max" in series, len(steps) <= SPARSE
    if has_bounds:
        for bound, called, dash in (("max", "highest", "solid"), ("min", "lowest", "dot")):
            edge = series[f"{name}_{bound}"]
            draw(called, edge.steps, edge.values, width=1.2, opacity=0.5, dash=dash)
    if span > 1 and not has_bounds and not is_sparse and np.isfinite(values).any():
        steady = smooth(values, span)
        top = None if log else ceiling(values, steady)
        beyond = "" if top is None else f" ({np.sum(values > top):,} beyond the axis)"
        draw(f"each step{beyond}", steps, values, width=1, opacity=0.3)
        draw("smoothed", steps, steady)
    else:
        beside = chart.other if chart.other is not None and chart.other[0] in series else None
        label = "mean" if has_bounds else chart.label if beside is not None else chart.title.lower()
        draw(label, steps, values, has_markers=is_sparse)
        if beside is not None:
            other, second = series[beside[0]], PAGE.arm("distilled_ema")
            draw(beside[1], other.steps, other.values * scale, second, has_markers=is_sparse)
    levels = references if references and len(steps) else {}
    for arm, level in levels.items():
        margin = 1 if len(steps) == 1 else 0  # a line of one point would not be seen
        ends = np.array([steps[0] - margin, steps[-1] + margin])
        draw(arm_name(arm).lower(), ends, np.full(2, level * scale), PAGE.arm(arm), width=1.6, dash="dash")
    has_legend = len(figure.data) > 1
    lay_out(figure, height, "outer step", axis or chart.axis, legend=has_legend, hover="x unified", xaxis=STEPS)
    if top is not None:
        figure.update_yaxes(range=[min(0.0, np.nanmin(values)), top])
    elif len(values) and values[0] > 0 and np.all(values == values[0]):
        highest = 2 * values[0] if scale == 1 else min(100.0, 2 * values[0])
        highest = max([highest, *(1.2 * level * scale for level in levels.values())])
        figure.update_yaxes(range=[0.0, highest])  # left to itself, the axis of a constant is a unit wide
    if len(steps) and steps[-1] - steps[0] < 6:
        figure.update_xaxes(dtick=1)  # there are no half steps
    return figure.update_yaxes(**log_axis(values)) if log else figure


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
        span, log: as for `curve`.
    """
    chart, figure, drawn = chart_of(name), go.Figure(), []
    most = min(MAX_POINTS, MAX_OVERLAY_POINTS // max(1, len(runs)))
    for number, (title, series) in enumerate(runs):
        if name not in series or (against == "seconds" and PACE not in series):
            continue
        x, values = series[name].steps, series[name].values * chart.scale
        if against == "seconds":
            x = np.interp(x, series[PACE].steps, np.cumsum(np.nan_to_num(series[PACE].values)))
        is_sparse = len(values) <= SPARSE
        drawn.append(values if is_sparse else smooth(values, span))
        colour, dash = run_style(number)
        x, values = thin(x, drawn[-1], most)
        line(figure, x, values, safe(title), colour, hover="%{y:.3~g}", dash=dash, has_markers=is_sparse)
    x_title = "outer step" if against == "step" else "seconds of outer steps"
    lay_out(figure, 340, x_title, chart.axis, hover="x unified", xaxis=STEPS)
    return figure.update_yaxes(**log_axis(np.concatenate(drawn))) if log and drawn else figure


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
