"""Cutting gradients: to a fixed length, and to their own running average."""

from __future__ import annotations

import pytest
import torch

from engine.meta.clip import clip_gradient, gradient_norm, running_norm


def test_running_norm_is_the_exponential_average_that_starts_at_the_first_norm():
    norms = [4.0, 1.0, 10.0, 0.0, 2.0]
    average, expected = 0.0, 4.0
    for step, norm in enumerate(norms):
        average = running_norm(average, norm)
        if step:
            expected = 0.9 * expected + 0.1 * norm
        assert average == pytest.approx(expected)


def test_a_gradient_of_usual_length_is_never_cut_and_a_sudden_one_is():
    average = 0.0
    for norm in (1.0, 1.1, 0.9, 1.9):
        average = running_norm(average, norm)
        assert norm <= 2 * average
    assert 2 * running_norm(average, 100.0) < 100.0


def test_clipped_gradient_keeps_its_direction_and_has_the_limit_as_length():
    parameters = [torch.zeros(3, requires_grad=True), torch.zeros(2, 2, requires_grad=True), torch.zeros(1)]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0, 4.0]), torch.full((2, 2), 6.0)
    before = torch.cat([p.grad.flatten() for p in parameters[:2]])
    norm = gradient_norm(parameters)
    assert norm == pytest.approx(13.0)
    clip_gradient(parameters, norm, 2.0)
    after = torch.cat([p.grad.flatten() for p in parameters[:2]])
    torch.testing.assert_close(after, before * 2 / 13)
    clip_gradient(parameters, gradient_norm(parameters), 5.0)
    torch.testing.assert_close(torch.cat([p.grad.flatten() for p in parameters[:2]]), after)
