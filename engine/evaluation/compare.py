"""Distilled against real data at equal storage, drawn at random or by k-means, and against the full set, over several students and seeds.

Learning rates of the small sets are chosen on validation data, for each set by itself; the full set has one fixed recipe,
which its rows name. "As distilled" is this module's for sets with a stored order, random_batches' for the others. Test data
choose nothing. Real arms depend on nothing a run learns, so their scores are cached by everything they do depend on.

The companions of a set (its moving average, or what was averaged) are arms of their own, trained from the same fresh weights as
it and never from weights that another arm has trained. A set with soft labels is tried once more with its labels made hard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict

import torch
from torch import Tensor

from engine.core.config import EvaluationConfig, StudentConfig
from engine.core.context import Context
from engine.core.events import Event, Progress, Scored
from engine.data.source import LabelledSet, Splits
from engine.evaluation import baselines
from engine.evaluation.bench import (
    SPLITS,
    VERSIONS,
    WORDS,
    Arm,
    Bench,
    cache_path,
    generator_of,
    make_bench,
    read_record,
    scored,
    size_of,
    start_as_distilled,
    write_record,
)
from engine.evaluation.random_batches import distilled_at_random, real_at_random
from engine.evaluation.scores import AS_DISTILLED, ORDINARY, UNAUGMENTED
from engine.evaluation.train import Recipe, accuracy, follow, ordinary
from engine.meta.inner import Batch
from engine.synthetic.base import SyntheticSet, Training

SMALL_SET_LRS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # tried on validation data for sets that train in seconds
OTHER_LRS = (1e-3, 3e-3, 1e-2)  # the same with other architectures, which may be large
FULL_LR = 1e-3
# For real images under the "as distilled" protocol, tried beside the learned rates.
CONSTANT_RATES = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)


def compare(
    synthetic: SyntheticSet,
    splits: Splits,
    student_config: StudentConfig,
    evaluation: EvaluationConfig,
    context: Context,
) -> Generator[Event, None, None]:
    """Train students on every arm; yield a Scored for validation and one for test of each, with Progress between.

    Each architecture of `evaluation.students` runs both protocols too, with rates that were learned for another network.
    """
    count = baselines.samples_at_equal_storage(synthetic.num_stored_values(), splits.spec)
    for config in architectures(student_config, evaluation):
        bench = make_bench(splits, config, evaluation, context, is_own=config == student_config)
        ways = ways_of(synthetic.training, evaluation, bench.is_own)
        for name, version in versions(synthetic).items():
            for protocol in ways:
                yield from _distilled(bench, name, version, samples(version), protocol)
            yield from _distilled_ordinary(bench, name, version)
        if has_hard_arm(synthetic, bench.is_own):
            yield from _distilled(bench, "distilled_hard", synthetic, samples(synthetic, has_hard_labels=True))
        for arm in baselines.DRAWS:
            for protocol in ways:
                yield from _real(bench, arm, synthetic, count, protocol)
            yield from real_ordinary(bench, arm, count)
        if has_full(evaluation, bench.is_own):
            yield from _full(bench)


def versions(synthetic: SyntheticSet) -> dict[str, SyntheticSet]:
    """The set and its companions, by the arm that each is."""
    return {"distilled": synthetic} | synthetic.companions()


def ways_of(training: Training, evaluation: EvaluationConfig, is_own: bool) -> tuple[str, ...]:
    """The protocols besides the ordinary one: without augmentation too for sets of augmented random batches, if asked for."""
    is_augmented = training.batch_size and training.is_augmented
    return (
        (AS_DISTILLED, UNAUGMENTED) if is_own and is_augmented and evaluation.without_augmentation else (AS_DISTILLED,)
    )


def has_soft_labels(synthetic: SyntheticSet) -> bool:
    """Whether the labels are probabilities, (N, K), and no classes."""
    return synthetic.materialise()[1].ndim == 2


def has_hard_arm(synthetic: SyntheticSet, is_own: bool) -> bool:
    """Whether the set is also tried with its labels made hard."""
    return is_own and has_soft_labels(synthetic)


def has_full(evaluation: EvaluationConfig, is_own: bool) -> bool:
    """Whether an architecture is trained on the full set."""
    return evaluation.compare_full and (is_own or evaluation.other_full)


def samples(synthetic: SyntheticSet, *, has_hard_labels: bool = False) -> LabelledSet:
    """A synthetic set as samples and labels, soft ones made hard where that is asked for."""
    inputs, targets = synthetic.materialise()
    return LabelledSet(inputs, targets.argmax(1) if has_hard_labels else targets, lambda inputs: inputs)


def rates_tried(is_own: bool) -> tuple[float, ...]:
    """The rates that a small set is tried with as ordinary data."""
    return SMALL_SET_LRS if is_own else OTHER_LRS


def architectures(config: StudentConfig, evaluation: EvaluationConfig) -> list[StudentConfig]:
    """The distilling architecture first, then the others that are to be tested, each once."""
    others = dict.fromkeys(name for name in evaluation.students if name != config.name)
    return [config, *(config.model_copy(update={"name": name}) for name in others)]


def real_ordinary(
    bench: Bench, name: str, count: int, splits: tuple[str, ...] = SPLITS
) -> Generator[Event, None, None]:
    """Scores of `count` real samples trained as ordinary data; a new draw and a new student for each seed."""
    recipe = yield from _cached_recipe(bench, name, count)
    arm = Arm(name, ORDINARY, *size_of(bench, count), _told(bench, recipe), asdict(recipe))
    for seed in range(bench.evaluation.num_students):
        yield Progress(f"train {bench.title} on {WORDS[name]}", seed, bench.evaluation.num_students)
        yield from _cached(bench, arm, lambda seed=seed: bench.real(name, count, seed), recipe, seed, splits)


def _full(bench: Bench) -> Generator[Event, None, None]:
    """Scores of the whole training set."""
    train, evaluation = bench.splits.train, bench.evaluation
    steps_a_pass = max(1, len(train) // evaluation.batch_size)
    num_passes = full_passes(evaluation, len(train))
    recipe = Recipe(num_passes * steps_a_pass, evaluation.batch_size, FULL_LR)
    passes = f"{num_passes} pass{'es' if num_passes > 1 else ''}"
    arm = Arm("full", ORDINARY, len(train), train.raw_bytes, f"{recipe}: {passes}", asdict(recipe))
    for seed in range(evaluation.num_students):
        yield Progress(f"train {bench.title} on the full set", seed, evaluation.num_students)
        yield from _cached(bench, arm, lambda: train, recipe, seed)


def full_passes(evaluation: EvaluationConfig, num_train: int) -> int:
    """Passes over the full set: as many as asked for, or what gives it as many steps as the small sets get."""
    steps_a_pass = max(1, num_train // evaluation.batch_size)
    return max(evaluation.full_epochs, -(-evaluation.ordinary_steps // steps_a_pass))


def _distilled(
    bench: Bench, name: str, synthetic: SyntheticSet, data: LabelledSet, protocol: str = AS_DISTILLED
) -> Generator[Event, None, None]:
    """Scores of a synthetic set with the samples and labels `data`, trained as it was made for."""
    if synthetic.training.batch_size:
        yield from distilled_at_random(bench, name, synthetic, data, protocol)
    else:
        yield from _in_order(bench, name, synthetic, is_hard=data.targets.ndim == 1)


def _in_order(bench: Bench, name: str, synthetic: SyntheticSet, *, is_hard: bool) -> Generator[Event, None, None]:
    """Scores of the synthetic set in stored order with its learned rates; of one made for one start, from that alone."""
    training, num_students = synthetic.training, bench.evaluation.num_students
    has_one_start = bench.is_own and training.start_seed is not None
    note = ", the one start it was made for" if has_one_start else ""
    recipe = f"{training.num_steps} steps of {training.rule}, learned rates{note}"
    arm = Arm(name, AS_DISTILLED, synthetic.num_samples, synthetic.num_bytes(), recipe)
    for seed in range(1 if has_one_start else num_students):
        yield Progress(f"train {bench.title} as distilled{VERSIONS.get(name, '')}", seed, num_students)
        theta = start_as_distilled(bench, training, seed)
        began = bench.now()
        theta = follow(bench.student, theta, _batches(synthetic, is_hard), training)
        yield from _scores(bench, arm, seed, theta, bench.now() - began)


def _batches(synthetic: SyntheticSet, is_hard: bool) -> Iterator[Batch]:
    """The batches of a set's own training, their labels made hard where they are soft and `is_hard` says so."""
    for batch in synthetic.batches():
        is_made_hard = is_hard and batch.targets.ndim == 2
        yield Batch(batch.inputs, batch.targets.argmax(1), batch.lr) if is_made_hard else batch


def _distilled_ordinary(bench: Bench, name: str, synthetic: SyntheticSet) -> Generator[Event, None, None]:
    """Scores of a synthetic set trained as ordinary data."""
    data, num_students = samples(synthetic), bench.evaluation.num_students
    recipe = yield from _best_recipe(bench, data)
    arm = Arm(name, ORDINARY, len(data), synthetic.num_bytes(), _told(bench, recipe), asdict(recipe))
    doing = f"train {bench.title} on the distilled set as ordinary data{VERSIONS.get(name, '')}"
    for seed in range(num_students):
        yield Progress(doing, seed, num_students)
        theta, seconds = yield from _train(bench, data, recipe, seed)
        yield from _scores(bench, arm, seed, theta, seconds)


def _real(bench: Bench, name: str, synthetic: SyntheticSet, count: int, protocol: str) -> Generator[Event, None, None]:
    """Scores of `count` real samples of a small arm, trained as the synthetic set is."""
    if synthetic.training.batch_size:
        yield from real_at_random(bench, name, synthetic, count, protocol)
    else:
        yield from _real_in_order(bench, name, synthetic, count)


def _real_in_order(bench: Bench, name: str, synthetic: SyntheticSet, count: int) -> Generator[Event, None, None]:
    """Real images in the place of the synthetic ones: same steps, same order, with the learned rates or the best constant one.

    The rates are chosen on validation data with a draw that is not scored.
    """

    def trained(data: LabelledSet, seed: int | str, rate: float | None) -> tuple[Tensor, float]:
        batches = list(_real_in_place(synthetic, data, rate))
        theta = start_as_distilled(bench, synthetic.training, seed)
        began = bench.now()
        theta = follow(bench.student, theta, iter(batches), synthetic.training)
        return theta, bench.now() - began

    tried: dict[float | None, float] = {}
    yield Progress(f"choose rates for {WORDS[name]}", 0, 1 + len(CONSTANT_RATES))
    data = bench.real(name, count, "rates")
    for rate in (None, *CONSTANT_RATES):
        yield Progress(f"choose rates for {WORDS[name]}", len(tried), 1 + len(CONSTANT_RATES))
        tried[rate] = accuracy(bench.student, trained(data, "rates", rate)[0], bench.splits.validation)
    best = max(tried, key=tried.__getitem__)
    rates = (
        "learned rates" if best is None else f"constant rate {best:g}, on validation data better than the learned ones"
    )
    recipe = f"{synthetic.training.num_steps} steps of {synthetic.training.rule}, {rates}"
    arm = Arm(name, AS_DISTILLED, *size_of(bench, count), recipe)
    for seed in range(bench.evaluation.num_students):
        yield Progress(f"train {bench.title} on {WORDS[name]}", seed, bench.evaluation.num_students)
        yield from _scores(bench, arm, seed, *trained(bench.real(name, count, seed), seed, best))


def _real_in_place(synthetic: SyntheticSet, data: LabelledSet, rate: float | None) -> Iterator[Batch]:
    """The synthetic set's schedule with real images: as many batches, the real ones dealt out over them class by class."""
    steps = list(synthetic.batches())
    num_batches = max(1, round(len(synthetic.materialise()[0]) / len(steps[0].inputs)))
    hands = [torch.arange(start, len(data), num_batches) for start in range(num_batches)]
    for number, step in enumerate(steps):
        inputs, targets = data.batch(hands[number % num_batches])
        yield Batch(inputs, targets, step.lr.detach() if rate is None else torch.full_like(step.lr, rate))


def _best_recipe(bench: Bench, data: LabelledSet) -> Generator[Event, None, Recipe]:
    """The rate of those tried that does best on validation data."""
    tried: dict[Recipe, float] = {}
    rates = rates_tried(bench.is_own)
    for lr in rates:
        yield Progress("choose a learning rate on validation data", len(tried), len(rates))
        recipe = Recipe(bench.evaluation.ordinary_steps, bench.evaluation.batch_size, lr)
        theta, _ = yield from _train(bench, data, recipe, -1)
        tried[recipe] = accuracy(bench.student, theta, bench.splits.validation)
    return max(tried, key=tried.__getitem__)


def _told(bench: Bench, recipe: Recipe) -> str:
    """The recipe of a small set in words; of other architectures with the rates tried, which are fewer."""
    tried = ", ".join(f"{rate:g}" for rate in rates_tried(bench.is_own))
    return str(recipe) if bench.is_own else f"{recipe}, of the rates {tried} the best on validation data"


def _train(bench: Bench, data: LabelledSet, recipe: Recipe, seed: int) -> Generator[Event, None, tuple[Tensor, float]]:
    """One student trained as on ordinary data: weights and seconds. Yields Progress twice a second."""
    generator = generator_of("minibatches", seed)
    path = ordinary(bench.student, bench.start(seed), data, recipe, generator, bench.splits.augment)
    began = said = bench.now()
    for step, trained in enumerate(path):
        theta = trained
        if time.perf_counter() - said > 0.5:
            said = time.perf_counter()
            yield Progress(f"train {bench.title} on {len(data):,} samples", step, recipe.num_steps)
    return theta, bench.now() - began


def _cached_recipe(bench: Bench, name: str, count: int) -> Generator[Event, None, Recipe]:
    """The best recipe for `count` real samples of a small arm, chosen with a draw that is not scored."""
    evaluation = bench.evaluation
    parts = {
        "choose": rates_tried(bench.is_own),
        "arm": name,
        "steps": evaluation.ordinary_steps,
        "batch": evaluation.batch_size,
        "n": count,
    }
    path = cache_path(bench, parts)
    known = read_record(path)
    if known is not None:
        return Recipe(**known)
    recipe = yield from _best_recipe(bench, bench.real(name, count, -1))
    write_record(path, asdict(recipe))
    return recipe


def _cached(
    bench: Bench,
    arm: Arm,
    draw: Callable[[], LabelledSet],
    recipe: Recipe,
    seed: int,
    splits: tuple[str, ...] = SPLITS,
) -> Generator[Event, None, None]:
    """A student of a real arm under the ordinary protocol, from the cache if it was ever measured on this machine."""
    path = cache_path(bench, {"arm": arm.name, "recipe": asdict(recipe), "seed": seed, "n": arm.num_samples})
    record = read_record(path)
    known = record is not None
    if record is None:
        theta, seconds = yield from _train(bench, draw(), recipe, seed)
        record = {
            "validation": accuracy(bench.student, theta, bench.splits.validation),
            "test": accuracy(bench.student, theta, bench.splits.test),
            "seconds": seconds,
        }
        write_record(path, record)
    for split in splits:
        yield scored(bench, arm, seed, record[split], record["seconds"], split=split, cached=known)


def _scores(bench: Bench, arm: Arm, seed: int, theta: Tensor, seconds: float) -> Iterator[Scored]:
    """A student on validation images, by which protocols and settings are told apart, and on test images."""
    for split, data in (("validation", bench.splits.validation), ("test", bench.splits.test)):
        yield scored(bench, arm, seed, accuracy(bench.student, theta, data), seconds, split=split)
