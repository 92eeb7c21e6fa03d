"""Which step of the student came nearest to the expert, outer step by outer step."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from engine.figures.curves import Line, thin
from engine.figures.layout import lay_out, line
from engine.figures.palette import PALETTES, Theme

MAX_DOTS = 1000
SMALLEST_SPAN = 5


def matched_steps(measured: Line, num_steps: int, *, theme: Theme = "page", height: int = 300) -> go.Figure:
    """A dot for the chosen step of each outer step, their running median, and the last step as a dashed line.

    measured: "matched_step", 1..num_steps. num_steps: steps of the student on the synthetic images.
    """
    from scipy.ndimage import median_filter

    colours, figure = PALETTES[theme], go.Figure()
    steps, values = measured.steps, measured.values
    stride, dots = -(-len(steps) // MAX_DOTS), {"color": colours.distilled, "size": 4}
    x, y, hover = steps[::stride], values[::stride], "step %{y:.0f}"
    figure.add_scatter(x=x, y=y, mode="markers", name="each outer step", opacity=0.4, marker=dots, hovertemplate=hover)
    span = max(SMALLEST_SPAN, len(values) // 20) | 1
    if len(values) > span:
        x, y = thin(steps, median_filter(values, size=span, mode="mirror"))
        line(figure, x, y, f"median of {span}", colours.distilled, width=2.4, hover="median %{y:.0f}")
    ends, level = np.array([steps[0], steps[-1]]), np.full(2, num_steps)
    line(figure, ends, level, f"last step, {num_steps}", colours.random_real, width=1.6, dash="dash")
    up = {"range": [0, 1.06 * num_steps], "tickformat": ",d"}
    across = {"tickformat": ",d", "nticks": 7}
    return lay_out(figure, height, "outer step", "step of the student", hover="x unified", xaxis=across, yaxis=up)
