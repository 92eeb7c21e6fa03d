"""Training an expert: the steps of SGD, SAM and GSAM on real minibatches, without any graph that outlives a step.

    SAM    g' = grad L(theta + rho g / |g|),  theta <- theta - lr g'
    GSAM   g'' = g' - alpha (g - <g, g'> g' / |g'|^2),  theta <- theta - lr g''

Sources: SAM: Foret et al. 2021, arXiv:2010.01412. GSAM: Zhuang et al. 2022, arXiv:2203.08065, as FTD uses it: Du et al. 2023,
arXiv:2211.11004.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.source import Splits
from engine.nets.student import Student
from engine.pretrained.experts.config import ExpertsConfig

NO_NORM = 1e-12
"""Added to the length of a gradient that is divided by."""


@dataclass(frozen=True)
class Standing:
    """An expert between two steps: weights theta (P,) and, with momentum, their velocity (P,); the epoch's losses so far, added up."""

    theta: Tensor
    velocity: Tensor
    loss: float = 0.0


def num_steps(config: ExpertsConfig, num_train: int) -> int:
    """Minibatches between two kept weights."""
    return config.steps_per_epoch or -(-num_train // config.batch_size)


def epoch(
    student: Student, standing: Standing, splits: Splits, config: ExpertsConfig, number: int, generator: torch.Generator
) -> Iterator[Standing]:
    """Train for epoch `number`, from 0; the standing after each step.

    Minibatches are random and without repetition within a pass; a new pass begins where `steps_per_epoch` needs more.
    """
    lr = config.lr * (0.1 if config.lr_decay and number > config.epochs // 2 + 1 else 1.0)
    standing, order = replace(standing, loss=0.0), iter(())
    for _ in range(num_steps(config, len(splits.train))):
        indices = next(order, None)
        if indices is None:
            order = iter(torch.randperm(len(splits.train), generator=generator).split(config.batch_size))
            indices = next(order)
        inputs, targets = splits.train.batch(indices)
        standing = _step(student, standing, splits.augment(inputs, generator), targets, lr, config)
        yield standing


def _step(
    student: Student, standing: Standing, inputs: Tensor, targets: Tensor, lr: float, config: ExpertsConfig
) -> Standing:
    theta = standing.theta
    loss, gradient = _gradient(student, theta, inputs, targets)
    if config.optimiser != "sgd":
        at_worse = theta + config.rho * gradient / (gradient.norm() + NO_NORM)
        _, perturbed = _gradient(student, at_worse, inputs, targets)
        gradient = perturbed if config.optimiser == "sam" else gsam(gradient, perturbed, config.alpha)
    if config.weight_decay:
        gradient = gradient + config.weight_decay * theta
    velocity = standing.velocity
    if config.momentum:
        velocity = gradient = config.momentum * velocity + gradient
    return Standing(theta - lr * gradient, velocity, standing.loss + loss)


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
