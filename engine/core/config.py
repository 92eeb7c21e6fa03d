"""Configs: each hyperparameter is said once; the form, the flags, the checks and the tables are made from it.

A config is a frozen pydantic model whose fields are made by `option(...)`. A `RunRequest` is the whole of what a
person asks for, as plain JSON: the same file runs in the app, on the command line and from Python.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.core.errors import ConfigError


def option(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    advanced: bool = False,
    label: str = "",
    group: str = "",
    when: tuple[str, Any] | None = None,
    of: str = "",
) -> Any:
    """A hyperparameter: default, one sentence, inclusive bounds, unit.

    advanced: folded away in the form. label: the form's name for it, the field's name in words by default.
    group: the heading it stands under. when: (other field, value or values) under which it means anything;
    the form greys it out otherwise. of: the only kind of source, "images" or "prices", for which it means anything.
    """
    extra = {"unit": unit, "advanced": advanced, "label": label, "group": group, "when": when, "of": of}
    return Field(default, description=description, ge=low, le=high, json_schema_extra=extra)


def option_like(config: type[BaseModel], name: str, default: Any) -> Any:
    """The option `name` of another config with a default of its own."""
    info = config.model_fields[name]
    bounds = {key: getattr(bound, key) for bound in info.metadata for key in ("ge", "le") if hasattr(bound, key)}
    return Field(default, description=info.description, json_schema_extra=info.json_schema_extra, **bounds)


class Config(BaseModel):
    """Base of all configs: frozen, unknown keys refused, numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


DsaOperation = Literal["color", "crop", "cutout", "flip", "scale", "rotate"]
DSA_OPERATIONS: tuple[DsaOperation, ...] = get_args(DsaOperation)


def in_effect(config: Config) -> dict[str, Any]:
    """The values of a flat config, as JSON, without those that mean nothing under the others."""
    values = config.model_dump(mode="json")
    kept = {}
    for name, info in type(config).model_fields.items():
        other, wanted = (info.json_schema_extra or {}).get("when") or (name, values[name])
        if values[other] in (wanted if isinstance(wanted, tuple) else (wanted,)):
            kept[name] = values[name]
    return kept


class WindowConfig(Config):
    """How price histories become windows and targets. All that is fitted is fitted on train alone."""

    target: Literal["close", "direction", "both", "volatility"] = option(
        "close",
        "What is forecast: the next close, whether it is higher, both, or how far it moves (the absolute return)",
    )
    window_length: int = option(30, "Bars that a student sees", low=4, high=512, unit="bars", label="Window")
    horizon: int = option(1, "Bars ahead that are forecast", low=1, high=64, unit="bars")
    stride: int = option(1, "Bars between the starts of two windows", low=1, high=512, unit="bars")
    threshold: float = option(
        0.0,
        "The direction counts as up where the close rises by more than this share",
        low=-0.5,
        high=0.5,
        advanced=True,
        when=("target", ("direction", "both")),
    )
    features: Literal["returns", "prices"] = option(
        "returns",
        "Bars as log returns with body and wicks, or as prices scaled to 0..1 by the lowest and highest of training",
    )
    token_identity: bool = option(
        False, "Tell the student which token a window is of", advanced=True, label="Token identity"
    )
    validation_fraction: float = option(
        0.15,
        "Share of the time before the test that is kept for choosing things",
        low=0.02,
        high=0.5,
        advanced=True,
    )
    test_fraction: float = option(0.2, "Share of the time, the latest, that is tested on", low=0.02, high=0.5)

    @property
    def embargo(self) -> int:
        """Bars left out at each border, so that no window reaches over it and its target is not the next one's past."""
        return self.window_length + self.horizon


class DataConfig(Config):
    """What is done to the data before anything is trained on them. All that is fitted is fitted on train alone.

    windows: of price histories; everything else is of images.
    """

    normalisation: Literal["standard", "unit"] = option(
        "standard", "Subtract each channel's training mean and divide by its deviation, or only scale pixels to 0..1"
    )
    zca: bool = option(
        False, "Whiten the pixels (ZCA), which helps colour images at very few images per class", label="ZCA whitening"
    )
    zca_kind: Literal["standard", "podd"] = option(
        "standard",
        "Whiten pixels as they are, or as PoDD does: each image first loses its own brightness and contrast, which pictures then "
        "show as an average image has them",
        advanced=True,
        label="ZCA kind",
        when=("zca", True),
    )
    zca_eps: float = option(
        0.1,
        "Added to the covariance's eigenvalues before whitening; for PoDD's kind, times their mean",
        low=1e-6,
        high=10.0,
        advanced=True,
        label="ZCA epsilon",
        when=("zca", True),
    )
    augmentation: Literal["none", "flip", "crop", "flip_crop", "flip_rotate", "dsa"] = option(
        "none", "Random changes to real training images; mirrored digits are other digits, so none for those"
    )
    dsa_operations: tuple[DsaOperation, ...] = option(
        DSA_OPERATIONS,
        "What DSA draws from: one of these changes for each batch",
        advanced=True,
        label="DSA operations",
        when=("augmentation", "dsa"),
    )
    validation_fraction: float = option(
        0.1,
        "Share of the training set kept for choosing things; the test set chooses nothing",
        low=0.02,
        high=0.5,
        advanced=True,
    )
    train_limit: int = option(
        0,
        "Use only this many training images, class-balanced; 0 means all",
        low=0,
        high=10_000_000,
        advanced=True,
        unit="images",
    )
    windows: WindowConfig = WindowConfig()

    @field_validator("dsa_operations")
    @classmethod
    def _in_one_order(cls, chosen: tuple[DsaOperation, ...]) -> tuple[DsaOperation, ...]:
        """Each once, in the order of the choices, so that the same choice is always the same value."""
        if not chosen:
            raise ValueError("choose at least one operation of DSA, or another augmentation")
        return tuple(name for name in DSA_OPERATIONS if name in chosen)


SEQUENCE_STUDENTS = ("lstm", "gru", "transformer")
"""Students of windows that have hidden units and layers."""


class StudentConfig(Config):
    """The network that is trained on the synthetic set."""

    name: Literal[
        "convnet",
        "lenet",
        "alexcifarnet",
        "mlp",
        "simpleconvnet",
        "convnetrgb",
        "alexnet",
        "vgg11",
        "resnet18",
        "resnet18_ap",
        "lstm",
        "gru",
        "transformer",
        "linear",
    ] = option("convnet", "Network trained on the synthetic set", label="Student")
    depth: int = option(
        3,
        "Blocks of convolution, normalisation, activation and pooling, or layers of a sequence network",
        low=1,
        high=8,
        advanced=True,
        when=("name", ("convnet", *SEQUENCE_STUDENTS)),
    )
    width: int = option(
        64,
        "Channels of each block, or hidden units of a sequence network",
        low=4,
        high=1024,
        advanced=True,
        unit="channels",
        when=("name", ("convnet", *SEQUENCE_STUDENTS)),
    )
    heads: int = option(
        4, "Attention heads; they share the hidden units", low=1, high=16, advanced=True, when=("name", "transformer")
    )
    growth: int = option(
        1, "Times that each block is as wide as the one before", low=1, high=4, advanced=True, when=("name", "convnet")
    )
    norm: Literal["instance", "batch", "layer", "group", "none"] = option(
        "instance",
        "Normalisation inside each block",
        advanced=True,
        when=("name", ("convnet", "vgg11", "resnet18", "resnet18_ap")),
    )
    activation: Literal["relu", "leaky_relu", "sigmoid", "softplus"] = option(
        "relu", "Non-linearity", advanced=True, when=("name", ("convnet", "mlp"))
    )
    pooling: Literal["average", "max", "none"] = option(
        "average", "Halves the picture after each block", advanced=True, when=("name", "convnet")
    )
    precision: Literal["float32", "tf32"] = option(
        "float32",
        "Multiplications on a CUDA card: exact, or with 10 bits of mantissa (TF32), faster and coarser; the CPU is always exact",
        advanced=True,
    )
    init: Literal["default", "xavier", "kaiming", "orthogonal"] = option(
        "xavier", "How random initial weights are drawn", advanced=True, label="Weight initialisation"
    )


class EvaluationConfig(Config):
    """How the finished synthetic set is compared with real data."""

    num_students: int = option(
        3,
        "Fresh networks trained per arm and protocol, each with a seed of its own",
        low=1,
        high=200,
        label="Students per arm",
    )
    students: tuple[str, ...] = option(
        (),
        "Other architectures to test besides the one used for distilling",
        advanced=True,
        label="Other architectures",
    )
    ordinary_steps: int = option(
        300,
        "Minibatch steps on a small set when it is trained as ordinary data",
        low=1,
        high=100_000,
        advanced=True,
        label="Steps as ordinary data",
        unit="steps",
    )
    inner_steps: int = option(
        2000,
        "Longest training of students on random batches, for methods that make sets for those; shorter ones are measured too, "
        "after 15, 30 and 50 % of it, of forecasts after halves of it, and the length is chosen on validation data",
        low=1,
        high=1_000_000,
        advanced=True,
        label="Longest training as distilled",
        unit="inner steps",
    )
    full_epochs: int = option(
        5,
        "Passes over the whole training set for the full arm",
        low=1,
        high=1000,
        advanced=True,
        label="Passes over the full set",
        unit="epochs",
    )
    batch_size: int = option(256, "Minibatch of ordinary training", low=1, high=8192, advanced=True)
    compare_full: bool = option(
        True,
        "Train on the full data set too; cached, so that nobody waits for it twice",
        label="Compare with full data",
    )
    without_augmentation: bool = option(
        False,
        "Train as distilled without the augmentation too, where a set is made for augmented random batches; its augmentation-robust "
        "score needs it",
        advanced=True,
        label="Without augmentation too",
        of="images",
    )
    other_images: int = option(
        2000,
        "Validation and test images that other architectures are measured on, each class in its share and always the same ones; "
        "0 means all. Large networks take minutes for the rest",
        low=0,
        high=10_000_000,
        advanced=True,
        label="Images for other architectures",
        of="images",
        unit="images",
    )
    other_full: bool = option(
        False,
        "Train other architectures on the full data set too, which takes large networks hours without a graphics card",
        advanced=True,
        label="Other architectures on full data",
        of="images",
        when=("compare_full", True),
    )


class Task(Protocol):
    """What a size and a check depend on; `data.source.TaskSpec` is one. sample_shape: (C, H, W) for images."""

    @property
    def sample_shape(self) -> tuple[int, ...]: ...

    @property
    def num_outputs(self) -> int: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Size:
    """How large a synthetic set will be: samples as a student sees them, and numbers stored for them.

    The two differ where samples share what is stored, as the patches of a poster do.
    num_label_values: stored for learned labels. num_indices: whole numbers of a byte each, hard labels or an order of
    the classes.
    """

    num_samples: int
    num_values: int
    num_label_values: int = 0
    num_indices: int = 0

    @property
    def num_bytes(self) -> int:
        """Of samples and labels, 4 for a learned value."""
        return 4 * (self.num_values + self.num_label_values) + self.num_indices

    def per_class(self, spec: Task) -> float:
        """Images per class that take as many numbers."""
        return self.num_values / (math.prod(spec.sample_shape) * spec.num_outputs)


class ImagesPerClass(Config):
    """A size in whole images. Named after MethodConfig among the bases of a method's config, it comes first in the form."""

    ipc: int = option(1, "Synthetic images of each class", low=1, high=500, label="Images per class")

    def whole_images(self, spec: Task, has_soft_labels: bool) -> Size:
        """`ipc` images of each class, every value of them stored, with a label each."""
        num_samples = self.ipc * spec.num_outputs
        num_values = num_samples * math.prod(spec.sample_shape)
        if has_soft_labels:
            return Size(num_samples, num_values, num_label_values=num_samples * spec.num_outputs)
        return Size(num_samples, num_values, num_indices=num_samples)


@dataclass(frozen=True)
class Validation:
    """How often a run tests its set on validation data: `times` along the way and `at_end` after the last step.

    Each time trains `students` fresh networks for `steps` inner steps.
    """

    times: int = 0
    students: int = 0
    steps: int = 0
    at_end: int = 0


@dataclass(frozen=True)
class Load:
    """Samples whose activations an outer step holds in memory, and the setting that would hold fewer.

    held, saved: in samples passed through `student`. setting: what to change, as what follows "start with".
    """

    held: float
    saved: float
    setting: str
    student: StudentConfig


def kept_steps(memory: Literal["auto", "store", "recompute"], num_steps: int, most: float) -> float:
    """Inner steps whose graph an outer step keeps, of `num_steps`; "auto" keeps no more than `most`."""
    return {"store": num_steps, "auto": min(num_steps, most), "recompute": 0}[memory]


class MethodConfig(Config):
    """What every method has: a student, a length, and a size that is made of its own fields."""

    student: StudentConfig = StudentConfig()
    outer_steps: int = option(500, "Updates of the synthetic set", low=1, high=10_000_000, unit="steps")
    previews: int = option(40, "Pictures of the synthetic set kept along the way", low=1, high=200, advanced=True)

    def wants_preview(self, step: int) -> bool:
        """Whether a picture is kept after `step` outer steps: evenly spread, the start and the end always."""
        return step == 0 or evenly_spread(step, self.outer_steps, self.previews)

    def wants_validation(self, step: int) -> bool:
        """Whether the set is tested on validation data after `step` outer steps: evenly spread, the last always."""
        return evenly_spread(step, self.outer_steps, self.validation().times)

    def validation(self) -> Validation:
        """How often the set is tested on validation data during a run; never, unless a method says otherwise."""
        return Validation()

    def real_samples_per_step(self, spec: Task) -> int:
        """Real samples that judge the student at each outer step; 0 for a method without such a batch."""
        return 0

    def step_loads(self, spec: Task, stored: float) -> list[Load]:
        """What an outer step holds in memory besides the real batch. stored: samples whose graph may be kept."""
        return []

    def loads(self, spec: Task, action: Action, batch_size: int, stored: float) -> list[Load]:
        """What a request holds in memory, largest parts only.

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
    def starts_from(self) -> str:
        """What the set starts as; "result" for the result of another run."""
        return "its own start"

    @property
    def others(self) -> tuple[str, ...]:
        """Keys of other sources that the comparison needs."""
        return ()

    def size(self, spec: Task) -> Size:
        """The size of the synthetic set for a task. Raises ConfigError where there can be none."""
        raise NotImplementedError(f"{type(self).__name__} does not say how large its synthetic set is")

    def describe_size(self, spec: Task) -> str:
        """The same in words, as the beginning of a sentence."""
        size = self.size(spec)
        labels = f", and {size.num_label_values:,} values of soft labels" if size.num_label_values else ""
        images = "1 synthetic image" if size.num_samples == 1 else f"{size.num_samples:,} synthetic images"
        return f"{images} of {spec.num_outputs:,} classes{labels}"

    def check(self, spec: Task, data_root: Path) -> None:
        """Refuse what can be known to fail before a run begins. Raises UserError; a method without such things has no check."""

    def for_trial(self) -> Self:
        """The config that a trial of a moment uses instead, where something of this one would keep it from the steps."""
        return self


def evenly_spread(step: int, total: int, times: int) -> bool:
    """Whether `step` is one of `times` steps evenly spread over 1..total, the last among them."""
    return step * times // total > (step - 1) * times // total


Action = Literal["distill", "evaluate", "record"]


class RunRequest(Config):
    """All that a person asks for, as plain JSON.

    config: the method's own hyperparameters. action: distil, compare an existing result with real data again,
    or only record the experts that a method follows.
    start: the run whose result is evaluated, or begun from; its result is copied when the request is submitted.
    sweep: what the runs of one sweep have in common.
    """

    schema_version: Literal[1] = 1
    name: str = Field("", max_length=120)
    source: str = "digits"
    data: DataConfig = DataConfig()
    method: str = "bilevel"
    preset: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(0, ge=0, le=2**31 - 1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    action: Action = "distill"
    start: str = Field("", max_length=20)
    sweep: str = Field("", max_length=40)


def checked(model: type[Config], values: dict[str, Any], where: str) -> Any:
    """`model(**values)`, with pydantic's complaints turned into one readable sentence.

    Raises ConfigError naming every wrong field, what was given and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_sentence(problem) for problem in error.errors())) from None


def _sentence(problem: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no option '{field}'"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    sentence = f"{message[:1].lower()}{message[1:]}{shown}"
    return f"{field}: {sentence}" if field else sentence
