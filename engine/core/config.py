"""Configs and requests.

A config is a frozen pydantic model whose fields are made by `option(...)`. A `RunRequest` is everything that a run is
asked to do, as plain JSON: the same file runs in the app, on the command line and from Python.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar, get_args

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from engine.core.data_config import DataConfig
from engine.core.errors import ConfigError
from engine.core.options import Config, option, unless
from engine.core.students import StudentConfig

_advanced = partial(option, advanced=True)
_of_images = partial(_advanced, of="images")
Recipe = Literal["ours", "standard", "standard_learned_rate", "frepo"]


class EvaluationConfig(Config):
    """How the finished synthetic set is compared with real data."""

    num_students: int = option(3, low=1, high=200, label="Students per training set")
    """Networks trained on each training set with each recipe, every one from a different seed."""
    students: tuple[str, ...] = _advanced((), label="Other architectures", among="students")
    """Architectures to test besides the one the set is distilled for, or pools of ConvNets that differ from it in one
    setting, such as `pool:depth`."""
    ordinary_steps: int = _advanced(300, low=1, high=100_000, label="Steps of standard training", unit="steps")
    """Minibatch steps of standard training (Adam, cosine decay) on a small set."""
    recipes: tuple[Recipe, ...] = _of_images(
        ("ours",),
        label="Recipes",
        names={
            "ours": "Standard training",
            "standard": "DC/DSA/MTT",
            "standard_learned_rate": "DC/DSA/MTT, learned rate",
            "frepo": "FRePo",
        },
    )
    """How students are trained besides the method's own recipe, each a row of its own: standard training, or the
    recipes that published scores are measured by (DC/DSA/MTT: SGD for 1,000 epochs with DSA; the same at the set's
    learned rate; FRePo: Adam, squared error)."""
    recipe_percent: int = _of_images(
        100, low=1, high=100, label="Length of published recipes", unit="%", when=unless("recipes", (), ("ours",))
    )
    """A shorter training by a published recipe, in its own proportions; its name says "shortened"."""
    recipes_full: bool = _of_images(
        False, label="Published recipes on full data", when=[unless("recipes", (), ("ours",)), ("compare_full", True)]
    )
    """Also train on the full data set by the published recipes; 1,000 epochs take hours without a GPU."""
    inner_steps: int = _advanced(
        2000, low=1, high=1_000_000, label="Longest training with its own recipe", unit="inner steps"
    )
    """Longest training with a method's own recipe on random batches. Shorter trainings are tried too (15, 30 and 50 %
    of it; for forecasts, repeated halves) and the best length is chosen on validation data, if there are any."""
    full_epochs: int = _advanced(
        5, low=1, high=1000, label="Epochs on the full set", unit="epochs", when=("compare_full", True)
    )
    """Passes over the full training set."""
    batch_size: int = _advanced(256, "Batch size of standard training", low=1, high=8192)
    compare_full: bool = option(True, label="Compare with full data")
    """Also train on the full data set; the scores are cached."""
    without_augmentation: bool = _of_images(
        False,
        label="Also without augmentation",
        when=[unless("data.augmentation", "none"), ("config.augment_synthetic", True)],
    )
    """Also train with the method's own recipe but without augmentation; the augmentation-robust score needs it."""
    other_images: int = _of_images(
        0, low=0, high=10_000_000, label="Images for other architectures", when=unless("students", ()), unit="images"
    )
    """Validation and test images for other architectures, a fixed stratified sample; 0 for all. The estimate counts
    the time, which is minutes for large networks without a GPU."""
    other_full: bool = _of_images(
        False, label="Other architectures on full data", when=[unless("students", ()), ("compare_full", True)]
    )
    """Also train other architectures on the full data set; takes hours for large networks without a GPU."""

    @field_validator("recipes")
    @classmethod
    def _in_fixed_order(cls, chosen: tuple[Recipe, ...]) -> tuple[Recipe, ...]:
        """Sorted, without repeats, so that the same choice is always the same value."""
        return tuple(recipe for recipe in get_args(Recipe) if recipe in chosen)


class Task(Protocol):
    """What a size and a check depend on; `data.source.TaskSpec` is one. sample_shape: (C, H, W) for images."""

    @property
    def sample_shape(self) -> tuple[int, ...]: ...

    @property
    def num_outputs(self) -> int: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...


def image_shape(sample_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W). Raises ConfigError if the samples are not images."""
    if len(sample_shape) != 3:
        raise ConfigError(f"This form of set is for images, but the samples have shape {sample_shape}.")
    return sample_shape


@dataclass(frozen=True)
class Size:
    """How large a synthetic set will be: samples as a student sees them, and the values stored for them.

    num_label_values: of learned labels. num_indices: bytes of hard labels or of an order of the classes.
    num_fine: of all these values, those that are never stored in fewer bits than float16. num_channels: of codes, each
    with a scale and an offset. bits: per value.
    """

    num_samples: int
    num_values: int
    num_label_values: int = 0
    num_indices: int = 0
    num_fine: int = 0
    num_channels: int = 0
    bits: int = 8

    @property
    def num_bytes(self) -> int:
        """Of samples and labels, as they will be stored."""
        coded = math.ceil((self.num_values + self.num_label_values - self.num_fine) * self.bits / 8)
        fine = self.num_fine * max(16, self.bits) // 8
        return coded + fine + self.num_indices + (8 * self.num_channels if self.bits <= 8 else 0)

    def per_class(self, spec: Task) -> float:
        """Images per class that take as many values."""
        return self.num_values / (math.prod(spec.sample_shape) * spec.num_outputs)


@dataclass(frozen=True)
class Validation:
    """A run tests its set on validation data `times` times along the way and `at_end` times after the last step.

    Each time, it trains `students` new networks for `steps` inner steps.
    """

    times: int = 0
    students: int = 0
    steps: int = 0
    at_end: int = 0


@dataclass(frozen=True)
class Load:
    """Samples whose activations an outer step holds in memory, and a setting that would lower their number.

    held, saved: in samples passed through `student`. setting: the end of a sentence that begins with "start with".
    """

    held: float
    saved: float
    setting: str
    student: StudentConfig


StoreBits = Annotated[
    Literal["auto", "float32", "float16", "8", "4", "3", "2"],
    BeforeValidator(lambda value: str(value) if isinstance(value, int) else value),
]
"""Bits may be given as a number too, as a command line has them."""
BITS = {"8": "8 bits", "4": "4 bits", "3": "3 bits", "2": "2 bits"}
ROUNDED_SHARE = 0.6
"""Of the outer steps, the last ones that see rounded values where few bits are asked for. Ten digits in 2 bits
(bilevel, 3 seeds): 90.6 % if rounded afterwards, 91.6 % with a share of 0.2, 93.1 % with 0.6."""


def kept_steps(memory: Literal["auto", "store", "recompute"], num_steps: int, most: float) -> float:
    """Inner steps whose graph an outer step keeps, of `num_steps`; "auto" keeps at most `most`."""
    return {"store": num_steps, "auto": min(num_steps, most), "recompute": 0}[memory]


class MethodConfig(Config):
    """Hyperparameters of every method.

    unread: full paths of options outside the method's config that have no effect on its runs. start_options: paths of
    the options that say what a set starts as, one for each form.
    """

    unread: ClassVar[frozenset[str]] = frozenset()
    start_options: ClassVar[tuple[str, ...]] = ()
    student: StudentConfig = StudentConfig()
    outer_steps: int = option(500, "Updates of the synthetic set", low=1, high=10_000_000, unit="steps")
    previews: int = option(40, "Pictures of the synthetic set kept along the way", low=1, high=200, advanced=True)
    store_bits: StoreBits = option("auto", label="Stored bits per value", names=BITS, group="Synthetic set")
    """Bits of a stored value. Auto takes the fewest that cost at most 0.5 points on validation data; with 8 or fewer
    chosen here, the last 60 % of the steps fine-tune the rounded values."""

    @property
    def asked_bits(self) -> int:
        """Bits per value that are asked for; 0 for auto."""
        named = {"auto": 0, "float32": 32, "float16": 16}
        return named[self.store_bits] if self.store_bits in named else int(self.store_bits)

    def rounded_bits(self, step: float = math.inf) -> int:
        """Bits that outer step `step`, or a validation without one, rounds the set to; 0 if it does not."""
        is_late = step >= (1 - ROUNDED_SHARE) * self.outer_steps
        return self.asked_bits if self.asked_bits <= 8 and is_late else 0

    def as_stored(self, size: Size) -> Size:
        """A size at the bits that are asked for."""
        return replace(size, bits=self.asked_bits or size.bits)

    def wants_preview(self, step: int) -> bool:
        """Whether a picture is kept after `step` outer steps: at the start and end, and evenly between."""
        return step == 0 or evenly_spread(step, self.outer_steps, self.previews)

    def wants_validation(self, step: int) -> bool:
        """Whether the set is tested on validation data after `step` outer steps."""
        return evenly_spread(step, self.outer_steps, self.validation().times)

    def validation(self) -> Validation:
        """How often the set is tested on validation data during a run."""
        return Validation()

    def without_validation(self) -> Self:
        """The config of a run without validation data, which returns the set of its last step."""
        return self

    def real_per_class(self, spec: Task) -> int:
        """Real samples per class that take as many bytes as the set, at least 1; 0 without classes."""
        return max(1, self.size(spec).num_bytes // (spec.num_outputs * self.real_bytes(spec)))

    def real_bytes(self, spec: Task) -> int:
        """Bytes of a real sample with its target: 1 per value and 1 of its label."""
        return math.prod(spec.sample_shape) + 1

    def real_samples_per_step(self, spec: Task) -> int:
        """Real samples that each outer step judges the student on."""
        return 0

    def step_loads(self, spec: Task, stored: float) -> list[Load]:
        """What an outer step holds in memory besides the real batch; `stored` as in `loads`."""
        return []

    def loads(self, spec: Task, action: Action, batch_size: int, stored: float) -> list[Load]:
        """The largest parts of what a request holds in memory.

        batch_size: minibatch of the evaluation. stored: samples whose graph `memory="auto"` may keep.
        """
        if action == "evaluate":
            setting = f"a smaller batch in the evaluation (now {batch_size:,})"
            return [Load(batch_size, batch_size / 2, setting, self.student)]
        if action == "record":
            return []
        real = self.real_samples_per_step(spec)
        setting = f"a smaller real batch (now {real:,})"
        return [*self.step_loads(spec, stored), Load(real, real / 2, setting, self.student)]

    def unrolled_loads(self, spec: Task, batch: int, kept_steps: float, setting: str) -> list[Load]:
        """Loads of an inner loop of `batch` synthetic samples per step that keeps the graphs of `kept_steps` steps.

        setting: what lowers the batch; "" for the images per class.
        """
        per_class = self.size(spec).per_class(spec)
        kept = batch * kept_steps
        found = [Load(kept, kept, "memory set to 'recompute'", self.student)] if kept else []
        if not setting and per_class > 1:
            setting = f"fewer images per class (now {per_class:,g})"
        return [*found, Load(batch, (batch + kept) / 2 if setting else 0.0, setting, self.student)]

    @property
    def start_option(self) -> str:
        """The one of `start_options` that is in effect; "" for a method with its own start."""
        return next(iter(self.start_options), "")

    @property
    def starts_from(self) -> str:
        """What the set starts as; "result": the result of another run."""
        return attrgetter(self.start_option)(self) if self.start_option else "its own start"

    @classmethod
    def begun_from_result(cls, values: dict[str, Any]) -> dict[str, Any] | None:
        """These options, changed to start from a result; None if the method cannot."""
        for path in cls.start_options:
            holder, _, name = path.rpartition(".")
            start = {name: "result"}
            values = values | ({holder: values.get(holder, {}) | start} if holder else start)
        return values if cls.start_options else None

    @property
    def others(self) -> tuple[str, ...]:
        """Keys of further data sets that the comparison needs."""
        return ()

    def size(self, spec: Task) -> Size:
        """The size of the synthetic set for a task. Raises ConfigError if the settings do not fit it."""
        raise NotImplementedError

    def describe_size(self, spec: Task) -> str:
        """The size in words, as the beginning of a sentence."""
        size = self.size(spec)
        labels = f", and {size.num_label_values:,} values of soft labels" if size.num_label_values else ""
        images = "1 synthetic image" if size.num_samples == 1 else f"{size.num_samples:,} synthetic images"
        return f"{images} of {spec.num_outputs:,} classes, {size.num_samples / spec.num_outputs:,g} per class{labels}"

    def check(self, spec: Task, data_root: Path) -> None:
        """Raise UserError for a run that is known to fail."""

    def caution(self, spec: Task) -> str:
        """What works but is a poor choice, and what to do about it; "" for nothing."""
        return ""

    def for_trial(self) -> Self:
        """The config for a short trial: without long work before the first step."""
        return self


def evenly_spread(step: int, total: int, times: int) -> bool:
    """Whether `step` is one of `times` steps evenly spread over 1..total, the last included."""
    return step * times // total > (step - 1) * times // total


Action = Literal["distill", "evaluate", "record"]


class RunRequest(Config):
    """All that a run is asked to do.

    config: the method's hyperparameters. action: distil, evaluate the result of another run again, or only record the
    experts or the teacher. start: the run whose result is evaluated or begun from; it is copied when the request is
    submitted. sweep: the same for all runs of a sweep.
    """

    schema_version: Literal[1] = 1
    name: str = Field(default="", max_length=120)
    source: str = "digits"
    data: DataConfig = DataConfig()
    method: str = "bilevel"
    preset: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    action: Action = "distill"
    start: str = Field(default="", max_length=20)
    sweep: str = Field(default="", max_length=40)


_Config = TypeVar("_Config", bound=Config)


def checked(model: type[_Config], values: dict[str, Any], where: str) -> _Config:
    """`model(**values)`. Raises ConfigError that names every wrong field, what was given and what is allowed."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_sentence(problem) for problem in error.errors())) from None


def _sentence(problem: ErrorDetails) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no option '{field}'"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    sentence = f"{message[:1].lower()}{message[1:]}{shown}"
    return f"{field}: {sentence}" if field else sentence
