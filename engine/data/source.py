"""Sources, data sets that can be chosen, and splits, what a method gets of one."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from engine.core.config import DataConfig
from engine.core.events import Event

TaskName = Literal["classification", "close", "direction", "both", "volatility"]
NUM_OUTPUTS = {"close": 1, "direction": 2, "both": 3, "volatility": 1}
"""Columns of the targets of windows, by the forecast quantity."""
NUM_FEATURES = 5  # values per bar in a student's inputs


@dataclass(frozen=True)
class TaskSpec:
    """What a student has to fit. sample_shape: (C, H, W) for images, (T, F) for windows of price bars.

    task: classification, or the quantity to forecast. class_names: of the outputs; for windows the tokens instead.
    """

    task: TaskName
    sample_shape: tuple[int, ...]
    num_outputs: int
    class_names: tuple[str, ...]

    @property
    def is_forecast(self) -> bool:
        """Whether samples are windows of price bars with targets (N, num_outputs) float32."""
        return self.task != "classification"

    @property
    def group(self) -> str:
        """What `class_names` are the names of."""
        return "Token" if self.is_forecast else "Class"

    def describe(self) -> str:
        if self.is_forecast:
            return f"windows of {self.sample_shape[0]} bars of {', '.join(self.class_names)}, target '{self.task}'"
        return f"{self.num_outputs} classes of shape {'x'.join(map(str, self.sample_shape))}"


@dataclass(frozen=True)
class LabelledSet:
    """Samples on one device. targets: (N,) int64.

    inputs: (N, C, H, W), uint8 as read or float32 as prepared; prepare: makes a student's inputs, float32, of them.
    """

    inputs: Tensor
    targets: Tensor
    prepare: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.targets)

    @classmethod
    def as_is(cls, inputs: Tensor, targets: Tensor) -> Self:
        """Samples that are prepared already."""
        return cls(inputs, targets, lambda inputs: inputs)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Prepared inputs (n, C, H, W) float32 and targets (n,) int64 at `indices` (n,) int64."""
        indices = indices.to(self.inputs.device)
        return self.prepare(self.inputs[indices]), self.targets[indices]

    def subset(self, indices: Tensor) -> Self:
        """The samples at `indices` (n,) int64 as a set of their own."""
        return self._each(lambda tensor: tensor[indices.to(tensor.device)])

    def sample(self, count: int) -> Self:
        """At most `count` random samples, always the same ones, in their order."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        return self.subset(order[:count].sort()[0])

    def to(self, device: torch.device) -> Self:
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        tensors = {name: change(value) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **vars(self) | tensors)

    @property
    def raw_bytes(self) -> int:
        """Bytes of the samples at 8 bits per value, plus one byte per label."""
        return self.inputs[0].numel() * len(self) + len(self)


@dataclass(frozen=True)
class Splits:
    """Train, validation and test of one source, with everything needed to show a sample.

    to_display: prepared inputs (N, C, H, W) float32 -> (N, H, W, C) uint8. augment: (inputs, generator) -> the same
    shape, differentiable; augment_alike: with one draw for the whole batch, None if `augment` draws nothing.
    fingerprint: a hash of the content and the preparation; equal only if results may be shared. title: of the source.
    display_range: lowest and highest prepared value of a real pixel, (C, 1, 1) each; None for ZCA.
    """

    train: LabelledSet
    validation: LabelledSet
    test: LabelledSet
    spec: TaskSpec
    to_display: Callable[[Tensor], np.ndarray]
    augment: Callable[[Tensor, torch.Generator], Tensor]
    fingerprint: str
    display_range: tuple[Tensor, Tensor] | None = None
    title: str = ""
    augment_alike: Callable[[Tensor, torch.Generator], Tensor] | None = None

    @property
    def measured(self) -> dict[str, LabelledSet]:
        """What students are measured on: "validation", unless that is empty, and "test"."""
        return {name: part for name, part in (("validation", self.validation), ("test", self.test)) if len(part)}

    def siamese(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Inputs (N, C, H, W) augmented, all by the same draw from a CPU generator; differentiable."""
        return (self.augment_alike or self.augment)(inputs, generator)

    def random_batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`size` random training samples without replacement, augmented: (B, *sample_shape) and (B,)."""
        indices = torch.randperm(len(self.train), generator=generator)[:size]
        inputs, targets = self.train.batch(indices)
        return self.augment(inputs, generator), targets

    def to(self, device: torch.device) -> Self:
        train, validation, test = (part.to(device) for part in (self.train, self.validation, self.test))
        return replace(self, train=train, validation=validation, test=test)


@dataclass(frozen=True)
class Availability:
    """Whether a source can be loaded. message: one sentence on what to do."""

    state: Literal["present", "downloadable", "missing"]
    message: str


class Source(Protocol):
    """A data set that can be chosen; sizes are known before anything is loaded.

    For prices, class_names are the tokens, and numbers count windows. fewest_per_class: including validation.
    """

    @property
    def kind(self) -> Literal["images", "prices"]: ...
    @property
    def key(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def sample_shape(self) -> tuple[int, ...]: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def num_train(self) -> int: ...
    @property
    def num_test(self) -> int: ...
    @property
    def fewest_per_class(self) -> int: ...

    def availability(self, data_root: Path) -> Availability: ...

    def paths(self, data_root: Path) -> tuple[Path, ...]: ...  # its files on disk now

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, Splits]:
        """Yield Progress, return the splits on the CPU. Raises DataError: what is missing or broken, what to do."""
        ...


def task_of(source: Source, config: DataConfig | None = None) -> TaskSpec:
    """The task of a source, before anything is loaded. config: decides on windows of prices, the defaults if None."""
    if source.kind == "prices":
        windows = (config or DataConfig()).windows
        num_features = NUM_FEATURES + (len(source.class_names) if windows.token_identity else 0)
        shape = (windows.window_length, num_features)
        return TaskSpec(windows.target, shape, NUM_OUTPUTS[windows.target], source.class_names)
    return TaskSpec("classification", source.sample_shape, len(source.class_names), source.class_names)
