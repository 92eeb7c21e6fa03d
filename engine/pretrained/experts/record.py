"""Recording experts, or taking them from where an earlier run left them.

A recording is named by everything it depends on: data and their preparation, student, the experts' own settings. Their number
is no part of that: more experts are added to those that are there. What is recorded stays: a stop loses the epoch under
way, a broken file is named and recorded again.

Source: Cazenavette et al. 2022, arXiv:2203.11932, section 3.1 (100 experts of 50 epochs, kept after each).
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch

from engine.core import checkpoint
from engine.core.config import StudentConfig
from engine.core.context import Context
from engine.core.errors import ConfigError, DataError, Diverged
from engine.core.events import Event, ExpertEpoch, Warned
from engine.core.options import in_effect
from engine.core.progress import paced
from engine.data.source import LabelledSet, Splits
from engine.evaluation.train import accuracy
from engine.nets.student import Student
from engine.pretrained.experts import train
from engine.pretrained.experts.buffer import (
    DTYPES,
    Buffer,
    Expert,
    ExpertFile,
    Manifest,
    Point,
    buffers_root,
    read_manifest,
    shape_of,
)
from engine.pretrained.experts.config import ExpertsConfig
from engine.pretrained.experts.train import Standing
from engine.pretrained.recording import MANIFEST, folder_in, hash_of, locked, taken

RECIPE = 1
"""Part of every key; raise it when experts are trained otherwise from the same settings."""
CURVE_IMAGES = 2000
"""Validation images that an expert is tried on after every epoch, always the same."""
GUESSING = 3.0
"""An expert that is not so many standard errors above guessing has not learned."""


def disk_bytes(config: ExpertsConfig, num_params: int, num_experts: int | None = None) -> int:
    """Bytes on disk of all experts, or of so many: the weights before training and after each epoch."""
    count = config.num_experts if num_experts is None else num_experts
    return count * (config.epochs + 1) * num_params * DTYPES[config.dtype][0].itemsize


def key_of(splits: Splits, student_config: StudentConfig, config: ExpertsConfig) -> dict[str, Any]:
    """Everything that the weights of an expert depend on besides its number."""
    return {
        "recipe": RECIPE,
        "data": splits.fingerprint,
        "student": in_effect(student_config),
        "experts": {name: value for name, value in in_effect(config).items() if name not in ("num_experts", "folder")},
    }


def folder_of(key: dict[str, Any], cache_root: Path) -> Path:
    """Where a recording lies in the cache."""
    return folder_in(buffers_root(cache_root), key)


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
        folder, manifest = given_folder(config), _given(config, key, student)
        numbers = sorted(int(number) for number in manifest.experts)[: config.num_experts]
        config = config.model_copy(update={"num_experts": len(numbers)})
    else:
        folder, numbers = folder_of(key, context.cache_root), list(range(config.num_experts))
        manifest = yield from _begun(folder, key, splits, student, student_config, config)
    found: dict[int, Expert] = {}
    guessing = _guessing(splits)
    for number in numbers:
        known = yield from _known(folder, manifest, number, config)
        if known is None and not config.folder:
            known = yield from _record_alone(student, splits, config, folder, manifest, number)
        if known is None:
            continue
        found[number] = known
        accuracy_at_end = known["curve"][-1]["validation_accuracy"]
        if accuracy_at_end <= guessing:
            yield Warned(
                f"Expert {number + 1} did not learn: {accuracy_at_end:.1%} on validation images is no better than guessing. "
                f"Raise the experts' learning rate or epochs."
            )
    if not found:
        raise ConfigError(
            f"None of the experts in '{config.folder}' can be read. Leave the experts' folder empty to record new ones."
        )
    files = tuple(folder / expert["file"] for expert in found.values())
    ends = tuple(expert["curve"][-1]["validation_accuracy"] for expert in found.values())
    return Buffer(files, tuple(found), ends, manifest.num_epochs, manifest.num_params)


def given_folder(config: ExpertsConfig) -> Path:
    """The folder that a config names. Raises ConfigError where it is no path."""
    try:
        return Path(config.folder).expanduser()
    except RuntimeError:
        raise ConfigError(f"The experts' folder '{config.folder}' names a home that is not on this machine.") from None


def _begun(
    folder: Path,
    key: dict[str, Any],
    splits: Splits,
    student: Student,
    student_config: StudentConfig,
    config: ExpertsConfig,
) -> Generator[Event, None, Manifest]:
    """The manifest of a recording in the cache: what is there, or a new one."""
    manifest = read_manifest(folder)
    if manifest is None:
        if (folder / MANIFEST).exists():
            yield Warned(f"{folder.name}/{MANIFEST} of the experts is damaged. They are recorded again.")
        folder.mkdir(parents=True, exist_ok=True)
        manifest = Manifest(key, splits.title, student_config.name, student.num_params, config.epochs, config.dtype)
        manifest.write(folder)
    return manifest


def _known(
    folder: Path, manifest: Manifest, number: int, config: ExpertsConfig
) -> Generator[Event, None, Expert | None]:
    """What the manifest says of an expert whose file is sound, its epochs told; None where there is none."""
    known = manifest.experts.get(str(number))
    if known is None:
        return None
    problem = yield from _problem(folder, manifest, known)
    if problem:
        otherwise = "left out" if config.folder else "recorded again"
        yield Warned(f"Expert {number + 1}, {folder.name}/{known['file']}, {problem}. It is {otherwise}.")
        return None
    for row in known["curve"]:
        yield _told(config, number, row, manifest.num_epochs, cached=True)
    return known


def _record_alone(
    student: Student, splits: Splits, config: ExpertsConfig, folder: Path, manifest: Manifest, number: int
) -> Generator[Event, None, Expert]:
    """Record one expert while no other process records in this folder; what another one has recorded meanwhile is taken."""
    with locked(folder) as take:
        yield from taken(take, "wait for experts that another run records")
        before = manifest.experts.get(str(number))
        manifest.experts.update((read_manifest(folder) or manifest).experts)
        if manifest.experts.get(str(number)) != before:
            known = yield from _known(folder, manifest, number, config)
            if known is not None:
                return known
        return (yield from _record(student, splits, config, folder, manifest, number))


def _given(config: ExpertsConfig, key: dict[str, Any], student: Student) -> Manifest:
    """The manifest of a folder that the user names. Raises ConfigError unless it holds experts of this student on these data."""
    manifest = read_manifest(given_folder(config))
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


def _problem(folder: Path, manifest: Manifest, known: Expert) -> Generator[Event, None, str]:
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
) -> Generator[Event, None, Expert]:
    """Train one expert, from where its training was left; keep its weights after each epoch. Returns its part of the manifest."""
    name = f"expert-{number:04d}"
    partial, final, states = folder / f"{name}.part", folder / f"{name}.safetensors", folder / f"{name}.state"
    if final.exists() and states.exists() and not partial.exists():
        final.replace(partial)  # it was complete, but the manifest could not be written
    file = ExpertFile(partial, config.epochs + 1, student.num_params, config.dtype)
    stream = Context(seed=config.seed).stream
    judge = _judges(splits.validation)
    found = checkpoint.load_latest(states, lambda damage: None) if partial.exists() else None
    if found is None:
        theta = student.init(stream("expert", number, "start"))
        standing, curve = Standing(theta, torch.zeros_like(theta)), []
        file.create()
        _keep(file, states, standing, curve, _row(student, standing, judge, 0, None, 0.0))
        yield _told(config, number, curve[0], config.epochs)
    else:
        state = found[1]
        standing = Standing(state["theta"].to(student.device), state["velocity"].to(student.device))
        curve = json.loads(state["curve"])
        for row in curve:
            yield _told(config, number, row, config.epochs, cached=True)
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
        yield _told(config, number, row, config.epochs)
    digest = yield from paced(f"check {name}", hash_of(partial), max(1, partial.stat().st_size))
    partial.replace(final)
    manifest.experts[str(number)] = {"file": final.name, "hash": digest, "curve": curve}
    manifest.write(folder)
    shutil.rmtree(states)
    return manifest.experts[str(number)]


def _keep(file: ExpertFile, states: Path, standing: Standing, curve: list[Point], row: Point) -> None:
    """Put the weights after an epoch into the expert's file, and then where its training stands beside it."""
    file.write(row["epoch"], standing.theta)
    curve.append(row)
    state = {"theta": standing.theta, "velocity": standing.velocity, "curve": json.dumps(curve)}
    checkpoint.save(states, row["epoch"], state)


def _row(
    student: Student, standing: Standing, judge: LabelledSet, epoch: int, train_loss: float | None, seconds: float
) -> Point:
    found = accuracy(student, standing.theta, judge)
    return {"epoch": epoch, "train_loss": train_loss, "validation_accuracy": found, "seconds": seconds}


def _told(config: ExpertsConfig, number: int, row: Point, num_epochs: int, *, cached: bool = False) -> ExpertEpoch:
    return ExpertEpoch(number, num_experts=config.num_experts, num_epochs=num_epochs, cached=cached, **row)


def _judges(validation: LabelledSet) -> LabelledSet:
    """At most CURVE_IMAGES of the validation images, the same for every expert."""
    order = torch.randperm(len(validation), generator=torch.Generator().manual_seed(0))
    return validation.subset(order[:CURVE_IMAGES].sort()[0])


def _guessing(splits: Splits) -> float:
    """The accuracy on an expert's validation images that is not clearly more than the largest class alone gives."""
    targets = _judges(splits.validation).targets
    share = targets.bincount().max().item() / len(targets)
    return share + GUESSING * math.sqrt(share * (1 - share) / len(targets))
