"""A student that was trained on the distilled set meets another market: is it a better start than fresh weights?

Both are trained on the same few windows of the other source and measured on its test windows after each of a few lengths. Each has the
rate that does best on the other source's validation windows, over all lengths.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.core.events import Event, Progress
from engine.data.prices.windows import WindowSet, WindowSplits
from engine.evaluation.bench import Bench, generator_of
from engine.evaluation.forecasting.measures import Forecast, Judge, forecast, judge_of, losses, reference_of
from engine.evaluation.train import at_random, loss_of
from engine.synthetic.base import Training

NUM_WINDOWS = 64
"""Training windows of the other source that are learned from."""
STEPS = (0, 5, 10, 20, 40, 70, 100)
"""After which a student is measured."""
RATES = (1e-3, 3e-3)
FINE_TUNING = Training("adam", STEPS[-1], batch_size=32)


def adapt(
    bench: Bench, other: WindowSplits, starts: dict[str, Sequence[Tensor]]
) -> Generator[Event, None, dict[str, Any]]:
    """{"token", "steps", "metric", "naive", "arms": {arm: {"mean", "std", "lr"}}}: test errors of each arm after each of STEPS.

    Errors are RMSE in log returns, or log loss of directions; naive: the reference forecast's.

    Args:
        starts: weights (P,) of the students of each arm.
    """
    validation, test = judge_of(other, other.validation), judge_of(other, other.test)
    arms = {}
    for arm, students in starts.items():
        tried: dict[float, list[list[Tensor]]] = {}
        for rate in RATES:
            tried[rate] = []
            for seed, theta in enumerate(students):
                yield Progress(f"adapt {bench.title} to {_named(other)}", seed, len(students))
                tried[rate].append(_path(bench, other, theta, rate, seed))
        rate = min(tried, key=lambda each: _errors(bench, other, other.validation, validation, tried[each]).mean())
        errors = _errors(bench, other, other.test, test, tried[rate])
        std = errors.std(0, ddof=1) if len(errors) > 1 else np.zeros(len(STEPS))
        arms[arm] = {"mean": errors.mean(0).tolist(), "std": std.tolist(), "lr": rate}
    return {
        "token": _named(other),
        "steps": list(STEPS),
        "metric": "log_loss" if test.task == "direction" else "rmse",
        "naive": _error(test, test.naive[reference_of(test.task)]),
        "arms": arms,
    }


def few_windows(train: WindowSet, seed: int) -> WindowSet:
    """The training windows that student number `seed` of every arm adapts on."""
    return train.subset(torch.randperm(len(train), generator=generator_of("adaptation", seed))[:NUM_WINDOWS])


def _named(other: WindowSplits) -> str:
    """The token, or the tokens, of another source."""
    return ", ".join(other.spec.class_names)


def _path(bench: Bench, other: WindowSplits, theta: Tensor, rate: float, seed: int) -> list[Tensor]:
    """Weights (P,) after each of STEPS."""
    generator, loss = generator_of("adaptation batches", seed), loss_of(other.spec)
    data = few_windows(other.train, seed)
    steps = at_random(bench.student, theta, data, FINE_TUNING, rate, STEPS[-1], generator, other.augment, loss)
    found = {0: theta} | dict(enumerate(steps, 1))
    return [found[step] for step in STEPS]


def _errors(
    bench: Bench, other: WindowSplits, windows: WindowSet, judge: Judge, paths: list[list[Tensor]]
) -> np.ndarray:
    """(students, STEPS) of errors on one part."""
    return np.array(
        [[_error(judge, forecast(bench.student, theta, windows, other)) for theta in path] for path in paths]
    )


def _error(judge: Judge, said: Forecast) -> float:
    mean = losses(judge, said).mean()
    return float(mean if judge.task == "direction" else np.sqrt(mean))
