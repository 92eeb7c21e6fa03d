"""From scores of single students to what a table shows: mean, deviation, interval, and ratios to full data."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from engine.core.events import Scored

HEADLINE = "accuracy"
"""The metric by which students are compared."""
BALANCED = "balanced_accuracy"
"""The mean of the accuracies on each class; of labelled images where the classes are unbalanced."""
SKILL = "skill"
"""The same for forecasts: the share by which the error of a naive forecast is reduced; below 0 is worse."""
RANDOM = ("random_real", "random_samples")
"""The arms of random real data: of equal bytes, and as many samples."""
AS_DISTILLED, UNAUGMENTED, ORDINARY = "as_distilled", "unaugmented", "ordinary"
"""The protocols: a set's own training, the same without its augmentation, and standard training."""
LEARNED_RATE, EPOCHS = "standard_learned_rate", 1000
RECIPES = {"standard": "DC/DSA/MTT recipe", LEARNED_RATE: "DC/DSA/MTT recipe, learned rate", "frepo": "FRePo recipe"}
"""Published recipes by protocol, with their names; the first two train for EPOCHS passes. See `recipes`."""
LINEAR_PROBE, KNN, FINE_TUNE, SHORT_PROBE = "linear_probe", "knn", "fine_tune", "short_probe"
"""Those of representations: a linear classifier on frozen features, their nearest neighbours, fine-tuning of the whole
network, and a linear classifier after a short pre-training."""
COSINE, CKA = "cosine", "cka"
"""Metrics of similarity to a teacher."""
NAIVE = "naive"
"""The protocol of forecasts without a network."""
REAL_ARMS = ("random_real", "random_samples", "kmeans_real", "full")
"""Training sets of real samples."""


def after(num_steps: int | str) -> str:
    """The metric of a student after one of several measured lengths, "accuracy@300"."""
    return f"{HEADLINE}@{num_steps}"


def shortening(protocol: str) -> str:
    """What is left of a shortened recipe: "300 of 1,000 epochs" of "standard@30"; "" of any other protocol."""
    recipe, _, percent = protocol.partition("@")
    if not percent.isdigit():
        return ""
    if recipe == "frepo":
        return f"{percent} % of its steps"
    return f"{EPOCHS * int(percent) // 100:,} of {EPOCHS:,} epochs"


def on(source: str) -> str:
    """The metric of a pre-trained network on another source, "accuracy@mnist"."""
    return f"{HEADLINE}@{source}"


@dataclass(frozen=True)
class Row:
    """One arm under one protocol, over n students. Accuracies are fractions.

    std: the sample deviation (n - 1). (low, high): the 95 % interval of the mean by Student's t, within [0, 1] for an
    accuracy. All three are NaN for n = 1. seconds: mean training time per student.
    """

    arm: str
    protocol: str
    student: str
    metric: str
    mean: float
    std: float
    low: float
    high: float
    n: int
    seconds: float
    num_samples: int
    num_bytes: int
    recipe: str
    training: dict
    cached: bool


def summarise(scores: Iterable[Scored], split: str = "test") -> list[Row]:
    """A row per (arm, protocol, student, metric) of one split, in order of first appearance.

    Of a seed that was scored twice, the last score counts: a baseline is measured before a run and again after it.
    """
    groups: dict[tuple[str, ...], dict[int, Scored]] = {}
    for score in scores:
        if score.split == split:
            groups.setdefault((score.arm, score.protocol, score.student, score.metric), {})[score.seed] = score
    return [_row(list(group.values())) for group in groups.values()]


def _row(group: list[Scored]) -> Row:
    values = [score.value for score in group]
    n, mean = len(values), statistics.fmean(values)
    std = low = high = math.nan
    if n > 1:
        std = statistics.stdev(values, mean)
        half = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
        low, high = mean - half, mean + half
        if group[0].metric.partition("@")[0] in (HEADLINE, BALANCED):
            low, high = max(low, 0.0), min(high, 1.0)
    first = group[0]
    names = first.arm, first.protocol, first.student, first.metric
    seconds, cached = statistics.fmean(score.seconds for score in group), any(score.cached for score in group)
    size, recipe = (first.num_samples, first.num_bytes), (first.recipe, first.training)
    return Row(*names, mean, std, low, high, n, seconds, *size, *recipe, cached)


def best_by_arm(scores: Sequence[Scored], student: str, split: str = "test") -> dict[str, Row]:
    """{arm: its row of `split` under the protocol that was best on validation images} for one architecture.

    Each arm is shown at its best, and nothing is chosen on test images. Validation rows are of the measure that
    decides, see `judged`. For representations only linear probes count, which every arm has. Without validation scores
    a published recipe at full length counts; where there is none, real samples count with standard training, all others
    with their first protocol, a set's own training.
    """
    judges = judged(summarise(scores, "validation"))
    found = judges if split == "validation" else headlines(summarise(scores, split))
    rows = {(row.arm, row.protocol): row for row in found if row.student == student}
    if any(protocol == LINEAR_PROBE for _, protocol in rows):
        rows = {key: row for key, row in rows.items() if row.protocol == LINEAR_PROBE}
    tried = {(row.arm, row.protocol): row.mean for row in judges if row.student == student}
    best: dict[str, Row] = {}
    for arm in dict.fromkeys(arm for arm, _ in rows):
        mine = [key for key in rows if key[0] == arm]
        if tried.keys() >= set(mine):
            best[arm] = rows[max(mine, key=tried.__getitem__)]
        else:
            usual = (arm, ORDINARY) if arm in REAL_ARMS and (arm, ORDINARY) in rows else mine[0]
            best[arm] = rows[next((key for key in mine if key[1] in RECIPES), usual)]
    return best


def by_measure(scores: Sequence[Scored], student: str) -> dict[str, dict[str, Row]]:
    """{metric: {arm: test row}} of one architecture, each arm under the protocol that was best on validation data."""
    protocols = {arm: row.protocol for arm, row in best_by_arm(scores, student).items()}
    found: dict[str, dict[str, Row]] = {}
    for row in summarise(scores):
        if row.student == student and row.protocol == protocols.get(row.arm, row.protocol):
            found.setdefault(row.metric, {})[row.arm] = row
    return found


def headlines(rows: Iterable[Row]) -> list[Row]:
    """The rows of the final accuracy, or the skill, without other metrics."""
    return [row for row in rows if row.metric in (HEADLINE, SKILL)]


def judged(rows: Sequence[Row]) -> list[Row]:
    """The rows by which results are judged: `headlines`, or balanced accuracy where labelled classes are unbalanced."""
    is_balanced = {HEADLINE, BALANCED} <= {row.metric for row in rows}
    return [row for row in rows if row.metric == BALANCED] if is_balanced else headlines(rows)


def across(scores: Sequence[Scored]) -> dict[str, dict[str, Row]]:
    """{architecture: its `best_by_arm`}, in order of first appearance."""
    students = dict.fromkeys(score.student for score in scores if score.arm != "teacher")  # a teacher is no student
    return {student: best_by_arm(scores, student) for student in students}


def by_length(rows: Iterable[Row], student: str, protocol: str = AS_DISTILLED) -> dict[int, dict[str, Row]]:
    """{inner steps: {arm: row}} of one architecture measured after several lengths, shortest first."""
    found = _by_suffix((row for row in rows if row.student == student), protocol)
    return {num_steps: found[str(num_steps)] for num_steps in sorted(map(int, found))}


def transfers(rows: Iterable[Row], protocol: str = LINEAR_PROBE) -> dict[str, dict[str, Row]]:
    """{other source: {arm: row}}: linear probes of frozen features, or fine-tuned networks, on other data sets."""
    return _by_suffix(rows, protocol)


def _by_suffix(rows: Iterable[Row], protocol: str) -> dict[str, dict[str, Row]]:
    """{what stands after "accuracy@": {arm: row}} of one protocol."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        metric, at, suffix = row.metric.partition("@")
        if row.protocol == protocol and metric == HEADLINE and at:
            found.setdefault(suffix, {})[row.arm] = row
    return found


def likeness(rows: Iterable[Row]) -> dict[str, dict[str, Row]]:
    """{arm: {"cosine": row, "cka": row}}: similarity of a network's representations to its teacher's."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.metric in (COSINE, CKA):
            found.setdefault(row.arm, {})[row.metric] = row
    return found


def baselines(scores: Iterable[Scored], chosen: Callable[[Sequence[Row]], list[Row]] = headlines) -> dict[str, Row]:
    """{arm: row}, the live baselines: random real data of equal bytes, and as many samples, on validation images.

    With standard training; for representations, probed after a short pre-training. Empty before they are measured.
    chosen: `headlines`, or `judged` for what is held against scores that decide.
    """
    rows = chosen(summarise(scores, "validation"))
    return {row.arm: row for row in rows if row.arm in RANDOM and row.protocol in (ORDINARY, SHORT_PROBE)}
