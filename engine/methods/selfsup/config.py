"""Hyperparameters of self-supervised distillation."""

import math
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from engine.core.config import Action, Load, MethodConfig, Size, Task, Validation, option
from engine.core.errors import ConfigError
from engine.core.options import Condition, unless
from engine.data.transforms.predefined import NAMES, OPTIMAL, Kernel, PredefinedName
from engine.evaluation.probing.config import ProbingConfig
from engine.methods.options import outer, stored
from engine.pretrained.teachers.config import TRAINED, TeacherConfig
from engine.synthetic.base import Training
from engine.synthetic.bases import basis_shape

LOW_RANK = Condition("parameterisation", ("low_rank",))
OPTIMAL_ONES = [LOW_RANK, unless("num_optimal", 0)]
RBF = [*OPTIMAL_ONES, Condition("kernel_type", ("rbf",))]
ROTATED = {f"rotate_{angle}": f"Rotated by {angle}°" for angle in (90, 180, 270)}
AUGMENTED, POOL = "Predefined augmentations", "Inner networks"

_bases = partial(stored, when=LOW_RANK)
_views = partial(option, group=AUGMENTED, when=LOW_RANK)
_views_adv = partial(_views, advanced=True)
_optimal = partial(_views_adv, when=OPTIMAL_ONES)
_pool = partial(option, group=POOL)
_pool_adv = partial(_pool, advanced=True)
_outer_adv = partial(outer, advanced=True)


class SelfsupConfig(MethodConfig):
    """Hyperparameters, in the order the form shows them."""

    unread: ClassVar[frozenset[str]] = frozenset(
        f"evaluation.{name}" for name in ("inner_steps", "ordinary_steps", "batch_size", "without_augmentation")
    )

    num_images: int = option(100, low=1, high=100_000, label="Distilled images")
    """Unlabelled images to distil, each with a representation."""
    parameterisation: Literal["low_rank", "full"] = stored("low_rank", names={"low_rank": "Low-rank bases"})
    """Store images and representations as linear combinations of bases, or each in full (KRR-ST)."""
    image_bases: int = _bases(100, "Bases that all images are combinations of (U)", low=1, high=10_000)
    representation_bases: int = _bases(50, "Bases that all representations are combinations of (V)", low=1, high=4096)
    basis_size: int = _bases(16, "Side of an image basis, before it is enlarged", low=2, high=1024, unit="px")
    storage_budget: int = stored(0, advanced=True, low=0, high=1_000_000, unit="pairs")
    """Largest storage, in full images with representations; 0 for no limit."""
    teacher: TeacherConfig = TeacherConfig()
    augmentations: tuple[PredefinedName, ...] = _views(tuple(ROTATED), names=ROTATED)
    """Fixed changes of the distilled images, each with its own representations."""
    jitter: float = _views_adv(0.4, "Strength of the colour jitter", low=0.0, high=1.0, label="Colour jitter")
    crop_scale: float = _views_adv(0.6, "Share of the image that the crop keeps", low=0.05, high=1.0)
    blur_kernel: int = _views_adv(3, "Side of the blur kernel, odd", low=3, high=31, unit="px")
    blur_sigma: float = _views_adv(1.0, "Standard deviation of the blur", low=0.05, high=20.0, unit="px")
    augmentation_seed: int = _views_adv(0, "Seed of the crop's position and the jitter", low=0, high=2**31 - 1)
    num_optimal: int = _views_adv(0, low=0, high=len(OPTIMAL), label="Optimal augmentations")
    """Augmentations computed so that Barlow Twins would learn these representations; 0 for none (published: 3)."""
    kernel_type: Kernel = _optimal("rbf", "Kernel of optimal augmentations", label="Kernel")
    kernel_gamma: float = _optimal(1e-5, "Gamma of exp(-gamma |x - y|²), the RBF kernel", low=1e-12, high=1e3, when=RBF)
    lambda_ridge: float = _optimal(1.0, low=0.0, high=1e6, label="Regression ridge")
    """Ridge of the map from images to representations (lambda)."""
    mu_p: float = _optimal(1.0, low=0.0, high=1e6, label="Pre-image ridge")
    """Ridge of the pre-image map from kernel space to images (mu)."""
    refresh_every: int = _views_adv(50, low=1, high=100_000, unit="outer steps", label="Refresh every")
    """Interval of new targets from the teacher."""
    hidden_dims: int = _views(4, low=1, high=4096, label="Approximation width")
    """Hidden units per approximation network; published 4 or 16."""
    approximation_steps: int = _views_adv(500, "Adam steps per approximation network", 1, 100_000, unit="steps")
    approximation_lr: float = _views_adv(0.01, low=1e-6, high=1.0, label="Approximation learning rate")
    """Learning rate of approximation networks."""
    pool_size: int = _pool(10, "Inner networks in the pool (L)", low=1, high=100, label="Networks")
    pool_steps: int = _pool(1000, low=1, high=100_000, unit="steps", label="Network lifetime")
    """Age at which a network is reinitialised (Z)."""
    prewarm: bool = _pool_adv(True, label="Stagger ages")
    """Start networks at different ages, so that not all are reinitialised at once."""
    inner_lr: float = _pool(0.1, "Learning rate of inner networks (SGD)", low=1e-6, high=10.0)
    inner_momentum: float = _pool_adv(0.9, "Momentum of inner networks", low=0.0, high=0.999)
    inner_weight_decay: float = _pool_adv(1e-4, "Weight decay of inner networks", low=0.0, high=1.0)
    inner_batch: int = _pool_adv(0, low=0, high=100_000, label="Inner batch size")
    """Pairs per inner step, including augmented ones; 0 for all."""
    inner_clip: float = _pool_adv(1.0, "Largest norm of an inner gradient; 0 for no limit", low=0.0, high=1e6)
    ridge: float = outer(1e-6, "Ridge of the regression, relative to the trace of the kernel", low=0.0, high=10.0)
    real_batch: int = outer(512, "Real images per outer step", low=1, high=100_000, label="Real batch size")
    outer_lr: float = outer(1e-2, "AdamW learning rate of the set, with linear decay to 0", low=1e-8, high=10.0)
    relative_steps: bool = _outer_adv(True)
    """Scale the learning rate of each part by its initial size; if off, all parts share one rate (published)."""
    outer_weight_decay: float = _outer_adv(0.0, "AdamW weight decay of the set (published: 0.01)", low=0.0, high=1.0)
    outer_clip: float = _outer_adv(1.0, "Largest norm of the set's gradient; 0 for no limit", low=0.0, high=1e6)
    num_validations: int = outer(5, low=0, high=1000, label="Validations")
    """How often to pretrain and probe a network during the run."""
    validation_steps: int = _outer_adv(200, "Pretraining steps of each validation", low=1, high=100_000, unit="steps")
    probing: ProbingConfig = ProbingConfig()

    @field_validator("augmentations")
    @classmethod
    def _in_one_order(cls, chosen: tuple[PredefinedName, ...]) -> tuple[PredefinedName, ...]:
        """Sorted, without repeats, so that the same choice is always the same value."""
        return tuple(name for name in NAMES if name in chosen)

    @model_validator(mode="after")
    def _kernel_is_odd(self) -> Self:
        if self.blur_kernel % 2 == 0:
            raise ValueError(f"blur_kernel must be odd; choose {self.blur_kernel + 1} instead of {self.blur_kernel}")
        return self

    @property
    def others(self) -> tuple[str, ...]:
        return self.probing.transfer

    @property
    def num_augmentations(self) -> int:
        """Number of augmentations per image of a low-rank set, including optimal ones."""
        return len(self.augmentations) + self.num_optimal

    @property
    def num_dims(self) -> int:
        """Dimensions of a representation."""
        return 512 if self.teacher.kind == "imagenet" else self.teacher.num_dims

    def validation(self) -> Validation:
        """One new network, pretrained on the set and probed."""
        return Validation(self.num_validations, 1, self.validation_steps)

    def real_samples_per_step(self, spec: Task) -> int:
        """`real_batch` images, whose labels are not used."""
        return self.real_batch

    def loads(self, spec: Task, action: Action, batch_size: int, stored: float) -> list[Load]:
        """Of the network that learns representations, and of the teacher if it is trained here."""
        pairs = self.num_images * (1 + self.num_augmentations)
        inner, pretrain = min(self.inner_batch or pairs, pairs), self.probing.pretrain_batch
        sizes = {f"a smaller batch of the pre-training (now {pretrain:,})": pretrain} if action != "record" else {}
        if action == "distill":
            distilled = {f"fewer distilled images (now {self.num_images:,})": self.num_images}
            sizes = distilled | {f"a smaller inner batch (now {inner:,})": inner} | sizes
        held = max(sizes.values(), default=0)  # one of them at a time
        student = self.student
        found = [Load(size if size == held else 0, size / 2, text, student) for text, size in sizes.items()]
        if self.teacher.kind in TRAINED:
            views = 2 * self.teacher.batch_size
            setting = f"a smaller batch of the teacher (now {self.teacher.batch_size:,})"
            found.append(Load(0, views / 2, setting, self.teacher.student()))
        return found

    def size(self, spec: Task) -> Size:
        """Bases, coefficients, means and approximation networks, or images and representations in full."""
        if self.parameterisation == "full":
            num_values, num_targets = self.num_images * math.prod(spec.sample_shape), self.num_images * self.num_dims
        else:
            pixels, V = math.prod(basis_shape(spec.sample_shape, self.basis_size)), self.representation_bases
            num_values = pixels * (self.image_bases + 1) + self.num_images * self.image_bases
            num_targets = self.num_dims * (V + 1) + self.num_images * V
            num_targets += self.num_augmentations * (2 * V * self.hidden_dims + self.hidden_dims + V)
        return Size(self.num_images, num_values, num_label_values=num_targets)

    def describe_size(self, spec: Task) -> str:
        """Images and the dimensions of their representations."""
        images = "1 synthetic image" if self.num_images == 1 else f"{self.num_images:,} synthetic images"
        return f"{images} with representations of {self.num_dims:,} numbers"

    def check(self, spec: Task, data_root: Path) -> None:
        """Raises ConfigError for more bases than there can be or a set over its storage budget."""
        size = self.size(spec)
        if self.parameterisation == "low_rank":
            pixels = math.prod(basis_shape(spec.sample_shape, self.basis_size))
            for count, most, what in (
                (self.image_bases, pixels, f"image bases of {self.basis_size} pixels a side"),
                (self.representation_bases, self.num_dims, f"bases of representations of {self.num_dims} numbers"),
            ):
                if count > most:
                    raise ConfigError(f"There can be at most {most:,} {what}, not {count:,}. Lower their number.")
        pair = math.prod(spec.sample_shape) + self.num_dims
        stored = size.num_values + size.num_label_values
        if self.storage_budget and stored > self.storage_budget * pair:
            problem = f"This set takes the storage of {math.ceil(stored / pair):,} images with representations,"
            remedy = "Use fewer images or bases, or raise the storage budget."
            raise ConfigError(f"{problem} more than the budget of {self.storage_budget:,}. {remedy}")

    def for_trial(self) -> Self:
        """With a teacher trained for two steps and no warm-up; an outer step costs the same."""
        teacher = self.teacher
        if teacher.kind in TRAINED:
            teacher = teacher.model_copy(update={"epochs": 1, "steps_per_epoch": 2})
        return self.model_copy(update={"teacher": teacher, "prewarm": False})

    def training(self) -> Training:
        """How a network is pretrained on the set: random batches, momentum, a constant learning rate."""
        return Training("momentum", self.probing.pretrain_steps, batch_size=self.probing.pretrain_batch)
