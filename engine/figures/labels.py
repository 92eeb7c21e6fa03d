"""Soft labels of a poster's patches, and the learned map they are read from, as heat maps."""

import math

import numpy as np
import plotly.graph_objects as go

from engine.core.events import PosterView
from engine.figures.layout import lay_out, safe
from engine.figures.palette import Theme
from engine.figures.poster import heaviest

FEW_CLASSES = 20  # up to so many classes, each has a row with its name in the heat map
_LETTERS_ACROSS = 60  # for which a chart has room from side to side, on a phone too

_SHADES = {
    "light": ((0.0, "#F3EEE8"), (0.5, "#D9955F"), (1.0, "#6E3208")),
    "dark": ((0.0, "#232930"), (0.5, "#B0682F"), (1.0, "#FFD2AC")),
}
"""Colours of a weight, from zero to the largest."""


def label_heatmap(view: PosterView, theme: Theme = "light") -> go.Figure:
    """The weight of every class in the label of every patch: patches across, classes down, as on the poster."""
    order = [label for label in view.order if label >= 0]
    rows, columns = view.grid["patch_rows"], view.grid["patch_columns"]
    x = [f"row {row + 1}, column {column + 1}" for row in range(rows) for column in range(columns)]
    y, hover = [safe(view.class_names[label]) for label in order], "patch in %{x}<br>%{y}: %{z:.1%}<extra></extra>"
    scale = {"tickformat": ".0%", "thickness": 12, "outlinewidth": 0, "nticks": 5}
    weights = view.patch_labels
    figure = go.Figure(_map(weights[:, order].T, weights, theme, x=x, y=y, hovertemplate=hover, colorbar=scale))
    is_few = len(order) <= FEW_CLASSES
    firsts = list(range(0, rows * columns, math.ceil(rows / 12) * columns))
    across = {"type": "category", "tickvals": firsts, "tickangle": 0, "showgrid": None}
    across["ticktext"] = [f"row {place // columns + 1}" for place in firsts]
    down = {"type": "category", "autorange": "reversed", "showticklabels": is_few, "showgrid": False, "nticks": None}
    tall = 90 + 22 * len(order) if is_few else min(900, 120 + 4 * len(order))
    y_title = "" if is_few else "classes, by their place on the poster"
    return lay_out(figure, tall, "patches, row by row", y_title, legend=False, xaxis=across, yaxis=down)


def class_weights(view: PosterView, label: int, theme: Theme = "light", *, of_map: bool = False) -> go.Figure:
    """The weight of one class over the poster, a cell per patch. of_map: a cell per cell of the learned label map."""
    rows, columns = view.grid["patch_rows"], view.grid["patch_columns"]
    every = label_map(view) if of_map else view.patch_labels.T.reshape(-1, rows, columns)
    name, form = safe(view.class_names[label]), ".2f" if of_map else ".1%"
    return _over_poster(view, every[label], every, theme, f"{name}: %{{z:{form}}}")


def label_map(view: PosterView) -> np.ndarray:
    """(K, h, w) learned weights over the poster; only for a view with a label map."""
    if view.label_map is None:
        raise ValueError("this poster has fixed labels and no learned map")
    return view.label_map


def learned_map(view: PosterView, theme: Theme = "light") -> go.Figure:
    """The class of largest weight in each cell of a learned label map, and its weight.

    Cells hold the first letters of names if these tell the classes apart. Only for a view with a label map.
    """
    weights = label_map(view)
    rows, columns = weights.shape[1:]
    cells = [[heaviest(weights[:, i, j], view.class_names) for j in range(columns)] for i in range(rows)]
    room = _LETTERS_ACROSS // columns
    told = [["<br>".join(f"{safe(name)}: {weight:.2f}" for name, weight in cell) for cell in row] for row in cells]
    look: dict[str, object] = {"colorbar": {"thickness": 12, "outlinewidth": 0, "nticks": 5}, "showscale": True}
    if len({name[:room] for name in view.class_names}) == len(view.class_names):
        names = [[safe(cell[0][0][:room].strip()) if cell else "" for cell in row] for row in cells]
        look |= {"text": names, "texttemplate": "%{text}"}
    return _over_poster(view, weights.max(0), weights, theme, "%{customdata}", 600, customdata=told, **look)


def _over_poster(
    view: PosterView, weights: np.ndarray, every: np.ndarray, theme: Theme, told: str, width: int = 200, **look: object
) -> go.Figure:
    """A chart of cells as they lie over the poster, without axes. width: of its place on the page, pixels.

    told: what is said of a cell under the pointer, after its row and column from 1.
    """
    cells = {"x0": 1, "y0": 1, "hovertemplate": f"row %{{y}}, column %{{x}}<br>{told}<extra></extra>"}
    figure = go.Figure(_map(weights, every, theme, **{"showscale": False} | cells | look))
    height = round(min(1.2 * width, max(0.3 * width, width * view.grid["height"] / view.grid["width"])))
    down, margin = {"visible": False, "autorange": "reversed"}, dict.fromkeys("lrtb", 0)
    return figure.update_layout(height=height, margin=margin, xaxis={"visible": False}, yaxis=down, dragmode=False)


def _map(weights: np.ndarray, every: np.ndarray, theme: Theme, **how: object) -> go.Heatmap:
    """A heat map of weights from 0 to the largest of `every`, so that shades mean the same in all maps of a poster."""
    shades = _SHADES[theme]
    weights = np.asarray(weights, dtype=np.float32)
    return go.Heatmap(z=weights, zmin=0, zmax=float(np.max(every)), colorscale=shades, hoverongaps=False, **how)
