"""Means, intervals and ratios are what a statistics book says."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from engine.core.events import Scored
from engine.evaluation.scores import baselines, best_by_arm, headlines, likeness, summarise, transfers


def scored(arm, seed, value, *, protocol="ordinary", seconds=1.0, split="test", metric="accuracy"):
    return Scored(
        arm=arm, protocol=protocol, student="mlp", seed=seed, metric=metric, value=value, seconds=seconds, split=split
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


def test_without_validation_scores_test_scores_choose_no_protocol():
    scores = [
        scored("distilled", 0, 0.6, protocol="as_distilled"),
        scored("distilled", 0, 0.8),
        scored("random_real", 0, 0.5, protocol="as_distilled"),
        scored("random_real", 0, 0.2),
    ]
    best = best_by_arm(scores, "mlp")
    assert {arm: (row.protocol, row.mean) for arm, row in best.items()} == {
        "distilled": ("as_distilled", 0.6),
        "random_real": ("ordinary", 0.2),
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


def of_representations(arm, value, protocol="linear_probe", **more):
    return scored(arm, 0, value, protocol=protocol, **more)


REPRESENTATIONS = [
    of_representations("distilled", 0.6, seconds=2.0),
    of_representations("distilled", 0.9, "fine_tune", seconds=2.0),
    of_representations("distilled", 0.5, "linear_probe", metric="accuracy@mnist"),
    of_representations("distilled", 0.7, "linear_probe", metric="cka"),
    of_representations("full", 0.8, seconds=10.0),
    of_representations("full", 0.95, "fine_tune", seconds=10.0),
    of_representations("full", 0.7, "linear_probe", metric="accuracy@mnist"),
    of_representations("full", 0.9, "linear_probe", metric="cosine"),
]


def test_headline_of_representations_is_their_linear_probe():
    best = best_by_arm(REPRESENTATIONS, "mlp")
    assert {arm: (row.protocol, row.mean) for arm, row in best.items()} == {
        "distilled": ("linear_probe", 0.6),
        "full": ("linear_probe", 0.8),
    }


def test_other_sources_and_likeness_are_no_headlines_but_tables_of_their_own():
    rows = summarise(REPRESENTATIONS)
    assert {row.metric for row in headlines(rows)} == {"accuracy"}
    assert {key: {arm: row.mean for arm, row in arms.items()} for key, arms in transfers(rows).items()} == {
        "mnist": {"distilled": 0.5, "full": 0.7}
    }
    assert {arm: list(found) for arm, found in likeness(rows).items()} == {"distilled": ["cka"], "full": ["cosine"]}


def test_a_live_run_is_held_against_a_short_probe_of_random_real_pairs():
    probed = of_representations("random_real", 0.4, "short_probe", split="validation")
    assert baselines([probed])["random_real"].mean == 0.4
    assert not baselines([of_representations("random_real", 0.4, split="validation")])
