"""Matching: its distances are those of the equations, their gradients exact, whatever the labels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from draining import drained
from patterns import SPEC, toy_splits

from engine import Context, StudentConfig
from engine.core.config import checked
from engine.core.events import Checkpoint, Measured
from engine.methods.matching.config import MatchingConfig
from engine.methods.matching.matching import distill
from engine.methods.matching.objectives import class_gradients, class_sums, feature_distance, gradient_distance
from engine.nets import make_student

TOY = {"student": {"name": "mlp"}, "ipc": 2, "outer_steps": 60, "real_batch": 16, "num_validations": 0}


def config_of(**changes) -> MatchingConfig:
    return checked(MatchingConfig, TOY | changes, "test")


def samples(seed, count, hard=False):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    shares = torch.randn(count, 3, generator=generator, dtype=torch.float64).softmax(1)
    return features, F.one_hot(torch.arange(count) % 3, 3).double() if hard else shares


def smooth_student():
    config = StudentConfig(name="convnet", depth=2, width=4, activation="softplus", norm="group")
    student = make_student(config, SPEC)
    return student, student.init(torch.Generator().manual_seed(1))


def test_distance_of_features_is_that_of_a_loop_over_classes():
    (first, of_first), (second, of_second) = samples(0, 7, hard=True), samples(1, 6, hard=True)
    expected = 0.0
    for label in range(3):
        means = [values[shares[:, label] == 1].mean(0) for values, shares in ((first, of_first), (second, of_second))]
        expected += (means[0] - means[1]).square().sum().item()
    found = feature_distance(class_sums(first, of_first), class_sums(second, of_second))
    torch.testing.assert_close(found.item(), expected)


def test_gradient_in_features_and_shares_is_exact():
    real = class_sums(*samples(0, 7, hard=True))
    features, shares = (each.requires_grad_() for each in samples(1, 6))
    assert torch.autograd.gradcheck(lambda *given: feature_distance(real, class_sums(*given)), (features, shares))


def test_gradients_of_a_class_are_those_of_its_own_samples():
    student, theta = smooth_student()
    inputs, targets = torch.randn(6, *SPEC.sample_shape), torch.arange(6) % 3
    found = list(class_gradients(student, theta, inputs, F.one_hot(targets, 3).float()))
    for label in range(3):
        weights = theta.clone().requires_grad_()
        loss = F.cross_entropy(student(weights, inputs[targets == label]), targets[targets == label])
        torch.testing.assert_close(found[label], torch.autograd.grad(loss, weights)[0], rtol=1e-4, atol=1e-6)


def test_distance_of_gradients_is_that_of_the_published_loop():
    student, theta = smooth_student()
    first, second = (torch.randn(len(theta), generator=torch.Generator().manual_seed(seed)) for seed in (2, 3))
    expected = 0.0
    for shape, mine, theirs in zip(
        student.shapes, student.unflatten(first).values(), student.unflatten(second).values(), strict=True
    ):
        if len(shape) == 1:
            continue
        for row, other in zip(mine.flatten(1), theirs.flatten(1), strict=True):
            expected += 1 - (row @ other / (row.norm() * other.norm() + 1e-6)).item()
    assert gradient_distance(student, first, second).item() == pytest.approx(expected, rel=1e-5)


def test_meta_gradient_of_gradients_is_that_of_finite_differences():
    student, theta = smooth_student()
    theta = theta.double()
    real = torch.randn(len(theta), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    inputs = torch.randn(3, *SPEC.sample_shape, dtype=torch.float64, requires_grad=True)
    shares = torch.randn(3, 3, dtype=torch.float64).softmax(1).requires_grad_()

    def found(inputs, shares):
        gradients = class_gradients(student, theta, inputs, shares, create_graph=True)
        return sum(gradient_distance(student, real, gradient) for gradient in gradients)

    assert torch.autograd.gradcheck(found, (inputs, shares), atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"outer_lr": 0.1, "outer_steps": 100},
        {"objective": "gradients", "outer_lr": 0.1},
        {"objective": "gradients", "outer_optimiser": "sgd", "outer_lr": 0.3},
    ],
    ids=["features", "gradients", "gradients by SGD"],
)
def test_matching_brings_them_nearer(changes, tmp_path):
    config = config_of(images_from="noise", **changes)
    found = drained(distill(toy_splits(), config, Context(seed=3, cache_root=tmp_path)))[0]
    losses = [event.values["outer_loss"] for event in found if isinstance(event, Measured)]
    assert sum(losses[-12:]) / 12 < 0.8 * sum(losses[:2]) / 2


def test_a_stopped_run_goes_on_with_its_network(tmp_path):
    config = config_of(objective="gradients", network_matches=4, network_steps=2, outer_steps=6)
    _, whole = drained(distill(toy_splits(), config, Context(seed=3, cache_root=tmp_path)))
    events = distill(toy_splits(), config, Context(seed=3, cache_root=tmp_path))
    half = next(event.snapshot() for event in events if isinstance(event, Checkpoint) and event.step == 2)
    _, resumed = drained(distill(toy_splits(), config, Context(seed=3, cache_root=tmp_path, resume_from=half)))
    assert whole.images.equal(resumed.images)
