"""Forecasts and truth, targets of distilled sequences in words, and what a set keeps and reveals of real prices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from engine.core.events import CandleView
from engine.data.prices.windows import WindowSplits
from engine.figures.formats import NOTHING, percent
from engine.figures.layout import lay_out, line
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
TRUTH = "Truth"
_FACT_ARMS = (("real", "Real", "full"), ("distilled", "Distilled", "distilled"))


# ---- sequences ----


def target_words(view: CandleView, values: Sequence[float] | np.ndarray | None = None) -> list[str]:
    """What a student is told of each sequence: "next close +1.2 %", "up with 63 %", "volatility 2.4 %".

    values: (M,) log returns, or their absolute values; deviations from the training mean are given if None.
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


# ---- forecasts ----


def forecast(
    values: Mapping[str, Any], target: str, *, as_prices: bool = False, theme: Theme = "page", height: int = 360
) -> go.Figure:
    """The truth of one token in the test part, and what each training set led to forecast, by date.

    Args:
        values: a token of Analysed "forecasts": "times", "truth", "closes" and "arms".
        target: what is forecast. Of the naive forecasts, the one that skill is relative to is shown at first.
        as_prices: closes in place of log returns: the last close times exp(return). Only of returns.
    """
    colours, figure = PALETTES[theme], go.Figure()
    times = np.asarray(values["times"], dtype=np.int64).astype("datetime64[s]")
    closes = np.asarray(values["closes"], dtype=np.float64)

    def shown(forecasts: Sequence[float]) -> np.ndarray:
        found = np.asarray(forecasts, dtype=np.float64)
        return closes * np.exp(found) if as_prices else 100 * found

    visible = ("distilled", "full", "last_value" if target in ("close", "both") else "train_mean")
    hover, grey, truth = "%{y:,.4~g}", colours.random_real, shown(values["truth"])
    if target == "direction":
        dots = {"color": grey, "size": 4}
        figure.add_scatter(x=times, y=truth, mode="markers", name=TRUTH, marker=dots, opacity=0.8, hovertemplate=hover)
    else:
        line(figure, times, truth, TRUTH, grey, width=1.2, hover=hover, opacity=0.8)
    for arm, forecasts in values["arms"].items():
        dash, width = DASHES.get(arm, "solid"), 2.2 if arm == "distilled" else 1.5
        is_visible = True if arm in visible else "legendonly"
        y = shown(forecasts)
        line(figure, times, y, arm_name(arm), colours.arm(arm), width=width, dash=dash, hover=hover, visible=is_visible)
    y_title, across = "close" if as_prices else VALUES.get(target, target), {"nticks": 8}
    lay_out(figure, height, "", y_title, hover="x unified", xaxis=across)
    return figure.update_yaxes(range=[-5, 105]) if target == "direction" else figure


# ---- privacy and stylised facts ----


def nearest_distances(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 280) -> go.Figure:
    """How far each distilled sequence is from its nearest real training window, over the distances between real ones.

    values: Analysed "privacy", of which "nearest" has the distances of "distilled" and "real".
    """
    colours, figure = PALETTES[theme], go.Figure()
    real, distilled = (np.asarray(values["nearest"][arm], dtype=np.float64) for arm in ("real", "distilled"))
    counts, edges = np.histogram(real, bins=NUM_BINS)
    shares = 100 * counts / max(1, len(real))
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=shares,
        width=np.diff(edges),
        name="real to the nearest other real",
        marker={"color": colours.full, "line": {"width": 0}},
        opacity=0.75,
        hovertemplate="%{x:.3~g}: %{y:.1f} % of the real windows<extra></extra>",
    )
    diamonds = {"color": colours.distilled, "size": 10, "symbol": "diamond", "line": {"width": 1, "color": colours.ink}}
    figure.add_scatter(
        x=distilled,
        y=np.full(len(distilled), 1.08 * shares.max(initial=1.0)),
        mode="markers",
        name="distilled to the nearest real",
        marker=diamonds,
        hovertemplate="a distilled sequence: %{x:.3~g}<extra></extra>",
    )
    x_title, y_title = "distance to the nearest window", "share of real windows (%)"
    return lay_out(figure, height, x_title, y_title, xaxis={"rangemode": "tozero"}, bargap=0)


def tails(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 280) -> go.Figure:
    """The share of bars that move further than so many deviations: distilled, real and normal, on a logarithmic axis.

    values: Analysed "facts": "returns", a sample of each in deviations of real ones, and "kurtosis", the excess.
    """
    colours, figure, reach = PALETTES[theme], go.Figure(), 4.0
    for arm, name, colour in _FACT_ARMS:
        if arm not in values:
            continue
        sizes = np.sort(np.abs(np.asarray(values[arm]["returns"], dtype=np.float64)))
        reach = max(reach, float(sizes.max(initial=0.0)))
        kurtosis = values[arm].get("kurtosis")
        called = f"{name}, kurtosis {NOTHING if kurtosis is None else f'{kurtosis:.1f}'.replace('-', '−')}"
        shares = 100 * np.arange(len(sizes), 0, -1) / max(1, len(sizes))
        hover = "more than %{x:.2f}: %{y:.3~g} %<extra>%{fullData.name}</extra>"
        line(figure, sizes, shares, called, colours.arm(colour), width=2, hover=hover, line={"shape": "vh"})
    places = np.linspace(0, min(reach, 4.0), 80)
    normal = [100 * math.erfc(place / math.sqrt(2)) for place in places]
    line(figure, places, normal, "normal, 0", colours.random_real, width=1.5, dash="dash")
    up = {"type": "log", "dtick": 1, "tickformat": "~g"}
    return lay_out(figure, height, "move, in deviations of real ones", "bars that move more (%)", yaxis=up)


def autocorrelation(values: Mapping[str, Any], name: str, *, theme: Theme = "page", height: int = 260) -> go.Figure:
    """Autocorrelation of returns, or of their squares, by lag, of distilled and of real bars.

    values: Analysed "facts". name: "acf_returns" or "acf_squared", a value per lag from 1. Whiskers: the 95 % range
    of equally many random real windows, if it is known.
    """
    colours, figure = PALETTES[theme], go.Figure()
    for arm, title, colour in _FACT_ARMS:
        found = values.get(arm, {}).get(name)
        if found:
            lags, look = list(range(1, len(found) + 1)), {"color": colours.arm(colour), "line": {"width": 0}}
            hover = f"{title}, lag %{{x}}: %{{y:.3f}}<extra></extra>"
            figure.add_bar(x=lags, y=list(found), name=title, marker=look, hovertemplate=hover)
    chance = values.get("chance")
    if chance:
        low, high = (np.asarray(chance[side][name], dtype=np.float64) for side in ("low", "high"))
        whisker = {"type": "data", "array": (high - low) / 2, "color": colours.ink, "thickness": 1, "width": 4}
        lags, unseen = list(range(1, len(low) + 1)), {"color": colours.ink, "size": 0.1, "opacity": 0}
        more = {"name": "random real windows", "showlegend": False, "hoverinfo": "skip", "error_y": whisker}
        figure.add_scatter(x=lags, y=(low + high) / 2, mode="markers", marker=unseen, **more)
    up = {"zeroline": True, "zerolinewidth": 1.5}
    bars: dict[str, Any] = {"barmode": "group", "bargap": 0.3}
    return lay_out(figure, height, "lag (bars)", "autocorrelation", xaxis={"dtick": 1}, yaxis=up, **bars)


def adaptation(values: Mapping[str, Any], *, theme: Theme = "page", height: int = 320) -> go.Figure:
    """The error on a new token by fine-tuning steps, of networks pre-trained on the distilled set and from scratch.

    values: Analysed "adaptation": "steps", "mean" and "std" of each of the "arms", and the "naive" error. Shaded: one
    deviation over students.
    """
    colours, figure = PALETTES[theme], go.Figure()
    is_share = values.get("metric", "rmse") == "rmse"
    scale, unit = (100, " %") if is_share else (1, "")
    steps = np.asarray(values["steps"])
    for arm, name, colour, dash in (
        ("distilled", "pre-trained on the distilled set", colours.distilled, "solid"),
        ("scratch", "from scratch", colours.full, "dash"),
    ):
        found = values["arms"].get(arm)
        if found is None:
            continue
        mean, std = (scale * np.nan_to_num(np.asarray(found[part], dtype=np.float64)) for part in ("mean", "std"))
        shade: dict[str, Any] = {
            "width": 0.5,
            "opacity": 0.25,
            "fillcolor": "rgba(128,128,128,0.15)",
            "showlegend": False,
        }
        line(figure, steps, mean + std, name, colour, **shade)
        line(figure, steps, mean - std, name, colour, fill="tonexty", **shade)
        hover, dots = f"%{{y:.3f}} ± %{{customdata:.3f}}{unit}", {"size": 6}
        line(figure, steps, mean, name, colour, dash=dash, hover=hover, has_markers=True, marker=dots, customdata=std)
    if values.get("naive") is not None:
        level = np.full(2, scale * values["naive"])
        line(figure, steps[[0, -1]], level, "naive forecast", colours.random_real, width=1.5, dash="dot")
    y_title = "test RMSE (%)" if is_share else "test log loss"
    return lay_out(figure, height, "fine-tuning steps", y_title, hover="x unified", xaxis={"nticks": 8})
