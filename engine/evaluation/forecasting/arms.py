"""The arms of a comparison of forecasts: what a student is trained on, how, and what it then says of validation and test windows.

Under both protocols students are looked at after several lengths of their training, each twice the one before, and one length for
all students of an arm is chosen on validation windows; a training ends when it has gone three lengths without getting better.
Where rates are chosen, it is with a student, and a draw of real windows, that are not scored. So every arm may stop early: a network
that is trained for long on a handful of windows has learned them by heart, and one that is trained on all of them the noise.

as distilled   random minibatches with the set's rule at the set's rate; real windows, and other architectures than the one that the
               rate was learned for, at the best of it and a few more.
ordinary       Adam with cosine decay at the best of a few rates, the full set too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from torch import Tensor

from engine.core.config import EvaluationConfig
from engine.core.events import Event, Progress, Scored
from engine.data.prices.windows import WindowSet, WindowSplits
from engine.data.source import LabelledSet
from engine.evaluation.bench import (
    SPLITS,
    Arm,
    Bench,
    cache_path,
    generator_of,
    read_record,
    scored,
    start_as_distilled,
    write_record,
)
from engine.evaluation.compare import full_passes, samples
from engine.evaluation.forecasting.draws import DRAWS, WORDS, num_bytes
from engine.evaluation.forecasting.measures import Forecast, Judge, forecast, judge_of, mean_of, measured, skill
from engine.evaluation.forecasting.naive import RECIPES
from engine.evaluation.random_batches import choosing_steps, own_rate, rates_for_real
from engine.evaluation.scores import AS_DISTILLED, NAIVE, ORDINARY
from engine.evaluation.train import Recipe, at_random, loss_of, ordinary
from engine.synthetic.base import SyntheticSet, Training

SHORTEST = 5
"""Steps: lengths that are looked at are halves of each other, from the longest down to about this."""
PATIENCE = 3
"""Lengths that are no better than the best one before a training ends."""
SMALL_RATES = (1e-3, 3e-3, 1e-2)
"""Tried on validation windows for sets of a few windows as ordinary data."""
FULL_RATES = (1e-3, 3e-3)
QUIET_SECONDS = 0.5


@dataclass(frozen=True)
class Lab:
    """What every arm of one architecture shares. validation, test: judges of the two parts."""

    bench: Bench
    validation: Judge
    test: Judge

    @property
    def splits(self) -> WindowSplits:
        """The data."""
        return self.bench.splits


@dataclass(frozen=True, eq=False)
class Trained:
    """One student: what it says of validation and of test windows, and the seconds of its training alone."""

    validation: Forecast
    test: Forecast
    seconds: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """All students of an arm under one protocol, at the length and rate that validation windows chose.

    weights: (P,) of each where it was trained just now and belongs to this run alone, else none.
    """

    arm: Arm
    students: tuple[Trained, ...]
    cached: bool = False
    weights: tuple[Tensor, ...] = field(default=(), repr=False)

    def mean(self, part: str) -> Forecast:
        """What the students say of "validation" or "test" windows on average."""
        return mean_of([getattr(student, part) for student in self.students])


@dataclass(frozen=True)
class Way:
    """How students of an arm are trained on some windows.

    steps: (windows, seed, rate, number of steps) -> weights (P,) after each step. lengths: looked at, shortest first.
    least: of them, what is looked at in any case. trial: the longest that rates are tried with. rates: those tried.
    told: the training in words, given a rate and a length.
    """

    protocol: str
    steps: Callable[[LabelledSet, int | str, float, int], Iterator[Tensor]]
    lengths: list[int]
    least: int
    trial: int
    rates: Sequence[float]
    told: Callable[[float, int], str]
    batch_size: int


def make_lab(bench: Bench) -> Lab:
    """The lab of a bench whose splits are windows."""
    splits = bench.splits
    return Lab(bench, judge_of(splits, splits.validation), judge_of(splits, splits.test))


def lengths_of(longest: int, own: int = 0) -> list[int]:
    """The steps after which students are looked at, each once; own: those that a set was made for, 0 where there are none."""
    found = {longest} | ({own} if own else set())
    while longest > SHORTEST:
        longest = -(-longest // 2)
        found.add(longest)
    return sorted(found)


def as_distilled(bench: Bench, training: Training, rates: Sequence[float]) -> Way:
    """Random minibatches with the rule of `training`."""
    num_steps = bench.evaluation.inner_steps

    def steps(data: LabelledSet, seed: int | str, rate: float, count: int) -> Iterator[Tensor]:
        theta, generator = start_as_distilled(bench, training, seed), generator_of("random batches", seed)
        loss, augment = loss_of(bench.splits.spec), bench.splits.augment
        return at_random(bench.student, theta, data, training, rate, count, generator, augment, loss)

    def told(rate: float, count: int) -> str:
        return (
            f"{count:,} steps of {training.rule}, at most {training.batch_size:,} random windows each, at rate {rate:g}"
        )

    lengths = lengths_of(num_steps, training.num_steps)
    trial = max(choosing_steps(num_steps), lengths[0])
    return Way(AS_DISTILLED, steps, lengths, training.num_steps, trial, rates, told, training.batch_size)


def ordinarily(bench: Bench, num_steps: int, rates: Sequence[float]) -> Way:
    """Shuffled minibatches, Adam with cosine decay over `num_steps`."""
    batch_size = bench.evaluation.batch_size

    def steps(data: LabelledSet, seed: int | str, rate: float, count: int) -> Iterator[Tensor]:
        recipe, generator = Recipe(num_steps, batch_size, rate), generator_of("minibatches", seed)
        loss, augment = loss_of(bench.splits.spec), bench.splits.augment
        return ordinary(bench.student, bench.start(seed), data, recipe, generator, augment, loss)

    def told(rate: float, count: int) -> str:
        stopped = f", stopped after {count:,}" if count < num_steps else ""
        return f"{Recipe(num_steps, batch_size, rate)}{stopped}"

    return Way(ORDINARY, steps, lengths_of(num_steps), 0, num_steps, rates, told, batch_size)


def full_steps(evaluation: EvaluationConfig, num_train: int) -> int:
    """Steps of training on all windows: as many as small sets get, or the passes asked for, whichever is more."""
    return full_passes(evaluation, num_train) * max(1, num_train // evaluation.batch_size)


def distilled(lab: Lab, synthetic: SyntheticSet, protocol: str) -> Generator[Event, None, Outcome]:
    """The synthetic set under a protocol; other architectures than its own may train at other rates than the one it learned."""
    bench, training, data = lab.bench, synthetic.training, samples(synthetic)
    own = own_rate(synthetic)
    rates = [own] if bench.is_own else rates_for_real(training, own)
    way = (
        as_distilled(bench, training, rates)
        if protocol == AS_DISTILLED
        else ordinarily(bench, bench.evaluation.ordinary_steps, SMALL_RATES)
    )
    has_one_start = protocol == AS_DISTILLED and bench.is_own and training.start_seed is not None
    arm = Arm("distilled", protocol, synthetic.num_samples, synthetic.num_bytes(), "")
    count = 1 if has_one_start else bench.evaluation.num_students
    return (yield from _outcome(lab, arm, way, lambda seed: data, count, "the distilled set"))


def real(
    lab: Lab, name: str, synthetic: SyntheticSet, counts: Sequence[int], protocol: str
) -> Generator[Event, None, Outcome]:
    """Real windows of a small arm in the place of the synthetic ones, another draw for each student.

    counts: windows of each token.
    """
    bench, training = lab.bench, synthetic.training
    if protocol == ORDINARY:
        return (yield from ordinary_real(lab, name, counts))
    training = replace(training, start_seed=training.start_seed if bench.is_own else None)
    way = as_distilled(bench, training, rates_for_real(training, own_rate(synthetic)))
    facts = {"training": asdict(training), "inner_steps": bench.evaluation.inner_steps}
    return (yield from _real(lab, name, counts, way, facts))


def ordinary_real(lab: Lab, name: str, counts: Sequence[int]) -> Generator[Event, None, Outcome]:
    """The same as ordinary data, which depends on nothing of a synthetic set but its size."""
    evaluation = lab.bench.evaluation
    way = ordinarily(lab.bench, evaluation.ordinary_steps, SMALL_RATES)
    facts = {"steps": evaluation.ordinary_steps, "batch": evaluation.batch_size}
    return (yield from _real(lab, name, counts, way, facts))


def full(lab: Lab) -> Generator[Event, None, Outcome]:
    """All training windows, as ordinary data."""
    bench, train = lab.bench, lab.splits.train
    num_steps = full_steps(bench.evaluation, len(train))
    way = ordinarily(bench, num_steps, FULL_RATES)
    arm = Arm("full", ORDINARY, len(train), num_bytes(len(train), lab.splits.spec), "")
    facts = {"steps": num_steps, "batch": bench.evaluation.batch_size}
    return (yield from _cached(lab, arm, way, lambda seed: train, "the full set", facts))


def naive(lab: Lab) -> list[Outcome]:
    """The forecasts that need no network."""
    return [
        Outcome(
            Arm(name, NAIVE, 0, 0, recipes[lab.test.task]),
            (Trained(lab.validation.naive[name], lab.test.naive[name], 0.0),),
        )
        for name, recipes in RECIPES.items()
    ]


def scores(lab: Lab, outcome: Outcome, parts: Sequence[str] = SPLITS) -> Iterator[Scored]:
    """Every measure of every student, on test windows also those of each token."""
    for seed, student in enumerate(outcome.students):
        for part in parts:
            found = measured(getattr(lab, part), getattr(student, part), by_token=part == "test")
            for metric, value in found.items():
                yield scored(
                    lab.bench,
                    outcome.arm,
                    seed,
                    value,
                    student.seconds,
                    split=part,
                    cached=outcome.cached,
                    metric=metric,
                )


def _real(
    lab: Lab, name: str, counts: Sequence[int], way: Way, facts: dict[str, Any]
) -> Generator[Event, None, Outcome]:
    """A small arm of real windows."""
    train, total = lab.splits.train, sum(counts)

    def draw(seed: int | str) -> WindowSet:
        return DRAWS[name](train, counts, generator_of(name.replace("_", " "), *counts, seed))

    arm = Arm(name, way.protocol, total, num_bytes(total, lab.splits.spec), "")
    return (yield from _cached(lab, arm, way, draw, WORDS[name], facts | {"counts": list(counts)}))


def _cached(
    lab: Lab,
    arm: Arm,
    way: Way,
    draw: Callable[[int | str], LabelledSet],
    words: str,
    facts: dict[str, Any],
) -> Generator[Event, None, Outcome]:
    """The outcome of a real arm, from the cache if it was ever measured on this machine."""
    count = lab.bench.evaluation.num_students
    parts = {"forecasts": arm.name, "rates": list(way.rates), "lengths": way.lengths, "students": count, **facts}
    path = cache_path(lab.bench, parts)
    record = read_record(path)
    if record is not None:
        known = tuple(
            Trained(*(Forecast.from_json(student[part]) for part in SPLITS), student["seconds"])
            for student in record["students"]
        )
        return Outcome(replace(arm, recipe=record["recipe"], training=record["training"]), known, cached=True)
    outcome = yield from _outcome(lab, arm, way, draw, count, words)
    students = [
        {part: getattr(student, part).to_json() for part in SPLITS} | {"seconds": student.seconds}
        for student in outcome.students
    ]
    write_record(path, {"recipe": outcome.arm.recipe, "training": outcome.arm.training, "students": students})
    return replace(outcome, weights=())


def _outcome(
    lab: Lab, arm: Arm, way: Way, draw: Callable[[int | str], LabelledSet], count: int, words: str
) -> Generator[Event, None, Outcome]:
    """Train `count` students at the best rate and keep them at the best length, both by the skill on validation windows."""
    rate = yield from _best_rate(lab, way, draw, words)
    doing = f"train {lab.bench.title} on {words}"
    reached = yield from _best_length(lab, way, {seed: draw(seed) for seed in range(count)}, rate, way.lengths, doing)
    students = []
    for number, (theta, seconds) in enumerate(reached.students):
        yield Progress(f"forecast with {lab.bench.title}", number, count)
        students.append(_trained(lab, theta, seconds))
    numbers = {"num_steps": reached.num_steps, "batch_size": way.batch_size, "lr": rate}
    arm = replace(arm, recipe=_recipe(way, rate, reached.num_steps), training=numbers)
    return Outcome(arm, tuple(students), weights=tuple(theta for theta, _ in reached.students))


def _best_rate(
    lab: Lab, way: Way, draw: Callable[[int | str], LabelledSet], words: str
) -> Generator[Event, None, float]:
    """The rate whose best length does best on validation windows, tried with a student and a draw that are not scored."""
    if len(way.rates) == 1:
        return way.rates[0]
    data, lengths = {"rates": draw("rates")}, [length for length in way.lengths if length <= way.trial]
    tried: dict[float, float] = {}
    for rate in way.rates:
        reached = yield from _best_length(lab, way, data, rate, lengths, f"try rate {rate:g} on {words}")
        tried[rate] = reached.skill
    return max(tried, key=tried.__getitem__)


@dataclass(frozen=True, eq=False)
class _Reached:
    """Students after `num_steps`: (weights (P,), seconds so far) of each, and their mean skill on validation windows."""

    num_steps: int
    skill: float
    students: tuple[tuple[Tensor, float], ...]


def _best_length(
    lab: Lab, way: Way, data: dict[int | str, LabelledSet], rate: float, lengths: list[int], doing: str
) -> Generator[Event, None, _Reached]:
    """Train a student for each seed of `data`, side by side, until PATIENCE lengths are no better; the best of the lengths."""
    paths = [way.steps(windows, seed, rate, lengths[-1]) for seed, windows in data.items()]
    seconds, weights = [0.0] * len(paths), [None] * len(paths)
    best, behind, done = None, 0, 0
    for length in lengths:
        for number, path in enumerate(paths):
            gone = done * len(paths) + number * (length - done)
            told = Progress(doing, gone, lengths[-1] * len(paths))
            began = lab.bench.now()
            weights[number] = yield from _stretch(path, length - done, told)
            seconds[number] += lab.bench.now() - began
        done = length
        mean = sum(_validation_skill(lab, theta) for theta in weights) / len(weights)
        reached = _Reached(length, mean, tuple(zip(weights, seconds, strict=True)))
        if best is None or reached.skill > best.skill:
            best, behind = reached, 0
        else:
            behind += 1
        if behind >= PATIENCE and length >= way.least:
            break
    return best


def _stretch(path: Iterator[Tensor], num_steps: int, begun: Progress) -> Generator[Event, None, Tensor]:
    """The weights after so many more steps of a training. Yields `begun`, and how far it is twice a second."""
    yield begun
    said = time.perf_counter()
    for step, trained in enumerate(islice(path, num_steps), 1):
        theta = trained
        if time.perf_counter() - said > QUIET_SECONDS:
            said = time.perf_counter()
            yield replace(begun, done=begun.done + step)
    return theta


def _validation_skill(lab: Lab, theta: Tensor) -> float:
    return skill(lab.validation, forecast(lab.bench.student, theta, lab.splits.validation, lab.splits))


def _trained(lab: Lab, theta: Tensor, seconds: float) -> Trained:
    student, splits = lab.bench.student, lab.splits
    return Trained(
        forecast(student, theta, splits.validation, splits), forecast(student, theta, splits.test, splits), seconds
    )


def _recipe(way: Way, rate: float, num_steps: int) -> str:
    """How the students of an arm were trained, in words."""
    chosen = f"length of {way.lengths[0]:,} to {way.lengths[-1]:,} steps"
    if len(way.rates) > 1:
        chosen += f" and rate of {', '.join(f'{rate:g}' for rate in way.rates)}"
    return f"{way.told(rate, num_steps)}; {chosen} by validation data"
