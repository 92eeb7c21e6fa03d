"""The pool of inner networks, which train on the distilled pairs as these change and are reinitialised after a while.

A set judged by a single network would overfit to it. The pool holds L networks of different ages. Each outer step picks
one at random and afterwards trains it one step further.

Source: Zhou et al. 2022 (FRePo, arXiv:2206.00719), as used by KRR-ST, Lee et al. 2024, arXiv:2310.06511, section 3.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.context import Context
from engine.core.errors import Diverged
from engine.methods.selfsup.config import SelfsupConfig
from engine.nets.student import Student


@dataclass
class Member:
    """One inner network: weights and velocity (P,), its training steps, and how often it was reinitialised."""

    theta: Tensor
    velocity: Tensor
    age: int = 0
    life: int = 0


class Pool:
    """`config.pool_size` networks. Their random draws depend only on the run's seed and on their own counts."""

    def __init__(self, encoder: Student, config: SelfsupConfig, context: Context) -> None:
        self._encoder, self._config, self._context = encoder, config, context
        self.members = [self._fresh(number, 0) for number in range(config.pool_size)]

    def warm_up(self, inputs: Tensor, targets: Tensor) -> Iterator[int]:
        """Train each network to its initial age on pairs (n, C, H, W), (n, d). Yields the steps done so far."""
        done = 0
        for number, age in enumerate(warm_up_ages(self._config, self._context)):
            for _ in range(age):
                self.train(number, inputs, targets)
                done += 1
                yield done

    def pick(self, step: int) -> int:
        """The network used in an outer step."""
        return int(torch.randint(len(self.members), (), generator=self._context.stream("pool", step)))

    def features(self, number: int, inputs: Tensor) -> Tensor:
        """Features (n, D) of images (n, C, H, W) from one network; differentiable in the images."""
        return self._encoder.features(self.members[number].theta, inputs)

    def train(self, number: int, inputs: Tensor, targets: Tensor) -> float:
        """Train one network for one SGD step on pairs (n, C, H, W), (n, d), reinitialised first if it is too old.

        Clipping, weight decay and momentum are those of torch.optim.SGD. Returns the mean squared error.
        Raises Diverged if the gradient is not finite.
        """
        config, member = self._config, self.members[number]
        if member.age >= config.pool_steps:
            member = self.members[number] = self._fresh(number, member.life + 1)
        if config.inner_batch and config.inner_batch < len(inputs):
            generator = self._context.stream("inner", number, member.life, member.age)
            chosen = torch.randperm(len(inputs), generator=generator)[: config.inner_batch].to(inputs.device)
            inputs, targets = inputs[chosen], targets[chosen]
        theta = member.theta.requires_grad_()
        loss = F.mse_loss(self._encoder(theta, inputs), targets)
        (gradient,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            norm = gradient.norm()
            if not torch.isfinite(norm):
                message = f"The gradient of inner network {number + 1} became infinite or NaN after {member.age} steps."
                raise Diverged(f"{message} Lower the inner learning rate.", quantity="inner gradient", step=0)
            if config.inner_clip and norm > config.inner_clip:
                gradient = gradient * (config.inner_clip / norm)
            gradient = gradient + config.inner_weight_decay * theta
            member.velocity = config.inner_momentum * member.velocity + gradient
            member.theta = (theta - config.inner_lr * member.velocity).detach()
        member.age += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Copies of all networks, {name: tensor}, for `load_state`."""
        return {
            "pool.thetas": torch.stack([member.theta.detach() for member in self.members]),
            "pool.velocities": torch.stack([member.velocity for member in self.members]),
            "pool.counts": torch.tensor([[member.age, member.life] for member in self.members]),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the networks from what `state` returned."""
        thetas, velocities = (state[f"pool.{name}"].to(self._encoder.device) for name in ("thetas", "velocities"))
        counts = state["pool.counts"].tolist()
        self.members = [Member(*parts, *count) for *parts, count in zip(thetas, velocities, counts, strict=True)]

    def _fresh(self, number: int, life: int) -> Member:
        theta = self._encoder.init(self._context.stream("inner start", number, life))
        return Member(theta, torch.zeros_like(theta), life=life)


def warm_up_ages(config: SelfsupConfig, context: Context) -> list[int]:
    """The initial ages of a pool's networks: all 0, or spread evenly over a lifetime in random order."""
    if not config.prewarm:
        return [0] * config.pool_size
    order = torch.randperm(config.pool_size, generator=context.stream("ages"))
    return [int(place) * config.pool_steps // config.pool_size for place in order]
