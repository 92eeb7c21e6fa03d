"""From price bars to windows with targets, split by date, without look-ahead.

The time from the first to the last bar of all tokens is cut at two dates, the same for every token: train | validation
| test. After each date, an embargo of window + horizon bars is left out. A window and its target lie within one part.
Scales are fitted on training bars and training targets only.
"""

import hashlib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.data_config import WindowConfig
from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.prices.bars import Bars
from engine.data.prices.kept import digest_of
from engine.data.prices.scaling import WindowScaling, fitted
from engine.data.source import NUM_OUTPUTS, LabelledSet, Splits, TaskSpec

RECIPE = 2  # part of every fingerprint; raise it when this module changes what it makes of the same bars
PARTS = ("train", "validation", "test")
LEAST_TRAINING = 10  # windows per token
CLOSE = 3  # its column in a bar


@dataclass(frozen=True)
class WindowSet(LabelledSet):
    """Windows of price bars. inputs: (N, T, F) float32 as a student sees them. targets: (N, D) float32.

    tokens: (N,) int64. ends: (N,) int64, unix seconds at which a window's last bar begins. anchors: (N,) float64, that
    bar's close, from which forecasts start. last_value: (N, D) float32, targets as the last-value forecast predicts
    them.
    """

    tokens: Tensor
    ends: Tensor
    anchors: Tensor
    last_value: Tensor

    @property
    def raw_bytes(self) -> int:
        """Bytes of the windows with their targets, 2 per value; a bar counts once for every window it is in."""
        return 2 * (self.inputs.numel() + self.targets.numel())


@dataclass(frozen=True, kw_only=True)
class WindowSplits(Splits):
    """Splits of price histories. borders: unix seconds at which validation and test begin, each with its embargo."""

    train: WindowSet
    validation: WindowSet
    test: WindowSet
    scaling: WindowScaling
    bars: tuple[Bars, ...]
    borders: tuple[int, int]
    config: WindowConfig

    @property
    def preparation(self) -> WindowScaling:
        """What a result stores to be shown and used later."""
        return self.scaling


@dataclass(frozen=True)
class _Token:
    """The history of a token, and where its windows are. bounds: see `part_bounds`."""

    bars: Bars
    bounds: dict[str, tuple[int, int]]
    config: WindowConfig

    @cached_property
    def moves(self) -> np.ndarray:
        """(n,) log(close[t + horizon] / close[t]), NaN where there is no such bar."""
        close, horizon = np.log(self.bars.prices[:, CLOSE]), self.config.horizon
        return np.append(close[horizon:] - close[:-horizon], np.full(horizon, np.nan))

    def lasts(self, part: str) -> np.ndarray:
        """The last bar of every window of a part. The very first bar has no close before it, so it starts no window."""
        first, end = self.bounds[part]
        before = self.config.window_length - 1
        return np.arange(first + (part == "train") + before, end - self.config.horizon, self.config.stride)

    def check(self, title: str) -> None:
        """Raise DataError if a part is too short for its windows, or the close never changes in training."""
        length, horizon, stride = self.config.window_length, self.config.horizon, self.config.stride
        for part, (first, end) in self.bounds.items():
            lead = int(part == "train")
            needed = max(LEAST_TRAINING, 1 + -(-length // stride)) if lead else 1
            wanted = length + horizon + (needed - 1) * stride + lead
            if end - first < wanted:
                purpose, share = ("training", "validation or test") if lead else (part, part)
                has = f"{self.bars.token} has {end - first:,} bars for {purpose}"
                need = f"a window of {length} and a horizon of {horizon} need {wanted:,}"
                instead = f"Choose a shorter window or horizon, another share for {share}, or use more bars."
                raise DataError(f"{title}: {has}, but {need}. {instead}")
        closes = self.bars.prices[slice(*self.bounds["train"]), CLOSE]
        if (closes == closes[0]).all():
            constant = f"the close of {self.bars.token} is {closes[0]:.10g} in every training bar"
            instead = "Choose smaller shares for validation and test, or remove the token."
            raise DataError(f"{title}: {constant}. {instead}")


def prepare_windows(
    bars: Sequence[Bars], title: str, key: str, config: WindowConfig
) -> Generator[Event, None, WindowSplits]:
    """Split, scale and window price histories. Raises DataError: too few bars in a part, or the close never changes."""
    yield Progress(f"prepare {title}", 0, 2)
    borders = split_times(bars, config)
    tokens = [_Token(each, part_bounds(each, borders, config.embargo), config) for each in bars]
    for token in tokens:
        token.check(title)
    train_moves = [token.moves[token.lasts("train")] for token in tokens]
    share = _is_up(np.concatenate(train_moves), config).mean()
    if config.target in ("direction", "both") and share in (0, 1):
        always = f"the close {'always' if share else 'never'} counts as up in training"
        instead = "so there is no direction to learn. Choose a threshold nearer to 0, or another target."
        raise DataError(f"{title}: with a threshold of {100 * config.threshold:g} % {always}, {instead}")
    train_bars = [token.bars.table[slice(*token.bounds["train"])] for token in tokens]
    train_values = [_value(moves, config) for moves in train_moves]
    scaling = fitted(train_bars, train_values, config.features, config.target == "direction")
    yield Progress(f"prepare {title}", 1, 2)
    train, validation, test = (_window_set(tokens, part, scaling, config) for part in PARTS)
    shape, names = tuple(train.inputs.shape[1:]), tuple(each.token for each in bars)
    said = json.dumps([RECIPE, key, config.model_dump(mode="json"), digest_of(bars)], sort_keys=True)
    yield Progress(f"prepare {title}", 2, 2)
    return WindowSplits(
        train=train,
        validation=validation,
        test=test,
        spec=TaskSpec(config.target, shape, NUM_OUTPUTS[config.target], names),
        to_display=scaling.to_display,
        augment=lambda inputs, generator: inputs,
        fingerprint=hashlib.blake2b(said.encode(), digest_size=16).hexdigest(),
        title=title,
        scaling=scaling,
        bars=tuple(bars),
        borders=borders,
        config=config,
    )


def split_times(bars: Sequence[Bars], config: WindowConfig) -> tuple[int, int]:
    """Unix seconds at which validation and test begin, as shares of the time that all tokens together span."""
    first, last = min(int(each.times[0]) for each in bars), max(int(each.times[-1]) for each in bars)
    test = last - (last - first) * config.test_fraction
    validation = test - (test - first) * config.validation_fraction
    return int(validation), int(test)


def part_bounds(bars: Bars, borders: tuple[int, int], embargo: int) -> dict[str, tuple[int, int]]:
    """(first, end) indices of a token's bars in each part; `embargo` bars after each border belong to none."""
    validation, test = (int(np.searchsorted(bars.times, border)) for border in borders)
    return {
        "train": (0, validation),
        "validation": (min(validation + embargo, test), test),
        "test": (min(test + embargo, len(bars)), len(bars)),
    }


def _value(moves: np.ndarray, config: WindowConfig) -> np.ndarray:
    return np.abs(moves) if config.target == "volatility" else moves


def _window_set(tokens: Sequence[_Token], part: str, scaling: WindowScaling, config: WindowConfig) -> WindowSet:
    """All windows of a part, by token and date."""
    rows = []
    for number, token in enumerate(tokens):
        last = token.lasts(part)
        seen = scaling.features(token.bars.table, number)
        start = last - config.window_length + 1
        windows = np.lib.stride_tricks.sliding_window_view(seen, config.window_length, axis=0)[start]
        past = np.append(np.zeros(config.horizon), token.moves[: -config.horizon])[last]  # the move that ends at a bar
        # the last value of a price is no change, that of a move is the last move
        predicted = np.zeros(len(last)) if config.target in ("close", "both") else past
        naive = _targets(predicted, number, scaling, config, past)
        own = np.full(len(last), number), token.bars.times[last], token.bars.prices[last, CLOSE]
        rows.append((windows.transpose(0, 2, 1), _targets(token.moves[last], number, scaling, config), *own, naive))
    columns = (torch.from_numpy(np.concatenate(column)) for column in zip(*rows, strict=True))
    inputs, targets, owners, ends, anchors, last_value = columns
    inputs, owners = inputs.float(), owners.long()
    if config.token_identity:
        identity = F.one_hot(owners, len(tokens)).float()[:, None].expand(-1, inputs.shape[1], -1)
        inputs = torch.cat([inputs, identity], 2)
    inputs = inputs.contiguous()
    return WindowSet(inputs, targets.float(), lambda inputs: inputs, owners, ends, anchors, last_value.float())


def _targets(
    moves: np.ndarray, token: int, scaling: WindowScaling, config: WindowConfig, direction: np.ndarray | None = None
) -> np.ndarray:
    """(n, D): moves (n,) as targets; directions from `direction` (n,) if given."""
    columns = []
    if config.target != "direction":
        shift, scale = scaling.target_shift[token].item(), scaling.target_scale[token].item()
        columns.append((_value(moves, config) - shift) / scale)
    if config.target in ("direction", "both"):
        up = _is_up(moves if direction is None else direction, config)
        columns += [~up, up]
    return np.stack(columns, axis=1).astype(np.float64)


def _is_up(moves: np.ndarray, config: WindowConfig) -> np.ndarray:
    return np.expm1(moves) > config.threshold
