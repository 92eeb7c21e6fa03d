"""Adam and SGD give the bits of PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.meta.outer import Adam, Sgd

PAIRS = {
    "adam": (lambda groups: Adam(groups), lambda groups: torch.optim.Adam(groups)),
    "other betas": (lambda g: Adam(g, betas=(0.5, 0.999)), lambda g: torch.optim.Adam(g, betas=(0.5, 0.999))),
    "adamw": (lambda g: Adam(g, weight_decay=0.1), lambda g: torch.optim.AdamW(g, weight_decay=0.1)),
    "sgd": (lambda groups: Sgd(groups, lr=0.1), lambda groups: torch.optim.SGD(groups, lr=0.1)),
    "momentum": (lambda g: Sgd(g, momentum=0.5), lambda g: torch.optim.SGD(g, momentum=0.5)),
}


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((7, 3), (5,), (2, 2))]


@pytest.mark.parametrize("name", PAIRS)
def test_steps_have_the_bits_of_pytorchs(name):
    """Two groups with rates of their own that change; one parameter has no gradient at times."""
    ours, theirs = parameters(), parameters()
    optimisers = [
        make([{"params": found[:2], "lr": 0.03}, {"params": found[2:], "lr": 0.2}])
        for make, found in zip(PAIRS[name], (ours, theirs), strict=True)
    ]
    for step in range(6):
        for parameter, other in zip(ours, theirs, strict=True):
            parameter.grad = torch.randn(parameter.shape) if step % 3 or len(parameter) != 5 else None
            other.grad = parameter.grad
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] *= 0.9
            optimiser.step()
    for parameter, other in zip(ours, theirs, strict=True):
        assert torch.equal(parameter, other)


@pytest.mark.parametrize("make", [Adam, lambda groups: Sgd(groups, 0.1, 0.9)])
def test_resumed_it_goes_on_to_the_same_bits(make):
    whole, broken = parameters(), parameters()
    first, second = make([{"params": whole}]), make([{"params": broken}])
    for step in range(4):
        if step == 2:
            kept = {number: {k: v.clone() for k, v in found.items()} for number, found in enumerate(second.moments)}
            second = make([{"params": broken}])
            second.resume(kept)
        for parameter, other in zip(whole, broken, strict=True):
            parameter.grad = torch.randn(parameter.shape)
            other.grad = parameter.grad
        first.step()
        second.step()
    assert all(torch.equal(parameter, other) for parameter, other in zip(whole, broken, strict=True))
    second.zero_grad()
    assert all(parameter.grad is None for parameter in broken)
