"""Which step of the student came nearest to the expert, outer step by outer step."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from engine.figures.curves import Line, thin
from engine.figures.palette import PALETTES, Theme

MAX_DOTS = 1000
SMALLEST_SPAN = 5


def matched_steps(line: Line, num_steps: int, *, theme: Theme = "page", height: int = 300) -> go.Figure:
    """A dot for the chosen step of each outer step, their running median, and the steps there are as a dashed line.

    line: the measured "matched_step", 1..num_steps. num_steps: steps of the student on the synthetic images.
    """
    from scipy.ndimage import median_filter

    colours = PALETTES[theme]
    steps, values = line.steps, line.values
    stride = -(-len(steps) // MAX_DOTS)
    figure = go.Figure()
    figure.add_scatter(
        x=steps[::stride], y=values[::stride], mode="markers", name="each outer step", opacity=0.4,
        marker={"color": colours.distilled, "size": 4}, hovertemplate="step %{y:.0f}",
    )  # fmt: skip
    span = max(SMALLEST_SPAN, len(values) // 20) | 1
    if len(values) > span:
        x, y = thin(steps, median_filter(values, size=span, mode="mirror"))
        figure.add_scatter(
            x=x, y=y, mode="lines", name=f"median of {span}", line={"color": colours.distilled, "width": 2.4},
            hovertemplate="median %{y:.0f}",
        )  # fmt: skip
    ends = np.array([steps[0], steps[-1]])
    figure.add_scatter(
        x=ends, y=np.full(2, num_steps), mode="lines", name=f"last step, {num_steps}",
        line={"color": colours.random_real, "width": 1.6, "dash": "dash"}, hoverinfo="skip",
    )  # fmt: skip
    figure.update_layout(
        height=height,
        margin={"l": 4, "r": 8, "t": 30, "b": 4},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        xaxis={"title": {"text": "outer step"}, "tickformat": ",d", "showgrid": False, "nticks": 7, "automargin": True},
        yaxis={"title": {"text": "step of the student"}, "range": [0, 1.06 * num_steps], "tickformat": ",d", "nticks": 6, "automargin": True},
        hovermode="x unified",
        dragmode=False,
        uirevision="kept",
    )  # fmt: skip
    return figure
