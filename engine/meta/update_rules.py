"""Update rules of the inner loop: pure, out of place, differentiable in everything.

A rule is `init(theta) -> state` and `apply(theta, gradient, state, lr) -> (theta, state)`; theta and gradient are flat
(P,), state is a tuple of tensors, lr a 0-dimensional tensor or a float. With `eps_root=0` each equals its `torch.optim`
namesake.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

State = tuple[Tensor, ...]


class UpdateRule(NamedTuple):
    """How weights move on a gradient. `name` is the key in `BY_NAME`."""

    name: str
    init: Callable[[Tensor], State]
    apply: Callable[[Tensor, Tensor, State, Tensor | float], tuple[Tensor, State]]


def sgd() -> UpdateRule:
    """theta <- theta - lr g."""
    return UpdateRule("sgd", lambda theta: (), lambda theta, g, state, lr: (theta - lr * g, ()))


def momentum(mu: float = 0.9, weight_decay: float = 0.0) -> UpdateRule:
    """v <- mu v + g + wd theta; theta <- theta - lr v (the form of torch.optim.SGD, without dampening)."""

    def apply(theta: Tensor, g: Tensor, state: State, lr: Tensor | float) -> tuple[Tensor, State]:
        velocity = mu * state[0] + (g + weight_decay * theta if weight_decay else g)
        return theta - lr * velocity, (velocity,)

    return UpdateRule("momentum", lambda theta: (torch.zeros_like(theta),), apply)


def adam(beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, eps_root: float = 1e-8) -> UpdateRule:
    """m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g^2; theta <- theta - lr m' / (sqrt(v' + eps_root) + eps).

    m' and v' are bias-corrected. eps_root bounds the slope of the square root, infinite at v = 0: without it, a weight
    whose gradient vanishes turns rounding noise into a meta-gradient. 0 gives torch.optim.Adam.
    Source: Kingma & Ba 2015, arXiv:1412.6980, Algorithm 1.
    """

    def init(theta: Tensor) -> State:
        return torch.zeros_like(theta), torch.zeros_like(theta), theta.new_zeros(())

    def apply(theta: Tensor, g: Tensor, state: State, lr: Tensor | float) -> tuple[Tensor, State]:
        m, v, count = state
        count = count + 1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        root = torch.sqrt(v / (1 - beta2**count) + eps_root)
        return theta - lr * (m / (1 - beta1**count)) / (root + eps), (m, v, count)

    return UpdateRule("adam", init, apply)


BY_NAME: dict[str, Callable[[], UpdateRule]] = {"sgd": sgd, "momentum": momentum, "adam": adam}
