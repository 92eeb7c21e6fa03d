"""The table of students and the config that chooses one. A new one is a function in `engine/nets` and a line here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from engine.core.options import Config, option


@dataclass(frozen=True)
class StudentCard:
    """An architecture that can be chosen.

    builder: "module.function" in `engine.nets`, which takes a StudentConfig and a TaskSpec and returns an nn.Module.
    options: fields of StudentConfig that it reads, besides `precision` and `init`. takes: the kinds of data it accepts.
    in_full: the title with its settings, as papers write it; the title alone if empty.
    """

    key: str
    title: str
    builder: str
    options: tuple[str, ...] = ()
    takes: tuple[Literal["images", "prices"], ...] = ("images",)
    in_full: str = ""

    def named(self, config: StudentConfig) -> str:
        """The title with settings: "ConvNet-D3"."""
        return self.in_full.format(config) if self.in_full else self.title


CONVNET = ("depth", "width", "growth", "norm", "activation", "pooling")
RECURRENT = ("depth", "width")
BARS: tuple[Literal["prices"]] = ("prices",)
CARDS = (
    StudentCard("convnet", "ConvNet", "convnet.build", CONVNET, in_full="ConvNet-D{0.depth}"),
    StudentCard("lenet", "LeNet", "classics.lenet"),
    StudentCard("alexcifarnet", "AlexCifarNet", "classics.alexcifarnet"),
    StudentCard("mlp", "MLP 256-128", "classics.mlp", ("activation",), ("images", "prices")),
    StudentCard("simpleconvnet", "SimpleConvNet", "classics.simple_convnet"),
    StudentCard("convnetrgb", "ConvNetRGB", "classics.convnet_rgb"),
    StudentCard("alexnet", "AlexNet", "classics.alexnet"),
    StudentCard("vgg11", "VGG11", "classics.vgg11", ("norm",)),
    StudentCard("resnet18", "ResNet18", "resnet.strided", ("norm",)),
    StudentCard("resnet18_ap", "ResNet18-AP", "resnet.average_pooled", ("norm",)),
    StudentCard("lstm", "LSTM", "sequence.lstm", RECURRENT, BARS),
    StudentCard("gru", "GRU", "sequence.gru", RECURRENT, BARS),
    StudentCard("transformer", "Transformer", "sequence.transformer", (*RECURRENT, "heads"), BARS),
    StudentCard("linear", "Linear", "sequence.linear", (), BARS),
)
STUDENTS = {card.key: card for card in CARDS}


@dataclass(frozen=True)
class Pool:
    """ConvNets that differ in one option of `StudentConfig`, to test a set with."""

    title: str
    option: str
    values: tuple[str | int, ...]


POOLS = {
    "pool:width": Pool("ConvNets of several widths", "width", (32, 64, 128, 256)),
    "pool:depth": Pool("ConvNets of several depths", "depth", (1, 2, 3, 4)),
    "pool:norm": Pool("ConvNets with each normalisation", "norm", ("none", "batch", "layer", "instance", "group")),
    "pool:activation": Pool("ConvNets with each activation", "activation", ("sigmoid", "relu", "leaky_relu", "swish")),
    "pool:pooling": Pool("ConvNets with each pooling", "pooling", ("none", "max", "average")),
}
"""Modes W, D, N, A and P of `get_eval_pool` in the code of DC, DSA and DM (Zhao et al. 2021, arXiv:2006.05929). There a
layer norm has a weight for each pixel, here for each channel."""


def students_for(kind: str) -> tuple[str, ...]:
    """What a set of a kind of data ("images", "prices") can be tested with: keys of students and of pools."""
    return (*(key for key, card in STUDENTS.items() if kind in card.takes), *(POOLS if kind == "images" else ()))


def title_of(key: str) -> str:
    """The title of a student without its settings, of a pool, or of one of its members: "ConvNet, depth 2"."""
    name, comma, change = key.partition(", ")
    known = POOLS.get(name) or STUDENTS.get(name)
    return f"{known.title}{comma}{change.replace('_', ' ')}" if known else key


if TYPE_CHECKING:
    StudentName = str  # a type checker cannot read a Literal that is made from the table
else:
    StudentName = Literal[tuple(STUDENTS)]


_advanced = partial(option, advanced=True)


def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """The condition that the chosen student reads the option `name`."""
    return "name", tuple(card.key for card in CARDS if name in card.options)


class StudentConfig(Config):
    """The network that is trained on the synthetic set."""

    name: StudentName = option("convnet", label="Student", among="students")
    """Network to train on the synthetic set; VGG11 and both ResNets are slow on a CPU."""
    depth: int = _advanced(3, low=1, high=8, when=_read("depth"))
    """Blocks of a ConvNet, layers of a sequence network."""
    width: int = _advanced(64, low=4, high=1024, when=_read("width"))
    """Channels of a ConvNet's first block, hidden units of a sequence network."""
    heads: int = _advanced(4, low=1, high=16, when=_read("heads"))
    """Attention heads; the width must be a multiple of it."""
    growth: int = _advanced(1, low=1, high=4, when=_read("growth"))
    """Channels of each block relative to the block before."""
    norm: Literal["instance", "batch", "layer", "group", "none"] = _advanced("instance", when=_read("norm"))
    """Normalisation after each convolution."""
    activation: Literal["relu", "leaky_relu", "sigmoid", "softplus", "swish"] = _advanced(
        "relu", when=_read("activation")
    )
    """Activation function."""
    pooling: Literal["average", "max", "none"] = _advanced("average", when=_read("pooling"))
    """Pooling at the end of each block; halves the image."""
    precision: Literal["float32", "tf32", "bfloat16"] = _advanced("float32")
    """Exact; TF32 on a GPU, faster and coarser; or bfloat16 wherever no meta-gradient is taken, with float32 weights,
    where the processor or card has instructions for it."""
    init: Literal["default", "xavier", "kaiming", "orthogonal"] = _advanced("xavier", label="Weight initialisation")
    """Distribution of the initial weights."""


def members(key: str, config: StudentConfig) -> dict[str, StudentConfig]:
    """{"convnet, depth 2": config, ...} of a pool, or of one student; other settings as in `config`."""
    pool = POOLS.get(key)
    if pool is None:
        return {key: config.model_copy(update={"name": key})}
    changes = {f"convnet, {pool.option} {value}": {pool.option: value} for value in pool.values}
    return {name: config.model_copy(update={"name": "convnet"} | change) for name, change in changes.items()}
