"""Comparison of forecasts: students trained on distilled windows, on as many real ones, on all of them, and no network.

Under both protocols students are measured after several lengths of training, each twice the one before. One length
for all students of an arm is chosen on validation windows; a training ends after three lengths in a row that are no
better. So every arm may stop early: trained for long, a network memorises a handful of windows, and overfits all of
them.

as distilled   random minibatches with the set's rule and rate. Real windows and other architectures also try other
               rates.
ordinary       standard training: Adam with cosine decay, at the best of a few rates.

All architectures are trained on all windows too: these networks are small.
"""

import itertools
import math
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from engine.core.config import Validation
from engine.core.events import Analysed, Event, Progress, Scored, Warned
from engine.data.prices.windows import WindowSet, WindowSplits
from engine.data.source import LabelledSet
from engine.evaluation.bench import SPLITS, Bench, generator_of, make_bench
from engine.evaluation.comparison import DRAW, Comparison, Outcome, call_seconds, followed, step_seconds
from engine.evaluation.forecasting import adaptation, findings
from engine.evaluation.forecasting.adaptation import Adapted, compared_starts
from engine.evaluation.forecasting.draws import DRAWS, WORDS, num_bytes
from engine.evaluation.forecasting.facts import facts
from engine.evaluation.forecasting.findings import Best, Cohort, Trained
from engine.evaluation.forecasting.measures import Judge, forecast, judge_of, measured, skill
from engine.evaluation.forecasting.naive import RECIPES
from engine.evaluation.forecasting.privacy import privacy
from engine.evaluation.labelled import choosing_steps, own_rate, rates_for_real, samples
from engine.evaluation.plan import CHOOSING, Training, full_steps, with_choice
from engine.evaluation.scores import AS_DISTILLED, NAIVE, ORDINARY
from engine.evaluation.train import Recipe, at_random, loss_of, ordinary, outputs
from engine.synthetic.candles import CandleSet

PROTOCOLS = (AS_DISTILLED, ORDINARY)
SHORTEST = 5
"""Steps: lengths are halves of each other, from the longest down to about this."""
PATIENCE = 3
"""Lengths that are no better than the best one before a training ends."""
SMALL_RATES = (1e-3, 3e-3, 1e-2)
"""Tried for standard training on a few windows."""
FULL_RATES = (1e-3, 3e-3)
USUAL_SHARE = 0.3
"""Of the longest training on few windows, what is usually done before nothing gets better."""
TIMED_WINDOWS = 500


Found = Cohort | Adapted


def lengths_of(longest: int, own: int = 0) -> tuple[int, ...]:
    """The steps after which students are measured, each once. own: those that a set was made for, 0 for none."""
    found = {longest} | ({own} if own else set())
    while longest > SHORTEST:
        longest = -(-longest // 2)
        found.add(longest)
    return tuple(sorted(found))


def windows_per_token(synthetic: CandleSet) -> tuple[int, ...]:
    """How many sequences the set has of each token; it is compared with as many real windows."""
    return tuple(torch.bincount(synthetic.tokens.cpu(), minlength=len(synthetic.spec.class_names)).tolist())


class ForecastComparison(Comparison[Found]):
    """See the module's docstring."""

    splits: WindowSplits

    # ---- the plan

    def counts(self) -> tuple[int, ...]:
        """Planned sequences of each token, before a set is made."""
        num_tokens = len(self.splits.spec.class_names)
        return (self.config.size(self.splits.spec).num_samples // num_tokens,) * num_tokens

    def plan(self) -> tuple[Training, ...]:
        found: list[Training] = []
        counts = windows_per_token(self._distilled)
        for student in self.students:
            for protocol in PROTOCOLS:
                found += self._of_distilled(student, protocol)
            for arm in DRAWS:
                found += self._as_distilled_real(student, arm, counts)
                found += self._ordinary_real(student, arm, counts)
            if self.evaluation.compare_full:
                found += self._full(student)
            found += [Training(student, arm, NAIVE, (0,), 0, 0, 0, 0, lengths=(0,)) for arm in RECIPES]
        return (*found, *self._adaptations())

    def baseline(self) -> tuple[Training, ...]:
        return tuple(self._ordinary_real(self.config.student.name, "random_real", self.counts()))

    @property
    def _distilled(self) -> CandleSet:
        found = self.sets["distilled"]
        if not isinstance(found, CandleSet):
            raise TypeError(f"a {type(found).__name__} holds no windows of prices")
        return found

    @property
    def _seeds(self) -> tuple[int, ...]:
        return tuple(range(self.evaluation.num_students))

    def _of_distilled(self, student: str, protocol: str) -> list[Training]:
        """Architectures other than the set's own may train at other rates than the one it learned."""
        synthetic, is_own = self._distilled, self.is_own(student)
        size = synthetic.num_samples, synthetic.num_bytes()
        if protocol == ORDINARY:
            return self._with_rates(self._ordinary(student, "distilled", self.evaluation.ordinary_steps, size))
        training = self._followed(student, "distilled", size)
        if training.own is not None and training.own.start_seed is not None:
            training = replace(training, seeds=(0,))
        own = own_rate(synthetic)
        rates = [own] if is_own else rates_for_real(synthetic.own_training.rule, own)
        return with_choice([training], rates, CHOOSING, self._tried(training))

    def _as_distilled_real(self, student: str, arm: str, counts: tuple[int, ...]) -> list[Training]:
        """Real windows in the place of the synthetic ones, another draw for each student."""
        training = replace(self._followed(student, arm, self._size(counts)), draw=counts, is_shared=True)
        rates = rates_for_real(self._distilled.own_training.rule, own_rate(self._distilled))
        return with_choice([training], rates, CHOOSING, self._tried(training))

    def _followed(self, student: str, arm: str, size: tuple[int, int]) -> Training:
        """Training as the set was made for."""
        own, longest = self._distilled.own_training, self.evaluation.inner_steps
        own = replace(own, start_seed=own.start_seed if self.is_own(student) else None)
        lengths = lengths_of(longest, own.num_steps)
        steps = lengths[-1], own.batch_size
        return Training(student, arm, AS_DISTILLED, self._seeds, *steps, *size, own=own, lengths=lengths)

    def _tried(self, training: Training) -> tuple[int, ...]:
        """The lengths that rates are tried with."""
        longest = max(choosing_steps(self.evaluation.inner_steps), training.lengths[0])
        return tuple(length for length in training.lengths if length <= longest)

    def _ordinary(self, student: str, arm: str, num_steps: int, size: tuple[int, int]) -> Training:
        steps, lengths = (num_steps, self.evaluation.batch_size), lengths_of(num_steps)
        return Training(student, arm, ORDINARY, self._seeds, *steps, *size, lengths=lengths)

    def _ordinary_real(self, student: str, arm: str, counts: tuple[int, ...]) -> list[Training]:
        training = self._ordinary(student, arm, self.evaluation.ordinary_steps, self._size(counts))
        return self._with_rates(replace(training, draw=counts, is_shared=True))

    def _full(self, student: str) -> list[Training]:
        num_train = len(self.splits.train)
        size = num_train, num_bytes(num_train, self.splits.spec)
        training = self._ordinary(student, "full", full_steps(self.evaluation, num_train), size)
        return self._with_rates(replace(training, is_shared=True), FULL_RATES)

    def _with_rates(self, training: Training, rates: Sequence[float] = SMALL_RATES) -> list[Training]:
        return with_choice([training], rates, CHOOSING, training.lengths)

    def _size(self, counts: tuple[int, ...]) -> tuple[int, int]:
        return sum(counts), num_bytes(sum(counts), self.splits.spec)

    def _adaptations(self) -> list[Training]:
        """Adaptation to every other source with such windows, from the distilled set's students and fresh weights."""
        student, found = self.config.student.name, []
        for key in self._alike():
            for arm in adaptation.STARTS:
                for rate in adaptation.RATES:
                    steps = adaptation.STEPS[-1], adaptation.FINE_TUNING.batch_size
                    training = Training(student, arm, "adaptation", self._seeds, *steps, 0, 0, lr=rate, facts=(key,))
                    found.append(replace(training, lengths=adaptation.STEPS, purpose="adapt"))
        return found

    def _alike(self) -> dict[str, WindowSplits]:
        """Other sources whose windows are cut as those of the run."""
        found = {}
        spec, config = self.splits.spec, self.splits.config
        for key, other in self.others.items():
            same_task = (other.spec.sample_shape, other.spec.task) == (spec.sample_shape, spec.task)
            if isinstance(other, WindowSplits) and same_task and other.config == config:
                found[key] = other
        return found

    # ---- one training

    def begin(self) -> Generator[Event, None, None]:
        """Warn of sources that cannot be adapted to."""
        alike = self._alike()
        for key, other in self.others.items():
            if key not in alike:
                yield Warned(
                    f"{other.title} was not adapted to: its windows are made otherwise than those of this run. "
                    "A student that is told the token can adapt to sources of as many tokens alone.",
                    level="note",
                )

    @cached_property
    def judges(self) -> dict[str, Judge]:
        """What validation and test windows are judged by."""
        return {part: judge_of(self.splits, getattr(self.splits, part)) for part in SPLITS}

    def new_bench(self, student: str) -> Bench:
        """Other architectures are measured on all windows too."""
        bench = make_bench(self.splits, self.students[student], self.evaluation, self.context)
        return replace(bench, is_own=self.is_own(student))

    def train(self, bench: Bench, training: Training) -> Generator[Event, None, Found]:
        if training.protocol == NAIVE:
            said = {part: self.judges[part].naive[training.arm] for part in SPLITS}
            return Cohort(0, math.nan, (Trained(said["validation"], said["test"], 0.0),))
        if training.purpose == "adapt":
            starts: Sequence[Tensor] = self._best(training.student)["distilled"].weights
            if training.arm != "distilled":
                starts = [bench.start(f"scratch {seed}") for seed in range(len(starts))]
            return (yield from adaptation.adapt(bench, self._alike()[training.facts[0]], starts, training.rate))
        num_steps, merit, reached = yield from self._best_length(bench, training)
        if training.purpose == "choose":
            return Cohort(num_steps, merit)
        students, student = [], bench.student
        for theta, seconds in reached:
            validation = forecast(student, theta, self.splits.validation, self.splits)
            students.append(Trained(validation, forecast(student, theta, self.splits.test, self.splits), seconds))
        weights = tuple(theta for theta, _ in reached) if training.arm == "distilled" else ()
        return Cohort(num_steps, merit, tuple(students), weights)

    def _best_length(
        self, bench: Bench, training: Training
    ) -> Generator[Event, None, tuple[int, float, list[tuple[Tensor, float]]]]:
        """Train the students side by side until PATIENCE lengths are no better.

        Returns the best length, the mean skill on validation windows, and (weights (P,), seconds) of each student.
        """
        paths = [self._path(bench, training, seed) for seed in training.seeds]
        reached = [(bench.start(seed), 0.0) for seed in training.seeds]
        best: tuple[int, float, list[tuple[Tensor, float]]] | None = None
        least = training.own.num_steps if training.own else 0
        behind = done = 0
        for length in training.lengths:
            for number, path in enumerate(paths):
                ((theta, seconds),) = yield from followed(islice(path, length - done), [length - done], bench)
                reached[number] = theta, reached[number][1] + seconds
            done = length
            merit = sum(self._skill(bench, theta) for theta, _ in reached) / len(reached)
            if best is None or merit > best[1]:
                best, behind = (length, merit, list(reached)), 0
            else:
                behind += 1
            if behind >= PATIENCE and length >= least:
                break
        if best is None:
            raise ValueError("a training without lengths measures nothing")
        return best

    def _skill(self, bench: Bench, theta: Tensor) -> float:
        return skill(self.judges["validation"], forecast(bench.student, theta, self.splits.validation, self.splits))

    def _path(self, bench: Bench, training: Training, seed: int | str) -> Iterator[Tensor]:
        """The weights (P,) of a student after each step."""
        own, rate, data = training.own, training.rate, self._data(training, seed)
        loss, augment = loss_of(self.splits.spec), self.splits.augment
        if own is None:
            recipe, generator = Recipe.of(training), generator_of("minibatches", seed)
            return ordinary(bench.student, bench.start(seed), data, recipe, generator, augment, loss)
        theta, longest = bench.start_of(own.start_seed, seed), training.lengths[-1]
        generator = generator_of("random batches", seed)
        return at_random(bench.student, theta, data, own, rate, longest, generator, augment, loss)

    def _data(self, training: Training, seed: int | str) -> LabelledSet:
        if training.arm == "full":
            return self.splits.train
        return self._drawn(training.arm, training.draw, seed) if training.draw else samples(self._distilled)

    def _drawn(self, arm: str, counts: tuple[int, ...], seed: int | str) -> WindowSet:
        """Real windows of each token; the draws of one arm are kept while it is trained."""
        if self._draws and next(iter(self._draws))[:2] != (arm, counts):
            self._draws.clear()
        key = arm, counts, seed
        if key not in self._draws:
            generator = generator_of(arm.replace("_", " "), *counts, seed)
            self._draws[key] = DRAWS[arm](self.splits.train, counts, generator)
        return self._draws[key]

    @cached_property
    def _draws(self) -> dict[tuple[str, tuple[int, ...], int | str], WindowSet]:
        return {}

    def merit(self, found: Found) -> float:
        return found.skill if isinstance(found, Cohort) else math.nan

    def to_json(self, found: Found) -> dict[str, Any]:
        if not isinstance(found, Cohort):
            raise TypeError("adaptation belongs to its run alone")
        return found.to_json()

    def from_json(self, record: dict[str, Any]) -> Found:
        return Cohort.from_json(record)

    # ---- scores, findings and words

    def scores(self, bench: Bench, outcomes: Sequence[Outcome[Found]]) -> Iterator[Scored]:
        """Every measure of every student, on test windows also those of each token."""
        for outcome in outcomes:
            training, found = outcome.training, outcome.found
            if not isinstance(found, Cohort):
                continue
            if training.protocol == NAIVE:
                said = bench.scored(training, RECIPES[training.arm][self.splits.spec.task])
            else:
                numbers = {"num_steps": found.num_steps, "batch_size": training.batch_size, "lr": training.lr}
                said = bench.scored(training, self._told(training, found.num_steps), numbers)
            for seed, student in enumerate(found.students):
                said = replace(said, seed=seed, seconds=student.seconds, cached=outcome.is_cached)
                for part in SPLITS:
                    measures = measured(self.judges[part], getattr(student, part), by_token=part == "test")
                    for metric, value in measures.items():
                        yield replace(said, split=part, metric=metric, value=value)

    def _told(self, training: Training, num_steps: int) -> str:
        """How the students of an arm were trained, in words."""
        own, rate = training.own, training.rate
        if own is not None:
            batch = f"at most {own.batch_size:,} random windows each"
            recipe = f"{num_steps:,} steps of {own.rule}, {batch}, at rate {rate:g}"
        else:
            stopped = f", stopped after {num_steps:,}" if num_steps < training.num_steps else ""
            recipe = f"{Recipe.of(training)}{stopped}"
        chosen = f"length of {training.lengths[0]:,} to {training.lengths[-1]:,} steps"
        if training.choice:
            chosen += f" and rate of {', '.join(f'{each:g}' for each in self._rates(training))}"
        return f"{recipe}; {chosen} by validation data"

    def _rates(self, training: Training) -> Sequence[float]:
        """The rates that the students of an arm chose from."""
        if training.own is not None:
            return rates_for_real(training.own.rule, own_rate(self._distilled))
        return FULL_RATES if training.arm == "full" else SMALL_RATES

    def _best(self, student: str) -> Best:
        """The best outcome of each arm with one architecture."""
        found = []
        for each in self.outcomes:
            is_scored = each.training.student == student and each.training.purpose == "score"
            if is_scored and isinstance(each.found, Cohort):
                found.append((each.training.arm, each.found))
        return findings.best_of(self.judges["validation"], found)

    def findings(self) -> Generator[Event, None, None]:
        """Intervals, forecasts of the test period, the verdict, privacy, stylised facts and adaptation."""
        yield Progress("judge the forecasts", 0, 1, part="compare")
        judge, best = self.judges["test"], {student: self._best(student) for student in self.students}
        horizon, own = self.splits.config.horizon, self.config.student.name
        intervals = {student: findings.intervals_of(each, judge, horizon) for student, each in best.items()}
        yield Analysed("intervals", intervals)
        yield Analysed("forecasts", findings.forecasts_shown(best[own], judge, self.splits))
        elsewhere = {student: found for student, found in intervals.items() if student != own}
        skills = findings.mean_skills(best[own], judge)
        yield Analysed("verdict", findings.verdict(intervals[own], skills, judge.task, elsewhere))
        doing = "measure what the distilled windows give away"
        yield Progress(doing, 0, 2, part="compare")
        yield Analysed("privacy", privacy(self._distilled, self.splits))
        yield Progress(doing, 1, 2, part="compare")
        yield Analysed("facts", facts(self._distilled, self.splits))
        yield from self._adapted()

    def _adapted(self) -> Generator[Event, None, None]:
        """Of each other source: errors of both starts, each at its best rate."""
        for number, (key, other) in enumerate(self._alike().items()):
            mine = [each for each in self.outcomes if each.training.facts == (key,)]
            found = [(each.training.arm, each.training.rate, each.found) for each in mine]
            tried = [(arm, rate, each) for arm, rate, each in found if isinstance(each, Adapted)]
            yield Analysed("adaptation" if not number else f"adaptation:{key}", compared_starts(other, tried))

    def words(self, training: Training) -> str:
        title, arm = self.title(training.student), training.arm
        if training.protocol == NAIVE:
            return "score the forecasts that need no network"
        if training.purpose == "adapt":
            start = "from the distilled set" if arm == "distilled" else "from fresh weights"
            return f"adapt {title} to {self.others[training.facts[0]].title} {start}"
        data = {"distilled": "the distilled set", "full": "the full set"}.get(arm) or WORDS[arm]
        if training.purpose == "choose":
            return f"try rate {training.rate:g} on {data}"
        return f"train {title} on {data}"

    # ---- what it takes

    def work(self, bench: Bench, training: Training) -> Counter[str]:
        students = len(training.seeds)
        if training.protocol == NAIVE:
            return Counter()
        if training.purpose == "adapt":
            other = self._alike()[training.facts[0]]
            looked_at = (len(other.validation) + len(other.test)) * len(training.lengths)
            return Counter({"step": students * training.num_steps, "window": students * looked_at})
        longest = training.lengths[-1]
        if training.arm != "full":  # few windows: a training stops early
            longest = max(training.own.num_steps if training.own else 1, math.ceil(USUAL_SHARE * longest))
        looked_at = len(training.lengths) * len(self.splits.validation)
        unit = "step as distilled" if training.own else "full step" if training.arm == "full" else "step"
        draw = {f"{DRAW}{training.arm}": students} if training.draw else {}
        return Counter({unit: students * longest, "window": students * looked_at, **draw})

    def validation_work(self, bench: Bench, validation: Validation) -> Counter[str]:
        students, num_windows = validation.students, len(self.splits.validation)
        return Counter({"step as distilled": students * validation.steps, "window": students * num_windows})

    def unit_seconds(self, bench: Bench, unit: str, patience: float) -> float:
        train = self.splits.train
        if unit.startswith(DRAW):
            counts = windows_per_token(self._distilled)
            arm, seeds = unit.removeprefix(DRAW), itertools.count()  # draws are kept
            return call_seconds(lambda: self._drawn(arm, counts, next(seeds)), bench, 0.0)
        theta, first = bench.start("trial"), train.subset(torch.arange(min(TIMED_WINDOWS, len(train))))
        if unit == "window":
            return call_seconds(lambda: outputs(bench.student, theta, first), bench, patience) / len(first)
        student = bench.student_config.name
        if unit == "full step":
            training = self._full(student)[0]
        else:
            training = self._of_distilled(student, AS_DISTILLED if unit == "step as distilled" else ORDINARY)[0]
        return step_seconds(self._path(bench, training, 0), bench, patience)
