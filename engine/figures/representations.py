"""Bases and representations: their spectrum, errors of their approximation, and a map."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.figures.formats import words
from engine.figures.layout import lay_out, line, short
from engine.figures.palette import PALETTES, Palette, Theme

MAPS = {"map": "PCA", "map_tsne": "t-SNE"}
"""Analyses that are maps, and how each was laid out."""
MAX_BASES = 300
"""Points of each line of a spectrum."""
MAX_MARKERS = 800
"""Distilled representations on a map; of more, evenly chosen ones are drawn."""
NAMED_CLASSES = 12
"""Up to so many classes a map has a legend."""
CLASS_COLOURS = tuple(
    [
        "#5B8FD6",
        "#58A65C",
        "#B57EDC",
        "#D3A72C",
        "#4DB6AC",
        "#D9637C",
        "#8D9440",
        "#9C7A65",
        "#7A86A8",
        "#C77FB0",
        "#3FA0C9",
        "#A3A3A3",
    ]
)
"""Of real samples by class, in turn; between light and dark, so that they stand on either ground."""


def spectrum(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 320) -> go.Figure:
    """The share of the variance that the first bases explain together, of images and of representations, and of each.

    values: Analysed "spectrum": "images" and "representations", fractions by base, and how many are "used".
    """
    colours, figure = PALETTES[theme], go.Figure()
    for name, colour, symbol in (("images", colours.distilled, "diamond"), ("representations", colours.full, "circle")):
        shares = 100 * np.asarray(values.get(name, ()), dtype=np.float64)
        if not len(shares):
            continue
        together, shown = np.cumsum(shares), _spread(len(shares))
        line(
            figure, shown + 1, together[shown], name, colour, hover=f"{name}, first %{{x}}: %{{y:.1f}} %<extra></extra>"
        )
        faint: dict[str, Any] = {"width": 1.2, "dash": "dot", "opacity": 0.6, "showlegend": False}
        hover = f"base %{{x}} of {name}: %{{y:.2f}} %<extra></extra>"
        line(figure, shown + 1, shares[shown], f"each base of {name}", colour, hover=hover, **faint)
        used = values.get("used", {}).get(name, 0)
        if 1 <= used <= len(together):
            _mark(figure, used, together[used - 1], f"{used:,} used", {"color": colour, "size": 11, "symbol": symbol})
    across, up = {"type": "log", "dtick": 1, "tickformat": ",d"}, {"range": [0, 104]}
    x_title, y_title = "bases, most important first", "variance explained (%)"
    return lay_out(figure, height, x_title, y_title, top=30, xaxis=across, yaxis=up)


def _spread(count: int) -> np.ndarray:
    """Places 0..count - 1, for a logarithmic axis: all near the beginning, fewer later, the last always."""
    if count <= MAX_BASES:
        return np.arange(count)
    return np.unique(np.round(np.geomspace(1, count, MAX_BASES)).astype(int)) - 1


def _mark(figure: go.Figure, x: int, y: float, name: str, marker: dict[str, Any]) -> None:
    """How many bases the set has, on the line."""
    hover = f"{name}: {y:.1f} %<extra></extra>"
    figure.add_scatter(x=[x], y=[y], mode="markers", name=name, cliponaxis=False, marker=marker, hovertemplate=hover)


def approximation_errors(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 300) -> go.Figure:
    """Errors of the representations under each augmentation, without the approximation networks and with them.

    values: Analysed "approximation": names of "augmentations", relative errors "without" and "with_networks".
    """
    colours, figure = PALETTES[theme], go.Figure()
    names = ["<br>".join(textwrap.wrap(words(name), 10)) for name in values["augmentations"]]
    for name, key, colour in (
        ("without networks", "without", colours.random_real),
        ("with approximation networks", "with_networks", colours.distilled),
    ):
        errors = [None if error is None else 100 * error for error in values[key]]
        figure.add_bar(
            name=name,
            x=names,
            y=errors,
            marker={"color": colour, "line": {"width": 0}},
            text=["" if error is None else f"{error:.0f}" for error in errors],
            textposition="inside",
            insidetextanchor="start",
            hovertemplate=f"%{{x}}, {name}: %{{y:.1f}} %<extra></extra>",
        )
    up = {"rangemode": "tozero"}
    bars: dict[str, Any] = {"barmode": "group", "bargap": 0.28, "bargroupgap": 0.08}
    return lay_out(figure, height, "", "relative error (%)", xaxis={"type": "category"}, yaxis=up, **bars)


def representation_map(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 540) -> go.Figure:
    """Representations in two dimensions: real ones as dots in the colour of their class, distilled ones as diamonds.

    values: Analysed "map": places of "real" and "distilled" ones, "classes" of the real ones, "way" of the projection.
    """
    colours, figure = PALETTES[theme], go.Figure()
    places = np.asarray(values["real"], dtype=np.float64).reshape(-1, 2)
    classes = np.asarray([str(name) for name in values["classes"]])
    order = sorted(set(classes.tolist()))
    if len(order) <= NAMED_CLASSES:
        for number, name in enumerate(order):
            mine, called = places[classes == name], short(name, 18)
            _dots(figure, mine, called, CLASS_COLOURS[number % len(CLASS_COLOURS)], [called] * len(mine))
    else:
        shades = {name: CLASS_COLOURS[number % len(CLASS_COLOURS)] for number, name in enumerate(order)}
        _dots(figure, places, "real", [shades[name] for name in classes], [short(name, 18) for name in classes])
    _diamonds(figure, np.asarray(values["distilled"], dtype=np.float64).reshape(-1, 2), colours)
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}
    first, second = ("first component", "second component") if values.get("way") == "PCA" else ("", "")
    lay_out(figure, height, first, second, top=8, xaxis=axis, yaxis=axis)
    return figure.update_layout(legend={"y": -0.08, "yanchor": "top"})


def _dots(
    figure: go.Figure, places: np.ndarray, name: str, colour: str | Sequence[str], classes: Sequence[str]
) -> None:
    look, hover = {"color": colour, "size": 5, "line": {"width": 0}}, "real: %{customdata}<extra></extra>"
    x, y, told = places[:, 0], places[:, 1], list(classes)
    figure.add_scatter(
        x=x, y=y, mode="markers", name=name, customdata=told, opacity=0.65, marker=look, hovertemplate=hover
    )


def _diamonds(figure: go.Figure, places: np.ndarray, colours: Palette) -> None:
    stride = max(1, -(-len(places) // MAX_MARKERS))
    figure.add_scatter(
        x=places[::stride, 0],
        y=places[::stride, 1],
        mode="markers",
        name="distilled",
        customdata=np.arange(1, len(places) + 1)[::stride],
        marker={"color": colours.distilled, "size": 9, "symbol": "diamond", "line": {"width": 1, "color": colours.ink}},
        hovertemplate="distilled image %{customdata}<extra></extra>",
    )
