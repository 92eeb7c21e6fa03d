"""What the comparisons of labelled samples and of forecasts share: students trained on samples with targets.

Protocols, beside the published ones of `recipes`:

as distilled   the training that the set was made for: its batches in stored order at their learned rates, or random
               minibatches with its rule and rate. Real samples take the place of the synthetic ones.
ordinary       standard training: shuffled minibatches, Adam, cosine decay.

Each small set has its own learning rate, chosen on validation data with networks and draws that are not scored.
Without validation data, rates are fixed: the set's own, and `UNCHOSEN_LR` for standard training.
"""

import itertools
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from engine.core.config import Validation
from engine.data.source import LabelledSet
from engine.evaluation.bench import Bench, generator_of
from engine.evaluation.comparison import DRAW, Comparison, Found, call_seconds, step_seconds
from engine.evaluation.plan import Training, full_steps
from engine.evaluation.recipes import published
from engine.evaluation.scores import ORDINARY, UNAUGMENTED
from engine.evaluation.train import Recipe, at_random, loss_of, ordinary
from engine.meta.losses import shares
from engine.synthetic import base
from engine.synthetic.base import SyntheticSet

Rate = TypeVar("Rate", float, float | None)

RANDOM_BATCH_RATES = {"adam": (3e-4, 1e-3, 3e-3), "sgd": (0.01, 0.1), "momentum": (0.003, 0.03)}
"""Tried for real samples on random batches, by rule, beside the set's own rate. Few, because each training is long."""
CHOOSING_SHARE = 0.3
"""How long each of these rates is tried, as a share of the longest training."""
UNCHOSEN_LR = 3e-3
"""Of standard training on small sets where there is nothing to choose a rate on; the middle of those tried."""
HARD = "distilled_hard"
"""The arm of a set whose soft labels are made hard."""


def choosing_steps(inner_steps: int) -> int:
    """Steps for which each rate for real samples is tried on random batches."""
    return max(1, round(CHOOSING_SHARE * inner_steps))


def rates_for_real(rule: str, own: float) -> list[float]:
    """The rates tried for real samples on random batches, the set's own first."""
    return list(dict.fromkeys((own, *RANDOM_BATCH_RATES[rule])))


def own_rate(synthetic: SyntheticSet) -> float:
    """The set's shared rate, or the mean of its rates, to three digits: sets of nearly equal rates share real arms."""
    return float(f"{synthetic.rates.mean().item():.3g}")


class SupervisedComparison(Comparison[Found]):
    """Students trained on samples with targets."""

    @property
    def num_draws(self) -> int:
        """Draws of real samples to keep, the latest ones."""
        return 1

    def choices(self, rates: Sequence[Rate], fixed: Rate) -> Sequence[Rate]:
        """The rates to choose from on validation data; without any, the fixed one."""
        return rates if "validation" in self.splits.measured else (fixed,)

    @abstractmethod
    def draw(self, arm: str, counts: tuple[int, ...], generator: torch.Generator) -> LabelledSet:
        """Draw the real samples of a small arm."""

    @cached_property
    def real(self) -> Callable[[str, tuple[int, ...], int | str], LabelledSet]:
        """The draw of an arm, its counts and a seed; the same in every run."""

        def drawn(arm: str, counts: tuple[int, ...], seed: int | str) -> LabelledSet:
            return self.draw(arm, counts, generator_of(arm.replace("_", " "), *counts, seed))

        return lru_cache(self.num_draws)(drawn)

    def own_training(self, student: str, protocol: str) -> base.Training:
        """The set's own training; one start holds for its own architecture only."""
        own = self.distilled.own_training
        start_seed = own.start_seed if self.is_own(student) else None
        return replace(own, start_seed=start_seed, is_augmented=own.is_augmented and protocol != UNAUGMENTED)

    def standard(self, student: str, arm: str, size: tuple[int, int], draw: tuple[int, ...]) -> Training:
        """Standard training, on another draw of real samples for each student."""
        steps, is_shared = self.evaluation.ordinary_steps, arm not in self.sets
        if arm == "full":
            steps = full_steps(self.evaluation, len(self.splits.train))
        batch, lengths = self.evaluation.batch_size, (steps,)
        return Training(
            student, arm, ORDINARY, (0,), steps, batch, *size, draw=draw, lengths=lengths, is_shared=is_shared
        )

    def data(self, training: Training, seed: int | str) -> LabelledSet:
        """What a student is trained on."""
        if training.draw:
            return self.real(training.arm, training.draw, seed)
        if training.arm == "full":
            return self.splits.train
        data = self.sets.get(training.arm, self.distilled).data()
        if training.arm == HARD:
            return replace(data, targets=data.targets.argmax(1))
        recipe = published(training.protocol)
        if training.own or self.distilled.own_training.loss == "cross_entropy" or (recipe and recipe.regresses):
            return data
        return replace(data, targets=shares(data.targets))

    def path(self, bench: Bench, training: Training, seed: int | str) -> Iterator[Tensor]:
        """The weights (P,) of a student after each step."""
        own, data, recipe_of_paper = training.own, self.data(training, seed), published(training.protocol)
        loss, augment = loss_of(bench.splits.spec), bench.splits.augment
        if recipe_of_paper is not None:
            generator = generator_of("minibatches", seed)
            return recipe_of_paper.path(bench.student, bench.start(seed), data, training, generator)
        if own is None:
            recipe, generator = Recipe.of(training), generator_of("minibatches", seed)
            return ordinary(bench.student, bench.start(seed), data, recipe, generator, augment, loss)
        theta, generator = bench.start_of(own.start_seed, seed), generator_of("random batches", seed)
        rate, num_steps, of_task = training.rate, training.num_steps, loss if bench.splits.spec.is_forecast else None
        return at_random(bench.student, theta, data, own, rate, num_steps, generator, augment, of_task)

    def units(self, training: Training, num_steps: int, num_samples: int) -> Counter[str]:
        """The work of a training: for each student its steps, samples to measure it on, and its draw."""
        step = "full step" if training.arm == "full" else "step as distilled" if training.own else "step"
        if published(training.protocol):
            step += f", {training.protocol.partition('@')[0]}"
        work = Counter({step: num_steps, "sample": num_samples})
        if training.draw:
            work[" ".join(map(str, (DRAW, training.arm, *training.draw)))] = 1
        return Counter({unit: len(training.seeds) * count for unit, count in work.items()})

    def validation_work(self, bench: Bench, validation: Validation) -> Counter[str]:
        num_samples = validation.students * len(bench.splits.validation)
        return Counter({"step as distilled": validation.students * validation.steps, "sample": num_samples})

    def unit_seconds(self, bench: Bench, unit: str, patience: float) -> float:
        if unit.startswith(DRAW):
            _, arm, *numbers = unit.split()
            counts, seeds = tuple(map(int, numbers)), itertools.count()  # the last draws are kept
            return call_seconds(lambda: self.real(arm, counts, next(seeds)), bench, 0.0)
        training = self.first(bench, unit)
        return step_seconds(self.path(bench, training, training.seed), bench, patience)
