"""What a comparison of forecasts takes, by a moment of each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

import torch

from engine.core.config import EvaluationConfig, StudentConfig
from engine.core.context import Context
from engine.core.events import Event, Progress
from engine.data.prices.windows import WindowSet, WindowSplits
from engine.evaluation.bench import Bench, make_bench
from engine.evaluation.compare import architectures
from engine.evaluation.forecasting import adaptation, arms
from engine.evaluation.forecasting.draws import DRAWS
from engine.evaluation.random_batches import choosing_steps, own_rate, rates_for_real
from engine.evaluation.train import Recipe, loss_of, ordinary, outputs
from engine.synthetic.base import SyntheticSet

USUAL_SHARE = 0.3
"""Of the longest training on few windows that is gone before nothing gets better."""
TIMED_STEPS = 5
TIMED_WINDOWS = 500
FINDINGS_SECONDS = 3.0
"""Of privacy, stylised facts and intervals, which no option makes longer."""


def try_comparison(
    synthetic: SyntheticSet,
    splits: WindowSplits,
    student_config: StudentConfig,
    evaluation: EvaluationConfig,
    context: Context,
    others: Mapping[str, WindowSplits],
) -> Generator[Event, None, float]:
    """Seconds of `compare_forecasts` where nothing of it is cached, judged from a few steps of each architecture."""
    total, configs = FINDINGS_SECONDS, architectures(student_config, evaluation)
    for number, config in enumerate(configs):
        yield Progress("try networks", number, len(configs))
        bench = make_bench(splits, config, evaluation, context)
        total += _seconds_of(bench, synthetic)
        if not number:
            total += len(others) * _seconds_of_adapting(bench, others)
    return total


def _seconds_of(bench: Bench, synthetic: SyntheticSet) -> float:
    """Seconds of all arms of one architecture."""
    evaluation, splits, training = bench.evaluation, bench.splits, synthetic.training
    students, num_sets, num_train = evaluation.num_students, 1 + len(DRAWS), len(splits.train)
    small = step_seconds(bench, min(synthetic.num_samples, training.batch_size))
    usual = step_seconds(bench, min(synthetic.num_samples, evaluation.batch_size))
    look = len(splits.validation) * window_seconds(bench)
    rates, lengths = len(rates_for_real(training, own_rate(synthetic))), arms.lengths_of(evaluation.inner_steps)
    longest = max(training.num_steps, USUAL_SHARE * evaluation.inner_steps)
    choosing = max(training.num_steps, USUAL_SHARE * choosing_steps(evaluation.inner_steps))
    as_distilled = num_sets * (students * longest + rates * choosing)
    as_usual = num_sets * (students + len(arms.SMALL_RATES)) * USUAL_SHARE * evaluation.ordinary_steps
    looks = num_sets * (2 * students + len(arms.SMALL_RATES) + rates) * len(lengths)
    seconds = as_distilled * small + as_usual * usual
    if evaluation.compare_full:
        num_full = students + len(arms.FULL_RATES)
        num_steps = num_full * arms.full_steps(evaluation, num_train)
        seconds += num_steps * step_seconds(bench, min(num_train, evaluation.batch_size))
        looks += num_full * len(lengths)
    return seconds + looks * look


def _seconds_of_adapting(bench: Bench, others: Mapping[str, WindowSplits]) -> float:
    """Seconds of adaptation to one of the others, the largest of them."""
    students, rates = bench.evaluation.num_students, len(adaptation.RATES)
    step = step_seconds(bench, adaptation.FINE_TUNING.batch_size)
    most = max(rates * len(other.validation) + len(other.test) for other in others.values()) if others else 0
    looks = 2 * students * len(adaptation.STEPS) * most
    return 2 * students * rates * adaptation.STEPS[-1] * step + looks * window_seconds(bench)


def step_seconds(bench: Bench, batch_size: int) -> float:
    """Seconds of a step of ordinary training on so many windows."""
    data, recipe = _first(bench.splits.train, batch_size), Recipe(TIMED_STEPS + 1, batch_size, 1e-3)
    theta, loss = bench.start("trial"), loss_of(bench.splits.spec)
    path = ordinary(bench.student, theta, data, recipe, torch.Generator(), bench.splits.augment, loss)
    next(path)  # the first one also warms up
    return _seconds(lambda: [None for _ in path], bench) / TIMED_STEPS


def window_seconds(bench: Bench) -> float:
    """Seconds of looking at a window."""
    data, theta = _first(bench.splits.train, TIMED_WINDOWS), bench.start("trial")
    return _seconds(lambda: outputs(bench.student, theta, data), bench) / len(data)


def _first(windows: WindowSet, count: int) -> WindowSet:
    return windows.subset(torch.arange(min(count, len(windows))))


def _seconds(do: Callable[[], object], bench: Bench) -> float:
    """Seconds of a call."""
    began = bench.now()
    do()
    return bench.now() - began
