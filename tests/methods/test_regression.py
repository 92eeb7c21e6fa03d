"""Kernel ridge regression: its loss is that of the equation, its steps those of a naive loop, and it learns."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from draining import drained
from patterns import toy_splits
from torch import nn

from engine import Context
from engine.core.config import checked
from engine.core.errors import Diverged
from engine.core.events import Checkpoint, Measured
from engine.methods.regression.regression import RegressionConfig, distill, error
from engine.nets import make_student

TOY = {
    "student": {"name": "convnet", "depth": 2, "width": 4, "growth": 2, "norm": "none"},
    "ipc": 2,
    "pool_size": 2,
    "pool_steps": 3,
    "inner_lr": 0.01,
    "outer_steps": 5,
    "outer_lr": 0.02,
    "labels_lr": 0.01,
    "real_batch": 24,
    "num_validations": 0,
    "ridge": 1e-3,
}
LOG_FACTOR = torch.tensor(0.3, dtype=torch.float64)


def config_of(**changes) -> RegressionConfig:
    return checked(RegressionConfig, TOY | changes, "test")


def context_of(tmp_path, **more) -> Context:
    return Context(seed=3, cache_root=tmp_path, **more)


def parts_of_a_kernel(num_classes=4):
    generator = torch.Generator().manual_seed(0)
    phi, labels, psi = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((6, 9), (6, num_classes), (7, 9))
    )
    return phi, labels, psi, torch.randint(num_classes, (7,), generator=generator)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_the_error_is_that_of_the_equation_written_out(loss):
    config = config_of(loss=loss, margin=0.5)
    phi, labels, psi, targets = parts_of_a_kernel()
    n, K = labels.shape
    scale = (K / 10) ** 0.5
    kernel = torch.tensor([[phi[i] @ phi[j] for j in range(n)] for i in range(n)])
    Y = (labels - 1 / K) / scale
    weights = torch.linalg.inv(kernel + config.ridge * kernel.trace() / n * torch.eye(n)) @ Y
    total = 0.0
    for query, target in zip(psi, targets, strict=True):
        answer = sum((query @ phi[i]) * weights[i] for i in range(n))
        if loss == "cross_entropy":
            total -= torch.log_softmax(LOG_FACTOR.exp() * answer, 0)[target]
        else:
            wanted = (F.one_hot(target, K) - 1 / K) / scale
            total += sum(0.5 * (answer[c] - wanted[c]) ** 2 for c in range(K))
    total = total / len(psi)
    if loss == "squared_error":
        ordered = Y.sort(dim=1, descending=True).values
        total = total - 0.5 * sum(min(float(row[0] - row[1]), 1 / K) for row in ordered) / n
    found = error(phi, labels, psi, targets, K, LOG_FACTOR, config)
    torch.testing.assert_close(found, torch.as_tensor(total, dtype=torch.float64), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_gradients_are_those_of_finite_differences(loss):
    phi, labels, psi, targets = parts_of_a_kernel()
    given = phi.requires_grad_(), labels.requires_grad_(), LOG_FACTOR.clone().requires_grad_()
    config = config_of(loss=loss)

    def found(phi, labels, temperature):
        return error(phi, labels, psi, targets, 4, temperature, config)

    assert torch.autograd.gradcheck(found, given)


@pytest.mark.parametrize("mirror", [False, True])
def test_outer_steps_are_those_of_a_naive_loop(tmp_path, mirror):
    """With torch.optim for images and networks, and the kernel inverted as it stands."""
    config = config_of(mirror=mirror, last_lr=1.0, outer_steps=8)
    context, splits = context_of(tmp_path), toy_splits()
    student = make_student(config.student, splits.spec)
    begun = copy.deepcopy(next(iter(_begun(splits, config, context))))
    images, labels = nn.Parameter(begun.images.detach().clone()), nn.Parameter(begun.label_shares.detach().clone())
    outer = torch.optim.Adam([{"params": [images], "lr": 0.02}, {"params": [labels], "lr": 0.01}])
    K, n = splits.spec.num_outputs, len(images)
    thetas, ages, lives, optimisers = {}, {}, {}, {}
    order = torch.randperm(2, generator=context.stream("ages")).tolist()

    def reborn(number):
        theta = student.init(context.stream("inner start", number, lives[number]))
        thetas[number] = theta.requires_grad_()
        optimisers[number] = torch.optim.Adam([thetas[number]], lr=0.01)
        ages[number] = 0

    for number in range(2):
        lives[number] = 0
        reborn(number)
        ages[number] = order[number] * 3 // 2
    for step in range(config.outer_steps):
        number = int(torch.randint(2, (), generator=context.stream("pool", step)))
        chosen = torch.randperm(len(splits.train), generator=context.stream("real", step))[:24]
        real, classes = splits.train.batch(chosen)
        shown, wanted = images, labels - 1 / K
        if mirror:
            shown, wanted = torch.cat([images, images.flip(3)]), torch.cat([wanted, wanted])
        wanted = wanted / (K / 10) ** 0.5
        theta = thetas[number].detach()
        phi, psi = student.features(theta, shown), student.features(theta, real)
        kernel = (phi @ phi.T).double()
        inverse = torch.linalg.inv(kernel + 1e-3 * kernel.trace() / len(phi) * torch.eye(len(phi)))
        answers = psi @ phi.T @ (inverse @ wanted.double()).float()
        target = (F.one_hot(classes, K) - 1 / K) / (K / 10) ** 0.5
        first, second = wanted.topk(2, dim=1).values.unbind(1)
        loss = 0.5 * (answers - target).square().sum(1).mean() - (first - second).clamp(max=1 / K).mean()
        outer.zero_grad()
        loss.backward()
        outer.step()
        if ages[number] >= 3:
            lives[number] += 1
            reborn(number)
        outputs = student(thetas[number], images.detach())
        inner = 0.5 * (outputs - (labels.detach() - 1 / K) / (K / 10) ** 0.5).square().sum(1).mean()
        optimisers[number].zero_grad()
        inner.backward()
        optimisers[number].step()
        ages[number] += 1
    assert any(lives.values()), "no network was reinitialised"
    _, synthetic = drained(distill(splits, config, context))
    torch.testing.assert_close(synthetic.images, images, rtol=1e-3, atol=1e-4)  # Adam amplifies rounding
    torch.testing.assert_close(synthetic.label_shares, labels, rtol=1e-3, atol=1e-4)
    assert (synthetic.images - begun.images).abs().max() > 0.05 and n == 2 * K


def _begun(splits, config, context):
    return (event.synthetic for event in distill(splits, config, context) if hasattr(event, "synthetic"))


def test_the_moving_average_is_returned_and_goes_on_after_a_stop(tmp_path):
    config, splits = config_of(average=0.5, outer_steps=4), toy_splits()
    _, averaged = drained(distill(splits, config, context_of(tmp_path)))
    _, last = drained(distill(splits, config_of(outer_steps=4), context_of(tmp_path)))
    assert not averaged.images.equal(last.images)
    events = distill(splits, config, context_of(tmp_path))
    half = next(event.snapshot() for event in events if isinstance(event, Checkpoint) and event.step == 2)
    _, resumed = drained(distill(splits, config, context_of(tmp_path, resume_from=half)))
    assert averaged.images.equal(resumed.images) and averaged.label_shares.equal(resumed.label_shares)


def test_the_outer_loss_falls(tmp_path):
    settings = config_of(outer_steps=80, outer_lr=0.05, student=TOY["student"] | {"width": 8})
    found, _ = drained(distill(toy_splits(), settings, context_of(tmp_path)))
    losses = [event.values["outer_loss"] for event in found if isinstance(event, Measured)]
    assert sum(losses[-15:]) < sum(losses[:15])


def test_features_that_are_not_finite_say_what_to_do(tmp_path):
    with pytest.raises(Diverged, match=r"Lower the .*learning rate, or raise the ridge"):
        drained(distill(toy_splits(scale=1e30), config_of(), context_of(tmp_path)))
