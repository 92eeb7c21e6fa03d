"""Hyperparameters of self-supervised distillation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from engine.core.config import Action, Load, MethodConfig, Size, Task, Validation, option
from engine.core.errors import ConfigError
from engine.data.transforms.predefined import NAMES, OPTIMAL, Kernel, PredefinedName
from engine.evaluation.probing.config import ProbingConfig
from engine.pretrained.teachers.config import TRAINED, TeacherConfig
from engine.synthetic.base import Training
from engine.synthetic.bases import basis_shape

SYNTHETIC, AUGMENTED, POOL, OUTER = "Synthetic set", "Predefined augmentations", "Inner networks", "Outer loop"


class SelfsupConfig(MethodConfig):
    """Hyperparameters, in the order the form shows them."""

    unread: ClassVar[frozenset[str]] = frozenset(
        f"evaluation.{name}" for name in ("inner_steps", "ordinary_steps", "batch_size", "without_augmentation")
    )

    num_images: int = option(100, "Images that are distilled, each with a representation; they have no class", low=1, high=100_000, label="Distilled images")  # fmt: skip
    parameterisation: Literal["low_rank", "full"] = option(
        "low_rank",
        "Images and representations as sums of few bases, or each stored whole (KRR-ST)",
        group=SYNTHETIC,
        names={"low_rank": "Low-rank bases"},
    )
    image_bases: int = option(100, "Pictures that all images are sums of (U)", low=1, high=10_000, group=SYNTHETIC, label="Image bases", when=("parameterisation", "low_rank"))  # fmt: skip
    representation_bases: int = option(50, "Vectors that all representations are sums of (V)", low=1, high=4096, group=SYNTHETIC, label="Representation bases", when=("parameterisation", "low_rank"))  # fmt: skip
    basis_size: int = option(16, "Side of an image base; images are made of them and then enlarged", low=2, high=1024, unit="px", group=SYNTHETIC, label="Side of a base", when=("parameterisation", "low_rank"))  # fmt: skip
    storage_budget: int = option(
        0, "Refuse a set that takes more storage than so many images with their representations; 0 for no limit", low=0, high=1_000_000, unit="pairs", advanced=True, group=SYNTHETIC
    )  # fmt: skip
    teacher: TeacherConfig = TeacherConfig()
    augmentations: tuple[PredefinedName, ...] = option(
        ("rotate_90", "rotate_180", "rotate_270"), "Fixed changes of the distilled images, each with representations of its own", group=AUGMENTED, names={f"rotate_{angle}": f"Rotated by {angle}°" for angle in (90, 180, 270)}, when=("parameterisation", "low_rank")
    )  # fmt: skip
    jitter: float = option(0.4, "Strength of the colour jitter", low=0.0, high=1.0, advanced=True, group=AUGMENTED, label="Colour jitter", when=("parameterisation", "low_rank"))  # fmt: skip
    crop_scale: float = option(0.6, "Share of the image that the crop shows", low=0.05, high=1.0, advanced=True, group=AUGMENTED, when=("parameterisation", "low_rank"))  # fmt: skip
    blur_kernel: int = option(3, "Side of the blur's kernel, odd", low=3, high=31, unit="px", advanced=True, group=AUGMENTED, when=("parameterisation", "low_rank"))  # fmt: skip
    blur_sigma: float = option(1.0, "Deviation of the blur's kernel", low=0.05, high=20.0, unit="px", advanced=True, group=AUGMENTED, when=("parameterisation", "low_rank"))  # fmt: skip
    augmentation_seed: int = option(0, "Seed of what is drawn once: the crop's place, the jitter's numbers", low=0, high=2**31 - 1, advanced=True, group=AUGMENTED, when=("parameterisation", "low_rank"))  # fmt: skip
    num_optimal: int = option(
        0, "Changes that are made of the images and representations themselves, under which Barlow Twins would learn these; 0 = none, published 3", low=0, high=len(OPTIMAL), advanced=True, group=AUGMENTED, label="Optimal augmentations", when=("parameterisation", "low_rank")
    )  # fmt: skip
    kernel_type: Kernel = option("rbf", "Kernel that optimal augmentations compare images by", advanced=True, group=AUGMENTED, label="Kernel of optimal ones", when=("parameterisation", "low_rank"))  # fmt: skip
    kernel_gamma: float = option(1e-5, "Gamma of the rbf kernel exp(-gamma |x - y|²)", low=1e-12, high=1e3, advanced=True, group=AUGMENTED, label="Gamma of the kernel", when=("parameterisation", "low_rank"))  # fmt: skip
    lambda_ridge: float = option(1.0, "Ridge of their regression from images to representations (lambda)", low=0.0, high=1e6, advanced=True, group=AUGMENTED, label="Ridge of optimal ones", when=("parameterisation", "low_rank"))  # fmt: skip
    mu_p: float = option(1.0, "Ridge of the way back from the kernel to images (mu)", low=0.0, high=1e6, advanced=True, group=AUGMENTED, label="Ridge of pre-images", when=("parameterisation", "low_rank"))  # fmt: skip
    refresh_every: int = option(
        50, "Outer steps after which the teacher sees the augmented images anew", low=1, high=100_000, unit="steps", advanced=True, group=AUGMENTED, label="Renew targets every", when=("parameterisation", "low_rank")
    )  # fmt: skip
    hidden_dims: int = option(4, "Hidden units of the approximation network of an augmentation (4 as published, 16 for Stanford Dogs)", low=1, high=4096, group=AUGMENTED, label="Approximation's width", when=("parameterisation", "low_rank"))  # fmt: skip
    approximation_steps: int = option(500, "Adam steps of each approximation network", low=1, high=100_000, unit="steps", advanced=True, group=AUGMENTED, when=("parameterisation", "low_rank"))  # fmt: skip
    approximation_lr: float = option(0.01, "Their learning rate", low=1e-6, high=1.0, advanced=True, group=AUGMENTED, label="Approximation's rate", when=("parameterisation", "low_rank"))  # fmt: skip
    pool_size: int = option(10, "Inner networks that take turns (L)", low=1, high=100, group=POOL, label="Networks")
    pool_steps: int = option(1000, "Steps after which an inner network begins anew (Z)", low=1, high=100_000, unit="steps", group=POOL, label="Steps of a life")  # fmt: skip
    prewarm: bool = option(True, "Networks begin at different ages, so that they do not all begin anew together", advanced=True, group=POOL, label="Different ages")  # fmt: skip
    inner_lr: float = option(0.1, "Learning rate of inner networks, SGD", low=1e-6, high=10.0, group=POOL)
    inner_momentum: float = option(0.9, "Momentum of inner networks", low=0.0, high=0.999, advanced=True, group=POOL)
    inner_weight_decay: float = option(1e-4, "Weight decay of inner networks", low=0.0, high=1.0, advanced=True, group=POOL)  # fmt: skip
    inner_batch: int = option(0, "Distilled pairs of an inner step, augmented ones among them; 0 for all", low=0, high=100_000, advanced=True, group=POOL)  # fmt: skip
    inner_clip: float = option(1.0, "Largest norm of an inner gradient; 0 for no limit", low=0.0, high=1e6, advanced=True, group=POOL)  # fmt: skip
    ridge: float = option(1e-6, "Ridge of the regression, times the trace of the kernel", low=0.0, high=10.0, group=OUTER)  # fmt: skip
    real_batch: int = option(512, "Real images that the regression is judged on", low=1, high=100_000, group=OUTER)
    outer_lr: float = option(1e-2, "Learning rate of AdamW on the set, linear decay to 0", low=1e-8, high=10.0, group=OUTER)  # fmt: skip
    relative_steps: bool = option(
        True, "Each part of the set moves in proportion to its own size at the start; else all by the same amount, as published", advanced=True, group=OUTER
    )  # fmt: skip
    outer_weight_decay: float = option(0.0, "Weight decay of AdamW on the set (0.01 in the low-rank system)", low=0.0, high=1.0, advanced=True, group=OUTER)  # fmt: skip
    outer_clip: float = option(1.0, "Largest norm of the set's gradient; 0 for no limit", low=0.0, high=1e6, advanced=True, group=OUTER)  # fmt: skip
    num_validations: int = option(5, "Times that a fresh network is pre-trained on the set and probed along the way", low=0, high=1000, group=OUTER, label="Probes along the way")  # fmt: skip
    validation_steps: int = option(200, "Steps that it is pre-trained for", low=1, high=100_000, unit="steps", advanced=True, group=OUTER)  # fmt: skip
    probing: ProbingConfig = ProbingConfig()

    @field_validator("augmentations")
    @classmethod
    def _in_one_order(cls, chosen: tuple[PredefinedName, ...]) -> tuple[PredefinedName, ...]:
        """Each once, in the order of the choices, so that the same choice is always the same value."""
        return tuple(name for name in NAMES if name in chosen)

    @model_validator(mode="after")
    def _kernel_is_odd(self) -> Self:
        if self.blur_kernel % 2 == 0:
            raise ValueError(f"the blur's kernel has a middle only if it is odd; choose {self.blur_kernel + 1} in place of {self.blur_kernel}")  # fmt: skip
        return self

    @property
    def others(self) -> tuple[str, ...]:
        return self.probing.transfer

    @property
    def num_augmentations(self) -> int:
        """Changes of each image of a low-rank set, the optimal ones among them."""
        return len(self.augmentations) + self.num_optimal

    @property
    def num_dims(self) -> int:
        """Numbers of a representation."""
        return 512 if self.teacher.kind == "imagenet" else self.teacher.num_dims

    def validation(self) -> Validation:
        """One fresh network, pre-trained on the set and probed."""
        return Validation(self.num_validations, 1, self.validation_steps)

    def real_samples_per_step(self, spec: Task) -> int:
        """`real_batch` images, which have no class here."""
        return self.real_batch

    def loads(self, spec: Task, action: Action, batch_size: int, stored: float) -> list[Load]:
        """Of the network that learns representations, and of the teacher where it is trained here."""
        pairs = self.num_images * (1 + self.num_augmentations)
        inner, pretrain = min(self.inner_batch or pairs, pairs), self.probing.pretrain_batch
        pretraining = {f"a smaller batch of the pre-training (now {pretrain:,})": pretrain}
        sizes: dict[Action, dict[str, int]] = {
            "evaluate": pretraining,
            "record": {},
            "distill": {
                f"fewer distilled images (now {self.num_images:,})": self.num_images,
                f"a smaller inner batch (now {inner:,})": inner,
                **pretraining,
            },
        }
        largest = max(sizes[action].values(), default=0)  # one of them is held at a time
        found = []
        for setting, size in sizes[action].items():
            found.append(Load(size if size == largest else 0, size / 2, setting, self.student))
        if self.teacher.kind in TRAINED:
            views = 2 * self.teacher.batch_size
            setting = f"a smaller batch of the teacher (now {self.teacher.batch_size:,})"
            found.append(Load(0, views / 2, setting, self.teacher.student()))
        return found

    def size(self, spec: Task) -> Size:
        """Bases, coefficients, means and approximation networks, or whole images and representations."""
        if self.parameterisation == "full":
            num_values, num_targets = self.num_images * math.prod(spec.sample_shape), self.num_images * self.num_dims
        else:
            pixels, V = math.prod(basis_shape(spec.sample_shape, self.basis_size)), self.representation_bases
            num_values = pixels * (self.image_bases + 1) + self.num_images * self.image_bases
            num_targets = self.num_dims * (V + 1) + self.num_images * V
            num_targets += self.num_augmentations * (2 * V * self.hidden_dims + self.hidden_dims + V)
        return Size(self.num_images, num_values, num_label_values=num_targets)

    def describe_size(self, spec: Task) -> str:
        """Images and representations; no class is part of the set."""
        images = "1 synthetic image" if self.num_images == 1 else f"{self.num_images:,} synthetic images"
        return f"{images} with representations of {self.num_dims:,} numbers"

    def check(self, spec: Task, data_root: Path) -> None:
        """Raises ConfigError for more bases than there can be, and for a set larger than its budget."""
        size = self.size(spec)
        if self.parameterisation == "low_rank":
            pixels = math.prod(basis_shape(spec.sample_shape, self.basis_size))
            for count, most, what in (
                (self.image_bases, pixels, f"image bases of {self.basis_size} pixels a side"),
                (self.representation_bases, self.num_dims, f"bases of representations of {self.num_dims} numbers"),
            ):
                if count > most:
                    raise ConfigError(
                        f"There can be at most {most:,} {what}, but {count:,} are wanted. Lower their number."
                    )
        pair = math.prod(spec.sample_shape) + self.num_dims
        stored = size.num_values + size.num_label_values
        if self.storage_budget and stored > self.storage_budget * pair:
            raise ConfigError(
                f"This set takes the storage of {math.ceil(stored / pair):,} images with their representations, more than the budget of "
                f"{self.storage_budget:,}. Lower the numbers of images or bases, or raise the storage budget."
            )

    def for_trial(self) -> Self:
        """A teacher of two steps in the place of the real one, and networks of age 0: an outer step costs the same."""
        teacher = self.teacher
        if teacher.kind in TRAINED:
            teacher = teacher.model_copy(update={"epochs": 1, "steps_per_epoch": 2})
        return self.model_copy(update={"teacher": teacher, "prewarm": False})

    def training(self) -> Training:
        """How a network is pre-trained on the set: random batches, momentum, one rate."""
        return Training("momentum", self.probing.pretrain_steps, batch_size=self.probing.pretrain_batch)
