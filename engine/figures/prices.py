"""Price bars: candlesticks with volume, whole histories with their train, validation and test parts, and returns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch

from engine.data.prices.bars import Bars
from engine.data.prices.windows import PARTS, WindowSplits, part_bounds
from engine.figures.curves import log_axis, thin
from engine.figures.layout import columns, lay_out, line, safe
from engine.figures.palette import PAGE

UP, DOWN = "#2F9E63", "#D0453E"  # legible on light and dark ground
MANY_BARS = 400  # histories of more bars are drawn as a line of closes
NUM_VOLUMES = 250  # columns that the volumes of many bars are averaged into
NUM_BINS = 60
VOLUME_SHARE = 0.2  # of the height
SHADES_OF = {
    "train": (PAGE.full, 0.18),
    "validation": (PAGE.kmeans_real, 0.22),
    "test": (PAGE.others[0], 0.28),
    "embargo": (PAGE.others[1], 0.55),
}
"""Colour and opacity of the parts of a history."""


@dataclass(frozen=True)
class HistoryPart:
    """A part of a history: "train", "validation", "test", or the "embargo" between two of them.

    first, last: unix seconds of its first and its last bar.
    """

    name: str
    first: int
    last: int
    num_bars: int


class ReturnStatistics(NamedTuple):
    """Statistics of a token's log returns from close to close; kurtosis: the excess over a normal distribution."""

    mean: float
    deviation: float
    lowest: float
    highest: float
    kurtosis: float


def return_statistics(bars: Bars) -> ReturnStatistics:
    """Statistics of a token's returns."""
    values = np.diff(np.log(bars.prices[:, 3]))
    deviation = float(values.std())
    kurtosis = float(((values - values.mean()) ** 4).mean() / deviation**4 - 3) if deviation else 0.0
    return ReturnStatistics(float(values.mean()), deviation, float(values.min()), float(values.max()), kurtosis)


def history_parts(bars: Bars, splits: WindowSplits) -> list[HistoryPart]:
    """How a token's history is split, oldest part first; `bars` is one of the histories the splits were made of."""
    bounds = part_bounds(bars, splits.borders, splits.config.embargo)
    found, end = [], 0
    for name in PARTS:
        first, stop = bounds[name]
        found += [("embargo", end, first), (name, first, stop)]
        end = stop
    return [
        HistoryPart(name, int(bars.times[first]), int(bars.times[stop - 1]), stop - first)
        for name, first, stop in found
        if stop > first
    ]


def window_samples(splits: WindowSplits, num_windows: int, seed: int, token: int) -> list[tuple[str, np.ndarray]]:
    """Random training windows of a token, (its name and the date of the last bar, bars (T, 5)) each, the oldest first.

    Windows that are kept as returns begin after a close of 100.
    """
    train = splits.train
    mine = (train.tokens.cpu() == token).nonzero()[:, 0]
    order = torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed))
    chosen = mine[order[:num_windows].sort().values]
    bars = splits.scaling.bars(train.inputs[chosen], train.tokens[chosen])
    ends = [date.item() for date in _dates(train.ends[chosen].numpy())]
    dates = [f"{end:%-d %b %Y}" if end.time() == time() else f"{end:%-d %b %Y %H:%M}" for end in ends]
    name = splits.spec.class_names[token]
    return [(f"{name}, to {date}", each) for date, each in zip(dates, bars, strict=True)]


def candles(bars: np.ndarray, *, title: str = "", height: int = 260) -> go.Figure:
    """Candles, hollow and green where the close is above the open, filled and red elsewhere, and the volume below.

    bars: (T, 5) open, high, low, close, volume.
    """
    figure = go.Figure()
    if title:
        _write(figure, title, 1.0, 13)
    _add_candles(figure, np.arange(1, len(bars) + 1), bars)
    return _lay_out(figure, height, "bar", legend=False, top=28 if title else 8)


def history(bars: Bars, parts: Sequence[HistoryPart] = (), *, log: bool = False) -> go.Figure:
    """All bars of a token over time with the parts of the split shaded: candles, or a line of closes for many bars.

    Volumes of many bars are means over stretches of time. log: logarithmic price axis.
    """
    figure = go.Figure()
    for part in parts:
        _shade(figure, part, bars.seconds)
    if len(bars) <= MANY_BARS:
        _add_candles(figure, _dates(bars.times), bars.table)
    else:
        times, closes = thin(bars.times, bars.prices[:, 3], 2 * MANY_BARS)
        hover = "%{x|%-d %b %Y}: %{y:,.5~r}<extra></extra>"
        line(figure, _dates(times), closes, "close", PAGE.ink, width=1.4, hover=hover, showlegend=False)
        _add_volume(figure, _dates(_means(bars.times)), _means(bars.volume))
    _lay_out(figure, 420, "", legend=bool(parts))
    return figure.update_layout(yaxis=log_axis(bars.prices[:, 3])) if log else figure


def return_histogram(bars: Bars) -> go.Figure:
    """How log returns of a token are spread, in per cent, beside a normal distribution of the same mean and deviation.

    The axis of counts is logarithmic: tails are what the two differ in.
    """
    figure, values = go.Figure(), 100 * np.diff(np.log(bars.prices[:, 3]))
    counts, edges = np.histogram(values, bins=NUM_BINS)
    centres, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    deviation = max(float(values.std()), 1e-12)
    normal = len(values) * width * np.exp(-0.5 * ((centres - values.mean()) / deviation) ** 2)
    normal /= deviation * math.sqrt(2 * math.pi)
    hover = "%{x:.2f} %: %{y:,d} bars<extra></extra>"
    columns(figure, centres, counts, safe(bars.token), PAGE.full, hover, width=width)
    shown = normal > 0.5
    line(figure, centres[shown], normal[shown], "normal distribution", PAGE.distilled, width=2, dash="dash")
    ends = [math.log10(0.5), math.log10(2 * counts.max())]
    up = {"type": "log", "dtick": 1, "tickformat": ",d", "range": ends}
    title = "log return from close to close (%)"
    return lay_out(figure, 280, title, "bars", xaxis={"nticks": 8}, yaxis=up, bargap=0)


def _add_candles(figure: go.Figure, x: np.ndarray, bars: np.ndarray) -> None:
    open_, high, low, close, volume = np.asarray(bars, dtype=np.float64).T
    rising = {"line": {"color": UP, "width": 1.2}, "fillcolor": "rgba(0,0,0,0)"}
    falling = {"line": {"color": DOWN, "width": 1.2}, "fillcolor": DOWN}
    values = {"open": open_, "high": high, "low": low, "close": close, "increasing": rising, "decreasing": falling}
    figure.add_candlestick(x=x, name="", showlegend=False, whiskerwidth=0, **values)
    _add_volume(figure, x, volume)


def _add_volume(figure: go.Figure, x: np.ndarray, volume: np.ndarray) -> None:
    """Columns below the prices, on an axis with one round mark above zero."""
    mark = _round_below(float(np.max(volume, initial=0.0)))
    kind = "s" if mark >= 1 else "g"  # "500m" of a half would be read as millions
    hover = f"volume %{{y:,.3~{kind}}}<extra></extra>"
    columns(figure, x, volume, "volume", PAGE.random_real, hover, yaxis="y2", showlegend=False)
    _write(figure, "volume", VOLUME_SHARE, 11, opacity=0.75)
    figure.update_layout(yaxis2={"tickvals": [0, mark], "tickformat": f".2~{kind}"})


def _lay_out(figure: go.Figure, height: int, x: str, *, legend: bool, top: int | None = None) -> go.Figure:
    """Time below, prices above, volumes in the lowest fifth. x: title of the axis of time."""
    dates: dict[str, Any] = {"anchor": "y2", "rangeslider": {"visible": False}, "nticks": 7, "tickangle": 0}
    dates["title"] = {"text": x, "standoff": 2}
    prices = {"domain": (VOLUME_SHARE + 0.08, 1), "hoverformat": ",.5~r", "tickformat": ",.4~r"}
    volumes = {"domain": (0, VOLUME_SHARE), "anchor": "x", "showgrid": False, "rangemode": "tozero", "automargin": True}
    axes: dict[str, Any] = {"xaxis": dates, "yaxis": prices, "yaxis2": volumes}
    return lay_out(figure, height, y="price", legend=legend, top=top, bargap=0.25, **axes)


def _round_below(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above a value; 0 of nothing."""
    if value <= 0:
        return 0.0
    decade = 10.0 ** math.floor(math.log10(value))
    return max((digit * decade for digit in (1, 2, 5) if digit * decade <= value), default=decade)


def _write(figure: go.Figure, text: str, y: float, size: int, opacity: float = 1.0) -> None:
    """A text above a height, from the left edge."""
    place = {"x": 0, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    figure.add_annotation(text=safe(text), font={"size": size}, opacity=opacity, showarrow=False, **place)


def _shade(figure: go.Figure, part: HistoryPart, seconds: int) -> None:
    """A part behind the prices, from its first bar to the end of its last; each name once in the legend."""
    colour, opacity = SHADES_OF[part.name]
    known: list[Any] = [shape.name for shape in figure.layout.shapes]
    first, last = _dates(np.array([part.first, part.last + seconds]))
    place = {"x0": first.item(), "x1": last.item(), "y0": 0, "y1": 1, "xref": "x", "yref": "paper", "layer": "below"}
    look = {"line": {"width": 0}, "fillcolor": colour, "opacity": opacity}
    figure.add_shape(type="rect", name=part.name, showlegend=part.name not in known, **place, **look)


def _dates(times: np.ndarray) -> np.ndarray:
    """Unix seconds as dates, UTC."""
    return np.asarray(times).astype(np.int64).astype("datetime64[s]")


def _means(values: np.ndarray) -> np.ndarray:
    """Means of about `NUM_VOLUMES` stretches of (n,) values in order."""
    return np.array([stretch.mean() for stretch in np.array_split(values, NUM_VOLUMES)])
