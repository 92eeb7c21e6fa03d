"""The sizes of images as they came: how wide, how high, how many."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.figures.curves import log_ticks
from engine.figures.layout import lay_out
from engine.figures.palette import PALETTES, Theme

MAX_MARKS = 400
"""Sizes drawn one by one; more are gathered into cells of a grid."""

_CELLS = 20
_SMALLEST_MARK, _LARGEST_MARK = 6.0, 34.0
_FEW = 30
_MANY_TIMES = 12


def image_sizes(
    sizes: Sequence[tuple[int, int, int]], used: int = 0, *, theme: Theme = "page", height: int = 320
) -> go.Figure:
    """Width against height, the area of a mark in proportion to the number of images.

    sizes: (width, height, number of images), pixels. used: the side of the square that all are brought to, marked
    where it is given.
    """
    colours = PALETTES[theme]
    marks = gathered(sizes)
    most = max(_FEW, *(count for _, _, count in marks))
    widths, heights = [width for width, _, _ in marks], [tall for _, tall, _ in marks]
    is_wide = any(max(values) > _MANY_TIMES * min(values) for values in (widths, heights))
    figure = go.Figure()
    areas = [max(_SMALLEST_MARK, _LARGEST_MARK * math.sqrt(count / most)) for _, _, count in marks]
    figure.add_scatter(
        name="Images",
        mode="markers",
        x=widths,
        y=heights,
        customdata=[count for _, _, count in marks],
        marker={"color": colours.full, "opacity": 0.65, "size": areas, "line": {"width": 0}},
        hovertemplate="%{x:,d} × %{y:,d}: %{customdata:,d}<extra></extra>",
    )
    if used:
        square, hover = (
            {"color": colours.distilled, "size": 11, "symbol": "square"},
            "used at %{x} × %{y}<extra></extra>",
        )
        name = f"Used at {used} × {used}"
        figure.add_scatter(name=name, mode="markers", x=[used], y=[used], marker=square, hovertemplate=hover)
    across, up = (_axis([used or sides[0], *sides], is_wide) for sides in (widths, heights))
    lay_out(figure, height, "width (pixels)", "height (pixels)", xaxis={"showgrid": True} | across, yaxis=up)
    return figure.update_layout(legend={"itemsizing": "constant"})


def gathered(sizes: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The sizes as they are if they are few; else one a cell of an even grid in log size, at the cell's mean size."""
    if len(sizes) <= MAX_MARKS:
        return list(sizes)
    low_w, high_w = _log_range([width for width, _, _ in sizes])
    low_h, high_h = _log_range([tall for _, tall, _ in sizes])
    images: Counter = Counter()
    widths: Counter = Counter()
    heights: Counter = Counter()
    for width, tall, count in sizes:
        cell = (_cell(width, low_w, high_w), _cell(tall, low_h, high_h))
        images[cell] += count
        widths[cell] += width * count
        heights[cell] += tall * count
    return [(round(widths[cell] / n), round(heights[cell] / n), n) for cell, n in images.items()]


def _axis(values: Sequence[int], is_wide: bool) -> dict[str, Any]:
    """From zero, or logarithmic where the largest size is many times the smallest."""
    axis: dict[str, Any] = {"tickformat": ",d"}
    if not is_wide:
        return axis | {"range": [0, 1.1 * max(values)], "nticks": 6}
    return axis | {"type": "log", "tickvals": list(log_ticks(np.array(values, dtype=float)))}


def _log_range(values: Sequence[int]) -> tuple[float, float]:
    return math.log(min(values)), math.log(max(values))


def _cell(value: int, low: float, high: float) -> int:
    return min(_CELLS - 1, int(_CELLS * (math.log(value) - low) / max(high - low, 1e-9)))
