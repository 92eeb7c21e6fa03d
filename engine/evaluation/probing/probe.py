"""Frozen features evaluated with labels: by a linear classifier, and by their nearest neighbours."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.core.events import Event, Progress
from engine.core.progress import QUIET_SECONDS
from engine.data.source import LabelledSet
from engine.evaluation import baselines
from engine.evaluation.probing.config import ProbingConfig
from engine.evaluation.train import EVALUATION_BATCH, cosine

Represent = Callable[[Tensor], Tensor]
"""A frozen network: prepared inputs (n, C, H, W) to features (n, D)."""

PROBE_BATCH = 256
MOMENTUM = 0.9
TEMPERATURE = 0.07  # of the votes of neighbours
QUERIES_AT_ONCE = 512


@torch.no_grad()  # a generator leaves it between two events
def features_of(represent: Represent, data: LabelledSet, phase: str) -> Generator[Event, None, Tensor]:
    """Features (N, D) of all images of `data` in order, each image seen once; yields Progress each second."""
    found, done, told = [], 0, time.monotonic()
    for indices in torch.arange(len(data)).chunk(-(-len(data) // EVALUATION_BATCH)):
        found.append(represent(data.batch(indices)[0]))
        done += len(indices)
        if time.monotonic() - told >= QUIET_SECONDS:
            yield Progress(phase, done, len(data))
            told = time.monotonic()
    return torch.cat(found)


def labelled_part(train: LabelledSet, count: int, num_classes: int) -> Tensor:
    """Indices (n,) int64 of `count` class-balanced training images, always the same ones; all for 0."""
    rows = torch.arange(len(train))
    if not count or count >= len(train):
        return rows
    numbered = LabelledSet(rows, train.targets.cpu(), lambda rows: rows)
    return baselines.random_real(numbered, count, num_classes, torch.Generator().manual_seed(0)).inputs


@dataclass(frozen=True)
class Probe:
    """A linear classifier of features (n, D): ((f - mean) / scale) weight + bias, with weight (D, K)."""

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (n, K)."""
        return (features - self.mean) / self.scale @ self.weight + self.bias


@torch.no_grad()
def linear_probe(
    features: Tensor, targets: Tensor, num_classes: int, config: ProbingConfig, generator: torch.Generator
) -> Probe:
    """Fit a linear classifier to features (N, D) and targets (N,) int64 by cross-entropy.

    Features are standardised; one that hardly varies is only shifted. SGD from zero weights, momentum 0.9,
    `config.probe_lr` with cosine decay over `config.probe_epochs` passes in shuffled minibatches of 256, no weight
    decay. generator: of the shuffling, on the CPU.
    """
    mean, std = features.mean(0), features.std(0, correction=0)
    scale = torch.where(std > 1e-6 * std.max(), std, 1.0)
    inputs = (features - mean) / scale
    weight = torch.zeros(inputs.shape[1], num_classes, dtype=inputs.dtype, device=inputs.device)
    bias = torch.zeros(num_classes, dtype=inputs.dtype, device=inputs.device)
    moved = [torch.zeros_like(weight), torch.zeros_like(bias)]
    batches_a_pass = -(-len(inputs) // PROBE_BATCH)
    num_steps, step = config.probe_epochs * batches_a_pass, 0
    for _ in range(config.probe_epochs):
        order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        for indices in order.chunk(batches_a_pass):
            some, wanted = inputs[indices], targets[indices]
            # the gradient of the mean cross-entropy in the logits: probabilities minus the one-hot label
            slope = (some @ weight + bias).softmax(1)
            slope[torch.arange(len(some), device=slope.device), wanted] -= 1
            slope /= len(some)
            lr, gradients = cosine(config.probe_lr, step, num_steps), (some.T @ slope, slope.sum(0))
            for parameter, velocity, gradient in zip((weight, bias), moved, gradients, strict=True):
                velocity.mul_(MOMENTUM).add_(gradient)
                parameter.sub_(lr * velocity)
            step += 1
    return Probe(mean, scale, weight, bias)


@torch.no_grad()
def knn(features: Tensor, targets: Tensor, queries: Tensor, k: int, num_classes: int) -> Tensor:
    """Classes (Q,) int64 of queries (Q, D) by the votes of the k nearest `features` (N, D) with targets (N,) int64.

    Nearest by cosine; a vote weighs exp(cosine / 0.07). Of fewer than k features, all vote.
    Source: Wu et al. 2018, arXiv:1805.01978, section 3.4.
    """
    known = torch.nn.functional.normalize(features, dim=1)
    found = []
    for some in queries.split(QUERIES_AT_ONCE):
        cosines = torch.nn.functional.normalize(some, dim=1) @ known.T
        nearest, indices = cosines.topk(min(k, len(known)), dim=1)
        votes = torch.zeros(len(some), num_classes, dtype=nearest.dtype, device=nearest.device)
        votes.scatter_add_(1, targets[indices], ((nearest - 1) / TEMPERATURE).exp())
        found.append(votes.argmax(1))
    return torch.cat(found)


def share_right(predicted: Tensor, targets: Tensor) -> float:
    """The fraction of predicted classes (n,) that equal the targets (n,)."""
    return (predicted == targets).double().mean().item()
