"""How sure a skill is: the test period resampled in blocks of dates, and the students of each arm.

Neighbouring windows share most of their bars and markets have calm and wild times, so windows are no independent
draws. Dates are resampled in blocks of consecutive ones, all tokens of a date together, round the end of the period
into its beginning so that each date weighs alike. All arms see the same dates, so that differences between them are
paired; students, who differ in their start and in the windows they were drawn, are resampled arm by arm.

Source: Politis & Romano 1992, "A circular block-resampling procedure for stationary data".
"""

from collections.abc import Sequence

import numpy as np

BLOCK = 20
"""Consecutive dates in a block, unless the horizon is longer or the period too short for `FEWEST_BLOCKS`."""
FEWEST_BLOCKS = 5
NUM_RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 0


def block_sums(losses: np.ndarray, ends: np.ndarray, horizon: int = 1) -> np.ndarray:
    """Sums of losses over blocks of dates: (number of dates, ...), the block that begins at each date.

    losses: (N, ...) of windows that end at `ends` (N,).
    """
    dates, place = np.unique(ends, return_inverse=True)
    by_date = np.zeros((len(dates), *losses.shape[1:]))
    np.add.at(by_date, place, losses)
    length = block_length(len(dates), horizon)
    running = np.concatenate([np.zeros_like(by_date[:1]), np.concatenate([by_date, by_date[: length - 1]]).cumsum(0)])
    return running[length:] - running[:-length]


def block_length(num_dates: int, horizon: int = 1) -> int:
    """Dates in a block."""
    return max(1, min(max(BLOCK, horizon), num_dates // FEWEST_BLOCKS))


def resampled(sums: np.ndarray, horizon: int = 1) -> np.ndarray:
    """(NUM_RESAMPLES, ...): sums over a resampled period each, of the sums of blocks (number of dates, ...)."""
    num_dates = len(sums)
    num_blocks = round(num_dates / block_length(num_dates, horizon))
    starts = np.random.default_rng(SEED).integers(num_dates, size=(NUM_RESAMPLES, num_blocks))
    return sums[starts].sum(1)


def skills(losses: Sequence[np.ndarray], reference: np.ndarray, ends: np.ndarray, horizon: int = 1) -> np.ndarray:
    """(NUM_RESAMPLES, A): the skills of A arms, each with its students and the period resampled.

    losses: of each arm, (N, S) of the windows by its S students. reference: (N,) of the forecast that skill is
    measured against.
    ends: (N,).
    """
    sums = resampled(block_sums(np.column_stack([*losses, reference]), ends, horizon), horizon)
    random, begin, found = np.random.default_rng([SEED, 1]), 0, []  # not the numbers that draw the blocks
    for count in (each.shape[1] for each in losses):
        drawn = random.integers(count, size=(NUM_RESAMPLES, count))
        mean = np.take_along_axis(sums[:, begin : begin + count], drawn, axis=1).mean(1)
        found.append(1 - mean / sums[:, -1])
        begin += count
    return np.stack(found, axis=1)


def interval(values: np.ndarray) -> list[float]:
    """[low, high]: where the middle 95 % of `values` lie."""
    outside = (1 - CONFIDENCE) / 2
    return [float(value) for value in np.quantile(values, [outside, 1 - outside])]
