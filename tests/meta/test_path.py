"""A path walked back step by step gives the gradient of the whole graph, however few of its weights are kept."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from patterns import SPEC

from engine.core.config import StudentConfig
from engine.meta import update_rules
from engine.meta.inner import Batch, graph_bytes
from engine.meta.path import Path
from engine.nets import make_student

STEPS = 6


@pytest.fixture
def problem():
    """A smooth student, start weights, and what is learned: images, label logits and a raw rate; all float64."""
    generator = torch.Generator().manual_seed(0)
    student = make_student(StudentConfig(depth=2, width=4, activation="softplus"), SPEC)
    start = student.init(generator).double()
    images = torch.randn(6, *SPEC.sample_shape, generator=generator, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    raw_rate = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    return student, start, (images, logits, raw_rate)


def batch_maker(learned):
    images, logits, raw_rate = learned

    def batch_at(step):
        indices = torch.randperm(6, generator=torch.Generator().manual_seed(step))[:4]
        return Batch(images[indices] * (1 + 0.1 * step), logits[indices].softmax(1), F.softplus(raw_rate))

    return batch_at


def naive_path(student, start, batch_at, num_steps):
    """theta_i = theta_{i-1} - eta grad L, one graph over all steps."""
    theta = start.clone().requires_grad_()
    for step in range(num_steps):
        inputs, targets, lr = batch_at(step)
        loss = F.cross_entropy(student(theta, inputs), targets)
        theta = theta - lr * torch.autograd.grad(loss, theta, create_graph=True)[0]
        yield theta


def walked_back(student, start, learned, num_steps, direction, **bounds):
    path = Path(student, start, batch_maker(learned), STEPS, F.cross_entropy, **bounds)
    thetas = list(path.forward())
    for parameter in learned:
        parameter.grad = None
    steps = list(path.backward(num_steps, direction, learned))
    return thetas, steps, [parameter.grad for parameter in learned]


def bytes_of_a_step(student, start, learned):
    return graph_bytes(student, update_rules.sgd(), F.cross_entropy, start, batch_maker(learned)(0), ())


@pytest.mark.parametrize("num_steps", [1, 4, STEPS])
@pytest.mark.parametrize("kept", [1, 2, 4, 100])
@pytest.mark.parametrize("num_graphs", [0, 3, 100])
def test_gradient_equals_that_of_the_whole_graph_however_little_is_kept(problem, num_steps, kept, num_graphs):
    student, start, learned = problem
    direction = torch.randn(start.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    expected_path = list(naive_path(student, start, batch_maker(learned), STEPS))
    expected = torch.autograd.grad(expected_path[num_steps - 1], learned, direction)
    row = start.numel() * start.element_size()
    room = num_graphs * bytes_of_a_step(student, start, learned)
    thetas, steps, found = walked_back(
        student, start, learned, num_steps, direction, kept_bytes=kept * row, graph_room=room
    )
    for ours, theirs in zip(thetas, expected_path, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=0, atol=1e-12)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert steps == list(range(num_steps - 1, -1, -1)), "only the steps up to the one compared are differentiated"


def test_gradients_agree_with_finite_differences(problem):
    student, start, learned = problem

    class Walk(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *values):
            path = Path(student, start, batch_maker(values), STEPS, F.cross_entropy)
            *_, end = path.forward()
            ctx.values, ctx.end = values, end
            return (end - start).square().sum()

        @staticmethod
        def backward(ctx, gradient):
            leaves = [value.detach().requires_grad_() for value in ctx.values]
            path = Path(student, start, batch_maker(leaves), STEPS, F.cross_entropy)
            list(path.forward())
            list(path.backward(STEPS, 2 * gradient * (ctx.end - start), leaves))
            return tuple(leaf.grad for leaf in leaves)

    assert torch.autograd.gradcheck(Walk.apply, learned, fast_mode=True)


def test_gradients_add_up_over_calls(problem):
    student, start, learned = problem
    direction = torch.ones_like(start)
    _, _, once = walked_back(student, start, learned, 3, direction)
    once = [gradient.clone() for gradient in once]
    path = Path(student, start, batch_maker(learned), STEPS, F.cross_entropy)
    list(path.forward())
    list(path.backward(3, direction, learned))
    for parameter, gradient in zip(learned, once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)


def test_a_long_path_keeps_no_more_than_its_bounds(problem):
    student, start, learned = problem
    row = start.numel() * start.element_size()
    room = 3 * bytes_of_a_step(student, start, learned)
    for num_steps in (10, 40, 160):
        path = Path(student, start, batch_maker(learned), num_steps, F.cross_entropy, 5 * row, room)
        kept = [(len(path._kept), len(path._graphs)) for _ in path.forward()]
        assert max(weights for weights, _ in kept) == 6, "the start and five more, whatever the length"
        assert max(graphs for _, graphs in kept) == 3
