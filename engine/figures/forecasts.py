"""Forecasts beside what happened, what a distilled sequence is told of, and what a set keeps and reveals of real prices."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from engine.core.events import CandleView
from engine.data.prices.windows import WindowSplits
from engine.figures.formats import NOTHING, percent
from engine.figures.palette import PALETTES, Theme, arm_name

VALUES = {
    "close": "log return (%)",
    "both": "log return (%)",
    "volatility": "absolute log return (%)",
    "direction": "probability of up (%)",
}
"""What is forecast, as an axis says it, by target."""
DASHES = {"full": "dash", "random_real": "dot", "kmeans_real": "dashdot", "last_value": "dash", "train_mean": "dot"}
"""Of the lines of arms, so that colour is not all that tells them apart; the distilled one is solid."""
NUM_BINS = 40
_FACT_ARMS = (("real", "Real", "full"), ("distilled", "Distilled", "distilled"))


# ---------------------------------------------------------------------------------------------- sequences


def target_words(view: CandleView, values: Sequence[float] | None = None) -> list[str]:
    """What a student is told of each sequence: "next close +1.2 %", "up with 63 %", "volatility 2.4 %".

    values: (M,) the forecast log returns, or their absolute values; deviations from the training mean are told where they
    are not known.
    """
    return [
        ", ".join(
            part
            for column, name in enumerate(view.outputs)
            if (part := _told(name, float(target[column]), None if values is None else float(values[number])))
        )
        for number, target in enumerate(view.targets)
    ]


def _told(name: str, target: float, value: float | None) -> str:
    """One column of a sequence's targets in words; nothing of "down", which "up" leaves over."""
    if name == "up":
        return f"up with {100 * target:.0f} %"
    if name == "close":
        return f"next close {_deviations(target) if value is None else _signed(float(np.expm1(value)))}"
    if name == "volatility":
        return f"volatility {_deviations(target)}" if value is None else f"volatility {percent(value)}"
    return ""


def _deviations(target: float) -> str:
    side = "above" if target >= 0 else "below"
    return f"{abs(target):.1f} standard deviations {side} the mean"


def _signed(fraction: float) -> str:
    text = percent(fraction)
    return f"+{text}" if fraction > 0 and text != percent(0.0) else text


def target_values(view: CandleView, splits: WindowSplits) -> np.ndarray | None:
    """(M,) log returns, or their absolute values, that sequences are told of, in the scale of real ones.

    None for directions, and where the splits do not know a token.
    """
    names = splits.spec.class_names
    if view.outputs[0] not in ("close", "volatility") or not set(view.tokens) <= set(names):
        return None
    tokens = torch.tensor([names.index(token) for token in view.tokens])
    return splits.scaling.values(torch.from_numpy(np.asarray(view.targets[:, 0])), tokens)


# ---------------------------------------------------------------------------------------------- forecasts


def forecast(
    values: Mapping[str, Any], target: str, *, as_prices: bool = False, theme: Theme = "page", height: int = 360
) -> go.Figure:
    """What happened to one token in the test part, and what each arm forecast, by date.

    Args:
        values: a token of Analysed "forecasts": "times", "truth", "closes" and "arms".
        target: what is forecast. Of the naive forecasts that which skill counts from is in sight; others are called by the legend.
        as_prices: closes in place of log returns: the last close times exp(return). Only of returns.
    """
    colours, figure = PALETTES[theme], go.Figure()
    times = np.asarray(values["times"], dtype=np.int64).astype("datetime64[s]")
    closes = np.asarray(values["closes"], dtype=np.float64)

    def shown(line: Sequence[float]) -> np.ndarray:
        line = np.asarray(line, dtype=np.float64)
        return closes * np.exp(line) if as_prices else 100 * line

    reference = "last_value" if target in ("close", "both") else "train_mean"
    is_direction = target == "direction"
    figure.add_scatter(
        x=times, y=shown(values["truth"]), mode="markers" if is_direction else "lines", name="What happened",
        line={"color": colours.random_real, "width": 1.2, "simplify": False}, opacity=0.8,
        marker={"color": colours.random_real, "size": 4}, hovertemplate="%{y:,.4~g}",
    )  # fmt: skip
    for arm, line in values["arms"].items():
        is_main = arm == "distilled"
        figure.add_scatter(
            x=times, y=shown(line), mode="lines", name=arm_name(arm), hovertemplate="%{y:,.4~g}",
            visible=True if arm in ("distilled", "full", reference) else "legendonly",
            line={"color": colours.arm(arm), "width": 2.2 if is_main else 1.5, "dash": DASHES.get(arm, "solid"), "simplify": False},
        )  # fmt: skip
    _lay_out(figure, height, "", "close" if as_prices else VALUES.get(target, target))
    figure.update_layout(hovermode="x unified")
    if is_direction:
        figure.update_yaxes(range=[-5, 105])
    return figure


# ---------------------------------------------------------------------------------------------- privacy and facts


def nearest_distances(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 280) -> go.Figure:
    """How far each distilled sequence is from its nearest real training window, over the distances between real ones.

    values: Analysed "privacy", of which "nearest" tells the distances of "distilled" and "real".
    """
    colours, figure = PALETTES[theme], go.Figure()
    real = np.asarray(values["nearest"]["real"], dtype=np.float64)
    distilled = np.asarray(values["nearest"]["distilled"], dtype=np.float64)
    shares, edges = np.histogram(real, bins=NUM_BINS)
    shares = 100 * shares / max(1, len(real))
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2, y=shares, width=np.diff(edges), name="real to the nearest other real",
        marker={"color": colours.full, "line": {"width": 0}}, opacity=0.75,
        hovertemplate="%{x:.3~g}: %{y:.1f} % of the real windows<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=distilled, y=np.full(len(distilled), 1.08 * shares.max(initial=1.0)), mode="markers", name="distilled to the nearest real",
        marker={"color": colours.distilled, "size": 10, "symbol": "diamond", "line": {"width": 1, "color": colours.ink}},
        hovertemplate="a distilled sequence: %{x:.3~g}<extra></extra>",
    )  # fmt: skip
    _lay_out(figure, height, "distance to the nearest window", "share of real windows (%)")
    figure.update_layout(bargap=0)
    figure.update_xaxes(rangemode="tozero")
    return figure


def tails(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 280) -> go.Figure:
    """The share of bars that move further than so many deviations, distilled, real and of a normal distribution; logarithmic, as tails are rare.

    values: Analysed "facts", of which "returns" tells a sample of each in deviations of real ones, and "kurtosis" the excess over a
    normal one.
    """
    colours, figure, reach = PALETTES[theme], go.Figure(), 4.0
    for arm, name, colour in _FACT_ARMS:
        if arm not in values:
            continue
        sizes = np.sort(np.abs(np.asarray(values[arm]["returns"], dtype=np.float64)))
        reach = max(reach, float(sizes.max(initial=0.0)))
        kurtosis = values[arm].get("kurtosis")
        figure.add_scatter(
            x=sizes, y=100 * np.arange(len(sizes), 0, -1) / max(1, len(sizes)), mode="lines",
            name=f"{name}, kurtosis {NOTHING if kurtosis is None else f'{kurtosis:.1f}'.replace('-', '−')}",
            line={"color": colours.arm(colour), "width": 2, "shape": "vh"}, hovertemplate="more than %{x:.2f}: %{y:.3~g} %<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    places = np.linspace(0, min(reach, 4.0), 80)
    normal = [100 * math.erfc(place / math.sqrt(2)) for place in places]
    figure.add_scatter(
        x=places, y=normal, mode="lines", name="normal, 0", hoverinfo="skip",
        line={"color": colours.random_real, "width": 1.5, "dash": "dash"},
    )  # fmt: skip
    _lay_out(figure, height, "move, in deviations of real ones", "bars that move more (%)")
    figure.update_yaxes(type="log", dtick=1, tickformat="~g")
    return figure


def autocorrelation(values: Mapping[str, Any], name: str, *, theme: Theme = "page", height: int = 260) -> go.Figure:
    """How alike returns, or their squares, are to those some bars earlier, in distilled and in real bars.

    values: Analysed "facts". name: "acf_returns" or "acf_squared", each a value a lag from 1. Whiskers: where 95 % of as many real
    windows lie, drawn at random, if that is told.
    """
    colours, figure = PALETTES[theme], go.Figure()
    for arm, title, colour in _FACT_ARMS:
        found = values.get(arm, {}).get(name)
        if found:
            figure.add_bar(
                x=list(range(1, len(found) + 1)), y=list(found), name=title,
                marker={"color": colours.arm(colour), "line": {"width": 0}}, hovertemplate=f"{title}, lag %{{x}}: %{{y:.3f}}<extra></extra>",
            )  # fmt: skip
    chance = values.get("chance")
    if chance:
        low, high = (np.asarray(chance[side][name], dtype=np.float64) for side in ("low", "high"))
        figure.add_scatter(
            x=list(range(1, len(low) + 1)), y=(low + high) / 2, mode="markers", name="as few real windows", showlegend=False,
            marker={"color": colours.ink, "size": 0.1, "opacity": 0}, hoverinfo="skip",
            error_y={"type": "data", "array": (high - low) / 2, "color": colours.ink, "thickness": 1, "width": 4},
        )  # fmt: skip
    _lay_out(figure, height, "bars earlier", "autocorrelation")
    figure.update_layout(barmode="group", bargap=0.3, yaxis={"zeroline": True, "zerolinewidth": 1.5})
    figure.update_xaxes(dtick=1)
    return figure


def adaptation(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 320) -> go.Figure:
    """The error on a new token over steps of fine-tuning, from a network trained on the distilled set and from scratch.

    values: Analysed "adaptation": "steps", "mean" and "std" of each of the "arms", and the "naive" forecast's error. Shades: one
    deviation over students.
    """
    colours, figure = PALETTES[theme], go.Figure()
    is_share = values.get("metric", "rmse") == "rmse"
    scale, unit = (100, " %") if is_share else (1, "")
    steps = np.asarray(values["steps"])
    for arm, name, colour, dash in (
        ("distilled", "trained on the distilled set first", colours.distilled, "solid"),
        ("scratch", "from scratch", colours.full, "dash"),
    ):
        found = values["arms"].get(arm)
        if found is None:
            continue
        mean, std = (scale * np.nan_to_num(np.asarray(found[part], dtype=np.float64)) for part in ("mean", "std"))
        _add_band(figure, steps, mean, std, colour)
        figure.add_scatter(
            x=steps, y=mean, mode="lines+markers", name=name, line={"color": colour, "width": 2.2, "dash": dash},
            marker={"size": 6}, customdata=std, hovertemplate="%{y:.3f} ± %{customdata:.3f}" + unit,
        )  # fmt: skip
    if values.get("naive") is not None:
        figure.add_scatter(
            x=steps[[0, -1]], y=np.full(2, scale * values["naive"]), mode="lines", name="naive forecast", hoverinfo="skip",
            line={"color": colours.random_real, "width": 1.5, "dash": "dot"},
        )  # fmt: skip
    _lay_out(figure, height, "steps of fine-tuning", "test RMSE (%)" if is_share else "test log loss")
    figure.update_layout(hovermode="x unified")
    return figure


def _add_band(figure: go.Figure, x: np.ndarray, mean: np.ndarray, std: np.ndarray, colour: str) -> None:
    """One deviation around a line, as two edges with the ground between them coloured."""
    for edge, fill in ((mean + std, None), (mean - std, "tonexty")):
        figure.add_scatter(
            x=x, y=edge, mode="lines", line={"width": 0.5, "color": colour}, opacity=0.25, fill=fill,
            fillcolor="rgba(128,128,128,0.15)", hoverinfo="skip", showlegend=False,
        )  # fmt: skip


def _lay_out(figure: go.Figure, height: int, x_title: str, y_title: str) -> None:
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 8, "t": 34, "b": 4},
        showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis={"showgrid": False, "nticks": 8, "automargin": True}
        | ({"title": {"text": html.escape(x_title, quote=False)}} if x_title else {}),
        yaxis={"title": {"text": html.escape(y_title, quote=False)}, "nticks": 6, "automargin": True},
        hovermode="closest",
        dragmode=False,
        uirevision="kept",
    )
