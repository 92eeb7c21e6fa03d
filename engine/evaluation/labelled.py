"""Comparison of labelled samples: the distilled set, what it started as, few real samples, and the whole training set.

The protocols are those of `supervised` and of `recipes`; the full set has standard training, and published recipes on
request. On request, sets made for augmented random batches are also trained without augmentation ("unaugmented").
Companions of a set (its moving average, or what was averaged) are arms of their own. A set with soft labels is also
trained on hard ones. What a set started as is trained like real samples in its own recipe: at the learned rates or a
constant one, whichever is best on validation data.

Students on random batches are measured after 15, 30, 50 and 100 % of the longest training: Shul et al. 2024,
arXiv:2403.12040, section 4, which reports the last length. Here the length with the best mean on validation data
counts, without validation data the last; the others are scored as "accuracy@300".

Students train one after another: batching 3 and 8 of them with torch.func.vmap was 0.2 to 1.1 times as fast on one
core, because convolutions with weights of their own become grouped ones.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.events import Analysed, Event, Learned, Scored, Warned
from engine.core.students import title_of
from engine.data.source import LabelledSet
from engine.evaluation import baselines, plan, recipes
from engine.evaluation.balance import is_unbalanced
from engine.evaluation.bench import SPLITS, Bench
from engine.evaluation.comparison import Outcome, call_seconds, followed, noted_if_fewer
from engine.evaluation.lengths import Accuracies, best_length, confusions, measured
from engine.evaluation.plan import (
    CHOOSING,
    SAMPLES,
    START,
    UNNUMBERED,
    Training,
    has_full,
    per_student,
    real_arms,
    with_choice,
)
from engine.evaluation.scores import AS_DISTILLED, BALANCED, HEADLINE, LEARNED_RATE, RECIPES, UNAUGMENTED, after
from engine.evaluation.supervised import (
    HARD,
    UNCHOSEN_LR,
    SupervisedComparison,
    choosing_steps,
    own_rate,
    rates_for_real,
)
from engine.evaluation.train import EVALUATION_BATCH, Recipe, accuracy
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.synthetic import base
from engine.synthetic.base import SyntheticSet

SMALL_SET_LRS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
"""Tried for standard training on small sets."""
OTHER_LRS = (1e-3, 3e-3, 1e-2)
"""The same with other architectures, which may be large."""
FULL_LR = 1e-3
CONSTANT_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
"""Tried for real samples in place of synthetic ones, beside the learned rates."""
SHARES = (0.15, 0.3, 0.5, 1.0)
"""The measured lengths, as shares of the longest training on random batches."""
CONFUSED = ("distilled", "full")
"""Arms whose confusion of classes is kept."""
VERSIONS = {"distilled_ema": ", moving average", "distilled_raw": ", not averaged", HARD: ", labels made hard"}
"""Versions of the distilled set, in messages."""
WORDS = {
    "random_real": "random real images of equal bytes",
    SAMPLES: "as many random real images",
    "kmeans_real": "k-means real images of equal bytes",
    START: "the starting set",
    "full": "the full set",
}
"""What students are trained on, in messages."""


def lengths_of(inner_steps: int) -> tuple[int, ...]:
    """The steps after which a student on random batches is measured, each once."""
    return tuple(sorted({max(1, round(share * inner_steps)) for share in SHARES}))


class LabelledComparison(SupervisedComparison[Accuracies]):
    """See the module's docstring."""

    found_type = Accuracies

    # ---- the plan

    def plan(self) -> tuple[Training, ...]:
        found: list[Training] = []
        real = self._real(self.distilled.num_bytes(), self.distilled.num_samples)
        for student in self.students:
            is_own, ways = self.is_own(student), self._ways(student)
            for arm, version in self.sets.items():
                size = version.num_samples, version.num_bytes()
                for protocol in ways:
                    found += self._as_distilled(student, arm, protocol, size)
                found += self._from_scratch(student, arm, size)
            if is_own and self.distilled.labels_kind() == "soft":
                size = self.distilled.num_samples, self.distilled.num_bytes()
                found += self._as_distilled(student, HARD, AS_DISTILLED, size)
            for arm, count, also in real:
                mine: list[Training] = []
                for protocol in ways:
                    mine += self._as_distilled(student, arm, protocol, self._size(count), draw=(count,))
                mine += self._from_scratch(student, arm, self._size(count), draw=(count,))
                found += [replace(training, also=also) for training in mine]
            if has_full(self.evaluation, is_own):
                found += self._from_scratch(student, "full", (len(self.splits.train), self.splits.train.raw_bytes))
        return tuple(found)

    def baseline(self) -> tuple[Training, ...]:
        found, size = [], self.config.size(self.splits.spec)
        for arm, count, also in self._real(size.num_bytes, size.num_samples):
            if baselines.DRAWS[arm] is baselines.random_real:
                mine = self._ordinary(self.config.student.name, arm, self._size(count), draw=(count,))
                found += [replace(training, also=also) for training in mine]
        return tuple(found)

    def _real(self, num_bytes: int, num_samples: int) -> list[tuple[str, int, tuple[str, ...]]]:
        """The small arms of real samples beside a set of so many bytes and samples, as `real_arms` has them."""
        spec = self.splits.spec
        most = spec.num_outputs * int(torch.bincount(self.splits.train.targets).max())
        fitting, alike = (min(count, most) for count in (baselines.fitting(num_bytes, spec), num_samples))
        return real_arms({arm: alike if arm == SAMPLES else fitting for arm in baselines.DRAWS})

    def _ways(self, student: str) -> tuple[str, ...]:
        """The protocols besides the ordinary one."""
        training = self.distilled.own_training
        is_augmented = training.batch_size and training.is_augmented
        is_asked = self.evaluation.without_augmentation and self.is_own(student) and is_augmented
        return (AS_DISTILLED, UNAUGMENTED) if is_asked else (AS_DISTILLED,)

    def _size(self, count: int) -> tuple[int, int]:
        """Samples and bytes of a draw of `count` real samples."""
        drawn = baselines.num_drawn(self.splits.train, count, self.splits.spec.num_outputs)
        return drawn, baselines.num_bytes(drawn, self.splits.spec)

    def _as_distilled(
        self, student: str, arm: str, protocol: str, size: tuple[int, int], draw: tuple[int, ...] = ()
    ) -> list[Training]:
        """Training as the set was made for. A set made for a single start is trained from that alone.

        Real samples, or what the set started as, take its place: same steps and order, at the learned rates or a
        constant one.
        """
        own, longest = self.own_training(student, protocol), self.evaluation.inner_steps
        rate: float | None = None
        rates: Sequence[float | None] = (None, *CONSTANT_RATES)
        lengths: tuple[int, ...] = (own.num_steps,)
        tried = lengths
        if own.batch_size:
            own, lengths, tried = replace(own, num_steps=longest), lengths_of(longest), (choosing_steps(longest),)
            lengths = (longest,) if own.decay == "cosine" else lengths
            rate = own_rate(self.distilled if arm == START else self.sets.get(arm, self.distilled))
            rates = rates_for_real(own.rule, rate)
        steps, is_shared = (own.num_steps, own.batch_size), bool(draw and own.batch_size)
        training = Training(student, arm, protocol, (0,), *steps, *size, own=own, lengths=lengths, is_shared=is_shared)
        count = self.evaluation.num_students if draw or own.start_seed is None else 1
        if not draw and arm != START:
            return per_student(replace(training, lr=rate), count)
        scored = per_student(replace(training, draw=draw), count)
        return with_choice(scored, self.choices(rates, rate), CHOOSING, tried)

    def _ordinary(self, student: str, arm: str, size: tuple[int, int], draw: tuple[int, ...] = ()) -> list[Training]:
        training, rates = self.standard(student, arm, size, draw), self._rates(student)
        scored = per_student(training, self.evaluation.num_students)
        return with_choice(scored, (FULL_LR,) if arm == "full" else rates, UNNUMBERED, training.lengths)

    def _from_scratch(
        self, student: str, arm: str, size: tuple[int, int], draw: tuple[int, ...] = ()
    ) -> list[Training]:
        """Standard training, which the full set always has, and the published recipes, as far as they are asked for."""
        asked, is_full = self.evaluation, arm == "full"
        found = self._ordinary(student, arm, size, draw) if is_full or "ours" in asked.recipes else []
        for key in asked.recipes if asked.recipes_full or not is_full else ():
            if (recipe := recipes.published(key)) is not None:
                synthetic = self.distilled if arm == START else self.sets.get(arm, self.distilled)
                rate = own_rate(synthetic) if key == LEARNED_RATE else recipe.rate
                steps = recipes.shortened_steps(recipe, size[0], asked.recipe_percent)
                protocol = recipes.protocol_of(key, asked.recipe_percent)
                training = replace(self.standard(student, arm, size, draw), protocol=protocol, num_steps=steps, lr=rate)
                training = replace(training, batch_size=recipe.batch_size, lengths=(steps,))
                found += per_student(training, asked.num_students)
        return found

    def _rates(self, student: str) -> Sequence[float]:
        return self.choices(SMALL_SET_LRS if self.is_own(student) else OTHER_LRS, UNCHOSEN_LR)

    # ---- one training

    def begin(self) -> Generator[Event, None, None]:
        """Say if fewer real images exist than fit into the bytes of the set, or if too few fit for every class."""
        spec, num_classes = self.splits.spec, self.splits.spec.num_outputs
        fitting = baselines.fitting(self.distilled.num_bytes(), spec)
        yield from noted_if_fewer(fitting, self._size(fitting)[0], "real images")
        if fitting < num_classes:
            there = f"Only {fitting} of the {num_classes} classes have a real image within the bytes of the set"
            yield Warned(f"{there}. Training sets of equal bytes leave the others out.", level="note")

    def draw(self, arm: str, counts: tuple[int, ...], generator: torch.Generator) -> LabelledSet:
        return baselines.DRAWS[arm](self.splits.train, sum(counts), self.splits.spec.num_outputs, generator)

    def train(self, bench: Bench, training: Training) -> Generator[Event, None, Accuracies]:
        reached = yield from followed(self.path(bench, training, training.seed), training.lengths, bench)
        parts, found, seen = self._measured(bench, training), [], self.data(training, training.seed)
        is_kept = bench.is_own and training.arm in CONFUSED
        for num_steps, (theta, seconds) in zip(training.lengths, reached, strict=True):
            network = bench.student.fixed(theta, seen)
            size = self.splits.spec.num_outputs, num_steps, seconds
            found.append(measured(network, parts, *size, is_unbalanced=self.is_unbalanced, keeps_confusion=is_kept))
        is_first = training.arm == "distilled" and training.protocol == AS_DISTILLED and training.seed == 0
        if is_first and bench.is_own:
            yield Learned("student", bench.student.weights(theta, seen), {"num_steps": str(num_steps)})
        return Accuracies(tuple(found))

    def _measured(self, bench: Bench, training: Training) -> dict[str, LabelledSet]:
        """What the students of a training are measured on: test images only if they are scored."""
        parts, is_scored = bench.splits.measured, training.purpose == "score"
        return {name: part for name, part in parts.items() if is_scored or name == "validation"}

    @cached_property
    def is_unbalanced(self) -> bool:
        """Whether balanced accuracy decides."""
        return is_unbalanced(self.splits.train, self.splits.spec.num_outputs)

    def cache_facts(self, bench: Bench) -> dict[str, Any]:
        return {"judged_by": BALANCED} if self.is_unbalanced else {}

    def path(self, bench: Bench, training: Training, seed: int | str) -> Iterator[Tensor]:
        """The weights (P,) after each step, on stored batches in stored order if the set was made so."""
        own = training.own
        if own is None or own.batch_size:
            return super().path(bench, training, seed)
        theta, rule = bench.start_of(own.start_seed, seed), update_rules.BY_NAME[own.rule]()
        return inner_loop(bench.student, theta, self._stored(training, seed), rule, F.cross_entropy, detached=True)

    def _stored(self, training: Training, seed: int | str) -> Iterator[Batch]:
        """The stored batches; with labels made hard, or other samples in their place, for those arms."""
        if training.draw:
            return _in_place(self.distilled, self.data(training, seed), training.lr)
        if training.arm == START:
            pairs = zip(self.sets[START].batches(), self.distilled.batches(), strict=True)
            return (begun._replace(lr=_rate(learned.lr, training.lr)) for begun, learned in pairs)
        if training.arm == HARD:
            stored = self.distilled.batches()
            return (Batch(batch.inputs, batch.targets.argmax(1), batch.lr) for batch in stored)
        return self.sets[training.arm].batches()

    def _num_stored(self, training: Training) -> int:
        """Samples in all steps of a training on stored batches."""
        with torch.no_grad():
            return sum(len(batch.inputs) for batch in self._stored(training, training.seed))

    def merit(self, found: Accuracies) -> float:
        return found.lengths[-1].merit

    # ---- scores and words

    def scores(self, bench: Bench, outcomes: Sequence[Outcome[Accuracies]]) -> Iterator[Scored]:
        """At the length with the best mean on validation data, the longer of equals, and at every length if several.

        Without validation data at the last length.
        """
        first = outcomes[0].training
        if not (first.own and first.own.batch_size):
            numbers = asdict(Recipe.of(first)) if first.own is None else {"samples_seen": self._num_stored(first)}
            if recipes.published(first.protocol) is not None:
                numbers["samples_seen"] = recipes.samples_seen(first)
            yield from _of_length(bench.scored(first, self._told(bench, first), numbers), outcomes, 0)
            return
        way = "best on validation data" if "validation" in bench.splits.measured else "last"
        best, _ = best_length([each.found for each in outcomes])
        for place, num_steps in enumerate(first.lengths):
            recipe = _random_recipe(first, num_steps)
            numbers = {"num_steps": num_steps, "batch_size": first.batch_size, "lr": first.rate}
            chosen = f"{recipe}, the {way} of {_listed(first.lengths)} steps"
            if place == best:
                yield from _of_length(bench.scored(first, chosen, numbers), outcomes, place)
            yield from _of_length(bench.scored(first, recipe, numbers), outcomes, place, after(num_steps))

    def findings(self) -> Generator[Event, None, None]:
        """How the classes are confused on test images, summed over the students; each arm at its best."""
        grouped: dict[tuple[str, str], list[Accuracies]] = {}
        for each in self.outcomes:
            if each.training.purpose == "score" and self.is_own(each.training.student):
                grouped.setdefault((each.training.arm, each.training.protocol), []).append(each.found)
        if "validation" not in self.splits.measured:  # a published recipe counts, as in `best_by_arm`
            grouped = dict(sorted(grouped.items(), key=lambda item: item[0][1] not in RECIPES))
        arms = confusions(grouped)
        if arms:
            names, judged_by = list(self.splits.spec.class_names), BALANCED if self.is_unbalanced else HEADLINE
            yield Analysed("confusion", {"classes": names, "judged_by": judged_by, "arms": arms})

    def _told(self, bench: Bench, training: Training) -> str:
        """The recipe in words."""
        own = training.own
        if own is not None:
            rates = "learned rates"
            if training.lr is not None:
                rates = f"constant rate {training.lr:g}, on validation data better than the learned ones"
            start = ", from its single start" if own.start_seed is not None and not training.draw else ""
            return f"{own.num_steps} steps of {own.rule}, {rates}{start}"
        if recipes.published(training.protocol) is not None:
            return recipes.told(training)
        recipe = str(Recipe.of(training))
        if training.arm == "full":
            passes = plan.full_passes(self.evaluation, len(bench.splits.train))
            return f"{recipe}: {passes} pass{'es' if passes > 1 else ''}"
        tried = [f"{rate:g}" for rate in self._rates(training.student)]
        if bench.is_own or len(tried) == 1:
            return recipe
        return f"{recipe}, of the rates {', '.join(tried)} the best on validation data"

    def words(self, training: Training) -> str:
        way = {AS_DISTILLED: ", its own training", UNAUGMENTED: ", without augmentation"}.get(training.protocol, "")
        data = " and ".join(WORDS[arm] for arm in (training.arm, *training.also) if arm in WORDS)
        data = data or f"the distilled set{VERSIONS.get(training.arm, '')}{way}"
        if recipes.published(training.protocol) is not None:
            data += f", {RECIPES[training.protocol.partition('@')[0]]}"
        if training.purpose == "choose":
            return f"choose a learning rate for {data}"
        return f"train {title_of(training.student)} on {data}"

    # ---- what it takes

    def work(self, bench: Bench, training: Training) -> Counter[str]:
        num_measured = sum(map(len, self._measured(bench, training).values()))
        return self.units(training, training.num_steps, len(training.lengths) * num_measured)

    def unit_seconds(self, bench: Bench, unit: str, patience: float) -> float:
        if unit != "sample":
            return super().unit_seconds(bench, unit, patience)
        theta, test = bench.start(0), bench.splits.test
        few = test.subset(torch.arange(min(len(test), EVALUATION_BATCH)))
        return call_seconds(lambda: accuracy(partial(bench.student, theta), few), bench, patience) / len(few)


def _of_length(
    said: Scored, outcomes: Sequence[Outcome[Accuracies]], place: int, metric: str = HEADLINE
) -> Iterator[Scored]:
    """The score `said`, filled in for each student after one of its lengths."""
    for outcome in outcomes:
        found, cached, seed = outcome.found.lengths[place], outcome.is_cached, int(outcome.training.seed)
        for split in SPLITS:
            values = {metric: getattr(found, split)}
            if metric == HEADLINE:
                values[BALANCED] = getattr(found, f"balanced_{split}")
            for name, value in values.items():
                if value is not None:
                    told = {"metric": name, "value": value, "seconds": found.seconds, "split": split, "cached": cached}
                    yield replace(said, seed=seed, **told)


def _in_place(synthetic: SyntheticSet, data: LabelledSet, rate: float | None) -> Iterator[Batch]:
    """The synthetic set's schedule with real samples: as many batches, each with samples of all classes."""
    steps = list(synthetic.batches())
    num_batches = max(1, round(len(synthetic.materialise()[0]) / len(steps[0].inputs)))
    hands = [torch.arange(start, len(data), num_batches) for start in range(num_batches)]
    for number, step in enumerate(steps):
        inputs, targets = data.batch(hands[number % num_batches])
        yield Batch(inputs, targets, _rate(step.lr, rate))


def _rate(learned: Tensor, rate: float | None) -> Tensor:
    """The rate of a step: the learned one, or a constant."""
    return learned.detach() if rate is None else torch.full_like(learned, rate)


def _random_recipe(training: Training, num_steps: int) -> str:
    """The recipe of students on random batches."""
    own = training.own or base.Training("adam", num_steps)
    augmented = ", augmented" if own.is_augmented else ""
    batch = f"{own.batch_size:,} random samples each{augmented}"
    return f"{num_steps:,} steps of {own.rule}, {batch}, at rate {training.rate:g}"


def _listed(numbers: Sequence[int]) -> str:
    """ "300, 600 and 1,000"."""
    *first, last = (f"{number:,}" for number in numbers)
    return f"{', '.join(first)} and {last}" if first else last
