"""Benchmark scores beside accuracy: how much of it is due to the images, not to soft labels or augmentation.

Accuracies are fractions, means over the students of the architecture that the set was distilled for. With
    HLR = acc(full set, hard labels) - acc(distilled, hard labels)
    IOR = acc(distilled) - acc(random real images of equal bytes), both trained alike
    LRS = s(w IOR - (1 - w) HLR)
    ARS = s(g IOR(augmented) + (1 - g) IOR(not augmented))
    s(x) = (e^x - e^-1) / (e - e^-1), which is 0 at x = -1 and 1 at x = 1; w = g = 1/2

Source: Li et al. 2025, DD-Ranking, arXiv:2505.13300, and its documentation. Where we differ: random images are as many
as fit into the bytes of the set; the published code takes as many as the set has. They keep hard labels even beside a
set with soft ones; the published code lets a teacher label them. "Trained alike": by the protocol that is best for the
distilled set on validation images, each set at its own learning rate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.events import Scored
from engine.evaluation.scores import AS_DISTILLED, UNAUGMENTED, Row, best_by_arm, headlines, summarise

LACKS_UNAUGMENTED = (
    "Evaluate the result again with 'Also without augmentation'. Only sets made for augmented random batches have this "
    "score."
)


@dataclass(frozen=True)
class FieldNumber:
    """A benchmark score: its title, meaning and value as a fraction, or (`lack`) how to get it measured.

    is_score: between 0 and 1, like the robust scores; else a difference of two accuracies.
    """

    key: str
    title: str
    meaning: str
    value: float | None
    lack: str = ""
    is_score: bool = False


def about_labels(labels: str) -> str:
    """A note on the scores of a set with "hard" or "soft" labels; "" if that is not known."""
    soft = " Random images keep hard labels, so its improvement includes the effect of soft labels."
    return f" This set has {labels} labels.{soft if labels == 'soft' else ''}" if labels else ""


def mapped(x: float) -> float:
    """The published map s from a difference in [-1, 1] to a score in [0, 1]."""
    return (math.exp(x) - math.exp(-1)) / (math.e - math.exp(-1))


NEUTRAL = mapped(0.0)
"""The score of a set that is as good as random images and loses nothing against the full set."""


def ranking(scores: Sequence[Scored], student: str, labels: str = "") -> list[FieldNumber]:
    """The four benchmark scores of a result with its own architecture, in the order they are shown.

    labels: "hard" or "soft", of the distilled set; "" if that is not known.
    """
    best = best_by_arm(scores, student)
    rows = {(row.arm, row.protocol): row for row in headlines(summarise(scores)) if row.student == student}
    distilled = best.get("distilled")
    protocol = distilled.protocol if distilled is not None else ""
    recovery = _minus(best.get("full"), best.get("distilled_hard") if labels == "soft" else distilled)
    improvement = _minus(distilled, rows.get(("random_real", protocol)))
    augmented, unaugmented = (
        _minus(rows.get(("distilled", way)), rows.get(("random_real", way))) for way in (AS_DISTILLED, UNAUGMENTED)
    )
    if not labels:
        recovery = None
    no_recovery = _lack_of_recovery(best, labels) if recovery is None else ""
    no_random = "The distilled set and random real images were not both scored." if improvement is None else ""
    no_plain = LACKS_UNAUGMENTED if augmented is None or unaugmented is None else ""
    of_labels = None if improvement is None or recovery is None else mapped((improvement - recovery) / 2)
    of_both = None if augmented is None or unaugmented is None else mapped((augmented + unaugmented) / 2)
    kind, worthless = "its soft labels made hard" if labels == "soft" else "its hard labels", f"{100 * NEUTRAL:.1f} %"
    lost = f"Accuracy lost against the full data when the distilled set is used with {kind}. Lower is better."
    gained = "How much better it trains than random real images of equal bytes, both trained alike. Higher is better."
    both = f"Both in one number from 0 to 100 %; {worthless} is no better than random with nothing lost."
    beats = "Whether it beats random images with and without augmentation, from 0 to 100 %"
    beats = f"{beats}; {worthless} is no better than random."
    return [
        FieldNumber("hard_label_recovery", "Hard-label recovery", lost, recovery, no_recovery),
        FieldNumber("improvement_over_random", "Improvement over random", gained, improvement, no_random),
        FieldNumber("label_robust_score", "Label-robust score", both, of_labels, no_recovery or no_random, True),
        FieldNumber("augmentation_robust_score", "Augmentation-robust score", beats, of_both, no_plain, True),
    ]


def _lack_of_recovery(best: dict[str, Row], labels: str) -> str:
    """What is missing for a hard-label recovery, and how to get it."""
    if "full" not in best:
        return "Evaluate the result again with 'Compare with full data'."
    if not labels or (labels == "soft" and "distilled_hard" not in best):
        return "Evaluate the result again: it was scored by a version that did not look at its labels."
    return "The distilled set was not scored."


def _minus(one: Row | None, other: Row | None) -> float | None:
    """The difference of two means, None if one is missing."""
    return None if one is None or other is None else one.mean - other.mean
