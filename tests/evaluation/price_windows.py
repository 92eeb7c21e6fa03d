"""Simulated windows, and sets of them, for tests of forecasts."""

from __future__ import annotations

import torch
from draining import drained

from engine import StudentConfig
from engine.core.data_config import WindowConfig
from engine.data.prices.simulate import simulate
from engine.data.prices.windows import WindowSplits, prepare_windows
from engine.synthetic.base import Training
from engine.synthetic.candles import CandleSet

TOKENS = ("SIM-A", "SIM-B")
MLP = StudentConfig(name="mlp")


def window_splits(target: str = "close", *, tokens: tuple[str, ...] = TOKENS, seed: int = 1, **options) -> WindowSplits:
    """Simulated tokens of 500 bars, windows of 10."""
    config = WindowConfig(target=target, **{"window_length": 10} | options)
    return drained(prepare_windows(simulate(tokens, 500, seed), "Simulated", f"simulated {seed}", config))[1]


def candle_set(
    splits: WindowSplits, *, sequences_per_token: int = 2, images_from: str = "real", **training
) -> CandleSet:
    """Sequences that begin as real windows, or as noise."""
    synthetic = CandleSet(
        spec=splits.spec,
        training=Training("adam", 10, **{"batch_size": 3} | training),
        sequences_per_token=sequences_per_token,
        features=splits.config.features,
    )
    synthetic.start_from(images_from, splits, None, 0.003, torch.Generator().manual_seed(0))
    return synthetic
