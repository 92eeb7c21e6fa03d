"""Price bars: candlesticks with volume, whole histories with their train, validation and test parts, and returns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

from engine.data.prices.bars import Bars
from engine.data.prices.windows import PARTS, WindowSplits, part_bounds
from engine.figures.curves import log_ticks, thin
from engine.figures.layout import LEGEND, lay_out, line, safe, ticked
from engine.figures.palette import PALETTES, Palette, Theme

UP, DOWN = "#2F9E63", "#D0453E"
"""Of candles that close higher, drawn hollow, and lower, drawn filled; legible on light and dark ground."""
MANY_BARS = 400
"""Histories of more bars are drawn as a line of closes."""
GRID_ROW_HEIGHT = 230
NUM_VOLUMES = 250
"""Columns that the volumes of many bars are gathered into."""
NUM_BINS = 60
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
    dates = [_said(date.item()) for date in _dates(train.ends[chosen].numpy())]
    names = [splits.spec.class_names[number] for number in train.tokens[chosen].tolist()]
    return [(f"{name}, to {date}", each) for name, date, each in zip(names, dates, bars, strict=True)]


def _said(date: datetime) -> str:
    """A date, with the time of day where that is not midnight."""
    return f"{date:%-d %b %Y}" if date.time() == time() else f"{date:%-d %b %Y %H:%M}"


@dataclass(frozen=True)
class _Panel:
    """Where candles and their volume go: numbers of the axes ("" for the first), and shares of the figure."""

    number: int
    across: tuple[float, float] = (0.0, 1.0)
    up: tuple[float, float] = (0.0, 1.0)

    @property
    def prices(self) -> str:
        return "" if self.number == 0 else str(2 * self.number + 1)

    @property
    def volume(self) -> str:
        return str(2 * self.number + 2)


def candlesticks(
    bars: np.ndarray, *, title: str = "", theme: Theme = "page", height: int = 260, times: np.ndarray | None = None
) -> go.Figure:
    """Candles, hollow and green where the close is above the open, filled and red elsewhere, and the volume below.

    bars: (T, 5) open, high, low, close, volume. times: (T,) unix seconds; bars are counted from 1 if None.
    """
    figure = go.Figure()
    _draw(figure, _Panel(0), np.asarray(bars, dtype=np.float64), times, PALETTES[theme])
    _lay_out(figure, height, top=28 if title else 8)
    if title:
        _write(figure, _Panel(0), title)
    return figure


def candle_grid(
    views: Sequence[tuple[str, np.ndarray]],
    *,
    columns: int = 3,
    theme: Theme = "page",
    row_height: int = GRID_ROW_HEIGHT,
) -> go.Figure:
    """Several windows side by side, row by row, each with its volume and its own price axis.

    views: (title in plain text, bars (T, 5)) of each; at least one. Pages lay out `candlesticks` instead, for phones.
    """
    figure = go.Figure()
    columns = max(1, min(columns, len(views)))
    rows = math.ceil(len(views) / columns)
    width, tall = 1 / columns, 1 / rows
    for number, (title, bars) in enumerate(views):
        row, column = divmod(number, columns)
        across = (column * width + (_GRID_LEFT if column else 0.0), (column + 1) * width)
        panel = _Panel(number, across, (1 - (row + 1) * tall, 1 - (row + _GRID_ABOVE) * tall))
        _draw(figure, panel, np.asarray(bars, dtype=np.float64), None, PALETTES[theme], is_small=True)
        _write(figure, panel, title)
    _lay_out(figure, rows * row_height, top=4)
    return figure


def history(
    bars: Bars, parts: Sequence[HistoryPart] = (), *, log: bool = False, theme: Theme = "page", height: int = 420
) -> go.Figure:
    """All bars of a token over time with the parts of the split shaded: candles, or a line of closes for many bars.

    Volumes of many bars are means over stretches of time. log: logarithmic price axis.
    """
    figure, colours, panel = go.Figure(), PALETTES[theme], _Panel(0)
    for part in parts:
        _shade(figure, part, bars.seconds, colours)
    if len(bars) <= MANY_BARS:
        _draw(figure, panel, bars.table, bars.times, colours)
    else:
        times, closes = thin(bars.times, bars.prices[:, 3], 2 * MANY_BARS)
        hover = "%{x|%-d %b %Y}: %{y:,.5~r}<extra></extra>"
        line(figure, _dates(times), closes, "close", colours.ink, width=1.4, hover=hover, showlegend=False)
        _add_volume(figure, panel, _dates(_means(bars.times)), _means(bars.volume), colours.random_real)
        _place(figure, panel)
    _lay_out(figure, height, top=34 if parts else 8)
    figure.update_layout(showlegend=bool(parts), legend=LEGEND)
    return figure.update_layout(yaxis=ticked(log_ticks(bars.prices[:, 3]))) if log else figure


def return_histogram(bars: Bars, *, theme: Theme = "page", height: int = 280) -> go.Figure:
    """How log returns of a token are spread, in per cent, beside a normal distribution of the same mean and deviation.

    The axis of counts is logarithmic: tails are what the two differ in.
    """
    colours, values = PALETTES[theme], 100 * np.diff(np.log(bars.prices[:, 3]))
    counts, edges = np.histogram(values, bins=NUM_BINS)
    centres, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    deviation = max(float(values.std()), 1e-12)
    normal = len(values) * width * np.exp(-0.5 * ((centres - values.mean()) / deviation) ** 2)
    normal /= deviation * math.sqrt(2 * math.pi)
    figure, look = go.Figure(), {"color": colours.full, "line": {"width": 0}}
    hover = "%{x:.2f} %: %{y:,d} bars<extra></extra>"
    figure.add_bar(x=centres, y=counts, width=width, name=safe(bars.token), marker=look, hovertemplate=hover)
    shown = normal > 0.5
    line(figure, centres[shown], normal[shown], "normal distribution", colours.distilled, width=2, dash="dash")
    ends = [math.log10(0.5), math.log10(2 * counts.max())]
    up = {"type": "log", "dtick": 1, "tickformat": ",d", "range": ends}
    title = "log return from close to close (%)"
    return lay_out(figure, height, title, "bars", top=30, xaxis={"nticks": 8}, yaxis=up, bargap=0)


def _draw(
    figure: go.Figure,
    panel: _Panel,
    bars: np.ndarray,
    times: np.ndarray | None,
    colours: Palette,
    is_small: bool = False,
) -> None:
    """The candles of bars (T, 5) and the columns of their volume."""
    x = np.arange(1, len(bars) + 1) if times is None else _dates(times)
    open_, high, low, close, volume = bars.T
    axes = {"xaxis": f"x{panel.prices}", "yaxis": f"y{panel.prices}"}
    figure.add_candlestick(
        x=x,
        open=open_,
        high=high,
        low=low,
        close=close,
        name="",
        showlegend=False,
        whiskerwidth=0,
        increasing={"line": {"color": UP, "width": 1.2}, "fillcolor": "rgba(0,0,0,0)"},
        decreasing={"line": {"color": DOWN, "width": 1.2}, "fillcolor": DOWN},
        **axes,
    )
    _add_volume(figure, panel, x, volume, colours.random_real)
    _place(figure, panel, is_small=is_small, is_counted=times is None)


def _add_volume(figure: go.Figure, panel: _Panel, x: np.ndarray, volume: np.ndarray, colour: str) -> None:
    mark = _round_below(float(np.max(volume, initial=0.0)))
    kind = "s" if mark >= 1 else "g"  # "500m" of a half would be read as millions
    look, axes = {"color": colour, "line": {"width": 0}}, {"xaxis": f"x{panel.prices}", "yaxis": f"y{panel.volume}"}
    hover = f"volume %{{y:,.3~{kind}}}<extra></extra>"
    figure.add_bar(x=x, y=volume, name="volume", showlegend=False, marker=look, hovertemplate=hover, **axes)
    figure.update_layout({f"yaxis{panel.volume}": {"tickvals": [0, mark], "tickformat": f".2~{kind}"}})


def _round_below(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above a value; 0 of nothing."""
    if value <= 0:
        return 0.0
    decade = 10.0 ** math.floor(math.log10(value))
    return max((digit * decade for digit in (1, 2, 5) if digit * decade <= value), default=decade)


def _place(figure: go.Figure, panel: _Panel, *, is_small: bool = False, is_counted: bool = False) -> None:
    """The panel's axes: time below, prices above, the volume in the lowest fifth. Small ones have no titles."""
    bottom, top = panel.up
    edge = bottom + _VOLUME_SHARE * (top - bottom)
    font = {"size": 10 if is_small else 12}
    shared = {"anchor": f"x{panel.prices}", "automargin": True, "tickfont": font}
    prices = {"domain": (edge + _GAP * (top - bottom), top), "hoverformat": ",.5~r", "tickformat": ",.4~r"}
    across = {"anchor": f"y{panel.volume}", "domain": panel.across, "tickfont": font, "automargin": True}
    across |= {"showgrid": False, "rangeslider": {"visible": False}, "nticks": 7, "tickangle": 0}
    if is_counted and not is_small:
        across["title"] = {"text": "bar", "standoff": 2}
    up = shared | prices | ({"nticks": 4} if is_small else {"nticks": 6, "title": {"text": "price"}})
    volume = shared | {"domain": (bottom, edge), "showgrid": False, "rangemode": "tozero"}
    axes = {f"xaxis{panel.prices}": across, f"yaxis{panel.prices}": up, f"yaxis{panel.volume}": volume}
    figure.update_layout(axes)
    if not is_small:
        _annotate(figure, "volume", panel.across[0], edge, font={"size": 11}, opacity=0.75)


def _write(figure: go.Figure, panel: _Panel, title: str) -> None:
    """What a panel shows, above it."""
    _annotate(figure, safe(title), panel.across[0], panel.up[1], font={"size": 13})


def _annotate(figure: go.Figure, text: str, x: float, y: float, **look: Any) -> None:
    place = {"x": x, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    figure.add_annotation(text=text, showarrow=False, **place, **look)


def _lay_out(figure: go.Figure, height: int, *, top: int) -> None:
    figure.update_layout(
        height=height,
        bargap=0.25,
        margin={"l": 4, "r": 8, "t": top, "b": 4},
        showlegend=False,
        dragmode=False,
        uirevision="kept",
    )


def _shade(figure: go.Figure, part: HistoryPart, seconds: int, colours: Palette) -> None:
    """A part behind the prices, from its first bar to the end of its last; each name once in the legend."""
    shades = {
        "train": (colours.full, 0.18),
        "validation": (colours.kmeans_real, 0.22),
        "test": (colours.others[0], 0.28),
        "embargo": (colours.others[1], 0.55),
    }
    colour, opacity = shades[part.name]
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
