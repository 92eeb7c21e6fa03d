"""What every arm of a comparison shares: the data, one student and its starts, draws of real images, the cache."""

import hashlib
import json
import math
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.core import machine
from engine.core.config import EvaluationConfig, StudentConfig
from engine.core.context import Context
from engine.core.events import Scored
from engine.data.source import LabelledSet, Splits
from engine.evaluation import baselines
from engine.evaluation.plan import Training
from engine.evaluation.scores import HEADLINE
from engine.nets import make_student
from engine.nets.student import Student

SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Bench:
    """What every arm shares: the data, one architecture, and how much to train.

    flops: of one sample's forward pass. is_own: whether the set was distilled for this architecture.
    note: what every recipe ends with.
    """

    splits: Splits
    student: Student
    student_config: StudentConfig
    evaluation: EvaluationConfig
    context: Context
    flops: int
    is_own: bool = True
    note: str = ""
    _drawn: dict[tuple[str, int, int | str], LabelledSet] = field(default_factory=dict, repr=False, compare=False)

    def enter(self) -> None:
        """Set this thread up for the architecture: its number of threads and the precision of its products."""
        machine.set_precision(self.student_config.precision)
        machine.set_threads(self.flops)

    def now(self) -> float:
        """Seconds on a clock, once the device has done all that was asked of it."""
        if self.context.device.type == "cuda":
            torch.cuda.synchronize(self.context.device)
        return time.perf_counter()

    def start(self, seed: int | str) -> Tensor:
        """Weights of the student number `seed`; the same for every run, so that arms can be shared between runs."""
        return self.student.init(generator_of("start", self.student.name, seed))

    def start_of(self, start_seed: int | None, seed: int | str) -> Tensor:
        """The same, or the one start that a set was made for, where it was made for one."""
        if start_seed is None:
            return self.start(seed)
        return self.student.init(torch.Generator().manual_seed(start_seed))

    def real(self, arm: str, count: int, seed: int | str) -> LabelledSet:
        """`count` real samples of a small arm of `baselines.DRAWS`, the same for every run. The last draw is kept."""
        key = arm, count, seed
        if key not in self._drawn:
            generator = generator_of(arm.replace("_", " "), count, seed)
            self._drawn.clear()
            self._drawn[key] = baselines.DRAWS[arm](self.splits.train, count, self.splits.spec.num_outputs, generator)
        return self._drawn[key]

    def scored(self, training: Training, recipe: str, numbers: dict[str, Any] | None = None) -> Scored:
        """The score of a student whose value, seed and split are still to be filled in; numbers: the recipe's."""
        told, size = recipe + self.note, (training.num_samples, training.num_bytes)
        names = training.arm, training.protocol, self.student.name
        return Scored(*names, 0, HEADLINE, math.nan, 0.0, "test", *size, told, numbers or {})


def make_bench(
    splits: Splits, config: StudentConfig, evaluation: EvaluationConfig, context: Context, *, is_own: bool = True
) -> Bench:
    """A bench for one architecture on the context's device, with this thread set up for it.

    Architectures other than the set's own are measured on `evaluation.other_images` validation and test images.
    """
    student = make_student(config, splits.spec, context.device)
    measured = splits if is_own else fewer(splits, evaluation.other_images)
    is_part = len(measured.test) < len(splits.test)
    note = f", measured on {len(measured.test):,} test images" if is_part else ""
    flops = student.flops(splits.spec.sample_shape)
    bench = Bench(measured, student, config, evaluation, context, flops, is_own, note)
    bench.enter()
    return bench


def fewer(splits: Splits, count: int) -> Splits:
    """The same with at most `count` validation and as many test images, always the same ones; all of them for 0.

    Each class keeps its share, so that accuracies go on meaning the same where classes are not equally large.
    """
    if not count or count >= max(len(splits.validation), len(splits.test)):
        return splits
    validation, test = _part(splits.validation, count, "validation"), _part(splits.test, count, "test")
    return replace(splits, validation=validation, test=test, fingerprint=f"{splits.fingerprint}, {count} measured")


def _part(data: LabelledSet, count: int, name: str) -> LabelledSet:
    """`count` samples evenly spread over all of them, sorted by class and in random order within a class."""
    if len(data) <= count:
        return data
    order = torch.randperm(len(data), generator=generator_of("measured", name, count))
    by_class = order[data.targets.cpu()[order].argsort(stable=True)]
    return data.subset(by_class[torch.arange(count) * len(data) // count])


def cache_path(bench: Bench, parts: dict) -> Path:
    """A file for everything a real arm's score and seconds depend on."""
    facts = machine.describe()
    key = {
        "data": bench.splits.fingerprint,
        "student": bench.student_config.model_dump(mode="json"),
        "device": bench.context.device.type,
        "machine": {name: facts[name] for name in ("processor", "gpu", "torch")},
        "threads": torch.get_num_threads(),
        **parts,
    }
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()
    return bench.context.cache_root / "real_arms" / f"{digest}.json"


def read_record(path: Path) -> dict | None:
    """A cached record; None where there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write_record(path: Path, record: dict) -> None:
    """Keep a record where `read_record` finds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # another process may measure the same arm
    partial.write_text(json.dumps(record))
    partial.replace(path)


def generator_of(*names: str | int) -> torch.Generator:
    """Randomness of evaluation: the same for every run, whatever its seed, so that arms are comparable and shared."""
    return Context(seed=0).stream("evaluation", *names)
