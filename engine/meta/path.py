"""The path of a student from given weights, walked forward without a graph and back again with the graph of one step.

A path of plain gradient descent, theta_i = theta_{i-1} - eta g(theta_{i-1}; x_i, y_i), is followed to its end first: what is
to be compared may lie anywhere on it. Then the gradient of a loss of theta_n goes back through steps n..1 alone:

    lambda_n = dL/dtheta_n,   and for i = n..1:   d<lambda_i, theta_i> = lambda_{i-1} d theta_{i-1} + (what x_i, y_i and eta get)

Each step is made again when it is its turn, its batch too, so that memory is one step's graph and a bounded number of
weights, whatever the length: of a long path every k-th weights are kept, and those between are made again from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from engine.meta import update_rules
from engine.meta.inner import Batch, Loss, advance
from engine.nets.student import Student

KEPT_BYTES = 2**26
"""Weights that a path keeps, together."""


class Path:
    """`num_steps` steps of gradient descent from `start` (P,).

    batch_at: makes the batch of step i = 0..num_steps-1 out of the parameters that are to be learned, always the same for
    the same i; differentiable in them. kept_bytes: how much of the path's weights stays in memory.
    """

    def __init__(
        self,
        student: Student,
        start: Tensor,
        batch_at: Callable[[int], Batch],
        num_steps: int,
        loss: Loss,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._student, self._batch_at, self._loss, self._num_steps = student, batch_at, loss, num_steps
        self._rule = update_rules.sgd()
        self._stride = max(1, -(-num_steps * start.numel() * start.element_size() // kept_bytes))
        self._kept = {0: start.detach()}

    def forward(self) -> Iterator[Tensor]:
        """Weights (P,) after each step, without a graph."""
        theta = self._kept[0]
        for step in range(self._num_steps):
            theta = self._next(theta, step)
            if (step + 1) % self._stride == 0:
                self._kept[step + 1] = theta
            yield theta

    def backward(self, num_steps: int, direction: Tensor, learned: Sequence[Tensor]) -> Iterator[int]:
        """Add to the `grad` of each of `learned` that of <direction, theta after `num_steps` steps>; yields each step done.

        direction: (P,). After `forward` has come so far.
        """
        while num_steps:
            first = (num_steps - 1) // self._stride * self._stride
            thetas = [self._kept[first]]
            for step in range(first, num_steps - 1):
                thetas.append(self._next(thetas[-1], step))
            for step in range(num_steps - 1, first - 1, -1):
                direction = self._back(thetas.pop(), step, direction, learned)
                yield step
            num_steps = first

    @torch.no_grad()  # the batch's making included; `advance` turns gradients on for itself
    def _next(self, theta: Tensor, step: int) -> Tensor:
        batch = self._batch_at(step)
        return advance(self._student, self._rule, self._loss, theta, batch, (), create_graph=False)[0].detach()

    @torch.enable_grad()
    def _back(self, theta: Tensor, step: int, direction: Tensor, learned: Sequence[Tensor]) -> Tensor:
        """The gradient at the weights before a step, from that at those after it."""
        theta = theta.detach().requires_grad_()
        after, _ = advance(self._student, self._rule, self._loss, theta, self._batch_at(step), (), create_graph=True)
        before, *found = torch.autograd.grad(after, [theta, *learned], direction, allow_unused=True)
        for parameter, gradient in zip(learned, found, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return before
