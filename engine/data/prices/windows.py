"""From price bars to windows with targets, split by date, without a look ahead.

The time from the first to the last bar of all tokens is cut at two dates, the same for every token: train | validation | test.
After each date an embargo of window + horizon bars is left out. A window, its target included, lies within one part. Scales
are fitted on training bars and training targets alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.core.config import WindowConfig
from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.prices.bars import Bars
from engine.data.prices.kept import digest_of
from engine.data.prices.scaling import WindowScaling, fitted
from engine.data.source import NUM_OUTPUTS, LabelledSet, Splits, TaskSpec

RECIPE = 2
"""Part of every fingerprint; raise it when this module changes what it makes of the same bars."""
PARTS = ("train", "validation", "test")
LEAST_TRAINING = 10
"""Training windows of a token, at least."""
CLOSE = 3
"""Its column in a bar."""


@dataclass(frozen=True)
class WindowSet(LabelledSet):
    """Windows of price bars. inputs: (N, T, F) float32 as a student sees them. targets: (N, D) float32.

    tokens: (N,) int64. ends: (N,) int64, unix seconds at which a window's last bar begins. anchors: (N,) float64, that bar's
    close, which forecasts start from. last_value: (N, D) float32, what the last-value forecast says, in terms of targets.
    """

    tokens: Tensor
    ends: Tensor
    anchors: Tensor
    last_value: Tensor

    def subset(self, indices: Tensor) -> WindowSet:
        """The windows at `indices` (n,) int64 as a set of their own."""
        return self._each(lambda tensor: tensor[indices.to(tensor.device)])

    def to(self, device: torch.device) -> WindowSet:
        """The same set on another device."""
        return self._each(lambda tensor: tensor.to(device))

    def _each(self, change) -> WindowSet:
        names = ("inputs", "targets", "tokens", "ends", "anchors", "last_value")
        return replace(self, **{name: change(getattr(self, name)) for name in names})

    @property
    def raw_bytes(self) -> int:
        """Bytes of the windows with their targets, 4 a value, each bar counted as often as it is in a window."""
        return 4 * (self.inputs.numel() + self.targets.numel())


@dataclass(frozen=True)
class WindowSplits(Splits):
    """Splits of price histories; train, validation and test are WindowSets.

    scaling: how bars became inputs. bars: of each token, whole. borders: unix seconds at which validation and test begin,
    each with its embargo. config: what windows were made with.
    """

    scaling: WindowScaling = None
    bars: tuple[Bars, ...] = ()
    borders: tuple[int, int] = (0, 0)
    config: WindowConfig = WindowConfig()

    @property
    def preparation(self) -> WindowScaling:
        """What a result carries to be shown and used later."""
        return self.scaling


def prepare_windows(
    bars: Sequence[Bars], title: str, key: str, config: WindowConfig
) -> Generator[Event, None, WindowSplits]:
    """Split, scale and window price histories, with progress.

    Raises:
        DataError: a token has too few bars in a part, does not reach into it, or stands still in all of training.
    """
    yield Progress(f"prepare {title}", 0, 2)
    borders = split_times(bars, config)
    parts = [part_bounds(each, borders, config.embargo) for each in bars]
    for each, bounds in zip(bars, parts, strict=True):
        _check_lengths(each, bounds, title, config)
        _check_changes(each, bounds, title)
    moves = [_moves(each, config.horizon) for each in bars]
    wanted = "volatility" if config.target == "volatility" else "close"
    starts = [_starts(bounds, config) for bounds in parts]
    train_moves = [move[start["train"] + config.window_length - 1] for move, start in zip(moves, starts, strict=True)]
    if config.target in ("direction", "both"):
        _check_directions(train_moves, title, config)
    train_values = [_value(move, wanted) for move in train_moves]
    tables = [each.table for each in bars]
    training_bars = [table[slice(*bounds["train"])] for table, bounds in zip(tables, parts, strict=True)]
    scaling = fitted(training_bars, train_values, config.features, config.target == "direction")
    yield Progress(f"prepare {title}", 1, 2)
    sets = {
        part: _window_set(bars, tables, moves, [start[part] for start in starts], scaling, config) for part in PARTS
    }
    tokens = tuple(each.token for each in bars)
    spec = TaskSpec(config.target, tuple(sets["train"].inputs.shape[1:]), NUM_OUTPUTS[config.target], tokens)
    yield Progress(f"prepare {title}", 2, 2)
    return WindowSplits(
        **sets,
        spec=spec,
        to_display=scaling.to_display,
        augment=lambda inputs, generator: inputs,
        fingerprint=_fingerprint(bars, key, config),
        title=title,
        scaling=scaling,
        bars=tuple(bars),
        borders=borders,
        config=config,
    )


def split_times(bars: Sequence[Bars], config: WindowConfig) -> tuple[int, int]:
    """Unix seconds at which validation and test begin: shares of the time between the first and the last bar of all tokens."""
    first, last = min(int(each.times[0]) for each in bars), max(int(each.times[-1]) for each in bars)
    test = last - (last - first) * config.test_fraction
    validation = test - (test - first) * config.validation_fraction
    return int(validation), int(test)


def part_bounds(bars: Bars, borders: tuple[int, int], embargo: int) -> dict[str, tuple[int, int]]:
    """(first, end) indices of a token's bars in "train", "validation" and "test"; `embargo` bars after each border belong to none."""
    validation, test = (int(np.searchsorted(bars.times, border)) for border in borders)
    return {
        "train": (0, validation),
        "validation": (min(validation + embargo, test), test),
        "test": (min(test + embargo, len(bars)), len(bars)),
    }


def _check_lengths(bars: Bars, bounds: dict[str, tuple[int, int]], title: str, config: WindowConfig) -> None:
    """Raise DataError unless every part holds a window of a token, and training enough that two of them share no bar."""
    for part, (first, end) in bounds.items():
        windows = (end - first - _lead(part) - config.window_length - config.horizon) // config.stride + 1
        needed = max(LEAST_TRAINING, 1 + -(-config.window_length // config.stride)) if part == "train" else 1
        if windows < needed:
            wanted = config.window_length + config.horizon + (needed - 1) * config.stride + _lead(part)
            raise DataError(
                f"{title}: {bars.token} has {end - first:,} bars for {_WORDS[part]}, but a window of {config.window_length} and a "
                f"horizon of {config.horizon} need {wanted:,}. Choose a shorter window or horizon, another share for "
                f"{'validation or test' if part == 'train' else part}, or bring more bars."
            )


def _check_changes(bars: Bars, bounds: dict[str, tuple[int, int]], title: str) -> None:
    """Raise DataError for a token whose training closes are all the same: there is no scale to be fitted."""
    closes = bars.prices[slice(*bounds["train"]), CLOSE]
    if (closes == closes[0]).all():
        raise DataError(
            f"{title}: the close of {bars.token} is {closes[0]:.10g} in every training bar. Choose smaller shares for validation and "
            "test, or leave the token out."
        )


def _check_directions(moves: Sequence[np.ndarray], title: str, config: WindowConfig) -> None:
    """Raise DataError where the closes of all training windows count as up, or none: there is nothing to be told apart."""
    share = _is_up(np.concatenate(moves), config).mean()
    if share in (0, 1):
        raise DataError(
            f"{title}: with a threshold of {100 * config.threshold:g} % the close {'always' if share else 'never'} counts as up in "
            "training, so there is no direction to be learned. Choose a threshold nearer to 0, or another target."
        )


_WORDS = {"train": "training", "validation": "validation", "test": "tests"}


def _lead(part: str) -> int:
    """Bars at the beginning of a part that begin no window: the very first one has no close before it."""
    return 1 if part == "train" else 0


def _starts(bounds: dict[str, tuple[int, int]], config: WindowConfig) -> dict[str, np.ndarray]:
    """The first bar of every window of each part."""
    length = config.window_length + config.horizon
    return {
        part: np.arange(first + _lead(part), end - length + 1, config.stride) for part, (first, end) in bounds.items()
    }


def _moves(bars: Bars, horizon: int) -> np.ndarray:
    """(n,) log(close[t + horizon] / close[t]), NaN where there is no such bar."""
    close = np.log(bars.prices[:, CLOSE])
    return np.append(close[horizon:] - close[:-horizon], np.full(horizon, np.nan))


def _value(moves: np.ndarray, target: str) -> np.ndarray:
    return np.abs(moves) if target == "volatility" else moves


def _window_set(
    bars: Sequence[Bars],
    tables: list[np.ndarray],
    moves: list[np.ndarray],
    starts: list[np.ndarray],
    scaling: WindowScaling,
    config: WindowConfig,
) -> WindowSet:
    """All windows of a part, token by token, each by date."""
    found: dict[str, list[np.ndarray]] = {
        name: [] for name in ("inputs", "targets", "tokens", "ends", "anchors", "last")
    }
    for token, (each, table, move, start) in enumerate(zip(bars, tables, moves, starts, strict=True)):
        last = start + config.window_length - 1
        seen = scaling.features(table, token)
        windows = np.lib.stride_tricks.sliding_window_view(seen, config.window_length, axis=0)[start]
        past = np.append(np.zeros(config.horizon), move[: -config.horizon])  # the move that ends at a bar
        found["inputs"].append(windows.transpose(0, 2, 1))
        found["targets"].append(_targets(move[last], token, scaling, config))
        # no change is the last value of a price, the last move that of a move
        said = np.zeros(len(last)) if config.target in ("close", "both") else past[last]
        found["last"].append(_targets(said, token, scaling, config, past[last]))
        found["tokens"].append(np.full(len(start), token))
        found["ends"].append(each.times[last])
        found["anchors"].append(each.prices[last, CLOSE])
    whole = {name: torch.from_numpy(np.concatenate(parts)) for name, parts in found.items()}
    inputs, tokens = whole["inputs"].float(), whole["tokens"].long()
    if config.token_identity:
        columns = F.one_hot(tokens, len(bars)).float()[:, None].expand(-1, inputs.shape[1], -1)
        inputs = torch.cat([inputs, columns], 2)
    return WindowSet(
        inputs=inputs.contiguous(),
        targets=whole["targets"].float(),
        prepare=lambda inputs: inputs,
        tokens=tokens,
        ends=whole["ends"],
        anchors=whole["anchors"],
        last_value=whole["last"].float(),
    )


def _targets(
    moves: np.ndarray, token: int, scaling: WindowScaling, config: WindowConfig, direction: np.ndarray | None = None
) -> np.ndarray:
    """(n, D): moves (n,) as targets; directions from `direction` (n,) where that is another."""
    columns = []
    if config.target != "direction":
        value = _value(moves, config.target)
        columns.append((value - scaling.target_shift[token].item()) / scaling.target_scale[token].item())
    if config.target in ("direction", "both"):
        up = _is_up(moves if direction is None else direction, config)
        columns += [~up, up]
    return np.stack(columns, axis=1).astype(np.float64)


def _is_up(moves: np.ndarray, config: WindowConfig) -> np.ndarray:
    return np.expm1(moves) > config.threshold


def _fingerprint(bars: Sequence[Bars], key: str, config: WindowConfig) -> str:
    said = json.dumps([RECIPE, key, config.model_dump(mode="json"), digest_of(bars)], sort_keys=True)
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()
