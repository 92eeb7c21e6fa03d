"""LAMB: Adam whose step on each tensor is as long as the learning rate times the tensor's norm.

    r = m' / (sqrt(v') + eps) + weight decay * x;   x <- x - lr * (||x|| / ||r||) r

with the bias-corrected moments m', v' of Adam. The ratio is 1 where either norm is 0.

Source: You et al. 2020, arXiv:1904.00962, Algorithm 2; the outer optimiser of FRePo.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class Lamb(Optimizer):
    """See the module's docstring."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step. There is no use for a closure."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                state["step"] += 1
                count = state["step"].item()
                state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
                root = (state["exp_avg_sq"] / (1 - beta2**count)).sqrt() + group["eps"]
                move = state["exp_avg"] / (1 - beta1**count) / root + group["weight_decay"] * parameter
                sizes = parameter.norm(), move.norm()
                ratio = sizes[0] / sizes[1] if min(sizes) > 0 else 1.0
                parameter.sub_(group["lr"] * ratio * move)
