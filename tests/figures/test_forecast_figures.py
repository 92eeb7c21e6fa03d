"""Forecasts, privacy, stylised facts and adaptation as figures; skills where accuracies stand otherwise; targets in
words.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import engine
from engine import figures
from engine.core.events import CandleView
from engine.data.prices.scaling import WindowScaling
from engine.figures import formats
from engine.runs.curves import Series

DAY = 86_400
TRUTH = [0.01, -0.02, 0.0, 0.03]
TOKEN = {
    "token": "BTC",
    "times": [1_600_000_000 + day * DAY for day in range(4)],
    "truth": TRUTH,
    "closes": [100.0, 101.0, 99.0, 99.0],
    "arms": {"distilled": [0.001] * 4, "last_value": [0.0] * 4},
}


def row(arm: str, mean: float, metric: str = "skill", **changes: object) -> engine.Row:
    """One arm over three students."""
    common = {"protocol": "ordinary", "student": "lstm", "std": 0.01, "low": mean - 0.02, "high": mean + 0.02, "n": 3}
    common |= {"seconds": 1.0, "num_samples": 3, "num_bytes": 900, "recipe": "", "training": {}, "cached": False}
    return engine.Row(arm=arm, metric=metric, mean=mean, **(common | changes))


def lines(figure) -> dict[str, list[float]]:
    return {trace.name: list(trace.y) for trace in figure.data}


# ---- forecasts ----


def test_forecasts_stand_in_per_cent_by_date():
    figure = figures.forecast(TOKEN, "close")
    found = lines(figure)
    assert found["Truth"] == pytest.approx([1, -2, 0, 3]) and found["Distilled"] == pytest.approx([0.1] * 4)
    assert found["Last value"] == [0.0] * 4
    assert str(figure.data[0].x[1])[:10] == "2020-09-14"


def test_forecasts_as_prices_multiply_the_last_close():
    found = lines(figures.forecast(TOKEN, "close", as_prices=True))
    assert found["Truth"] == pytest.approx(np.array(TOKEN["closes"]) * np.exp(TRUTH))
    assert found["Last value"] == TOKEN["closes"]


@pytest.mark.parametrize(("target", "shown"), [("close", "last_value"), ("volatility", "train_mean")])
def test_the_naive_forecast_that_skill_counts_from_is_in_sight(target, shown):
    arms = dict.fromkeys(("distilled", "random_real", "full", "last_value", "train_mean"), [0.0] * 4)
    figure = figures.forecast(TOKEN | {"arms": arms}, target)
    hidden = {trace.name for trace in figure.data if trace.visible == "legendonly"}
    assert hidden == {figures.arm_name(arm) for arm in arms if arm not in ("distilled", "full", shown)}


def test_directions_are_dots_between_never_and_always():
    figure = figures.forecast(TOKEN | {"truth": [0, 1, 1, 0], "arms": {"distilled": [0.4, 0.6, 0.5, 0.5]}}, "direction")
    assert figure.data[0].mode == "markers" and list(figure.data[0].y) == [0, 100, 100, 0]
    assert figure.layout.yaxis.range == (-5, 105)


# ---- privacy and facts ----


def test_every_distilled_sequence_is_marked_over_the_distances_between_real_ones():
    real = np.linspace(0.5, 1.5, 200).tolist()
    figure = figures.nearest_distances({"nearest": {"distilled": [0.0, 0.7], "real": real}})
    bars, diamonds = figure.data
    assert sum(bars.y) == pytest.approx(100) and list(diamonds.x) == [0.0, 0.7]
    assert min(diamonds.y) > max(bars.y)


def test_tails_tell_the_kurtosis_and_the_share_of_bars_that_move_further():
    values = {
        "real": {"returns": [-3.0, 0.5, 1.0, 8.0], "kurtosis": 5.31},
        "distilled": {"returns": [0.1], "kurtosis": -0.2},
    }
    figure = figures.tails(values)
    assert [trace.name for trace in figure.data] == ["Real, kurtosis 5.3", "Distilled, kurtosis −0.2", "normal, 0"]
    real, _, normal = figure.data
    assert list(real.x) == [0.5, 1, 3, 8] and list(real.y) == [100, 75, 50, 25]
    assert np.interp(1.96, normal.x, normal.y) == pytest.approx(5, abs=0.05)


@pytest.mark.parametrize("has_chance", [True, False])
def test_autocorrelation_has_a_bar_a_lag_and_whiskers_of_chance_where_they_are_known(has_chance):
    values = {"real": {"acf_squared": [0.3, 0.1]}, "distilled": {"acf_squared": [0.2, 0.0]}}
    chance = {"chance": {"low": {"acf_squared": [-0.1, -0.2]}, "high": {"acf_squared": [0.5, 0.2]}}}
    figure = figures.autocorrelation(values | (chance if has_chance else {}), "acf_squared")
    assert list(figure.data[0].x) == [1, 2] and list(figure.data[1].y) == [0.2, 0.0]
    assert len(figure.data) == 3 if has_chance else 2
    if has_chance:
        whiskers = figure.data[2]
        assert list(whiskers.y + whiskers.error_y.array) == pytest.approx([0.5, 0.2])


def test_adaptation_has_a_band_of_one_deviation_and_the_naive_error():
    curve = {"mean": [0.05, 0.03], "std": [0.01, 0.002]}
    values = {
        "token": "X",
        "steps": [0, 100],
        "metric": "rmse",
        "naive": 0.04,
        "arms": {"distilled": curve, "scratch": curve},
    }
    figure = figures.adaptation(values)
    assert [list(trace.y) for trace in figure.data[:3]] == [pytest.approx(y) for y in ([6, 3.2], [4, 2.8], [5, 3])]
    assert lines(figure)["naive forecast"] == pytest.approx([4, 4])
    of_directions = figures.adaptation(values | {"metric": "log_loss", "naive": 0.69})
    assert lines(of_directions)["naive forecast"] == [0.69, 0.69] and "%" not in of_directions.layout.yaxis.title.text


# ---- targets in words ----


def view(outputs: tuple[str, ...], targets: list[list[float]]) -> CandleView:
    tokens = ("BTC", "ETH")[: len(targets)]
    return CandleView(np.ones((len(targets), 4, 5), np.float32), tokens, np.array(targets, np.float32), outputs)


@pytest.mark.parametrize(
    ("outputs", "target", "value", "told"),
    [
        (("close",), [0.8], None, "next close 0.8 standard deviations above the mean"),
        (("close",), [-0.8], -0.02, "next close −2.0 %"),
        (("close",), [0.5], math.log(1.012), "next close +1.2 %"),
        (("close",), [0.5], -1e-6, "next close 0.0 %"),
        (("volatility",), [-0.5], None, "volatility 0.5 standard deviations below the mean"),
        (("volatility",), [-0.5], 0.024, "volatility 2.4 %"),
        (("down", "up"), [0.37, 0.63], None, "up with 63 %"),
        (("close", "down", "up"), [1.0, 0.25, 0.75], 0.01, "next close +1.0 %, up with 75 %"),
    ],
)
def test_targets_are_told_in_words(outputs, target, value, told):
    shift = torch.tensor([0.0 if value is None else value - target[0]], dtype=torch.float64)
    ones = torch.ones(1, 5, dtype=torch.float64)
    scaling = WindowScaling("returns", 0 * ones, ones, shift, torch.ones(1, dtype=torch.float64))
    known = () if value is None else (scaling, ("BTC",))
    assert figures.target_words(view(outputs, [target]), *known) == [told]


def test_targets_are_scaled_by_the_token_they_are_of():
    ones = torch.ones(2, 5, dtype=torch.float64)
    shift, scale = torch.tensor([0.0, 0.01], dtype=torch.float64), torch.tensor([0.02, 0.05], dtype=torch.float64)
    scaling, known = WindowScaling("returns", 0 * ones, ones, shift, scale), ("BTC", "ETH")
    closes = view(("close",), [[0.5], [-1.0]])
    assert figures.forecasts._values(closes, scaling, known) == pytest.approx([0.01, -0.04])
    assert figures.forecasts._values(view(("down", "up"), [[0.5, 0.5]]), scaling, known) is None
    assert figures.forecasts._values(closes, scaling, ("BTC", "SOL")) is None
    assert figures.forecasts._values(closes, None, known) is None


# ---- skills where accuracies stand otherwise ----


def test_negative_shares_have_a_minus_and_what_rounds_to_nothing_has_no_sign():
    assert formats.percent(-0.042) == "−4.2 %" and formats.percent(-0.0001) == "0.0 %"
    assert formats.percent_spread(-0.5, 0.01, 3) == "−50.0 ± 1.0 %"


def test_bars_of_skill_leave_out_forecasts_of_no_network_and_are_not_clipped_at_nothing():
    rows = [row("distilled", 0.03), row("random_real", -0.4), row("last_value", 0.0, protocol="naive")]
    figure = figures.scores(rows)
    assert [trace.name for trace in figure.data] == ["Distilled", "Random real, equal bytes"]
    assert figure.layout.yaxis.title.text == "test skill (%)" and figure.layout.yaxis.range[0] < -40
    assert list(figure.data[1].text) == ["−40.0"]
    several = figures.runs([("a", row("distilled", 0.03)), ("a", rows[2])])
    assert several.layout.xaxis.title.text == "test skill (%)" and len(several.data) == 1


def test_skill_far_below_nothing_leaves_room_for_the_others():
    low, high = figures.scores([row("distilled", 0.03), row("random_real", -25.0)]).layout.yaxis.range
    assert -110 < low <= -100 and high > 3


def test_intervals_far_beyond_all_means_are_cut_off():
    low, high = figures.scores([row("distilled", 0.03), row("full", 0.05, low=-9.0, high=9.0)]).layout.yaxis.range
    assert -10 < low < 0 and 5 < high < 15


def test_bars_of_accuracy_reach_from_nothing_to_all():
    figure = figures.scores([row("distilled", 0.9, "accuracy")])
    assert figure.layout.yaxis.range == (0, 100) and figure.layout.yaxis.title.text == "test accuracy (%)"


def test_numbers_stand_in_bars_whose_whiskers_leave_them_room_and_more_bars_are_drawn_taller():
    wide = row("random_real", 0.5, "accuracy", low=0.1, high=0.9)
    figure = figures.scores([row("distilled", 0.9, "accuracy"), wide, row("start", 0.1, "accuracy")])
    assert [trace.text[0] for trace in figure.data] == ["90.0", "", ""]
    many = [row(arm, 0.9, "accuracy") for arm in ("distilled", "start", "random_real", "random_samples", "full")]
    assert figures.scores(many).layout.height > figure.layout.height


def test_bars_of_naive_forecasts_alone_are_empty():
    assert not figures.scores([row("last_value", 0.0, protocol="naive")]).data


def test_matrix_has_no_column_for_forecasts_of_no_network():
    cells = {"lstm": {"distilled": row("distilled", -0.03), "train_mean": row("train_mean", 0.0)}}
    assert figures.matrix_arms(cells) == ["distilled"]
    assert "−3.0" in figures.matrix(cells, ["LSTM"]).data[0].text[0][0]


def test_sweep_over_skills_says_so():
    figure = figures.sweep_line([(1, {"distilled": row("distilled", -0.1)})], "width")
    assert figure.layout.yaxis.title.text == "validation skill (%)" and list(figure.data[0].y) == [-10]


def test_curve_of_skill_is_in_per_cent_with_its_reference():
    series = {"validation_skill": Series(np.array([10, 20]), np.array([-0.1, 0.02]))}
    found = lines(figures.curve("validation_skill", series, references={"random_real": -0.04}))
    assert found == {"skill, validation": [-10, 2], "random real, equal bytes": [-4, -4]}
