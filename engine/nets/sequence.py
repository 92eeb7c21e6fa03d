"""Students of windows (N, T, F): LSTM, GRU, Transformer, and a linear model as the simplest forecaster.

Published: width 64, two layers, T = 30, F = 5, one output; the LSTM has 51,521 weights, the Transformer 562,753. Ours
have 51,009, with one bias per layer instead of PyTorch's two, and 100,545, with feed-forward layers of four times the
width instead of 2,048. Neither has dropout, so that the inner loop is deterministic. The Transformer is pre-norm, which
needs no warm-up. Recurrence and attention are our own because PyTorch's fast ones have no second derivative.
"""

import math

import torch
from torch import Tensor, nn

from engine.core.errors import ConfigError
from engine.core.students import StudentConfig
from engine.data.source import TaskSpec
from engine.nets import recurrence
from engine.nets.sequence_layers import GRU, LSTM, EncoderLayer, Head, LastBar, Positions, Recurrent


def lstm(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """`depth` LSTM layers of `width` hidden units; the last layer reads the state at the last bar."""
    return _recurrent(QuickLSTM, config, spec)


def gru(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """The same with GRU layers."""
    return _recurrent(QuickGRU, config, spec)


def transformer(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """Bars embedded in `width` values, sinusoidal positions, `depth` encoder layers; the last layer reads the last bar.

    Source: Vaswani et al. 2017 (arXiv:1706.03762). Raises ConfigError unless the width is a multiple of the heads.
    """
    num_bars, num_features = window_shape(spec, "transformer")
    if config.width % config.heads:
        problem = f"The transformer's width ({config.width}) is not a multiple of its {config.heads} heads."
        raise ConfigError(f"{problem} Change one of them.")
    layers = [EncoderLayer(config.width, config.heads, layer + 1 == config.depth) for layer in range(config.depth)]
    embedding = nn.Linear(num_features, config.width), Positions(num_bars, config.width)
    return nn.Sequential(
        *embedding, *layers, LastBar(), nn.LayerNorm(config.width), Head(config.width, spec.num_outputs)
    )


def linear(config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    """One linear layer on all values of a window."""
    return nn.Sequential(nn.Flatten(), Head(math.prod(window_shape(spec, "linear")), spec.num_outputs))


def window_shape(spec: TaskSpec, name: str) -> tuple[int, int]:
    """(T, F) of the samples. Raises ConfigError if they are not windows of price bars."""
    if len(spec.sample_shape) != 2:
        problem = f"Student '{name}' takes windows of price bars, but these samples have shape {spec.sample_shape}."
        raise ConfigError(f"{problem} Choose another student.")
    num_bars, num_features = spec.sample_shape
    return num_bars, num_features


def _recurrent(layer: type[Recurrent], config: StudentConfig, spec: TaskSpec) -> nn.Sequential:
    _, num_inputs = window_shape(spec, config.name)
    sizes = [num_inputs, *[config.width] * config.depth]
    layers = [layer(*pair) for pair in zip(sizes[:-1], sizes[1:], strict=True)]
    return nn.Sequential(*layers, LastBar(), Head(config.width, spec.num_outputs))


class QuickLSTM(LSTM):
    """LSTM with the whole recurrence as one function."""

    def __init__(self, num_inputs: int, width: int) -> None:
        super().__init__(num_inputs, width)
        remembering = torch.tensor([0.0, 0.0, 1.0, 0.0]).repeat_interleave(width)
        self.register_buffer("remembering", remembering, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.read.bias + self.remembering
        gates = nn.functional.linear(x.transpose(0, 1), self.read.weight, bias)  # (T, N, 4 width)
        return recurrence.lstm(gates, self.recall.weight).transpose(0, 1)


class QuickGRU(GRU):
    """GRU with the whole recurrence as one function."""

    def forward(self, x: Tensor) -> Tensor:
        return recurrence.gru(self.read(x.transpose(0, 1)), self.recall.weight).transpose(0, 1)
