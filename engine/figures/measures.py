"""Measures of forecasts as people read them."""

from __future__ import annotations

import math

from engine.evaluation.scores import SKILL, Row
from engine.figures.formats import NOTHING

MEASURES = {
    SKILL: "Skill",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "skill_last_value": "Skill against last value",
    "hit_rate": "Hit rate",
    "balanced_accuracy": "Balanced accuracy",
    "mcc": "MCC",
}
"""In the order they are shown, and what they are called."""
PLAIN_MEASURES = ("r2", "mcc")
"""Those that are no shares of a hundred."""
_FINE = ("mae", "rmse")
"""Those that differ in thousandths of a per cent."""


def measured(row: Row | None, metric: str, unit: str = " %") -> str:
    """A measure with its deviation over students, in enough digits to tell forecasts apart. unit: of percentages."""
    if row is None or math.isnan(row.mean):
        return NOTHING
    scale, digits = (1, 3) if metric in PLAIN_MEASURES else (100, 3 if metric in _FINE else 2)
    spread = "" if row.n < 2 or math.isnan(row.std) else f" ± {scale * row.std:.{digits}f}"
    behind = "" if metric in PLAIN_MEASURES else unit
    return f"{round(scale * row.mean, digits) + 0.0:.{digits}f}{spread}{behind}".replace("-", "−")
