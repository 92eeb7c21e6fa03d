"""What follows from a comparison of forecasts: intervals of skill, the forecasts themselves, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from engine.data.prices.windows import WindowSplits
from engine.evaluation.forecasting import bootstrap
from engine.evaluation.forecasting.measures import (
    LAST_VALUE,
    TRAIN_MEAN,
    Forecast,
    Judge,
    has_skill,
    losses,
    mean_of,
    reference_of,
    skill,
)
from engine.evaluation.forecasting.naive import reference_in_words
from engine.evaluation.scores import SKILL
from engine.nets import STUDENTS

MOST_POINTS = 400
"""The latest test windows of a token whose forecasts are shown."""
SHOWN_DECIMALS = 6
TRAINED = ("distilled", "random_real", "kmeans_real", "full")
DRAWN = ("distilled", "random_real", "full", LAST_VALUE, TRAIN_MEAN)
"""Arms whose forecasts are shown beside what came true."""
Intervals = dict[str, dict[str, list[float]]]
"""{arm: {measure: [low, high]}}."""
AGAINST_RANDOM = "against_random_real"
"""An interval of the distilled set's: its skill less that of random real windows."""


class Student(Protocol):
    """A trained student's forecasts."""

    @property
    def validation(self) -> Forecast: ...

    @property
    def test(self) -> Forecast: ...


class Students(Protocol):
    """All students of an arm under one protocol."""

    @property
    def students(self) -> Sequence[Student]: ...

    @property
    def weights(self) -> Sequence[Tensor]: ...


@dataclass(frozen=True)
class Judged:
    """The best students of each arm with one architecture, and what validation and test windows are judged by."""

    judges: Mapping[str, Judge]
    best: dict[str, Students]


def judged(judges: Mapping[str, Judge], outcomes: Iterable[tuple[str, Students]]) -> Judged:
    """Of (arm, students) under any protocol, the protocol that did best on validation windows."""
    by_arm: dict[str, list[Students]] = {}
    for arm, students in outcomes:
        by_arm.setdefault(arm, []).append(students)
    judge = judges["validation"]
    best = {
        arm: max(found, key=lambda each: _mean(judge, [student.validation for student in each.students]))
        for arm, found in by_arm.items()
    }
    return Judged(judges, best)


def _mean(judge: Judge, forecasts: Sequence[Forecast]) -> float:
    return sum(skill(judge, each) for each in forecasts) / len(forecasts)


def mean_skills(found: Judged) -> dict[str, float]:
    """Of each trained arm: its mean skill on test windows."""
    judge = found.judges["test"]
    tests = {name: [each.test for each in found.best[name].students] for name in TRAINED if name in found.best}
    return {name: _mean(judge, forecasts) for name, forecasts in tests.items()}


def intervals_of(found: Judged, splits: WindowSplits) -> Intervals:
    """{arm: {"skill": [low, high]}} on test windows, and the distilled set's lead over random real windows."""
    judge, horizon, best = found.judges["test"], splits.config.horizon, found.best
    reference = losses(judge, judge.naive[reference_of(judge.task)])
    told = [name for name, arm in best.items() if name in TRAINED or has_skill(judge, arm.students[0].test)]
    each = [np.column_stack([losses(judge, student.test) for student in best[name].students]) for name in told]
    drawn = dict(zip(told, bootstrap.skills(each, reference, judge.ends, horizon).T, strict=True))
    intervals = {name: {SKILL: bootstrap.interval(values)} for name, values in drawn.items()}
    intervals["distilled"][AGAINST_RANDOM] = bootstrap.interval(drawn["distilled"] - drawn["random_real"])
    return intervals


def forecasts_shown(found: Judged, splits: WindowSplits) -> dict[str, Any]:
    """What came true in the test period and the mean forecast of each arm, by token, the latest windows."""
    judge = found.judges["test"]
    part = "up" if judge.task == "direction" else "move"
    drawn = [name for name in DRAWN if name in found.best]
    means = {name: mean_of([each.test for each in found.best[name].students]) for name in drawn}
    truth, closes = getattr(judge.truth, part), splits.test.anchors.cpu().numpy()

    def shown(values: np.ndarray, rows: np.ndarray) -> list[float]:
        return values[rows].round(SHOWN_DECIMALS).tolist()

    tokens = []
    for token, name in enumerate(judge.names):
        rows = np.flatnonzero(judge.tokens == token)[-MOST_POINTS:]
        arms = {arm: shown(getattr(mean, part), rows) for arm, mean in means.items()}
        known = {"times": judge.ends[rows].tolist(), "truth": shown(truth, rows), "closes": closes[rows].tolist()}
        tokens.append({"token": name, **known, "arms": arms})
    return {"tokens": tokens, "target": judge.task, "horizon": splits.config.horizon}


def verdict(
    intervals: Intervals, skills: dict[str, float], task: str, elsewhere: Mapping[str, Intervals] | None = None
) -> dict[str, Any]:
    """{"beats_naive": whether any trained arm's interval of skill lies above 0, "sentence": about the distilled set}.

    skills: of each trained arm on test windows. elsewhere: intervals of other architectures.
    """
    better = _above_zero(intervals)
    others = [name for name, found in (elsewhere or {}).items() if _above_zero(found)]
    naive = reference_in_words(task)
    mean, low, high = (_tenths(value) for value in (skills["distilled"], *intervals["distilled"][SKILL]))
    told = f"skill {mean} %, 95 % interval {low} to {high} %"
    if "distilled" in better:
        sentence = f"Students trained on the distilled set forecast better than {naive}: {told}."
    elif better:
        sentence = (
            f"Students trained on the distilled set do not forecast better than {naive}: {told}. "
            f"Trained on {_listed(better)} they do."
        )
    elif others:
        sentence = (
            f"Students trained on the distilled set do not forecast better than {naive}: {told}. "
            f"With another architecture, {' and '.join(STUDENTS[name].title for name in others)}, an arm does."
        )
    else:
        sentence = (
            f"Nothing here beats the naive forecast, {naive}: the intervals of skill of all trained arms reach 0 or "
            f"lie below it (distilled: {told}). Markets are close to unpredictable; do not take differences between "
            "these arms for an edge."
        )
    return {"beats_naive": bool(better or others), "sentence": f"{sentence} {_against_random(intervals)}"}


def _above_zero(intervals: Intervals) -> list[str]:
    """The trained arms whose whole interval of skill lies above 0."""
    return [name for name in TRAINED if name in intervals and intervals[name][SKILL][0] > 0]


def _tenths(fraction: float) -> str:
    """In per cent, with one decimal and a proper minus."""
    return f"{round(100 * fraction, 1) + 0.0:.1f}".replace("-", "−")


_NAMES = {"random_real": "random real windows", "kmeans_real": "k-means real windows", "full": "all windows"}


def _listed(names: Sequence[str]) -> str:
    *first, last = (_NAMES[name] for name in names)
    return f"{', '.join(first)} and {last}" if first else last


def _against_random(intervals: Intervals) -> str:
    """How the distilled set does beside random real windows, as a sentence."""
    low, high = intervals["distilled"][AGAINST_RANDOM]
    if low > 0:
        return "The distilled set teaches more than random real windows of equal number."
    if high < 0:
        return "The distilled set teaches less than random real windows of equal number."
    return "Whether the distilled set teaches more or less than random real windows of equal number cannot be told."
