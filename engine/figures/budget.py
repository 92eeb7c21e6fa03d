"""Accuracy against the bytes that a set is stored in, beside published results."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from engine.evaluation.scores import RANDOM, Row
from engine.figures.curves import log_ticks
from engine.figures.formats import num_bytes, percent
from engine.figures.layout import dots, lay_out, line, safe, whiskers
from engine.figures.palette import PAGE, arm_name, measure, protocol_words, spread

_MOST_TICKS = 5
_BESIDE = {"kmeans_real": "triangle-up", "random_real": "x", "random_samples": "cross", "start": "triangle-down"}
_BESIDE |= {"full": "star"}
FORMS = {
    "Poster": ("Distilled poster", "square"),
    "Synthetic images": ("Distilled images", "circle"),
    "Distilled sequences": ("Distilled sequences", "circle"),
}
"""What sets look like: their name in a legend, and their mark."""


@dataclass(frozen=True)
class Budgeted:
    """One run in a chart of accuracy against bytes.

    short: its label beside the point. name: its full name. form: what its set looks like, a key of `FORMS`. arms: its
    rows of scores by arm, under one protocol. widths: {bits per value: (bytes, validation score)}. bits: those in which
    it is stored.
    """

    short: str
    name: str
    form: str
    arms: Mapping[str, Row]
    widths: Mapping[int, tuple[int, float]] = field(default_factory=dict)
    bits: int = 0


@dataclass(frozen=True)
class Published:
    """One test accuracy that others published.

    ipc: images per class. value: a fraction. marks: how far to trust it. num_bytes: of the images, without labels.
    is_second_hand: read in somebody else's account, not in the authors' paper or code.
    """

    method: str
    ipc: float
    value: float
    marks: str
    num_bytes: int
    is_second_hand: bool


def accuracy_against_bytes(runs: Sequence[Budgeted], published: Sequence[Published] = ()) -> go.Figure:
    """Test accuracy, or skill, of each run's distilled set against the bytes it is stored in, with 95 % intervals.

    Posters are squares, whole images and sequences circles, starting sets and real samples small marks, the full data
    set a star, published results hollow.
    """
    figure, judged_by = go.Figure(), measure(row for run in runs for row in run.arms.values())
    for form, (title, symbol) in FORMS.items():
        _add(figure, title, [run for run in runs if run.form == form], "distilled", symbol)
    for arm, symbol in _BESIDE.items():
        _add(figure, arm_name(arm), runs, arm, symbol)
    for is_second_hand, symbol in ((True, "square-open"), (False, "diamond-open")):
        if found := [one for one in published if one.is_second_hand is is_second_hand]:
            x, y = [one.num_bytes for one in found], [100 * one.value for one in found]
            look = {"symbol": symbol, "size": 12, "color": PAGE.others[0], "line": {"width": 2}}
            told = [(f"{one.method}, {one.ipc:g} per class", percent(one.value), one.marks) for one in found]
            hover = "%{customdata[0]}: %{customdata[1]}<br>%{customdata[2]}<extra>%{fullData.name}</extra>"
            name = "Published, second-hand" if is_second_hand else "Published by its authors"
            dots(figure, x, y, name, look, hover, customdata=told)
    sizes = [size for trace in figure.data for size in trace.x]
    return lay_out(figure, 380, "bytes stored", f"test {judged_by} (%)", xaxis=_log_axis(sizes))


def bits_against_bytes(runs: Sequence[Budgeted], measured: str) -> go.Figure:
    """Validation scores of each run's set in several bits per value, against its bytes; the stored width is larger.

    Beside them random real data, whose rows in `arms` are of validation data too. measured: "accuracy" or "skill".
    """
    figure = go.Figure()
    colours = PAGE.runs if len(runs) > 1 else (PAGE.distilled,)
    for number, run in enumerate(runs):
        widths = sorted(run.widths.items())
        told = [(bits, percent(score), num_bytes(size)) for bits, (size, score) in widths]
        hover = "%{customdata[0]} bits per value: %{customdata[1]}, %{customdata[2]}<extra>%{fullData.name}</extra>"
        colour, text = colours[number % len(colours)], [f"{bits} bits" for bits, _ in widths]
        x, y = [size for _, (size, _) in widths], [100 * score for _, (_, score) in widths]
        marks = {"size": [13 if bits == run.bits else 7 for bits, _ in widths], "color": colour}
        more: dict[str, Any] = {
            "mode": "lines+markers+text",
            "text": text,
            "textposition": "top center",
            "cliponaxis": False,
        }
        line(figure, x, y, safe(run.name), colour, hover=hover, customdata=told, marker=marks, **more)
    for arm in RANDOM:
        _add(figure, arm_name(arm), runs, arm, _BESIDE[arm])
    sizes = [size for trace in figure.data for size in trace.x]
    return lay_out(figure, 320, "bytes stored", f"validation {measured} (%)", xaxis=_log_axis(sizes))


def _add(figure: go.Figure, title: str, runs: Sequence[Budgeted], arm: str, symbol: str) -> None:
    """The points of one training set with their intervals; distilled ones with the short names of their runs.

    Sets of unknown bytes, of the first versions, are left out.
    """
    found = [(run, run.arms[arm]) for run in runs if arm in run.arms and run.arms[arm].num_bytes]
    if not found:
        return
    rows, colour, is_main = [row for _, row in found], PAGE.arm(arm), arm == "distilled"
    x, y = [row.num_bytes for row in rows], [100 * row.mean for row in rows]
    told = [(safe(run.name), spread(row), num_bytes(row.num_bytes), protocol_words(row.protocol)) for run, row in found]
    hover = f"%{{customdata[0]}}<br>{title}: %{{customdata[1]}}, %{{customdata[2]}}, %{{customdata[3]}}<extra></extra>"
    look, more = {"symbol": symbol, "size": 12 if is_main else 8, "color": colour}, {}
    if is_main:
        ranks = np.argsort(np.argsort(y))  # names of neighbours stand on different sides
        sides = [("middle right", "middle left")[rank % 2] for rank in ranks]
        more = {"mode": "markers+text", "textposition": sides, "textfont": {"size": 12}}
        more["text"] = [safe(run.short) for run, _ in found]
    dots(figure, x, y, title, look, hover, error_y=whiskers(rows, colour), customdata=told, **more)


def _log_axis(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis of bytes, with room for what is written beside the outermost points."""
    if not values:
        return {"type": "log"}
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(0.08, 0.12 * (high - low))
    ends = (low - room, high + 2 * room)
    ticks = log_ticks(10.0 ** np.array(ends), least=3)
    ticks = ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]
    shown = {"tickvals": list(ticks), "ticktext": [_tick(tick) for tick in ticks], "tickangle": 0}
    return {"type": "log", "showgrid": True, "range": ends} | shown


def _tick(size: float) -> str:
    """Bytes without trailing zeros: "40 kB"."""
    amount, unit = num_bytes(size).split()
    return f"{float(amount):g} {unit}"
