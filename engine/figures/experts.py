"""How experts learned: the accuracy of each over its epochs, the newest and the mean in full colour."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from engine.core.events import ExpertEpoch
from engine.figures.palette import PALETTES, Theme

MAX_POINTS = 1600
"""Points of the thin lines together; of more experts only some are drawn."""


def expert_curves(epochs: Sequence[ExpertEpoch], *, theme: Theme = "page", height: int = 380) -> go.Figure:
    """Validation accuracy over epochs, a thin line an expert.

    epochs: of all experts, as `store.expert_epochs` gives them; at least one. The newest expert is the one told of last. The
    mean is that of the experts that are complete, where there are two or more.
    """
    colours = PALETTES[theme]
    curves = by_expert(epochs)
    newest = epochs[-1].expert
    shown = _few([expert for expert in curves if expert != newest], epochs[-1].num_epochs + 1)
    figure = go.Figure()
    xs: list[int | None] = []
    ys: list[float | None] = []
    numbers: list[int | None] = []
    for expert in shown:
        xs += [*(point.epoch for point in curves[expert]), None]
        ys += [*(100 * point.validation_accuracy for point in curves[expert]), None]
        numbers += [*(expert + 1 for _ in curves[expert]), None]
    if xs:
        some = f"{len(shown)} of the others" if len(shown) < len(curves) - 1 else "others"
        figure.add_scatter(
            x=xs, y=ys, customdata=numbers, mode="lines", name=some, opacity=0.55,
            line={"color": colours.random_real, "width": 1},
            hovertemplate="expert %{customdata}, epoch %{x}: %{y:.1f} %<extra></extra>",
        )  # fmt: skip
    last = curves[newest]
    figure.add_scatter(
        x=[point.epoch for point in last], y=[100 * point.validation_accuracy for point in last],
        mode="lines+markers", name=f"expert {newest + 1}, the newest", marker={"size": 5},
        line={"color": colours.distilled, "width": 2},
        hovertemplate=f"expert {newest + 1}, epoch %{{x}}: %{{y:.1f}} %<extra></extra>",
    )  # fmt: skip
    complete = [curve for curve in curves.values() if curve[-1].epoch == curve[-1].num_epochs]
    if len(complete) > 1:
        means = [
            100 * math.fsum(point.validation_accuracy for point in points) / len(points)
            for points in zip(*complete, strict=True)
        ]
        figure.add_scatter(
            x=[point.epoch for point in complete[0]], y=means, mode="lines", name=f"mean of {len(complete)}",
            line={"color": colours.full, "width": 3.5},
            hovertemplate=f"mean of {len(complete)}, epoch %{{x}}: %{{y:.1f}} %<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 8, "t": 30, "b": 4},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis={"title": {"text": "epoch of the expert"}, "range": [0, epochs[-1].num_epochs], "tickformat": ",d", "showgrid": False, "nticks": 8, "automargin": True},
        yaxis={"title": {"text": "validation accuracy (%)"}, "nticks": 6, "rangemode": "tozero", "automargin": True},
        dragmode=False,
        uirevision="kept",
    )  # fmt: skip
    return figure


def by_expert(epochs: Sequence[ExpertEpoch]) -> dict[int, list[ExpertEpoch]]:
    """{expert: its epochs in order}, in order of first appearance."""
    found: dict[int, list[ExpertEpoch]] = {}
    for event in epochs:
        found.setdefault(event.expert, []).append(event)
    return {expert: sorted(points, key=lambda point: point.epoch) for expert, points in found.items()}


def _few(experts: Sequence[int], num_points: int) -> Sequence[int]:
    """Experts that are drawn thin, of `num_points` each: evenly chosen where there are very many."""
    return experts[:: max(1, -(-len(experts) * num_points // MAX_POINTS))]
