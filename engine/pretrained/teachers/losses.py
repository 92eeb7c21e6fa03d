"""What two views of the same images should have in common: the losses that a teacher is trained with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NO_VARIANCE = 1e-8
"""Added to the variance of a dimension that is divided by its deviation."""


def barlow_twins(z1: Tensor, z2: Tensor, redundancy: float) -> Tensor:
    """sum_i (1 - c_ii)^2 + redundancy sum_{i != j} c_ij^2, with c_ij = <z1_i z2_j> over the batch of standardised z.

    Args:
        z1, z2: (N, D) of two views of N images, 2 or more.
        redundancy: weight of the correlations between different dimensions (lambda).

    Source: Zbontar et al. 2021, arXiv:2103.03230, Eq. 1 and 2.
    """
    c = _standardised(z1).T @ _standardised(z2) / len(z1)
    diagonal = c.diagonal()
    return (1 - diagonal).square().sum() + redundancy * (c.square().sum() - diagonal.square().sum())


def simclr(z1: Tensor, z2: Tensor, temperature: float) -> Tensor:
    """NT-Xent: mean over all 2 N views i of -log exp(s_ij / t) / sum_{k != i} exp(s_ik / t); j the partner, s cosines.

    Args:
        z1, z2: (N, D) of two views of N images.
        temperature: t.

    Source: Chen et al. 2020, arXiv:2002.05709, Eq. 1.
    """
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarities = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    partners = torch.arange(len(z), device=z.device).roll(len(z1))
    return F.cross_entropy(similarities, partners)


def _standardised(z: Tensor) -> Tensor:
    """Each dimension with mean 0 and deviation 1 over the batch; one that is the same everywhere with 0."""
    centred = z - z.mean(0)
    return centred * torch.rsqrt(centred.square().mean(0) + NO_VARIANCE)
