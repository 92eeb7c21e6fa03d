"""Hyperparameters of trajectory matching."""

from functools import partial
from typing import Literal, Self

from pydantic import model_validator

from engine.core.config import Action, Load, Task, Validation
from engine.core.options import option_like, unless
from engine.methods.forms import SGD_STEPS, AnyForm
from engine.methods.options import Augmented, StudentTraining, Validated, inner, outer, stored
from engine.pretrained.experts import ExpertsConfig
from engine.synthetic.base import Training

epochs = partial(inner, high=1000, unit="epochs")
GROWN = unless("first_bound", 0)
VOUCHED = [("labels", "soft"), ("stored_as", "pixels"), ("images_from", "real")]
NORMS, ATT = {"l1": "L1 (code)", "l2": "L2 (paper)"}, ("objective", "att")


class TrajectoryConfig(Augmented, Validated, StudentTraining, AnyForm):
    """Which part of the experts' path students follow, and how the set moves."""

    images_from: Literal["noise", "real", "result"] = option_like(AnyForm, "images_from", "real")
    student_lr: float = option_like(StudentTraining, "student_lr", 0.01)
    rates_lr: float = option_like(StudentTraining, "rates_lr", 1e-5)
    num_validations: int = option_like(Validated, "num_validations", 10)
    validation_students: int = option_like(Validated, "validation_students", 1)
    validation_steps: int = option_like(Validated, "validation_steps", 100)

    experts: ExpertsConfig = ExpertsConfig()
    objective: Literal["att", "mtt"] = inner("att", names={"att": "ATT", "mtt": "MTT"})
    """Compare the nearest step of the student (ATT) or its last (MTT, FTD)."""
    nearest_by: Literal["l1", "l2"] = inner("l1", "Distance to the expert", names=NORMS, advanced=True, when=ATT)
    min_start_epoch: int = epochs(0, low=0, advanced=True, label="Earliest start")
    """Earliest expert epoch to start from."""
    max_start_epoch: int = epochs(5, "Students start before this expert epoch", low=1, label="Start before epoch")
    first_bound: int = epochs(0, low=0, advanced=True, label="Start before epoch, at first")
    """If set, students start before this expert epoch at first, and the bound grows to the last one (DATM)."""
    bound_steps: int = inner(
        1000, low=1, high=1_000_000, advanced=True, unit="outer steps", when=unless("first_bound", 0)
    )
    """Outer steps until the bound has grown."""
    expert_epochs: int = epochs(2, low=1, label="Epochs ahead")
    """Epochs from the start to the target on the expert's path."""
    student_steps: int = inner(20, "Steps of the student per outer step", low=1, high=10_000, unit="inner steps")
    batch_size: int = inner(0, low=0, high=10_000, advanced=True, label="Synthetic batch")
    """Synthetic samples per step; 0 for all."""
    labels_lr: float = stored(1.0, low=1e-6, high=1e6, advanced=True, label="Learning rate of the labels")
    """Outer learning rate of learned labels."""
    labels_momentum: float = stored(0.5, "Momentum of learned labels", low=0.0, high=0.99, advanced=True)
    labels_from: Literal["class", "experts"] = stored("class", advanced=True, label="Labels start from", when=VOUCHED)
    """The class of each image; or images that experts tell right, with their mean logits (DATM)."""
    most_loss: float = outer(0.0, low=0.0, high=100.0, advanced=True, label="Largest loss")
    """Outer steps with a larger loss leave the set as it is (DATM: 1); 0 for no limit."""
    outer_lr: float = outer(100.0, low=1e-4, high=1e7, label="Outer learning rate", scale=("stored_as", SGD_STEPS))
    """SGD's learning rate for the samples; the loss is normalised."""
    momentum: float = outer(0.5, "Momentum of the outer SGD", low=0.0, high=0.99, advanced=True, label="Outer momentum")
    ema_decay: float = outer(0.99, low=0.0, high=0.999999, label="Moving average")
    """Decay of the moving average of the samples; 0 for none."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min_start_epoch >= self.max_start_epoch:
            problem = f"no start lies from epoch {self.min_start_epoch} to before epoch {self.max_start_epoch};"
            raise ValueError(f"{problem} lower the earliest start")
        if self.first_bound and not self.min_start_epoch < self.first_bound <= self.max_start_epoch:
            allowed = f"above the earliest start {self.min_start_epoch} and at most {self.max_start_epoch}"
            raise ValueError(f"the first bound of start epochs is {self.first_bound}, but must be {allowed}")
        if not self.experts.folder and (problem := self.too_short(self.experts.epochs)):
            raise ValueError(problem)
        return self

    def start_bound(self, step: int) -> int:
        """The expert epoch that students of an outer step start before."""
        if not self.first_bound:
            return self.max_start_epoch
        grown = (self.max_start_epoch - self.first_bound) * min(1.0, step / self.bound_steps)
        return self.first_bound + int(grown)

    @property
    def are_vouched(self) -> bool:
        """Whether images and labels start from what experts tell right."""
        is_soft_start = self.labels == "soft" and self.images_from == "real"
        return self.labels_from == "experts" and self.stored_as == "pixels" and is_soft_start

    def too_short(self, num_epochs: int) -> str:
        """What is wrong if experts of so many epochs have no weights for some start or its target; "" if nothing is."""
        if self.last_epoch <= num_epochs:
            return ""
        needed = f"starts up to epoch {self.max_start_epoch - 1} and {self.expert_epochs} epochs ahead"
        problem = f"Experts have {num_epochs} epochs, but {needed} need {self.last_epoch}"
        return f"{problem}; record longer experts, or lower one of the two"

    @property
    def last_epoch(self) -> int:
        """The last expert epoch that is used."""
        return self.max_start_epoch - 1 + self.expert_epochs

    def validation(self) -> Validation:
        """Students of the images and as many of their moving average; the last test, if any, chooses one of the two."""
        versions = 2 if self.ema_decay else 1
        students = versions * self.validation_students
        at_end = versions - 1 if self.num_validations else 0
        return Validation(self.num_validations, students, self.validation_steps, at_end)

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

    def training(self, spec: Task) -> Training:
        """How students are trained on the finished set: with momentum, as published, at the rate learned without."""
        size = self.batch_size or self.form.whole_batch(spec)
        return Training("momentum", self.student_steps, batch_size=size, is_augmented=self.augment_synthetic)

    def for_trial(self) -> Self:
        """One expert of two short epochs in the place of the real ones: an outer step costs the same."""
        short = {"num_experts": 1, "epochs": 2, "steps_per_epoch": 1, "folder": "", "dtype": "float32"}
        experts = self.experts.model_copy(update=short)
        epochs = {"min_start_epoch": 0, "max_start_epoch": 1, "expert_epochs": 1, "first_bound": 0}
        return super().for_trial().model_copy(update={"experts": experts, **epochs})
