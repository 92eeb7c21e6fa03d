"""Means, intervals and ratios are what a statistics book says."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from engine.evaluation.scores import against_full, best_by_arm, summarise
from engine.events import Scored


def scored(arm, seed, value, *, protocol="ordinary", seconds=1.0, split="test"):
    return Scored(
        arm=arm,
        protocol=protocol,
        student="mlp",
        seed=seed,
        metric="accuracy",
        value=value,
        seconds=seconds,
        split=split,
    )


def test_mean_deviation_and_interval():
    values = [0.81, 0.84, 0.90, 0.79]
    (row,) = summarise(scored("distilled", seed, value) for seed, value in enumerate(values))
    low, high = stats.t.interval(0.95, 3, loc=row.mean, scale=stats.sem(values))
    assert row.n == 4
    assert row.mean == pytest.approx(0.835)
    assert row.std == pytest.approx(stats.tstd(values))
    assert (row.low, row.high) == pytest.approx((low, high))


def test_one_student_has_no_spread():
    (row,) = summarise([scored("full", 0, 0.9)])
    assert row.mean == 0.9 and math.isnan(row.std) and math.isnan(row.low)


def test_validation_scores_are_not_mixed_with_test_scores():
    rows = summarise([scored("random_real", 0, 0.4), scored("random_real", 0, 0.6, split="validation")])
    assert [row.mean for row in rows] == [0.4]


def test_ratios_against_full():
    scores = [
        scored("distilled", 0, 0.8, protocol="as_distilled", seconds=0.5),
        scored("distilled", 0, 0.6, seconds=4.0),
        scored("full", 0, 0.9, seconds=20.0),
    ]
    ratios = against_full(summarise(scores), "mlp")
    assert ratios["retention"] == pytest.approx({"as_distilled": 0.8 / 0.9, "ordinary": 0.6 / 0.9})
    assert ratios["speed_up"] == pytest.approx({"as_distilled": 40.0, "ordinary": 5.0})


def test_without_a_full_arm_there_are_no_ratios():
    assert against_full(summarise([scored("distilled", 0, 0.8)]), "mlp") == {"retention": {}, "speed_up": {}}


def test_headline_shows_each_arm_under_its_best_protocol():
    scores = [
        scored("distilled", 0, 0.8, protocol="as_distilled"),
        scored("distilled", 0, 0.6),
        scored("random_real", 0, 0.2, protocol="as_distilled"),
        scored("random_real", 0, 0.5),
    ]
    best = best_by_arm(scores, "mlp")
    assert {arm: (row.protocol, row.mean) for arm, row in best.items()} == {
        "distilled": ("as_distilled", 0.8),
        "random_real": ("ordinary", 0.5),
    }


def test_headline_protocol_is_chosen_on_validation_images_not_on_test_images():
    scores = [
        scored("distilled", 0, 0.9),
        scored("distilled", 0, 0.5, split="validation"),
        scored("distilled", 0, 0.8, protocol="as_distilled"),
        scored("distilled", 0, 0.6, protocol="as_distilled", split="validation"),
    ]
    assert best_by_arm(scores, "mlp")["distilled"].mean == 0.8
    assert best_by_arm(scores, "mlp", "validation")["distilled"].mean == 0.6


def test_a_seed_that_was_scored_twice_counts_once():
    (row,) = summarise([scored("random_real", 0, 0.4), scored("random_real", 1, 0.6), scored("random_real", 0, 0.5)])
    assert row.n == 2 and row.mean == pytest.approx(0.55)


def test_an_interval_of_accuracies_stays_between_none_and_all():
    (row,) = summarise([scored("distilled", 0, 0.1), scored("distilled", 1, 0.9)])
    assert (row.low, row.high) == (0.0, 1.0)
