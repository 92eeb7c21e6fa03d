"""The inner loop: training a student on synthetic batches so that the result can be differentiated.

Notation: theta_t are the student's weights after t steps, (x_t, y_t, eta_t) the synthetic batch and rate of step t,
L the student's loss and Phi the update rule: (theta_{t+1}, s_{t+1}) = Phi(theta_t, dL/dtheta(theta_t; x_t, y_t), s_t,
eta_t).
The meta-gradient is the derivative of anything computed from the thetas with respect to all x, y, eta.

Two ways to the same gradient:
    store      keeps the graph of every step: fast, memory grows with the number of steps.
    recompute  makes each step one autograd node that keeps only theta_t, s_t and the batch; its backward rebuilds the
               graph of that step, so that memory holds one graph.
    auto       stores while the steps fit a fixed share of the machine's memory, then recomputes the rest.

Source: Wang et al. 2018, arXiv:1811.10959, Algorithm 1; Domke 2012 for reversing the recursion.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from engine.core import machine
from engine.meta.update_rules import State, UpdateRule
from engine.nets.student import Student

Memory = Literal["auto", "store", "recompute"]
Loss = Callable[[Tensor, Tensor], Tensor]
Network = Callable[[Tensor, Tensor], Tensor]
"""Outputs of weights (P,) and inputs (n, *sample_shape); a student is one."""

STORED_SHARE = 0.4  # of all memory that "auto" fills with graphs; free memory would differ from run to run


class Batch(NamedTuple):
    """Data of an inner step: inputs (n, *sample_shape), targets (n,) int64 or (n, K) float, lr of no dimension."""

    inputs: Tensor
    targets: Tensor
    lr: Tensor


def inner_loop(
    student: Student,
    theta: Tensor,
    batches: Iterable[Batch],
    rule: UpdateRule,
    loss: Loss,
    *,
    detached: bool = False,
    memory: Memory = "auto",
    budget: int | None = None,
    state: State | None = None,
) -> Iterator[Tensor]:
    """Train from `theta` (P,) on `batches` in order; yield the weights (P,) after each step.

    The weights are differentiable in `theta` and in every batch before them that requires it. loss(logits, targets) ->
    scalar. detached: no graph at all. budget: bytes of stored graph that "auto" allows; STORED_SHARE of the device's
    memory if None. state: of the update rule, to continue an earlier training (`burn_in`); a new one if None.
    """
    if detached:
        yield from (reached for reached, _ in burn_in(student, theta, batches, rule, loss))
        return
    state = rule.init(theta) if state is None else state
    budget = int(STORED_SHARE * machine.total_memory(theta.device)) if budget is None else budget
    stored_bytes = 0
    for batch in batches:
        if memory == "auto":
            stored_bytes += graph_bytes(student, rule, loss, theta, batch, state)
        if memory == "store" or (memory == "auto" and stored_bytes <= budget):
            theta, state = advance(student, rule, loss, theta, batch, state, create_graph=True)
        else:
            theta, *state = _RecomputedStep.apply(student, rule, loss, theta, *batch, *state)
            state = tuple(state)
        yield theta


@torch.no_grad()  # while a step is made, the batch's making included; not between two of them
def burn_in(
    student: Network, theta: Tensor, batches: Iterable[Batch], rule: UpdateRule, loss: Loss
) -> Iterator[tuple[Tensor, State]]:
    """Train from `theta` (P,) on `batches` without a graph; yield the weights and the rule's state after each step.

    The steps before a window of truncated back-propagation: RaT-BPTT, Feng et al. 2024, arXiv:2311.07025.
    """
    state = rule.init(theta)
    for batch in batches:
        theta, state = advance(student, rule, loss, theta.detach(), batch, state, create_graph=False)
        theta, state = theta.detach(), tuple(part.detach() for part in state)
        yield theta, state


def gradient_lengths(
    student: Student, theta: Tensor, batches: Iterable[Batch], rule: UpdateRule, loss: Loss
) -> Iterator[Tensor]:
    """Train from `theta` (P,) without a graph; yield the lengths (t,) of the gradients of all steps so far."""
    state, lengths = rule.init(theta), theta.new_zeros(0)
    for batch in batches:
        theta = theta.detach().requires_grad_()
        value = loss(student.quick(theta, batch.inputs.detach()), batch.targets.detach())
        (gradient,) = torch.autograd.grad(value, theta)
        with torch.no_grad():
            theta, state = rule.apply(theta, gradient, state, batch.lr.detach())
            lengths = torch.cat([lengths, gradient.norm()[None]])
        yield lengths


def advance(
    student: Network, rule: UpdateRule, loss: Loss, theta: Tensor, batch: Batch, state: State, *, create_graph: bool
) -> tuple[Tensor, State]:
    """One step of Phi. With create_graph the result is differentiable in theta, batch and state."""
    with torch.enable_grad():
        if not theta.requires_grad:
            theta = theta.detach().requires_grad_()
        inputs, targets = batch.inputs, batch.targets
        if not create_graph:  # a first-order gradient needs no graph into the data
            inputs, targets = inputs.detach(), targets.detach()
        network = student.quick if isinstance(student, Student) and not create_graph else student
        value = loss(network(theta, inputs), targets)
        (gradient,) = torch.autograd.grad(value, theta, create_graph=create_graph)
    if create_graph:
        return rule.apply(theta, gradient, state, batch.lr)
    with torch.no_grad():
        return rule.apply(theta, gradient, state, batch.lr)


class _RecomputedStep(torch.autograd.Function):
    """One inner step as one node: keeps its inputs, rebuilds its graph in backward."""

    @staticmethod
    def forward(ctx, student, rule, loss, theta, inputs, targets, lr, *state):
        ctx.step = (student, rule, loss)
        ctx.save_for_backward(theta, inputs, targets, lr, *state)
        batch = Batch(inputs, targets, lr)
        new_theta, new_state = advance(student, rule, loss, theta.detach(), batch, state, create_graph=False)
        return (new_theta.detach(), *(part.detach() for part in new_state))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *gradients):
        wanted = ctx.needs_input_grad[3:]
        leaves = [
            saved.detach().requires_grad_(needed) for saved, needed in zip(ctx.saved_tensors, wanted, strict=True)
        ]
        theta, inputs, targets, lr, *state = leaves
        batch = Batch(inputs, targets, lr)
        with torch.enable_grad():
            new_theta, new_state = advance(*ctx.step, theta, batch, tuple(state), create_graph=True)
        outputs = [(out, g) for out, g in zip((new_theta, *new_state), gradients, strict=True) if out.requires_grad]
        sources = [leaf for leaf, needed in zip(leaves, wanted, strict=True) if needed]
        found = iter(torch.autograd.grad([o for o, _ in outputs], sources, [g for _, g in outputs], allow_unused=True))
        return (None, None, None, *(next(found) if needed else None for needed in wanted))


def graph_bytes(student: Student, rule: UpdateRule, loss: Loss, theta: Tensor, batch: Batch, state: State) -> int:
    """Bytes that the graph of a step takes, measured once per batch shape."""
    key = (rule.name, batch.inputs.shape, batch.targets.shape)
    if key not in student.graph_bytes:
        student.graph_bytes[key] = _measure_graph(student, rule, loss, theta, batch, state)
    return student.graph_bytes[key]


def _measure_graph(student, rule, loss, theta, batch, state) -> int:
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    fresh = Batch(*(t.detach().requires_grad_(t.is_floating_point()) for t in batch))
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        held = advance(student, rule, loss, theta.detach(), fresh, tuple(s.detach() for s in state), create_graph=True)
    del held
    return sum(kept.values())
