"""The distilled set held against the whole training set: the score it keeps, the gap it closes, the work it saves.

The work of a training is the number of samples seen times the cost of one, which is the same for one student on any
data. Unlike seconds, it depends on no machine, no cache and no other program that runs meanwhile.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.core.events import Scored
from engine.evaluation.scores import (
    AS_DISTILLED,
    NAIVE,
    ORDINARY,
    SKILL,
    UNAUGMENTED,
    Row,
    best_by_arm,
    judged,
    summarise,
)


@dataclass(frozen=True)
class Scale:
    """What the scores of one protocol are held against.

    full: the whole training set, under the same protocol, or standard training if it has no other; None if it was not
    trained on. floor_arm: what takes no distilling: "untrained" networks, else "random_real" data of equal bytes under
    the protocol that is best on validation data, or the "naive" forecast that skill is relative to; "" without one.
    floor: its score.
    """

    full: Row | None
    floor_arm: str = ""
    floor: float = math.nan

    def closed(self, score: float) -> float | None:
        """The share of the gap closed, (score - floor) / (full - floor); None unless full is better than the floor."""
        if self.full is None or not self.full.mean > self.floor:
            return None
        return (score - self.floor) / (self.full.mean - self.floor)


def scales(scores: Sequence[Scored], student: str) -> dict[str, Scale]:
    """{protocol: what its test scores are held against} of one architecture.

    Unbalanced classes are judged by balanced accuracy.
    """
    rows = {(row.arm, row.protocol): row for row in judged(summarise(scores)) if row.student == student}
    best, found = best_by_arm(scores, student).get("random_real"), {}
    real = None if best is None else rows.get((best.arm, best.protocol), best)
    for protocol in dict.fromkeys(protocol for _, protocol in rows):
        full = rows.get(("full", protocol), rows.get(("full", ORDINARY)))
        floor = rows.get(("untrained", protocol), real)
        if any(row.metric == SKILL for row in rows.values()):
            found[protocol] = Scale(full, NAIVE, 0.0)
        else:
            found[protocol] = Scale(full) if floor is None else Scale(full, floor.arm, floor.mean)
    return found


def samples_seen(row: Row) -> int | None:
    """Samples that a student was trained on, each as often as it was seen; None if an earlier version kept no count."""
    numbers = row.training
    if "samples_seen" in numbers:
        return int(numbers["samples_seen"])
    if not {"num_steps", "batch_size"} <= numbers.keys():
        return None
    is_whole = row.protocol in (AS_DISTILLED, UNAUGMENTED, ORDINARY)  # others may add augmented views
    if not is_whole and numbers["batch_size"] > row.num_samples:
        return None
    return int(numbers["num_steps"] * min(numbers["batch_size"], row.num_samples))


def against_full(scores: Sequence[Scored], student: str) -> dict[str, dict[str, Any]]:
    """The distilled set against the full one by {ratio: {protocol: value}}, for JSON; empty without a full set.

    retention: distilled mean / full mean. For forecasts, whose skill may be 0 or less, error_ratio replaces it: mean
        squared error, or log loss of directions, as a multiple of that of the full set.
    gap_closed: see `Scale.closed`, None if it is undefined; floor: the arm it is relative to.
    work_ratio: samples seen with the full set / with the distilled one, where both are known.
    seconds_ratio: the same of seconds, where neither comes from the cache.
    """
    known = scales(scores, student)
    found: dict[str, dict[str, Any]] = {
        name: {} for name in ("retention", "gap_closed", "floor", "work_ratio", "seconds_ratio")
    }
    for row in judged(summarise(scores)):
        protocol = row.protocol
        if row.student != student or row.arm != "distilled" or protocol == UNAUGMENTED:
            continue
        scale, full = known[protocol], known[protocol].full
        if full is None:
            continue
        if row.metric == SKILL:  # both skills are measured against the same forecast's error
            found.setdefault("error_ratio", {})[protocol] = (1 - row.mean) / (1 - full.mean)
        elif full.mean > 0:
            found["retention"][protocol] = row.mean / full.mean
        if scale.floor_arm:
            found["gap_closed"][protocol], found["floor"][protocol] = scale.closed(row.mean), scale.floor_arm
        mine, theirs = samples_seen(row), samples_seen(full)
        if mine and theirs:
            found["work_ratio"][protocol] = theirs / mine
        if row.seconds > 0 and not row.cached and not full.cached:
            found["seconds_ratio"][protocol] = full.seconds / row.seconds
    return found
