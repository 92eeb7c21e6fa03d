"""Each rule is its torch.optim namesake, written out of place."""

from __future__ import annotations

import pytest
import torch

from engine.meta import update_rules

OPTIMISERS = {
    "sgd": (update_rules.sgd(), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (update_rules.momentum(0.8), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8)),
    "momentum and weight decay": (
        update_rules.momentum(0.9, 0.05),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05),
    ),
    "adam": (update_rules.adam(eps_root=0.0), lambda p: torch.optim.Adam(p, lr=0.1)),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_rule_equals_torch_optim_after_five_steps(name):
    rule, make = OPTIMISERS[name]
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(7, generator=generator, dtype=torch.float64)
    parameter = theta.clone().requires_grad_()
    optimiser = make([parameter])
    state = rule.init(theta)
    for _ in range(5):
        gradient = torch.randn(7, generator=generator, dtype=torch.float64)
        parameter.grad = gradient.clone()
        optimiser.step()
        theta, state = rule.apply(theta, gradient, state, 0.1)
    torch.testing.assert_close(theta, parameter.detach(), rtol=1e-12, atol=1e-14)


def test_adam_without_eps_root_has_no_finite_derivative_where_the_gradient_vanishes():
    def derivative(eps_root):
        rule = update_rules.adam(eps_root=eps_root)
        gradient = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        theta, _ = rule.apply(torch.zeros(1, dtype=torch.float64), gradient, rule.init(gradient.detach()), 0.1)
        return torch.autograd.grad(theta.sum(), gradient)[0]

    assert not torch.isfinite(derivative(0.0)).all()
    assert torch.isfinite(derivative(1e-8)).all()


def test_rules_are_out_of_place():
    for name, make in update_rules.BY_NAME.items():
        rule = make()
        theta, gradient = torch.ones(3), torch.ones(3)
        state = rule.init(theta)
        copies = [part.clone() for part in state]
        rule.apply(theta, gradient, state, 0.1)
        assert torch.equal(theta, torch.ones(3)), name
        assert all(torch.equal(part, copy) for part, copy in zip(state, copies, strict=True)), name
