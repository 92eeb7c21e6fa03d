"""What a poster's patches are told to be, as heat maps."""

from __future__ import annotations

import html
import math

import numpy as np
import plotly.graph_objects as go

from engine.events import PosterView
from engine.figures.palette import Theme

FEW_CLASSES = 20
"""Up to so many classes each has a line of its own name beside the heat map."""

_SHADES = {
    "light": ((0.0, "#F3EEE8"), (0.5, "#D9955F"), (1.0, "#6E3208")),
    "dark": ((0.0, "#232930"), (0.5, "#B0682F"), (1.0, "#FFD2AC")),
}
"""Of a weight: next to nothing on the page's ground, then ever stronger."""


def label_heatmap(view: PosterView, theme: Theme = "light", height: int = 0) -> go.Figure:
    """The weight of every class in the label of every patch: patches across, row by row, classes down by place on the poster."""
    grid = view.grid
    order = [label for label in view.order if label >= 0]
    rows, columns = grid["patch_rows"], grid["patch_columns"]
    figure = go.Figure(
        _map(
            np.asarray(view.patch_labels, dtype=np.float32)[:, order].T,
            view,
            theme,
            x=[f"row {row + 1}, column {column + 1}" for row in range(rows) for column in range(columns)],
            y=[html.escape(view.class_names[label], quote=False) for label in order],
            hovertemplate="patch in %{x}<br>%{y}: %{z:.1%}<extra></extra>",
            colorbar={"tickformat": ".0%", "thickness": 12, "outlinewidth": 0, "nticks": 5},
        )
    )
    is_few = len(order) <= FEW_CLASSES
    every = math.ceil(rows / 12)
    firsts = list(range(0, rows * columns, every * columns))
    figure.update_layout(
        height=height or (90 + 22 * len(order) if is_few else min(900, 120 + 4 * len(order))),
        margin={"l": 4, "r": 4, "t": 8, "b": 4},
        xaxis={
            "type": "category",
            "title": {"text": "patches, row by row"},
            "tickvals": firsts,
            "ticktext": [f"row {place // columns + 1}" for place in firsts],
            "tickangle": 0,
            "automargin": True,
        },
        yaxis={
            "type": "category",
            "autorange": "reversed",
            "title": {"text": "" if is_few else "classes, by their place on the poster"},
            "showticklabels": is_few,
            "showgrid": False,
            "automargin": True,
        },
        dragmode=False,
    )
    return figure


def class_weights(view: PosterView, label: int, theme: Theme = "light", height: int = 0) -> go.Figure:
    """The weight of one class in the labels over the poster: a cell a patch, rows and columns as they lie.

    label: of the class. height: in pixels, 0 for one that suits a column some 200 pixels wide.
    """
    grid = view.grid
    shape = (grid["patch_rows"], grid["patch_columns"])
    name = html.escape(view.class_names[label], quote=False)
    figure = go.Figure(
        _map(
            np.asarray(view.patch_labels[:, label], dtype=np.float32).reshape(shape),
            view,
            theme,
            x0=1,
            y0=1,
            hovertemplate=f"row %{{y}}, column %{{x}}<br>{name}: %{{z:.1%}}<extra></extra>",
            showscale=False,
        )
    )
    figure.update_layout(
        height=height or round(min(240, max(60, 200 * grid["height"] / grid["width"]))),
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        xaxis={"visible": False},
        yaxis={"visible": False, "autorange": "reversed"},
        dragmode=False,
    )
    return figure


def _map(weights: np.ndarray, view: PosterView, theme: Theme, **how: object) -> go.Heatmap:
    """A heat map of weights from 0 to the largest of the whole poster, so that shades mean the same in all its maps."""
    shades = _SHADES["dark" if theme == "dark" else "light"]
    return go.Heatmap(
        z=weights, zmin=0, zmax=float(np.max(view.patch_labels)), colorscale=shades, hoverongaps=False, **how
    )
