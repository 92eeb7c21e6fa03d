"""A student: a network as a pure function of one flat parameter vector.

`student(theta, inputs)` keeps no state, so theta may come from a differentiable inner loop. With one vector (P,),
update rules, distances between trajectories and checkpoints are single operations.
"""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from engine.data.source import LabelledSet
from engine.nets import statistics

NORMS = (nn.GroupNorm, nn.BatchNorm2d, nn.LayerNorm)


class Student:
    """`student(theta, inputs)`: theta (P,) float, inputs (N, *sample_shape) -> logits (N, num_outputs).

    Networks have no dropout and no running statistics: inside an inner loop a student must depend only on its weights.
    Batch norms use the statistics of the batch there, and those of `fixed` when a trained student is measured or used.
    """

    def __init__(self, module: nn.Sequential, name: str, init: str, device: torch.device | str = "cpu") -> None:
        self.module = module.to(device)
        self.name = name
        self.init_scheme = init
        self.device = torch.device(device)
        self.names = tuple(name for name, _ in module.named_parameters())
        self.shapes = tuple(parameter.shape for parameter in module.parameters())
        self.sizes = tuple(parameter.numel() for parameter in module.parameters())
        self.num_params = sum(self.sizes)
        self.graph_bytes: dict[tuple, int] = {}  # of one inner step, by batch shape (meta/inner.py)

    def __call__(self, theta: Tensor, inputs: Tensor) -> Tensor:
        return functional_call(self.module, self.unflatten(theta), (inputs,))

    @property
    def has_batch_norm(self) -> bool:
        """Whether its outputs depend on the batch."""
        return bool(statistics.batch_norms(self.module))

    def fixed(self, theta: Tensor, data: LabelledSet) -> Callable[[Tensor], Tensor]:
        """The trained network as a function of each sample: inputs (N, *sample_shape) -> (N, num_outputs).

        data: the samples it was trained on, on which the statistics of batch norms are fixed. If it has batch norms,
        the result is a copy of the module.
        """
        if not self.has_batch_norm:
            return partial(self, theta)
        network = statistics.with_statistics(copy.deepcopy(self.module)).to(self.device)
        network.load_state_dict(self.unflatten(theta), strict=False)
        statistics.fix_statistics(network, statistics.pieces_of(data))
        return network

    def weights(self, theta: Tensor, data: LabelledSet) -> dict[str, Tensor]:
        """The weights of `fixed` by name, with the statistics of batch norms, on the CPU."""
        network = self.fixed(theta, data)
        found = network.state_dict() if isinstance(network, nn.Module) else self.unflatten(theta)
        return {name: value.detach().cpu().clone() for name, value in found.items()}

    def features(self, theta: Tensor, inputs: Tensor) -> Tensor:
        """Inputs of the last layer (N, D), for theta (P,) and inputs (N, *sample_shape)."""
        trunk, weights = self.module[:-1], self.unflatten(theta)
        return functional_call(trunk, {name: weights[name] for name, _ in trunk.named_parameters()}, (inputs,))

    def unflatten(self, theta: Tensor) -> dict[str, Tensor]:
        """Views of theta (P,) by parameter name."""
        parts = theta.split(self.sizes)
        return {name: part.view(shape) for name, part, shape in zip(self.names, parts, self.shapes, strict=True)}

    def flops(self, sample_shape: tuple[int, ...]) -> int:
        """Floating-point operations of the forward pass of one sample."""
        inputs = torch.zeros(1, *sample_shape, device=self.device)
        with torch.no_grad(), _FlopCounter() as counter:
            self.module(inputs)
        return counter.total

    def init(self, generator: torch.Generator) -> Tensor:
        """Initial weights (P,) float32, drawn on the CPU from `generator`, then moved to the student's device."""
        drawn = []
        for module in self.module.modules():
            own = dict(module.named_parameters(recurse=False))
            if isinstance(module, NORMS):
                drawn += [torch.full(p.shape, 1.0 if name == "weight" else 0.0) for name, p in own.items()]
            elif own:
                gates = own["weight"].shape[0] // getattr(module, "num_gates", 1)  # each gate is drawn as its own layer
                parts = torch.empty(own["weight"].shape).split(gates)
                weight = torch.cat([_draw(part, self.init_scheme, generator) for part in parts])
                gain = getattr(module, "gain", 1.0)
                drawn.append(gain * weight)
                if "bias" in own:
                    drawn.append(gain * _draw_bias(torch.empty(own["bias"].shape), weight, self.init_scheme, generator))
        return torch.cat([part.flatten() for part in drawn]).to(self.device)


class _FlopCounter(TorchDispatchMode):
    """Adds up PyTorch's formulas. Its own FlopCounterMode imports its compiler, which takes seconds."""

    total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or the compiler would be imported to leave this class out

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **(kwargs or {}), out_val=found)
        return found


def _draw(weight: Tensor, scheme: str, generator: torch.Generator) -> Tensor:
    if scheme == "xavier":
        return nn.init.xavier_normal_(weight, generator=generator)
    if scheme == "kaiming":
        return nn.init.kaiming_normal_(weight, generator=generator)
    if scheme == "orthogonal":
        return nn.init.orthogonal_(weight, generator=generator)
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)  # PyTorch's own default


def _draw_bias(bias: Tensor, weight: Tensor, scheme: str, generator: torch.Generator) -> Tensor:
    if scheme != "default":
        return nn.init.zeros_(bias)
    bound = 1 / math.sqrt(weight[0].numel())
    return nn.init.uniform_(bias, -bound, bound, generator=generator)
