"""OHLC sequences: a few windows of price bars, with learned targets, on which a few steps train a forecaster.

The loop is that of methods/windowed.py: a new student takes T steps on the distilled sequences, all of them or a random
batch, at one learned rate. It is judged on real training windows, and the exact gradient through the window of those
steps moves bars, targets and rate. Every value of the parameters is a valid candle (synthetic/candles.py). Two
penalties may be added:

    smoothness       mean of (x_t - x_{t-1})^2 over the bars of the sequences
    autocorrelation  mean over lags of (rho_synthetic - rho_real)^2, of returns and of their absolute values

Sources:
    Wang et al. 2018, arXiv:1811.10959, whose method it is; windows of truncation: Feng et al. 2024, arXiv:2311.07025.
What differs from the published system for price bars is listed in README.md.
"""

from collections.abc import Callable, Generator
from dataclasses import replace

import torch
from torch import Tensor

from engine.core.context import Context
from engine.core.events import Event
from engine.data.prices.windows import WindowSplits
from engine.data.source import NUM_FEATURES
from engine.evaluation.forecasting.comparison import ForecastComparison
from engine.methods.method import Method, Paper
from engine.methods.ohlc.config import OhlcConfig
from engine.methods.presets import read_presets
from engine.methods.windowed import distill_windowed
from engine.synthetic.candles import CandleSet

REAL_WINDOWS = 1000  # training windows whose autocorrelation stands for that of all


def distill(splits: WindowSplits, config: OhlcConfig, context: Context) -> Generator[Event, None, CandleSet]:
    """Learn `config.sequences_per_token` sequences of each token that train a forecaster.

    Yields and raises what `distill_windowed` does.
    """
    training = config.training
    if config.initialisation == "fixed":
        training = replace(training, start_seed=context.stream("fixed start").initial_seed())
    synthetic = CandleSet(
        spec=splits.spec,
        training=training,
        sequences_per_token=config.sequences_per_token,
        features=splits.config.features,
        learn_targets=config.learn_targets,
        learn_rates=config.learn_rates,
    )
    synthetic.start_from(config.images_from, splits, context.start, config.student_lr, context.stream("images"))
    synthetic.to(context.device)
    groups = synthetic.groups(config.outer_lr, config.outer_lr / config.target_lr_divisor, config.rates_lr)
    penalty = _penalty(synthetic, splits, config, context)
    return (yield from distill_windowed(synthetic, groups, splits, config, context, penalty=penalty))


def _penalty(
    synthetic: CandleSet, splits: WindowSplits, config: OhlcConfig, context: Context
) -> Callable[[], Tensor] | None:
    """The weighted penalties that a config asks for, as one scalar; None for none."""
    if not config.smoothness and not config.autocorrelation:
        return None
    real = None
    if config.autocorrelation:
        chosen = torch.randperm(len(splits.train), generator=context.stream("autocorrelation"))[:REAL_WINDOWS]
        windows = splits.train.subset(chosen)
        real = correlations(_returns(windows.inputs, windows.tokens, splits), config.lags)

    def penalty() -> Tensor:
        inputs = synthetic.inputs()
        found = config.smoothness * inputs[..., :NUM_FEATURES].diff(dim=1).square().mean()
        if real is not None:
            own = correlations(_returns(inputs, synthetic.tokens, splits), config.lags)
            found = found + config.autocorrelation * (own - real).square().mean()
        return found

    return penalty


def _returns(inputs: Tensor, tokens: Tensor, splits: WindowSplits) -> Tensor:
    """Changes of the close, (N, T) or one fewer, in windows (N, T, F) of tokens (N,), up to a factor per token."""
    if splits.config.features == "prices":
        return inputs[..., 3].diff(dim=1)
    scale = splits.scaling.feature_scale[tokens.cpu(), :2].to(inputs)  # gap and body have scales of their own
    scale = scale / scale.norm(dim=1, keepdim=True)
    return (inputs[..., :2] * scale[:, None]).sum(2)


def correlations(returns: Tensor, num_lags: int) -> Tensor:
    """(2, L) autocorrelations at lags 1..L, of returns (N, T) and of their absolute values, about their means."""
    found = []
    for series in (returns, returns.abs()):
        series = series - series.mean()
        variance = series.square().mean().clamp(min=1e-12)
        lags = range(1, min(num_lags, series.shape[1] - 1) + 1)
        found.append(torch.stack([(series[:, lag:] * series[:, :-lag]).mean() / variance for lag in lags]))
    return torch.stack(found)


METHOD = Method(
    key="ohlc",
    title="OHLC sequences (bilevel)",
    summary="Learns a few sequences of price bars, with targets and a rate, that train a forecaster in a few steps.",
    papers=(Paper("1811.10959", "Wang et al. 2018"), Paper("2311.07025", "Feng et al. 2024")),
    tasks=frozenset({"close", "direction", "both", "volatility"}),
    config=OhlcConfig,
    presets=read_presets(__file__),
    distill=distill,
    comparison=ForecastComparison,
    result="forecasts",
    outer_loss="loss on real windows",
)
