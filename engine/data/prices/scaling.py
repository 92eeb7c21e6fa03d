"""How bars become what a student sees, and back; fitted per token on training bars only.

Returns. With o, h, l, c, v of a bar and p the close before it, a student sees five values, each divided by its standard
deviation in training; the mean of the volume is subtracted first:

    log(o / p),  log(c / o),  log(h / max(o, c)) >= 0,  log(min(o, c) / l) >= 0,  log(1 + v)

Prices. The bar itself, with prices scaled so that the lowest low of training is 0 and the highest high 1, and the
volume so that its maximum is 1. All four prices share one scale, which keeps low <= open, close <= high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.core.errors import DataError
from engine.data.prices.picture import candle_pictures
from engine.data.source import NUM_FEATURES

FIRST_CLOSE = 100.0  # the close before the first bar of a window drawn from returns; the true one is not stored
NAME = "windows"  # prefix of a scaling's tensors in a file
LEAST_SHARE = 1e-3
"""Minimum scale of gaps, bodies and wicks, as a share of the moves from close to close. If every open equals the last
close, gaps are rounding errors; dividing by their deviation would turn one unit of a student into many log units."""
FIELDS = ("feature_shift", "feature_scale", "target_shift", "target_scale")


@dataclass(frozen=True, eq=False)
class WindowScaling:
    """Shifts and scales of K tokens, float64. kind: "returns" or "prices".

    feature_shift, feature_scale: (K, 5); a student sees (value - shift) / scale.
    target_shift, target_scale: (K,) of the log return to forecast, or of its absolute value; 0 and 1 for directions.
    """

    kind: str
    feature_shift: Tensor
    feature_scale: Tensor
    target_shift: Tensor
    target_scale: Tensor

    def features(self, table: np.ndarray, token: int) -> np.ndarray:
        """(n, 5) float64: what a student sees of a token's bars (n, 5). The first row of returns is NaN."""
        raw = raw_features(table, self.kind)
        return (raw - self.feature_shift[token].numpy()) / self.feature_scale[token].numpy()

    def bars(self, inputs: Tensor, tokens: Tensor) -> np.ndarray:
        """Windows (N, T, F) of tokens (N,) as bars (N, T, 5) float64: open, high, low, close, volume."""
        seen, tokens = inputs.detach().double().cpu()[..., :NUM_FEATURES], tokens.cpu()
        raw = (seen * self.feature_scale[tokens][:, None] + self.feature_shift[tokens][:, None]).numpy()
        if self.kind == "prices":
            return raw
        gap, body, upper, lower, volume = np.moveaxis(raw, -1, 0)
        close = np.log(FIRST_CLOSE) + np.cumsum(gap + body, axis=1)
        open_, close = np.exp(close - body), np.exp(close)
        # factors of 1 or more, so that rounding cannot bring a high below its body
        high, low = np.maximum(open_, close) * np.exp(upper), np.minimum(open_, close) * np.exp(-lower)
        # in float32, a volume of 0 comes back slightly negative
        return np.stack([open_, high, low, close, np.maximum(np.expm1(volume), 0.0)], axis=-1)

    def to_display(self, inputs: Tensor) -> np.ndarray:
        """Windows (N, T, F) as pictures (N, H, W, 3) uint8; without token identity, in the scale of the first token."""
        identity = inputs[:, 0, NUM_FEATURES:].cpu()
        tokens = identity.argmax(1) if identity.shape[1] else torch.zeros(len(inputs), dtype=torch.int64)
        return candle_pictures(self.bars(inputs, tokens))

    def values(self, targets: Tensor, tokens: Tensor) -> np.ndarray:
        """Log returns, or their absolute values, (N,) float64, of scaled targets (N,) of tokens (N,)."""
        tokens = tokens.cpu()
        return (targets.detach().double().cpu() * self.target_scale[tokens] + self.target_shift[tokens]).numpy()

    def is_like(self, other: object) -> bool:
        """Whether both are equal up to rounding."""
        if not isinstance(other, WindowScaling) or self.kind != other.kind:
            return False
        pairs = [(getattr(self, name), getattr(other, name)) for name in FIELDS]
        return all(one.shape == two.shape and torch.allclose(one, two, rtol=1e-6, atol=1e-9) for one, two in pairs)

    def state(self) -> dict[str, Tensor]:
        return {f"{NAME}.{self.kind}.{name}": getattr(self, name) for name in FIELDS}

    @classmethod
    def from_state(cls, tensors: dict[str, Tensor]) -> WindowScaling:
        """The scaling that `state` described. Raises DataError for anything else."""
        for kind in ("returns", "prices"):
            found = [tensors.get(f"{NAME}.{kind}.{name}", torch.empty(0)) for name in FIELDS]
            shapes = [(len(found[2]), NUM_FEATURES)] * 2 + [(len(found[2]),)] * 2
            is_sound = all(each.dtype == torch.float64 and bool(torch.isfinite(each).all()) for each in found)
            if len(tensors) == len(FIELDS) and is_sound and [tuple(each.shape) for each in found] == shapes:
                return cls(kind, *found)
        raise DataError("This result does not contain the scaling of its price bars; another program wrote it.")


def raw_features(table: np.ndarray, kind: str) -> np.ndarray:
    """(n, 5) float64: bars (n, 5) as the values to scale. Returns of the first bar are NaN."""
    if kind == "prices":
        return table.copy()
    open_, high, low, close = np.log(table[:, :4].T)
    before = np.concatenate([[np.nan], close[:-1]])
    upper, lower = high - np.maximum(open_, close), np.minimum(open_, close) - low
    # rounding may leave a close slightly above the high
    wicks = np.maximum(upper, 0.0), np.maximum(lower, 0.0)
    return np.stack([open_ - before, close - open_, *wicks, np.log1p(table[:, 4])], axis=1)


def fitted(tables: list[np.ndarray], values: list[np.ndarray], kind: str, is_direction: bool) -> WindowScaling:
    """The scaling for training bars (n_k, 5) and targets (m_k,) of each token k."""
    shifts, scales = np.array([_of_features(raw_features(table, kind), kind) for table in tables]).swapaxes(0, 1)
    targets = [(0.0, 1.0) if is_direction else (float(each.mean()), float(each.std()) or 1.0) for each in values]
    features = (torch.from_numpy(np.ascontiguousarray(each)) for each in (shifts, scales))
    return WindowScaling(kind, *features, *torch.tensor(targets, dtype=torch.float64).T.contiguous())


def _of_features(raw: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale (5,) of a token's training features."""
    if kind == "prices":
        low, high = raw[:, 2].min(), raw[:, 1].max()
        return np.array([low] * 4 + [0.0]), np.array([high - low] * 4 + [raw[:, 4].max() or 1.0])
    raw = raw[1:]
    shift = np.array([0.0] * 4 + [raw[:, 4].mean()])
    least = LEAST_SHARE * np.sqrt(((raw[:, 0] + raw[:, 1]) ** 2).mean())
    scale = np.append(np.maximum(np.sqrt((raw[:, :4] ** 2).mean(0)), least), raw[:, 4].std())
    return shift, np.where(scale > 0, scale, 1.0)
