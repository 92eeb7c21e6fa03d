"""Confidence intervals of skill: a block bootstrap over the dates of the test period and over students.

Neighbouring windows share most of their bars, and volatility clusters, so windows are not independent. Dates are
resampled in circular blocks of consecutive ones, all tokens of a date together. All arms see the same dates, so that
their differences are paired; students, which differ in start and real windows, are resampled arm by arm.

Source: Politis & Romano 1992, "A circular block-resampling procedure for stationary data".
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

BLOCK = 20
"""Dates per block, unless the horizon is longer or the period too short for `FEWEST_BLOCKS`."""
FEWEST_BLOCKS = 5
NUM_RESAMPLES = 1000
CONFIDENCE = 0.95
SEED = 0


def block_sums(losses: np.ndarray, ends: np.ndarray, horizon: int = 1) -> np.ndarray:
    """(number of dates, ...): the sum of losses over the block that begins at each date.

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
    """(NUM_RESAMPLES, ...): sums over resampled periods, from the sums of blocks (number of dates, ...)."""
    num_dates = len(sums)
    num_blocks = round(num_dates / block_length(num_dates, horizon))
    starts = np.random.default_rng(SEED).integers(num_dates, size=(NUM_RESAMPLES, num_blocks))
    return sums[starts].sum(1)


def skills(losses: Sequence[np.ndarray], reference: np.ndarray, ends: np.ndarray, horizon: int = 1) -> np.ndarray:
    """(NUM_RESAMPLES, A): the skills of A arms over resampled periods and students.

    losses: of each arm, (N, S) of N windows by its S students. reference: (N,) of the reference forecast. ends: (N,).
    """
    sums = resampled(block_sums(np.column_stack([*losses, reference]), ends, horizon), horizon)
    random, begin, found = np.random.default_rng([SEED, 1]), 0, []  # not the numbers that draw the blocks
    for count in (each.shape[1] for each in losses):
        drawn = random.integers(count, size=(NUM_RESAMPLES, count))
        mean = np.take_along_axis(sums[:, begin : begin + count], drawn, axis=1).mean(1)
        found.append(1 - mean / sums[:, -1])
        begin += count
    return np.stack(found, axis=1)


def interval(values: np.ndarray) -> list[Any]:
    """[low, high]: bounds of the middle 95 % of `values` (n,), or of each column of (n, k)."""
    outside = (1 - CONFIDENCE) / 2
    return np.quantile(values, [outside, 1 - outside], axis=0).tolist()
