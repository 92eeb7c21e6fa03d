"""From scores of single students to what a table shows: mean, deviation, interval, and ratios against full data."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.stats import t as student_t

from engine.core.events import Scored

HEADLINE = "accuracy"
"""The metric of every student that is compared; others tell more of the same students."""
SKILL = "skill"
"""The same of forecasts: the share of a naive forecast's error that is taken off; 0 is no better, below 0 worse."""
AS_DISTILLED, UNAUGMENTED, ORDINARY = "as_distilled", "unaugmented", "ordinary"
"""The protocols: the training a set was made for, the same without its augmentation, and that of any data set."""
LINEAR_PROBE, KNN, FINE_TUNE, SHORT_PROBE = "linear_probe", "knn", "fine_tune", "short_probe"
"""Those of representations: a linear classifier of frozen features, their nearest neighbours, fine-tuning of the whole
network, and a linear classifier after a short pre-training."""
COSINE, CKA = "cosine", "cka"
"""Metrics of likeness to a teacher."""
NAIVE = "naive"
"""What stands for a protocol with forecasts that need no network."""


def after(num_steps: int | str) -> str:
    """The metric of a student after so many inner steps of several that were measured, "accuracy@300"."""
    return f"{HEADLINE}@{num_steps}"


def on(source: str) -> str:
    """The metric of frozen features on another source, "accuracy@mnist"."""
    return f"{HEADLINE}@{source}"


@dataclass(frozen=True)
class Row:
    """One arm under one protocol, over n students.

    std is the sample deviation (n - 1), (low, high) the 95 % interval of the mean by Student's t, within [0, 1] for
    an accuracy; all three are NaN for n = 1.
    seconds: mean training time of a student. Fractions for accuracies.
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
    """A row for each (arm, protocol, student, metric) of one split, in order of first appearance.

    A seed that was scored twice counts once, as it was last: a baseline is measured before a run and again after it.
    """
    groups: dict[tuple[str, ...], dict[int, Scored]] = {}
    for score in scores:
        if score.split == split:
            groups.setdefault((score.arm, score.protocol, score.student, score.metric), {})[score.seed] = score
    return [_row(list(group.values())) for group in groups.values()]


def _row(group: list[Scored]) -> Row:
    values = [score.value for score in group]
    n, mean = len(values), math.fsum(values) / len(values)
    std = low = high = math.nan
    if n > 1:
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
        half = float(student_t.ppf(0.975, n - 1)) * std / math.sqrt(n)
        low, high = mean - half, mean + half
        if group[0].metric.partition("@")[0] == HEADLINE:
            low, high = max(low, 0.0), min(high, 1.0)
    first = group[0]
    names = first.arm, first.protocol, first.student, first.metric
    seconds, cached = math.fsum(score.seconds for score in group) / n, any(score.cached for score in group)
    size, recipe = (first.num_samples, first.num_bytes), (first.recipe, first.training)
    return Row(*names, mean, std, low, high, n, seconds, *size, *recipe, cached)


def best_by_arm(scores: Sequence[Scored], student: str, split: str = "test") -> dict[str, Row]:
    """{arm: its row of `split` under the protocol that did best on validation images} for one architecture.

    What a headline may show: no arm is shown weaker than it is by the protocol of another, and no test image chooses.
    Training without augmentation is one of the protocols: all small arms of an architecture were tried so, or none.
    Of representations only linear probes count, which every arm has.
    Where an arm was not tried on validation images, by an earlier version, test accuracy decides.
    """
    found, judges = (headlines(summarise(scores, each)) for each in (split, "validation"))
    rows = {(row.arm, row.protocol): row for row in found if row.student == student}
    if any(protocol == LINEAR_PROBE for _, protocol in rows):
        rows = {key: row for key, row in rows.items() if row.protocol == LINEAR_PROBE}
    tried = {(row.arm, row.protocol): row.mean for row in judges if row.student == student}
    best: dict[str, Row] = {}
    for arm in dict.fromkeys(arm for arm, _ in rows):
        mine = [key for key in rows if key[0] == arm]
        judged = tried if all(key in tried for key in mine) else {key: rows[key].mean for key in mine}
        best[arm] = rows[max(mine, key=judged.__getitem__)]
    return best


def by_measure(scores: Sequence[Scored], student: str) -> dict[tuple[str, str], Row]:
    """{(arm, metric): test row} of one architecture, each arm under the protocol that did best on validation data."""
    protocols = {arm: row.protocol for arm, row in best_by_arm(scores, student).items()}
    return {
        (row.arm, row.metric): row
        for row in summarise(scores)
        if row.student == student and row.protocol == protocols.get(row.arm, row.protocol)
    }


def headlines(rows: Iterable[Row]) -> list[Row]:
    """The rows that are compared: the final accuracy, or the skill, and no other measure."""
    return [row for row in rows if row.metric in (HEADLINE, SKILL)]


def across(scores: Sequence[Scored]) -> dict[str, dict[str, Row]]:
    """{architecture: `best_by_arm` of it}, in order of first appearance: the matrix of architectures and arms."""
    students = dict.fromkeys(score.student for score in scores if score.arm != "teacher")  # a teacher is no student
    return {student: best_by_arm(scores, student) for student in students}


def by_length(rows: Iterable[Row], student: str, protocol: str = AS_DISTILLED) -> dict[int, dict[str, Row]]:
    """{inner steps: {arm: row}} of one architecture's students measured after several lengths, shortest first."""
    found: dict[int, dict[str, Row]] = {}
    for row in rows:
        if row.student == student and row.protocol == protocol and row.metric.startswith(after("")):
            found.setdefault(int(row.metric.removeprefix(after(""))), {})[row.arm] = row
    return dict(sorted(found.items()))


def transfers(rows: Iterable[Row]) -> dict[str, dict[str, Row]]:
    """{other source: {arm: row}}: linear probes of frozen features on data that nothing was pre-trained on."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.protocol == LINEAR_PROBE and row.metric.startswith(on("")):
            found.setdefault(row.metric.removeprefix(on("")), {})[row.arm] = row
    return found


def likeness(rows: Iterable[Row]) -> dict[str, dict[str, Row]]:
    """{arm: {"cosine": row, "cka": row}}: how alike a network's representations and its teacher's are."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.metric in (COSINE, CKA):
            found.setdefault(row.arm, {})[row.metric] = row
    return found


def baseline(scores: Iterable[Scored]) -> Row | None:
    """Random real data of the same size on validation images: what a live run is held against.

    Trained as ordinary data; of representations, probed after a short pre-training.
    """
    rows = headlines(summarise(scores, "validation"))
    return next((row for row in rows if row.arm == "random_real" and row.protocol in (ORDINARY, SHORT_PROBE)), None)


def against_full(rows: Iterable[Row], student: str) -> dict[str, dict[str, float]]:
    """{"retention": {protocol: distilled mean / full mean}, "speed_up": {protocol: full seconds / distilled seconds}}.

    The full set is held against the distilled one under the same protocol. As labelled data it is trained one way
    alone, as ordinary data, and both ways of training the distilled set are held against that. Empty without a full
    arm. Of forecasts, whose skill may be 0 or less, the retention is empty and "error_ratio" tells the mean squared
    error, or log loss of directions, as a multiple of that of the full set.
    """
    mine = [row for row in headlines(rows) if row.student == student]
    full = {row.protocol: row for row in mine if row.arm == "full"}
    result: dict[str, dict[str, float]] = {"retention": {}, "speed_up": {}}
    for row in mine:
        against = full.get(row.protocol, full.get(ORDINARY))
        if against is not None and row.arm == "distilled" and row.protocol != UNAUGMENTED:
            if row.metric == SKILL:  # both skills are measured against the same forecast's error
                result.setdefault("error_ratio", {})[row.protocol] = (1 - row.mean) / (1 - against.mean)
            else:
                result["retention"][row.protocol] = row.mean / against.mean
            result["speed_up"][row.protocol] = against.seconds / row.seconds
    return result
