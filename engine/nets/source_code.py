"""A student as the text of plain PyTorch, for programs that stand alone."""

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

# what a layer's repr says although it is the layer's default
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
"""Layers that compute what the layer they are made from does."""
ARGUMENTS = {
    LSTM: lambda layer: f"{layer.read.in_features}, {layer.recall.in_features}",
    GRU: lambda layer: f"{layer.read.in_features}, {layer.recall.in_features}",
    Head: lambda layer: f"{layer.in_features}, {layer.out_features}",
    LastBar: lambda layer: "",
    Positions: lambda layer: "{}, {}".format(*layer.waves.shape),
    EncoderLayer: lambda layer: f"{layer.ask.in_features}, {layer.num_heads}, for_last={layer.for_last}",
}
"""What layers of students of windows are made with."""
DEFINED = (Residual, *ARGUMENTS)
"""Classes whose text goes into a program that names them."""
GATED = {LSTM, GRU, EncoderLayer}
"""Those of them that have gates inside."""
DRAWN_BY_GATE = """\
        for gate in layer.weight.data.chunk(getattr(layer, "num_gates", 1)):
            {}(gate)
        layer.weight.data *= getattr(layer, "gain", 1)"""
"""How the weights of their layers are drawn."""
INITIALISERS = {"xavier": "xavier_normal_", "kaiming": "kaiming_normal_", "orthogonal": "orthogonal_"}


def network(config: StudentConfig, spec: TaskSpec) -> str:
    """The expression `nn.Sequential(...)` of a student, a layer a line, for `from torch import nn`.

    Where it has shortcuts or reads bars it names classes whose text `definitions` gives. Raises ConfigError where the samples
    do not fit the architecture, TypeError for a network that is no sequence of plain layers and these.
    """
    module = make_student(config, spec, "cpu").module
    if not isinstance(module, nn.Sequential):
        raise TypeError(f"{config.name} is a {type(module).__name__}; only an nn.Sequential can be written out")
    return _sequence(module, "")


def definitions(network: str) -> str:
    """The classes that the text of a network names besides those of PyTorch; empty where there are none."""
    found = _named(network)
    named = [*([Gates] if found & GATED else []), *(kind for kind in DEFINED if kind in found)]
    return "\n\n" + "\n\n".join(inspect.getsource(kind) for kind in named) + "\n\n" if named else ""


def drawn_network(config: StudentConfig, spec: TaskSpec, seed: int) -> str:
    """The lines that build `net` and draw its weights: those that `Student.init` draws from a generator of this seed.

    Raises as `network` does.
    """
    text = network(config, spec)
    built, seeded = f"net = {text}\n", f"torch.manual_seed({seed})\n"
    if config.init not in INITIALISERS:  # PyTorch's own way: drawn as the layers are made
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
    """Those of DEFINED that the text of a network names."""
    return {kind for kind in DEFINED if re.search(rf"\b(?<!\.){kind.__name__}\(", network)}


def _sequence(layers: nn.Sequential, indent: str) -> str:
    """The layers in order, each on a line of its own."""
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
    """One layer as code; its repr is valid but for the module's name."""
    kind = type(layer)
    if kind in OURS:
        kind = kind.__base__
    if kind in ARGUMENTS:
        return f"{kind.__name__}({ARGUMENTS[kind](layer)})"
    if kind.__module__.partition(".")[0] != "torch" or list(layer.children()):
        raise TypeError(f"{kind.__name__} is no plain layer of PyTorch and cannot be written out")
    text = f"{kind.__name__}({layer.extra_repr()})"
    for said in DEFAULTS:
        text = text.replace(said, "")
    return f"nn.{text}"
