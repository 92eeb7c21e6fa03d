"""Learning curves of experts and teachers, and the student's steps that came nearest to an expert."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.core.events import ExpertEpoch, TeacherEpoch
from engine.figures.curves import Line, thin
from engine.figures.layout import STEPS, dots, lay_out, line
from engine.figures.palette import PAGE

MAX_EXPERT_POINTS = 1600  # of the thin lines together; of more experts only some are drawn
MAX_TEACHER_POINTS = 1000
MAX_DOTS = 1000
SMALLEST_SPAN = 5


def expert_curves(epochs: Sequence[ExpertEpoch]) -> go.Figure:
    """Validation accuracy over epochs, a thin line per expert; all of them must have been measured.

    epochs: of all experts, at least one; the last one belongs to the newest expert. The mean is that of the complete
    experts, where there are two or more.
    """
    curves, figure = by_expert(epochs), go.Figure()
    newest, num_epochs = epochs[-1].expert, epochs[-1].num_epochs
    others = [expert for expert in curves if expert != newest]
    shown = others[:: max(1, -(-len(others) * (num_epochs + 1) // MAX_EXPERT_POINTS))]
    place = "epoch %{x}: %{y:.1f} %<extra></extra>"
    if shown:  # one trace; a gap after each expert
        points = [point for expert in shown for point in (*curves[expert], None)]
        more: dict[str, Any] = {"width": 1, "opacity": 0.55, "hover": f"expert %{{customdata}}, {place}"}
        more["customdata"] = [point and point.expert + 1 for point in points]
        x, y = [point and point.epoch for point in points], [point and _accuracy(point) for point in points]
        some = f"{len(shown)} of the others" if len(shown) < len(others) else "others"
        line(figure, x, y, some, PAGE.random_real, **more)
    last, name = curves[newest], f"expert {newest + 1}"
    x, y, title = [point.epoch for point in last], list(map(_accuracy, last)), f"{name}, the newest"
    line(figure, x, y, title, PAGE.distilled, hover=f"{name}, {place}", width=2, has_markers=True)
    complete = [curve for curve in curves.values() if curve[-1].epoch == curve[-1].num_epochs]
    if len(complete) > 1:
        means = [statistics.fmean(map(_accuracy, points)) for points in zip(*complete, strict=True)]
        x, name = [point.epoch for point in complete[0]], f"mean of {len(complete)}"
        line(figure, x, means, name, PAGE.full, width=3.5, hover=f"{name}, {place}")
    across, up = STEPS | {"range": [0, num_epochs]}, {"rangemode": "tozero"}
    return lay_out(figure, 380, "epoch of the expert", "validation accuracy (%)", xaxis=across, yaxis=up)


def by_expert(epochs: Sequence[ExpertEpoch]) -> dict[int, list[ExpertEpoch]]:
    """{expert: its epochs in order}, in order of first appearance."""
    found: dict[int, list[ExpertEpoch]] = {}
    for event in epochs:
        found.setdefault(event.expert, []).append(event)
    return {expert: sorted(points, key=lambda point: point.epoch) for expert, points in found.items()}


def _accuracy(point: ExpertEpoch) -> float:
    return 100 * (point.validation_accuracy or 0.0)


def matched_steps(measured: Line, num_steps: int) -> go.Figure:
    """A dot for the chosen step of each outer step, their running median, and the last step as a dashed line.

    measured: "matched_step", 1..num_steps. num_steps: steps of the student on the synthetic images.
    """
    from scipy.ndimage import median_filter

    figure, steps, values = go.Figure(), measured.steps, measured.values
    stride, look = -(-len(steps) // MAX_DOTS), {"color": PAGE.distilled, "size": 4}
    dots(figure, steps[::stride], values[::stride], "each outer step", look, "step %{y:.0f}", opacity=0.4)
    span = max(SMALLEST_SPAN, len(values) // 20) | 1
    if len(values) > span:
        x, y = thin(steps, median_filter(values, size=span, mode="mirror"))
        line(figure, x, y, f"median of {span}", PAGE.distilled, width=2.4, hover="median %{y:.0f}")
    ends, level = np.array([steps[0], steps[-1]]), np.full(2, num_steps)
    line(figure, ends, level, f"last step, {num_steps}", PAGE.random_real, width=1.6, dash="dash")
    up = {"range": [0, 1.06 * num_steps], "tickformat": ",d"}
    return lay_out(figure, 300, "outer step", "step of the student", hover="x unified", xaxis=STEPS, yaxis=up)


def teacher_accuracy(epochs: Sequence[TeacherEpoch]) -> go.Figure:
    """Accuracy of the nearest neighbours on validation images over the epochs; at least one epoch has it."""
    points = [(point.epoch, 100 * point.knn_accuracy) for point in epochs if point.knn_accuracy is not None]
    return _teacher(points, epochs[-1].num_epochs, "nearest neighbours (%)", "%{y:.1f} %", PAGE.distilled)


def teacher_loss(epochs: Sequence[TeacherEpoch]) -> go.Figure:
    """Mean loss of each epoch; the state before the first epoch has none."""
    points = [(point.epoch, point.train_loss) for point in epochs if point.train_loss is not None]
    return _teacher(points, epochs[-1].num_epochs, "loss of the teacher", "%{y:.3~g}", PAGE.full)


def _teacher(points: Sequence[tuple[int, float]], last: int, title: str, shown: str, colour: str) -> go.Figure:
    """A line over the epochs; of a very long training evenly chosen points, the last among them."""
    figure, stride = go.Figure(), max(1, -(-len(points) // MAX_TEACHER_POINTS))
    xs, ys = ([point[place] for point in points[::-1][::stride][::-1]] for place in (0, 1))
    hover = f"epoch %{{x}}: {shown}<extra></extra>"
    line(figure, xs, ys, title, colour, hover=hover, has_markers=len(xs) <= 60)
    across = STEPS | {"range": [0, 1.02 * last]}
    return lay_out(figure, 300, "epoch of the teacher", title, legend=False, xaxis=across)
