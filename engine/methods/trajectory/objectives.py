"""Which step of the student's path is compared with the expert, and how far it is: the difference of MTT and ATT.

    i* = N                                                  MTT
    i* = argmin_i ||theta_i - theta*||, ties to the later   ATT, with the L1 norm (its code) or the L2 norm (its paper)
    loss = ||theta_i* - theta*||_2^2 / ||theta_0 - theta*||_2^2

Sources: MTT: Cazenavette et al. 2022, arXiv:2203.11932, equation 2. ATT: Liu et al. 2024, arXiv:2407.14245.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

NORMS = {"l1": 1, "l2": 2}


class Matched(NamedTuple):
    """The step that is compared, from 1, its weights (P,), and its distance in the norm that chose it."""

    step: int
    theta: Tensor
    distance: float


def matched(
    path: Iterable[Tensor], target: Tensor, objective: Literal["mtt", "att"], nearest_by: Literal["l1", "l2"]
) -> Iterator[Matched]:
    """The step to compare as far as the path has been walked, after each of its steps; the last one counts.

    A step that is not finite is farther than any other: if a student explodes, ATT compares a step before that.
    """
    best = None
    for step, theta in enumerate(path, 1):
        distance = torch.linalg.vector_norm(theta - target, NORMS[nearest_by]).item()
        if best is None or objective == "mtt" or distance <= best.distance:
            best = Matched(step, theta, distance)
        yield best


def normalised_distance(theta: Tensor, start: Tensor, target: Tensor) -> tuple[float, Tensor]:
    """||theta - target||^2 / ||start - target||^2 and its gradient in theta (P,). NaN if start and target are equal."""
    difference, span = theta - target, (start - target).square().sum()
    return (difference.square().sum() / span).item(), 2 * difference / span
