"""Hyperparameters of trajectory matching."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from engine.core.config import Action, ImagesPerClass, Load, MethodConfig, Size, Task, Validation, option, unless
from engine.pretrained.experts import ExpertsConfig
from engine.synthetic.base import Training

EXPERTS, STUDENT, SYNTHETIC, OUTER = "Experts", "Student's path", "Synthetic set", "Outer loop"


class TrajectoryConfig(MethodConfig, ImagesPerClass):
    """Hyperparameters, in the order the form shows them."""

    experts: ExpertsConfig = ExpertsConfig()
    objective: Literal["att", "mtt"] = option(
        "att",
        "Compare the step of the student that is nearest to the expert (ATT), or its last one (MTT, FTD)",
        group=STUDENT,
    )
    nearest_by: Literal["l1", "l2"] = option(
        "l1",
        "Distance that tells the nearest step: sum of absolute differences as in the published code, or of squares as in the paper",
        advanced=True,
        group=STUDENT,
        when=("objective", "att"),
    )
    min_start_epoch: int = option(
        0, "Students start from an expert's weights after so many epochs or more", low=0, high=1000, unit="epochs", advanced=True, group=STUDENT, label="Earliest start",
    )  # fmt: skip
    max_start_epoch: int = option(
        5, "Students start from an expert's weights after fewer epochs than this", low=1, high=1000, unit="epochs", group=STUDENT, label="Start before epoch",
    )  # fmt: skip
    expert_epochs: int = option(
        2, "How far ahead of the start the expert's weights lie that the student is to reach", low=1, high=1000, unit="epochs", group=STUDENT, label="Epochs ahead",
    )  # fmt: skip
    student_steps: int = option(
        20, "Steps that the student has for it on the synthetic images", low=1, high=10_000, unit="inner steps", group=STUDENT
    )  # fmt: skip
    batch_size: int = option(
        0, "Synthetic images a step, drawn at random; 0 for all of them", low=0, high=10_000, unit="samples", advanced=True, group=STUDENT, label="Synthetic batch",
    )  # fmt: skip
    student_lr: float = option(
        0.01, "Inner learning rate at the start", low=1e-6, high=10.0, group=STUDENT, label="Student learning rate"
    )
    learn_rates: bool = option(
        True, "Learn the inner learning rate with the images", group=STUDENT, label="Learn the rate"
    )
    rates_lr: float = option(
        1e-5,
        "Step size on the inner rate; the rate itself stays positive",
        low=1e-12,
        high=10.0,
        group=STUDENT,
        label="Learning rate of the rate",
        when=("learn_rates", True),
    )
    augment_synthetic: bool = option(
        True,
        "Apply the training augmentation to synthetic batches too, with one draw a batch, and wherever a student is trained on the result",
        advanced=True,
        group=STUDENT,
        when=unless("data.augmentation", "none"),
    )

    images_from: Literal["real", "noise", "result"] = option(
        "real",
        "What the images start as: real images, random numbers, or the result of another run",
        group=SYNTHETIC,
        label="Images start from",
    )
    labels: Literal["hard", "soft"] = option(
        "hard", "One class an image, or a learned distribution over classes", group=SYNTHETIC
    )
    labels_lr: float = option(
        1.0,
        "Step size on the logits of soft labels",
        low=1e-6,
        high=1e6,
        advanced=True,
        group=SYNTHETIC,
        label="Learning rate of the labels",
        when=("labels", "soft"),
    )
    canvas_size: int = option(
        1, "Learn textures this many images high and wide, each sample a random cut-out; 1 for plain images", low=1, high=8, advanced=True, group=SYNTHETIC, label="Canvas",
    )  # fmt: skip
    canvas_samples: int = option(
        1, "Cut-outs of each canvas a step, where all are used", low=1, high=64, advanced=True, group=SYNTHETIC, label="Cut-outs"
    )  # fmt: skip

    outer_lr: float = option(
        100.0, "Step size on the pixels, large because the loss is normalised", low=1e-4, high=1e7, group=OUTER, label="Outer learning rate"
    )  # fmt: skip
    momentum: float = option(
        0.5, "Momentum of the outer steps", low=0.0, high=0.99, advanced=True, group=OUTER, label="Outer momentum"
    )
    ema_decay: float = option(
        0.99, "Share of the old in the moving average of the images, which is tried and kept beside them; 0 for none", low=0.0, high=0.999999, group=OUTER, label="Moving average",
    )  # fmt: skip
    num_validations: int = option(
        10, "Times the images and their average are tried on validation images during the run; at its end the two are tried in any case", low=0, high=1000, advanced=True, group=OUTER, label="Validations",
    )  # fmt: skip
    validation_students: int = option(
        1, "Fresh networks trained each time, on each of the two", low=1, high=20, advanced=True, group=OUTER
    )
    validation_steps: int = option(
        100, "Steps that each of them trains", low=1, high=100_000, unit="inner steps", advanced=True, group=OUTER
    )
    keep: Literal["best", "last"] = option(
        "best",
        "Return what did best on validation images, or the last",
        advanced=True,
        group=OUTER,
        label="Set to keep",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min_start_epoch >= self.max_start_epoch:
            raise ValueError(
                f"no start lies from epoch {self.min_start_epoch} to before epoch {self.max_start_epoch}; lower the earliest start"
            )
        if self.canvas_size > 1 and self.images_from == "result":
            raise ValueError(
                "textures cannot start from a result, whose images are smaller; choose real images or noise"
            )
        if not self.experts.folder:
            self.check_length(self.experts.epochs)
        return self

    def check_length(self, num_epochs: int) -> None:
        """Raise ValueError unless experts of so many epochs have weights for every start and its target."""
        needed = self.last_epoch
        if needed > num_epochs:
            raise ValueError(
                f"experts have {num_epochs} epochs, but starts up to epoch {self.max_start_epoch - 1} and {self.expert_epochs} epochs ahead "
                f"need {needed}; record longer experts, or lower one of the two"
            )

    @property
    def last_epoch(self) -> int:
        """The last epoch of an expert that is looked at."""
        return self.max_start_epoch - 1 + self.expert_epochs

    def validation(self) -> Validation:
        """Students of the images and as many of their moving average; the last test chooses one of the two."""
        versions = 2 if self.ema_decay else 1
        students = versions * self.validation_students
        return Validation(self.num_validations, students, self.validation_steps, at_end=versions - 1)

    def step_loads(self, spec: Task, stored: float) -> list[Load]:
        """One step of the student's path at a time: the others are recomputed."""
        most = self.size(spec).num_samples
        batch = min(self.batch_size or most, most)
        setting = f"a smaller synthetic batch (now {batch:,})" if batch > 1 else ""
        return self.unrolled_loads(spec, batch, 0, setting)

    def loads(self, spec: Task, action: Action, batch_size: int, stored: float) -> list[Load]:
        """Recording holds the experts' minibatch."""
        if action != "record":
            return super().loads(spec, action, batch_size, stored)
        size = self.experts.batch_size
        return [Load(size, size / 2, f"a smaller batch of the experts (now {size:,})", self.student)]

    @property
    def starts_from(self) -> str:
        return self.images_from

    def size(self, spec: Task) -> Size:
        """`ipc` images or canvases of each class."""
        size = self.whole_images(spec, self.labels == "soft")
        return Size(
            size.num_samples * self.canvas_size**2,
            size.num_values * self.canvas_size**2,
            size.num_label_values,
            size.num_indices,
        )

    def training(self, spec: Task) -> Training:
        """How students are trained on the finished set: as published, with momentum at the rate learned for plain steps."""
        return Training(
            "momentum",
            self.student_steps,
            batch_size=self.batch_size or self.ipc * spec.num_outputs * self.canvas_samples,
            is_augmented=self.augment_synthetic,
        )

    def for_trial(self) -> Self:
        """One expert of two short epochs in the place of the real ones: an outer step costs the same."""
        tiny = self.experts.model_copy(
            update={"num_experts": 1, "epochs": 2, "steps_per_epoch": 1, "folder": "", "dtype": "float32"}
        )
        return self.model_copy(update={"experts": tiny, "min_start_epoch": 0, "max_start_epoch": 1, "expert_epochs": 1})
