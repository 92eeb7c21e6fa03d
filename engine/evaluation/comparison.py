"""Runs the plan of a comparison: train, measure, cache, choose learning rates, estimate the time left.

Each kind of result (labelled images, representations, forecasts) has a subclass of `Comparison`, which lists its
trainings, runs one of them, and turns the outcomes into scores. Nothing is chosen on test data.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from torch import Tensor

from engine.core.config import EvaluationConfig, MethodConfig, StudentConfig, Validation
from engine.core.context import Context
from engine.core.events import Event, Planned, Progress, Scored
from engine.core.progress import drained
from engine.data.source import Splits
from engine.evaluation.bench import Bench, cache_path, make_bench, read_record, write_record
from engine.evaluation.plan import Training, architectures, num_trainings, versions
from engine.synthetic.base import SyntheticSet

Found = TypeVar("Found")
Config = TypeVar("Config", bound=MethodConfig)
Costs = dict[tuple[str, str], float]
"""Seconds per unit of work, by (architecture, unit)."""
Tried = dict[str, dict[float | None, float]]
"""{choice: {rate: score on validation data}}."""

PULSE_SECONDS = 0.5
"""Time between two progress events of a training."""
TRUST = 0.2
"""Weight of the planned pace against the observed one, as a share of all planned seconds."""
QUICK_SECONDS, LONG_SECONDS = 0.03, 3.0
"""How long a run times a unit of work; calls longer than the second are timed once."""
DRAW = "draw"
"""Prefix of the units for drawing real data."""


@dataclass(frozen=True)
class Outcome(Generic[Found]):
    """A training with its learning rate resolved, and its result. is_cached: it comes from an earlier run."""

    training: Training
    found: Found
    is_cached: bool = False


class Comparison(ABC, Generic[Found]):
    """Compares one kind of result with real data.

    distilled: the set. sets: the set and its companions by arm (`versions`). A baseline needs neither.
    others: splits of further sources by key (`config.others`). found_type: Found, as the cache stores it.
    """

    distilled: SyntheticSet
    found_type: Any

    def __init__(
        self,
        splits: Splits,
        config: MethodConfig,
        evaluation: EvaluationConfig,
        context: Context,
        synthetic: SyntheticSet | None = None,
        others: Mapping[str, Splits] | None = None,
    ) -> None:
        self.splits, self.config, self.evaluation, self.context = splits, config, evaluation, context
        self.sets: Mapping[str, SyntheticSet] = {}
        if synthetic is not None:
            self.distilled, self.sets = synthetic, versions(synthetic)
        self.others = others or {}
        self.outcomes: list[Outcome[Found]] = []
        self._benches: dict[str, Bench] = {}

    # ---- differs by kind

    @abstractmethod
    def plan(self) -> tuple[Training, ...]:
        """All trainings in order; those that choose a rate come before those that use it."""

    @abstractmethod
    def baseline(self) -> tuple[Training, ...]:
        """Trainings on random real data for the live comparison; the same as in the plan where the sizes agree."""

    @abstractmethod
    def train(self, bench: Bench, training: Training) -> Generator[Event, None, Found]:
        """Run one training and measure it; yields Progress from time to time."""

    @abstractmethod
    def merit(self, found: Found) -> float:
        """The score on validation data by which a rate is chosen."""

    @abstractmethod
    def scores(self, bench: Bench, outcomes: Sequence[Outcome[Found]]) -> Iterator[Scored]:
        """Scores of one arm: of a single student if it is measured at one length, else of all its students."""

    @abstractmethod
    def words(self, training: Training) -> str:
        """What a training does, as a progress message."""

    @abstractmethod
    def work(self, bench: Bench, training: Training) -> Counter[str]:
        """How many units of each kind of work a training takes."""

    @abstractmethod
    def unit_seconds(self, bench: Bench, unit: str, patience: float) -> float:
        """Seconds per unit of work, timed for about `patience` seconds."""

    @abstractmethod
    def validation_work(self, bench: Bench, validation: Validation) -> Counter[str]:
        """The work of evaluating the set once on validation data during a run."""

    def work_before(self, bench: Bench) -> Counter[str]:
        """Work before the first outer step that a trial leaves out."""
        return Counter()

    def cache_facts(self, bench: Bench) -> dict[str, Any] | None:
        """What cached results depend on besides the training and the bench; None if it is not known yet."""
        return {}

    def begin(self) -> Generator[Event, None, None]:
        """Prepare what all trainings share."""
        yield from ()

    def findings(self) -> Generator[Event, None, None]:
        """Results that follow from all outcomes, besides their scores."""
        yield from ()

    # ---- shared by all kinds

    @cached_property
    def students(self) -> dict[str, StudentConfig]:
        """The architectures by name, first the one the set was distilled for."""
        return {config.name: config for config in architectures(self.config.student, self.evaluation)}

    def is_own(self, student: str) -> bool:
        """Whether the set was distilled for this architecture."""
        return student == self.config.student.name

    def first(self, bench: Bench, unit: str) -> Training:
        """The first planned training of the bench's architecture that takes such a unit of work."""
        student = bench.student_config.name
        return next(each for each in self.plan() if each.student == student and unit in self.work(bench, each))

    def bench(self, student: str) -> Bench:
        """The bench of an architecture; sets this thread up for it."""
        if student not in self._benches:
            self._benches[student] = self.new_bench(student)
        self._benches[student].enter()
        return self._benches[student]

    def new_bench(self, student: str) -> Bench:
        """Make the bench of an architecture."""
        config, is_own = self.students[student], self.is_own(student)
        return make_bench(self.splits, config, self.evaluation, self.context, is_own=is_own)


def run(
    comparison: Comparison[Found], trainings: Sequence[Training], costs: Costs | None = None
) -> Generator[Event, None, None]:
    """Run the trainings of a plan in order. Yields Progress, the scores of each arm, and the findings.

    costs: seconds per unit of work, where known; missing ones are measured first.
    """
    yield from comparison.begin()
    seconds = yield from planned_seconds(comparison, trainings, {} if costs is None else costs, QUICK_SECONDS)
    yield from _walk(comparison, trainings, _Clock(trainings, seconds))
    yield from comparison.findings()


def baseline(comparison: Comparison[Found]) -> Generator[Event, None, None]:
    """Validation scores of random real data, shown beside a live run."""
    trainings = comparison.baseline()
    for event in _walk(comparison, trainings, _Clock(trainings, {})):
        if not isinstance(event, Scored) or event.split == "validation":
            yield event


def _walk(comparison: Comparison[Found], trainings: Sequence[Training], clock: _Clock) -> Generator[Event, None, None]:
    """Train and score: student by student, or arm by arm where the best of several lengths is chosen."""
    tried: Tried = {}
    arm: list[Outcome[Found]] = []
    for place, training in enumerate(trainings):
        following = trainings[place + 1] if place + 1 < len(trainings) else None
        bench = comparison.bench(training.student)
        outcome = known(comparison, bench, training, tried)
        if outcome is None:
            wanted = resolved(training, tried)
            found = yield from clock.told(comparison.train(bench, wanted), training, comparison.words(training))
            outcome = Outcome(wanted, found)
            path = _path_of(comparison, bench, wanted)
            if path is not None:
                write_record(path, TypeAdapter(comparison.found_type).dump_python(found))
        clock.done(training, outcome.is_cached)
        _remember(comparison, outcome, tried)
        comparison.outcomes.append(outcome)
        if training.purpose == "score":
            arm.append(outcome)
            if len(training.lengths) == 1 or following is None or _arm(following) != _arm(training):
                yield from comparison.scores(bench, arm)
                arm = []


def planned_seconds(
    comparison: Comparison[Found], trainings: Sequence[Training], costs: Costs, patience: float
) -> Generator[Event, None, dict[Training, float]]:
    """Seconds of each training: units of work times seconds per unit; 0 if its result is cached.

    costs: missing ones are measured for about `patience` seconds each, and added.
    """
    found: dict[Training, float] = {}
    tried: Tried = {}
    drawn: tuple[object, ...] = ()
    for training in trainings:
        bench = comparison.bench(training.student)
        outcome = known(comparison, bench, training, tried)
        if outcome is not None:
            _remember(comparison, outcome, tried)
            found[training] = 0.0
            continue
        work, draw = comparison.work(bench, training), (training.student, training.arm, training.draw, training.seeds)
        if draw == drawn:  # the bench still has it
            work = Counter({unit: count for unit, count in work.items() if not unit.startswith(DRAW)})
        drawn = draw
        found[training] = yield from price(comparison, bench, work, costs, patience)
    return found


def timed(comparison: Comparison[Found], costs: Costs) -> Planned:
    """How long a comparison will take, timed during distillation. Leaves the thread set up as it was."""
    trainings = comparison.plan()
    seconds = drained(planned_seconds(comparison, trainings, costs, QUICK_SECONDS))
    comparison.bench(comparison.config.student.name)
    return Planned(sum(seconds.values()), num_trainings(trainings))


def price(
    comparison: Comparison[Found], bench: Bench, work: Mapping[str, int], costs: Costs, patience: float
) -> Generator[Event, None, float]:
    """Seconds of some work with one architecture; costs as in `planned_seconds`."""
    total, student = 0.0, bench.student_config.name
    for unit, count in work.items():
        if (student, unit) not in costs:
            students = list(comparison.students)
            yield Progress("time a few training steps", students.index(student), len(students))
            costs[student, unit] = comparison.unit_seconds(bench, unit, patience)
        total += count * costs[student, unit]
    return total


def known(comparison: Comparison[Found], bench: Bench, training: Training, tried: Tried) -> Outcome[Found] | None:
    """The cached outcome of a training, None if there is none."""
    if not training.is_shared or (training.purpose == "score" and training.choice and training.choice not in tried):
        return None
    wanted = resolved(training, tried)
    path = _path_of(comparison, bench, wanted)
    record = None if path is None else read_record(path)
    if record is None:
        return None
    return Outcome(wanted, TypeAdapter(comparison.found_type).validate_python(record), is_cached=True)


def _path_of(comparison: Comparison[Found], bench: Bench, training: Training) -> Path | None:
    """The cache file of a training; None if its result belongs to this run alone."""
    facts = comparison.cache_facts(bench)
    return cache_path(bench, training.key() | facts) if training.is_shared and facts is not None else None


def resolved(training: Training, tried: Tried) -> Training:
    """A training with the rate that was best on validation data, if it is one to be chosen."""
    if training.purpose == "choose" or not training.choice:
        return training
    merits = tried[training.choice]
    return replace(training, lr=max(merits, key=merits.__getitem__))


def _remember(comparison: Comparison[Found], outcome: Outcome[Found], tried: Tried) -> None:
    """Note the merit of a training that chooses a rate."""
    training = outcome.training
    if training.purpose == "choose":
        tried.setdefault(training.choice, {})[training.lr] = comparison.merit(outcome.found)


def _arm(training: Training) -> tuple[str, ...]:
    return training.student, training.arm, training.protocol, training.purpose


class _Clock:
    """Counts finished trainings and estimates the time left. seconds: planned for each training; may be empty."""

    def __init__(self, trainings: Sequence[Training], seconds: Mapping[Training, float]) -> None:
        self._total, self._num_done = num_trainings(trainings), 0
        self._seconds = seconds
        self._left = self._all = sum(seconds.values())
        self._spent = self._planned = 0.0  # of trainings done, without cached ones
        self._began = time.perf_counter()

    def told(
        self, events: Generator[Event, None, Found], training: Training, words: str
    ) -> Generator[Event, None, Found]:
        """The same events, with the progress of the whole plan in place of the training's own."""
        self._began = said = time.perf_counter()
        yield self._progress(training, words)
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            if not isinstance(event, Progress):
                yield event
            elif time.perf_counter() - said >= PULSE_SECONDS:
                said = time.perf_counter()
                yield self._progress(training, words)

    def done(self, training: Training, is_cached: bool) -> None:
        """Note that a training has ended."""
        planned = self._seconds.get(training, 0.0)
        self._num_done += len(training.seeds)
        self._left -= planned
        if not is_cached:
            self._spent += time.perf_counter() - self._began
            self._planned += planned

    def _progress(self, training: Training, words: str) -> Progress:
        if not self._seconds:
            return Progress(words, self._num_done, self._total)
        trusted, planned = TRUST * self._all, self._seconds.get(training, 0.0)
        pace = (trusted + self._spent) / (trusted + self._planned) if trusted else 1.0
        left = max(0.0, planned * pace - (time.perf_counter() - self._began)) + (self._left - planned) * pace
        return Progress(words, self._num_done, self._total, part="compare", seconds_left=left)


def followed(
    path: Iterator[Tensor], lengths: Sequence[int], bench: Bench
) -> Generator[Event, None, list[tuple[Tensor, float]]]:
    """The weights (P,) of a training after each of `lengths` steps, with the seconds taken so far."""
    found = []
    began = said = bench.now()
    for step, theta in enumerate(path, 1):
        if step in lengths:
            found.append((theta, bench.now() - began))
        if time.perf_counter() - said > PULSE_SECONDS:
            said = time.perf_counter()
            yield Progress("train", step, lengths[-1])
    return found


def step_seconds(path: Iterator[Tensor], bench: Bench, patience: float) -> float:
    """Seconds per training step, timed for about `patience` seconds after the first step."""
    started = bench.now()
    next(path)  # also warms up
    began, count = bench.now(), 0
    for _ in path:
        count += 1
        if bench.now() - began > patience:
            break
    return (bench.now() - began) / count if count else began - started


def call_seconds(do: Callable[[], object], bench: Bench, patience: float) -> float:
    """Seconds per call: of the first one if it is long, else the mean of later ones."""
    began = bench.now()
    do()
    first = bench.now() - began
    if first > LONG_SECONDS:
        return first
    began, count = bench.now(), 0
    while not count or bench.now() - began < patience:
        do()
        count += 1
    return (bench.now() - began) / count
