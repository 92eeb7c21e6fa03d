"""Hyperparameters of the loop in windowed.py."""

from functools import partial
from typing import Literal, Self, get_args

from pydantic import model_validator

from engine.core.config import Load, Task, kept_steps
from engine.core.options import option_like
from engine.meta.windows import Unroll, WindowSchedule
from engine.methods.forms import FormConfig
from engine.methods.options import Augmented, InnerLoop, OuterLoop, Validated, inner, outer
from engine.synthetic.base import Training

steps = partial(inner, low=1, high=10_000, unit="inner steps")
outer_steps = partial(inner, low=1, unit="outer steps", advanced=True)
TRUNCATED = tuple(name for name in get_args(WindowSchedule) if name != "full")
WITH_BURN_IN = ("random_each_step", "random_each_epoch", "growing")


class WindowedConfig(Validated, OuterLoop, InnerLoop):
    """Hyperparameters of the shared loop."""

    window_schedule: WindowSchedule = inner("random_each_step")
    """Where the differentiated window lies in a training, or how long it is. Adaptive: by inner gradients (AT-BPTT).
    Full: everything."""
    unroll_length: int = steps(200, "Longest training of a student inside an outer step")
    window: int = steps(60, "Last steps of a training, which are differentiated", when=("window_schedule", TRUNCATED))
    min_burn_in: int = inner(0, low=0, high=10_000, advanced=True, when=("window_schedule", WITH_BURN_IN))
    """Fewest steps before the window."""
    window_spread: int = steps(10, when=("window_schedule", "adaptive"))
    """By how much adaptive windows may be shorter or longer."""
    epoch_steps: int = outer_steps(10, high=100_000, when=("window_schedule", ("random_each_epoch", "adaptive")))
    """Outer steps that share one window."""
    patience: int = outer_steps(200, high=1_000_000, when=("window_schedule", "growing"))
    """Outer steps without a new lowest loss until burn-in grows."""
    batch_size: int = inner(50, low=1, high=10_000, unit="samples", label="Synthetic batch")
    """Synthetic samples per inner step, drawn at random."""
    inner_optimiser: Literal["sgd", "momentum", "adam"] = option_like(InnerLoop, "inner_optimiser", "adam")
    student_lr: float = option_like(InnerLoop, "student_lr", 0.001)
    learn_rates: bool = option_like(InnerLoop, "learn_rates", False)
    rates_lr: float = option_like(InnerLoop, "rates_lr", 0.001)
    outer_decay: Literal["none", "cosine"] = outer("none", "Decay of the outer learning rates over the run")
    clip: Literal["running", "fixed", "none"] = outer(
        "running", names={"running": "Running average"}, label="Gradient clip"
    )
    """Clip the meta-gradient to twice its running average, to a fixed norm, or not at all."""
    clip_length: float = outer(1.0, low=1e-9, high=1e6, advanced=True, label="Clip norm", when=("clip", "fixed"))
    """Largest norm of the meta-gradient."""

    @model_validator(mode="after")
    def _window_fits(self) -> Self:
        free = ("fixed_late", "random_length", "adaptive")
        shortest = 0 if self.window_schedule in free else self.min_burn_in
        if self.window_schedule != "full" and self.window + shortest > self.unroll_length:
            problem = f"a window of {self.window} steps after at least {shortest} others is longer than the training"
            raise ValueError(f"{problem} of {self.unroll_length}; lower the window or lengthen the training")
        shortest, longest = self.window - self.window_spread, self.window + self.window_spread
        if self.window_schedule == "adaptive" and not (shortest >= 1 and longest <= self.unroll_length):
            problem = f"adaptive windows of {shortest} to {longest} steps must lie within 1 and {self.unroll_length};"
            raise ValueError(f"{problem} lower the spread, or change the window or the training")
        return self

    @property
    def unroll(self) -> Unroll:
        """The limits of the windows."""
        limits = self.unroll_length, self.window, self.min_burn_in, self.epoch_steps, self.patience
        return Unroll(*limits, self.window_spread)

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
        spread = self.window_spread if self.window_schedule == "adaptive" else 0
        length = self.unroll_length if self.window_schedule == "full" else self.window + spread
        setting = f"a smaller synthetic batch (now {batch:,})" if batch > 1 else ""
        return self.unrolled_loads(spec, batch, kept_steps(self.memory, length, stored / batch), setting)


class ImagesWindowedConfig(Augmented, WindowedConfig, FormConfig):
    """The same for labelled images of some form."""

    label_lr_divisor: float = outer(1.0, low=0.01, high=10_000.0, advanced=True)
    """Learned labels move at the outer learning rate divided by this."""

    @property
    def is_augmented(self) -> bool:
        return self.augment_synthetic
