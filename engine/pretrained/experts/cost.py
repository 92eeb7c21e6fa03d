"""What the experts of a run take, before they are recorded: how many there are already, bytes, and seconds by a timed step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import torch
from torch import Tensor

from engine.core import checkpoint
from engine.core.config import MethodConfig, StudentConfig
from engine.core.context import Context
from engine.core.events import Event, Progress
from engine.data.source import Splits, TaskSpec
from engine.evaluation.train import accuracy
from engine.nets import make_student
from engine.nets.student import Student
from engine.pretrained.experts import train
from engine.pretrained.experts.buffer import read_manifest
from engine.pretrained.experts.config import ExpertsConfig
from engine.pretrained.experts.record import CURVE_IMAGES, disk_bytes, folder_of, given_folder, key_of
from engine.pretrained.experts.train import Standing
from engine.pretrained.recording import RecordingPlan

TIMED_SECONDS = 0.5
MOST_TIMED = 50
"""Steps are timed until one of the two is reached."""


def plan(config: MethodConfig, spec: TaskSpec) -> RecordingPlan | None:
    """The need of a method's config, as if no expert were recorded: that is known once the data are read.

    None for a method that follows none, and for experts that lie in a folder of their own.
    """
    experts: ExpertsConfig | None = getattr(config, "experts", None)
    if experts is None or experts.folder:
        return None
    with torch.device("meta"):
        num_params = make_student(config.student, spec, "meta").num_params
    num_bytes = disk_bytes(experts, num_params)
    return RecordingPlan(experts.num_experts, num_bytes, missing_bytes=num_bytes)


def try_experts(
    student: Student, splits: Splits, student_config: StudentConfig, config: ExpertsConfig, context: Context
) -> Generator[Event, None, RecordingPlan]:
    """The same once the data are read: counts what is recorded and times a few steps of what is not. Nothing is kept."""
    num_recorded = _num_recorded(splits, student_config, config, context)
    if config.folder:
        return RecordingPlan(num_recorded, 0, num_recorded)
    num_missing = config.num_experts - num_recorded
    num_bytes = disk_bytes(config, student.num_params)
    seconds = 0.0
    if num_missing:
        yield Progress("try expert steps", 0, 1)
        seconds = num_missing * _expert_seconds(student, splits, config, context)
    missing_bytes = disk_bytes(config, student.num_params, num_missing)
    return RecordingPlan(config.num_experts, num_bytes, num_recorded, missing_bytes, seconds)


def _num_recorded(splits: Splits, student_config: StudentConfig, config: ExpertsConfig, context: Context) -> int:
    """How many of the wanted experts are there; whether their files are sound is seen when they are used."""
    if config.folder:
        folder = given_folder(config)
    else:
        folder = folder_of(key_of(splits, student_config, config), context.cache_root)
    manifest = read_manifest(folder)
    recorded = manifest.experts if manifest is not None else {}
    return sum(str(number) in recorded for number in range(config.num_experts))


def _expert_seconds(student: Student, splits: Splits, config: ExpertsConfig, context: Context) -> float:
    """Seconds of one expert: its steps, and after each epoch its validation and the writing of its weights."""
    theta = student.init(context.stream("trial expert"))
    path = train.epoch(student, Standing(theta, torch.zeros_like(theta)), splits, config, 0, context.stream("trial"))
    moments = [time.perf_counter()]
    for standing in path:
        standing.theta.sum().item()  # wait for the device
        moments.append(time.perf_counter())
        if len(moments) > MOST_TIMED or (len(moments) > 2 and moments[-1] - moments[1] > TIMED_SECONDS):
            break
    if len(moments) > 2:
        moments = moments[1:]  # the first step makes ready what later ones find
    step_seconds = (moments[-1] - moments[0]) / (len(moments) - 1)
    few = splits.validation.subset(torch.arange(min(len(splits.validation), CURVE_IMAGES)))
    began = time.perf_counter()
    accuracy(student, theta, few)
    _write(theta, context)
    epoch_seconds = time.perf_counter() - began
    steps = config.epochs * train.num_steps(config, len(splits.train))
    return steps * step_seconds + (config.epochs + 1) * epoch_seconds


def _write(theta: Tensor, context: Context) -> None:
    """Put weights on the disk of the cache as a recording does after an epoch, and take them away again."""
    context.cache_root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=context.cache_root) as folder:
        checkpoint.save(Path(folder), 0, {"theta": theta, "velocity": theta})
