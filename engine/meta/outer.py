"""Optimisers of what is learned: Adam, SGD and LAMB, with groups and moments as in torch.optim.

torch.optim imports PyTorch's compiler, which takes seconds. Adam and SGD give the same bits as PyTorch's on a CPU.

Sources: Kingma and Ba 2015, arXiv:1412.6980; Loshchilov and Hutter 2019, arXiv:1711.05101 (decay apart from the
gradient); You et al. 2020, arXiv:1904.00962, Algorithm 2 (LAMB, the outer optimiser of FRePo).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

Group = dict[str, Any]


class Outer(ABC):
    """A step for each parameter that has a gradient.

    groups: {"params": [tensors], option: value}; options that a group does not name are `defaults`. moments: what is
    kept of each parameter by name, in the order of the parameters; {} before its first step.
    """

    def __init__(self, groups: Iterable[Group], **defaults: Any) -> None:
        self.param_groups: list[Group] = [defaults | group for group in groups]
        self.moments: list[dict[str, Tensor]] = [{} for group in self.param_groups for _ in group["params"]]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step."""
        owned = ((parameter, group) for group in self.param_groups for parameter in group["params"])
        for (parameter, group), moments in zip(owned, self.moments, strict=True):
            if parameter.grad is not None:
                self.move(parameter, parameter.grad, moments, group)

    def resume(self, moments: dict[int, dict[str, Tensor]]) -> None:
        """Take over saved moments by the number of their parameter."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        for number, found in moments.items():
            device = parameters[number].device
            self.moments[number] = {
                name: value if name == "step" else value.to(device) for name, value in found.items()
            }

    @abstractmethod
    def move(self, parameter: Tensor, gradient: Tensor, moments: dict[str, Tensor], group: Group) -> None:
        """Move a parameter in place, and its moments."""


class Sgd(Outer):
    """v <- mu v + g, x <- x - lr v; at first v = g."""

    def __init__(self, groups: Iterable[Group], lr: float = 0.0, momentum: float = 0.0) -> None:
        super().__init__(groups, lr=lr, momentum=momentum)

    def move(self, parameter: Tensor, gradient: Tensor, moments: dict[str, Tensor], group: Group) -> None:
        if group["momentum"]:
            if moments:
                moments["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
            else:
                moments["momentum_buffer"] = gradient.clone()
            gradient = moments["momentum_buffer"]
        parameter.add_(gradient, alpha=-group["lr"])


class Adam(Outer):
    """m' and v' are the moments, corrected for their start at 0: x <- x - lr m' / (sqrt(v') + eps).

    Before it, x <- x - lr * weight_decay * x (AdamW).
    """

    def __init__(
        self,
        groups: Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def move(self, parameter: Tensor, gradient: Tensor, moments: dict[str, Tensor], group: Group) -> None:
        if group["weight_decay"]:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        mean, root, weight = _moved(parameter, gradient, moments, group)
        parameter.addcdiv_(mean, root, value=-group["lr"] / weight)


class Lamb(Adam):
    """Adam whose step on a tensor is as long as the learning rate times the tensor's norm.

    r = m' / (sqrt(v') + eps) + weight_decay * x;   x <- x - lr * (||x|| / ||r||) r;   the ratio is 1 where a norm is 0.
    """

    def __init__(
        self,
        groups: Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(groups, lr, betas, eps, weight_decay)

    def move(self, parameter: Tensor, gradient: Tensor, moments: dict[str, Tensor], group: Group) -> None:
        mean, root, weight = _moved(parameter, gradient, moments, group)
        move = mean / weight / root + group["weight_decay"] * parameter
        sizes = parameter.norm(), move.norm()
        ratio = sizes[0] / sizes[1] if min(sizes) > 0 else 1.0
        parameter.sub_(group["lr"] * ratio * move)


def _moved(
    parameter: Tensor, gradient: Tensor, moments: dict[str, Tensor], group: Group
) -> tuple[Tensor, Tensor, float]:
    """Adam's moments after a step: the first, not corrected, sqrt(v') + eps, and what the first is divided by."""
    if not moments:
        moments["step"] = torch.zeros(())
        moments["exp_avg"], moments["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    moments["step"] += 1
    first, second = group["betas"]
    count = moments["step"].item()
    moments["exp_avg"].lerp_(gradient, 1 - first)
    moments["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
    root = (moments["exp_avg_sq"].sqrt() / (1 - second**count) ** 0.5).add_(group["eps"])
    return moments["exp_avg"], root, 1 - first**count
