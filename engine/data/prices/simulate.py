"""Simulated price histories with calm, rising, falling and volatile regimes, for trying the program without files.

Daily log returns r_t = mu_s + sigma_t e_t with e_t ~ Student-t(5) of variance 1, partly shared by all tokens. The
regime s_t is a Markov chain; within it sigma_t^2 = (1 - a - b) sigma_s^2 + a r_{t-1}^2 + b sigma_{t-1}^2 (GARCH(1, 1)).
As in real markets, volatility comes in clusters and the direction is almost unpredictable.
"""

import numpy as np

from engine.data.prices.bars import Bars

# mean and deviation of a day's log return in each regime: calm, rising, falling, volatile
MEANS = np.array([0.0002, 0.0025, -0.0025, 0.0])
DEVIATIONS = np.array([0.012, 0.022, 0.03, 0.06])
STAY = np.array([0.985, 0.975, 0.97, 0.95])
ARCH, GARCH = 0.08, 0.86
FREEDOM = 5
COMMON = 0.6  # share of the variance that all tokens have in common
FIRST_DAY = 1_514_764_800  # 2018-01-01


def simulate(tokens: tuple[str, ...], num_bars: int, seed: int) -> tuple[Bars, ...]:
    """`num_bars` daily bars of each token; deterministic."""
    random = np.random.default_rng(seed)
    regimes, current = np.empty(num_bars, dtype=int), 0
    for number in range(num_bars):
        if random.random() > STAY[current]:
            current = random.choice([other for other in range(len(STAY)) if other != current])
        regimes[number] = current
    common = _shocks(num_bars, random)
    return tuple(_one(token, regimes, common, random) for token in tokens)


def _shocks(num_bars: int, random: np.random.Generator) -> np.ndarray:
    """(n,) heavy-tailed numbers of variance 1."""
    return random.standard_t(FREEDOM, num_bars) * np.sqrt((FREEDOM - 2) / FREEDOM)


def _one(token: str, regimes: np.ndarray, common: np.ndarray, random: np.random.Generator) -> Bars:
    num_bars = len(regimes)
    shocks = np.sqrt(COMMON) * common + np.sqrt(1 - COMMON) * _shocks(num_bars, random)
    returns, variance = np.empty(num_bars), DEVIATIONS[regimes[0]] ** 2
    for number, (regime, shock) in enumerate(zip(regimes, shocks, strict=True)):
        returns[number] = MEANS[regime] + np.sqrt(variance) * shock
        moved = (returns[number] - MEANS[regime]) ** 2
        variance = (1 - ARCH - GARCH) * DEVIATIONS[regime] ** 2 + ARCH * moved + GARCH * variance
    spread = np.abs(returns) + 0.5 * DEVIATIONS[regimes]
    close = np.log(random.uniform(5, 500)) + np.cumsum(returns)
    gap = 0.02 * spread * random.standard_normal(num_bars)
    open_ = np.append(close[0], close[:-1]) + gap
    high = np.maximum(open_, close) + spread * random.exponential(0.25, num_bars)
    low = np.minimum(open_, close) - spread * random.exponential(0.25, num_bars)
    volume = np.exp(12 + 12 * spread + 0.35 * random.standard_normal(num_bars))
    times = FIRST_DAY + 86_400 * np.arange(num_bars, dtype=np.int64)
    return Bars(token, times, np.exp(np.stack([open_, high, low, close], axis=1)), volume)
