"""Distilled against random real data at equal storage and against the full set, over several students and seeds.

Learning rates of ordinary training are chosen on validation data, for each arm by itself; test data choose nothing.
Real arms depend on nothing a run learns, so their scores are cached by everything they do depend on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine import machine
from engine.config import EvaluationConfig, StudentConfig
from engine.context import Context
from engine.data.source import LabelledSet, Splits
from engine.evaluation.baselines import random_real, samples_at_equal_storage
from engine.evaluation.train import Recipe, accuracy, as_distilled, follow, ordinary
from engine.events import Event, Progress, Scored
from engine.meta.inner import Batch
from engine.nets import STUDENTS, make_student
from engine.nets.student import Student
from engine.synthetic.base import SyntheticSet

SMALL_SET_LRS = (3e-4, 1e-3, 3e-3, 1e-2)  # tried on validation data for sets that train in seconds
FULL_LR = 1e-3
CONSTANT_RATES = (
    0.003,
    0.01,
    0.03,
    0.1,
    0.3,
)  # for real images under the "as distilled" protocol, beside the learned ones


@dataclass(frozen=True)
class Bench:
    """What every arm shares: the data, one architecture, and how much to train."""

    splits: Splits
    student: Student
    student_config: StudentConfig
    evaluation: EvaluationConfig
    context: Context

    @property
    def title(self) -> str:
        """The architecture as people call it."""
        return STUDENTS[self.student.name].title

    def start(self, seed: int | str) -> Tensor:
        """Weights of the student number `seed`; the same for every run, so that arms can be shared between runs."""
        return self.student.init(_generator("start", self.student.name, seed))


def make_bench(splits: Splits, student_config: StudentConfig, evaluation: EvaluationConfig, context: Context) -> Bench:
    """A bench for one architecture on the context's device."""
    student = make_student(student_config, splits.spec, context.device)
    return Bench(splits, student, student_config, evaluation, context)


def compare(
    synthetic: SyntheticSet,
    splits: Splits,
    student_config: StudentConfig,
    evaluation: EvaluationConfig,
    context: Context,
) -> Generator[Event, None, None]:
    """Train students on every arm; yield Scored(split="test") for each, with Progress between.

    The distilling architecture runs both protocols; each of `evaluation.students` is tested on ordinary training too,
    and on the stored rates, which were learned for another network.
    """
    benches = [make_bench(splits, config, evaluation, context) for config in architectures(student_config, evaluation)]
    for bench in benches:
        yield from _distilled_arms(bench, synthetic)
        yield from random_real_as_distilled(bench, synthetic)
        count = samples_at_equal_storage(synthetic.num_stored_values(), splits.spec)
        yield from random_real_ordinary(bench, count, "test")
        if evaluation.compare_full:
            yield from full(bench)


def random_real_ordinary(bench: Bench, count: int, split: str) -> Generator[Event, None, None]:
    """Scores of `count` random real samples trained as ordinary data; a new draw and a new student for each seed."""

    def draw(seed: int) -> LabelledSet:
        return random_real(
            bench.splits.train, count, bench.splits.spec.num_outputs, _generator("random real", count, seed)
        )

    yield from _ordinary_arm(bench, "random_real", draw, split)


def full(bench: Bench) -> Generator[Event, None, None]:
    """Scores of the whole training set, `evaluation.full_epochs` passes."""
    train, evaluation = bench.splits.train, bench.evaluation
    recipe = Recipe(
        max(1, evaluation.full_epochs * (len(train) // min(evaluation.batch_size, len(train)))),
        evaluation.batch_size,
        FULL_LR,
    )
    for seed in range(evaluation.num_students):
        yield Progress(f"train {bench.title} on the full set", seed, evaluation.num_students)
        yield from _cached(bench, "full", train, recipe, seed, "test")


def random_real_as_distilled(bench: Bench, synthetic: SyntheticSet) -> Generator[Event, None, None]:
    """Real images in the place of the synthetic ones: same steps, same order, with the learned rates or the best constant one.

    The rates are chosen on validation data with a draw that is not scored.
    """
    count = samples_at_equal_storage(synthetic.num_stored_values(), bench.splits.spec)
    num_classes = bench.splits.spec.num_outputs

    def trained(seed: int | str, rate: float | None) -> tuple[Tensor, LabelledSet, float]:
        data = random_real(bench.splits.train, count, num_classes, _generator("random real", count, seed))
        theta = _start_as_distilled(bench, synthetic, seed)
        batches = list(_real_in_place(synthetic, data, rate))
        began = _now(bench)
        theta = follow(bench.student, theta, iter(batches), synthetic.training)
        return theta, data, _now(bench) - began

    yield Progress("choose rates for random real images", 0, 1)
    candidates: tuple[float | None, ...] = (None, *CONSTANT_RATES)
    tried = {rate: accuracy(bench.student, trained("rates", rate)[0], bench.splits.validation) for rate in candidates}
    best = max(tried, key=tried.__getitem__)
    recipe = (
        "learned rates"
        if best is None
        else f"constant rate {best:g}, better for real images on validation data than the learned ones"
    )
    for seed in range(bench.evaluation.num_students):
        theta, data, seconds = trained(seed, best)
        yield _score(
            bench,
            "random_real",
            "as_distilled",
            seed,
            theta,
            seconds,
            len(data),
            data.raw_bytes,
            f"{synthetic.training.num_steps} steps of {synthetic.training.rule}, {recipe}",
        )


def _distilled_arms(bench: Bench, synthetic: SyntheticSet) -> Generator[Event, None, None]:
    inputs, targets = synthetic.materialise()
    training, num_students = synthetic.training, bench.evaluation.num_students
    fixed = training.start_seed is not None
    for seed in range(1 if fixed else num_students):
        theta = _start_as_distilled(bench, synthetic, seed)
        began = _now(bench)
        theta = as_distilled(bench.student, theta, synthetic)
        seconds = _now(bench) - began
        note = ", the one start it was made for" if fixed else ""
        yield _score(
            bench,
            "distilled",
            "as_distilled",
            seed,
            theta,
            seconds,
            len(inputs),
            synthetic.num_bytes(),
            f"{training.num_steps} steps of {training.rule}, learned rates{note}",
        )
    data = LabelledSet(inputs, targets, lambda x: x)
    recipe = yield from _best_recipe(bench, data)
    for seed in range(num_students):
        yield Progress(f"train {bench.title} on the distilled set as ordinary data", seed, num_students)
        theta, seconds = yield from _train(bench, data, recipe, seed)
        yield _score(
            bench, "distilled", "ordinary", seed, theta, seconds, len(data), synthetic.num_bytes(), str(recipe)
        )


def _ordinary_arm(
    bench: Bench, arm: str, draw: Callable[[int], LabelledSet], split: str
) -> Generator[Event, None, None]:
    recipe = None
    for seed in range(bench.evaluation.num_students):
        data = draw(seed)
        if recipe is None:
            recipe = yield from _cached_recipe(bench, arm, draw(-1))
        yield Progress(f"train {bench.title} on random real images", seed, bench.evaluation.num_students)
        yield from _cached(bench, arm, data, recipe, seed, split)


def _best_recipe(bench: Bench, data: LabelledSet) -> Generator[Event, None, Recipe]:
    """The rate of SMALL_SET_LRS that does best on validation data."""
    tried: dict[Recipe, float] = {}
    for number, lr in enumerate(SMALL_SET_LRS):
        yield Progress("choose a learning rate on validation data", number, len(SMALL_SET_LRS))
        recipe = Recipe(bench.evaluation.ordinary_steps, bench.evaluation.batch_size, lr)
        theta, _ = yield from _train(bench, data, recipe, -1)
        tried[recipe] = accuracy(bench.student, theta, bench.splits.validation)
    return max(tried, key=tried.__getitem__)


def _train(bench: Bench, data: LabelledSet, recipe: Recipe, seed: int) -> Generator[Event, None, tuple[Tensor, float]]:
    """One student trained as on ordinary data: weights and seconds. Yields Progress about once a second."""
    path = ordinary(
        bench.student,
        bench.start(seed),
        data,
        recipe,
        _generator("minibatches", seed),
        bench.splits.augment,
    )
    began = said = _now(bench)
    for step, trained in enumerate(path):
        theta = trained
        if time.perf_counter() - said > 0.5:
            said = time.perf_counter()
            yield Progress(f"train {bench.title} on {len(data):,} samples", step, recipe.num_steps)
    return theta, _now(bench) - began


def _cached_recipe(bench: Bench, arm: str, data: LabelledSet) -> Generator[Event, None, Recipe]:
    evaluation = bench.evaluation
    path = _cache_path(
        bench,
        {
            "arm": arm,
            "choose": SMALL_SET_LRS,
            "steps": evaluation.ordinary_steps,
            "batch": evaluation.batch_size,
            "n": len(data),
        },
    )
    if path.exists():
        return Recipe(**json.loads(path.read_text()))
    recipe = yield from _best_recipe(bench, data)
    _write(path, asdict(recipe))
    return recipe


def _cached(
    bench: Bench, arm: str, data: LabelledSet, recipe: Recipe, seed: int, split: str
) -> Generator[Event, None, None]:
    """One score of a real arm under the ordinary protocol, from the cache if it was ever measured."""
    path = _cache_path(bench, {"arm": arm, "recipe": asdict(recipe), "seed": seed, "n": len(data)})
    known = path.exists()
    if known:
        record = json.loads(path.read_text())
    else:
        theta, seconds = yield from _train(bench, data, recipe, seed)
        record = {
            "validation": accuracy(bench.student, theta, bench.splits.validation),
            "test": accuracy(bench.student, theta, bench.splits.test),
            "seconds": seconds,
            "machine": machine.describe(),
        }
        _write(path, record)
    yield Scored(
        arm=arm, protocol="ordinary", student=bench.student.name, seed=seed, metric="accuracy", value=record[split], seconds=record["seconds"],
        split=split, num_samples=len(data), num_bytes=data.raw_bytes, recipe=str(recipe), cached=known,
    )  # fmt: skip


def _cache_path(bench: Bench, parts: dict) -> Path:
    key = {
        "data": bench.splits.fingerprint,
        "student": bench.student_config.model_dump(mode="json"),
        "device": bench.context.device.type,
        "version": 1,
        **parts,
    }
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()
    return bench.context.cache_root / "real_arms" / f"{digest}.json"


def _write(path: Path, record: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(record))
    partial.replace(path)


def _score(
    bench: Bench,
    arm: str,
    protocol: str,
    seed: int,
    theta: Tensor,
    seconds: float,
    count: int,
    num_bytes: int,
    recipe: str,
) -> Scored:
    value = accuracy(bench.student, theta, bench.splits.test)
    return Scored(
        arm=arm, protocol=protocol, student=bench.student.name, seed=seed, metric="accuracy", value=value, seconds=seconds,
        num_samples=count, num_bytes=num_bytes, recipe=recipe,
    )  # fmt: skip


def _start_as_distilled(bench: Bench, synthetic: SyntheticSet, seed: int | str) -> Tensor:
    if synthetic.training.start_seed is not None:
        return bench.student.init(torch.Generator().manual_seed(synthetic.training.start_seed))
    return bench.start(seed)


def _real_in_place(synthetic: SyntheticSet, data: LabelledSet, rate: float | None) -> Iterator[Batch]:
    """The synthetic set's schedule with real images: as many batches, the real ones dealt out over them class by class."""
    steps = list(synthetic.batches())
    num_batches = max(1, round(len(synthetic.materialise()[0]) / len(steps[0].inputs)))
    hands = [torch.arange(start, len(data), num_batches) for start in range(num_batches)]
    for number, step in enumerate(steps):
        inputs, targets = data.batch(hands[number % num_batches])
        yield Batch(inputs, targets, step.lr.detach() if rate is None else torch.full_like(step.lr, rate))


def architectures(config: StudentConfig, evaluation: EvaluationConfig) -> list[StudentConfig]:
    """The distilling architecture first, then the others that are to be tested."""
    others = [config.model_copy(update={"name": name}) for name in evaluation.students if name != config.name]
    return [config, *others]


def _now(bench: Bench) -> float:
    """Seconds on a clock, once the device has done all that was asked of it."""
    if bench.context.device.type == "cuda":
        torch.cuda.synchronize(bench.context.device)
    return time.perf_counter()


def _generator(*names: str | int) -> torch.Generator:
    """Randomness of evaluation: the same for every run, whatever its seed, so that arms are comparable and shared."""
    return Context(seed=0).stream("evaluation", *names)
