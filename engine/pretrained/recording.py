"""Taking networks from the store, and training those that are missing.

A `Trainer` says how experts or teachers are trained, measured and stored. For both, a damaged file is trained again, a
stopped training continues after its last epoch with the same bits, and of two processes that need the same networks one
trains them while the other waits.
"""

import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from pydantic import TypeAdapter
from torch import Tensor

from engine.core import checkpoint
from engine.core.events import Event, Progress, Warned
from engine.core.progress import paced
from engine.pretrained.store import MANIFEST, Manifest, Network, Point, Recording, hash_of, read, took_lock

WAITING_SECONDS = 0.5
TIMED_SECONDS, MOST_TIMED = 0.5, 50  # an estimate times steps until one of the two is reached
_CURVE = TypeAdapter(list[Point])


@dataclass(frozen=True)
class RecordingPlan:
    """The pretrained networks that a run needs. num_recorded: those in the store; seconds: to train the others."""

    num_networks: int
    num_bytes: int
    num_recorded: int = 0
    missing_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class TrainingState:
    """Weights theta (P,) and the sum of the epoch's losses; subclasses add the optimiser's state."""

    theta: Tensor
    loss: float = field(default=0.0, kw_only=True)


class Names(NamedTuple):
    """Of a network: its title in messages, its file, and the folder of its checkpoints."""

    title: str
    file: str
    checkpoints: str


State = TypeVar("State", bound=TrainingState)


class Trainer(Protocol[State]):
    """How the networks of one kind are trained; each has a number."""

    @property
    def folder(self) -> Path: ...  # of the recording
    @property
    def manifest(self) -> Manifest: ...  # without networks
    @property
    def numbers(self) -> Sequence[int]:  # of the networks that are wanted
        return (0,)

    @property
    def may_train(self) -> bool:  # False: missing ones are left out
        return True

    @property
    def num_steps(self) -> int: ...  # per epoch
    @property
    def num_bytes(self) -> int: ...  # of a network's file
    def names(self, number: int) -> Names: ...
    def event(self, number: int, point: Point, *, cached: bool) -> Event: ...  # of an epoch
    def report(self, number: int, network: Network, *, cached: bool) -> Iterable[Event]: ...  # of a finished network
    def start(self, number: int) -> State: ...
    def epoch(self, number: int, state: State, epoch: int) -> Iterator[State]: ...  # after each step of epoch 1, 2, ...
    def measure(
        self, number: int, state: State, epoch: int
    ) -> Generator[Event, None, float | None]: ...  # or raises Diverged
    def other_seconds(self, num_networks: int, num_epochs: int) -> float: ...  # estimate of everything but the steps
    def keep(self, state: State, epoch: int, path: Path) -> None:  # adds an epoch to the unfinished file, if it has any
        return None

    def can_resume(self, path: Path) -> bool:  # whether that file still has the epochs before
        return True

    def finish(self, state: State | None, path: Path) -> Generator[Event, None, dict[str, Any]]:
        """Complete the file; returns further fields of `Network`. state: None if there were no epochs."""
        yield from ()
        return {}


def load_or_train(trainer: Trainer[State]) -> Generator[Event, None, Recording]:
    """A recording with the trainer's networks. Missing and damaged ones are trained now, or left out.

    Yields the trainer's events, Progress, and Warned for damaged files. Raises OSError if the disk is full, and what
    the trainer raises; finished epochs stay.
    """
    recording = read(trainer.folder)
    if recording is None:
        if (trainer.folder / MANIFEST).exists():
            yield Warned(f"{trainer.folder.name}/{MANIFEST} is damaged. The {trainer.manifest.kind} are trained again.")
        recording = Recording(trainer.folder, trainer.manifest)
    found = {}
    for number in trainer.numbers:
        is_sound = yield from _take(trainer, recording, number)
        if not is_sound and trainer.may_train:
            recording = yield from _train_alone(trainer, recording, number)
        if is_sound or trainer.may_train:
            found[number] = recording.manifest.networks[number]
    return recording.holding(found)


def _take(trainer: Trainer[State], recording: Recording, number: int) -> Generator[Event, None, bool]:
    """Whether a network is in the store, with its file undamaged. Yields its events."""
    network = recording.manifest.networks.get(number)
    if network is None:
        return False
    if problem := recording.problem(number):
        title = trainer.names(number).title.capitalize()
        otherwise = "It is trained again." if trainer.may_train else "It is left out."
        yield Warned(f"{title}: {recording.digest}/{network.file} {problem}. {otherwise}")
        return False
    for point in network.curve:
        yield trainer.event(number, point, cached=True)
    yield from trainer.report(number, network, cached=True)
    return True


def _train_alone(trainer: Trainer[State], recording: Recording, number: int) -> Generator[Event, None, Recording]:
    """Train a network with the folder locked, unless another process has trained it meanwhile."""
    recording.folder.mkdir(parents=True, exist_ok=True)
    with (recording.folder / "lock").open("w") as file:
        while not took_lock(file):
            yield Progress(f"wait for another run that trains {trainer.names(number).title}", 0, 1)
            time.sleep(WAITING_SECONDS)
        before = recording.manifest.networks.get(number)
        recording = read(recording.folder) or recording
        if recording.manifest.networks.get(number) != before and (yield from _take(trainer, recording, number)):
            return recording
        return (yield from _train(trainer, recording, number))


def _train(trainer: Trainer[State], recording: Recording, number: int) -> Generator[Event, None, Recording]:
    """Train a network, from its last checkpoint if there is one, and add it to its recording."""
    names, folder = trainer.names(number), recording.folder
    final, checkpoints = folder / names.file, folder / names.checkpoints
    partial = final.with_suffix(".part")
    if number in recording.manifest.networks:
        shutil.rmtree(checkpoints, ignore_errors=True)  # of the training whose file is damaged
    elif final.exists() and checkpoints.exists() and not partial.exists():
        final.replace(partial)  # finished, but the manifest could not be written
    state, curve = None, list[Point]()
    if recording.manifest.num_epochs:
        if read(folder) is None:
            recording.write()  # listed from now on
        state, curve = yield from _train_epochs(trainer, number, partial, checkpoints)
    extras = yield from trainer.finish(state, partial)
    partial.replace(final)
    network = Network(file=names.file, hash=hash_of(final), curve=tuple(curve), **extras)
    recording = recording.add(number, network)
    shutil.rmtree(checkpoints, ignore_errors=True)
    yield from trainer.report(number, network, cached=False)
    return recording


def _train_epochs(
    trainer: Trainer[State], number: int, partial: Path, checkpoints: Path
) -> Generator[Event, None, tuple[State, list[Point]]]:
    """Train the epochs that are missing; the state at the end, and the curve."""
    state, curve = trainer.start(number), list[Point]()
    damage: list[str] = []
    found = checkpoint.load_latest(checkpoints, damage.append) if trainer.can_resume(partial) else None
    for message in damage:
        yield Warned(message)
    if found is not None:
        values: dict[str, Any] = found[1]
        curve = _CURVE.validate_json(values.pop("curve"))
        moved = {name: value.to(state.theta.device) for name, value in values.items() if isinstance(value, Tensor)}
        state = replace(state, **values | moved)
        for point in curve:
            yield trainer.event(number, point, cached=True)
    num_epochs = trainer.manifest.num_epochs
    for epoch in range(len(curve), num_epochs + 1):
        train_loss, seconds = None, 0.0
        if epoch:
            began = time.perf_counter()
            phase = f"train {trainer.names(number).title}, epoch {epoch} of {num_epochs}"
            state = yield from paced(phase, trainer.epoch(number, state, epoch), trainer.num_steps)
            train_loss, seconds = state.loss / trainer.num_steps, time.perf_counter() - began
        accuracy = yield from trainer.measure(number, state, epoch)
        curve.append(Point(epoch=epoch, train_loss=train_loss, accuracy=accuracy, seconds=seconds))
        trainer.keep(state, epoch, partial)
        kept = {name: value for name, value in vars(state).items() if name != "loss"}
        checkpoint.save(checkpoints, epoch, kept | {"curve": _CURVE.dump_json(curve).decode()})
        yield trainer.event(number, curve[-1], cached=False)
    return state, curve


def estimate_recording(trainer: Trainer[State]) -> Generator[Event, None, RecordingPlan]:
    """What the trainer's networks take, from a few timed steps if any are missing. Nothing is kept."""
    recording, numbers = read(trainer.folder), trainer.numbers
    missing = [number for number in numbers if recording is None or number not in recording.manifest.networks]
    checkpoints = [trainer.folder / trainer.names(number).checkpoints for number in missing]
    epochs = sum(trainer.manifest.num_epochs - (checkpoint.latest_step(path) or 0) for path in checkpoints)
    seconds = 0.0
    if epochs:
        yield Progress("time a few training steps", 0, 1)
        seconds = epochs * trainer.num_steps * _step_seconds(trainer) + trainer.other_seconds(len(missing), epochs)
    num_bytes, missing_bytes = (count * trainer.num_bytes for count in (len(numbers), len(missing)))
    return RecordingPlan(len(numbers), num_bytes, len(numbers) - len(missing), missing_bytes, seconds)


def _step_seconds(trainer: Trainer[State]) -> float:
    """Seconds per step of training."""
    moments = [time.perf_counter()]
    for state in islice(trainer.epoch(0, trainer.start(0), 1), MOST_TIMED):
        state.theta.sum().item()  # wait for the device
        moments.append(time.perf_counter())
        if len(moments) > 2 and moments[-1] - moments[1] > TIMED_SECONDS:
            break
    moments = moments[1:] if len(moments) > 2 else moments  # the first step is slower
    return (moments[-1] - moments[0]) / (len(moments) - 1)


def loss_and_gradient(loss_at: Callable[[Tensor], Tensor], theta: Tensor) -> tuple[float, Tensor]:
    """The value at theta (P,) of a function of it, and its gradient (P,)."""
    theta = theta.detach().requires_grad_()
    with torch.enable_grad():
        loss = loss_at(theta)
    (gradient,) = torch.autograd.grad(loss, theta)
    return loss.item(), gradient


def minibatches(count: int, size: int, generator: torch.Generator, *, drop_last: bool = False) -> Iterator[Tensor]:
    """Indices of random minibatches of `count` samples, pass after pass without end; drop_last: only full ones."""
    while True:
        for indices in torch.randperm(count, generator=generator).split(size):
            if len(indices) == size or not drop_last:
                yield indices
