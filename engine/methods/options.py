"""Options that several methods share. A config takes a group by naming it among its bases.

Pydantic lists the fields of the last base first, and a field that is declared again keeps its place.
"""

from __future__ import annotations

from typing import Literal

from engine.core.config import MethodConfig, Task, Validation
from engine.core.options import option, unless

SYNTHETIC, INNER, OUTER = "Synthetic set", "Inner loop", "Outer loop"


class StudentTraining(MethodConfig):
    """The learning rate of students on the synthetic set."""

    student_lr: float = option(
        0.02, "Inner learning rate at the start", low=1e-6, high=10.0, group=INNER, label="Student learning rate"
    )
    learn_rates: bool = option(
        True, "Learn the inner learning rate together with the samples", group=INNER, label="Learn the rate"
    )
    rates_lr: float = option(
        0.01,
        "Outer learning rate of the inner learning rate r, which is stored as the inverse softplus of r: with Adam, "
        "0.01 changes a small r by 1 % per step",
        low=1e-12,
        high=10.0,
        advanced=True,
        group=INNER,
        label="Learning rate of the rate",
        when=("learn_rates", True),
    )


class InnerLoop(StudentTraining):
    """How students are trained on the synthetic set inside an outer step."""

    num_inits: int = option(
        1,
        "Students per outer step, each from its own start; their gradients are averaged, one graph in memory at a time",
        low=1,
        high=1024,
        group=INNER,
        label="Starts per step",
    )
    inner_optimiser: Literal["sgd", "momentum", "adam"] = option(
        "sgd", "Optimiser of the student on the synthetic set", group=INNER
    )
    memory: Literal["auto", "store", "recompute"] = option(
        "auto",
        "Keep the graph of every inner step, or rebuild one at a time in backward: same gradient, less memory, more time",
        advanced=True,
        group=INNER,
    )


class Augmented(MethodConfig):
    """Whether students see augmented synthetic images."""

    augment_synthetic: bool = option(
        True,
        "Apply the training augmentation to synthetic batches too, here and wherever a student is trained on the result",
        advanced=True,
        group=INNER,
        when=unless("data.augmentation", "none"),
    )


class OuterLoop(MethodConfig):
    """The real batch and the outer learning rate."""

    real_batch: int = option(
        1024, "Real samples the student is judged on at each outer step", low=1, high=100_000, group=OUTER
    )
    outer_lr: float = option(
        0.01, "Adam's learning rate for the samples", low=1e-6, high=10.0, group=OUTER, label="Outer learning rate"
    )

    def real_samples_per_step(self, spec: Task) -> int:
        """`real_batch` samples of any class or token."""
        return self.real_batch


class Kept(MethodConfig):
    """When the set is evaluated during a run, and which one is returned."""

    num_validations: int = option(
        20,
        "Evaluations on validation data during the run; 0 for none",
        low=0,
        high=1000,
        advanced=True,
        group=OUTER,
        label="Validations",
    )
    keep: Literal["best", "last"] = option(
        "best",
        "Return the set with the best validation result, or the last one",
        advanced=True,
        group=OUTER,
        label="Set to keep",
    )


class Validated(Kept):
    """The same, with students of its own."""

    validation_students: int = option(
        2, "New students trained for each validation", low=1, high=20, advanced=True, group=OUTER
    )
    validation_steps: int = option(
        300, "Training steps of each of them", low=1, high=100_000, unit="inner steps", advanced=True, group=OUTER
    )

    def validation(self) -> Validation:
        """`validation_students` new students, trained for `validation_steps`."""
        return Validation(self.num_validations, self.validation_students, self.validation_steps)
