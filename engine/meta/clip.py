"""Bounding the meta-gradient, and saying which quantity went wrong when it is not finite."""

from collections.abc import Iterable

import torch
from torch import Tensor


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Euclidean norm of all gradients together, a scalar."""
    return torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm()


def clip_gradient(parameters: Iterable[Tensor], norm: Tensor, limit: float) -> None:
    """Scale gradients of total length `norm` down to `limit`, if they are longer."""
    if norm > limit:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(limit / norm)


def running_norm(average: float, norm: float, memory: float = 0.9) -> float:
    """e <- memory e + (1 - memory) |g|, or |g| if there is no average yet (0).

    RaT-BPTT (Feng et al. 2024, arXiv:2311.07025) clips a gradient to twice this average, which already counts it.
    """
    return memory * average + (1 - memory) * norm if average else norm
