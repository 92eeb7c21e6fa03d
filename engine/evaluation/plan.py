"""The plan of a comparison: all its trainings, listed before any of them begins.

A comparison trains fresh students on the distilled set, on real samples of equal storage and on the whole training
set, and measures them. Running, estimating, caching and showing progress all read this list. Each training is
independent given its record, except that some take the learning rate that was best in others.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from engine.core.config import EvaluationConfig, StudentConfig
from engine.synthetic import base
from engine.synthetic.base import SyntheticSet

CHOOSING = "rates"
"""Seed of the networks and of the draw of real data that choose a learning rate; they are never scored."""
UNNUMBERED = -1
"""The same for shuffled batches."""


@dataclass(frozen=True)
class Training:
    """One training of a comparison: what it trains on, how, and what is measured.

    student: the architecture. arm, protocol: as in its scores (engine.core.events.Scored).
    seeds: of the weights, the minibatches and the draw of real data; several for students that stop together.
    num_steps, batch_size: of the longest training; batch_size 0 for stored batches in stored order.
    lr: the learning rate; None for the rates stored in the set, or a rate that is still to be chosen.
    draw: real samples to draw, in all or per token; () for the whole training set and for synthetic sets.
    purpose: its students are scored, choose a rate on validation data, or adapt to another source.
    choice: names the trainings with purpose "choose" that choose the rate of the scored ones.
    own: the training that the set was made for, if this one follows it; None for standard training.
    lengths: steps after which the student is measured, the last included; the best is chosen on validation data.
    is_shared: whether it depends on nothing that a run learned, so that other runs can use the cached result.
    facts: what else the result depends on.
    """

    student: str
    arm: str
    protocol: str
    seeds: tuple[int | str, ...]
    num_steps: int
    batch_size: int
    num_samples: int
    num_bytes: int
    lr: float | None = None
    draw: tuple[int, ...] = ()
    purpose: Literal["score", "choose", "adapt"] = "score"
    choice: str = ""
    own: base.Training | None = None
    lengths: tuple[int, ...] = ()
    is_shared: bool = False
    facts: tuple[str, ...] = ()

    @property
    def seed(self) -> int | str:
        """The seed of the first student."""
        return self.seeds[0]

    @property
    def rate(self) -> float:
        """The learning rate. Raises ValueError if there is none, or none yet."""
        if self.lr is None:
            raise ValueError(f"{self.arm}, {self.protocol}: no learning rate has been chosen")
        return self.lr

    def key(self) -> dict[str, Any]:
        """All that its result depends on besides data, machine and student settings, as JSON."""
        return asdict(replace(self, choice=""))


def per_student(training: Training, count: int) -> list[Training]:
    """A copy of the training for each of `count` students, with seeds 0, 1, ..."""
    return [replace(training, seeds=(seed,)) for seed in range(count)]


def with_choice(
    scored: Sequence[Training], rates: Sequence[float | None], seed: int | str, lengths: tuple[int, ...]
) -> list[Training]:
    """The scored trainings, preceded by one per rate to choose from, if there are several.

    seed, lengths: of the trainings that choose.
    """
    first = scored[0]
    if len(rates) == 1:
        return [replace(training, lr=rates[0]) for training in scored]
    choice = f"{first.student}, {first.arm}, {first.protocol}"
    trial = replace(first, seeds=(seed,), num_steps=lengths[-1], lengths=lengths, purpose="choose", choice=choice)
    return [*(replace(trial, lr=rate) for rate in rates), *(replace(training, choice=choice) for training in scored)]


def num_trainings(trainings: Sequence[Training]) -> int:
    """How many students are trained."""
    return sum(len(training.seeds) for training in trainings)


def architectures(config: StudentConfig, evaluation: EvaluationConfig) -> list[StudentConfig]:
    """The architecture of the distillation, then the others to test, each once."""
    others = dict.fromkeys(name for name in evaluation.students if name != config.name)
    return [config, *(config.model_copy(update={"name": name}) for name in others)]


def has_full(evaluation: EvaluationConfig, is_own: bool) -> bool:
    """Whether an architecture is trained on the whole training set."""
    return evaluation.compare_full and (is_own or evaluation.other_full)


def full_passes(evaluation: EvaluationConfig, num_train: int) -> int:
    """Passes over the whole training set: at least `full_epochs`, and as many steps as small sets get."""
    return max(evaluation.full_epochs, -(-evaluation.ordinary_steps // steps_per_pass(evaluation, num_train)))


def steps_per_pass(evaluation: EvaluationConfig, num_train: int) -> int:
    """Minibatches per pass over the whole training set, without an incomplete one."""
    return max(1, num_train // evaluation.batch_size)


def full_steps(evaluation: EvaluationConfig, num_train: int) -> int:
    """Steps of standard training on the whole training set."""
    return full_passes(evaluation, num_train) * steps_per_pass(evaluation, num_train)


def versions(synthetic: SyntheticSet) -> dict[str, SyntheticSet]:
    """A set and its companions (its moving average, or the set it averages), by arm."""
    return {"distilled": synthetic, **synthetic.companions()}
