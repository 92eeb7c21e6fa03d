"""Options that several methods share. A config takes a group by naming it among its bases.

Pydantic lists the fields of the last base first, and a field that is declared again keeps its place.
"""

from functools import partial
from typing import Literal, Self

from engine.core.config import MethodConfig, Task, Validation
from engine.core.options import option, unless

SYNTHETIC, INNER, OUTER = "Synthetic set", "Inner loop", "Outer loop"
inner, outer, stored = (partial(option, group=group) for group in (INNER, OUTER, SYNTHETIC))
RATE = "Learning rate of the rate"
VALIDATED = unless("data.validation_fraction", 0)
"""The condition of options that need validation data."""
_validated = partial(outer, advanced=True, when=VALIDATED)


class StudentTraining(MethodConfig):
    """The learning rate of students on the synthetic set."""

    student_lr: float = inner(0.02, "Inner learning rate at the start", 1e-6, 10.0, label="Student learning rate")
    learn_rates: bool = inner(True, "Learn the inner learning rate together with the samples", label="Learn the rate")
    rates_lr: float = inner(0.01, low=1e-12, high=10.0, label=RATE, when=("learn_rates", True))
    """Outer learning rate of the inner one."""


class InnerLoop(StudentTraining):
    """How students are trained on the synthetic set inside an outer step."""

    num_inits: int = inner(1, low=1, high=1024, label="Starts per step")
    """Students per outer step, each with its own start; gradients are averaged."""
    inner_optimiser: Literal["sgd", "momentum", "adam"] = inner("sgd", "Optimiser of the student on the synthetic set")
    memory: Literal["auto", "store", "recompute"] = inner("auto", advanced=True)
    """Store the graph of every inner step, or recompute it: less memory, more time, same gradient."""


class Augmented(MethodConfig):
    """Whether students see augmented synthetic images."""

    augment_synthetic: bool = inner(True, advanced=True, when=unless("data.augmentation", "none"))
    """Augment synthetic batches like real ones."""


class OuterLoop(MethodConfig):
    """The real batch and the outer learning rate."""

    real_batch: int = outer(1024, "Real samples the student is judged on at each outer step", low=1, high=100_000)
    outer_lr: float = outer(0.01, "Adam's learning rate for the samples", 1e-6, 10.0, label="Outer learning rate")

    def real_samples_per_step(self, spec: Task) -> int:
        """`real_batch` samples of any class or token."""
        return self.real_batch


class Kept(MethodConfig):
    """When the set is evaluated during a run, and which one is returned."""

    num_validations: int = _validated(20, low=0, high=1000, label="Validations")
    """Evaluations on validation data during the run; 0 for none."""
    keep: Literal["best", "last"] = _validated("best", label="Set to keep")
    """Return the set with the best validation result, or the last one."""

    def without_validation(self) -> Self:
        return self.model_copy(update={"num_validations": 0})


class Validated(Kept):
    """The same, with students of its own."""

    validation_students: int = _validated(2, "New students trained for each validation", low=1, high=20)
    validation_steps: int = _validated(300, "Training steps of each of them", 1, 100_000, unit="inner steps")

    def validation(self) -> Validation:
        """`validation_students` new students, trained for `validation_steps`."""
        return Validation(self.num_validations, self.validation_students, self.validation_steps)
