"""Bounding the meta-gradient, and saying which quantity went wrong when it is not finite."""

from __future__ import annotations

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
