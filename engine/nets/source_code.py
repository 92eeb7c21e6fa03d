"""A student as plain PyTorch source, for exported programs."""

import inspect
import re
import sys

from torch import nn

from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets import make_student
from engine.nets.layers import Convolution, InstanceNorm
from engine.nets.resnet import Residual
from engine.nets.sequence import QuickGRU, QuickLSTM

PACKAGE = "engine.nets."
# defaults that a layer's repr spells out
OF_POOLING, OF_FLATTEN = ", padding=0, dilation=1, ceil_mode=False", "start_dim=1, end_dim=-1"
OF_NORMS = (", eps=1e-05", ", momentum=0.1", ", affine=True", ", elementwise_affine=True")
DEFAULTS = (", stride=(1, 1)", OF_POOLING, OF_FLATTEN, *OF_NORMS, ", bias=True")
FASTER = (Convolution, InstanceNorm, QuickLSTM, QuickGRU)
"""Faster versions of their base classes, which are written instead."""
DRAWN_BY_GATE = """\
        for gate in layer.weight.data.chunk(getattr(layer, "num_gates", 1)):
            {}(gate)
        layer.weight.data *= getattr(layer, "gain", 1)"""
"""How the weights of their layers are initialised."""
INITIALISERS = {"xavier": "xavier_normal_", "kaiming": "kaiming_normal_", "orthogonal": "orthogonal_"}


def network(config: StudentConfig, spec: TaskSpec) -> str:
    """The expression `nn.Sequential(...)` of a student, one layer per line.

    Layers of our own are written by name; `definitions` gives their source. Raises ConfigError if the samples do not
    fit the architecture, TypeError for layers of other packages.
    """
    return _written(make_student(config, spec).module, "")


def definitions(network: str) -> str:
    """The source of our own classes that a network's text uses, directly or not; may be empty."""
    text, found = network, set[type[nn.Module]]()
    while new := [kind for kind in _classes() if kind not in found and _names(text, kind)]:
        found.update(new)
        text += "".join(map(inspect.getsource, new))
    named = [inspect.getsource(kind) for kind in _classes() if kind in found]
    return "\n\n" + "\n\n".join(named) + "\n\n" if named else ""


def drawn_network(config: StudentConfig, spec: TaskSpec, seed: int) -> str:
    """The lines that build `net` with the weights that `Student.init` draws at this seed. Raises as `network` does."""
    text = network(config, spec)
    classes = definitions(text)
    built, seeded = f"net = {text}\n", f"torch.manual_seed({seed})\n"
    if config.init not in INITIALISERS:  # PyTorch initialises layers as it makes them
        return classes + seeded + built
    drawn = f"nn.init.{INITIALISERS[config.init]}"
    has_parts = re.search("num_gates|gain = ", classes)
    drawing = DRAWN_BY_GATE.format(drawn) if has_parts else f"        {drawn}(layer.weight)"
    return (
        f"{classes}{built}{seeded}"
        "for layer in net.modules():\n"
        "    if isinstance(layer, (nn.Conv2d, nn.Linear)):\n"
        f"{drawing}\n"
        "        if layer.bias is not None:\n"
        "            nn.init.zeros_(layer.bias)\n"
    )


def _classes() -> list[type[nn.Module]]:
    """The layers defined in `engine.nets`, in the order of their modules and lines."""
    modules = [(name, vars(module)) for name, module in sorted(sys.modules.items()) if name.startswith(PACKAGE)]
    found = [(name, kind) for name, values in modules for kind in values.values() if inspect.isclass(kind)]
    return [kind for name, kind in found if kind.__module__ == name and issubclass(kind, nn.Module)]


def _names(text: str, kind: type[nn.Module]) -> bool:
    """Whether a text makes a layer of a class, or a class derived from it."""
    return bool(re.search(rf"(?<![.\w]){kind.__name__}\(|\({kind.__name__}\):", text))


def _written(layer: nn.Module, indent: str) -> str:
    """A layer as code, with the arguments that its `extra_repr` says; its parts, if any, one per line."""
    if isinstance(layer, nn.Sequential | Residual):
        inner, name = f"{indent}    ", "Residual" if isinstance(layer, Residual) else "nn.Sequential"
        parts = "".join(f"{inner}{_written(part, inner)},\n" for part in layer.children())
        return f"{name}(\n{parts}{indent})" if parts else f"{name}()"
    kind = type(layer).__mro__[1 if type(layer) in FASTER else 0]
    is_ours = kind.__module__.startswith(PACKAGE)
    if not is_ours and (not kind.__module__.startswith("torch.") or list(layer.children())):
        raise TypeError(f"{kind.__name__} is not a plain PyTorch layer and cannot be exported")
    text = f"{kind.__name__}({layer.extra_repr()})".replace(", track_running_stats=False", ", momentum=None")
    for said in DEFAULTS:
        text = text.replace(said, "")
    return text if is_ours else f"nn.{text}"
