"""A student as plain PyTorch source, for exported programs."""

from __future__ import annotations

import inspect
import re

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets import make_student
from engine.nets.layers import AveragePool, Convolution, InstanceNorm
from engine.nets.residual import Residual
from engine.nets.sequence import QuickGRU, QuickLSTM
from engine.nets.sequence_layers import GRU, LSTM, EncoderLayer, Gates, Head, LastBar, Positions

# defaults that a layer's repr spells out
DEFAULTS = (
    ", stride=(1, 1)",
    ", padding=0, dilation=1, ceil_mode=False",
    "start_dim=1, end_dim=-1",
    ", eps=1e-05",
    ", momentum=0.1",
    ", affine=True",
    ", elementwise_affine=True",
    ", bias=True",
)
OURS = (Convolution, InstanceNorm, AveragePool, QuickLSTM, QuickGRU)
"""Faster versions of their base classes, which are written instead."""
ARGUMENTS = {
    LSTM: lambda layer: f"{layer.read.in_features}, {layer.recall.in_features}",
    GRU: lambda layer: f"{layer.read.in_features}, {layer.recall.in_features}",
    Head: lambda layer: f"{layer.in_features}, {layer.out_features}",
    LastBar: lambda layer: "",
    Positions: lambda layer: "{}, {}".format(*layer.waves.shape),
    EncoderLayer: lambda layer: f"{layer.ask.in_features}, {layer.num_heads}, for_last={layer.for_last}",
}
"""The constructor arguments of layers of students of windows."""
DEFINED: tuple[type[nn.Module], ...] = (Residual, *ARGUMENTS)
"""Classes whose source goes into a program that uses them."""
GATED: set[type[nn.Module]] = {LSTM, GRU, EncoderLayer}
"""Those of them that contain gates."""
DRAWN_BY_GATE = """\
        for gate in layer.weight.data.chunk(getattr(layer, "num_gates", 1)):
            {}(gate)
        layer.weight.data *= getattr(layer, "gain", 1)"""
"""How the weights of their layers are initialised."""
INITIALISERS = {"xavier": "xavier_normal_", "kaiming": "kaiming_normal_", "orthogonal": "orthogonal_"}


def network(config: StudentConfig, spec: TaskSpec) -> str:
    """The expression `nn.Sequential(...)` of a student, one layer per line, for `from torch import nn`.

    `definitions` gives the classes it uses besides PyTorch's. Raises ConfigError if the samples do not fit the
    architecture, TypeError for other layers than these.
    """
    return _sequence(make_student(config, spec, "cpu").module, "")


def definitions(network: str) -> str:
    """The source of the classes that a network's text uses besides PyTorch's; may be empty."""
    found = _named(network)
    named = [kind for kind in (Gates, *DEFINED) if kind in found or (kind is Gates and found & GATED)]
    return "\n\n" + "\n\n".join(inspect.getsource(kind) for kind in named) + "\n\n" if named else ""


def drawn_network(config: StudentConfig, spec: TaskSpec, seed: int) -> str:
    """The lines that build `net` and initialise it with the weights that `Student.init` draws at this seed.

    Raises as `network` does.
    """
    text = network(config, spec)
    built, seeded = f"net = {text}\n", f"torch.manual_seed({seed})\n"
    if config.init not in INITIALISERS:  # PyTorch initialises layers as it makes them
        return definitions(text) + seeded + built
    drawn = f"nn.init.{INITIALISERS[config.init]}"
    return (
        f"{definitions(text)}{built}{seeded}"
        "for layer in net.modules():\n"
        "    if isinstance(layer, (nn.Conv2d, nn.Linear)):\n"
        f"{DRAWN_BY_GATE.format(drawn) if _named(text) - {Residual} else f'        {drawn}(layer.weight)'}\n"
        "        if layer.bias is not None:\n"
        "            nn.init.zeros_(layer.bias)\n"
    )


def _named(network: str) -> set[type[nn.Module]]:
    """Those of DEFINED that a network's text uses."""
    return {kind for kind in DEFINED if re.search(rf"\b(?<!\.){kind.__name__}\(", network)}


def _sequence(layers: nn.Sequential, indent: str) -> str:
    """The layers in order, one per line."""
    if not len(layers):
        return "nn.Sequential()"
    inner = f"{indent}    "
    return "nn.Sequential(\n" + "".join(f"{inner}{_written(layer, inner)},\n" for layer in layers) + f"{indent})"


def _written(layer: nn.Module, indent: str) -> str:
    if not isinstance(layer, Residual):
        return _layer(layer)
    inner = f"{indent}    "
    parts = (f"{inner}{_sequence(part, inner)},\n" for part in (layer.inside, layer.shortcut))
    return f"Residual(\n{''.join(parts)}{indent})"


def _layer(layer: nn.Module) -> str:
    """One layer as code; its repr lacks only the module's name."""
    kind = type(layer).__mro__[1 if type(layer) in OURS else 0]
    if kind in ARGUMENTS:
        return f"{kind.__name__}({ARGUMENTS[kind](layer)})"
    if kind.__module__.partition(".")[0] != "torch" or list(layer.children()):
        raise TypeError(f"{kind.__name__} is not a plain PyTorch layer and cannot be exported")
    text = f"{kind.__name__}({layer.extra_repr()})"
    for said in DEFAULTS:
        text = text.replace(said, "")
    return f"nn.{text}"
