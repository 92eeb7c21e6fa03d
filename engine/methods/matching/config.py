"""Hyperparameters of matching."""

from functools import partial
from typing import Literal

from engine.core.config import Load, Task
from engine.core.options import option, option_like
from engine.methods.forms import AnyForm
from engine.methods.options import Augmented, OuterLoop, Validated, inner, outer, stored
from engine.synthetic.base import Training

REAL_AT_ONCE = 2048
"""Real images whose activations are in memory together."""
OBJECTIVES = {"features": "Mean features (DM)", "gradients": "Gradients (DC, DSA)"}
networks = partial(option, group="Networks")


class MatchingConfig(Augmented, Validated, OuterLoop, AnyForm):
    """What is compared, in which networks, and how the set moves."""

    images_from: Literal["noise", "real", "result"] = option_like(AnyForm, "images_from", "real")
    labels_lr: float = stored(0.01, "Outer learning rate of learned labels", 1e-6, 10.0, advanced=True)
    objective: Literal["features", "gradients"] = networks("features", names=OBJECTIVES)
    """Compare the mean features of each class (DM), or the gradients that it gives a network (DC, DSA)."""
    network_matches: int = networks(1, low=1, high=1000, unit="outer steps", label="Network lifetime")
    """Outer steps that share a network; 1 for a new one each."""
    network_steps: int = networks(0, low=0, high=10_000, unit="steps", label="Steps between matches")
    """Training steps of the network on the set between two outer steps."""
    network_lr: float = networks(0.01, "Its learning rate (SGD)", low=1e-6, high=10.0, advanced=True)
    student_lr: float = inner(0.01, low=1e-6, high=10.0, label="Student learning rate")
    """Learning rate of students trained on the finished set, with momentum."""
    real_batch: int = outer(256, "Real images of each class per outer step", 1, 100_000, label="Real images per class")
    outer_optimiser: Literal["sgd", "adam"] = outer("adam", names={"sgd": "SGD", "adam": "Adam"})
    """Adam, whose steps suit every form of set, or SGD with momentum 0.5, as published."""
    outer_lr: float = outer(0.02, "Learning rate for the samples", 1e-6, 1000.0, label="Outer learning rate")
    num_validations: int = option_like(Validated, "num_validations", 10)

    def training(self, spec: Task) -> Training:
        """How students are trained on the set: with momentum, on all samples at each step."""
        size = self.form.whole_batch(spec)
        return Training("momentum", self.validation_steps, batch_size=size, is_augmented=self.augment_synthetic)

    def real_samples_per_step(self, spec: Task) -> int:
        """`real_batch` of each class, of which so many are in memory at once."""
        return min(self.real_batch * spec.num_outputs, REAL_AT_ONCE)

    def step_loads(self, spec: Task, stored: float) -> list[Load]:
        """One pass of the whole set, or two with the graph of a gradient."""
        passes = 2 if self.objective == "gradients" else 1
        return self.unrolled_loads(spec, passes * self.size(spec).num_samples, 0, "")
