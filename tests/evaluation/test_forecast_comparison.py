"""Forecasters trained on distilled windows, on real ones, and no forecaster at all."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest
import torch
from comparing import events_of, forecasts
from draining import drained
from price_windows import TOKENS, candle_set, window_splits

from engine import Context, EvaluationConfig, RunRequest, StudentConfig, run
from engine.core.events import Analysed, Progress, Scored, Warned
from engine.evaluation.comparison import baseline as measured_before
from engine.evaluation.comparison import planned_seconds
from engine.evaluation.forecasting.comparison import ForecastComparison, lengths_of, windows_per_token
from engine.evaluation.forecasting.draws import DRAWS, kmeans_windows, num_bytes
from engine.evaluation.forecasting.findings import AGAINST, verdict
from engine.evaluation.ratios import against_full
from engine.evaluation.scores import RANDOM, SKILL, baselines, best_by_arm, headlines, summarise
from engine.methods.ohlc.config import OhlcConfig

QUICK = EvaluationConfig(num_students=2, ordinary_steps=12, inner_steps=24, batch_size=64, full_epochs=1)
LINEAR = StudentConfig(name="linear")
SMALL_ARMS = QUICK.model_copy(update={"compare_full": False})
TRAINED = ("distilled", "random_real", "random_samples", "kmeans_real", "full")
LEADS = [lead for lead, _ in AGAINST.values()]
MOVES = {SKILL, "skill_last_value", "mae", "rmse", "r2"}
DIRECTIONS = {"hit_rate", "balanced_accuracy", "mcc"}
METRICS = {
    "close": MOVES | {"hit_rate"},
    "volatility": MOVES,
    "direction": {SKILL} | DIRECTIONS,
    "both": MOVES | DIRECTIONS,
}


def events(splits, context, synthetic=None, evaluation=QUICK, others=None):
    return events_of(forecasts(synthetic or candle_set(splits), splits, LINEAR, evaluation, context, others))


def scores_of(found):
    return [event for event in found if isinstance(event, Scored)]


def analyses_of(found):
    return {event.name: event.values for event in found if isinstance(event, Analysed)}


@pytest.fixture(scope="module", params=METRICS)
def splits(request):
    return window_splits(request.param)


@pytest.fixture(scope="module")
def found(splits, tmp_path_factory):
    """All events of a comparison."""
    return events(splits, Context(cache_root=tmp_path_factory.mktemp("cache")))


def test_every_arm_has_every_measure_of_its_task(splits, found):
    target = splits.spec.task
    by_arm = {}
    for score in scores_of(found):
        assert math.isfinite(score.value)
        by_arm.setdefault((score.arm, score.protocol, score.split), set()).add(score.metric)
    protocols = {(arm, protocol) for arm in TRAINED[:4] for protocol in ("as_distilled", "ordinary")} | {
        ("full", "ordinary"),
        ("last_value", "naive"),
        ("train_mean", "naive"),
    }
    assert {(arm, protocol) for arm, protocol, _ in by_arm} == protocols
    for (arm, _, split), metrics in by_arm.items():
        expected = METRICS[target] - ({SKILL} if (arm, target) == ("last_value", "direction") else set())
        if split == "test":
            expected = expected | {f"{metric}@{token}" for metric in expected for token in TOKENS}
        assert metrics == expected, (arm, split)


def test_every_student_is_scored_once_on_each_part(found):
    counted = Counter((score.arm, score.protocol, score.split, score.metric, score.seed) for score in scores_of(found))
    assert set(counted.values()) == {1}
    rows = {(row.arm, row.protocol): row.n for row in headlines(summarise(scores_of(found)))}
    assert {n for (_, protocol), n in rows.items() if protocol == "naive"} == {1}
    assert {n for (_, protocol), n in rows.items() if protocol != "naive"} == {2}


def test_small_arms_are_windows_of_each_token_and_their_bytes_are_told(splits, found):
    sizes = {score.arm: (score.num_samples, score.num_bytes) for score in scores_of(found)}
    total, size = 2 * len(TOKENS), candle_set(splits).num_bytes()
    each = 2 * (10 * 5 + splits.spec.num_outputs)
    fitted = len(TOKENS) * (size // (len(TOKENS) * each))
    assert sizes["random_real"] == sizes["kmeans_real"] == (fitted, fitted * each) and fitted > total
    assert sizes["random_samples"] == (total, total * each)
    assert sizes["distilled"] == (total, size)
    assert sizes["full"] == (len(splits.train), num_bytes(len(splits.train), splits.spec))
    assert 0 <= size - sizes["random_real"][1] < len(TOKENS) * each, "one window more of each token would not fit"


def test_recipes_say_rate_and_length_and_what_they_were_chosen_from(found):
    for score in scores_of(found):
        if score.arm in TRAINED:
            assert set(score.training) == {"num_steps", "batch_size", "lr"}
            assert f"{score.training['num_steps']:,}" in score.recipe and "by validation data" in score.recipe
            assert score.seconds > 0
        else:
            assert score.recipe.startswith("No network")


def test_analyses_are_complete(splits, found):
    values = analyses_of(found)
    assert {"intervals", "forecasts", "verdict", "privacy", "facts"} == set(values)
    intervals = values["intervals"]["linear"]
    assert set(intervals) == {*TRAINED, "train_mean"} | ({"last_value"} if splits.spec.task != "direction" else set())
    assert all(low <= high for arm in intervals.values() for low, high in arm.values())
    assert all(low < high for low, high in (intervals["distilled"][lead] for lead in LEADS))
    shown = values["forecasts"]
    assert shown["target"] == splits.spec.task and [each["token"] for each in shown["tokens"]] == list(TOKENS)
    for number, each in enumerate(shown["tokens"]):
        size = int((splits.test.tokens == number).sum())
        lists = [each["times"], each["truth"], each["closes"], *each["arms"].values()]
        assert {len(one) for one in lists} == {size} and each["times"] == sorted(each["times"])
        assert {"distilled", "random_real", "full", "last_value"} <= set(each["arms"])


def test_interval_of_an_arm_is_around_its_skill(splits, found):
    intervals = analyses_of(found)["intervals"]["linear"]
    for arm, row in best_by_arm(scores_of(found), "linear").items():
        low, high = intervals[arm][SKILL]
        assert low <= row.mean <= high


def test_shown_forecast_is_the_mean_of_what_students_say(splits, found):
    """So its error is at most the mean of theirs."""
    shown = analyses_of(found)["forecasts"]["tokens"][0]
    if splits.spec.task == "direction":
        assert set(shown["truth"]) == {0.0, 1.0} and all(0 < value < 1 for value in shown["arms"]["distilled"])
        return
    error = np.sqrt(np.mean((np.array(shown["truth"]) - np.array(shown["arms"]["distilled"])) ** 2))
    best = best_by_arm(scores_of(found), "linear")["distilled"]
    rows = {(row.arm, row.protocol, row.metric): row for row in summarise(scores_of(found))}
    assert error <= rows["distilled", best.protocol, f"rmse@{TOKENS[0]}"].mean + 1e-6


def test_headline_against_full_is_a_ratio_of_errors(found):
    rows = summarise(scores_of(found))
    figures = against_full(scores_of(found), "linear")
    skills = {(row.arm, row.protocol): row.mean for row in headlines(rows)}
    assert figures["retention"] == {} and set(figures["error_ratio"]) == {"as_distilled", "ordinary"}
    expected = (1 - skills["distilled", "ordinary"]) / (1 - skills["full", "ordinary"])
    assert figures["error_ratio"]["ordinary"] == pytest.approx(expected)


def test_test_bars_choose_nothing(splits, found, tmp_path):
    test = splits.test
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(1))
    other = dataclasses.replace(
        test, targets=test.targets[order], inputs=test.inputs.flip(0), last_value=test.last_value[order]
    )
    fooled = scores_of(events(dataclasses.replace(splits, test=other), Context(cache_root=tmp_path)))
    before = scores_of(found)
    assert [score.recipe for score in before] == [score.recipe for score in fooled]
    for split, is_same in (("validation", True), ("test", False)):
        first, second = ([score.value for score in each if score.split == split] for each in (before, fooled))
        assert (first == second) == is_same


# ------------------------------------------------------------------------------------------- one task is enough


@pytest.fixture(scope="module")
def volatility():
    return window_splits("volatility")


@pytest.fixture(scope="module")
def compared(volatility, tmp_path_factory):
    """All events of a comparison, and its context."""
    context = Context(cache_root=tmp_path_factory.mktemp("cache"))
    return events(volatility, context), context


def test_real_arms_are_measured_once(volatility, compared):
    first, context = compared
    second = scores_of(events(volatility, dataclasses.replace(context, seed=3)))
    for before, again in zip(scores_of(first), second, strict=True):
        assert not before.cached and again.cached == (before.arm in TRAINED[1:])
        assert (again.value, again.recipe) == (before.value, before.recipe)


def test_a_run_is_held_against_random_windows_on_validation_data_alone(volatility, tmp_path):
    context = Context(cache_root=tmp_path)
    config = OhlcConfig(student=LINEAR, sequences_per_token=2)
    found = scores_of(measured_before(ForecastComparison(volatility, config, QUICK, context)))
    told = {(score.arm, score.split, score.protocol) for score in found}
    assert told == {(arm, "validation", "ordinary") for arm in RANDOM}
    assert {arm: row.metric for arm, row in baselines(found).items()} == dict.fromkeys(RANDOM, SKILL)
    synthetic = candle_set(volatility).as_stored(16)  # as many bytes as planned
    again = [score for score in scores_of(events(volatility, context, synthetic, SMALL_ARMS)) if score.cached]
    assert {(score.arm, score.protocol) for score in again} == {(arm, "ordinary") for arm in RANDOM}


def test_random_windows_are_measured_alike_before_a_run_and_after_it(tmp_path):
    config = {
        "student": {"name": "linear"},
        "outer_steps": 1,
        "unroll_length": 2,
        "real_batch": 8,
        "num_validations": 0,
    }
    request = RunRequest(source="simulated_prices", method="ohlc", config=config, evaluation=QUICK)
    scores = scores_of(run(request, Context(cache_root=tmp_path)))
    found = [
        (score.seed, score.value)
        for score in scores
        if (score.arm, score.protocol, score.split, score.metric) == ("random_real", "ordinary", "validation", SKILL)
    ]
    count = QUICK.num_students
    assert len(found) == 2 * count and found[:count] == found[count:]


def test_other_architectures_are_compared_on_all_windows_too(volatility, tmp_path):
    evaluation = QUICK.model_copy(update={"students": ("mlp",), "num_students": 1})
    found = events(volatility, Context(cache_root=tmp_path), evaluation=evaluation)
    for student in ("linear", "mlp"):
        assert set(best_by_arm(scores_of(found), student)) == {*TRAINED, "last_value", "train_mean"}
    assert set(analyses_of(found)["intervals"]) == {"linear", "mlp"}
    recipes = {
        score.student: score.recipe
        for score in scores_of(found)
        if (score.arm, score.protocol) == ("distilled", "as_distilled")
    }
    assert " and rate of 0.003, 0.0003, 0.001 by" in recipes["mlp"] and " and rate of " not in recipes["linear"]


def test_without_full_data_nothing_is_trained_on_them(volatility, tmp_path):
    found = events(volatility, Context(cache_root=tmp_path), evaluation=SMALL_ARMS)
    assert "full" not in {score.arm for score in scores_of(found)}
    assert "full" not in analyses_of(found)["forecasts"]["tokens"][0]["arms"]


def test_set_of_one_start_is_scored_once_as_distilled(volatility, tmp_path):
    synthetic = candle_set(volatility, start_seed=7)
    found = events(volatility, Context(cache_root=tmp_path), synthetic, SMALL_ARMS)
    rows = headlines(summarise(scores_of(found)))
    assert {row.protocol: row.n for row in rows if row.arm == "distilled"} == {"as_distilled": 1, "ordinary": 2}


def test_long_stretches_tell_progress(found):
    phases = [event.phase for event in found if isinstance(event, Progress)]
    assert any("the distilled set" in phase for phase in phases) and any("try rate" in phase for phase in phases)


def test_lengths_are_halves_down_to_a_few_steps_and_the_set_s_own():
    assert lengths_of(300) == (5, 10, 19, 38, 75, 150, 300)
    assert lengths_of(40, own=25) == (5, 10, 20, 25, 40)
    assert lengths_of(1) == (1,)


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_real_windows_of_each_token_and_seeded(volatility, name):
    train, counts = volatility.train, [3, 1]
    first, second = (DRAWS[name](train, counts, torch.Generator().manual_seed(5)) for _ in range(2))
    assert first.tokens.tolist() == [0, 0, 0, 1] and torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.ends, second.ends) and len(first.inputs.unique(dim=0)) == 4
    for inputs, token, end in zip(first.inputs, first.tokens, first.ends, strict=True):
        (place,) = ((train.tokens == token) & (train.ends == end)).nonzero().flatten()
        assert torch.equal(inputs, train.inputs[place])


def test_one_window_by_kmeans_is_the_one_nearest_to_the_mean(volatility):
    train = volatility.train
    (chosen,) = kmeans_windows(train, [0, 1], torch.Generator().manual_seed(0)).inputs
    mine = train.inputs[train.tokens == 1]
    distances = (mine - mine.mean(0)).flatten(1).norm(dim=1)
    assert torch.allclose((chosen - mine.mean(0)).norm(), distances.min(), atol=1e-4)


def test_windows_per_token_are_the_set_s(volatility):
    assert windows_per_token(candle_set(volatility, sequences_per_token=3)) == (3, 3)


@pytest.mark.parametrize(
    ("lows", "beats", "said"),
    [
        ({"distilled": 0.02, "full": 0.1}, True, "forecast better than the training mean"),
        ({"distilled": -0.02, "full": 0.1}, True, "do not forecast better than the training mean"),
        ({"distilled": -0.02, "full": 0.0}, False, "Nothing here beats the naive forecast"),
    ],
)
def test_verdict_says_plainly_whether_anything_beats_the_naive_forecast(lows, beats, said):
    intervals = {arm: {SKILL: [low, low + 0.1]} for arm, low in lows.items()}
    intervals["distilled"] |= {LEADS[0]: [-0.1, 0.1], LEADS[1]: [0.05, 0.1]}
    found = verdict(intervals, {arm: low + 0.05 for arm, low in lows.items()}, "volatility")
    assert found["beats_naive"] is beats and said in found["sentence"]
    alike = "neither clearly better nor clearly worse training data than random real windows of equal bytes."
    assert found["sentence"].endswith(
        f"{alike} The distilled set is better training data than as many random real windows."
    )


def test_verdict_says_where_another_architecture_beats_the_naive_forecast():
    intervals = {arm: {SKILL: [-0.1, 0.1]} for arm in ("distilled", "random_real", "full")}
    intervals["distilled"] |= {LEADS[0]: [-0.1, 0.1], LEADS[1]: [0.05, 0.1]}
    skills = dict.fromkeys(intervals, 0.0)
    elsewhere = {"transformer": {"distilled": {SKILL: [-0.1, 0.1]}, "full": {SKILL: [0.02, 0.1]}}}
    found = verdict(intervals, skills, "volatility", elsewhere)
    assert found["beats_naive"] and "With another architecture (Transformer) some do." in found["sentence"]
    elsewhere["transformer"]["full"] = {SKILL: [-0.02, 0.1]}
    found = verdict(intervals, skills, "volatility", elsewhere)
    assert not found["beats_naive"] and found["sentence"].startswith("Nothing here beats")


# ------------------------------------------------------------------------------------------- adaptation and cost


def test_adaptation_begins_with_the_students_and_measures_both_starts_alike(volatility, tmp_path):
    other = window_splits("volatility", tokens=("SIM-X",), seed=4)
    found = events(volatility, Context(cache_root=tmp_path), others={"simulated": other})
    values = analyses_of(found)["adaptation"]
    assert values["token"] == "SIM-X" and values["metric"] == "rmse" and values["naive"] > 0
    assert set(values["arms"]) == {"distilled", "scratch"} and values["steps"][0] == 0
    for arm in values["arms"].values():
        assert len(arm["mean"]) == len(arm["std"]) == len(values["steps"]) and min(arm["mean"]) > 0
        assert arm["mean"][-1] != arm["mean"][0]


def test_source_of_other_windows_is_passed_over_with_a_word(volatility, tmp_path):
    other = window_splits("volatility", tokens=("SIM-X",), seed=4, window_length=12)
    found = events(volatility, Context(cache_root=tmp_path), evaluation=SMALL_ARMS, others={"simulated": other})
    assert "adaptation" not in analyses_of(found)
    (said,) = [event.message for event in found if isinstance(event, Warned)]
    assert "its windows differ from those of this run" in said


def test_trial_tells_seconds_that_grow_with_the_work(volatility, tmp_path):
    def seconds(**changes):
        evaluation = QUICK.model_copy(update=changes)
        context = Context(cache_root=tmp_path)
        compared = forecasts(candle_set(volatility), volatility, LINEAR, evaluation, context)
        return sum(drained(planned_seconds(compared, compared.plan(), {}, 0.01))[1].values())

    assert 0 < seconds() < seconds(num_students=200, inner_steps=20_000)
    assert not list(tmp_path.iterdir())


def test_the_starting_set_is_a_training_set_of_its_own_with_a_rate_of_its_own(volatility, tmp_path):
    synthetic, begun = candle_set(volatility, images_from="noise"), candle_set(volatility)
    config = OhlcConfig(student=LINEAR, sequences_per_token=2)
    compared = ForecastComparison(volatility, config, QUICK, Context(cache_root=tmp_path), synthetic, None, begun)
    found = events_of(compared)
    rows = {(row.arm, row.protocol): row for row in headlines(summarise(scores_of(found)))}
    assert {protocol for arm, protocol in rows if arm == "start"} == {"as_distilled", "ordinary"}
    assert rows["start", "ordinary"].mean != rows["distilled", "ordinary"].mean
    assert " and rate of " in rows["start", "as_distilled"].recipe, "chosen on validation windows"
    assert not rows["start", "ordinary"].cached and rows["start", "ordinary"].num_bytes == begun.num_bytes()
    assert set(analyses_of(found)["intervals"]["linear"]) == {*TRAINED, "start", "train_mean", "last_value"}


def test_both_random_arms_are_one_training_where_the_bytes_hold_as_many_windows(volatility, tmp_path):
    synthetic = candle_set(volatility).as_stored(16)
    found = events(volatility, Context(cache_root=tmp_path), synthetic)
    sizes = {score.arm: (score.num_samples, score.num_bytes) for score in scores_of(found)}
    assert sizes["random_real"] == sizes["random_samples"] and sizes["random_real"][0] == synthetic.num_samples
    values = {arm: [s.value for s in scores_of(found) if s.arm == arm] for arm in RANDOM}
    assert values["random_real"] == values["random_samples"]
    assert set(RANDOM) <= set(analyses_of(found)["intervals"]["linear"])
