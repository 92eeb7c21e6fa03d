"""Bits per value of a finished set: the fewest that cost next to nothing on validation data."""

import math
from collections.abc import Callable, Generator, Sequence
from statistics import fmean, stdev
from typing import Any

from engine.core.events import Analysed, Event, Progress
from engine.evaluation.comparison import Comparison
from engine.synthetic.base import SyntheticSet
from engine.synthetic.storage import WIDTHS

MOST_LOST = 0.005
"""Of the validation score against float32. The usual bits are kept unless students lose more by over one standard
error; fewer are taken only if they lose less by as much."""


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
    num_validation = len(compare(synthetic).splits.validation)
    can_try = asked != 32 and num_validation > 0

    def holds(bits: int) -> bool:
        return is_close(merits[32], merits[bits], num_validation, is_usual=bits >= usual)

    for bits in tried_widths(asked, usual) if can_try else ():
        merits[bits] = yield from _merits(compare(synthetic.as_stored(bits)), bits)
        if not asked and not holds(bits):
            break
    chosen = asked or usual
    if can_try and not asked:
        chosen = min(bits for bits in merits if holds(bits))
        if chosen == 32 and usual < 16:
            merits[16] = yield from _merits(compare(synthetic.as_stored(16)), 16)
            chosen = 16 if holds(16) else 32
    stored = synthetic.as_stored(chosen)
    tried: dict[str, dict[str, float]] = {}
    for bits in sorted({chosen, *merits}, reverse=True):
        tried[str(bits)] = {"bytes": synthetic.as_stored(bits).num_bytes()}
        if bits in merits:
            tried[str(bits)] |= {"score": fmean(merits[bits]), "students": len(merits[bits])}
    yield Analysed("storage", {"bits": chosen, "is_asked": bool(asked), "widths": tried})
    return stored


def is_close(exact: Sequence[float], rounded: Sequence[float], num_validation: int, *, is_usual: bool) -> bool:
    """Whether the same students score at most MOST_LOST less on a rounded set, by the standard error of their losses.

    That error is at least one sample of `num_validation` for usual bits: a few validation samples tell no more.
    """
    losses = [before - after for before, after in zip(exact, rounded, strict=True)]
    error = stdev(losses) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
    margin = -max(error, 1 / num_validation) if is_usual else error
    return fmean(losses) + margin <= MOST_LOST + 1e-9


def _merits(comparison: Comparison[Any], bits: int) -> Generator[Event, None, list[float]]:
    """The score of each trial on validation data."""
    found, trials = [], comparison.trials()
    for number, training in enumerate(trials):
        yield Progress(f"try {bits} bits per value", number, len(trials))
        result = yield from comparison.train(comparison.bench(training.student), training)
        found.append(comparison.merit(result))
    return found
