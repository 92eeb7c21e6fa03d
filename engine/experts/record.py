"""Recording experts, or taking them from where an earlier run left them.

A recording is named by everything it depends on: data and their preparation, student, the experts' own settings. Their number
is no part of that: more experts are added to those that are there. What is recorded stays: a stop loses the epoch under
way, a broken file is named and recorded again.

Source: Cazenavette et al. 2022, arXiv:2203.11932, section 3.1 (100 experts of 50 epochs, kept after each).
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from engine import checkpoint
from engine.config import StudentConfig
from engine.context import Context
from engine.data.source import LabelledSet, Splits
from engine.errors import ConfigError, DataError, Diverged
from engine.evaluation.train import accuracy
from engine.events import Event, ExpertEpoch, Warned
from engine.experts import train
from engine.experts.buffer import DTYPES, Buffer, ExpertFile, Manifest, buffers_root, hash_of, read_manifest, shape_of
from engine.experts.config import ExpertsConfig
from engine.experts.train import Standing
from engine.nets.student import Student
from engine.ticking import paced

RECIPE = 1
"""Part of every key; raise it when experts are trained otherwise from the same settings."""
CURVE_IMAGES = 2000
"""Validation images that an expert is tried on after every epoch, always the same."""
GUESSING = 3.0
"""An expert that is not so many standard errors above guessing has not learned."""

Curve = list[dict[str, Any]]


def disk_bytes(config: ExpertsConfig, num_params: int, num_experts: int | None = None) -> int:
    """Bytes on disk of all experts, or of so many: the weights before training and after each epoch."""
    count = config.num_experts if num_experts is None else num_experts
    return count * (config.epochs + 1) * num_params * DTYPES[config.dtype][0].itemsize


def key_of(splits: Splits, student_config: StudentConfig, config: ExpertsConfig) -> dict[str, Any]:
    """Everything that the weights of an expert depend on besides its number."""
    return {
        "recipe": RECIPE,
        "data": splits.fingerprint,
        "student": student_config.model_dump(mode="json"),
        "experts": config.model_dump(mode="json", exclude={"num_experts", "folder"}),
    }


def folder_of(key: dict[str, Any], cache_root: Path) -> Path:
    """Where a recording lies in the cache."""
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
    return buffers_root(cache_root) / digest


def load_or_record(
    student: Student, splits: Splits, student_config: StudentConfig, config: ExpertsConfig, context: Context
) -> Generator[Event, None, Buffer]:
    """All experts of a config, those that are recorded already and the others recorded now.

    Yields ExpertEpoch for every epoch of every expert, Progress while one takes long, and Warned for a broken file and for experts that did not
    learn. Raises ConfigError where a given folder does not fit, Diverged where an expert does, OSError where the disk
    refuses: what is recorded until then stays.
    """
    key = key_of(splits, student_config, config)
    if config.folder:
        folder, manifest = Path(config.folder).expanduser(), _given(config, key, student)
    else:
        folder = folder_of(key, context.cache_root)
        manifest = read_manifest(folder) or Manifest(
            key, splits.title, student_config.name, student.num_params, config.epochs, config.dtype
        )
        folder.mkdir(parents=True, exist_ok=True)
    wanted = min(config.num_experts, len(manifest.experts)) if config.folder else config.num_experts
    files, accuracies = [], []
    for number in range(wanted):
        known = yield from _known(folder, manifest, number, wanted, "left out" if config.folder else "recorded again")
        if known is None:
            if config.folder:
                continue
            known = yield from _record(student, splits, config, folder, manifest, number)
        files.append(folder / known["file"])
        accuracies.append(known["curve"][-1]["validation_accuracy"])
        if not _is_above_guessing(accuracies[-1], splits):
            yield Warned(
                f"Expert {number + 1} of {wanted} did not learn: {accuracies[-1]:.1%} on validation images is no better than guessing. "
                f"Raise the experts' learning rate or epochs."
            )
    if not files:
        raise ConfigError(
            f"None of the experts in '{config.folder}' can be read. Leave the experts' folder empty to record new ones."
        )
    return Buffer(tuple(files), tuple(accuracies), manifest.num_epochs, manifest.num_params)


def _known(
    folder: Path, manifest: Manifest, number: int, wanted: int, otherwise: str
) -> Generator[Event, None, dict[str, Any] | None]:
    """What the manifest says of an expert whose file is sound, its epochs told; None where there is none."""
    known = manifest.experts.get(str(number))
    if known is None:
        return None
    problem = yield from _problem(folder, manifest, known)
    if problem:
        yield Warned(f"Expert {number + 1} of {wanted}, {folder.name}/{known['file']}, {problem}. It is {otherwise}.")
        return None
    for row in known["curve"]:
        yield ExpertEpoch(number, num_experts=wanted, num_epochs=manifest.num_epochs, cached=True, **row)
    return known


def _given(config: ExpertsConfig, key: dict[str, Any], student: Student) -> Manifest:
    """The manifest of a folder that the user names. Raises ConfigError unless it holds experts of this student on these data."""
    manifest = read_manifest(Path(config.folder).expanduser())
    if manifest is None:
        raise ConfigError(
            f"There are no experts in '{config.folder}': it has no manifest.json that can be read. Name a folder that a "
            f"recording made, or leave it empty to record experts here."
        )
    if manifest.num_params != student.num_params:
        raise ConfigError(
            f"The experts in '{config.folder}' are networks '{manifest.student}' of {manifest.num_params:,} weights; this run's "
            f"student '{student.name}' has {student.num_params:,}. Choose the same student, or other experts."
        )
    for part, what in (
        ("student", "of another student"),
        ("data", "recorded on other data, or on data prepared otherwise"),
    ):
        if manifest.key.get(part) != key[part]:
            raise ConfigError(
                f"The experts in '{config.folder}' are {what}: {manifest.student} on {manifest.source}. Choose the settings they were "
                f"recorded with, or other experts."
            )
    return manifest


def _problem(folder: Path, manifest: Manifest, known: dict[str, Any]) -> Generator[Event, None, str]:
    """What is wrong with an expert's file, as the end of a sentence; "" where it is sound."""
    path = folder / known["file"]
    if not path.exists():
        return "is missing"
    total = max(1, path.stat().st_size)
    if (yield from paced(f"check {path.name}", hash_of(path), total)) != known["hash"]:
        return "is damaged: it is not what was recorded"
    try:
        rows, num_params = shape_of(path)
    except DataError as error:
        return f"is damaged: {error}"
    if (rows, num_params) != (manifest.num_epochs + 1, manifest.num_params):
        return f"holds {rows} times {num_params:,} weights instead of {manifest.num_epochs + 1} times {manifest.num_params:,}"
    return ""


def _record(
    student: Student, splits: Splits, config: ExpertsConfig, folder: Path, manifest: Manifest, number: int
) -> Generator[Event, None, dict[str, Any]]:
    """Train one expert, from where its training was left; keep its weights after each epoch. Returns its part of the manifest."""
    name = f"expert-{number:04d}"
    partial, states = folder / f"{name}.part", folder / f"{name}.state"
    file = ExpertFile(partial, config.epochs + 1, student.num_params, config.dtype)
    stream = Context(seed=config.seed).stream
    judge = _judges(splits.validation)
    found = checkpoint.load_latest(states, lambda damage: None) if partial.exists() else None
    if found is None:
        theta = student.init(stream("expert", number, "start"))
        standing, curve = Standing(theta, torch.zeros_like(theta)), []
        file.create()
        _keep(file, states, standing, curve, _row(student, standing, judge, 0, None, 0.0))
    else:
        state = found[1]
        standing = Standing(state["theta"].to(student.device), state["velocity"].to(student.device))
        curve = json.loads(state["curve"])
    for row in curve:
        yield _told(config, number, row)
    for epoch in range(len(curve) - 1, config.epochs):
        began = time.perf_counter()
        steps = train.num_steps(config, len(splits.train))
        path = train.epoch(student, standing, splits, config, epoch, stream("expert", number, "epoch", epoch))
        phase = f"record expert {number + 1} of {config.num_experts}, epoch {epoch + 1} of {config.epochs}"
        standing = yield from paced(phase, path, steps)
        seconds = time.perf_counter() - began
        if not torch.isfinite(standing.theta).all():
            raise Diverged(
                f"The weights of expert {number + 1} became infinite or NaN in epoch {epoch + 1}. Lower the experts' learning rate.",
                quantity="expert weights", step=0,
            )  # fmt: skip
        row = _row(student, standing, judge, epoch + 1, standing.loss / steps, seconds)
        _keep(file, states, standing, curve, row)
        yield _told(config, number, row)
    final = partial.with_name(f"{name}.safetensors")
    digest = yield from paced(f"check {name}", hash_of(partial), max(1, partial.stat().st_size))
    partial.replace(final)
    # read anew: another process may have added an expert meanwhile
    there = read_manifest(folder) or manifest
    manifest.experts.update(there.experts)
    manifest.experts[str(number)] = {"file": final.name, "hash": digest, "curve": curve}
    manifest.write(folder)
    shutil.rmtree(states)
    return manifest.experts[str(number)]


def _keep(file: ExpertFile, states: Path, standing: Standing, curve: Curve, row: dict[str, Any]) -> None:
    """Put the weights after an epoch into the expert's file, and then where its training stands beside it."""
    file.write(row["epoch"], standing.theta)
    curve.append(row)
    state = {"theta": standing.theta, "velocity": standing.velocity, "curve": json.dumps(curve)}
    checkpoint.save(states, row["epoch"], state)


def _row(
    student: Student, standing: Standing, judge: LabelledSet, epoch: int, train_loss: float | None, seconds: float
) -> dict[str, Any]:
    found = accuracy(student, standing.theta, judge)
    return {"epoch": epoch, "train_loss": train_loss, "validation_accuracy": found, "seconds": seconds}


def _told(config: ExpertsConfig, number: int, row: dict[str, Any]) -> ExpertEpoch:
    return ExpertEpoch(number, num_experts=config.num_experts, num_epochs=config.epochs, **row)


def _judges(validation: LabelledSet) -> LabelledSet:
    """At most CURVE_IMAGES of the validation images, the same for every expert."""
    order = torch.randperm(len(validation), generator=torch.Generator().manual_seed(0))
    return validation.subset(order[:CURVE_IMAGES].sort()[0])


def _is_above_guessing(found: float, splits: Splits) -> bool:
    """Whether an accuracy on an expert's validation images is more than chance."""
    chance, judges = 1 / splits.spec.num_outputs, min(CURVE_IMAGES, len(splits.validation))
    return found > chance + GUESSING * math.sqrt(chance * (1 - chance) / judges)
