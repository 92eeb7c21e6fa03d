"""Hyperparameters of the loop in windowed.py."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import model_validator

from engine.core.config import Load, Task, kept_steps
from engine.core.options import option, option_like
from engine.meta.windows import Unroll, WindowSchedule
from engine.methods.forms import FormConfig
from engine.methods.options import INNER, OUTER, Augmented, InnerLoop, OuterLoop, Validated
from engine.synthetic.base import Training


class WindowedConfig(Validated, OuterLoop, InnerLoop):
    """Hyperparameters of the shared loop."""

    window_schedule: WindowSchedule = option(
        "random_each_step",
        "How long the student trains before the window: random, drawn for each outer step or each epoch; as long as "
        "possible; growing whenever the loss stalls; not at all, with windows of random length; or one window for the "
        "whole training",
        group=INNER,
    )
    unroll_length: int = option(
        200, "Longest training of a student inside an outer step", low=1, high=10_000, unit="inner steps", group=INNER
    )
    window: int = option(
        60,
        "Last steps of a training, which are differentiated; their maximum if the length is random",
        low=1,
        high=10_000,
        unit="inner steps",
        group=INNER,
        when=("window_schedule", tuple(name for name in get_args(WindowSchedule) if name != "full")),
    )
    min_burn_in: int = option(
        0,
        "Shortest training before the window",
        low=0,
        high=10_000,
        unit="inner steps",
        advanced=True,
        group=INNER,
        when=("window_schedule", ("random_each_step", "random_each_epoch", "growing")),
    )
    epoch_steps: int = option(
        10,
        "Outer steps that share one random window",
        low=1,
        high=100_000,
        unit="outer steps",
        advanced=True,
        group=INNER,
        when=("window_schedule", "random_each_epoch"),
    )
    patience: int = option(
        200,
        "Outer steps without a new lowest loss after which the training before the window grows",
        low=1,
        high=1_000_000,
        unit="outer steps",
        advanced=True,
        group=INNER,
        when=("window_schedule", "growing"),
    )
    batch_size: int = option(
        50,
        "Synthetic samples per inner step, drawn at random; all of them if there are fewer",
        low=1,
        high=10_000,
        unit="samples",
        group=INNER,
        label="Synthetic batch",
    )
    inner_optimiser: Literal["sgd", "momentum", "adam"] = option_like(InnerLoop, "inner_optimiser", "adam")
    student_lr: float = option_like(InnerLoop, "student_lr", 0.001)
    learn_rates: bool = option_like(InnerLoop, "learn_rates", False)
    rates_lr: float = option_like(InnerLoop, "rates_lr", 0.001)
    outer_decay: Literal["none", "cosine"] = option(
        "none", "Keep the outer learning rates constant, or decay them to 0 along a cosine", group=OUTER
    )
    clip: Literal["running", "fixed", "none"] = option(
        "running",
        "Clip the meta-gradient to twice its running average, to a fixed norm, or not at all",
        names={"running": "Running average"},
        group=OUTER,
        label="Gradient clip",
    )
    clip_length: float = option(
        1.0,
        "Largest norm of the meta-gradient",
        low=1e-9,
        high=1e6,
        advanced=True,
        group=OUTER,
        label="Clip norm",
        when=("clip", "fixed"),
    )

    @model_validator(mode="after")
    def _window_fits(self) -> WindowedConfig:
        shortest = 0 if self.window_schedule in ("fixed_late", "random_length") else self.min_burn_in
        if self.window_schedule != "full" and self.window + shortest > self.unroll_length:
            raise ValueError(
                f"a window of {self.window} steps after at least {shortest} others is longer than the training of "
                f"{self.unroll_length}; lower the window or lengthen the training"
            )
        return self

    @property
    def unroll(self) -> Unroll:
        """The limits of the windows."""
        return Unroll(self.unroll_length, self.window, self.min_burn_in, self.epoch_steps, self.patience)

    @property
    def is_augmented(self) -> bool:
        """Whether synthetic batches go through the training augmentation."""
        return False

    @property
    def training(self) -> Training:
        """How students are trained on the set, inside an outer step and afterwards."""
        size, is_augmented = self.batch_size, self.is_augmented
        return Training(self.inner_optimiser, self.unroll_length, batch_size=size, is_augmented=is_augmented)

    def step_loads(self, spec: Task, stored: float) -> list[Load]:
        """The differentiated window of the inner loop."""
        batch = min(self.batch_size, self.size(spec).num_samples)
        length = self.unroll_length if self.window_schedule == "full" else self.window
        setting = f"a smaller synthetic batch (now {batch:,})" if batch > 1 else ""
        return self.unrolled_loads(spec, batch, kept_steps(self.memory, length, stored / batch), setting)


class ImagesWindowedConfig(Augmented, WindowedConfig, FormConfig):
    """The same for labelled images of some form."""

    label_lr_divisor: float = option(
        1.0,
        "Learned labels move at the outer learning rate divided by this",
        low=0.01,
        high=10_000.0,
        advanced=True,
        group=OUTER,
        label="Label learning rate divisor",
    )

    @property
    def is_augmented(self) -> bool:
        return self.augment_synthetic
