"""The layers of students of windows, written plainly; exported programs contain this source."""

import torch
from torch import nn


class Gates(nn.Linear):
    """(N, inputs) -> (N, num_gates * width), with each gate's weights drawn as a separate layer."""

    def __init__(self, num_inputs, width, num_gates, bias=True):
        super().__init__(num_inputs, num_gates * width, bias)
        self.num_gates = num_gates


class Recurrent(nn.Module):
    """The weights W, b and U of a layer with a state h of every bar, (N, T, inputs) -> (N, T, width)."""

    def __init__(self, num_inputs, width):
        super().__init__()
        self.read = Gates(num_inputs, width, self.num_gates)
        self.recall = Gates(width, width, self.num_gates, bias=False)

    def extra_repr(self):
        return f"{self.read.in_features}, {self.recall.in_features}"


class LSTM(Recurrent):
    """c' = f c + i g and h' = o tanh(c'), with g = tanh(.) and i, f, o = sigmoid(.) of W x + U h + b.

    f has 1 added to it before the sigmoid, so that a new network remembers.
    """

    num_gates = 4

    def forward(self, x):
        h = c = x.new_zeros(len(x), self.recall.in_features)
        states = []
        for read in self.read(x).unbind(1):
            g, i, f, o = (read + self.recall(h)).chunk(4, 1)
            c = (f + 1).sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            states.append(h)
        return torch.stack(states, 1)


class GRU(Recurrent):
    """h' = (1 - z) n + z h, with r, z = sigmoid(W x + U h + b) and n = tanh(W x + b + r U h)."""

    num_gates = 3

    def forward(self, x):
        h = x.new_zeros(len(x), self.recall.in_features)
        states = []
        for read in self.read(x).unbind(1):
            (a_r, a_z, a_n), (b_r, b_z, b_n) = read.chunk(3, 1), self.recall(h).chunk(3, 1)
            n = (a_n + (a_r + b_r).sigmoid() * b_n).tanh()
            h = n + (a_z + b_z).sigmoid() * (h - n)
            states.append(h)
        return torch.stack(states, 1)


class Head(nn.Linear):
    """The last layer, initialised at a tenth of the usual size: a new network forecasts about the mean target."""

    gain = 0.1

    def reset_parameters(self):
        super().reset_parameters()
        with torch.no_grad():
            self.weight *= self.gain
            self.bias *= self.gain


class LastBar(nn.Module):
    """The last bar, (N, T, width) -> (N, width)."""

    def forward(self, x):
        return x[:, -1]


class Positions(nn.Module):
    """Adds sin and cos of the position, at wavelengths from 2 pi to 20,000 pi bars; (N, T, width) -> the same shape."""

    def __init__(self, num_bars, width):
        super().__init__()
        angles = torch.arange(num_bars)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
        waves = torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :width]
        self.register_buffer("waves", waves, persistent=False)

    def extra_repr(self):
        return "{}, {}".format(*self.waves.shape)

    def forward(self, x):
        return x + self.waves


class EncoderLayer(nn.Module):
    """Pre-norm attention over all bars, then a feed-forward layer, both residual.

    (N, T, width) -> the same shape; (N, 1, width) with for_last, where only the last bar queries.
    """

    def __init__(self, width, num_heads, for_last):
        super().__init__()
        self.num_heads, self.for_last = num_heads, for_last
        self.before_attention = nn.LayerNorm(width)
        self.ask = nn.Linear(width, width)
        self.answer = Gates(width, width, 2)
        self.mix = nn.Linear(width, width)
        self.before_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def extra_repr(self):
        return f"{self.ask.in_features}, {self.num_heads}, for_last={self.for_last}"

    def forward(self, x):
        bars = self.before_attention(x)
        asking = slice(-1, None) if self.for_last else slice(None)
        x = x[:, asking] + self.mix(self.attention(bars[:, asking], bars))
        return x + self.feed(self.before_feed(x))

    def attention(self, asking, bars):
        query, key, value = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for part in (self.ask(asking), *self.answer(bars).chunk(2, 2))
        )
        weights = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(3)  # (N, heads, asking, T)
        return (weights @ value).transpose(1, 2).flatten(2)
