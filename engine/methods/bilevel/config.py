"""Hyperparameters of the bilevel method."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from engine.core.config import ImagesPerClass, Load, MethodConfig, Size, Task, Validation, kept_steps, option, unless


class BilevelConfig(MethodConfig, ImagesPerClass):
    """Hyperparameters, in the order the form shows them."""

    unread: ClassVar[frozenset[str]] = frozenset({"evaluation.inner_steps", "evaluation.without_augmentation"})

    num_batches: int = option(
        1,
        "The images are shared out evenly over this many batches, each used for one inner step",
        low=1,
        high=500,
        label="Batches (S)",
        group="Inner loop",
    )
    passes: int = option(
        3, "Times the student goes through all batches", low=1, high=500, label="Passes (E)", group="Inner loop"
    )
    initialisation: Literal["random", "fixed", "pool"] = option(
        "random",
        "Weights the student starts from: any random draw, one fixed draw, or networks already part-trained on real data",
        group="Inner loop",
        label="Start weights",
    )
    num_inits: int = option(
        1,
        "Start weights per outer step; their gradients are averaged, one in memory at a time",
        low=1,
        high=1024,
        group="Inner loop",
        label="Starts per step",
    )
    inner_optimiser: Literal["sgd", "momentum", "adam"] = option(
        "sgd", "How the student is trained on the synthetic images", group="Inner loop"
    )
    student_lr: float = option(
        0.02, "Inner learning rate at the start", low=1e-6, high=10.0, group="Inner loop", label="Student learning rate"
    )
    learn_rates: bool = option(True, "Learn the inner learning rates with the images", group="Inner loop")
    shared_rate: bool = option(
        False, "One rate for all inner steps instead of one for each", advanced=True, group="Inner loop"
    )
    pool_size: int = option(
        8,
        "Networks in the pool, of evenly spread ages",
        low=1,
        high=1000,
        advanced=True,
        group="Inner loop",
        when=("initialisation", "pool"),
    )
    pool_steps: int = option(
        100,
        "Age of the oldest network of the pool",
        low=1,
        high=100_000,
        unit="steps",
        advanced=True,
        group="Inner loop",
        when=("initialisation", "pool"),
    )
    memory: Literal["auto", "store", "recompute"] = option(
        "auto",
        "Keep every inner step's graph, or rebuild one at a time in backward: same gradient, less memory, more time",
        advanced=True,
        group="Inner loop",
    )

    images_from: Literal["noise", "real", "result"] = option(
        "noise",
        "What the images start as: random numbers, real images, or the result of another run",
        group="Synthetic set",
        label="Images start from",
    )
    labels: Literal["hard", "soft"] = option(
        "hard", "One class an image, or a learned distribution over classes", group="Synthetic set"
    )
    clamp: bool = option(
        False, "Cut pixels to the range of real ones after every outer step", advanced=True, group="Synthetic set"
    )
    augment_synthetic: bool = option(
        False,
        "Apply the training augmentation to synthetic batches too",
        advanced=True,
        group="Synthetic set",
        when=unless("data.augmentation", "none"),
    )

    real_batch: int = option(
        1024,
        "Real images that judge the student at each outer step",
        low=1,
        high=100_000,
        unit="images",
        group="Outer loop",
    )
    outer_lr: float = option(
        0.01,
        "Step size of Adam on images and labels",
        low=1e-6,
        high=10.0,
        group="Outer loop",
        label="Outer learning rate",
    )
    rates_lr: float = option(
        0.01,
        "Step size of Adam on the rates, which are learned as softplus(r): 0.01 changes a small rate by 1 % a step",
        low=1e-6,
        high=10.0,
        advanced=True,
        group="Outer loop",
        label="Learning rate of the rates",
        when=("learn_rates", True),
    )
    decay_factor: float = option(
        0.5,
        "The outer learning rate is multiplied by this at each decay",
        low=0.01,
        high=1.0,
        advanced=True,
        group="Outer loop",
    )
    num_decays: int = option(
        4,
        "Decays, evenly spread over the run",
        low=0,
        high=100,
        advanced=True,
        group="Outer loop",
        label="Decays",
    )
    adam_beta1: float = option(
        0.5, "Momentum of the outer Adam", low=0.0, high=0.999, advanced=True, group="Outer loop", label="Adam beta 1"
    )
    clip: float = option(
        0.0,
        "Longest meta-gradient allowed; 0 means no limit",
        low=0.0,
        high=1e6,
        advanced=True,
        group="Outer loop",
        label="Gradient clip",
    )
    num_validations: int = option(
        20,
        "Times the set is tried on validation images during the run; 0 for never",
        low=0,
        high=1000,
        advanced=True,
        group="Outer loop",
        label="Validations",
    )
    keep: Literal["best", "last"] = option(
        "best",
        "Return the set that did best on validation images, or the last",
        advanced=True,
        group="Outer loop",
        label="Set to keep",
    )

    @model_validator(mode="after")
    def _batches_divide(self) -> BilevelConfig:
        if self.ipc % self.num_batches:
            raise ValueError(
                f"{self.ipc} images per class cannot be shared out evenly over {self.num_batches} batches; the number of batches must divide {self.ipc}"
            )
        return self

    def validation(self) -> Validation:
        """Three students, or the one that the fixed start allows, trained as in an outer step."""
        num_steps, students = self.num_batches * self.passes, 1 if self.initialisation == "fixed" else 3
        return Validation(self.num_validations, students, num_steps)

    def real_samples_per_step(self, spec: Task) -> int:
        """`real_batch` images of any class."""
        return self.real_batch

    def step_loads(self, spec: Task, stored: float) -> list[Load]:
        """The inner loop, one of the batches at each of its steps."""
        batch, num_steps = self.size(spec).num_samples // self.num_batches, self.num_batches * self.passes
        return self.unrolled_loads(spec, batch, kept_steps(self.memory, num_steps, stored / batch), "")

    @property
    def starts_from(self) -> str:
        return self.images_from

    def size(self, spec: Task) -> Size:
        """`ipc` images of each class."""
        return self.whole_images(spec, self.labels == "soft")
