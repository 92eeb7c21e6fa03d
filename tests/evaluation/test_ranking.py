"""The numbers of the field follow their published formulas, on fractions, and say what is missing where they cannot."""

from __future__ import annotations

import math

import pytest

from engine.core.events import Scored
from engine.evaluation.ranking import NEUTRAL, mapped, ranking
from engine.evaluation.ratios import against_full
from engine.evaluation.scores import across, best_by_arm

TEST = {
    ("distilled", "as_distilled"): 0.60,
    ("distilled", "unaugmented"): 0.52,
    ("distilled", "ordinary"): 0.50,
    ("distilled_hard", "as_distilled"): 0.55,
    ("random_real", "as_distilled"): 0.30,
    ("random_real", "unaugmented"): 0.25,
    ("random_real", "ordinary"): 0.35,
    ("full", "ordinary"): 0.80,
}


def scored(means, student="mlp", better_on_validation=()):
    """Two students an arm and protocol; a protocol named is 30 points better on validation images."""
    return [
        Scored(
            arm=arm,
            protocol=protocol,
            student=student,
            seed=seed,
            metric="accuracy",
            value=mean + shift + (0.3 if split == "validation" and protocol in better_on_validation else 0.0),
            seconds=1.0,
            split=split,
        )
        for (arm, protocol), mean in means.items()
        for split in ("test", "validation")
        for seed, shift in enumerate((-0.01, 0.01))
    ]


def values(scores, labels="hard"):
    return {number.key: number.value for number in ranking(scores, "mlp", labels)}


def without(*gone):
    return {key: mean for key, mean in TEST.items() if key not in gone and key[0] not in gone and key[1] not in gone}


def test_the_map_goes_from_none_to_one_and_is_the_published_one():
    assert mapped(-1) == 0 and mapped(1) == pytest.approx(1)
    assert mapped(0.3) == pytest.approx((math.exp(0.3) - math.exp(-1)) / (math.exp(1) - math.exp(-1)))
    assert NEUTRAL == pytest.approx((1 - 1 / math.e) / (math.e - 1 / math.e)) == pytest.approx(0.2689, abs=1e-4)


def test_numbers_of_a_set_with_hard_labels():
    found = values(scored(TEST))
    assert found["hard_label_recovery"] == pytest.approx(0.80 - 0.60)
    assert found["improvement_over_random"] == pytest.approx(0.60 - 0.30)
    assert found["label_robust_score"] == pytest.approx(mapped(0.5 * 0.30 - 0.5 * 0.20))
    assert found["augmentation_robust_score"] == pytest.approx(mapped(0.5 * 0.30 + 0.5 * 0.27))


def test_recovery_of_soft_labels_is_that_of_the_same_set_made_hard():
    found = values(scored(TEST), "soft")
    assert found["hard_label_recovery"] == pytest.approx(0.80 - 0.55)
    assert found["improvement_over_random"] == pytest.approx(0.60 - 0.30)
    assert found["label_robust_score"] == pytest.approx(mapped(0.5 * 0.30 - 0.5 * 0.25))


def test_both_sides_of_an_improvement_are_trained_alike_by_the_protocol_that_validation_chooses():
    found = values(scored(TEST, better_on_validation=("ordinary",)))
    assert found["improvement_over_random"] == pytest.approx(0.50 - 0.35)
    assert found["hard_label_recovery"] == pytest.approx(0.80 - 0.50)
    assert found["augmentation_robust_score"] == pytest.approx(mapped(0.5 * 0.30 + 0.5 * 0.27))


@pytest.mark.parametrize(
    ("gone", "labels", "lacking", "remedy"),
    [
        ("full", "hard", {"hard_label_recovery", "label_robust_score"}, "with 'Compare with full data'"),
        ("distilled_hard", "soft", {"hard_label_recovery", "label_robust_score"}, "did not look at its labels"),
        ("", "", {"hard_label_recovery", "label_robust_score"}, "did not look at its labels"),
        ("unaugmented", "hard", {"augmentation_robust_score"}, "with 'Also without augmentation'"),
        (
            "random_real",
            "hard",
            {"improvement_over_random", "label_robust_score", "augmentation_robust_score"},
            "were not both scored",
        ),
    ],
)
def test_what_cannot_be_computed_says_what_to_switch_on(gone, labels, lacking, remedy):
    found = {number.key: number for number in ranking(scored(without(gone)), "mlp", labels)}
    assert {key for key, number in found.items() if number.value is None} == lacking
    assert all(bool(number.lack) == (number.value is None) for number in found.values())
    assert any(remedy in number.lack for number in found.values())


def test_nothing_scored_is_nothing_measured():
    assert set(values([]).values()) == {None} and all(number.lack for number in ranking([], "mlp", "hard"))


def test_other_architectures_do_not_count():
    others = scored({key: 0.1 for key in TEST}, student="convnet")
    assert values(others + scored(TEST)) == values(scored(TEST))


# ---- the protocols and the matrix


def test_training_without_augmentation_counts_where_validation_images_say_so():
    plain, chosen = scored(TEST), scored(TEST, better_on_validation=("unaugmented",))
    assert best_by_arm(plain, "mlp")["distilled"].protocol == "as_distilled"
    best = best_by_arm(chosen, "mlp")
    assert {arm: row.protocol for arm, row in best.items() if arm in ("distilled", "random_real")} == {
        "distilled": "unaugmented",
        "random_real": "unaugmented",
    }


def test_retention_is_told_of_the_two_protocols_of_every_set():
    assert set(against_full(scored(TEST), "mlp")["retention"]) == {"as_distilled", "ordinary"}


def test_each_cell_of_the_matrix_is_the_protocol_that_did_best_on_validation_with_its_architecture():
    scores = scored(TEST) + scored(TEST, "convnet", better_on_validation=("ordinary",))
    cells = across(scores)
    assert list(cells) == ["mlp", "convnet"]
    assert cells["mlp"]["distilled"].protocol == "as_distilled"
    assert cells["convnet"]["distilled"].protocol == "ordinary" and cells["convnet"]["distilled"].n == 2


def test_a_teacher_of_another_architecture_is_no_row_of_the_matrix():
    teacher = Scored("teacher", "linear_probe", "resnet18", 0, "accuracy", 0.9, 1.0)
    assert list(across([teacher, *scored(TEST)])) == ["mlp"]
