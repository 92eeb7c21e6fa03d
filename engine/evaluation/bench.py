"""What every arm of a comparison shares: the data, one student and its starts, and the cache."""

import hashlib
import json
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.core import machine
from engine.core.config import EvaluationConfig, StudentConfig
from engine.core.context import Context
from engine.core.events import Scored
from engine.data.source import LabelledSet, Splits
from engine.evaluation.plan import Training
from engine.evaluation.scores import HEADLINE
from engine.nets import make_student
from engine.nets.student import Student

SPLITS = ("validation", "test")
UNCHOSEN = "nothing is chosen, for there is no validation set"
"""Appended to the recipes of a run that trains on all images."""


@dataclass(frozen=True)
class Bench:
    """What every arm shares: the data, one architecture, and the settings of the evaluation.

    flops: of one sample's forward pass. is_own: whether the set was distilled for this architecture.
    note: appended to every recipe.
    """

    splits: Splits
    student: Student
    student_config: StudentConfig
    evaluation: EvaluationConfig
    context: Context
    flops: int
    is_own: bool = True
    note: str = ""

    def enter(self) -> None:
        """Set this thread's number of threads and matrix precision for the architecture."""
        machine.set_precision(self.student_config.precision)
        machine.set_threads(self.flops)

    def now(self) -> float:
        """The time in seconds, after waiting for the device."""
        if self.context.device.type == "cuda":
            torch.cuda.synchronize(self.context.device)
        return time.perf_counter()

    def start(self, seed: int | str) -> Tensor:
        """Initial weights of student number `seed`, the same in every run so that runs can share arms."""
        return self.student.init(generator_of("start", self.student.name, seed))

    def start_of(self, start_seed: int | None, seed: int | str) -> Tensor:
        """The same, or the single start that a set was made for."""
        if start_seed is None:
            return self.start(seed)
        return self.student.init(torch.Generator().manual_seed(start_seed))

    def scored(self, training: Training, recipe: str, numbers: dict[str, Any] | None = None) -> Scored:
        """A score without its value, seed and split. numbers: hyperparameters of the recipe."""
        norms = ""
        if self.student.has_batch_norm and training.arm != "teacher":
            seen = "real training images" if training.arm == "untrained" else "what it was trained on"
            norms = f"; batch norms fixed on {seen}"
        told, size = recipe + norms + self.note, (training.num_samples, training.num_bytes)
        names = training.arm, training.protocol, self.student.name
        return Scored(*names, 0, HEADLINE, math.nan, 0.0, "test", *size, told, numbers or {})


def make_bench(
    splits: Splits,
    config: StudentConfig,
    evaluation: EvaluationConfig,
    context: Context,
    *,
    is_own: bool = True,
    key: str = "",
) -> Bench:
    """A bench for one architecture on the context's device; sets this thread up for it.

    Architectures other than the set's own are measured on `evaluation.other_images` validation and test images.
    key: what scores call it, if not by its name.
    """
    student = make_student(config, splits.spec, context.device, key)
    measured = splits if is_own else fewer(splits, evaluation.other_images)
    is_part = len(measured.test) < len(splits.test)
    note = f", measured on {len(measured.test):,} test images" if is_part else ""
    if "validation" not in measured.measured:
        note += f"; {UNCHOSEN}"
    flops = student.flops(splits.spec.sample_shape)
    bench = Bench(measured, student, config, evaluation, context, flops, is_own, note)
    bench.enter()
    return bench


def fewer(splits: Splits, count: int) -> Splits:
    """Splits with a fixed stratified sample of at most `count` validation and `count` test images; all for 0."""
    if not count or count >= max(len(splits.validation), len(splits.test)):
        return splits
    validation, test = _part(splits.validation, count, "validation"), _part(splits.test, count, "test")
    return replace(splits, validation=validation, test=test, fingerprint=f"{splits.fingerprint}, {count} measured")


def _part(data: LabelledSet, count: int, name: str) -> LabelledSet:
    """`count` samples, stratified: evenly spaced after sorting by class, in random order within a class."""
    if len(data) <= count:
        return data
    order = torch.randperm(len(data), generator=generator_of("measured", name, count))
    by_class = order[data.targets.cpu()[order].argsort(stable=True)]
    return data.subset(by_class[torch.arange(count) * len(data) // count])


def cache_path(bench: Bench, parts: dict) -> Path:
    """The cache file of a real arm, named by a hash of all that its score and seconds depend on."""
    facts = machine.describe()
    key = {
        "data": bench.splits.fingerprint,
        "student": bench.student_config.model_dump(mode="json"),
        "device": bench.context.device.type,
        "machine": {name: facts[name] for name in ("processor", "gpu", "torch")},
        "threads": torch.get_num_threads(),
        **({"batch norms": "fixed"} if bench.student.has_batch_norm else {}),
        **parts,
    }
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=16).hexdigest()
    return bench.context.cache_root / "real_arms" / f"{digest}.json"


def read_record(path: Path) -> dict | None:
    """A cached record, None if it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write_record(path: Path, record: dict) -> None:
    """Write a record for `read_record`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # another process may measure the same arm
    partial.write_text(json.dumps(record))
    partial.replace(path)


def generator_of(*names: str | int) -> torch.Generator:
    """Randomness of evaluation, independent of a run's seed so that runs can share and compare arms."""
    return Context(seed=0).stream("evaluation", *names)
