"""Hyperparameters of the bilevel method."""

from functools import partial
from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from engine.core.config import Load, Task, Validation, kept_steps
from engine.core.options import option_like
from engine.methods.forms import AnyForm
from engine.methods.options import Augmented, InnerLoop, Kept, OuterLoop, inner, outer

pooled = partial(inner, low=1, advanced=True, when=("initialisation", "pool"))
BATCHED = ("stored_as", ("pixels", "low_rank"))


class BilevelConfig(Augmented, Kept, OuterLoop, InnerLoop, AnyForm):
    """All of the student's training is differentiated, on stored batches in their order."""

    unread: ClassVar[frozenset[str]] = frozenset({"evaluation.inner_steps", "evaluation.without_augmentation"})

    stored_as: Literal["pixels", "poster", "low_rank"] = option_like(AnyForm, "stored_as", "pixels")
    augment_synthetic: bool = option_like(Augmented, "augment_synthetic", False)
    num_batches: int = inner(1, low=1, high=500, label="Batches (S)", when=BATCHED)
    """Batches that the images are split into, one per inner step."""
    passes: int = inner(3, "Passes of the student over all batches", low=1, high=500, label="Passes (E)")
    initialisation: Literal["random", "fixed", "pool"] = inner("random", label="Start weights")
    """Random initial weights, one fixed draw of them, or part-trained networks."""
    shared_rate: bool = inner(False, "One learning rate for all inner steps instead of one for each", advanced=True)
    pool_size: int = pooled(8, "Networks in the pool, of evenly spaced ages", high=1000)
    pool_steps: int = pooled(100, "Age of the oldest network in the pool", high=100_000, unit="steps")
    decay_factor: float = outer(0.5, "Factor of the outer learning rate at each decay", 0.01, 1.0, advanced=True)
    num_decays: int = outer(4, "Decays, evenly spaced", low=0, high=100, advanced=True, label="Decays")
    adam_beta1: float = outer(0.5, "Momentum of the outer Adam", 0.0, 0.999, advanced=True, label="Adam beta 1")
    clip: float = outer(0.0, low=0.0, high=1e6, advanced=True, label="Gradient clip")
    """Largest norm of the meta-gradient; 0 for no limit."""

    @field_validator("stored_as", mode="before")
    @classmethod
    def _no_canvas(cls, chosen: Any) -> Any:
        if chosen == "canvas":
            problem = "bilevel trains on stored batches, but samples are cut out of a canvas at random;"
            raise ValueError(f"{problem} choose pixels, poster or low_rank here, or the method rat_bptt or trajectory")
        return chosen

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        ipc = {"pixels": self.ipc, "low_rank": self.low_rank.ipc, "poster": self.num_batches}[self.stored_as]
        if ipc % self.num_batches:
            problem = f"{ipc} images per class cannot be split evenly into {self.num_batches} batches;"
            raise ValueError(f"{problem} the number of batches must divide {ipc}")
        return self

    @property
    def stored_batches(self) -> int:
        """Batches of the set; all patches of a poster are one."""
        return 1 if self.stored_as == "poster" else self.num_batches

    @property
    def inner_steps(self) -> int:
        """T = S * E."""
        return self.stored_batches * self.passes

    def validation(self) -> Validation:
        """Three students, or the one that the fixed start allows, trained as in an outer step."""
        return Validation(self.num_validations, 1 if self.initialisation == "fixed" else 3, self.inner_steps)

    def step_loads(self, spec: Task, stored: float) -> list[Load]:
        """The inner loop, one of the batches at each of its steps."""
        batch = self.size(spec).num_samples // self.stored_batches
        return self.unrolled_loads(spec, batch, kept_steps(self.memory, self.inner_steps, stored / batch), "")
