"""Training and measuring one student, without a meta-graph.

The set's own training takes its batches in stored order at their learned rates, or random minibatches at its one rate.
Standard training takes shuffled minibatches with Adam and cosine decay. Distilled sets often lose much accuracy from
the first to the second, so both are always shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.source import LabelledSet, TaskSpec
from engine.evaluation import plan
from engine.meta import update_rules
from engine.meta.inner import Batch, Loss, inner_loop
from engine.meta.losses import half_squared_error
from engine.nets.student import Student
from engine.synthetic.base import SyntheticSet, Training

EVALUATION_BATCH = 125
FORECASTS_AT_ONCE = 1000


@dataclass(frozen=True)
class Recipe:
    """Standard training: Adam with `lr`, cosine decay to 0 over `num_steps` minibatches of at most `batch_size`."""

    num_steps: int
    batch_size: int
    lr: float

    @classmethod
    def of(cls, training: plan.Training) -> Recipe:
        """The recipe of a planned training with a rate."""
        return cls(training.num_steps, training.batch_size, training.rate)

    def __str__(self) -> str:
        steps = f"{self.num_steps:,} steps of at most {self.batch_size} samples"
        return f"Adam, rate {self.lr:g} with cosine decay, {steps}"


def as_distilled(student: Student, theta: Tensor, synthetic: SyntheticSet) -> Tensor:
    """Weights (P,) after the set's own training from `theta` (P,)."""
    return follow(student, theta, synthetic.batches(), synthetic.own_training)


def follow(student: Student, theta: Tensor, batches: Iterator[Batch], training: Training) -> Tensor:
    """Weights (P,) after training on `batches` in order with the rule of `training`, without a graph."""
    with torch.no_grad():
        rule = update_rules.BY_NAME[training.rule]()
        for trained in inner_loop(student, theta, batches, rule, own_loss(training), detached=True):
            theta = trained
    return theta


def cosine(lr: float, step: int, num_steps: int) -> float:
    """The learning rate of a step, with cosine decay from `lr` to 0."""
    return lr * 0.5 * (1 + math.cos(math.pi * step / num_steps))


def at_random(
    student: Student,
    theta: Tensor,
    data: LabelledSet,
    training: Training,
    rate: float,
    num_steps: int,
    generator: torch.Generator,
    augment: Callable[[Tensor, torch.Generator], Tensor],
    loss: Loss | None = None,
) -> Iterator[Tensor]:
    """Train on random minibatches as `training` says, from the rate `rate`; yield the weights (P,) after each step.

    A minibatch is `training.batch_size` different samples, or all if there are fewer; augmented if the training is.
    loss: of the task; of the training if None.
    """

    def batches() -> Iterator[Batch]:
        for step in range(num_steps):
            inputs, targets = data.batch(torch.randperm(len(data), generator=generator)[: training.batch_size])
            lr = cosine(rate, step, num_steps) if training.decay == "cosine" else rate
            inputs = augment(inputs, generator) if training.is_augmented else inputs
            yield Batch(inputs, targets, torch.tensor(lr, device=inputs.device))

    rule = update_rules.BY_NAME[training.rule]()
    return inner_loop(student, theta, batches(), rule, loss or own_loss(training), detached=True)


def ordinary(
    student: Student,
    theta: Tensor,
    data: LabelledSet,
    recipe: Recipe,
    generator: torch.Generator,
    augment: Callable[[Tensor, torch.Generator], Tensor],
    loss: Loss = F.cross_entropy,
) -> Iterator[Tensor]:
    """Train on shuffled minibatches; yield the weights (P,) after each step."""
    size = min(recipe.batch_size, len(data))

    def batches() -> Iterator[Batch]:
        order: Iterator[Tensor] = iter(())
        for step in range(recipe.num_steps):
            indices = next(order, None)
            if indices is None or len(indices) < size:  # a new pass; the incomplete batch at its end is dropped
                order = iter(torch.randperm(len(data), generator=generator).split(size))
                indices = next(order)
            inputs, targets = data.batch(indices)
            lr = cosine(recipe.lr, step, recipe.num_steps)
            yield Batch(augment(inputs, generator), targets, torch.tensor(lr, device=inputs.device))

    return inner_loop(student, theta, batches(), update_rules.adam(eps_root=0.0), loss, detached=True)


def own_loss(training: Training) -> Loss:
    """The loss by which students of classes are trained on a set."""
    return half_squared_error if training.loss == "squared_error" else F.cross_entropy


def loss_of(spec: TaskSpec) -> Loss:
    """The loss of a task, (outputs (n, D), targets) -> scalar.

    Cross-entropy of classes and directions, mean squared error of a scaled close or volatility, their sum for both.
    """
    if spec.task in ("close", "volatility"):
        return F.mse_loss
    return _both if spec.task == "both" else F.cross_entropy


def _both(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs[:, 0], targets[:, 0]) + F.cross_entropy(outputs[:, 1:], targets[:, 1:])


@torch.no_grad()
def outputs(student: Student, theta: Tensor, data: LabelledSet) -> Tensor:
    """Outputs (N, D) for all of `data` in order."""
    pieces = torch.arange(len(data)).split(FORECASTS_AT_ONCE)
    return torch.cat([student.quick(theta, data.batch(indices)[0]) for indices in pieces])


@torch.no_grad()
def accuracy(network: Callable[[Tensor], Tensor], data: LabelledSet) -> float:
    """The fraction of `data` that a trained network, `Student.fixed`, classifies correctly."""
    right = 0.0
    for indices in torch.arange(len(data)).chunk(-(-len(data) // EVALUATION_BATCH)):
        inputs, targets = data.batch(indices)
        right += (network(inputs).argmax(1) == targets).sum().item()
    return right / len(data)
