"""What a poster's patches are told to be, and the learned map they are read from, as heat maps."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go

from engine.core.events import PosterView
from engine.figures.layout import lay_out, safe
from engine.figures.palette import Theme
from engine.figures.poster import heaviest

FEW_CLASSES = 20
"""Up to so many classes each has a line of its own name beside the heat map."""
_LETTERS_ACROSS = 60
"""Letters for which a chart has room from side to side, on a telephone too."""

_SHADES = {
    "light": ((0.0, "#F3EEE8"), (0.5, "#D9955F"), (1.0, "#6E3208")),
    "dark": ((0.0, "#232930"), (0.5, "#B0682F"), (1.0, "#FFD2AC")),
}
"""Of a weight: next to nothing on the page's ground, then ever stronger."""


def label_heatmap(view: PosterView, theme: Theme = "light", height: int = 0) -> go.Figure:
    """The weight of every class in the label of every patch: patches across, classes down, as on the poster."""
    grid = view.grid
    order = [label for label in view.order if label >= 0]
    rows, columns = grid["patch_rows"], grid["patch_columns"]
    figure = go.Figure(
        _map(
            view.patch_labels[:, order].T,
            view.patch_labels,
            theme,
            x=[f"row {row + 1}, column {column + 1}" for row in range(rows) for column in range(columns)],
            y=[safe(view.class_names[label]) for label in order],
            hovertemplate="patch in %{x}<br>%{y}: %{z:.1%}<extra></extra>",
            colorbar={"tickformat": ".0%", "thickness": 12, "outlinewidth": 0, "nticks": 5},
        )
    )
    is_few = len(order) <= FEW_CLASSES
    every = math.ceil(rows / 12)
    firsts = list(range(0, rows * columns, every * columns))
    across = {"type": "category", "tickvals": firsts, "tickangle": 0, "showgrid": None}
    across["ticktext"] = [f"row {place // columns + 1}" for place in firsts]
    down = {"type": "category", "autorange": "reversed", "showticklabels": is_few, "showgrid": False, "nticks": None}
    tall = height or (90 + 22 * len(order) if is_few else min(900, 120 + 4 * len(order)))
    y_title = "" if is_few else "classes, by their place on the poster"
    return lay_out(figure, tall, "patches, row by row", y_title, legend=False, xaxis=across, yaxis=down)


def class_weights(view: PosterView, label: int, theme: Theme = "light", height: int = 0) -> go.Figure:
    """The weight of one class in the labels over the poster: a cell a patch, rows and columns as they lie.

    label: of the class. height: in pixels, 0 for one that suits a column some 200 pixels wide.
    """
    weights = view.patch_labels[:, label].reshape(view.grid["patch_rows"], view.grid["patch_columns"])
    said = f"{safe(view.class_names[label])}: %{{z:.1%}}"
    return _over_poster(_map(weights, view.patch_labels, theme, **_cells(said)), height or _height(view, 200))


def label_map(view: PosterView) -> np.ndarray:
    """(K, h, w) learned weights over the poster; only for a view with a label map."""
    if view.label_map is None:
        raise ValueError("this poster has fixed labels and no learned map")
    return view.label_map


def class_map(view: PosterView, label: int, theme: Theme = "light", height: int = 0) -> go.Figure:
    """The weight of one class over the poster in a learned label map: a cell of the map each.

    label, height: as for `class_weights`. Only for a view with a label map.
    """
    said = f"{safe(view.class_names[label])}: %{{z:.2f}}"
    heat = _map(label_map(view)[label], label_map(view), theme, **_cells(said))
    return _over_poster(heat, height or _height(view, 200))


def learned_map(view: PosterView, theme: Theme = "light", height: int = 0) -> go.Figure:
    """The class of largest weight in each cell of a learned label map, and how much it weighs.

    The beginnings of names stand in the cells where so few letters tell the classes apart. height: in pixels, 0 for one
    that suits a column some 600 pixels wide. Only for a view with a label map.
    """
    weights = label_map(view)
    rows, columns = weights.shape[1:]
    cells = [[heaviest(weights[:, i, j], view.class_names) for j in range(columns)] for i in range(rows)]
    room = _LETTERS_ACROSS // columns
    is_named = len({name[:room] for name in view.class_names}) == len(view.class_names)
    names = [[safe(cell[0][0][:room].strip()) if cell else "" for cell in row] for row in cells]
    said = [["<br>".join(f"{safe(name)}: {weight:.2f}" for name, weight in cell) for cell in row] for row in cells]
    heat = _map(
        weights.max(0),
        weights,
        theme,
        text=names if is_named else None,
        texttemplate="%{text}" if is_named else None,
        customdata=said,
        colorbar={"thickness": 12, "outlinewidth": 0, "nticks": 5},
        **_cells("%{customdata}", showscale=True),
    )
    return _over_poster(heat, height or _height(view, 600))


def _height(view: PosterView, width: int) -> int:
    """Of a chart over the poster in true aspect, within reason: pixels at a width of so many."""
    return round(min(1.2 * width, max(0.3 * width, width * view.grid["height"] / view.grid["width"])))


def _cells(said: str, showscale: bool = False) -> dict[str, object]:
    """How cells over the poster are numbered from 1, and what is said of one under the pointer."""
    return {
        "x0": 1,
        "y0": 1,
        "hovertemplate": f"row %{{y}}, column %{{x}}<br>{said}<extra></extra>",
        "showscale": showscale,
    }


def _over_poster(heat: go.Heatmap, height: int) -> go.Figure:
    """A chart of cells as they lie over the poster, without axes."""
    figure = go.Figure(heat)
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        xaxis={"visible": False},
        yaxis={"visible": False, "autorange": "reversed"},
        dragmode=False,
    )
    return figure


def _map(weights: np.ndarray, every: np.ndarray, theme: Theme, **how: object) -> go.Heatmap:
    """A heat map of weights from 0 to the largest of `every`, so that shades mean the same in all maps of a poster."""
    shades = _SHADES["dark" if theme == "dark" else "light"]
    weights = np.asarray(weights, dtype=np.float32)
    return go.Heatmap(z=weights, zmin=0, zmax=float(np.max(every)), colorscale=shades, hoverongaps=False, **how)
