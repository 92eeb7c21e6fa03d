"""How experts learned: the accuracy of each over its epochs, the newest and the mean in full colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from engine.core.events import ExpertEpoch
from engine.figures.layout import lay_out, line
from engine.figures.palette import PALETTES, Theme

MAX_POINTS = 1600
"""Points of the thin lines together; of more experts only some are drawn."""


def expert_curves(epochs: Sequence[ExpertEpoch], *, theme: Theme = "page", height: int = 380) -> go.Figure:
    """Validation accuracy over epochs, a thin line per expert.

    epochs: of all experts, at least one; the last one belongs to the newest expert. The mean is that of the complete
    experts, where there are two or more.
    """
    colours, curves, figure = PALETTES[theme], by_expert(epochs), go.Figure()
    newest, num_epochs = epochs[-1].expert, epochs[-1].num_epochs
    shown = _few([expert for expert in curves if expert != newest], num_epochs + 1)
    xs: list[int | None] = []
    ys: list[float | None] = []
    numbers: list[int | None] = []
    for expert in shown:
        xs += [*(point.epoch for point in curves[expert]), None]
        ys += [*(100 * point.validation_accuracy for point in curves[expert]), None]
        numbers += [*(expert + 1 for _ in curves[expert]), None]
    place = "epoch %{x}: %{y:.1f} %<extra></extra>"
    if xs:
        some = f"{len(shown)} of the others" if len(shown) < len(curves) - 1 else "others"
        hover, faint = f"expert %{{customdata}}, {place}", colours.random_real
        line(figure, xs, ys, some, faint, width=1, hover=hover, opacity=0.55, customdata=numbers)
    last, name = curves[newest], f"expert {newest + 1}"
    x, y = [point.epoch for point in last], [100 * point.validation_accuracy for point in last]
    hover = f"{name}, {place}"
    line(figure, x, y, f"{name}, the newest", colours.distilled, width=2, hover=hover, has_markers=True)
    complete = [curve for curve in curves.values() if curve[-1].epoch == curve[-1].num_epochs]
    if len(complete) > 1:
        means = [
            100 * math.fsum(point.validation_accuracy for point in points) / len(points)
            for points in zip(*complete, strict=True)
        ]
        x, name = [point.epoch for point in complete[0]], f"mean of {len(complete)}"
        line(figure, x, means, name, colours.full, width=3.5, hover=f"{name}, {place}")
    across = {"range": [0, num_epochs], "tickformat": ",d", "nticks": 8}
    up = {"rangemode": "tozero"}
    return lay_out(figure, height, "epoch of the expert", "validation accuracy (%)", xaxis=across, yaxis=up)


def by_expert(epochs: Sequence[ExpertEpoch]) -> dict[int, list[ExpertEpoch]]:
    """{expert: its epochs in order}, in order of first appearance."""
    found: dict[int, list[ExpertEpoch]] = {}
    for event in epochs:
        found.setdefault(event.expert, []).append(event)
    return {expert: sorted(points, key=lambda point: point.epoch) for expert, points in found.items()}


def _few(experts: Sequence[int], num_points: int) -> Sequence[int]:
    """Experts that are drawn thin, of `num_points` each: evenly chosen where there are very many."""
    return experts[:: max(1, -(-len(experts) * num_points // MAX_POINTS))]
