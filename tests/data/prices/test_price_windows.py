"""Windows of price bars: nothing of the future reaches training, parts do not touch, and bars come back from what a
student sees.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from draining import drained
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.config import DataConfig
from engine.core.context import Context
from engine.core.data_config import WindowConfig
from engine.core.errors import DataError
from engine.data import SOURCES
from engine.data.prices.scaling import WindowScaling
from engine.data.prices.simulate import simulate
from engine.data.prices.windows import PARTS, part_bounds, prepare_windows

TARGETS = ("close", "direction", "both", "volatility")
FEATURES = ("returns", "prices")
BARS = simulate(("AAA", "BBB"), 420, seed=7)
CONFIG = WindowConfig(window_length=8, horizon=2)


def splits_of(bars=BARS, config=CONFIG):
    return drained(prepare_windows(bars, "Toy", "toy", config))[1]


def changed(bars, number, factor):
    """The same bars with one of them, `number`, made `factor` times as expensive and its volume another."""
    prices, volume = bars.prices.copy(), bars.volume.copy()
    prices[number] *= factor
    volume[number] = 17 * volume[number] + 3
    return replace(bars, prices=prices, volume=volume)


def training(splits):
    train, scaling = splits.train, splits.scaling
    return [
        train.inputs,
        train.targets,
        train.ends,
        train.anchors,
        train.last_value,
        train.tokens,
        scaling.feature_shift,
        scaling.feature_scale,
        scaling.target_shift,
        scaling.target_scale,
    ]


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("target", TARGETS)
def test_no_bar_after_the_training_part_changes_a_training_window_statistic_or_target(target, features):
    config = CONFIG.model_copy(update={"target": target, "features": features})
    before = training(splits_of(config=config))
    _, first_after = part_bounds(BARS[0], splits_of(config=config).borders, config.embargo)["train"]
    for number in range(first_after, len(BARS[0]), 5):
        after = training(splits_of((changed(BARS[0], number, 1.7), BARS[1]), config))
        assert all(torch.equal(*pair) for pair in zip(before, after, strict=True)), f"bar {number} is seen in training"


@pytest.mark.parametrize("rounding", [0.0, 1e-10])
def test_gaps_that_are_nothing_but_rounding_are_scaled_by_the_moves(rounding):
    def opened(bars):
        prices = bars.prices.copy()
        prices[1:, 0] = prices[:-1, 3] * (1 + rounding * np.sign(np.sin(np.arange(len(prices) - 1))))
        prices[:, 1], prices[:, 2] = prices.max(1), prices.min(1)
        return replace(bars, prices=prices)

    splits = splits_of(tuple(map(opened, BARS)))
    scale = splits.scaling.feature_scale
    assert (scale[:, 0] == 1e-3 * scale[:, 1]).all() or torch.allclose(scale[:, 0], 1e-3 * scale[:, 1], rtol=1e-3)
    free = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    closes = splits.scaling.bars(free, torch.tensor([0, 1]))[..., 3]
    assert (closes > 50).all() and (closes < 200).all()


@pytest.mark.parametrize("features", FEATURES)
def test_volume_that_is_absent_from_training_scales_nothing_up(features):
    bars = [replace(each, volume=np.where(np.arange(len(each)) < 300, 0.0, 5.0)) for each in BARS]
    splits = splits_of(bars, CONFIG.model_copy(update={"features": features}))
    assert splits.train.inputs[..., 4].abs().max() == 0 and splits.test.inputs[..., 4].max() <= 5


def test_a_direction_that_never_happens_is_refused():
    config = CONFIG.model_copy(update={"target": "direction", "threshold": 0.5})
    with pytest.raises(DataError, match="threshold of 50 % the close never counts as up"):
        splits_of(config=config)


@given(number=st.integers(0, 419), factor=st.floats(0.2, 5))
@settings(max_examples=40, deadline=None)
def test_a_changed_bar_changes_no_window_that_ends_before_it(number, factor):
    before, after = splits_of(), splits_of((changed(BARS[0], number, factor), BARS[1]))
    rescaled = number < part_bounds(BARS[0], before.borders, CONFIG.embargo)["train"][1]
    for part in PARTS:
        mine, theirs = getattr(before, part), getattr(after, part)
        earlier = (mine.ends < int(BARS[0].times[number])) & (mine.tokens == 0)
        if not rescaled:  # another scale, fitted on training bars, changes every input
            assert torch.equal(mine.inputs[earlier], theirs.inputs[earlier])
        assert torch.equal(mine.anchors[earlier], theirs.anchors[earlier])


def test_parts_are_in_order_of_time_for_all_tokens_and_an_embargo_lies_between():
    splits, day = splits_of(), 86_400
    ends = {part: getattr(splits, part).ends for part in PARTS}
    starts = {part: ends[part] - (CONFIG.window_length - 1) * day for part in PARTS}
    for earlier, later in (("train", "validation"), ("validation", "test")):
        last_target = int(ends[earlier].max()) + CONFIG.horizon * day
        gap = (int(starts[later].min()) - last_target) // day
        assert gap > CONFIG.embargo, "the target of the last window and the first bar of the next part are too near"


def test_targets_and_anchors_are_those_of_a_loop_written_from_the_definition():
    splits = splits_of(config=CONFIG.model_copy(update={"target": "both", "threshold": 0.01}))
    close = {token: bars.prices[:, 3] for token, bars in enumerate(BARS)}
    place = {int(time): number for number, time in enumerate(BARS[0].times)}
    test = splits.test
    values = splits.scaling.values(test.targets[:, 0], test.tokens)
    for row in range(0, len(test), 7):
        token, now = int(test.tokens[row]), place[int(test.ends[row])]
        move = np.log(close[token][now + 2] / close[token][now])
        assert values[row] == pytest.approx(move, abs=1e-8)
        up = close[token][now + 2] / close[token][now] - 1 > 0.01
        assert test.targets[row, 1:].tolist() == [float(not up), float(up)]
        assert test.anchors[row] == close[token][now]


def test_the_last_value_forecast_is_no_change_of_a_price_and_the_last_move_of_a_volatility():
    close = splits_of().validation
    splits = splits_of()
    assert splits.scaling.values(close.last_value[:, 0], close.tokens) == pytest.approx(0, abs=1e-9)
    splits = splits_of(config=CONFIG.model_copy(update={"target": "volatility"}))
    part, place = splits.test, {int(time): number for number, time in enumerate(BARS[0].times)}
    said = splits.scaling.values(part.last_value[:, 0], part.tokens)
    for row in (0, 5, len(part) - 1):
        now, prices = place[int(part.ends[row])], BARS[int(part.tokens[row])].prices[:, 3]
        assert said[row] == pytest.approx(abs(np.log(prices[now] / prices[now - 2])), abs=1e-8)


@pytest.mark.parametrize("features", FEATURES)
def test_bars_come_back_from_what_a_student_sees(features):
    splits = splits_of(config=CONFIG.model_copy(update={"features": features, "token_identity": True}))
    test = splits.test
    found, place = splits.scaling.bars(test.inputs, test.tokens), {int(t): n for n, t in enumerate(BARS[0].times)}
    for row in range(0, len(test), 9):
        last = place[int(test.ends[row])]
        true = BARS[int(test.tokens[row])].table[last - 7 : last + 1].copy()
        if features == "returns":
            true[:, :4] *= 100 / BARS[int(test.tokens[row])].prices[last - 8, 3]
        assert found[row] == pytest.approx(true, rel=1e-4)


def test_training_features_have_deviation_one_and_targets_mean_zero():
    train = splits_of(config=CONFIG.model_copy(update={"target": "volatility"})).train
    for token in range(2):
        mine = train.inputs[train.tokens == token]
        assert mine[..., [0, 1, 4]].std((0, 1)) == pytest.approx(torch.ones(3), abs=0.1)
        assert train.targets[train.tokens == token].mean().item() == pytest.approx(0, abs=1e-5)
        assert (mine[..., 2:4] >= 0).all(), "a wick is never negative"


def test_token_identity_adds_a_column_a_token():
    splits = splits_of(config=CONFIG.model_copy(update={"token_identity": True}))
    assert splits.spec.sample_shape == (8, 7)
    assert torch.equal(splits.train.inputs[:, 3, 5:].argmax(1), splits.train.tokens)


def test_subsets_keep_everything_of_a_window_together():
    train = splits_of().train
    some = train.subset(torch.tensor([4, 300]))
    for name in ("inputs", "targets", "tokens", "ends", "anchors", "last_value"):
        assert torch.equal(getattr(some, name), getattr(train, name)[[4, 300]])


def test_a_history_that_is_too_short_for_a_part_is_refused_with_its_numbers():
    with pytest.raises(
        DataError, match="AAA has .* bars for validation, but a window of 60 and a horizon of 2 need 62"
    ):
        splits_of(config=CONFIG.model_copy(update={"window_length": 60}))


def test_a_token_that_begins_after_the_training_part_is_refused():
    late = replace(BARS[1], times=BARS[1].times[-60:], prices=BARS[1].prices[-60:], volume=BARS[1].volume[-60:])
    with pytest.raises(DataError, match="BBB has 0 bars for training"):
        splits_of((BARS[0], late))


@pytest.mark.parametrize("features", FEATURES)
def test_a_token_that_stands_still_in_all_of_training_is_refused(features):
    still = replace(BARS[1], prices=np.where(np.arange(420)[:, None] < 300, 50.0, BARS[1].prices))
    with pytest.raises(DataError, match="the close of BBB is 50 in every training bar"):
        splits_of((BARS[0], still), CONFIG.model_copy(update={"features": features}))


def test_the_fingerprint_tells_bars_and_settings_apart():
    known = {splits_of().fingerprint, splits_of(config=CONFIG.model_copy(update={"stride": 2})).fingerprint}
    known.add(splits_of((changed(BARS[0], 400, 1.01), BARS[1])).fingerprint)
    assert len(known) == 3
    assert splits_of().fingerprint in known


def test_a_scaling_survives_its_file_and_nothing_else_passes_for_one():
    scaling = splits_of().scaling
    again = WindowScaling.from_state(scaling.state())
    assert again.is_like(scaling) and scaling.is_like(again)
    for spoilt in (
        {},
        {"windows.returns.target_shift": torch.zeros(2)},
        scaling.state() | {"more": torch.zeros(1)},
        {name: value.float() for name, value in scaling.state().items()},
    ):
        with pytest.raises(DataError, match="does not contain the scaling of its price bars"):
            WindowScaling.from_state(spoilt)


class TestSimulator:
    def test_the_same_seed_gives_the_same_bars_and_another_seed_others(self):
        first, again, other = (simulate(("A", "B"), 300, seed) for seed in (1, 1, 2))
        assert all(np.array_equal(a.table, b.table) for a, b in zip(first, again, strict=True))
        assert not np.array_equal(first[0].table, other[0].table)
        assert not np.array_equal(first[0].table, first[1].table)

    def test_its_candles_are_valid_and_volatility_comes_in_clusters_while_returns_do_not(self):
        (bars,) = simulate(("A",), 4000, seed=3)
        open_, high, low, close = bars.prices.T
        assert (low <= np.minimum(open_, close)).all() and (high >= np.maximum(open_, close)).all()
        assert (low > 0).all() and (bars.volume > 0).all() and (np.diff(bars.times) == 86_400).all()
        moves = np.diff(np.log(close))
        size = np.abs(moves)
        assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.15
        assert abs(np.corrcoef(moves[1:], moves[:-1])[0, 1]) < 0.06
        assert ((moves - moves.mean()) ** 4).mean() / moves.var() ** 2 > 4, "tails are fat"

    def test_it_is_called_simulated_and_loads_the_same_every_time(self):
        source = SOURCES["simulated_prices"]
        assert "imulated" in source.title and "imulated" in source.summary and "imulated" in source.origin
        one, two = (drained(source.load(DataConfig(), Context().data_root))[1] for _ in range(2))
        assert one.fingerprint == two.fingerprint and torch.equal(one.train.inputs, two.train.inputs)
