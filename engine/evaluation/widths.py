"""Bits per value of a finished set: the fewest that cost next to nothing on validation data."""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from engine.core.events import Analysed, Event, Progress
from engine.evaluation.comparison import Comparison
from engine.synthetic.base import SyntheticSet
from engine.synthetic.storage import WIDTHS

MOST_LOST = 0.005
"""Of the validation score against float32; below the usual bits, with one standard error of the students."""


def tried_widths(asked: int, usual: int) -> tuple[int, ...]:
    """The bits whose score is measured at most, float32 first. asked: 0 for auto. usual: those of the set's form."""
    if asked:
        return (32, asked)
    return (32, *(bits for bits in WIDTHS if bits <= usual)) if usual <= 8 else (32, usual)


def as_stored(
    synthetic: SyntheticSet, asked: int, compare: Callable[[SyntheticSet], Comparison[Any]]
) -> Generator[Event, None, SyntheticSet]:
    """The set as it will be stored: in the bits that are asked for, or in the fewest that hold (0 for auto).

    compare: the comparison of a set. Yields Progress, and Analysed "storage": "bits", whether this "is_asked" for, and
    "widths": for each that was tried its "bytes", mean "score" on validation data and "students". Raises DataError for
    values that are not finite.
    """
    usual, merits = synthetic.usual_bits, dict[int, list[float]]()
    can_try = asked != 32 and len(compare(synthetic).splits.validation) > 0
    for bits in tried_widths(asked, usual) if can_try else ():
        merits[bits] = yield from _merits(compare(synthetic.as_stored(bits)), bits)
        if not asked and not holds(merits, bits, usual):
            break
    chosen = asked or usual
    if can_try and not asked:
        chosen = min(bits for bits in merits if holds(merits, bits, usual))
        if chosen == 32 and usual < 16:
            merits[16] = yield from _merits(compare(synthetic.as_stored(16)), 16)
            chosen = 16 if holds(merits, 16, usual) else 32
    stored = synthetic.as_stored(chosen)
    tried: dict[str, dict[str, float]] = {}
    for bits in sorted({chosen, *merits}, reverse=True):
        tried[str(bits)] = {"bytes": synthetic.as_stored(bits).num_bytes()}
        if bits in merits:
            tried[str(bits)] |= {"score": fmean(merits[bits]), "students": len(merits[bits])}
    yield Analysed("storage", {"bits": chosen, "is_asked": bool(asked), "widths": tried})
    return stored


def holds(merits: Mapping[int, Sequence[float]], bits: int, usual: int) -> bool:
    """Whether students lose at most MOST_LOST against float32 on average; below the usual bits, also one error more.

    merits: of each student, by bits.
    """
    losses = [exact - rounded for exact, rounded in zip(merits[32], merits[bits], strict=True)]
    error = stdev(losses) / math.sqrt(len(losses)) if bits < usual and len(losses) > 1 else 0.0
    return fmean(losses) + error <= MOST_LOST + 1e-9


def _merits(comparison: Comparison[Any], bits: int) -> Generator[Event, None, list[float]]:
    """The score of each trial on validation data."""
    found, trials = [], comparison.trials()
    for number, training in enumerate(trials):
        yield Progress(f"try {bits} bits per value", number, len(trials))
        result = yield from comparison.train(comparison.bench(training.student), training)
        found.append(comparison.merit(result))
    return found
