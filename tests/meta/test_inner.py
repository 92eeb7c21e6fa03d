"""The heart: meta-gradients through the inner loop are exact, in both memory modes and for every update rule."""

from __future__ import annotations

import weakref

import pytest
import torch
import torch.nn.functional as F

from engine.core.config import StudentConfig
from engine.data.source import TaskSpec
from engine.meta import update_rules
from engine.meta.inner import Batch, inner_loop
from engine.nets import make_student

SPEC = TaskSpec("classification", (1, 8, 8), 3, ("a", "b", "c"))
STEPS = 4


def smooth_student():
    """A ConvNet without kinks: ReLU fails finite differences, softplus does not."""
    return make_student(StudentConfig(depth=2, width=4, activation="softplus"), SPEC)


def problem(seed: int = 0):
    """Start weights, images, label logits, raw rates and real data, all float64."""
    generator = torch.Generator().manual_seed(seed)
    student = smooth_student()
    theta = student.init(generator).double()
    images = torch.randn(3, 1, 8, 8, generator=generator, dtype=torch.float64)
    logits = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    rates = torch.full((STEPS,), 0.1, dtype=torch.float64)
    real = torch.randn(6, 1, 8, 8, generator=generator, dtype=torch.float64)
    return student, theta, images, logits, rates, (real, torch.arange(6) % 3)


def outer_loss(student, theta, images, logits, rates, real, rule, memory, budget=None):
    batches = (Batch(images, logits.softmax(1), rate) for rate in rates)
    *_, end = inner_loop(student, theta, batches, rule, F.cross_entropy, memory=memory, budget=budget)
    return F.cross_entropy(student(end, real[0]), real[1])


def naive_loss(student, theta, images, logits, rates, real, rule_name):
    """The published equations as a plain loop over a list of parameter tensors, without the engine's inner loop."""
    params = [view.clone().requires_grad_() for view in student.unflatten(theta).values()]
    first = [torch.zeros_like(p) for p in params]
    second = [torch.zeros_like(p) for p in params]
    for step, rate in enumerate(rates):
        outputs = torch.func.functional_call(student.module, dict(zip(student.names, params, strict=True)), (images,))
        loss = -(logits.softmax(1) * outputs.log_softmax(1)).sum(1).mean()
        gradients = torch.autograd.grad(loss, params, create_graph=True)
        if rule_name == "sgd":
            params = [p - rate * g for p, g in zip(params, gradients, strict=True)]
        elif rule_name == "momentum":
            first = [0.9 * v + g for v, g in zip(first, gradients, strict=True)]
            params = [p - rate * v for p, v in zip(params, first, strict=True)]
        else:
            first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
            second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients, strict=True)]
            t = step + 1
            params = [
                p - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t) + 1e-8).sqrt() + 1e-8)
                for p, m, v in zip(params, first, second, strict=True)
            ]
    outputs = torch.func.functional_call(student.module, dict(zip(student.names, params, strict=True)), (real[0],))
    return F.cross_entropy(outputs, real[1])


def gradients_of(function, *tensors):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


@pytest.mark.parametrize("memory", ["store", "recompute"])
@pytest.mark.parametrize("rule", update_rules.BY_NAME)
def test_meta_gradient_equals_naive_unroll(rule, memory):
    student, theta, images, logits, rates, real = problem()

    def ours(images, logits, rates):
        return outer_loss(student, theta, images, logits, rates, real, update_rules.BY_NAME[rule](), memory)

    def naive(images, logits, rates):
        return naive_loss(student, theta, images, logits, rates, real, rule)

    for got, expected in zip(
        gradients_of(ours, images, logits, rates), gradients_of(naive, images, logits, rates), strict=True
    ):
        assert expected.abs().max() > 0
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("memory", ["store", "recompute"])
@pytest.mark.parametrize("rule", update_rules.BY_NAME)
def test_meta_gradient_passes_gradcheck(rule, memory):
    student, theta, images, logits, rates, real = problem(1)

    def function(images, logits, rates, theta):
        return outer_loss(student, theta, images, logits, rates, real, update_rules.BY_NAME[rule](), memory)

    leaves = [tensor.clone().requires_grad_() for tensor in (images, logits, rates, theta)]
    assert torch.autograd.gradcheck(function, leaves, eps=1e-6, atol=1e-7, rtol=1e-5, fast_mode=True)


@pytest.mark.parametrize("rule", update_rules.BY_NAME)
def test_auto_that_stores_some_steps_and_recomputes_the_rest_has_the_same_gradient(rule):
    student, theta, images, logits, rates, real = problem()
    chosen = update_rules.BY_NAME[rule]()
    stored = gradients_of(
        lambda x, y, r: outer_loss(student, theta, x, y, r, real, chosen, "store"), images, logits, rates
    )
    next(inner_loop(student, theta, [Batch(images, logits.softmax(1), rates[0])], chosen, F.cross_entropy))
    (per_step,) = student.graph_bytes.values()
    assert per_step > images.numel() * 8, "a stored step keeps at least its images"
    mixed = gradients_of(
        lambda x, y, r: outer_loss(student, theta, x, y, r, real, chosen, "auto", budget=2 * per_step),
        images,
        logits,
        rates,
    )
    for got, expected in zip(mixed, stored, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-13)


def test_every_step_of_the_path_can_be_read_in_both_modes():
    student, theta, images, logits, rates, _ = problem()

    def distance_at_two_steps(memory):
        def function(images, rates):
            batches = (Batch(images, logits.softmax(1), rate) for rate in rates)
            path = list(inner_loop(student, theta, batches, update_rules.momentum(), F.cross_entropy, memory=memory))
            return (path[1] - theta).square().sum() + (path[3] - path[0]).square().sum()

        return gradients_of(function, images, rates)

    for got, expected in zip(distance_at_two_steps("recompute"), distance_at_two_steps("store"), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-13)


def test_detached_loop_follows_the_same_path_without_a_graph():
    student, theta, images, logits, rates, _ = problem()
    batches = [Batch(images.clone().requires_grad_(), logits.softmax(1), rate) for rate in rates]
    free = list(inner_loop(student, theta, batches, update_rules.adam(), F.cross_entropy, detached=True))
    bound = list(inner_loop(student, theta, batches, update_rules.adam(), F.cross_entropy, memory="store"))
    assert not any(weights.requires_grad for weights in free)
    for got, expected in zip(free, bound, strict=True):
        torch.testing.assert_close(got, expected.detach(), rtol=1e-12, atol=1e-14)


def test_inner_loop_changes_nothing_it_was_given():
    student, theta, images, logits, rates, _ = problem()
    before = [tensor.clone() for tensor in (theta, images, logits, rates)]
    batches = (Batch(images, logits.softmax(1), rate) for rate in rates)
    list(inner_loop(student, theta, batches, update_rules.momentum(), F.cross_entropy))
    for tensor, copy in zip((theta, images, logits, rates), before, strict=True):
        assert torch.equal(tensor, copy)


def test_recompute_keeps_less_memory_the_longer_the_loop():
    """Graph memory of "recompute" grows with the stored weights alone, that of "store" with every activation."""
    student, theta, images, logits, _, _ = problem()

    class Held:
        def __init__(self, tensor):
            self.tensor = tensor.detach()

    def kept(memory: str, steps: int) -> int:
        alive: weakref.WeakSet[Held] = weakref.WeakSet()

        def pack(tensor):
            held = Held(tensor)
            alive.add(held)
            return held

        x = images.clone().requires_grad_()
        batches = [Batch(x, logits.softmax(1), torch.tensor(0.1, dtype=torch.float64))] * steps
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
            end = list(inner_loop(student, theta, batches, update_rules.sgd(), F.cross_entropy, memory=memory))
        assert end[-1].requires_grad
        storages = {held.tensor.untyped_storage().data_ptr(): held.tensor.untyped_storage().nbytes() for held in alive}
        return sum(storages.values())

    weights = theta.numel() * theta.element_size()
    assert kept("recompute", 20) - kept("recompute", 10) <= 10 * weights * 1.01
    assert kept("store", 20) - kept("store", 10) > 3 * (kept("recompute", 20) - kept("recompute", 10))
