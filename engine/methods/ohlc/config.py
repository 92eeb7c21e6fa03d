"""Hyperparameters of OHLC distillation."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import model_validator

from engine.core.config import Size, StudentConfig, Task, Validation
from engine.core.options import Config, option, option_like
from engine.data.source import NUM_FEATURES
from engine.meta.windows import WindowSchedule
from engine.methods.options import INNER, SYNTHETIC
from engine.methods.windowed_config import WindowedConfig
from engine.nets import STUDENTS


class SequencesPerToken(Config):
    """The number of sequences, first in the form."""

    sequences_per_token: int = option(1, "Distilled sequences per token", low=1, high=200)


class OhlcConfig(WindowedConfig, SequencesPerToken):
    """The loop of methods/windowed.py, with penalties on the sequences."""

    student: StudentConfig = StudentConfig(name="lstm", depth=1, width=32, init="default")
    window_schedule: WindowSchedule = option_like(WindowedConfig, "window_schedule", "full")
    unroll_length: int = option_like(WindowedConfig, "unroll_length", 20)
    window: int = option_like(WindowedConfig, "window", 10)
    inner_optimiser: Literal["sgd", "momentum", "adam"] = option_like(WindowedConfig, "inner_optimiser", "sgd")
    student_lr: float = option_like(WindowedConfig, "student_lr", 0.02)
    learn_rates: bool = option_like(WindowedConfig, "learn_rates", True)
    rates_lr: float = option_like(WindowedConfig, "rates_lr", 0.02)
    validation_steps: int = option_like(WindowedConfig, "validation_steps", 20)
    real_batch: int = option_like(WindowedConfig, "real_batch", 256)
    outer_lr: float = option_like(WindowedConfig, "outer_lr", 0.05)

    initialisation: Literal["random", "fixed"] = option(
        "random",
        "Initial weights of the student: any random draw, or one fixed draw, which the set then works for alone",
        group=INNER,
        label="Start weights",
    )
    images_from: Literal["noise", "real", "result"] = option(
        "real",
        "What the sequences start from: noise, real windows, or the result of another run",
        group=SYNTHETIC,
        label="Sequences start from",
    )
    learn_targets: bool = option(
        True, "Learn the target of each sequence, or keep that of the real window it started from", group=SYNTHETIC
    )
    target_lr_divisor: float = option(
        1.0,
        "Learned targets move at the outer learning rate divided by this",
        low=0.01,
        high=10_000.0,
        advanced=True,
        group=SYNTHETIC,
        when=("learn_targets", True),
    )
    smoothness: float = option(
        0.0,
        "Weight of the smoothness penalty, the mean squared change from bar to bar",
        low=0.0,
        high=1e4,
        advanced=True,
        group=SYNTHETIC,
    )
    autocorrelation: float = option(
        0.0,
        "Weight of the squared difference between the autocorrelations of sequences and of training windows, of returns "
        "and of their absolute values",
        low=0.0,
        high=1e4,
        advanced=True,
        group=SYNTHETIC,
        label="Autocorrelation matching",
    )
    lags: int = option(
        5, "Largest lag of these autocorrelations", low=1, high=100, unit="bars", advanced=True, group=SYNTHETIC
    )
    adapt_to: tuple[str, ...] = option(
        (),
        "Other price data sets to fine-tune students of the set on, compared with students from scratch",
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
    def _is_sequence(self) -> Self:
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

    @classmethod
    def begun_from_result(cls, values: dict[str, Any]) -> dict[str, Any]:
        return values | {"images_from": "result"}

    def size(self, spec: Task) -> Size:
        """`sequences_per_token` windows of each token, with a target each."""
        num_samples = self.sequences_per_token * len(spec.class_names)
        num_values = num_samples * spec.sample_shape[0] * NUM_FEATURES
        return Size(num_samples, num_values, num_label_values=num_samples * spec.num_outputs)

    def describe_size(self, spec: Task) -> str:
        size, num_tokens = self.size(spec), len(spec.class_names)
        sequences = "1 distilled sequence" if size.num_samples == 1 else f"{size.num_samples:,} distilled sequences"
        tokens = "1 token" if num_tokens == 1 else f"{num_tokens:,} tokens"
        return f"{sequences} of {tokens}, {spec.sample_shape[0]:,} bars each"
