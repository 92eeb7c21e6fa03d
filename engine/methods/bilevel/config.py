"""Hyperparameters of the bilevel method."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from engine.core.config import Load, Task, Validation, kept_steps
from engine.core.options import option, option_like
from engine.methods.forms import AnyForm
from engine.methods.options import INNER, OUTER, Augmented, InnerLoop, Kept, OuterLoop


class BilevelConfig(Augmented, Kept, OuterLoop, InnerLoop, AnyForm):
    """All of the student's training is differentiated, on stored batches in their order."""

    unread: ClassVar[frozenset[str]] = frozenset({"evaluation.inner_steps", "evaluation.without_augmentation"})

    stored_as: Literal["pixels", "poster", "low_rank"] = option_like(AnyForm, "stored_as", "pixels")
    augment_synthetic: bool = option_like(Augmented, "augment_synthetic", False)
    num_batches: int = option(
        1,
        "The images are split evenly into this many batches, each used for one inner step",
        low=1,
        high=500,
        label="Batches (S)",
        group=INNER,
        when=("stored_as", ("pixels", "low_rank")),
    )
    passes: int = option(3, "Passes of the student over all batches", low=1, high=500, label="Passes (E)", group=INNER)
    initialisation: Literal["random", "fixed", "pool"] = option(
        "random",
        "Initial weights of the student: any random draw, one fixed draw, or networks already part-trained on real data",
        group=INNER,
        label="Start weights",
    )
    shared_rate: bool = option(
        False, "One learning rate for all inner steps instead of one for each", advanced=True, group=INNER
    )
    pool_size: int = option(
        8,
        "Networks in the pool, of evenly spaced ages",
        low=1,
        high=1000,
        advanced=True,
        group=INNER,
        when=("initialisation", "pool"),
    )
    pool_steps: int = option(
        100,
        "Age of the oldest network in the pool",
        low=1,
        high=100_000,
        unit="steps",
        advanced=True,
        group=INNER,
        when=("initialisation", "pool"),
    )
    decay_factor: float = option(
        0.5, "Factor of the outer learning rate at each decay", low=0.01, high=1.0, advanced=True, group=OUTER
    )
    num_decays: int = option(
        4, "Decays, evenly spaced over the run", low=0, high=100, advanced=True, group=OUTER, label="Decays"
    )
    adam_beta1: float = option(
        0.5, "Momentum of the outer Adam", low=0.0, high=0.999, advanced=True, group=OUTER, label="Adam beta 1"
    )
    clip: float = option(
        0.0,
        "Largest norm of the meta-gradient; 0 for no limit",
        low=0.0,
        high=1e6,
        advanced=True,
        group=OUTER,
        label="Gradient clip",
    )

    @field_validator("stored_as", mode="before")
    @classmethod
    def _no_canvas(cls, chosen: Any) -> Any:
        if chosen == "canvas":
            raise ValueError(
                "bilevel trains on stored batches, but samples are cut out of a canvas at random; choose pixels, poster "
                "or low_rank here, or the method rat_bptt or trajectory"
            )
        return chosen

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        ipc = {"pixels": self.ipc, "low_rank": self.low_rank.ipc, "poster": self.num_batches}[self.stored_as]
        if ipc % self.num_batches:
            raise ValueError(
                f"{ipc} images per class cannot be split evenly into {self.num_batches} batches; the number of batches "
                f"must divide {ipc}"
            )
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
