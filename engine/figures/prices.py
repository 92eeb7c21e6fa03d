"""Price bars: candlesticks with volume, whole histories with their train, validation and test parts, and returns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from engine.data.prices.bars import Bars
from engine.data.prices.windows import PARTS, WindowSplits, part_bounds
from engine.figures.curves import log_ticks, thin
from engine.figures.layout import LEGEND, columns, lay_out, line, safe, ticked
from engine.figures.palette import PAGE

UP, DOWN = "#2F9E63", "#D0453E"
"""Of candles that close higher, drawn hollow, and lower, drawn filled; legible on light and dark ground."""
MANY_BARS = 400
"""Histories of more bars are drawn as a line of closes."""
GRID_ROW_HEIGHT = 230
NUM_VOLUMES = 250
"""Columns that the volumes of many bars are gathered into."""
NUM_BINS = 60
SHADES_OF = {
    "train": (PAGE.full, 0.18),
    "validation": (PAGE.kmeans_real, 0.22),
    "test": (PAGE.others[0], 0.28),
    "embargo": (PAGE.others[1], 0.55),
}
"""Colour and opacity of the parts of a history."""
Span = tuple[float, float]
"""From where to where, shares of the figure."""
_VOLUME_SHARE = 0.2
_GAP = 0.08
_GRID_LEFT, _GRID_ABOVE = 0.06, 0.24
"""Room for prices beside the next window, a share of the width; for a title above, a share of a row's height."""


@dataclass(frozen=True)
class HistoryPart:
    """A part of a history: "train", "validation", "test", or the "embargo" between two of them.

    first, last: unix seconds of its first and its last bar. num_bars: how many it has.
    """

    name: str
    first: int
    last: int
    num_bars: int


@dataclass(frozen=True)
class ReturnStatistics:
    """Of a token's log returns from close to close; kurtosis: the excess over that of a normal distribution."""

    mean: float
    deviation: float
    lowest: float
    highest: float
    kurtosis: float


def return_statistics(bars: Bars) -> ReturnStatistics:
    """What a table says of a token's returns."""
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


def window_samples(
    splits: WindowSplits, num_windows: int, seed: int = 0, token: int | None = None
) -> list[tuple[str, np.ndarray]]:
    """Random training windows, (token and date of the last bar, bars (T, 5)) each, the oldest first.

    token: of this one alone. Windows that are kept as returns begin after a close of 100.
    """
    train = splits.train
    mine = torch.arange(len(train)) if token is None else (train.tokens.cpu() == token).nonzero()[:, 0]
    order = torch.randperm(len(mine), generator=torch.Generator().manual_seed(seed))
    chosen = mine[order[:num_windows].sort().values]
    bars = splits.scaling.bars(train.inputs[chosen], train.tokens[chosen])
    ends = [date.item() for date in _dates(train.ends[chosen].numpy())]
    dates = [f"{end:%-d %b %Y}" if end.time() == time() else f"{end:%-d %b %Y %H:%M}" for end in ends]
    names = [splits.spec.class_names[number] for number in train.tokens[chosen].tolist()]
    return [(f"{name}, to {date}", each) for name, date, each in zip(names, dates, bars, strict=True)]


def candlesticks(bars: np.ndarray, *, title: str = "", height: int = 260, times: np.ndarray | None = None) -> go.Figure:
    """Candles, hollow and green where the close is above the open, filled and red elsewhere, and the volume below.

    bars: (T, 5) open, high, low, close, volume. times: (T,) unix seconds; bars are counted from 1 if None.
    """
    figure = go.Figure()
    _draw(figure, bars, times)
    _lay_out(figure, height, top=28 if title else 8)
    return _write(figure, title) if title else figure


def candle_grid(views: Sequence[tuple[str, np.ndarray]], columns: int = 3) -> go.Figure:
    """Several windows side by side, row by row, each with its volume and its own price axis.

    views: (title in plain text, bars (T, 5)) of each; at least one. Pages lay out `candlesticks` instead, for phones.
    """
    figure, columns = go.Figure(), max(1, min(columns, len(views)))
    rows = math.ceil(len(views) / columns)
    width, tall = 1 / columns, 1 / rows
    for number, (title, bars) in enumerate(views):
        row, column = divmod(number, columns)
        across = (column * width + (_GRID_LEFT if column else 0.0), (column + 1) * width)
        up = (1 - (row + 1) * tall, 1 - (row + _GRID_ABOVE) * tall)
        _draw(figure, bars, None, number, across, up, is_small=True)
        _write(figure, title, across[0], up[1])
    return _lay_out(figure, rows * GRID_ROW_HEIGHT, top=4)


def history(bars: Bars, parts: Sequence[HistoryPart] = (), *, log: bool = False) -> go.Figure:
    """All bars of a token over time with the parts of the split shaded: candles, or a line of closes for many bars.

    Volumes of many bars are means over stretches of time. log: logarithmic price axis.
    """
    figure = go.Figure()
    for part in parts:
        _shade(figure, part, bars.seconds)
    if len(bars) <= MANY_BARS:
        _draw(figure, bars.table, bars.times)
    else:
        times, closes = thin(bars.times, bars.prices[:, 3], 2 * MANY_BARS)
        hover = "%{x|%-d %b %Y}: %{y:,.5~r}<extra></extra>"
        line(figure, _dates(times), closes, "close", PAGE.ink, width=1.4, hover=hover, showlegend=False)
        _place(figure, _dates(_means(bars.times)), _means(bars.volume))
    _lay_out(figure, 420, top=34 if parts else 8).update_layout(showlegend=bool(parts), legend=LEGEND)
    return figure.update_layout(yaxis=ticked(log_ticks(bars.prices[:, 3]))) if log else figure


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
    return lay_out(figure, 280, title, "bars", top=30, xaxis={"nticks": 8}, yaxis=up, bargap=0)


def _draw(
    figure: go.Figure, bars: np.ndarray, times: np.ndarray | None, number: int = 0, *place: Span, is_small: bool = False
) -> None:
    """The candles of bars (T, 5) and the columns of their volume; number, place, is_small: as for `_place`."""
    x = np.arange(1, len(bars) + 1) if times is None else _dates(times)
    open_, high, low, close, volume = np.asarray(bars, dtype=np.float64).T
    rising = {"line": {"color": UP, "width": 1.2}, "fillcolor": "rgba(0,0,0,0)"}
    falling = {"line": {"color": DOWN, "width": 1.2}, "fillcolor": DOWN}
    values = {"open": open_, "high": high, "low": low, "close": close, "increasing": rising, "decreasing": falling}
    axes = {"xaxis": f"x{2 * number + 1}", "yaxis": f"y{2 * number + 1}"}
    figure.add_candlestick(x=x, name="", showlegend=False, whiskerwidth=0, **values, **axes)
    _place(figure, x, volume, number, *place, is_small=is_small, is_counted=times is None)


def _place(
    figure: go.Figure,
    x: np.ndarray,
    volume: np.ndarray,
    number: int = 0,
    across: Span = (0.0, 1.0),
    up: Span = (0.0, 1.0),
    *,
    is_small: bool = False,
    is_counted: bool = False,
) -> None:
    """Add volumes to the prices of a window and place its axes: time below, prices above, volume in the lowest fifth.

    number: of the window, from 0. across, up: its place, shares of the figure. Small windows have no axis titles.
    """
    prices, lower = 2 * number + 1, 2 * number + 2
    mark = _round_below(float(np.max(volume, initial=0.0)))
    kind = "s" if mark >= 1 else "g"  # "500m" of a half would be read as millions
    axes = {"xaxis": f"x{prices}", "yaxis": f"y{lower}", "showlegend": False}
    columns(figure, x, volume, "volume", PAGE.random_real, f"volume %{{y:,.3~{kind}}}<extra></extra>", **axes)
    (bottom, top), font = up, {"size": 10 if is_small else 12}
    edge = bottom + _VOLUME_SHARE * (top - bottom)
    shared = {"anchor": f"x{prices}", "automargin": True, "tickfont": font}
    dates: dict[str, Any] = {"rangeslider": {"visible": False}, "nticks": 7, "tickangle": 0}
    dates |= {"anchor": f"y{lower}", "domain": across, "tickfont": font, "automargin": True, "showgrid": False}
    money: dict[str, Any] = {
        "domain": (edge + _GAP * (top - bottom), top),
        "hoverformat": ",.5~r",
        "tickformat": ",.4~r",
    }
    money |= {"nticks": 4} if is_small else {"nticks": 6, "title": {"text": "price"}}
    ticks = {"tickvals": [0, mark], "tickformat": f".2~{kind}"}
    amount = shared | ticks | {"domain": (bottom, edge), "showgrid": False, "rangemode": "tozero"}
    figure.update_layout({f"xaxis{prices}": dates, f"yaxis{prices}": shared | money, f"yaxis{lower}": amount})
    if is_counted and not is_small:
        figure.update_layout({f"xaxis{prices}": {"title": {"text": "bar", "standoff": 2}}})
    if not is_small:
        _write(figure, "volume", across[0], edge, size=11, opacity=0.75)


def _round_below(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above a value; 0 of nothing."""
    if value <= 0:
        return 0.0
    decade = 10.0 ** math.floor(math.log10(value))
    return max((digit * decade for digit in (1, 2, 5) if digit * decade <= value), default=decade)


def _write(
    figure: go.Figure, text: str, x: float = 0.0, y: float = 1.0, *, size: int = 13, opacity: float = 1.0
) -> go.Figure:
    """A text above a place, from there to the right."""
    place = {"x": x, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    look = {"font": {"size": size}, "opacity": opacity, "showarrow": False}
    return figure.add_annotation(text=safe(text), **place, **look)


def _lay_out(figure: go.Figure, height: int, *, top: int) -> go.Figure:
    margin = {"l": 4, "r": 8, "t": top, "b": 4}
    plain: dict[str, Any] = {"showlegend": False, "dragmode": False, "uirevision": "kept"}
    return figure.update_layout(height=height, bargap=0.25, margin=margin, **plain)


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
