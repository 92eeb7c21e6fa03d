"""LAMB: the rule of the paper, step by step."""

from __future__ import annotations

import torch
from engine.meta.lamb import Lamb
from torch import nn


def test_steps_are_those_of_the_paper():
    torch.manual_seed(0)
    first, second = nn.Parameter(torch.randn(4, 3).double()), nn.Parameter(torch.randn(5).double())
    optimiser = Lamb([first, second], lr=0.01, weight_decay=0.1)
    naive = {p: (p.detach().clone(), torch.zeros_like(p), torch.zeros_like(p)) for p in (first, second)}
    for step in range(1, 6):
        for parameter in (first, second):
            parameter.grad = torch.randn_like(parameter)
            x, m, v = naive[parameter]
            m, v = 0.9 * m + 0.1 * parameter.grad, 0.999 * v + 0.001 * parameter.grad**2
            move = (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-6) + 0.1 * x
            naive[parameter] = (x - 0.01 * x.norm() / move.norm() * move, m, v)
        optimiser.step()
    for parameter, (x, _, _) in naive.items():
        torch.testing.assert_close(parameter.detach(), x)


def test_a_tensor_of_zeros_takes_the_step_of_adam():
    parameter, other = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    parameter.grad = other.grad = torch.tensor([1.0, -2.0, 3.0])
    Lamb([parameter], lr=0.01).step()
    torch.optim.Adam([other], lr=0.01, eps=1e-6).step()
    torch.testing.assert_close(parameter, other)
