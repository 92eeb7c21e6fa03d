"""A source gives splits: where a data set comes from, and the one record all methods read.

`Source.load` is a generator of events (a download or a ZCA fit shows progress) that returns `Splits`.
"""

from __future__ import annotations

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
"""Columns of the targets of windows, by what is forecast."""
NUM_FEATURES = 5
"""Values of a bar as a student sees it."""


@dataclass(frozen=True)
class TaskSpec:
    """What a student must fit: sample_shape is (C, H, W) for images, (T, F) for windows of price bars.

    task: of windows what is forecast. num_outputs: columns of a student's outputs, classes for classification.
    class_names: of the classes; of windows the tokens, which are no outputs.
    """

    task: TaskName
    sample_shape: tuple[int, ...]
    num_outputs: int
    class_names: tuple[str, ...]

    @property
    def is_forecast(self) -> bool:
        """Whether samples are windows of price bars with targets (N, num_outputs) float32."""
        return self.task != "classification"


@dataclass(frozen=True)
class LabelledSet:
    """Samples held whole on one device.

    inputs: (N, C, H, W), uint8 as read or float32 as prepared. targets: (N,) int64.
    prepare: turns a slice of `inputs` into what a student sees, float32 (n, C, H, W).
    """

    inputs: Tensor
    targets: Tensor
    prepare: Callable[[Tensor], Tensor]

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Prepared inputs (n, C, H, W) float32 and targets (n,) int64 at `indices` (n,) int64."""
        indices = indices.to(self.inputs.device)
        return self.prepare(self.inputs[indices]), self.targets[indices]

    def subset(self, indices: Tensor) -> LabelledSet:
        """The samples at `indices` as a set of their own."""
        indices = indices.to(self.inputs.device)
        return LabelledSet(self.inputs[indices], self.targets[indices], self.prepare)

    def sample(self, count: int) -> LabelledSet:
        """At most `count` random samples, always the same ones, in their order."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        return self.subset(order[:count].sort()[0])

    def to(self, device: torch.device) -> LabelledSet:
        """The same set on another device."""
        return LabelledSet(self.inputs.to(device), self.targets.to(device), self.prepare)

    @property
    def raw_bytes(self) -> int:
        """Bytes of the samples as the source stores them, 8 bits a value, plus one byte a label."""
        return self.inputs[0].numel() * len(self) + len(self)


@dataclass(frozen=True)
class Splits:
    """Train, validation and test of one source, with everything needed to show a sample.

    to_display: prepared inputs (N, C, H, W) float32 -> (N, H, W, C) uint8, the inverse of normalisation or ZCA.
    augment: (inputs (N, C, H, W), generator) -> the same shape, differentiable; the identity for "none".
    fingerprint: a digest of the content and the preparation; equal only where results may be shared.
    display_range: per-channel (low, high) of prepared values that a real pixel can take, shape (C, 1, 1) each, or
        None where there is none (ZCA).
    title: what people call the source.
    augment_alike: `augment` with one draw for all images of a batch; None where `augment` draws nothing.
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

    def siamese(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Inputs (N, C, H, W) augmented, all by the same draw from a CPU generator; differentiable."""
        return (self.augment_alike or self.augment)(inputs, generator)

    def random_batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`size` random training samples, without repetition, augmented: (B, *sample_shape) and (B,)."""
        indices = torch.randperm(len(self.train), generator=generator)[:size]
        inputs, targets = self.train.batch(indices)
        return self.augment(inputs, generator), targets

    def to(self, device: torch.device) -> Self:
        """The same splits on another device."""
        return replace(
            self, train=self.train.to(device), validation=self.validation.to(device), test=self.test.to(device)
        )


@dataclass(frozen=True)
class Availability:
    """state: "present" (loads now), "downloadable", or "missing". message: one sentence on what to do."""

    state: Literal["present", "downloadable", "missing"]
    message: str


class Source(Protocol):
    """A data set that can be chosen. The sizes are known before anything is loaded.

    key: unique; imported ones have a prefix that they share ("folder:plants"). kind: what its samples are made of.
    For prices, class_names are the tokens, and the numbers count windows.
    fewest_per_class: training images of the smallest class, including validation.
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

    def load(self, config: DataConfig, data_root: Path) -> Generator[Event, None, Splits]:
        """Yield Progress, return the splits on the CPU. Raises DataError: what is missing or broken, what to do."""
        ...


def task_of(source: Source, config: DataConfig | None = None) -> TaskSpec:
    """What a student of a source must fit, known before anything is loaded. config: for windows of prices."""
    if source.kind == "prices":
        windows = (config or DataConfig()).windows
        num_features = NUM_FEATURES + (len(source.class_names) if windows.token_identity else 0)
        shape = (windows.window_length, num_features)
        return TaskSpec(windows.target, shape, NUM_OUTPUTS[windows.target], source.class_names)
    return TaskSpec("classification", source.sample_shape, len(source.class_names), source.class_names)
