"""Results of a comparison of forecasts: confidence intervals of skill, the forecasts, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PlainValidator
from torch import Tensor

from engine.data.prices.windows import WindowSplits
from engine.evaluation.forecasting import bootstrap
from engine.evaluation.forecasting.draws import WORDS
from engine.evaluation.forecasting.measures import LAST_VALUE, TRAIN_MEAN, Forecast, Judge, losses, mean_of, skill
from engine.evaluation.forecasting.naive import reference_in_words
from engine.evaluation.plan import SAMPLES, START
from engine.evaluation.scores import SKILL
from engine.nets import STUDENTS

MOST_POINTS = 400
"""Test windows per token whose forecasts are shown, the latest ones."""
SHOWN_DECIMALS = 6
TRAINED = ("distilled", "random_real", SAMPLES, "kmeans_real", START, "full")
DRAWN = ("distilled", "random_real", "full", LAST_VALUE, TRAIN_MEAN)
"""Arms whose forecasts are shown beside the truth."""
Intervals = dict[str, dict[str, list[float]]]
"""{arm: {measure: [low, high]}}."""
AGAINST = {
    "random_real": ("against_random_real", "random real windows of equal bytes"),
    SAMPLES: ("against_random_samples", "as many random real windows"),
}
"""{arm: (the interval of the distilled set's skill minus that of these windows, what they are)}."""


@dataclass(frozen=True, eq=False)
class Trained:
    """One student: its forecasts of validation and test windows, and the seconds of training alone."""

    validation: Forecast
    test: Forecast
    seconds: float


@dataclass(frozen=True, eq=False)
class Cohort:
    """The students of an arm, after the `num_steps` that were best on validation windows.

    skill: their mean on validation windows. students: none where a rate was tried. weights: (P,) of each student of
    the distilled set, not cached; empty for the other arms.
    """

    num_steps: int
    skill: float
    students: tuple[Trained, ...] = ()
    weights: Annotated[tuple[Tensor, ...], PlainValidator(tuple), Field(exclude=True)] = ()


Best = Mapping[str, Cohort]
"""The students of each arm with one architecture, under the protocol that did best on validation windows."""


def best_of(judge: Judge, outcomes: Iterable[tuple[str, Cohort]]) -> Best:
    """The best of (arm, students) under any protocol, by a judge of validation windows."""
    found: dict[str, tuple[float, Cohort]] = {}
    for arm, cohort in outcomes:
        mean = _mean(judge, [student.validation for student in cohort.students])
        if arm not in found or mean > found[arm][0]:
            found[arm] = mean, cohort
    return {arm: cohort for arm, (_, cohort) in found.items()}


def _mean(judge: Judge, forecasts: Sequence[Forecast]) -> float:
    return sum(skill(judge, each) for each in forecasts) / len(forecasts)


def mean_skills(best: Best, judge: Judge) -> dict[str, float]:
    """Mean skill of each trained arm, by a judge of test windows."""
    return {arm: _mean(judge, [each.test for each in best[arm].students]) for arm in TRAINED if arm in best}


def intervals_of(best: Best, judge: Judge, horizon: int) -> Intervals:
    """{arm: {"skill": [low, high]}} on test windows, with the distilled set's lead over each kind of random windows."""
    reference = losses(judge, judge.reference)
    told = [name for name, arm in best.items() if name in TRAINED or judge.has_skill(arm.students[0].test)]
    each = [np.column_stack([losses(judge, student.test) for student in best[name].students]) for name in told]
    drawn = dict(zip(told, bootstrap.skills(each, reference, judge.ends, horizon).T, strict=True))
    intervals = {name: {SKILL: bootstrap.interval(values)} for name, values in drawn.items()}
    for arm, (lead, _) in AGAINST.items():
        intervals["distilled"][lead] = bootstrap.interval(drawn["distilled"] - drawn[arm])
    return intervals


def forecasts_shown(best: Best, judge: Judge, splits: WindowSplits) -> dict[str, Any]:
    """The truth and the mean forecast of each arm for the latest test windows of each token."""
    part = "up" if judge.task == "direction" else "move"
    means = {arm: mean_of([each.test for each in best[arm].students]) for arm in DRAWN if arm in best}
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
    subject = "Students trained on the distilled set"
    sentence = f"{subject} do not forecast better than {naive}: {told}."
    if "distilled" in better:
        sentence = f"{subject} forecast better than {naive}: {told}."
    elif better:
        sentence += f" Those trained on {_listed(better)} do."
    elif others:
        sentence += f" With another architecture ({' and '.join(STUDENTS[name].title for name in others)}) some do."
    else:
        sentence = (
            f"Nothing here beats the naive forecast, {naive}: no interval of skill lies above 0 (distilled: {told})."
        )
        sentence += " Markets are close to unpredictable; differences between these training sets are likely noise."
    return {"beats_naive": bool(better or others), "sentence": f"{sentence} {_against_random(intervals)}"}


def _above_zero(intervals: Intervals) -> list[str]:
    """The trained arms whose interval of skill lies above 0."""
    return [name for name in TRAINED if name in intervals and intervals[name][SKILL][0] > 0]


def _tenths(fraction: float) -> str:
    """In per cent, with one decimal and a typographic minus."""
    return f"{round(100 * fraction, 1) + 0.0:.1f}".replace("-", "−")


def _listed(names: Sequence[str]) -> str:
    *first, last = ("all windows" if name == "full" else WORDS[name] for name in names)
    return f"{', '.join(first)} and {last}" if first else last


def _against_random(intervals: Intervals) -> str:
    """The distilled set compared with both kinds of random real windows, in a sentence or two."""
    found: dict[str, list[str]] = {}
    for lead, windows in AGAINST.values():
        low, high = intervals["distilled"][lead]
        how = "neither clearly better nor clearly worse" if low <= 0 <= high else "better" if low > 0 else "worse"
        found.setdefault(how, []).append(windows)
    return " ".join(
        f"The distilled set is {how} training data than {' or '.join(what)}." for how, what in found.items()
    )
