"""Training an expert: steps of SGD, SAM or GSAM on minibatches of real images.

    SAM    g' = grad L(theta + rho g / |g|),  theta <- theta - lr g'
    GSAM   g'' = g' - alpha (g - <g, g'> g' / |g'|^2),  theta <- theta - lr g''

Sources: SAM: Foret et al. 2021, arXiv:2010.01412. GSAM: Zhuang et al. 2022, arXiv:2203.08065, as used by FTD: Du et al.
2023, arXiv:2211.11004.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.source import Splits
from engine.nets.student import Student
from engine.pretrained.experts.config import ExpertsConfig
from engine.pretrained.recording import TrainingState, minibatches

NO_NORM = 1e-12
"""Added to a gradient's norm before dividing by it."""


@dataclass(frozen=True)
class SgdState(TrainingState):
    """velocity: (P,), zeros without momentum."""

    velocity: Tensor


def num_steps(config: ExpertsConfig, num_train: int) -> int:
    """Minibatches per epoch."""
    return config.steps_per_epoch or -(-num_train // config.batch_size)


def epoch(
    student: Student, state: SgdState, splits: Splits, config: ExpertsConfig, number: int, generator: torch.Generator
) -> Iterator[SgdState]:
    """Train for epoch `number`, from 0; the state after each step. generator: of minibatches and augmentations."""
    lr = config.lr * (0.1 if config.lr_decay and number > config.epochs // 2 + 1 else 1.0)
    state = replace(state, loss=0.0)
    batches = minibatches(len(splits.train), config.batch_size, generator)
    for indices in islice(batches, num_steps(config, len(splits.train))):
        inputs, targets = splits.train.batch(indices)
        state = _step(student, state, splits.augment(inputs, generator), targets, lr, config)
        yield state


def _step(
    student: Student, state: SgdState, inputs: Tensor, targets: Tensor, lr: float, config: ExpertsConfig
) -> SgdState:
    theta, velocity = state.theta, state.velocity
    loss, gradient = _gradient(student, theta, inputs, targets)
    if config.optimiser != "sgd":
        at_worse = theta + config.rho * gradient / (gradient.norm() + NO_NORM)
        _, perturbed = _gradient(student, at_worse, inputs, targets)
        gradient = perturbed if config.optimiser == "sam" else gsam(gradient, perturbed, config.alpha)
    if config.weight_decay:
        gradient = gradient + config.weight_decay * theta
    if config.momentum:
        velocity = gradient = config.momentum * velocity + gradient
    return SgdState(theta - lr * gradient, velocity, loss=state.loss + loss)


def gsam(gradient: Tensor, perturbed: Tensor, alpha: float) -> Tensor:
    """The perturbed gradient (P,), less alpha times the part of the gradient (P,) that is orthogonal to it."""
    along = torch.dot(gradient, perturbed) / (torch.dot(perturbed, perturbed) + NO_NORM)
    return perturbed - alpha * (gradient - along * perturbed)


def _gradient(student: Student, theta: Tensor, inputs: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    theta = theta.detach().requires_grad_()
    with torch.enable_grad():
        loss = F.cross_entropy(student(theta, inputs), targets)
    (gradient,) = torch.autograd.grad(loss, theta)
    return loss.item(), gradient
