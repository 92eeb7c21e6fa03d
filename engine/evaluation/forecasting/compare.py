"""Distilled windows against real ones of equal number, drawn at random or by k-means, against all windows, and against no network at all.

Everything is chosen on validation windows; test windows choose nothing. Real arms depend on nothing a run learns, so what their
students say of validation and test windows is cached by everything they do depend on.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from engine.core.config import EvaluationConfig, StudentConfig
from engine.core.context import Context
from engine.core.events import Analysed, Event, Progress, Warned
from engine.data.prices.windows import WindowSplits
from engine.evaluation import bench as benches
from engine.evaluation.compare import architectures
from engine.evaluation.forecasting import arms, bootstrap
from engine.evaluation.forecasting.adaptation import adapt
from engine.evaluation.forecasting.arms import Lab, Outcome
from engine.evaluation.forecasting.draws import DRAWS
from engine.evaluation.forecasting.facts import facts
from engine.evaluation.forecasting.measures import LAST_VALUE, TRAIN_MEAN, has_skill, losses, reference_of, skill
from engine.evaluation.forecasting.naive import reference_in_words
from engine.evaluation.forecasting.privacy import privacy
from engine.evaluation.scores import AS_DISTILLED, ORDINARY, SKILL
from engine.nets import STUDENTS
from engine.synthetic.base import SyntheticSet

PROTOCOLS = (AS_DISTILLED, ORDINARY)
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


@dataclass(frozen=True)
class Judged:
    """The best outcome of each arm with one architecture, and the intervals of their test skills."""

    lab: Lab
    best: dict[str, Outcome]
    intervals: Intervals


def compare_forecasts(
    synthetic: SyntheticSet,
    splits: WindowSplits,
    student_config: StudentConfig,
    evaluation: EvaluationConfig,
    context: Context,
    others: Mapping[str, WindowSplits],
) -> Generator[Event, None, None]:
    """Train students on every arm: yield Scored for validation and test windows, Progress between, and what is found out as Analysed.

    All architectures of `evaluation.students` are trained on all windows too: these networks are small.

    Args:
        synthetic: a set of windows that knows the token of each, `tokens` (M,).
        others: splits of other sources by key, windowed alike, for adaptation.
    """
    judged: dict[str, Judged] = {}
    for config in architectures(student_config, evaluation):
        lab = _lab(splits, config, evaluation, context, is_own=config == student_config)
        outcomes = yield from _outcomes(lab, synthetic)
        best = {name: _best(lab, outcomes, name) for name in dict.fromkeys(each.arm.name for each in outcomes)}
        judged[config.name] = Judged(lab, best, _intervals(lab, best))
    own = judged[student_config.name]
    yield Analysed("intervals", {name: each.intervals for name, each in judged.items()})
    yield Analysed("forecasts", _forecasts(own))
    elsewhere = {name: each.intervals for name, each in judged.items() if name != student_config.name}
    yield Analysed("verdict", verdict(own.intervals, _skills(own), splits.spec.task, elsewhere))
    yield Progress("measure what the distilled windows give away", 0, 2)
    yield Analysed("privacy", privacy(synthetic, splits))
    yield Progress("measure what the distilled windows give away", 1, 2)
    yield Analysed("facts", facts(synthetic, splits))
    yield from _adapted(own, others)


def random_on_validation(
    splits: WindowSplits,
    counts: Sequence[int],
    student_config: StudentConfig,
    evaluation: EvaluationConfig,
    context: Context,
) -> Generator[Event, None, None]:
    """Scores on validation windows of random real ones as ordinary data: what a run is held against along the way.

    counts: windows of each token. The comparison with the same `evaluation` finds them in the cache.
    """
    lab = _lab(splits, student_config, evaluation, context, is_own=True)
    outcome = yield from arms.ordinary_real(lab, "random_real", counts)
    yield from arms.scores(lab, outcome, ("validation",))


def windows_per_token(synthetic: SyntheticSet) -> list[int]:
    """How many sequences the set has of each token: as many real windows stand against them."""
    return torch.bincount(synthetic.tokens.cpu(), minlength=len(synthetic.spec.class_names)).tolist()


def _lab(
    splits: WindowSplits,
    config: StudentConfig,
    evaluation: EvaluationConfig,
    context: Context,
    *,
    is_own: bool,
) -> Lab:
    """A lab that measures other architectures on all windows too."""
    bench = benches.make_bench(splits, config, evaluation, context)
    return arms.make_lab(replace(bench, is_own=is_own))


def _outcomes(lab: Lab, synthetic: SyntheticSet) -> Generator[Event, None, list[Outcome]]:
    """Every arm of an architecture, scored as it is done."""
    found, counts = [], windows_per_token(synthetic)
    plans = [arms.distilled(lab, synthetic, protocol) for protocol in PROTOCOLS]
    plans += [arms.real(lab, name, synthetic, counts, protocol) for name in DRAWS for protocol in PROTOCOLS]
    if lab.bench.evaluation.compare_full:
        plans.append(arms.full(lab))
    for plan in plans:
        found.append((yield from plan))
        yield from arms.scores(lab, found[-1])
    for outcome in arms.naive(lab):
        found.append(outcome)
        yield from arms.scores(lab, outcome)
    return found


def _best(lab: Lab, outcomes: Sequence[Outcome], name: str) -> Outcome:
    """The outcome of an arm under the protocol that did best on validation windows."""
    mine = [outcome for outcome in outcomes if outcome.arm.name == name]
    return max(mine, key=lambda outcome: _mean_skill(lab, outcome, "validation"))


def _mean_skill(lab: Lab, outcome: Outcome, part: str) -> float:
    values = [skill(getattr(lab, part), getattr(student, part)) for student in outcome.students]
    return sum(values) / len(values)


def _skills(judged: Judged) -> dict[str, float]:
    """Of each trained arm: its mean skill on test windows."""
    return {name: _mean_skill(judged.lab, judged.best[name], "test") for name in TRAINED if name in judged.best}


def _intervals(lab: Lab, best: dict[str, Outcome]) -> Intervals:
    """{arm: {"skill": [low, high]}} of test windows, and what sets the distilled ones apart from random real ones."""
    judge, horizon = lab.test, lab.splits.config.horizon
    reference = losses(judge, judge.naive[reference_of(judge.task)])
    told = [name for name, outcome in best.items() if name in TRAINED or has_skill(judge, outcome.students[0].test)]
    each = [np.column_stack([losses(judge, student.test) for student in best[name].students]) for name in told]
    drawn = dict(zip(told, bootstrap.skills(each, reference, judge.ends, horizon).T, strict=True))
    found = {name: {SKILL: bootstrap.interval(values)} for name, values in drawn.items()}
    found["distilled"][AGAINST_RANDOM] = bootstrap.interval(drawn["distilled"] - drawn["random_real"])
    return found


def _forecasts(judged: Judged) -> dict[str, Any]:
    """What came true in the test period and what was said of it, of each token, the latest windows."""
    judge, splits = judged.lab.test, judged.lab.splits
    part = "up" if judge.task == "direction" else "move"
    said = {name: getattr(judged.best[name].mean("test"), part) for name in DRAWN if name in judged.best}
    truth, closes = getattr(judge.truth, part), splits.test.anchors.cpu().numpy()

    def shown(values: np.ndarray, rows: np.ndarray) -> list[float]:
        return values[rows].round(SHOWN_DECIMALS).tolist()

    tokens = []
    for token, name in enumerate(judge.names):
        rows = np.flatnonzero(judge.tokens == token)[-MOST_POINTS:]
        tokens.append(
            {
                "token": name,
                "times": judge.ends[rows].tolist(),
                "truth": shown(truth, rows),
                "closes": closes[rows].tolist(),
                "arms": {arm: shown(values, rows) for arm, values in said.items()},
            }
        )
    return {"tokens": tokens, "target": judge.task, "horizon": splits.config.horizon}


def verdict(
    intervals: Intervals, skills: dict[str, float], task: str, elsewhere: Mapping[str, Intervals] | None = None
) -> dict[str, Any]:
    """{"beats_naive": whether any trained arm's interval of skill lies above 0, "sentence": the same of the distilled set, plainly}.

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
        sentence = f"Students trained on the distilled set do not forecast better than {naive}: {told}. Trained on {_listed(better)} they do."
    elif others:
        sentence = (
            f"Students trained on the distilled set do not forecast better than {naive}: {told}. "
            f"With another architecture, {' and '.join(STUDENTS[name].title for name in others)}, an arm does."
        )
    else:
        sentence = (
            f"Nothing here beats the naive forecast, {naive}: the intervals of skill of all trained arms reach 0 or lie below it "
            f"(distilled: {told}). Markets are close to unpredictable; do not take differences between these arms for an edge."
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


def _adapted(own: Judged, others: Mapping[str, WindowSplits]) -> Generator[Event, None, None]:
    """Adaptation to every other source that is windowed alike."""
    lab, trained = own.lab, own.best["distilled"].weights
    spec, config = lab.splits.spec, lab.splits.config
    starts = {"distilled": trained, "scratch": [lab.bench.start(f"scratch {seed}") for seed in range(len(trained))]}
    for number, (key, other) in enumerate(others.items()):
        if (other.spec.sample_shape, other.spec.task) != (spec.sample_shape, spec.task) or other.config != config:
            yield Warned(
                f"{other.title} was not adapted to: its windows are made otherwise than those of this run. "
                "A student that is told the token can adapt to sources of as many tokens alone.",
                level="note",
            )
            continue
        found = yield from adapt(lab.bench, other, starts)
        yield Analysed("adaptation" if not number else f"adaptation:{key}", found)
