"""Hyperparameters of OHLC distillation."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from engine.core.config import Config, Size, StudentConfig, Task, Validation, option
from engine.core.options import option_like
from engine.data.source import NUM_FEATURES
from engine.methods.windowed import WindowedConfig
from engine.nets import STUDENTS


class SequencesPerToken(Config):
    """A size in whole sequences. Named after the shared config among the bases, it comes first in the form."""

    sequences_per_token: int = option(1, "Distilled sequences of each token", low=1, high=200)


class OhlcConfig(WindowedConfig, SequencesPerToken):
    """Hyperparameters, in the order the form shows them."""

    student: StudentConfig = StudentConfig(name="lstm", depth=1, width=32, init="default")
    window_schedule: Literal[
        "full", "random_each_step", "random_each_epoch", "fixed_late", "growing", "random_length"
    ] = option(
        "full",
        "The whole training of a student as one window, or a part of it as truncated back-propagation takes it",
        group="Inner loop",
    )
    unroll_length: int = option_like(WindowedConfig, "unroll_length", 20)
    window: int = option_like(WindowedConfig, "window", 10)
    initialisation: Literal["random", "fixed"] = option(
        "random",
        "Weights the student starts from: any random draw, or one fixed draw, for which alone the set then serves",
        group="Inner loop",
        label="Start weights",
    )
    inner_optimiser: Literal["sgd", "momentum", "adam"] = option(
        "sgd", "How the student is trained on the distilled sequences", group="Inner loop"
    )
    student_lr: float = option(
        0.02, "Inner learning rate at the start", low=1e-6, high=10.0, group="Inner loop", label="Student learning rate"
    )
    learn_rates: bool = option(
        True, "Learn the inner learning rate with the sequences", group="Inner loop", label="Learn the rate"
    )
    rates_lr: float = option_like(WindowedConfig, "rates_lr", 0.02)
    augment_synthetic: ClassVar[bool] = False  # windows of prices have no augmentation
    images_from: Literal["noise", "real", "result"] = option(
        "real",
        "What the sequences start as: random numbers, real windows, or the result of another run",
        group="Synthetic set",
        label="Sequences start from",
    )
    learn_targets: bool = option(
        True,
        "Learn what a student is told of each sequence, or keep what the real window was followed by",
        group="Synthetic set",
    )
    target_lr_divisor: float = option(
        1.0,
        "The targets' step size is the outer learning rate divided by this",
        low=0.01,
        high=10_000.0,
        advanced=True,
        group="Synthetic set",
        when=("learn_targets", True),
    )
    smoothness: float = option(
        0.0,
        "Weight of the mean squared change from bar to bar, which keeps sequences smooth",
        low=0.0,
        high=1e4,
        advanced=True,
        group="Synthetic set",
    )
    autocorrelation: float = option(
        0.0,
        "Weight of the squared difference between the autocorrelation of sequences and of training windows, of returns and of their size",
        low=0.0,
        high=1e4,
        advanced=True,
        group="Synthetic set",
        label="Autocorrelation matching",
    )
    lags: int = option(
        5,
        "Bars up to which autocorrelations are matched",
        low=1,
        high=100,
        unit="bars",
        advanced=True,
        group="Synthetic set",
    )

    validation_steps: int = option_like(WindowedConfig, "validation_steps", 20)
    real_batch: int = option(
        256,
        "Real windows that judge the student at each outer step",
        low=1,
        high=100_000,
        unit="windows",
        group="Outer loop",
    )
    outer_lr: float = option(
        0.05,
        "Step size of Adam on sequences and targets",
        low=1e-6,
        high=10.0,
        group="Outer loop",
        label="Outer learning rate",
    )

    adapt_to: tuple[str, ...] = option(
        (),
        "Other price data sets that students of the set are fine-tuned on, against students from scratch",
        among="prices",
        advanced=True,
        group="Adaptation",
        label="Adapt to",
    )

    @property
    def others(self) -> tuple[str, ...]:
        """Keys of the data sets that students are adapted to."""
        return self.adapt_to

    @model_validator(mode="after")
    def _is_sequence(self) -> OhlcConfig:
        able = [key for key, card in STUDENTS.items() if "prices" in card.takes]
        if self.student.name not in able:
            raise ValueError(
                f"student '{self.student.name}' is one of images; windows of prices take {', '.join(able)}"
            )
        return self

    def validation(self) -> Validation:
        """One student is enough for a set that is made for a single start."""
        students = 1 if self.initialisation == "fixed" else self.validation_students
        return Validation(self.num_validations, students, self.validation_steps)

    @property
    def starts_from(self) -> str:
        return self.images_from

    def size(self, spec: Task) -> Size:
        """`sequences_per_token` windows of each token, with a target each."""
        num_samples = self.sequences_per_token * len(spec.class_names)
        num_values = num_samples * spec.sample_shape[0] * NUM_FEATURES
        return Size(num_samples, num_values, num_label_values=num_samples * spec.num_outputs)

    def describe_size(self, spec: Task) -> str:
        """The same in words, as the beginning of a sentence."""
        size, num_tokens = self.size(spec), len(spec.class_names)
        sequences = "1 distilled sequence" if size.num_samples == 1 else f"{size.num_samples:,} distilled sequences"
        return f"{sequences} of {num_tokens:,} {'token' if num_tokens == 1 else 'tokens'}, {spec.sample_shape[0]:,} bars each"
