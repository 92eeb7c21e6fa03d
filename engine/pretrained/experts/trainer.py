"""Recording experts: the weights of networks trained on real images, before training and after each epoch.

A recording may grow: the number of experts is not part of its key. Steps are SGD or, with g a minibatch's gradient,

    SAM    g' = grad L(theta + rho g / |g|),  theta <- theta - lr g'
    GSAM   g'' = g' - alpha (g - <g, g'> g' / |g'|^2),  theta <- theta - lr g''

Sources: MTT: Cazenavette et al. 2022, arXiv:2203.11932, section 3.1 (100 experts of 50 epochs). SAM: Foret et al. 2021,
arXiv:2010.01412. GSAM: Zhuang et al. 2022, arXiv:2203.08065, as used by FTD: Du et al. 2023, arXiv:2211.11004.
"""

import math
import os
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core import checkpoint
from engine.core.config import StudentConfig
from engine.core.context import Context
from engine.core.errors import ConfigError, Diverged
from engine.core.events import Event, ExpertEpoch, Warned
from engine.core.options import in_effect
from engine.data.source import LabelledSet, Splits, TaskSpec
from engine.evaluation.train import accuracy
from engine.nets import make_student
from engine.nets.student import Student
from engine.pretrained import recording, store
from engine.pretrained.experts import buffer
from engine.pretrained.experts.buffer import DTYPES, Buffer
from engine.pretrained.experts.config import ExpertsConfig
from engine.pretrained.recording import Names, RecordingPlan, Trainer, TrainingState
from engine.pretrained.store import Manifest, Network, Point, Recording

RECIPE = 1  # part of every key; raise it when the same settings come to train experts differently
CURVE_IMAGES = 2000  # validation images for an expert's curve, the same ones after every epoch
GUESSING = 3.0  # an expert has learned if it is this many standard errors better than guessing
NO_NORM = 1e-12  # added to a gradient's norm before dividing by it


@dataclass(frozen=True)
class SgdState(TrainingState):
    """velocity: (P,), zeros without momentum."""

    velocity: Tensor


def load_or_record(
    splits: Splits, student: StudentConfig, config: ExpertsConfig, context: Context
) -> Generator[Event, None, Buffer]:
    """The experts of a config; those that are missing from the store are recorded now.

    Yields ExpertEpoch, Progress and Warned. Raises ConfigError if the config's folder does not fit, Diverged, or
    OSError if the disk is full; finished epochs stay.
    """
    found = yield from recording.load_or_train(ExpertTrainer(splits, student, config, context))
    networks = found.manifest.networks
    if not networks:
        said = f"None of the experts in '{config.folder}' can be read."
        raise ConfigError(f"{said} Clear this option to record new ones.")
    files = tuple(found.folder / network.file for network in networks.values())
    ends = [network.curve[-1].accuracy for network in networks.values()]
    known = tuple(end for end in ends if end is not None)
    return Buffer(files, tuple(networks), known, found.manifest.num_epochs, found.manifest.num_params)


def plan(config: ExpertsConfig, student: StudentConfig, spec: TaskSpec) -> RecordingPlan | None:
    """What the experts take if none are in the store; needs no data. None if the config names a folder."""
    if config.folder:
        return None
    with torch.device("meta"):
        num_params = make_student(student, spec, "meta").num_params
    num_bytes = config.num_experts * expert_bytes(config, num_params)
    return RecordingPlan(config.num_experts, num_bytes, missing_bytes=num_bytes)


def expert_bytes(config: ExpertsConfig, num_params: int) -> int:
    """Size of an expert's file."""
    return (config.epochs + 1) * num_params * DTYPES[config.dtype][0].itemsize


def key_of(splits: Splits, student: StudentConfig, config: ExpertsConfig) -> dict[str, Any]:
    """Everything that the weights of an expert depend on besides its number."""
    settings = {name: value for name, value in in_effect(config).items() if name not in ("num_experts", "folder")}
    return {"recipe": RECIPE, "data": splits.fingerprint, "student": in_effect(student), "experts": settings}


@dataclass(frozen=True)
class ExpertTrainer(Trainer[SgdState]):
    """How experts are trained; see `recording.Trainer`."""

    splits: Splits
    student_config: StudentConfig
    config: ExpertsConfig
    context: Context

    @cached_property
    def student(self) -> Student:
        return make_student(self.student_config, self.splits.spec, self.context.device)

    @property
    def folder(self) -> Path:
        if not self.config.folder:
            return store.folder_of("experts", self.manifest.key, self.context.cache_root)
        return Path(os.path.expanduser(self.config.folder))

    @cached_property
    def manifest(self) -> Manifest:
        """Of the config's folder if it names one. Raises ConfigError if its experts do not fit."""
        key = key_of(self.splits, self.student_config, self.config)
        about = {"source": self.splits.title, "title": self.student_config.name, "num_params": self.student.num_params}
        wanted = Manifest.model_validate(about | {"kind": "experts", "key": key, "num_epochs": self.config.epochs})
        return _given(self.config.folder, store.read(self.folder), wanted) if self.config.folder else wanted

    @cached_property
    def numbers(self) -> list[int]:
        found = sorted(self.manifest.networks) if self.config.folder else range(self.config.num_experts)
        return list(found)[: self.config.num_experts]

    @property
    def may_train(self) -> bool:
        return not self.config.folder

    @property
    def num_steps(self) -> int:
        return self.config.steps_per_epoch or -(-len(self.splits.train) // self.config.batch_size)

    @property
    def num_bytes(self) -> int:
        return expert_bytes(self.config, self.student.num_params)

    def names(self, number: int) -> Names:
        name = f"expert-{number:04d}"
        return Names(f"expert {number + 1} of {len(self.numbers)}", f"{name}.safetensors", f"{name}.state")

    def event(self, number: int, point: Point, *, cached: bool) -> Event:
        planned = len(self.numbers), self.manifest.num_epochs
        return ExpertEpoch(number, point.epoch, *planned, point.train_loss, point.accuracy, point.seconds, cached)

    def report(self, number: int, network: Network, *, cached: bool) -> Iterable[Event]:
        targets, end = self._judge.targets, network.curve[-1].accuracy
        if end is None:
            return
        guessing = targets.bincount().max().item() / len(targets)  # accuracy of always guessing the largest class
        if end <= guessing + GUESSING * math.sqrt(guessing * (1 - guessing) / len(targets)):
            what = f"Expert {number + 1} did not learn: {end:.1%} on validation images is no better than guessing."
            yield Warned(f"{what} Raise the experts' learning rate or epochs.")

    def start(self, number: int) -> SgdState:
        theta = self.student.init(self._stream("expert", number, "start"))
        return SgdState(theta, torch.zeros_like(theta))

    def epoch(self, number: int, state: SgdState, epoch: int) -> Iterator[SgdState]:
        config, train, generator = self.config, self.splits.train, self._stream("expert", number, "epoch", epoch - 1)
        lr = config.lr * (0.1 if config.lr_decay and epoch > config.epochs // 2 + 2 else 1.0)
        state = replace(state, loss=0.0)
        for indices in islice(recording.minibatches(len(train), config.batch_size, generator), self.num_steps):
            inputs, targets = train.batch(indices)
            state = step(self.student, state, self.splits.augment(inputs, generator), targets, lr, config)
            yield state

    def measure(self, number: int, state: SgdState, epoch: int) -> Generator[Event, None, float | None]:
        yield from ()  # too fast to show progress
        if not torch.isfinite(state.theta).all():
            what = f"The weights of expert {number + 1} became infinite or NaN in epoch {epoch}."
            raise Diverged(f"{what} Lower the experts' learning rate.", quantity="expert weights", step=0)
        return self._accuracy(state.theta)

    def keep(self, state: SgdState, epoch: int, path: Path) -> None:
        if epoch == 0:
            buffer.create(path, (self.config.epochs + 1, self.student.num_params), self.config.dtype)
        buffer.write_row(path, epoch, state.theta, self.config.dtype)

    def can_resume(self, path: Path) -> bool:
        return path.exists()

    def other_seconds(self, num_networks: int, num_epochs: int) -> float:
        state = self.start(0)
        self.context.cache_root.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        self._accuracy(state.theta)
        with tempfile.TemporaryDirectory(dir=self.context.cache_root) as folder:
            checkpoint.save(Path(folder), 0, {"theta": state.theta, "velocity": state.velocity})
        return (num_epochs + num_networks) * (time.perf_counter() - began)

    def _accuracy(self, theta: Tensor) -> float | None:
        """On validation images, if there are any."""
        return accuracy(self.student.fixed(theta, self.splits.train), self._judge) if len(self._judge) else None

    @cached_property
    def _judge(self) -> LabelledSet:
        return self.splits.validation.sample(CURVE_IMAGES)

    def _stream(self, *names: str | int) -> torch.Generator:
        return Context(seed=self.config.seed).stream(*names)


def step(
    student: Student, state: SgdState, inputs: Tensor, targets: Tensor, lr: float, config: ExpertsConfig
) -> SgdState:
    """One step of training on inputs (B, *sample_shape) and targets (B,)."""

    def loss_at(theta: Tensor) -> Tensor:
        return F.cross_entropy(student.quick(theta, inputs), targets)

    theta, velocity = state.theta, state.velocity
    loss, gradient = recording.loss_and_gradient(loss_at, theta)
    if config.optimiser != "sgd":
        at_worse = theta + config.rho * gradient / (gradient.norm() + NO_NORM)
        _, perturbed = recording.loss_and_gradient(loss_at, at_worse)
        gradient = perturbed if config.optimiser == "sam" else gsam(gradient, perturbed, config.alpha)
    if config.weight_decay:
        gradient = gradient + config.weight_decay * theta
    if config.momentum:
        velocity = gradient = config.momentum * velocity + gradient
    return SgdState(theta - lr * gradient, velocity, loss=state.loss + loss)


def gsam(gradient: Tensor, perturbed: Tensor, alpha: float) -> Tensor:
    """The perturbed gradient (P,) minus alpha times the part of the gradient (P,) that is orthogonal to it."""
    along = torch.dot(gradient, perturbed) / (torch.dot(perturbed, perturbed) + NO_NORM)
    return perturbed - alpha * (gradient - along * perturbed)


def _given(folder: str, found: Recording | None, wanted: Manifest) -> Manifest:
    """The manifest of the experts in a folder. Raises ConfigError if they are not as wanted."""
    if found is None or found.manifest.kind != "experts":
        what = f"There are no experts in '{folder}': it has no manifest.json of experts."
        raise ConfigError(f"{what} Name the folder of a recording, or clear this option to record experts here.")
    theirs = found.manifest
    for part, what in (("student", "another student"), ("data", "other data, or of data prepared differently")):
        if theirs.key.get(part) != wanted.key[part]:
            these = f"'{theirs.title}' with {theirs.num_params:,} weights on {theirs.source}"
            this = f"this run's student is '{wanted.title}' with {wanted.num_params:,} on {wanted.source}"
            advice = "Choose the settings they were recorded with, or other experts."
            raise ConfigError(f"The experts in '{folder}' are of {what}: {these}; {this}. {advice}")
    return theirs
