"""Losses on centred labels: equal to the sums they are defined by, and differentiable."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.meta.losses import centred, half_squared_error, label_margin, shares


@pytest.mark.parametrize("num_classes", [3, 10, 40])
def test_half_the_squared_error_to_centred_labels_is_summed_over_classes(num_classes):
    outputs, labels = torch.randn(5, num_classes), torch.randn(5, num_classes)
    total = 0.0
    for row, label in zip(outputs, labels, strict=True):
        for output, share in zip(row, label, strict=True):
            total += 0.5 * (output - (share - 1 / num_classes) / (num_classes / 10) ** 0.5) ** 2
    torch.testing.assert_close(half_squared_error(outputs, labels), total / 5)


def test_classes_stand_for_a_share_of_one():
    classes = torch.tensor([2, 0])
    assert centred(classes, 10).equal(centred(F.one_hot(classes, 10).float(), 10))
    assert centred(classes, 10).sum(1).abs().max() < 1e-6


def test_the_margin_is_that_of_the_two_largest_labels_and_at_most_one_share():
    labels = torch.tensor([[0.5, 0.45, 0.0], [0.9, 0.1, 0.0]])
    torch.testing.assert_close(label_margin(labels), torch.tensor((0.05 + 1 / 3) / 2))


def test_gradients_are_those_of_finite_differences():
    outputs, labels = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(half_squared_error, (outputs, labels))
    assert torch.autograd.gradcheck(label_margin, (labels,))


def test_labels_of_any_size_become_distributions():
    found = shares(torch.tensor([[2.0, -1.0, 2.0], [-3.0, -1.0, -2.0], [0.0, 1.0, 0.0]]))
    assert found.tolist() == [[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    classes = torch.tensor([1, 0])
    assert shares(classes) is classes
