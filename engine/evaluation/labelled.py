"""Comparison of labelled samples: the distilled set, real samples of equal storage, and the whole training set.

Two protocols, and a third on request:

as distilled   the training the set was made for: its batches in stored order at their learned rates, or random
               minibatches with its rule and rate. Real samples take the place of the synthetic ones.
unaugmented    the same without augmentation, for sets made for augmented random batches.
ordinary       standard training: shuffled minibatches, Adam, cosine schedule. The only one for the whole training set.

Each small set has its own learning rate, chosen on validation data with networks and draws that are not scored.
Students on random batches are measured after 15, 30, 50 and 100 % of the longest training, as published; the length
with the best mean over the students on validation data counts, and the others are scored as "accuracy@300".

Companions of a set (its moving average, or what was averaged) are arms of their own. A set with soft labels is also
trained on hard ones.

Source of the lengths: Shul et al. 2024, arXiv:2403.12040, section 4, which reports the last length.

Students train one after another. Batching 3 and 8 of them with torch.func.vmap was slower on one core wherever it
matters, because convolutions with weights of their own become grouped ones: 0.84 to 1.11 times as fast for the MLP,
0.67 to 1.04 for LeNet, 0.20 to 0.96 for ConvNet-D3 of width 32, 0.33 to 0.81 of widths 64 and 128.
"""

import itertools
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.config import Validation
from engine.core.events import Event, Scored
from engine.data.source import LabelledSet
from engine.evaluation import baselines, plan
from engine.evaluation.bench import SPLITS, Bench, generator_of
from engine.evaluation.comparison import DRAW, Comparison, Outcome, call_seconds, followed, step_seconds
from engine.evaluation.plan import CHOOSING, UNNUMBERED, Training, has_full, per_student, with_choice
from engine.evaluation.scores import AS_DISTILLED, HEADLINE, ORDINARY, UNAUGMENTED, after
from engine.evaluation.train import EVALUATION_BATCH, Recipe, accuracy, at_random, ordinary
from engine.meta import update_rules
from engine.meta.inner import Batch, burn_in
from engine.synthetic import base
from engine.synthetic.base import SyntheticSet

SMALL_SET_LRS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Tried for standard training on small sets."""
OTHER_LRS = (1e-3, 3e-3, 1e-2)
"""The same with other architectures, which may be large."""
FULL_LR = 1e-3
CONSTANT_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
"""Tried for real samples in the place of synthetic ones, beside the learned rates."""
RANDOM_BATCH_RATES = {"adam": (3e-4, 1e-3, 3e-3), "sgd": (0.01, 0.1), "momentum": (0.003, 0.03)}
"""Tried for real samples on random batches, by rule, beside the set's own rate. Few, for each takes a long training."""
SHARES = (0.15, 0.3, 0.5, 1.0)
"""Of the longest training on random batches: the lengths that are measured."""
CHOOSING_SHARE = 0.3
"""Of it: how long each rate for real samples is tried."""
HARD = "distilled_hard"
VERSIONS = {"distilled_ema": ", moving average", "distilled_raw": ", not averaged", HARD: ", labels made hard"}
"""Versions of the distilled set, in messages."""
WORDS = {"random_real": "random real images", "kmeans_real": "k-means real images", "full": "the full set"}
"""What students are trained on, in messages."""


@dataclass(frozen=True)
class Length:
    """A student after `num_steps`: its accuracies, and the seconds of training alone. test: None if not measured."""

    num_steps: int
    validation: float
    test: float | None
    seconds: float


Found = tuple[Length, ...]


def lengths_of(inner_steps: int) -> tuple[int, ...]:
    """The steps after which a student on random batches is measured, each once."""
    return tuple(sorted({max(1, round(share * inner_steps)) for share in SHARES}))


def choosing_steps(inner_steps: int) -> int:
    """Steps that each rate for real samples is tried with on random batches."""
    return max(1, round(CHOOSING_SHARE * inner_steps))


def rates_for_real(rule: str, own: float) -> list[float]:
    """The rates tried for real samples on random batches, the set's own first."""
    return list(dict.fromkeys((own, *RANDOM_BATCH_RATES[rule])))


def own_rate(synthetic: SyntheticSet) -> float:
    """The set's shared rate, to three digits, so that sets whose rates are as good as equal share real arms."""
    return float(f"{synthetic.rates[0].item():.3g}")


def samples(synthetic: SyntheticSet, *, has_hard_labels: bool = False) -> LabelledSet:
    """A synthetic set as samples and labels; soft labels are made hard on request."""
    inputs, targets = synthetic.materialise()
    return LabelledSet(inputs, targets.argmax(1) if has_hard_labels else targets, lambda inputs: inputs)


class LabelledComparison(Comparison[Found]):
    """See the module's docstring."""

    # ---- the plan

    def plan(self) -> tuple[Training, ...]:
        found: list[Training] = []
        for student in self.students:
            is_own, ways = self.is_own(student), self._ways(student)
            for arm, version in self.sets.items():
                for protocol in ways:
                    found += self._as_distilled(student, arm, version, protocol)
                found += self._ordinary_distilled(student, arm, version)
            if is_own and self._distilled.labels_kind() == "soft":
                found += self._as_distilled(student, HARD, self._distilled, AS_DISTILLED)
            count = baselines.samples_at_equal_storage(self._distilled.num_stored_values(), self.splits.spec)
            for arm in baselines.DRAWS:
                for protocol in ways:
                    found += self._as_distilled_real(student, arm, count, protocol)
                found += self._ordinary_real(student, arm, count)
            if has_full(self.evaluation, is_own):
                found += self._full(student)
        return tuple(found)

    def baseline(self) -> tuple[Training, ...]:
        spec = self.splits.spec
        count = baselines.samples_of_values(self.config.size(spec).num_values, spec)
        return tuple(self._ordinary_real(self.config.student.name, "random_real", count))

    @property
    def _distilled(self) -> SyntheticSet:
        return self.sets["distilled"]

    def _ways(self, student: str) -> tuple[str, ...]:
        """The protocols besides the ordinary one."""
        training = self._distilled.own_training
        is_augmented = training.batch_size and training.is_augmented
        is_asked = self.evaluation.without_augmentation and self.is_own(student) and is_augmented
        return (AS_DISTILLED, UNAUGMENTED) if is_asked else (AS_DISTILLED,)

    def _own(self, student: str, protocol: str) -> base.Training:
        """The training that the set was made for, as a protocol and an architecture have it."""
        own = self._distilled.own_training
        longest = self.evaluation.inner_steps if own.batch_size else own.num_steps
        start_seed = own.start_seed if self.is_own(student) else None
        is_augmented = own.is_augmented and protocol != UNAUGMENTED
        return replace(own, num_steps=longest, start_seed=start_seed, is_augmented=is_augmented)

    def _followed(self, student: str, arm: str, protocol: str, num_samples: int, num_bytes: int) -> Training:
        """One training "as distilled"."""
        own = self._own(student, protocol)
        lengths = lengths_of(own.num_steps) if own.batch_size else (own.num_steps,)
        size = num_samples, num_bytes
        return Training(student, arm, protocol, (0,), own.num_steps, own.batch_size, *size, own=own, lengths=lengths)

    def _as_distilled(self, student: str, arm: str, version: SyntheticSet, protocol: str) -> list[Training]:
        """A synthetic set trained as it was made for; one made for a single start is trained from that alone."""
        training = self._followed(student, arm, protocol, version.num_samples, version.num_bytes())
        has_one_start = training.own is not None and training.own.start_seed is not None
        rate = own_rate(version) if training.batch_size else None
        return per_student(replace(training, lr=rate), 1 if has_one_start else self.evaluation.num_students)

    def _as_distilled_real(self, student: str, arm: str, count: int, protocol: str) -> list[Training]:
        """Real samples in the place of the synthetic ones: same steps, same order, learned rates or a constant one."""
        training = replace(self._followed(student, arm, protocol, *self._size(count)), draw=(count,))
        rates: Sequence[float | None] = (None, *CONSTANT_RATES)
        lengths = training.lengths
        if training.batch_size:
            training = replace(training, is_shared=True)
            rates = rates_for_real(self._distilled.own_training.rule, own_rate(self._distilled))
            lengths = (choosing_steps(self.evaluation.inner_steps),)
        return with_choice(per_student(training, self.evaluation.num_students), rates, CHOOSING, lengths)

    def _ordinary_distilled(self, student: str, arm: str, version: SyntheticSet) -> list[Training]:
        training = self._ordinary(student, arm, version.num_samples, version.num_bytes())
        return self._with_rates(student, training)

    def _ordinary_real(self, student: str, arm: str, count: int) -> list[Training]:
        """Standard training on real samples, another draw for each student."""
        training = self._ordinary(student, arm, *self._size(count))
        return self._with_rates(student, replace(training, draw=(count,), is_shared=True))

    def _ordinary(self, student: str, arm: str, num_samples: int, num_bytes: int) -> Training:
        num_steps, batch_size = self.evaluation.ordinary_steps, self.evaluation.batch_size
        size = num_samples, num_bytes
        return Training(student, arm, ORDINARY, (0,), num_steps, batch_size, *size, lengths=(num_steps,))

    def _with_rates(self, student: str, training: Training) -> list[Training]:
        trainings = per_student(training, self.evaluation.num_students)
        return with_choice(trainings, self._rates(student), UNNUMBERED, training.lengths)

    def _rates(self, student: str) -> tuple[float, ...]:
        return SMALL_SET_LRS if self.is_own(student) else OTHER_LRS

    def _full(self, student: str) -> list[Training]:
        train = self.splits.train
        training = self._ordinary(student, "full", len(train), train.raw_bytes)
        num_steps = plan.full_steps(self.evaluation, len(train))
        training = replace(training, num_steps=num_steps, lengths=(num_steps,), lr=FULL_LR, is_shared=True)
        return per_student(training, self.evaluation.num_students)

    def _size(self, count: int) -> tuple[int, int]:
        """Samples and bytes of a draw of `count` real samples."""
        drawn = baselines.num_drawn(self.splits.train, count, self.splits.spec.num_outputs)
        return drawn, baselines.num_bytes(drawn, self.splits.spec)

    # ---- one training

    def train(self, bench: Bench, training: Training) -> Generator[Event, None, Found]:
        path = self._path(bench, training, self._data(bench, training))
        reached = yield from followed(path, training.lengths, bench)
        parts, is_scored = bench.splits, training.purpose == "score"
        found = []
        for num_steps, (theta, seconds) in zip(training.lengths, reached, strict=True):
            validation = accuracy(bench.student, theta, parts.validation)
            test = accuracy(bench.student, theta, parts.test) if is_scored else None
            found.append(Length(num_steps, validation, test, seconds))
        return tuple(found)

    def _data(self, bench: Bench, training: Training) -> LabelledSet:
        if training.draw:
            return bench.real(training.arm, training.draw[0], training.seed)
        if training.arm == "full":
            return bench.splits.train
        if training.arm == HARD:
            return samples(self._distilled, has_hard_labels=True)
        return samples(self.sets[training.arm])

    def _path(self, bench: Bench, training: Training, data: LabelledSet) -> Iterator[Tensor]:
        """The weights (P,) after each step."""
        student, own, seed = bench.student, training.own, training.seed
        if own is None:
            recipe = Recipe.of(training)
            generator = generator_of("minibatches", seed)
            return ordinary(student, bench.start(seed), data, recipe, generator, bench.splits.augment)
        theta = bench.start_of(own.start_seed, seed)
        if own.batch_size:
            rate, generator = training.rate, generator_of("random batches", seed)
            return at_random(student, theta, data, own, rate, training.num_steps, generator, bench.splits.augment)
        batches = self._stored(training, data)
        rule = update_rules.BY_NAME[own.rule]()
        return (theta for theta, _ in burn_in(student, theta, batches, rule, F.cross_entropy))

    def _stored(self, training: Training, data: LabelledSet) -> Iterator[Batch]:
        """The stored batches in stored order; with labels made hard, or real samples in their place, for those arms."""
        if training.draw:
            return _in_place(self._distilled, data, training.lr)
        if training.arm == HARD:
            stored = self._distilled.batches()
            return (Batch(batch.inputs, batch.targets.argmax(1), batch.lr) for batch in stored)
        return self.sets[training.arm].batches()

    def merit(self, found: Found) -> float:
        return found[-1].validation

    def to_json(self, found: Found) -> dict[str, Any]:
        return {"lengths": [asdict(length) for length in found]}

    def from_json(self, record: dict[str, Any]) -> Found:
        return tuple(Length(**length) for length in record["lengths"])

    # ---- scores and words

    def scores(self, bench: Bench, outcomes: Sequence[Outcome[Found]]) -> Iterator[Scored]:
        """At the length that was best on validation data by the mean over the students, and at every length if several.

        The longer one is taken where two are equal.
        """
        first = outcomes[0].training
        if not (first.own and first.own.batch_size):
            numbers = asdict(Recipe.of(first)) if first.own is None else {}
            yield from _of_length(bench.scored(first, self._told(bench, first), numbers), outcomes, 0)
            return
        count = len(outcomes)
        means = [sum(each.found[place].validation for each in outcomes) / count for place in range(len(first.lengths))]
        best = max(range(len(means)), key=lambda place: (means[place], place))
        for place, num_steps in enumerate(first.lengths):
            recipe = _random_recipe(first, num_steps)
            numbers = {"num_steps": num_steps, "batch_size": first.batch_size, "lr": first.rate}
            chosen = f"{recipe}, the best on validation data of {_listed(first.lengths)} steps"
            if place == best:
                yield from _of_length(bench.scored(first, chosen, numbers), outcomes, place)
            yield from _of_length(bench.scored(first, recipe, numbers), outcomes, place, after(num_steps))

    def _told(self, bench: Bench, training: Training) -> str:
        """The recipe in words, of students on random batches as their lengths add to it."""
        own = training.own
        if own is not None:
            rates = "learned rates"
            if training.lr is not None:
                rates = f"constant rate {training.lr:g}, on validation data better than the learned ones"
            start = ", the one start it was made for" if own.start_seed is not None and not training.draw else ""
            return f"{own.num_steps} steps of {own.rule}, {rates}{start}"
        recipe = str(Recipe.of(training))
        if training.arm == "full":
            passes = plan.full_passes(self.evaluation, len(bench.splits.train))
            return f"{recipe}: {passes} pass{'es' if passes > 1 else ''}"
        tried = ", ".join(f"{rate:g}" for rate in self._rates(training.student))
        return recipe if bench.is_own else f"{recipe}, of the rates {tried} the best on validation data"

    def words(self, training: Training) -> str:
        way = {AS_DISTILLED: ", its own training", UNAUGMENTED: ", without augmentation"}.get(training.protocol, "")
        data = WORDS.get(training.arm, f"the distilled set{VERSIONS.get(training.arm, '')}{way}")
        if training.purpose == "choose":
            return f"choose a learning rate for {data}"
        return f"train {self.title(training.student)} on {data}"

    # ---- what it takes

    def work(self, bench: Bench, training: Training) -> Counter[str]:
        parts, looks = bench.splits, len(training.lengths)
        looked_at = len(parts.validation) + (len(parts.test) if training.purpose == "score" else 0)
        step = "full step" if training.arm == "full" else "step as distilled" if training.own else "step"
        draw = {f"{DRAW}{training.arm} {training.draw[0]}": 1} if training.draw else {}
        return Counter({step: training.num_steps, "sample": looks * looked_at, **draw})

    def validation_work(self, bench: Bench, validation: Validation) -> Counter[str]:
        students, num_looked_at = validation.students, len(bench.splits.validation)
        return Counter({"step as distilled": students * validation.steps, "sample": students * num_looked_at})

    def unit_seconds(self, bench: Bench, unit: str, patience: float) -> float:
        splits, student, theta = bench.splits, bench.student, bench.start(0)
        if unit.startswith(DRAW):
            arm, count = unit.removeprefix(DRAW).split()
            seeds = itertools.count()  # the bench keeps its last draw
            return call_seconds(lambda: bench.real(arm, int(count), next(seeds)), bench, 0.0)
        if unit == "sample":
            few = splits.test.subset(torch.arange(min(len(splits.test), EVALUATION_BATCH)))
            return call_seconds(lambda: accuracy(student, theta, few), bench, patience) / len(few)
        name, version = bench.student_config.name, self._distilled
        if unit == "full step":
            training = self._full(name)[0]
        elif unit == "step":
            training = self._ordinary_distilled(name, "distilled", version)[0]
        else:
            training = self._as_distilled(name, "distilled", version, AS_DISTILLED)[0]
        return step_seconds(self._path(bench, training, self._data(bench, training)), bench, patience)


def _of_length(
    said: Scored, outcomes: Sequence[Outcome[Found]], place: int, metric: str = HEADLINE
) -> Iterator[Scored]:
    """The score `said` of each student after one of its lengths; validation scores tell protocols apart."""
    for outcome in outcomes:
        found, cached, seed = outcome.found[place], outcome.is_cached, int(outcome.training.seed)
        for split in SPLITS:
            value, seconds = getattr(found, split), found.seconds
            yield replace(said, seed=seed, metric=metric, value=value, seconds=seconds, split=split, cached=cached)


def _in_place(synthetic: SyntheticSet, data: LabelledSet, rate: float | None) -> Iterator[Batch]:
    """The synthetic set's schedule with real samples: as many batches, the samples dealt out over them by class."""
    steps = list(synthetic.batches())
    num_batches = max(1, round(len(synthetic.materialise()[0]) / len(steps[0].inputs)))
    hands = [torch.arange(start, len(data), num_batches) for start in range(num_batches)]
    for number, step in enumerate(steps):
        inputs, targets = data.batch(hands[number % num_batches])
        yield Batch(inputs, targets, step.lr.detach() if rate is None else torch.full_like(step.lr, rate))


def _random_recipe(training: Training, num_steps: int) -> str:
    """How students on random batches were trained, in words."""
    own = training.own or base.Training("adam", num_steps)
    augmented = ", augmented" if own.is_augmented else ""
    batch = f"{own.batch_size:,} random samples each{augmented}"
    return f"{num_steps:,} steps of {own.rule}, {batch}, at rate {training.rate:g}"


def _listed(numbers: Sequence[int]) -> str:
    """ "300, 600 and 1,000"."""
    *first, last = (f"{number:,}" for number in numbers)
    return f"{', '.join(first)} and {last}" if first else last
