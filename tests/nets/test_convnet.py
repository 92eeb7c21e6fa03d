"""The ConvNet as a whole against one of PyTorch's own layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.core.config import StudentConfig
from engine.data.source import TaskSpec
from engine.nets import make_student

SPEC = TaskSpec("classification", (3, 9, 8), 3, ("a", "b", "c"))


def plain(depth: int, width: int) -> nn.Module:
    parts: list[nn.Module] = []
    for channels in (3, *[width] * (depth - 1)):
        parts += [
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.GroupNorm(width, width),
            nn.ReLU(),
            nn.AvgPool2d(2),
        ]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(width * 2 * 2, 3)).double()


def test_second_derivatives_at_samples_and_weights_equal_those_of_pytorchs_layers():
    student = make_student(StudentConfig(depth=2, width=4), SPEC)
    theta = student.init(torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(5, *SPEC.sample_shape, generator=generator, dtype=torch.float64)
    labels, direction = torch.arange(5) % 3, torch.randn(theta.shape, generator=generator, dtype=torch.float64)
    network = plain(2, 4)

    def theirs(theta, images):
        return torch.func.functional_call(network, student.unflatten(theta), (images,))

    def of(function):
        leaves = [theta.clone().requires_grad_(), images.clone().requires_grad_()]
        (g,) = torch.autograd.grad(F.cross_entropy(function(*leaves), labels), leaves[0], create_graph=True)
        return [g.detach(), *torch.autograd.grad(g @ direction, leaves)]

    for got, expected in zip(of(student), of(theirs), strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def test_a_graph_through_the_gradient_at_the_samples_is_refused():
    student = make_student(StudentConfig(depth=1, width=4), SPEC)
    images = torch.randn(2, *SPEC.sample_shape, requires_grad=True)
    loss = student(student.init(torch.Generator()), images).sum()
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(loss, images, create_graph=True)
