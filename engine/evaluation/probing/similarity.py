"""How similar two networks' representations of the same images are."""

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def mean_cosine(x: Tensor, y: Tensor) -> float:
    """The mean cosine of the centred representations x and y, (N, d) each, of the same images."""
    return F.cosine_similarity(_centred(x), _centred(y), dim=1).mean().item()


@torch.no_grad()
def linear_cka(x: Tensor, y: Tensor) -> float:
    """||Y^T X||² / (||X^T X|| ||Y^T Y||), Frobenius norms of centred x (N, d) and y (N, e): 1 if equal, 0 if unrelated.

    Invariant to rotation and scale. Source: Kornblith et al. 2019, arXiv:1905.00414, section 3, linear kernel.
    """
    x, y = _centred(x), _centred(y)
    norms = (x.T @ x).norm() * (y.T @ y).norm()
    return ((y.T @ x).norm() ** 2 / norms).item() if norms > 0 else 0.0


def _centred(values: Tensor) -> Tensor:
    values = values.double()
    return values - values.mean(0)
