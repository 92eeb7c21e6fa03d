"""Running a plan: train, measure, cache, choose rates, and say how long the rest will take.

A kind of result (labelled images, representations, forecasts) is a `Comparison`: it lists its trainings, does one of
them, and turns what it finds into scores. Everything else is here. Test data choose nothing.
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

from torch import Tensor

from engine.core.config import EvaluationConfig, MethodConfig, StudentConfig, Validation
from engine.core.context import Context
from engine.core.events import Event, Planned, Progress, Scored
from engine.data.source import Splits
from engine.evaluation.bench import Bench, cache_path, make_bench, read_record, write_record
from engine.evaluation.plan import Training, architectures, num_trainings, versions
from engine.nets import STUDENTS
from engine.synthetic.base import SyntheticSet

Found = TypeVar("Found")
Config = TypeVar("Config", bound=MethodConfig)
Costs = dict[tuple[str, str], float]
"""Seconds of a unit of work, by (architecture, unit)."""
Tried = dict[str, dict[float | None, float]]
"""{choice: {rate: how good it was on validation data}}."""

PULSE_SECONDS = 0.5
"""Progress is told this often while a training lasts."""
TRUST = 0.2
"""How much the planned pace weighs against the one seen so far, as a share of all planned seconds."""
QUICK_SECONDS, LONG_SECONDS = 0.03, 3.0
"""For how long a run measures a unit of work, and what is not measured twice."""
DRAW = "draw "
"""How the units begin that stand for drawing real data."""


@dataclass(frozen=True)
class Outcome(Generic[Found]):
    """A training with its learning rate resolved, and what was found; is_cached: by an earlier run."""

    training: Training
    found: Found
    is_cached: bool = False


class Comparison(ABC, Generic[Found]):
    """What is special to comparing one kind of result.

    sets: the distilled set and its companions by arm (`versions`); empty for a baseline, which needs none.
    others: splits of further sources by key (`config.others`).
    """

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
        self.sets = {} if synthetic is None else versions(synthetic)
        self.others = others or {}
        self.outcomes: list[Outcome[Found]] = []
        self._benches: dict[str, Bench] = {}

    # ---- what a kind says

    @abstractmethod
    def plan(self) -> tuple[Training, ...]:
        """Every training of the comparison, in order; those that choose a rate before those that it is chosen for."""

    @abstractmethod
    def baseline(self) -> tuple[Training, ...]:
        """Trainings on random real data that a run is compared with while it works; of the plan, where sizes agree."""

    @abstractmethod
    def train(self, bench: Bench, training: Training) -> Generator[Event, None, Found]:
        """Do one training and measure it. Progress is yielded now and then."""

    @abstractmethod
    def merit(self, found: Found) -> float:
        """How good a training is on validation data, to choose a rate by."""

    @abstractmethod
    def scores(self, bench: Bench, outcomes: Sequence[Outcome[Found]]) -> Iterator[Scored]:
        """Scores of the outcomes of one arm: of one student where it has one length, else of all students."""

    @abstractmethod
    def to_json(self, found: Found) -> dict[str, Any]:
        """What the cache keeps."""

    @abstractmethod
    def from_json(self, record: dict[str, Any]) -> Found:
        """What `to_json` wrote."""

    @abstractmethod
    def words(self, training: Training) -> str:
        """What a training does, as a message."""

    @abstractmethod
    def work(self, bench: Bench, training: Training) -> Counter[str]:
        """How often a training does what `unit_seconds` measures."""

    @abstractmethod
    def unit_seconds(self, bench: Bench, unit: str, patience: float) -> float:
        """Seconds of one unit of work, measured for about `patience` seconds."""

    @abstractmethod
    def validation_work(self, bench: Bench, validation: Validation) -> Counter[str]:
        """The work of testing the set on validation data once during a run."""

    def work_before(self, bench: Bench) -> Counter[str]:
        """Work before the first outer step that a trial leaves out."""
        return Counter()

    def cache_facts(self, bench: Bench) -> dict[str, Any] | None:
        """What shared results depend on besides the training and the bench; None where that is not known yet."""
        return {}

    def begin(self) -> Generator[Event, None, None]:
        """What the trainings share, made once before the first of them."""
        yield from ()

    def findings(self) -> Generator[Event, None, None]:
        """What follows from all outcomes besides their scores."""
        yield from ()

    # ---- the same for all kinds

    @cached_property
    def students(self) -> dict[str, StudentConfig]:
        """The architectures by name, the distilling one first."""
        return {config.name: config for config in architectures(self.config.student, self.evaluation)}

    def is_own(self, student: str) -> bool:
        """Whether an architecture is the one that the set was distilled for."""
        return student == self.config.student.name

    def title(self, student: str) -> str:
        """An architecture as people call it."""
        return STUDENTS[student].title

    def bench(self, student: str) -> Bench:
        """The bench of an architecture, with this thread set up for it."""
        if student not in self._benches:
            self._benches[student] = self.new_bench(student)
        self._benches[student].enter()
        return self._benches[student]

    def new_bench(self, student: str) -> Bench:
        """A bench made anew."""
        config, is_own = self.students[student], self.is_own(student)
        return make_bench(self.splits, config, self.evaluation, self.context, is_own=is_own)


def run(
    comparison: Comparison[Found], trainings: Sequence[Training], costs: Costs | None = None
) -> Generator[Event, None, None]:
    """Do the trainings of a plan, one after another. Yields Progress, the scores of each arm, and the findings.

    costs: of units of work measured before; those that are missing are measured first.
    """
    yield from comparison.begin()
    seconds = yield from planned_seconds(comparison, trainings, {} if costs is None else costs, QUICK_SECONDS)
    yield from _walk(comparison, trainings, _Clock(trainings, seconds))
    yield from comparison.findings()


def baseline(comparison: Comparison[Found]) -> Generator[Event, None, None]:
    """Scores on validation data of random real data, which a run is compared with while it works."""
    trainings = comparison.baseline()
    for event in _walk(comparison, trainings, _Clock(trainings, {})):
        if not isinstance(event, Scored) or event.split == "validation":
            yield event


def _walk(comparison: Comparison[Found], trainings: Sequence[Training], clock: _Clock) -> Generator[Event, None, None]:
    """Train and score, an arm at a time, or a student at a time where nothing is chosen among several lengths."""
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
                write_record(path, comparison.to_json(found))
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
    """Seconds of each training: its work times the measured seconds of each unit; 0 where the cache has it.

    costs: seconds by (architecture, unit); what is missing is measured for about `patience` seconds, and added.
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
    """How long a comparison will take, measured briefly while its run distils. Leaves the thread set up as it was."""
    trainings = comparison.plan()
    events = planned_seconds(comparison, trainings, costs, QUICK_SECONDS)
    while True:
        try:
            next(events)
        except StopIteration as end:
            comparison.bench(comparison.config.student.name)
            return Planned(sum(end.value.values()), num_trainings(trainings))


def price(
    comparison: Comparison[Found], bench: Bench, work: Mapping[str, int], costs: Costs, patience: float
) -> Generator[Event, None, float]:
    """Seconds of some work with one architecture, by the costs of its units; see `planned_seconds`."""
    total, student = 0.0, bench.student_config.name
    for unit, count in work.items():
        if (student, unit) not in costs:
            students = list(comparison.students)
            yield Progress("time a few training steps", students.index(student), len(students))
            costs[student, unit] = comparison.unit_seconds(bench, unit, patience)
        total += count * costs[student, unit]
    return total


def known(comparison: Comparison[Found], bench: Bench, training: Training, tried: Tried) -> Outcome[Found] | None:
    """The outcome of a training from the cache; None where it has to be done."""
    if not training.is_shared or (training.purpose == "score" and training.choice and training.choice not in tried):
        return None
    wanted = resolved(training, tried)
    path = _path_of(comparison, bench, wanted)
    record = None if path is None else read_record(path)
    return None if record is None else Outcome(wanted, comparison.from_json(record), is_cached=True)


def _path_of(comparison: Comparison[Found], bench: Bench, training: Training) -> Path | None:
    """Where the cache keeps the result of a training; None for one that belongs to its run alone."""
    facts = comparison.cache_facts(bench)
    return cache_path(bench, training.key() | facts) if training.is_shared and facts is not None else None


def resolved(training: Training, tried: Tried) -> Training:
    """A training with the rate that did best on validation data, where it was to be chosen."""
    if training.purpose == "choose" or not training.choice:
        return training
    merits = tried[training.choice]
    return replace(training, lr=max(merits, key=merits.__getitem__))


def _remember(comparison: Comparison[Found], outcome: Outcome[Found], tried: Tried) -> None:
    """Note how good a training was that others choose their rate by."""
    training = outcome.training
    if training.purpose == "choose":
        tried.setdefault(training.choice, {})[training.lr] = comparison.merit(outcome.found)


def _arm(training: Training) -> tuple[str, ...]:
    return training.student, training.arm, training.protocol, training.purpose


class _Clock:
    """How many trainings are done, and how long the others will take."""

    def __init__(self, trainings: Sequence[Training], seconds: Mapping[Training, float]) -> None:
        """seconds: planned for each training; empty where nothing was planned."""
        self._total, self._num_done = num_trainings(trainings), 0
        self._seconds = seconds
        self._left = self._all = sum(seconds.values())
        self._spent = self._planned = 0.0  # of trainings done, those from the cache not counted
        self._began = time.perf_counter()

    def told(
        self, events: Generator[Event, None, Found], training: Training, words: str
    ) -> Generator[Event, None, Found]:
        """The same events, with the progress of the whole plan in the place of a training's own."""
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
        """A training has ended."""
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
    """The weights (P,) of a training after each of `lengths` steps, and the seconds it took so far."""
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
    """Seconds of a step of a training, which is followed for about `patience` seconds after the first step."""
    started = bench.now()
    next(path)  # also warms up
    began, count = bench.now(), 0
    for _ in path:
        count += 1
        if bench.now() - began > patience:
            break
    return (bench.now() - began) / count if count else began - started


def call_seconds(do: Callable[[], object], bench: Bench, patience: float) -> float:
    """Seconds of a call: of the first one if it is long, else the mean of those after it."""
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
