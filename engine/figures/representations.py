"""What is known of bases and representations: the spectrum they are cut from, errors of their approximation, and a map."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures import formats
from engine.figures.formats import words
from engine.figures.palette import PALETTES, Palette, Theme

MAPS = {"map": "PCA", "map_tsne": "t-SNE"}
"""Analyses that are maps, and how each was laid out."""
OUTCOMES = {
    "distilled": "a network pre-trained on {images} gets by a linear probe",
    "random_real": "on {images} with the teacher's representations",
    "untrained": "not pre-trained",
    "full": "on all {images}",
    "teacher": "the teacher itself",
}
"""What a verdict says of each arm, before its share of test images."""
MAX_BASES = 300
"""Points of each line of a spectrum."""
MAX_MARKERS = 800
"""Distilled representations on a map; of more, evenly chosen ones are drawn."""
NAMED_CLASSES = 12
"""Up to so many classes a map has a legend."""
CLASS_COLOURS = (
    "#5B8FD6", "#58A65C", "#B57EDC", "#D3A72C", "#4DB6AC", "#D9637C", "#8D9440", "#9C7A65", "#7A86A8", "#C77FB0",
    "#3FA0C9", "#A3A3A3",
)  # fmt: skip
"""Of real samples by class, in turn; between light and dark, so that they stand on either ground."""


def outcomes(best: Mapping[str, Row]) -> list[tuple[str, str]]:
    """(what a network was pre-trained on, its share of test images right) of each arm that was measured, for a sentence.

    best: one row an arm.
    """
    names = {"distilled": "distilled image", "random_real": "random real image"}
    return [
        (
            said.format(images=formats.counted(best[arm].num_samples, names.get(arm, "real image"))),
            formats.percent(best[arm].mean),
        )
        for arm, said in OUTCOMES.items()
        if arm in best
    ]


def spectrum(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 320) -> go.Figure:
    """The share of the variance that the first bases explain together, of images and of representations, and of each faintly.

    values: as Analysed "spectrum" tells: "images" and "representations", fractions by base, and how many are "used".
    """
    colours = PALETTES[theme]
    figure = go.Figure()
    for name, colour, symbol in (
        ("images", colours.distilled, "diamond"),
        ("representations", colours.full, "circle"),
    ):
        shares = 100 * np.asarray(values.get(name, ()), dtype=np.float64)
        if not len(shares):
            continue
        together = np.cumsum(shares)
        shown = _spread(len(shares))
        figure.add_scatter(
            x=shown + 1, y=together[shown], mode="lines", name=name, line={"color": colour, "width": 2.2},
            hovertemplate=f"{name}, first %{{x}}: %{{y:.1f}} %<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=shown + 1, y=shares[shown], mode="lines", name=f"each base of {name}", opacity=0.6, showlegend=False,
            line={"color": colour, "width": 1.2, "dash": "dot"},
            hovertemplate=f"base %{{x}} of {name}: %{{y:.2f}} %<extra></extra>",
        )  # fmt: skip
        used = values.get("used", {}).get(name, 0)
        if 1 <= used <= len(together):
            _mark(figure, used, together[used - 1], f"{used:,} used", colour, symbol)
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 12, "t": 30, "b": 4},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis={"title": {"text": "bases, most important first"}, "type": "log", "dtick": 1, "tickformat": ",d", "showgrid": False, "automargin": True},
        yaxis={"title": {"text": "variance explained (%)"}, "range": [0, 104], "nticks": 6, "automargin": True},
        hovermode="closest",
        dragmode=False,
    )  # fmt: skip
    return figure


def _spread(count: int) -> np.ndarray:
    """Places 0..count - 1, for a logarithmic axis: all near the beginning, fewer later, the last always."""
    if count <= MAX_BASES:
        return np.arange(count)
    return np.unique(np.round(np.geomspace(1, count, MAX_BASES)).astype(int)) - 1


def _mark(figure: go.Figure, x: int, y: float, name: str, colour: str, symbol: str) -> None:
    """How many bases the set has, on the line."""
    figure.add_scatter(
        x=[x], y=[y], mode="markers", name=name, cliponaxis=False,
        marker={"color": colour, "size": 11, "symbol": symbol}, hovertemplate=f"{name}: {y:.1f} %<extra></extra>",
    )  # fmt: skip


def approximation_errors(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 300) -> go.Figure:
    """How far the representations under each augmentation are from the teacher's, without the networks and with them.

    values: as Analysed "approximation" tells: names of "augmentations", relative errors "without" and "with_networks".
    """
    colours = PALETTES[theme]
    names = ["<br>".join(textwrap.wrap(words(name), 10)) for name in values["augmentations"]]
    figure = go.Figure()
    for name, key, colour in (
        ("without networks", "without", colours.random_real),
        ("with approximation networks", "with_networks", colours.distilled),
    ):
        errors = [None if error is None else 100 * error for error in values[key]]
        figure.add_bar(
            name=name, x=names, y=errors, marker={"color": colour, "line": {"width": 0}},
            text=["" if error is None else f"{error:.0f}" for error in errors], textposition="inside", insidetextanchor="start",
            hovertemplate=f"%{{x}}, {name}: %{{y:.1f}} %<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        height=height,
        barmode="group",
        bargap=0.28,
        bargroupgap=0.08,
        margin={"l": 4, "r": 8, "t": 34, "b": 4},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis={"type": "category", "automargin": True},
        yaxis={"title": {"text": "relative error (%)"}, "rangemode": "tozero", "nticks": 6, "automargin": True},
        dragmode=False,
    )
    return figure


def representation_map(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 540) -> go.Figure:
    """Representations in two dimensions: real ones as dots in the colour of their class, distilled ones as larger diamonds.

    values: as Analysed "map" tells: "real" and "distilled" places, "classes" of the real ones, and the "way" they were laid.
    """
    colours = PALETTES[theme]
    places = np.asarray(values["real"], dtype=np.float64).reshape(-1, 2)
    classes = np.asarray([str(name) for name in values["classes"]])
    order = sorted(set(classes.tolist()))
    figure = go.Figure()
    if len(order) <= NAMED_CLASSES:
        for number, name in enumerate(order):
            mine = places[classes == name]
            _dots(figure, mine, _short(name), CLASS_COLOURS[number % len(CLASS_COLOURS)], [_short(name)] * len(mine))
    else:
        shades = {name: CLASS_COLOURS[number % len(CLASS_COLOURS)] for number, name in enumerate(order)}
        _dots(figure, places, "real", [shades[name] for name in classes], [_short(name) for name in classes])
    _diamonds(figure, np.asarray(values["distilled"], dtype=np.float64).reshape(-1, 2), colours)
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": "", "automargin": True}
    is_pca = values.get("way") == "PCA"
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 4, "t": 8, "b": 4},
        legend={"orientation": "h", "x": 0, "y": -0.08, "yanchor": "top", "title": {"text": ""}},
        xaxis=axis | {"title": {"text": "first direction" if is_pca else ""}},
        yaxis=axis | {"title": {"text": "second direction" if is_pca else ""}},
        hovermode="closest",
        dragmode=False,
    )
    return figure


def _dots(
    figure: go.Figure, places: np.ndarray, name: str, colour: str | Sequence[str], classes: Sequence[str]
) -> None:
    figure.add_scatter(
        x=places[:, 0], y=places[:, 1], mode="markers", name=name, customdata=list(classes), opacity=0.65,
        marker={"color": colour, "size": 5, "line": {"width": 0}}, hovertemplate="real: %{customdata}<extra></extra>",
    )  # fmt: skip


def _diamonds(figure: go.Figure, places: np.ndarray, colours: Palette) -> None:
    stride = max(1, -(-len(places) // MAX_MARKERS))
    figure.add_scatter(
        x=places[::stride, 0], y=places[::stride, 1], mode="markers", name="distilled",
        customdata=np.arange(1, len(places) + 1)[::stride],
        marker={"color": colours.distilled, "size": 9, "symbol": "diamond", "line": {"width": 1, "color": colours.ink}},
        hovertemplate="distilled image %{customdata}<extra></extra>",
    )  # fmt: skip


def _short(name: str) -> str:
    """A class name as Plotly shows it: its small HTML is user text here, and long names are cut."""
    return html.escape(name if len(name) <= 18 else name[:17] + "…", quote=False)
