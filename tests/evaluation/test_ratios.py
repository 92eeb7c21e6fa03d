"""Ratios of the distilled to the full set flatter nobody: work, not seconds, and a floor beside the score kept."""

from __future__ import annotations

import dataclasses

import pytest

from engine.core.events import Scored
from engine.evaluation.ratios import against_full, samples_seen, scales
from engine.evaluation.scores import summarise

STEPS = {"num_steps": 1000, "batch_size": 256, "lr": 0.001}


def scored(arm, value, protocol="ordinary", *, seconds=1.0, training=None, split="test", **changes):
    size = (5000 if arm == "full" else 10, 100)
    numbers = STEPS if training is None else training
    found = Scored(arm, protocol, "mlp", 0, "accuracy", value, seconds, split, *size, training=numbers)
    return dataclasses.replace(found, **changes)


def test_equal_steps_of_equal_batches_are_no_speed_up_whatever_the_clock_says():
    alike = {"num_steps": 1000, "batch_size": 8, "lr": 0.1, "samples_seen": 8000}
    ratios = against_full(
        [
            scored("distilled", 0.6, "linear_probe", seconds=1.0, training=alike),
            scored("full", 0.8, "linear_probe", seconds=2.8, training=alike, cached=True),
        ],
        "mlp",
    )
    assert ratios["work_ratio"] == {"linear_probe": 1.0}
    assert ratios["seconds_ratio"] == {}, "the full set was timed by an earlier run"


def test_work_is_the_samples_that_each_training_saw():
    scores = [
        scored("distilled", 0.8, "as_distilled", seconds=0.5, training={"samples_seen": 300}),
        scored("distilled", 0.6, seconds=4.0),
        scored("full", 0.9, seconds=20.0),
    ]
    ratios = against_full(scores, "mlp")
    assert ratios["retention"] == pytest.approx({"as_distilled": 0.8 / 0.9, "ordinary": 0.6 / 0.9})
    assert ratios["work_ratio"] == pytest.approx({"as_distilled": 256_000 / 300, "ordinary": 25.6})
    assert ratios["seconds_ratio"] == pytest.approx({"as_distilled": 40.0, "ordinary": 5.0})


def test_without_a_full_arm_there_are_no_ratios():
    assert not any(against_full([scored("distilled", 0.8)], "mlp").values())


def test_scores_of_earlier_versions_show_what_they_can_and_no_invented_number():
    told = [
        scored("distilled", 0.8, "as_distilled", training={}),  # stored batches
        scored("full", 0.9),
        scored("distilled", 0.7, "linear_probe", training=STEPS),  # with how many augmented views?
    ]
    assert [samples_seen(row) for row in summarise(told)] == [None, 256_000, None]
    assert against_full(told[:2], "mlp")["work_ratio"] == {}


def test_gap_of_labelled_sets_starts_at_random_data_under_the_protocol_that_is_best_on_validation():
    scores = [
        scored("random_real", 0.5),
        scored("random_real", 0.6, split="validation"),
        scored("random_real", 0.7, "as_distilled"),
        scored("random_real", 0.4, "as_distilled", split="validation"),
        scored("distilled", 0.8, "as_distilled"),
        scored("distilled", 0.45),
        scored("full", 0.9),
    ]
    ratios = against_full(scores, "mlp")
    assert ratios["floor"] == {"as_distilled": "random_real", "ordinary": "random_real"}
    assert ratios["gap_closed"] == pytest.approx({"as_distilled": 0.75, "ordinary": -0.125})


def test_gap_of_unbalanced_classes_lies_between_balanced_accuracies():
    accuracies = {"random_real": (0.8, 0.3), "distilled": (0.6, 0.7), "full": (0.9, 0.8)}
    scores = [scored(arm, value) for arm, (value, _) in accuracies.items()]
    scores += [scored(arm, value, metric="balanced_accuracy") for arm, (_, value) in accuracies.items()]
    assert scales(scores, "mlp")["ordinary"].floor == 0.3
    assert against_full(scores, "mlp")["gap_closed"] == pytest.approx({"ordinary": 0.8})


def test_an_untrained_network_that_retains_most_closes_nothing():
    scores = [scored(arm, value, "linear_probe") for arm, value in (("untrained", 0.84), ("random_real", 0.8))]
    scores += [scored("distilled", 0.85, "linear_probe"), scored("full", 0.94, "linear_probe")]
    ratios = against_full(scores, "mlp")
    assert ratios["retention"]["linear_probe"] > 0.9 and ratios["floor"] == {"linear_probe": "untrained"}
    assert ratios["gap_closed"]["linear_probe"] == pytest.approx(0.1)


def test_there_is_no_gap_where_the_full_set_is_no_better_than_the_floor():
    scores = [scored("random_real", 0.9), scored("distilled", 0.95), scored("full", 0.9)]
    assert against_full(scores, "mlp")["gap_closed"] == {"ordinary": None}


def test_gap_of_forecasts_starts_at_the_naive_forecast():
    scores = [scored(arm, value, metric="skill") for arm, value in (("random_real", 0.2), ("distilled", 0.1))]
    scores.append(scored("full", 0.4, metric="skill"))
    assert scales(scores, "mlp")["ordinary"].floor_arm == "naive"
    ratios = against_full(scores, "mlp")
    assert ratios["gap_closed"] == pytest.approx({"ordinary": 0.25}) and ratios["retention"] == {}
    assert ratios["error_ratio"] == pytest.approx({"ordinary": 0.9 / 0.6})
