"""Stylised facts of returns in distilled and in real windows: fat tails, no autocorrelation, volatility clusters.

With z the log returns from close to close within windows, standardised by token:

    kurtosis      mean(z^4) - 3, 0 for a normal distribution
    acf_returns   mean over windows and times of z_t z_(t+k), lags k = 1..10
    acf_squared   the autocorrelation of z^2

Estimates from a few windows are noisy, so 95 % intervals of random draws of as many real windows stand beside them.

Source: Cont 2001, "Empirical properties of asset returns: stylized facts and statistical issues".
"""

from typing import Any

import numpy as np

from engine.data.prices.windows import WindowSplits
from engine.evaluation.bench import generator_of
from engine.evaluation.forecasting.bootstrap import interval
from engine.evaluation.forecasting.draws import random_windows
from engine.synthetic.candles import CandleSet

NUM_LAGS = 10
MOST_RETURNS = 400
"""Most quantiles of the returns to keep."""
NUM_DRAWS = 100
CLOSE = 3
FIGURES = ("kurtosis", "acf_returns", "acf_squared")
SIDES = ("low", "high")


def facts(synthetic: CandleSet, splits: WindowSplits) -> dict[str, Any]:
    """{"distilled": facts, "real": facts of the training windows, "chance": {"low": facts, "high": facts}}.

    "chance": the interval of random draws. The first two have "returns" too: quantiles, in standard deviations of the
    token's training windows.
    """
    inputs, _ = synthetic.materialise()
    tokens, num_tokens = synthetic.tokens.cpu().numpy(), len(splits.spec.class_names)
    train_tokens = splits.train.tokens.cpu().numpy()
    real = returns_of(splits.scaling.bars(splits.train.inputs, splits.train.tokens))
    distilled = returns_of(splits.scaling.bars(inputs, synthetic.tokens))
    deviations = np.array([real[train_tokens == token].std() for token in range(num_tokens)])
    found = {
        "distilled": facts_of(distilled, tokens) | {"returns": _quantiles(distilled / deviations[tokens, None])},
        "real": facts_of(real, train_tokens) | {"returns": _quantiles(real / deviations[train_tokens, None])},
    }
    draws = []
    counts = np.bincount(tokens, minlength=num_tokens).tolist()
    for number in range(NUM_DRAWS):
        drawn = random_windows(splits.train, counts, generator_of("facts", *counts, number))
        draws.append(facts_of(returns_of(splits.scaling.bars(drawn.inputs, drawn.tokens)), drawn.tokens.cpu().numpy()))
    bounds = {name: interval(np.array([each[name] for each in draws])) for name in FIGURES}
    found["chance"] = {side: {name: bounds[name][place] for name in FIGURES} for place, side in enumerate(SIDES)}
    return found


def returns_of(bars: np.ndarray) -> np.ndarray:
    """(N, T - 1): log returns from close to close of bars (N, T, 5)."""
    return np.diff(np.log(np.maximum(bars[..., CLOSE], np.finfo(float).tiny)), axis=1)


def facts_of(returns: np.ndarray, tokens: np.ndarray) -> dict[str, Any]:
    """The facts of log returns (N, n) of windows of tokens (N,), without lags longer than a window."""
    z = np.concatenate([_standardised(returns[tokens == token]) for token in np.unique(tokens)])
    squared = z**2
    return {
        "kurtosis": float((z**4).mean() - 3),
        "acf_returns": autocorrelation(z),
        "acf_squared": autocorrelation(squared - squared.mean()),
    }


def autocorrelation(values: np.ndarray) -> list[float]:
    """Autocorrelation of rows (N, n) with mean 0, over all rows, at lags 1..10."""
    variance = max((values**2).mean(), np.finfo(float).tiny)
    lags = range(1, min(NUM_LAGS, values.shape[1] - 1) + 1)
    return [float((values[:, lag:] * values[:, :-lag]).mean() / variance) for lag in lags]


def _standardised(returns: np.ndarray) -> np.ndarray:
    return (returns - returns.mean()) / max(returns.std(), np.finfo(float).tiny)


def _quantiles(returns: np.ndarray) -> list[float]:
    """The sorted returns, or MOST_RETURNS quantiles of them if there are more."""
    if returns.size <= MOST_RETURNS:
        return np.sort(returns.ravel()).round(6).tolist()
    return np.quantile(returns, np.linspace(0, 1, MOST_RETURNS)).round(6).tolist()
