"""Measures of forecasts: by hand, by scikit-learn, and their intervals."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from price_windows import MLP, TOKENS, window_splits
from pydantic import TypeAdapter
from sklearn.metrics import (
    balanced_accuracy_score,
    log_loss,
    matthews_corrcoef,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)

from engine.core.events import Scored
from engine.evaluation.forecasting import bootstrap
from engine.evaluation.forecasting.measures import (
    LAST_VALUE,
    NONE,
    TRAIN_MEAN,
    Forecast,
    forecast,
    judge_of,
    losses,
    matthews,
    mean_of,
    measured,
    reference_of,
    skill,
)
from engine.evaluation.scores import SKILL, headlines, summarise
from engine.nets import make_student

TARGETS = ("close", "direction", "both", "volatility")


@pytest.fixture(scope="module", params=TARGETS)
def splits(request):
    return window_splits(request.param)


@pytest.fixture(scope="module")
def judge(splits):
    return judge_of(splits, splits.test)


def guess(judge, seed=0):
    """A forecast that knows something."""
    random = np.random.default_rng(seed)
    move = up = NONE
    if judge.truth.move.size:
        move = 0.3 * judge.truth.move + 0.01 * random.standard_normal(len(judge.tokens))
    if judge.truth.up.size:
        up = (0.2 * judge.truth.up + 0.7 * random.random(len(judge.tokens))).clip(0.01, 0.99)
    return Forecast(move, up)


def test_reference_forecast_has_no_skill(judge):
    assert skill(judge, judge.naive[reference_of(judge.task)]) == 0
    found = measured(judge, judge.naive[reference_of(judge.task)], by_token=True)
    assert {found[SKILL], *(found[f"{SKILL}@{token}"] for token in TOKENS)} == {0}


def test_truth_has_all_skill(judge):
    truth = judge.truth if not judge.truth.up.size else Forecast(judge.truth.move, judge.truth.up.clip(1e-6, 1 - 1e-6))
    assert measured(judge, truth)[SKILL] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("splits", ["close", "both", "volatility"], indirect=True)
def test_measures_of_moves_are_those_of_scikit_learn(judge):
    truth, said = judge.truth.move, guess(judge).move
    found = measured(judge, guess(judge))
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, said))
    assert found["rmse"] == pytest.approx(math.sqrt(mean_squared_error(truth, said)))
    assert found["r2"] == pytest.approx(r2_score(truth, said))
    last = mean_squared_error(truth, judge.naive[LAST_VALUE].move)
    assert found["skill_last_value"] == pytest.approx(1 - mean_squared_error(truth, said) / last)


@pytest.mark.parametrize("splits", ["direction", "both"], indirect=True)
def test_measures_of_directions_are_those_of_scikit_learn(judge):
    truth, said, found = judge.truth.up, guess(judge).up, measured(judge, guess(judge))
    assert found["hit_rate"] == pytest.approx(((said > 0.5) == truth).mean())
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, said > 0.5))
    assert found["mcc"] == pytest.approx(matthews_corrcoef(truth, said > 0.5))
    if judge.task == "direction":
        ratio = log_loss(truth, said) / log_loss(truth, judge.naive[TRAIN_MEAN].up)
        assert found[SKILL] == pytest.approx(1 - ratio)


def test_measures_of_a_token_are_those_of_its_windows(judge):
    said = guess(judge)
    found = measured(judge, said, by_token=True)
    for token, name in enumerate(TOKENS):
        rows = judge.tokens == token

        def part(whole, rows=rows):
            return Forecast(*(each[rows] if each.size else each for each in (whole.move, whole.up)))

        naive = {key: part(value) for key, value in judge.naive.items()}
        its_own = dataclasses.replace(
            judge, tokens=judge.tokens[rows], ends=judge.ends[rows], truth=part(judge.truth), naive=naive
        )
        assert {
            metric.removesuffix(f"@{name}"): value for metric, value in found.items() if metric.endswith(f"@{name}")
        } == pytest.approx(measured(its_own, part(said)))


def test_naive_forecasts_say_what_they_are_called(splits, judge):
    bars, windows = splits.bars[0], splits.test
    mine = windows.tokens == 0
    places = np.searchsorted(bars.times, windows.ends[mine].numpy())
    close = np.log(bars.prices[:, 3])
    last = close[places] - close[places - 1]
    said = {name: naive for name, naive in judge.naive.items()}
    if splits.spec.task in ("close", "both"):
        assert np.abs(said[LAST_VALUE].move).max() < 1e-7
    if splits.spec.task == "volatility":
        assert np.allclose(said[LAST_VALUE].move[mine], np.abs(last), atol=1e-7)
    if splits.spec.task in ("direction", "both"):
        assert np.array_equal(said[LAST_VALUE].up[mine] > 0.5, last > 0)
        known = splits.train.targets[splits.train.tokens == 0, -1].mean().item()
        assert np.allclose(said[TRAIN_MEAN].up[mine], known, atol=1e-6)
    else:
        train = splits.train.tokens == 0
        values = splits.scaling.values(splits.train.targets[train, 0], splits.train.tokens[train])
        assert np.allclose(said[TRAIN_MEAN].move[mine], values.mean(), atol=1e-6)


def test_truth_is_what_the_bars_did(splits, judge):
    bars, windows = splits.bars[1], splits.test
    mine = windows.tokens == 1
    places = np.searchsorted(bars.times, windows.ends[mine].numpy())
    moved = np.log(bars.prices[places + 1, 3] / bars.prices[places, 3])
    if judge.truth.move.size:
        expected = np.abs(moved) if judge.task == "volatility" else moved
        assert np.allclose(judge.truth.move[mine], expected, atol=1e-6)
    if judge.truth.up.size:
        assert np.array_equal(judge.truth.up[mine] > 0.5, moved > 0)


def test_certain_directions_have_no_skill_but_a_hit_rate():
    splits = window_splits("direction")
    judge = judge_of(splits, splits.test)
    found = measured(judge, judge.naive[LAST_VALUE])
    assert SKILL not in found and 0 < found["hit_rate"] < 1


def test_forecast_of_no_change_is_half_right():
    splits = window_splits("close")
    judge = judge_of(splits, splits.test)
    assert measured(judge, judge.naive[LAST_VALUE])["hit_rate"] == pytest.approx(0.5, abs=0.01)
    assert measured(judge, judge.truth)["hit_rate"] == pytest.approx(1, abs=0.01)
    assert measured(judge, Forecast(-judge.truth.move, NONE))["hit_rate"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("constant", [True, False])
def test_correlation_of_a_constant_forecast_is_nought(constant):
    truth = np.array([True, False, True])
    assert matthews(truth, np.full(3, constant)) == 0 == matthews_corrcoef(truth, np.full(3, constant))


def test_student_is_read_in_the_scale_of_the_market(splits):
    student = make_student(MLP, splits.spec)
    theta = student.init(torch.Generator().manual_seed(0))
    said = forecast(student, theta, splits.test, splits)
    with torch.no_grad():
        outputs = student(theta, splits.test.inputs)
    if said.move.size:
        assert np.allclose(said.move, splits.scaling.values(outputs[:, 0], splits.test.tokens), atol=1e-7)
    if said.up.size:
        assert np.allclose(said.up, outputs[:, -2:].softmax(1)[:, 1].numpy(), atol=1e-6)
    assert (not said.move.size, not said.up.size) == (splits.spec.task == "direction", splits.spec.num_outputs == 1)


def test_diverged_student_is_scored_and_badly(splits, judge):
    student = make_student(MLP, splits.spec)
    said = forecast(student, torch.full((student.num_params,), float("nan")), splits.test, splits)
    value = skill(judge, said)
    assert math.isfinite(value) and value <= 0


def test_forecasts_survive_a_file(judge):
    said = guess(judge)
    again = TypeAdapter(Forecast).validate_json(TypeAdapter(Forecast).dump_json(said))
    assert measured(judge, again) == measured(judge, said)
    both = mean_of([said, guess(judge, 1)])
    for name in ("move", "up"):
        if getattr(said, name) is not None:
            middle = (getattr(said, name) + getattr(guess(judge, 1), name)) / 2
            assert np.allclose(getattr(both, name), middle)


# ------------------------------------------------------------------------------------------- intervals


def series(num_dates=400, num_tokens=2, seed=0):
    """Losses around 1 that stay high or low for weeks, all tokens alike, and when."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal(num_dates + 10)
    slow = np.convolve(noise, np.ones(10) / math.sqrt(10), "valid")[:num_dates]
    losses = np.repeat(1 + 0.2 * slow, num_tokens) + 0.05 * random.standard_normal(num_dates * num_tokens)
    return losses, np.repeat(86_400 * np.arange(num_dates), num_tokens)


def test_students_are_drawn_apart_from_the_dates():
    """With as many students as blocks, both drawn by the same numbers, a period of one date would always have the
    student of its place.
    """
    dates = 5 * bootstrap.block_length(100)
    losses_ = np.add.outer(np.arange(dates) // (dates / 5), np.arange(5.0))
    drawn = 1 - bootstrap.skills([losses_], np.ones(dates), np.arange(dates))[:, 0]
    students = 1 - bootstrap.skills([np.tile(np.arange(5.0), (dates, 1))], np.ones(dates), np.arange(dates))[:, 0]
    periods = 1 - bootstrap.skills([np.repeat(losses_[:, :1], 5, 1)], np.ones(dates), np.arange(dates))[:, 0]
    assert abs(np.corrcoef(students, periods)[0, 1]) < 0.15
    assert drawn == pytest.approx(students + periods)


def test_bootstrap_is_seeded():
    losses_, ends = series()
    first, second = (bootstrap.skills([losses_[:, None]], np.full(len(ends), 2.0), ends) for _ in range(2))
    assert np.array_equal(first, second) and first.shape == (1000, 1) and first.std() > 0


def test_interval_covers_a_known_mean_about_as_often_as_it_says():
    covered = 0
    for seed in range(40):
        losses_, ends = series(seed=seed)
        low, high = bootstrap.interval(bootstrap.skills([losses_[:, None]], np.full(len(ends), 2.0), ends)[:, 0])
        covered += low < 0.5 < high
    assert covered >= 33


def test_blocks_of_dependent_dates_make_wider_intervals_than_single_windows():
    losses_, ends = series()
    low, high = bootstrap.interval(bootstrap.skills([losses_[:, None]], np.full(len(ends), 2.0), ends)[:, 0])
    single = losses_.std() / 2 / math.sqrt(len(losses_))
    assert high - low > 2 * (2 * 1.96 * single)


def test_tokens_of_a_date_are_resampled_together():
    """Opposite losses of two tokens cancel on every date, so no resample of dates differs from another."""
    ends = np.repeat(np.arange(100), 2)
    losses_ = 1 + np.tile([0.5, -0.5], 100)
    drawn = bootstrap.skills([losses_[:, None]], np.ones(200), ends)
    assert np.allclose(drawn, 0)


def test_every_date_is_in_as_many_blocks():
    losses_ = np.random.default_rng(0).random(100)
    length = bootstrap.block_length(100)
    assert length == 20
    assert bootstrap.block_sums(losses_[:, None], np.arange(100)).sum() == pytest.approx(length * losses_.sum())


@pytest.mark.parametrize(("dates", "horizon", "expected"), [(1000, 1, 20), (1000, 64, 64), (50, 1, 10), (3, 1, 1)])
def test_blocks_are_as_long_as_the_horizon_and_the_period_allow(dates, horizon, expected):
    assert bootstrap.block_length(dates, horizon) == expected


def test_equal_arms_differ_by_nothing_in_every_resample():
    losses_, ends = series()
    drawn = bootstrap.skills([losses_[:, None]] * 2, np.full(len(ends), 2.0), ends)
    assert np.array_equal(drawn[:, 0], drawn[:, 1])


def test_students_that_differ_make_wider_intervals_than_as_many_that_agree():
    losses_, ends = series()
    alike, apart = np.stack([losses_] * 3, 1), losses_[:, None] * np.array([0.6, 1.0, 1.4])
    drawn = bootstrap.skills([alike, apart], np.full(len(ends), 2.0), ends)
    assert drawn[:, 1].std() > 2 * drawn[:, 0].std()
    assert drawn[:, 1].mean() == pytest.approx(drawn[:, 0].mean(), abs=0.02)


# ------------------------------------------------------------------------------------------- rows


def test_intervals_of_skill_are_not_cut_off():
    scores = [
        Scored(arm="distilled", protocol="ordinary", student="lstm", seed=seed, metric=SKILL, value=value, seconds=1.0)
        for seed, value in enumerate((-0.4, 0.1))
    ]
    (row,) = headlines(summarise(scores))
    assert row.low < -1 and row.mean == pytest.approx(-0.15)


def test_losses_are_squares_of_log_returns_or_log_losses(judge):
    said = guess(judge)
    expected = (
        -np.log(np.where(judge.truth.up > 0.5, said.up, 1 - said.up))
        if judge.task == "direction"
        else (judge.truth.move - said.move) ** 2
    )
    assert np.allclose(losses(judge, said), expected)
