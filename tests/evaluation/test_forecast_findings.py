"""What distilled windows give away, and how much they are like a market."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from price_windows import TOKENS, candle_set, window_splits

from engine.evaluation.forecasting.facts import NUM_LAGS, autocorrelation, facts, facts_of, returns_of
from engine.evaluation.forecasting.privacy import auc, between_real, infer_membership, nearest, privacy


@pytest.fixture(scope="module")
def splits():
    return window_splits("volatility")


@pytest.fixture(scope="module")
def noise(splits):
    """Fresh windows of what markets are here, that nothing was ever trained on."""
    other = window_splits("volatility", seed=77)
    return other.train.subset(torch.arange(0, len(other.train), 40))


class Windows:
    """Real windows in the place of a synthetic set."""

    def __init__(self, windows):
        self.inputs, self.targets, self.tokens = windows.inputs, windows.targets, windows.tokens

    def materialise(self):
        return self.inputs, self.targets


# ------------------------------------------------------------------------------------------- privacy


def test_copies_of_training_windows_are_at_distance_nought_and_found_out(splits):
    found = privacy(Windows(splits.train), splits)
    assert max(found["nearest"]["distilled"]) == 0 == found["ratio"]
    assert found["membership"]["auc"] > 0.99 and found["membership"]["low"] > 0.95
    assert "close to a copy" in found["sentence"] and "the set reveals training windows" in found["sentence"]


def test_windows_of_another_market_give_away_nothing(splits, noise):
    found = privacy(Windows(noise), splits)
    assert min(found["nearest"]["distilled"]) > 0 and 0.6 < found["ratio"] < 2
    membership = found["membership"]
    assert membership["low"] <= max(0.5, membership["chance"]) and abs(membership["auc"] - 0.5) < 0.15
    assert "none is close to a copy" in found["sentence"] and "no more than chance" in found["sentence"]


def test_one_copy_among_others_is_counted(splits, noise):
    few = dataclasses.replace(
        noise,
        inputs=torch.cat([splits.train.inputs[:1], noise.inputs]),
        targets=torch.cat([splits.train.targets[:1], noise.targets]),
        tokens=torch.cat([splits.train.tokens[:1], noise.tokens]),
    )
    found = privacy(Windows(few), splits)
    assert f"1 of {len(few.inputs)} is close to a copy" in found["sentence"]


def test_distance_is_the_root_mean_squared_difference_to_the_nearest_of_the_token(splits, noise):
    found = nearest(noise.inputs, noise.tokens, splits.train)
    for number in (0, len(found) - 1):
        real = splits.train.inputs[splits.train.tokens == noise.tokens[number]]
        expected = min(((window - noise.inputs[number]) ** 2).mean().sqrt().item() for window in real)
        assert found[number] == pytest.approx(expected, rel=1e-4)


def test_real_windows_are_held_against_such_as_share_no_bar():
    splits = window_splits("close", features="prices")  # of which neighbours in time are near
    found, train = between_real(splits), splits.train
    mine = train.inputs[train.tokens == 0]
    away = mine[10:]  # of ten bars: the first window shares none with the eleventh
    expected = ((away - mine[0]) ** 2).mean((1, 2)).sqrt().min().item()
    overlapping = ((mine[1:] - mine[0]) ** 2).mean((1, 2)).sqrt().min().item()
    assert found[0] == pytest.approx(expected, rel=1e-4) and found[0] > overlapping


def test_columns_that_say_the_token_are_no_distance():
    told = window_splits("close", token_identity=True)
    plain = window_splits("close")
    inputs, tokens = told.test.inputs[:3], told.test.tokens[:3]
    assert np.allclose(
        nearest(inputs, tokens, told.train), nearest(plain.test.inputs[:3], tokens, plain.train), atol=1e-6
    )


def test_membership_is_seeded(splits, noise):
    first, second = (infer_membership(noise.inputs, noise.tokens, splits) for _ in range(2))
    assert first == second and first["low"] < first["auc"] < first["high"]


@pytest.mark.parametrize(
    ("members", "others", "expected"),
    [([3.0, 4.0], [1.0, 2.0], 1.0), ([1.0], [2.0], 0.0), ([1.0, 1.0], [1.0], 0.5), ([1.0, 3.0], [2.0, 0.0], 0.75)],
)
def test_auc_is_the_share_of_pairs_in_order(members, others, expected):
    assert auc(np.array(members), np.array(others)) == expected


# ------------------------------------------------------------------------------------------- stylised facts


def garch(count, seed=0):
    """Returns whose volatility comes in clusters."""
    random = np.random.default_rng(seed)
    returns, variance = np.empty(count), 1.0
    for place in range(count):
        returns[place] = np.sqrt(variance) * random.standard_normal()
        variance = 0.05 + 0.15 * returns[place] ** 2 + 0.8 * variance
    return returns


def windows_of(returns, length=30):
    return np.lib.stride_tricks.sliding_window_view(returns, length)[::5]


def test_clusters_of_volatility_show_and_independent_returns_have_none():
    clustered = windows_of(0.02 * garch(6000))
    plain = windows_of(0.02 * np.random.default_rng(1).standard_normal(6000))
    one = np.zeros(len(plain), dtype=int)
    wild, calm = facts_of(clustered, one), facts_of(plain, one)
    assert min(wild["acf_squared"][:5]) > 0.08 and wild["kurtosis"] > 0.5
    assert max(np.abs(calm["acf_squared"])) < 0.05 and abs(calm["kurtosis"]) < 0.2
    assert max(np.abs(wild["acf_returns"])) < 0.08 and max(np.abs(calm["acf_returns"])) < 0.05


def test_tokens_of_different_volatility_do_not_make_fat_tails():
    plain = windows_of(np.random.default_rng(1).standard_normal(3000))
    tokens = np.repeat([0, 1], len(plain))
    pooled = facts_of(np.concatenate([plain, 10 * plain]), tokens)
    assert abs(pooled["kurtosis"]) < 0.2 and max(np.abs(pooled["acf_squared"])) < 0.06


def test_autocorrelation_of_an_alternating_series_is_alternating():
    values = np.tile([1.0, -1.0], (3, 10))
    assert autocorrelation(values) == pytest.approx([(-1) ** lag for lag in range(1, NUM_LAGS + 1)])


def test_short_windows_have_fewer_lags():
    assert len(autocorrelation(np.ones((2, 4)))) == 3


def test_returns_are_those_of_the_bars(splits):
    bars = splits.scaling.bars(splits.train.inputs[:5], splits.train.tokens[:5])
    end = np.searchsorted(splits.bars[0].times, splits.train.ends[0].item())
    close = np.log(splits.bars[0].prices[:, 3])
    assert np.allclose(returns_of(bars)[0], np.diff(close)[end - 9 : end], atol=1e-5)


def test_facts_of_distilled_stand_beside_real_and_beside_what_chance_does(splits):
    synthetic = candle_set(splits)
    found = facts(synthetic, splits)
    for name in ("distilled", "real"):
        assert len(found[name]["acf_returns"]) == len(found[name]["acf_squared"]) == 8  # windows of 10 have 9 returns
        assert found[name]["returns"] == sorted(found[name]["returns"])
    assert len(found["distilled"]["returns"]) == 2 * len(TOKENS) * 9
    chance = found["chance"]
    assert chance["low"]["kurtosis"] < chance["high"]["kurtosis"]
    assert all(
        low < high for low, high in zip(chance["low"]["acf_squared"], chance["high"]["acf_squared"], strict=True)
    )


def test_real_windows_are_within_what_chance_does(splits):
    """A set that is a random draw of real windows lies within the range of such draws, but for the odd figure."""
    found = facts(candle_set(splits, sequences_per_token=5), splits)
    low, high = found["chance"]["low"]["acf_returns"], found["chance"]["high"]["acf_returns"]
    inside = [
        below <= value <= above
        for below, value, above in zip(low, found["distilled"]["acf_returns"], high, strict=True)
    ]
    assert sum(inside) >= len(inside) - 2
