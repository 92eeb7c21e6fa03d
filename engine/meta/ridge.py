"""Ridge regression in closed form, differentiable in everything: what a linear layer on top of features would predict.

Notation: phi are features f of n distilled samples, with a constant one as bias or without, Y (n, d) their targets, psi
the features of q others. With K = phi phi^T and lambda = ridge * trace(K):

    prediction = psi phi^T (K + lambda I)^{-1} Y

Sources: KRR-ST, Lee et al. 2024, arXiv:2310.06511, equation 5, with a bias; FRePo, Zhou et al. 2022, arXiv:2206.00719,
without. lambda is scaled by the trace in the published code of the first, and by trace / n in that of the second.
"""

import torch
from torch import Tensor

from engine.core.errors import Diverged

MOST_RAISED = 8  # attempts to invert the kernel, each with ten times the ridge


def predict(features: Tensor, targets: Tensor, queries: Tensor, ridge: float, has_bias: bool = True) -> Tensor:
    """Predicted targets (q, d) for queries (q, D), from features (n, D) and targets (n, d).

    Inverted in float64 by Cholesky, with a larger ridge if rounding made the kernel indefinite. Raises Diverged if that
    does not help.
    """
    phi, psi = (_with_bias(features), _with_bias(queries)) if has_bias else (features, queries)
    kernel = (phi @ phi.T).double()
    scale = kernel.diagonal().sum()
    identity = torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    for power in range(MOST_RAISED):
        factor, failed = torch.linalg.cholesky_ex(kernel + ridge * 10**power * scale * identity)
        if not failed and torch.isfinite(factor).all():
            weights = torch.cholesky_solve(targets.double(), factor)
            return (psi @ phi.T) @ weights.to(features.dtype)
    what = "The kernel of the distilled images cannot be inverted: the features are not finite, or all equal."
    raise Diverged(f"{what} Lower the inner learning rate, or raise the ridge.", quantity="kernel", step=0)


def _with_bias(features: Tensor) -> Tensor:
    return torch.cat([features, torch.ones_like(features[:, :1])], 1)
