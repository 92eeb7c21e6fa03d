"""Approximation networks: one small network per augmentation predicts how it shifts a representation.

    q_a(c) = W2 relu(W1 c + b1) + b2,  V -> h -> V,  fitted so that c + q_a(c) are the coefficients of the augmented
    image

All A networks are stacked and fitted at once. They take 2 V h + h + V numbers each, in place of m V coefficients.
Source: the published low-rank system, with h = 4 or 1,804 weights at V = 200. It fits them once, at the end, to the
first targets; here they are fitted whenever there are new targets.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.meta.outer import Adam


class Networks(NamedTuple):
    """Stacked: hidden_weights (A, V, h), hidden_biases (A, h), shift_weights (A, h, V), shift_biases (A, V)."""

    hidden_weights: Tensor
    hidden_biases: Tensor
    shift_weights: Tensor
    shift_biases: Tensor


def apply(networks: Networks, number: int, coefficients: Tensor) -> Tensor:
    """Shifts (n, V) by network `number` of coefficients (n, V); differentiable in the coefficients."""
    hidden = F.relu(coefficients @ networks.hidden_weights[number] + networks.hidden_biases[number])
    return hidden @ networks.shift_weights[number] + networks.shift_biases[number]


def fit(
    coefficients: Tensor, shifts: Tensor, hidden_dims: int, steps: int, lr: float, generator: torch.Generator
) -> Networks:
    """Fit a network for each augmentation by Adam on the mean squared error, with all samples at each step.

    Both sides are centred and scaled to a mean square of one, by one scale each, so that large coefficients keep their
    weight; the returned weights take and give plain coefficients. A network starts as the mean shift.
    coefficients: (m, V) of the images as they are; detached here, as the shifts are. shifts: (A, m, V) wanted.
    hidden_dims: h. steps: of Adam, at rate `lr`. generator: of the first weights, on the CPU.
    """
    coefficients, shifts = coefficients.detach(), shifts.detach()
    num_networks, _, num_bases = shifts.shape
    centre, scale = coefficients.mean(0), _spread(coefficients - coefficients.mean(0), (0, 1))  # (V,) and (1, 1)
    mean_shift = shifts.mean(1, keepdim=True)
    shift_scale = _spread(shifts - mean_shift, (1, 2))  # (A, 1, 1)
    inputs = ((coefficients - centre) / scale).expand(num_networks, -1, -1)
    wanted = (shifts - mean_shift) / shift_scale

    bound = 1 / math.sqrt(num_bases)
    drawn = torch.rand(num_networks, num_bases + 1, hidden_dims, generator=generator, dtype=coefficients.dtype)
    drawn = bound * (2 * drawn.to(coefficients.device) - 1)
    zeros = [coefficients.new_zeros(num_networks, size, num_bases) for size in (hidden_dims, 1)]
    weights = [drawn[:, :-1].contiguous(), drawn[:, -1:].contiguous(), *zeros]
    for tensor in weights:
        tensor.requires_grad_()
    adam = Adam([{"params": weights}], lr)
    with torch.enable_grad():
        for _ in range(steps):
            hidden = F.relu(torch.baddbmm(weights[1], inputs, weights[0]))
            found = torch.baddbmm(weights[3], hidden, weights[2])
            adam.zero_grad()
            (found - wanted).square().mean((1, 2)).sum().backward()  # a sum over independent networks
            adam.step()
    first, first_bias, second, second_bias = (tensor.detach() for tensor in weights)
    first = first / scale
    shift_bias = (second_bias * shift_scale + mean_shift).squeeze(1)
    return Networks(first, first_bias.squeeze(1) - centre @ first, second * shift_scale, shift_bias)


def relative_errors(found: Tensor, wanted: Tensor) -> Tensor:
    """(A,) values of ||found - wanted|| / ||wanted||, for found and wanted (A, m, d); 0 where both are zero."""
    off = (found - wanted).flatten(1).norm(dim=1)
    return off / wanted.flatten(1).norm(dim=1).clamp_min(torch.finfo(wanted.dtype).tiny)


def _spread(centred: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The root mean square over `dims`, kept; 1 where there is none."""
    spread = centred.square().mean(dims, keepdim=True).sqrt()
    return torch.where(spread > 0, spread, 1.0)
