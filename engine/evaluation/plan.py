"""The plan of a comparison: every training that it does, listed before any of them begins.

A comparison trains fresh students on the distilled set, on real samples of equal storage and on the whole training
set, and measures them. `Comparison.plan` lists these trainings; running it, estimating it, caching it and showing its
progress all read that list. Each training is independent given its record, except that the learning rate of some is
chosen among others.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from engine.core.config import EvaluationConfig, StudentConfig
from engine.synthetic import base
from engine.synthetic.base import SyntheticSet

CHOOSING = "rates"
"""Seed of the networks, and of the draw of real data, that choose a learning rate. They are never scored."""
UNNUMBERED = -1
"""The same where batches are shuffled."""


@dataclass(frozen=True)
class Training:
    """One training of a comparison: what it trains on, how, and what is measured.

    student: the architecture. arm, protocol: as its scores name them (engine.core.events.Scored).
    seeds: of the weights, the minibatches and the draw of real data; several for students that train side by
        side because
        they stop together.
    draw: real samples to draw, in all or of each token; () for the whole training set and for synthetic sets.
    num_steps, batch_size: of the longest training; batch_size 0 for stored batches in stored order.
    lr: the learning rate; None for the rates stored in the set.
    choice: the trainings with `purpose` "choose" among which the rate of the scored ones is chosen, on validation
    data.
    own: the training that the set was made for, where this one follows it; None for standard training.
    purpose: its students are scored, choose a rate on validation data, or adapt to another source.
    lengths: steps after which the student is measured, the last one included; the best length is chosen on validation
    data.
    is_shared: whether it depends on nothing that a run learned, so that its result is cached for other runs.
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
        """Of the only student, or of the first one."""
        return self.seeds[0]

    @property
    def rate(self) -> float:
        """The learning rate, which must have been chosen. Raises ValueError for stored rates."""
        if self.lr is None:
            raise ValueError(f"{self.arm}, {self.protocol}: no learning rate has been chosen")
        return self.lr

    def key(self) -> dict[str, Any]:
        """What its result depends on besides the data, the machine and the student's settings, as JSON."""
        return asdict(replace(self, choice=""))


def per_student(training: Training, count: int) -> list[Training]:
    """The same training for each of `count` students, seeds 0, 1, ..."""
    return [replace(training, seeds=(seed,)) for seed in range(count)]


def with_choice(
    scored: Sequence[Training], rates: Sequence[float | None], seed: int | str, lengths: tuple[int, ...]
) -> list[Training]:
    """The scored trainings, after one for each rate that they choose from; with one rate there is nothing to choose.

    seed, lengths: of the trainings that choose.
    """
    first = scored[0]
    if len(rates) == 1:
        return [replace(training, lr=rates[0]) for training in scored]
    choice = f"{first.student}, {first.arm}, {first.protocol}"
    trial = replace(first, seeds=(seed,), num_steps=lengths[-1], lengths=lengths, purpose="choose", choice=choice)
    return [*(replace(trial, lr=rate) for rate in rates), *(replace(training, choice=choice) for training in scored)]


def num_trainings(trainings: Sequence[Training]) -> int:
    """Students that are trained."""
    return sum(len(training.seeds) for training in trainings)


def architectures(config: StudentConfig, evaluation: EvaluationConfig) -> list[StudentConfig]:
    """The distilling architecture first, then the others to test, each once."""
    others = dict.fromkeys(name for name in evaluation.students if name != config.name)
    return [config, *(config.model_copy(update={"name": name}) for name in others)]


def has_full(evaluation: EvaluationConfig, is_own: bool) -> bool:
    """Whether an architecture is trained on the whole training set."""
    return evaluation.compare_full and (is_own or evaluation.other_full)


def full_passes(evaluation: EvaluationConfig, num_train: int) -> int:
    """Passes over the whole training set: as many as asked for, or enough for as many steps as the small sets get."""
    return max(evaluation.full_epochs, -(-evaluation.ordinary_steps // steps_per_pass(evaluation, num_train)))


def steps_per_pass(evaluation: EvaluationConfig, num_train: int) -> int:
    """Minibatches of a pass over the whole training set; an incomplete one is dropped."""
    return max(1, num_train // evaluation.batch_size)


def full_steps(evaluation: EvaluationConfig, num_train: int) -> int:
    """Steps of standard training on the whole training set."""
    return full_passes(evaluation, num_train) * steps_per_pass(evaluation, num_train)


def versions(synthetic: SyntheticSet) -> dict[str, SyntheticSet]:
    """A set and its companions (its moving average, or what was averaged), by the arm that each is."""
    return {"distilled": synthetic, **synthetic.companions()}
