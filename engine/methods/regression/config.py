"""Hyperparameters of kernel ridge regression."""

from functools import partial
from typing import Literal

from engine.core.config import Load, Task, Validation
from engine.core.options import option, option_like, unless
from engine.core.students import StudentConfig
from engine.meta import update_rules
from engine.meta.pool import Life
from engine.methods.forms import AnyForm
from engine.methods.options import Augmented, OuterLoop, Validated, inner, outer, stored
from engine.synthetic.base import Training
from engine.synthetic.labelled import LabelsKind

pooled = partial(option, group="Pool of networks")
SQUARED = ("loss", "squared_error")
NORMS = {"same": "As the student's"}
LABELS = {"free": "Learned, of any size", "soft": "Learned distribution"}


class RegressionConfig(Augmented, Validated, OuterLoop, AnyForm):
    """How the regression judges the set, how its networks live, and how the set moves."""

    images_from: Literal["noise", "real", "result"] = option_like(AnyForm, "images_from", "real")
    labels: LabelsKind = stored("free", names=LABELS, when=unless("stored_as", "poster"))
    """One class per image, a learned distribution, or learned values of any size, as published."""
    labels_lr: float = stored(0.003, "Outer learning rate of learned labels", 1e-9, 10.0, advanced=True)

    student_lr: float = inner(0.001, low=1e-6, high=10.0, label="Student learning rate")
    """Adam's learning rate for students on the finished set, with cosine decay."""
    batch_size: int = inner(0, low=0, high=10_000, advanced=True, label="Synthetic batch")
    """Synthetic samples per step; 0 for all."""
    pool_size: int = pooled(10, low=1, high=100, label="Networks")
    """Networks, of which each outer step takes one at random."""
    pool_steps: int = pooled(100, low=1, high=100_000, unit="steps", label="Network lifetime")
    """Training steps after which a network is drawn again."""
    pool_norm: Literal["same", "instance", "batch", "layer", "group", "none"] = pooled("same", names=NORMS)
    """Normalisation of the pool's networks."""
    inner_optimiser: Literal["sgd", "momentum", "adam"] = pooled("adam", "Optimiser of the networks")
    inner_lr: float = pooled(3e-4, "Learning rate of the networks", low=1e-7, high=10.0)
    augment_inner: bool = pooled(False, advanced=True, when=unless("data.augmentation", "none"))
    """Augment the batches that the networks train on."""

    ridge: float = outer(1e-6, "Ridge, relative to the mean of the kernel's diagonal", low=0.0, high=10.0)
    mirror: bool = outer(False, "Add mirror images to the kernel")
    loss: Literal["squared_error", "cross_entropy"] = outer("squared_error")
    """On real labels: squared error, or cross-entropy with a learned temperature."""
    margin: float = outer(1.0, low=0.0, high=100.0, advanced=True, when=SQUARED)
    """Weight of the margin between the two largest labels of a sample, which keeps learned labels apart."""
    temperature_lr: float = outer(0.03, low=0.0, high=1.0, advanced=True, when=unless("loss", "squared_error"))
    """Learning rate of the temperature's logarithm."""
    real_batch: int = option_like(OuterLoop, "real_batch", 512)
    augment_real: bool = outer(False, "Augment real batches", advanced=True, when=unless("data.augmentation", "none"))
    outer_optimiser: Literal["adam", "lamb"] = outer("adam", names={"adam": "Adam", "lamb": "LAMB"})
    """Adam, or LAMB, whose steps are relative to the size of the images."""
    outer_lr: float = option_like(OuterLoop, "outer_lr", 0.003)
    last_lr: float = outer(0.1, low=0.0, high=1.0, advanced=True)
    """Outer learning rates at the end of their cosine decay, relative to the start; 1 for no decay."""
    average: float = outer(0.0, "Decay of the moving average that is returned; 0 for none", low=0.0, high=0.99999)

    def pool(self) -> Life:
        """How the networks live; at first their ages are only counted, as published."""
        rule = update_rules.adam(eps_root=0.0) if self.inner_optimiser == "adam" else None
        rule = rule or update_rules.BY_NAME[self.inner_optimiser]()
        return Life(self.pool_size, self.pool_steps, rule, self.inner_lr)

    @property
    def pool_student(self) -> StudentConfig:
        """The networks of the pool."""
        return self.student if self.pool_norm == "same" else self.student.model_copy(update={"norm": self.pool_norm})

    def training(self, spec: Task) -> Training:
        """How students are trained on the finished set."""
        size = self.batch_size or self.form.whole_batch(spec)
        return Training(
            "adam",
            self.validation_steps,
            batch_size=size,
            is_augmented=self.augment_synthetic,
            loss="squared_error",
            decay="cosine",
        )

    def validation(self) -> Validation:
        return Validation(self.num_validations, self.validation_students, self.validation_steps)

    def step_loads(self, spec: Task, stored: float) -> list[Load]:
        """The features of the synthetic batch, twice with mirror images."""
        most = self.size(spec).num_samples
        batch = min(self.batch_size or most, most) * (2 if self.mirror else 1)
        return self.unrolled_loads(spec, batch, 0, f"a smaller synthetic batch (now {batch:,})" if batch > 1 else "")
