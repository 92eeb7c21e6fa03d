"""Hyperparameters of OHLC distillation."""

from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from engine.core.config import Size, StudentConfig, Task, Validation
from engine.core.options import Config, option, option_like
from engine.data.source import NUM_FEATURES
from engine.meta.windows import WindowSchedule
from engine.methods.options import inner, stored
from engine.methods.windowed_config import WindowedConfig
from engine.nets import STUDENTS
from engine.synthetic.candles import CandleSet

weight = partial(stored, low=0.0, high=1e4, advanced=True)
STARTS = {"noise": "Noise: no real window is copied", "real": "Real windows", "result": "The result of another run"}
LEARNED = ("learn_targets", True)


class SequencesPerToken(Config):
    """The number of sequences, first in the form."""

    sequences_per_token: int = option(1, "Distilled sequences per token", low=1, high=200)


class OhlcConfig(WindowedConfig, SequencesPerToken):
    """The loop of methods/windowed.py, with penalties on the sequences."""

    start_options: ClassVar[tuple[str, ...]] = ("images_from",)

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

    initialisation: Literal["random", "fixed"] = inner("random", label="Start weights")
    """Random initial weights, or one fixed draw, which the set then works for alone."""
    images_from: Literal["noise", "real", "result"] = stored("real", label="Sequences start from", names=STARTS)
    """Sequences that start from real windows may stay close to them; those from noise copy none."""
    learn_targets: bool = stored(True, "Learn the targets, or keep those of the real windows at the start")
    target_lr_divisor: float = stored(1.0, low=0.01, high=10_000.0, advanced=True, when=LEARNED)
    """Targets move at the outer learning rate divided by this."""
    smoothness: float = weight(0.0, "Weight of the mean squared change from bar to bar")
    autocorrelation: float = weight(0.0, label="Autocorrelation matching")
    """Weight of the squared distance to the autocorrelations of real windows."""
    lags: int = stored(5, "Largest lag of the autocorrelations", low=1, high=100, unit="bars", advanced=True)
    adapt_to: tuple[str, ...] = option((), among="prices", advanced=True, group="Adaptation")
    """Other price data sets to fine-tune students on."""

    @property
    def others(self) -> tuple[str, ...]:
        """Keys of the data sets that students are adapted to."""
        return self.adapt_to

    @model_validator(mode="after")
    def _is_sequence(self) -> Self:
        able = [key for key, card in STUDENTS.items() if "prices" in card.takes]
        if self.student.name not in able:
            raise ValueError(f"student '{self.student.name}' is for images; windows of prices take {', '.join(able)}")
        return self

    def validation(self) -> Validation:
        """One student is enough for a set that is made for a single start."""
        students = 1 if self.initialisation == "fixed" else self.validation_students
        return Validation(self.num_validations, students, self.validation_steps)

    def real_per_class(self, spec: Task) -> int:
        """Windows are compared per token, which are no classes."""
        return 0

    def size(self, spec: Task) -> Size:
        """`sequences_per_token` windows of each token, with a target each."""
        num_samples = self.sequences_per_token * len(spec.class_names)
        num_values = num_samples * spec.sample_shape[0] * NUM_FEATURES
        num_targets = num_samples * spec.num_outputs
        size = Size(num_samples, num_values, num_targets, num_fine=num_targets, num_channels=NUM_FEATURES)
        return self.as_stored(replace(size, bits=CandleSet.usual_bits))

    def describe_size(self, spec: Task) -> str:
        size, num_tokens = self.size(spec), len(spec.class_names)
        sequences = "1 distilled sequence" if size.num_samples == 1 else f"{size.num_samples:,} distilled sequences"
        tokens = "1 token" if num_tokens == 1 else f"{num_tokens:,} tokens"
        return f"{sequences} of {tokens}, {spec.sample_shape[0]:,} bars each"
