"""Forecasts and truth, targets of distilled sequences in words, and what a set keeps and reveals of real prices."""

import math
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from engine.core.events import CandleView
from engine.data.prices.scaling import WindowScaling
from engine.figures.formats import NOTHING, percent
from engine.figures.layout import columns, dots, lay_out, line
from engine.figures.palette import PAGE, arm_name

VALUES = {"volatility": "absolute log return (%)", "direction": "probability of up (%)"}
"""Axis titles by target; the other targets are log returns."""
DASHES = {
    "full": "dash",
    "random_real": "dot",
    "random_samples": "longdash",
    "kmeans_real": "dashdot",
    "last_value": "dash",
    "train_mean": "dot",
}
"""Dash patterns of arms, so that not only colour tells them apart; solid for the distilled set."""
NUM_BINS = 40
_FACT_ARMS = (("real", "Real", "full"), ("distilled", "Distilled", "distilled"))


def target_words(view: CandleView, scaling: object = None, tokens: Sequence[str] = ()) -> list[str]:
    """The target of each sequence in words: "next close +1.2 %", "up with 63 %", "volatility 2.4 %".

    scaling: how windows were prepared; tokens: those it knows, in order. Targets that these cannot scale back are
    given in deviations from the training mean.
    """
    values = _values(view, scaling, tokens)
    known = [None] * len(view.targets) if values is None else values
    each = zip(view.targets, known, strict=True)
    return [", ".join(filter(None, map(_told, view.outputs, target, repeat(value)))) for target, value in each]


def _told(name: str, target: float, value: float | None) -> str:
    """One column of a sequence's targets in words; nothing for "down", which is the rest of "up"."""
    if name in ("up", "down"):
        return f"up with {100 * target:.0f} %" if name == "up" else ""
    told = f"{abs(target):.1f} standard deviations {'above' if target >= 0 else 'below'} the mean"
    if value is not None:
        change = np.expm1(value) if name == "close" else value
        sign = "+" if name == "close" and round(change, 3) > 0 else ""
        told = sign + percent(change)
    return f"{'next close' if name == 'close' else name} {told}"


def _values(view: CandleView, scaling: object, tokens: Sequence[str]) -> np.ndarray | None:
    """(M,) log returns, or their absolute values, in the scale of real ones; None where they cannot be told."""
    is_told = view.outputs[0] in ("close", "volatility") and set(view.tokens) <= set(tokens)
    if not is_told or not isinstance(scaling, WindowScaling):
        return None
    places = torch.tensor([tokens.index(token) for token in view.tokens])
    return scaling.values(torch.from_numpy(np.asarray(view.targets[:, 0])), places)


def forecast(values: Mapping[str, Any], target: str, *, as_prices: bool = False) -> go.Figure:
    """The truth of one token in the test part, and the forecasts after training on each set, by date.

    values: a token of Analysed "forecasts": "times", "truth", "closes" and "arms". target: what is forecast; of the
    naive forecasts, only the one that skill is relative to is shown at first. as_prices: the last close times
    exp(return) in place of the return.
    """
    figure, closes = go.Figure(), np.asarray(values["closes"], dtype=np.float64)
    times = np.asarray(values["times"], dtype=np.int64).astype("datetime64[s]")

    def shown(forecasts: Sequence[float]) -> np.ndarray:
        found = np.asarray(forecasts, dtype=np.float64)
        return closes * np.exp(found) if as_prices else 100 * found

    visible = ("distilled", "full", "last_value" if target in ("close", "both") else "train_mean")
    hover, grey, truth = "%{y:,.4~g}", PAGE.random_real, shown(values["truth"])
    if target == "direction":
        dots(figure, times, truth, "Truth", {"color": grey, "size": 4}, hover, opacity=0.8, cliponaxis=None)
    else:
        line(figure, times, truth, "Truth", grey, width=1.2, hover=hover, opacity=0.8)
    for arm, forecasts in values["arms"].items():
        look: dict[str, Any] = {"dash": DASHES.get(arm, "solid"), "width": 2.2 if arm == "distilled" else 1.5}
        look["visible"] = True if arm in visible else "legendonly"
        line(figure, times, shown(forecasts), arm_name(arm), PAGE.arm(arm), hover=hover, **look)
    y_title = "close" if as_prices else VALUES.get(target, "log return (%)")
    lay_out(figure, 360, "", y_title, hover="x unified", xaxis={"nticks": 8})
    return figure.update_yaxes(range=[-5, 105]) if target == "direction" else figure


def nearest_distances(values: Mapping[str, Any]) -> go.Figure:
    """How far each distilled sequence is from its nearest real training window, over the distances between real ones.

    values: "nearest" of Analysed "privacy" has the distances of "distilled" and "real".
    """
    figure = go.Figure()
    real, distilled = (np.asarray(values["nearest"][arm], dtype=np.float64) for arm in ("real", "distilled"))
    counts, edges = np.histogram(real, bins=NUM_BINS)
    shares, middles = 100 * counts / max(1, len(real)), (edges[:-1] + edges[1:]) / 2
    hover, bars = "%{x:.3~g}: %{y:.1f} % of the real windows<extra></extra>", {"width": np.diff(edges), "opacity": 0.75}
    columns(figure, middles, shares, "real to the nearest other real", PAGE.full, hover, **bars)
    look = {"color": PAGE.distilled, "size": 10, "symbol": "diamond", "line": {"width": 1, "color": PAGE.ink}}
    level, hover = 1.08 * shares.max(initial=1.0), "a distilled sequence: %{x:.3~g}<extra></extra>"
    dots(figure, distilled, np.full(len(distilled), level), "distilled to the nearest real", look, hover)
    x_title, y_title = "distance to the nearest window", "share of real windows (%)"
    return lay_out(figure, 280, x_title, y_title, xaxis={"rangemode": "tozero"}, bargap=0)


def tails(values: Mapping[str, Any]) -> go.Figure:
    """The share of bars that move further than so many deviations: distilled, real and normal, on a logarithmic axis.

    values: Analysed "facts": "returns", a sample of each in deviations of real ones, and "kurtosis", the excess.
    """
    figure, reach = go.Figure(), 4.0
    for arm, name, colour in _FACT_ARMS:
        if arm not in values:
            continue
        sizes = np.sort(np.abs(np.asarray(values[arm]["returns"], dtype=np.float64)))
        reach = max(reach, float(sizes.max(initial=0.0)))
        kurtosis = values[arm].get("kurtosis")
        called = f"{name}, kurtosis {NOTHING if kurtosis is None else f'{kurtosis:.1f}'.replace('-', '−')}"
        shares = 100 * np.arange(len(sizes), 0, -1) / max(1, len(sizes))
        hover = "more than %{x:.2f}: %{y:.3~g} %<extra>%{fullData.name}</extra>"
        line(figure, sizes, shares, called, PAGE.arm(colour), width=2, hover=hover, line={"shape": "vh"})
    places = np.linspace(0, min(reach, 4.0), 80)
    normal = [100 * math.erfc(place / math.sqrt(2)) for place in places]
    line(figure, places, normal, "normal, 0", PAGE.random_real, width=1.5, dash="dash")
    up = {"type": "log", "dtick": 1, "tickformat": "~g"}
    return lay_out(figure, 280, "move, in deviations of real ones", "bars that move more (%)", yaxis=up)


def autocorrelation(values: Mapping[str, Any], name: str) -> go.Figure:
    """Autocorrelation of returns, or of their squares, by lag, of distilled and of real bars.

    values: Analysed "facts". name: "acf_returns" or "acf_squared", a value per lag from 1. Whiskers: the 95 % range
    of equally many random real windows, if it is known.
    """
    figure = go.Figure()
    for arm, title, colour in _FACT_ARMS:
        if found := values.get(arm, {}).get(name):
            hover = f"{title}, lag %{{x}}: %{{y:.3f}}<extra></extra>"
            columns(figure, list(range(1, len(found) + 1)), list(found), title, PAGE.arm(colour), hover)
    if chance := values.get("chance"):
        low, high = (np.asarray(chance[side][name], dtype=np.float64) for side in ("low", "high"))
        whisker = {"type": "data", "array": (high - low) / 2, "color": PAGE.ink, "thickness": 1, "width": 4}
        more = {"showlegend": False, "hoverinfo": "skip", "error_y": whisker, "marker": {"size": 0.1, "opacity": 0}}
        x, y = np.arange(1, len(low) + 1), (low + high) / 2
        figure.add_scatter(x=x, y=y, name="random real windows", mode="markers", **more)
    across, up = {"dtick": 1}, {"zeroline": True, "zerolinewidth": 1.5}
    return lay_out(figure, 260, "lag (bars)", "autocorrelation", xaxis=across, yaxis=up, barmode="group", bargap=0.3)


def adaptation(values: Mapping[str, Any]) -> go.Figure:
    """The error on a new token by fine-tuning steps, of networks pre-trained on the distilled set and from scratch.

    values: Analysed "adaptation": "steps", "mean" and "std" of each of the "arms", and the "naive" error. Shaded: one
    standard deviation over students.
    """
    figure, steps = go.Figure(), np.asarray(values["steps"])
    is_share = values.get("metric", "rmse") == "rmse"
    scale, unit = (100, " %") if is_share else (1, "")
    shade: dict[str, Any] = {"width": 0.5, "opacity": 0.25, "fillcolor": "rgba(128,128,128,0.15)", "showlegend": False}
    distilled = ("distilled", "pre-trained on the distilled set", PAGE.distilled, "solid")
    for arm, name, colour, dash in (distilled, ("scratch", "from scratch", PAGE.full, "dash")):
        if arm not in values["arms"]:
            continue
        found = values["arms"][arm]
        mean, std = (scale * np.nan_to_num(np.asarray(found[part], dtype=np.float64)) for part in ("mean", "std"))
        line(figure, steps, mean + std, name, colour, **shade)
        line(figure, steps, mean - std, name, colour, fill="tonexty", **shade)
        hover = f"%{{y:.3f}} ± %{{customdata:.3f}}{unit}"
        look: dict[str, Any] = {"dash": dash, "has_markers": True, "marker": {"size": 6}, "customdata": std}
        line(figure, steps, mean, name, colour, hover=hover, **look)
    if values.get("naive") is not None:
        level = np.full(2, scale * values["naive"])
        line(figure, steps[[0, -1]], level, "naive forecast", PAGE.random_real, width=1.5, dash="dot")
    y_title = "test RMSE (%)" if is_share else "test log loss"
    return lay_out(figure, 320, "fine-tuning steps", y_title, hover="x unified", xaxis={"nticks": 8})
