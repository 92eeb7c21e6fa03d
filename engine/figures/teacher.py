"""How a teacher learned: its loss, and the accuracy of its nearest neighbours, over its epochs."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from engine.core.events import TeacherEpoch
from engine.figures.layout import lay_out, line
from engine.figures.palette import PALETTES, Theme

MAX_POINTS = 1000


def teacher_accuracy(epochs: Sequence[TeacherEpoch], *, theme: Theme = "page", height: int = 300) -> go.Figure:
    """Accuracy of the nearest neighbours on validation images over the epochs; at least one epoch."""
    points = _few([(point.epoch, 100 * point.knn_accuracy) for point in epochs])
    hover, colour = "epoch %{x}: %{y:.1f} %", PALETTES[theme].distilled
    return _drawn(points, epochs[-1].num_epochs, "nearest neighbours (%)", hover, colour, height)


def teacher_loss(epochs: Sequence[TeacherEpoch], *, theme: Theme = "page", height: int = 300) -> go.Figure:
    """Mean loss of each epoch; the state before the first epoch has none."""
    points = _few([(point.epoch, point.train_loss) for point in epochs if point.train_loss is not None])
    hover, colour = "epoch %{x}: %{y:.3~g}", PALETTES[theme].full
    return _drawn(points, epochs[-1].num_epochs, "loss of the teacher", hover, colour, height)


def _few(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """Evenly chosen points of a very long training, the last among them."""
    stride = -(-len(points) // MAX_POINTS)
    return points[::-1][:: max(1, stride)][::-1]


def _drawn(
    points: Sequence[tuple[int, float]], last: int, title: str, hover: str, colour: str, height: int
) -> go.Figure:
    figure = go.Figure()
    xs, ys = [x for x, _ in points], [y for _, y in points]
    line(figure, xs, ys, title, colour, hover=f"{hover}<extra></extra>", has_markers=len(xs) <= 60)
    across = {"range": [0, 1.02 * last], "tickformat": ",d", "nticks": 8}
    return lay_out(figure, height, "epoch of the teacher", title, legend=False, xaxis=across)
