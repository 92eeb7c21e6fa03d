"""Bases and representations: their spectrum, errors of their approximation, and a map."""

import itertools
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.figures.formats import words
from engine.figures.layout import GROUPED, WRITTEN, columns, dots, lay_out, line, short
from engine.figures.palette import PAGE

MAPS = {"map": "PCA", "map_tsne": "t-SNE"}  # analyses that are maps, and how each was laid out
MAX_BASES = 300  # points of each line of a spectrum
MAX_MARKERS = 800  # distilled representations on a map; of more, evenly chosen ones are drawn
NAMED_CLASSES = 12  # a map of more classes has no legend of them
_COLOURS = ("#5B8FD6", "#58A65C", "#B57EDC", "#D3A72C", "#4DB6AC", "#D9637C")
CLASS_COLOURS = (*_COLOURS, "#8D9440", "#9C7A65", "#7A86A8", "#C77FB0", "#3FA0C9", "#A3A3A3")
"""Colours of classes, in turn; mid-tones, legible on light and dark ground."""


def spectrum(values: Mapping[str, Any]) -> go.Figure:
    """The share of the variance that the first bases explain together, of images and of representations, and of each.

    values: Analysed "spectrum": "images" and "representations", fractions by base, and how many are "used".
    """
    figure = go.Figure()
    for name, colour, symbol in (("images", PAGE.distilled, "diamond"), ("representations", PAGE.full, "circle")):
        shares = 100 * np.asarray(values.get(name, ()), dtype=np.float64)
        if not len(shares):
            continue
        together, shown = np.cumsum(shares), _spread(len(shares))
        hover = f"{name}, first %{{x}}: %{{y:.1f}} %<extra></extra>"
        line(figure, shown + 1, together[shown], name, colour, hover=hover)
        faint: dict[str, Any] = {"width": 1.2, "dash": "dot", "opacity": 0.6, "showlegend": False}
        hover = f"base %{{x}} of {name}: %{{y:.2f}} %<extra></extra>"
        line(figure, shown + 1, shares[shown], f"each base of {name}", colour, hover=hover, **faint)
        used = values.get("used", {}).get(name, 0)
        if 1 <= used <= len(together):  # how many bases the set has, on the line
            look, name = {"color": colour, "size": 11, "symbol": symbol}, f"{used:,} used"
            dots(figure, [used], [together[used - 1]], name, look, f"{name}: %{{y:.1f}} %<extra></extra>")
    across, up = {"type": "log", "dtick": 1, "tickformat": ",d"}, {"range": [0, 104]}
    x_title, y_title = "bases, most important first", "variance explained (%)"
    return lay_out(figure, 320, x_title, y_title, xaxis=across, yaxis=up)


def _spread(count: int) -> np.ndarray:
    """Places 0..count - 1, for a logarithmic axis: all near the beginning, fewer later, the last always."""
    if count <= MAX_BASES:
        return np.arange(count)
    return np.unique(np.round(np.geomspace(1, count, MAX_BASES)).astype(int)) - 1


def approximation_errors(values: Mapping[str, Any]) -> go.Figure:
    """Errors of the representations under each augmentation, without the approximation networks and with them.

    values: Analysed "approximation": names of "augmentations", relative errors "without" and "with_networks".
    """
    figure, x = go.Figure(), ["<br>".join(textwrap.wrap(words(name), 10)) for name in values["augmentations"]]
    without = ("without networks", "without", PAGE.random_real)
    for name, key, colour in (without, ("with approximation networks", "with_networks", PAGE.distilled)):
        errors = [None if error is None else 100 * error for error in values[key]]
        text = ["" if error is None else f"{error:.0f}" for error in errors]
        columns(figure, x, errors, name, colour, f"%{{x}}, {name}: %{{y:.1f}} %<extra></extra>", text=text, **WRITTEN)
    across, up = {"type": "category"}, {"rangemode": "tozero"}
    return lay_out(figure, 300, "", "relative error (%)", xaxis=across, yaxis=up, **GROUPED)


def representation_map(values: Mapping[str, Any]) -> go.Figure:
    """Representations in two dimensions: real ones as dots in the colour of their class, distilled ones as diamonds.

    values: Analysed "map": places of "real" and "distilled" ones, "classes" of the real ones, "way" of the projection.
    """
    figure = go.Figure()
    real, distilled = (np.asarray(values[name], dtype=np.float64).reshape(-1, 2) for name in ("real", "distilled"))
    classes = np.asarray([str(name) for name in values["classes"]])
    shades = dict(zip(sorted(set(classes.tolist())), itertools.cycle(CLASS_COLOURS), strict=False))
    every: list[tuple[str, Any, Any]] = [("real", ..., [shades[name] for name in classes])]
    apart = [(short(name, 18), classes == name, colour) for name, colour in shades.items()]
    for title, mine, colour in apart if len(shades) <= NAMED_CLASSES else every:
        (x, y), told = real[mine].T, [short(name, 18) for name in classes[mine]]
        look, hover = {"color": colour, "size": 5}, "real: %{customdata}<extra></extra>"
        dots(figure, x, y, title, look, hover, customdata=told, opacity=0.65)
    stride, edge = max(1, -(-len(distilled) // MAX_MARKERS)), {"width": 1, "color": PAGE.ink}
    (x, y), numbers = distilled[::stride].T, np.arange(1, len(distilled) + 1)[::stride]
    look = {"color": PAGE.distilled, "size": 9, "symbol": "diamond", "line": edge}
    dots(figure, x, y, "distilled", look, "distilled image %{customdata}<extra></extra>", customdata=numbers)
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}
    first, second = ("first component", "second component") if values.get("way") == "PCA" else ("", "")
    lay_out(figure, 540, first, second, top=8, xaxis=axis, yaxis=axis)
    return figure.update_layout(legend={"y": -0.08, "yanchor": "top"})
