"""What charts have in common: margins, legend, axes, lines, points, bars, maps and whiskers."""

import html
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from engine.evaluation.scores import Row
from engine.figures.palette import PAGE, SHADES

Values = Sequence[Any] | np.ndarray

STEPS: dict[str, Any] = {"tickformat": ",d", "nticks": 7}  # an axis of steps or epochs
LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}}
"""Above the chart, from the left."""
GROUPED: dict[str, Any] = {"barmode": "group", "bargap": 0.28, "bargroupgap": 0.08}
"""How bars of several sets stand side by side."""
WRITTEN = {"textposition": "inside", "insidetextanchor": "start"}  # where a bar's number is written: at its foot


def safe(text: str) -> str:
    """User text in a chart, escaped, as Plotly reads HTML."""
    return html.escape(text, quote=False)


def short(name: str, longest: int) -> str:
    """A class name in a chart, cut where it is too long."""
    return safe(name if len(name) <= longest else name[: longest - 1] + "…")


def lay_out(
    figure: go.Figure,
    height: int,
    x: str = "",
    y: str = "",
    *,
    legend: bool = True,
    hover: Literal["closest", "x unified"] = "closest",
    top: int | None = None,
    xaxis: dict[str, Any] | None = None,
    yaxis: dict[str, Any] | None = None,
    **more: Any,
) -> go.Figure:
    """Give a figure its size, axis titles and legend. top: margin; xaxis, yaxis, more: further settings."""
    margin = {"l": 4, "r": 8, "t": top if top is not None else 34 if legend else 8, "b": 4}
    across = {"title": {"text": safe(x)}, "showgrid": False, "automargin": True} | (xaxis or {})
    up = {"title": {"text": safe(y)}, "nticks": 6, "automargin": True} | (yaxis or {})
    settings: dict[str, Any] = {"height": height, "margin": margin, "showlegend": legend, "legend": LEGEND}
    settings |= {"dragmode": False, "hovermode": hover, "uirevision": "kept", "xaxis": across, "yaxis": up} | more
    for name, value in settings.items():
        if isinstance(value, dict):
            settings[name] = figure.layout[name].to_plotly_json() | value
    return figure.update_layout(settings, overwrite=True)  # merged above: plotly's own merging takes six times as long


def line(
    figure: go.Figure,
    x: Values,
    y: Values,
    name: str,
    colour: str,
    *,
    hover: str = "",
    width: float = 2.2,
    dash: str = "solid",
    has_markers: bool = False,
    **more: Any,
) -> None:
    """Add a line. hover: its text under the pointer, none if empty; more: of the trace."""
    text = {"hovertemplate": hover} if hover else {"hoverinfo": "skip"}
    stroke = {"color": colour, "width": width, "dash": dash, "simplify": False}
    look = {"line": stroke | more.pop("line", {}), "marker": {"size": 5} | more.pop("marker", {})}
    settings = text | look | {"mode": "lines+markers" if has_markers else "lines"} | more
    figure.add_scatter(x=x, y=y, name=name, **settings)


def dots(figure: go.Figure, x: Values, y: Values, name: str, look: dict[str, Any], hover: str, **more: Any) -> None:
    """Add points. look: of their marks; hover, more: as for `line`."""
    settings = {"mode": "markers", "cliponaxis": False, "marker": {"line": {"width": 0}} | look} | more
    figure.add_scatter(x=x, y=y, name=name, hovertemplate=hover, **settings)


def columns(figure: go.Figure, x: Values, y: Values, name: str, colour: str, hover: str, **more: Any) -> None:
    """Add bars. more: of the trace."""
    look = {"color": colour, "line": {"width": 0}}
    figure.add_bar(x=x, y=y, name=name, marker=look, hovertemplate=hover, **more)


def heat_map(
    x: Sequence[str], y: Sequence[str], shares: Sequence[Sequence[float | None]], hover: str, **more: Any
) -> go.Figure:
    """A map of shares with a text in each cell; None leaves a cell empty. shares: by `y`, then `x`."""
    z = [[None if share is None else 100 * share for share in line] for line in shares]
    ink = {"color": PAGE.ink} | more.pop("textfont", {})
    cells: dict[str, Any] = {"colorscale": SHADES, "xgap": 3, "ygap": 3, "showscale": False, "texttemplate": "%{text}"}
    return go.Figure(go.Heatmap(x=x, y=y, z=z, hovertemplate=hover, textfont=ink, **cells, **more))


def whiskers(rows: Sequence[Row], colour: str) -> dict[str, Any]:
    """Error bars of 95 % intervals, in per cent; zero for a single student."""
    up, down = ([row.high - row.mean for row in rows], [row.mean - row.low for row in rows])
    ends = {"array": 100 * np.nan_to_num(up), "arrayminus": 100 * np.nan_to_num(down)}
    return {"type": "data", "color": colour, "thickness": 1.5, "width": 5} | ends
