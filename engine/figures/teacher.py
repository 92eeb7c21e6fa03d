"""How a teacher learned: its loss, and how well its representations tell classes apart, over its epochs."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from engine.core.events import TeacherEpoch
from engine.figures.palette import PALETTES, Theme

MAX_POINTS = 1000


def teacher_accuracy(epochs: Sequence[TeacherEpoch], *, theme: Theme = "page", height: int = 300) -> go.Figure:
    """Accuracy of the nearest neighbours on validation images over the epochs; at least one epoch."""
    points = _few(epochs)
    return _line(
        [point.epoch for point in points], [100 * point.knn_accuracy for point in points], epochs[-1].num_epochs,
        "nearest neighbours (%)", "epoch %{x}: %{y:.1f} %", PALETTES[theme].distilled, height,
    )  # fmt: skip


def teacher_loss(epochs: Sequence[TeacherEpoch], *, theme: Theme = "page", height: int = 300) -> go.Figure:
    """Mean loss of each epoch that has one, which the one before the first has not."""
    points = _few([point for point in epochs if point.train_loss is not None])
    return _line(
        [point.epoch for point in points], [point.train_loss for point in points], epochs[-1].num_epochs,
        "loss of the teacher", "epoch %{x}: %{y:.3~g}", PALETTES[theme].full, height,
    )  # fmt: skip


def _few(points: Sequence[TeacherEpoch]) -> Sequence[TeacherEpoch]:
    """Evenly chosen points of a very long training, the last among them."""
    stride = -(-len(points) // MAX_POINTS)
    return points[::-1][:: max(1, stride)][::-1]


def _line(
    xs: Sequence[int], ys: Sequence[float], last: int, title: str, told: str, colour: str, height: int
) -> go.Figure:
    figure = go.Figure()
    figure.add_scatter(
        x=list(xs), y=list(ys), mode="lines+markers" if len(xs) <= 60 else "lines", marker={"size": 5},
        line={"color": colour, "width": 2.2}, hovertemplate=f"{told}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 8, "t": 8, "b": 4},
        showlegend=False,
        xaxis={"title": {"text": "epoch of the teacher"}, "range": [0, 1.02 * last], "tickformat": ",d", "showgrid": False, "nticks": 8, "automargin": True},
        yaxis={"title": {"text": title}, "nticks": 6, "automargin": True},
        dragmode=False,
        uirevision="kept",
    )  # fmt: skip
    return figure
