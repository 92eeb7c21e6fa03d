"""The pool of inner networks, which train on the synthetic set as it changes and are reinitialised after a while.

A set judged by a single network would overfit to it. The pool holds L networks of different ages. Each outer step picks
one at random and afterwards trains it one step further.

Source: Zhou et al. 2022 (FRePo, arXiv:2206.00719), Algorithm 1; used by KRR-ST, Lee et al. 2024, arXiv:2310.06511,
section 3.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from engine.core.errors import Diverged
from engine.meta.inner import Loss
from engine.meta.update_rules import State, UpdateRule
from engine.nets.student import Student

STATES = ("velocities", "squares", "counts of Adam")
"""What a rule keeps of all networks, by the names that checkpoints use."""


class Streams(Protocol):
    """Random streams by name; a run's context is one."""

    def stream(self, *names: str | int) -> torch.Generator: ...


@dataclass(frozen=True)
class Life:
    """How the networks of a pool live.

    size: networks (L). steps: age at which one is reinitialised. rule, lr: how they train. batch: samples per step, 0
    for all. clip: largest norm of a gradient, 0 for no limit. ages: of the first networks: "trained" to ages spread
    evenly over a lifetime, "counted" as if they had been (FRePo), or all "new".
    """

    size: int
    steps: int
    rule: UpdateRule
    lr: float
    batch: int = 0
    clip: float = 0.0
    ages: str = "counted"

    def first_ages(self, streams: Streams) -> list[int]:
        """The ages of the first networks: all 0, or spread evenly over a lifetime in random order."""
        if self.ages == "new":
            return [0] * self.size
        order = torch.randperm(self.size, generator=streams.stream("ages"))
        return [int(place) * self.steps // self.size for place in order]

    def warm_up_ages(self, streams: Streams) -> list[int]:
        """The steps that each of the first networks trains before the first outer step."""
        return self.first_ages(streams) if self.ages == "trained" else [0] * self.size


@dataclass
class Member:
    """One network: weights (P,), what the rule keeps, its training steps, and how often it was reinitialised."""

    theta: Tensor
    state: State
    age: int = 0
    life: int = 0


class Pool:
    """The networks. Their random draws depend only on the run's seed and on their own counts."""

    def __init__(self, network: Student, life: Life, loss: Loss, streams: Streams) -> None:
        self._network, self._life, self._loss, self._streams = network, life, loss, streams
        self.members = [self._fresh(number, 0) for number in range(life.size)]
        if life.ages == "counted":
            for member, age in zip(self.members, life.first_ages(streams), strict=True):
                member.age = age

    def warm_up(self, inputs: Tensor, targets: Tensor) -> Iterator[int]:
        """Train each network to its initial age on inputs (n, C, H, W) and targets. Yields the steps done so far."""
        done = 0
        for number, age in enumerate(self._life.warm_up_ages(self._streams)):
            for _ in range(age):
                self.train(number, inputs, targets)
                done += 1
                yield done

    def pick(self, step: int) -> int:
        """The network used in an outer step."""
        return int(torch.randint(len(self.members), (), generator=self._streams.stream("pool", step)))

    def features(self, number: int, inputs: Tensor) -> Tensor:
        """Features (n, D) of images (n, C, H, W) from one network; differentiable in the images."""
        return self._network.features(self.members[number].theta, inputs)

    def quick_features(self, number: int, inputs: Tensor) -> Tensor:
        """The same without a graph, in the network's quick type."""
        return self._network.quick_features(self.members[number].theta, inputs)

    def train(self, number: int, inputs: Tensor, targets: Tensor) -> float:
        """Train one network for one step on inputs (n, C, H, W) and targets, reinitialised first if it is too old.

        Returns the loss. Raises Diverged if the gradient is not finite.
        """
        life, member = self._life, self.members[number]
        if member.age >= life.steps:
            member = self.members[number] = self._fresh(number, member.life + 1)
        if life.batch and life.batch < len(inputs):
            generator = self._streams.stream("inner", number, member.life, member.age)
            chosen = torch.randperm(len(inputs), generator=generator)[: life.batch].to(inputs.device)
            inputs, targets = inputs[chosen], targets[chosen]
        theta = member.theta.requires_grad_()
        loss = self._loss(self._network.quick(theta, inputs), targets)
        (gradient,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            norm = gradient.norm()
            if not torch.isfinite(norm):
                message = f"The gradient of inner network {number + 1} became infinite or NaN after {member.age} steps."
                raise Diverged(f"{message} Lower the inner learning rate.", quantity="inner gradient", step=0)
            if life.clip and norm > life.clip:
                gradient = gradient * (life.clip / norm)
            theta, member.state = life.rule.apply(theta, gradient, member.state, life.lr)
            member.theta = theta.detach()
        member.age += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        """Copies of all networks, {name: tensor}, for `load_state`."""
        kept = zip(STATES, zip(*(member.state for member in self.members), strict=True), strict=False)
        return {
            "pool.thetas": torch.stack([member.theta.detach() for member in self.members]),
            "pool.counts": torch.tensor([[member.age, member.life] for member in self.members]),
            **{f"pool.{name}": torch.stack(parts) for name, parts in kept},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the networks from what `state` returned."""
        names = [name for name in STATES if f"pool.{name}" in state]
        thetas, *kept = (state[f"pool.{name}"].to(self._network.device) for name in ("thetas", *names))
        states = zip(*kept, strict=True) if kept else [()] * len(thetas)
        counts = state["pool.counts"].tolist()
        self.members = [Member(*parts, *count) for *parts, count in zip(thetas, states, counts, strict=True)]

    def _fresh(self, number: int, life: int) -> Member:
        theta = self._network.init(self._streams.stream("inner start", number, life))
        return Member(theta, self._life.rule.init(theta), life=life)
