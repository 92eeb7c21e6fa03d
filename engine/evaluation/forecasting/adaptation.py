"""Adaptation to another market: from students trained on the distilled set, and from fresh weights.

Both are trained on the same few windows of the other source and measured on its test windows after several lengths,
each at the rate that is best on its validation windows over all lengths.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.core.events import Event
from engine.data.prices.windows import WindowSet, WindowSplits
from engine.evaluation.bench import SPLITS, Bench, generator_of
from engine.evaluation.comparison import followed
from engine.evaluation.forecasting.measures import Forecast, Judge, forecast, judge_of, losses, reference_of
from engine.evaluation.train import at_random, loss_of
from engine.synthetic.base import Training

NUM_WINDOWS = 64
"""Training windows of the other source."""
STEPS = (0, 5, 10, 20, 40, 70, 100)
"""After which a student is measured."""
RATES = (1e-3, 3e-3)
STARTS = ("distilled", "scratch")
FINE_TUNING = Training("adam", STEPS[-1], batch_size=32)


@dataclass(frozen=True, eq=False)
class Adapted:
    """Errors (students, STEPS) on validation and test windows, from one start at one rate."""

    validation: np.ndarray
    test: np.ndarray


def adapt(bench: Bench, other: WindowSplits, starts: Sequence[Tensor], rate: float) -> Generator[Event, None, Adapted]:
    """Train students from `starts`, weights (P,) each, on the other source; measure them after each of STEPS."""
    judges = {part: judge_of(other, getattr(other, part)) for part in SPLITS}
    errors: dict[str, list[list[float]]] = {part: [] for part in SPLITS}
    for seed, theta in enumerate(starts):
        generator, data = generator_of("adaptation batches", seed), few_windows(other.train, seed)
        augment, loss = other.augment, loss_of(other.spec)
        steps = at_random(bench.student, theta, data, FINE_TUNING, rate, STEPS[-1], generator, augment, loss)
        reached = yield from followed(steps, STEPS[1:], bench)  # the first of STEPS is 0
        for part, judge in judges.items():
            weights, windows = [theta, *(each for each, _ in reached)], getattr(other, part)
            said = (forecast(bench.student, each, windows, other) for each in weights)
            errors[part].append([_error(judge, each) for each in said])
    return Adapted(*(np.array(errors[part]) for part in SPLITS))


def compared_starts(other: WindowSplits, tried: Sequence[tuple[str, float, Adapted]]) -> dict[str, Any]:
    """Test errors of each start after each of STEPS, at its best rate. tried: (start, rate, its errors).

    Returns {"token", "steps", "metric", "naive", "arms": {arm: {"mean", "std", "lr"}}}. Errors are RMSE of log
    returns, or log loss of directions; naive: of the reference forecast.
    """
    test, arms = judge_of(other, other.test), {}
    for arm in dict.fromkeys(arm for arm, *_ in tried):
        mine = [(rate, found) for name, rate, found in tried if name == arm]
        rate, best = min(mine, key=lambda each: each[1].validation.mean())
        errors = best.test
        std = errors.std(0, ddof=1) if len(errors) > 1 else np.zeros(len(STEPS))
        arms[arm] = {"mean": errors.mean(0).tolist(), "std": std.tolist(), "lr": rate}
    return {
        "token": ", ".join(other.spec.class_names),
        "steps": list(STEPS),
        "metric": "log_loss" if test.task == "direction" else "rmse",
        "naive": _error(test, test.naive[reference_of(test.task)]),
        "arms": arms,
    }


def few_windows(train: WindowSet, seed: int) -> WindowSet:
    """The training windows for student number `seed` of every arm."""
    return train.subset(torch.randperm(len(train), generator=generator_of("adaptation", seed))[:NUM_WINDOWS])


def _error(judge: Judge, said: Forecast) -> float:
    mean = losses(judge, said).mean()
    return float(mean if judge.task == "direction" else np.sqrt(mean))
