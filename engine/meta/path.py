"""The path of a student from given weights: forward without a graph, then backward one step's graph at a time.

Plain gradient descent, theta_i = theta_{i-1} - eta g(theta_{i-1}; x_i, y_i), runs to the end of the path first, because
any of its steps may be the one to compare. Then the gradient of a loss of theta_n goes back through steps n..1 alone:

    lambda_n = dL/dtheta_n;   for i = n..1:   d<lambda_i, theta_i> = lambda_{i-1} d theta_{i-1} + (x_i, y_i, eta terms)

Memory is bounded: the first steps, which are always needed, keep their graphs within a fixed budget; later steps and
their batches are recomputed. On a long path only every k-th weights are stored.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from engine.meta import update_rules
from engine.meta.inner import Batch, Loss, advance, graph_bytes
from engine.nets.student import Student

KEPT_BYTES, GRAPH_BYTES = 2**27, 3 * 2**28  # of all weights and of all graphs that a path stores


class Path:
    """`num_steps` steps of gradient descent from `start` (P,).

    batch_at: makes the batch of step i = 0..num_steps-1, differentiably and always the same one for the same i.
    """

    def __init__(
        self,
        student: Student,
        start: Tensor,
        batch_at: Callable[[int], Batch],
        num_steps: int,
        loss: Loss,
        kept_bytes: int = KEPT_BYTES,
        graph_room: int = GRAPH_BYTES,
    ) -> None:
        self._student, self._batch_at, self._loss, self._num_steps = student, batch_at, loss, num_steps
        self._rule = update_rules.sgd()
        self._stride = max(1, -(-num_steps * start.numel() * start.element_size() // kept_bytes))
        self._kept = {0: start.detach()}
        self._graph_room = graph_room
        self._graphs: dict[int, tuple[Tensor, Tensor]] = {}  # see `_with_graph`

    def forward(self) -> Iterator[Tensor]:
        """Weights (P,) after each step, free of any graph."""
        theta, num_graphs = self._kept[0], self._num_graphs()
        for step in range(self._num_steps):
            if step < num_graphs:
                self._graphs[step] = self._with_graph(theta, step)
                theta = self._graphs[step][1].detach()
            else:
                theta = self._next(theta, step)
            if (step + 1) % self._stride == 0:
                self._kept[step + 1] = theta
            yield theta

    def backward(self, num_steps: int, direction: Tensor, learned: Sequence[Tensor]) -> Iterator[int]:
        """Add the gradient of <direction, theta after `num_steps` steps> to that of `learned`; yields each step done.

        direction: (P,). Only once after each `forward`, since it uses up the stored graphs.
        """
        self._graphs = {step: graph for step, graph in self._graphs.items() if step < num_steps}
        while num_steps:
            first = (num_steps - 1) // self._stride * self._stride
            thetas = [self._kept[first]]
            for step in range(first, num_steps - 1):
                known = self._graphs.get(step)
                thetas.append(self._next(thetas[-1], step) if known is None else known[1].detach())
            for step in range(num_steps - 1, first - 1, -1):
                theta = thetas.pop()
                before, after = self._graphs.pop(step) if step in self._graphs else self._with_graph(theta, step)
                direction, *found = torch.autograd.grad(after, [before, *learned], direction, allow_unused=True)
                for parameter, gradient in zip(learned, found, strict=True):
                    if gradient is not None:
                        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
                yield step
            num_steps = first

    def _num_graphs(self) -> int:
        """The number of first steps whose graphs fit the budget."""
        with torch.no_grad():
            batch = self._batch_at(0)
        return self._graph_room // graph_bytes(self._student, self._rule, self._loss, self._kept[0], batch, ())

    @torch.no_grad()  # the batch's making included; `advance` turns gradients on for itself
    def _next(self, theta: Tensor, step: int) -> Tensor:
        batch = self._batch_at(step)
        return advance(self._student, self._rule, self._loss, theta, batch, (), create_graph=False)[0].detach()

    @torch.enable_grad()
    def _with_graph(self, theta: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The weights before a step, a leaf, and those after it, with the graph between."""
        before, batch = theta.detach().requires_grad_(), self._batch_at(step)
        return before, advance(self._student, self._rule, self._loss, before, batch, (), create_graph=True)[0]
