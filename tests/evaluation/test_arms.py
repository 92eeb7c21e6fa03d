"""Arms besides the usual ones: companions, labels made hard, training without augmentation, and other architectures."""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest
import torch
from comparing import events_of, labelled
from draining import drained

from engine import SOURCES, Context, DataConfig, EvaluationConfig, StudentConfig
from engine.core.events import Scored
from engine.data.source import LabelledSet
from engine.evaluation import lengths
from engine.evaluation.bench import fewer
from engine.evaluation.scores import by_length, headlines, summarise
from engine.synthetic.base import SyntheticSet, Training
from engine.synthetic.pixels import PixelSet

QUICK = EvaluationConfig(
    num_students=2, ordinary_steps=4, inner_steps=10, batch_size=64, full_epochs=1, other_images=40, compare_full=False
)
MLP = StudentConfig(name="mlp", depth=1, width=4)  # what the convnet beside it is like, too
ORDERED, AT_RANDOM = Training("sgd", 4), Training("adam", 20, batch_size=8, is_augmented=True)


class Accompanied(PixelSet):
    """A set with another version of itself beside it."""

    beside: tuple[SyntheticSet, ...] = ()

    def companions(self) -> dict[str, SyntheticSet]:
        return dict(zip(("distilled_ema",), self.beside, strict=False))


@pytest.fixture(scope="module")
def splits():
    found = drained(SOURCES["digits"].load(DataConfig(), Context().data_root))[1]
    some, few = torch.arange(300), torch.arange(100)
    return dataclasses.replace(
        found, train=found.train.subset(some), validation=found.validation.subset(few), test=found.test.subset(few)
    )


def made(splits, training, *, soft=False, seed=0, lr=0.01):
    num_rates = 1 if training.batch_size else training.num_steps
    synthetic = Accompanied(
        spec=splits.spec, training=training, ipc=1, num_batches=1, num_rates=num_rates, soft_labels=soft
    )
    drained(synthetic.start_from("real", splits, None, lr, torch.Generator().manual_seed(seed)))
    return synthetic


def scores(splits, folder, synthetic, **changes):
    evaluation = QUICK.model_copy(update=changes)
    events = events_of(labelled(synthetic, splits, MLP, evaluation, Context(cache_root=folder)))
    return [event for event in events if isinstance(event, Scored)]


@pytest.fixture(scope="module")
def usual(splits, tmp_path_factory):
    """Scores of a set with nothing beside it, by training and labels; compared once each."""

    @cache
    def found(training, soft=False):
        return scores(splits, tmp_path_factory.mktemp("cache"), made(splits, training, soft=soft))

    return found


def arms(found, **wanted):
    """(arm, protocol) of what was scored on test images, by architecture or any other field."""
    return {
        (score.arm, score.protocol)
        for score in found
        if score.metric == "accuracy" and all(getattr(score, name) == value for name, value in wanted.items())
    }


# ---- companions


@pytest.mark.parametrize("training", [ORDERED, AT_RANDOM])
def test_a_companion_like_the_set_scores_the_same_for_its_networks_are_fresh(splits, tmp_path, training):
    synthetic = made(splits, training)
    synthetic.beside = (made(splits, training),)
    found = scores(splits, tmp_path, synthetic)
    for protocol in ("as_distilled", "ordinary"):
        ours, theirs = (
            [(s.seed, s.split, s.metric, s.value) for s in found if (s.arm, s.protocol) == (arm, protocol)]
            for arm in ("distilled", "distilled_ema")
        )
        assert ours == theirs and len(ours) >= 4


def test_a_companion_is_trained_on_its_own_images_and_leaves_the_set_as_it_was(splits, tmp_path, usual):
    both = made(splits, ORDERED)
    both.beside = (made(splits, ORDERED, seed=1),)
    after = scores(splits, tmp_path, both)
    values = {arm: [s.value for s in after if s.arm == arm] for arm in ("distilled", "distilled_ema")}
    assert values["distilled"] == [s.value for s in usual(ORDERED) if s.arm == "distilled"] != values["distilled_ema"]


def test_another_architecture_is_tried_on_companions_too(splits, tmp_path):
    synthetic = made(splits, ORDERED)
    synthetic.beside = (made(splits, ORDERED),)
    found = scores(splits, tmp_path, synthetic, students=("convnet",))
    assert arms(found, student="convnet") == arms(found, student="mlp") and ("distilled_ema", "ordinary") in arms(found)


# ---- labels made hard


@pytest.mark.parametrize("training", [ORDERED, AT_RANDOM])
def test_soft_labels_are_also_tried_made_hard_with_the_own_architecture_alone(splits, tmp_path, usual, training):
    found = scores(splits, tmp_path, made(splits, training, soft=True), students=("convnet",))
    hard = {(s.arm, s.protocol, s.student) for s in found if s.arm == "distilled_hard"}
    assert hard == {("distilled_hard", "as_distilled", "mlp")}
    assert not [s for s in usual(training) if s.arm == "distilled_hard"]


@pytest.mark.parametrize("training", [ORDERED, AT_RANDOM])
def test_labels_made_hard_train_as_hard_ones_do(usual, training):
    soft, hard = usual(training, soft=True), usual(training)
    ours = [(s.seed, s.split, s.metric, s.value) for s in soft if s.arm == "distilled_hard"]
    theirs = [
        (s.seed, s.split, s.metric, s.value) for s in hard if (s.arm, s.protocol) == ("distilled", "as_distilled")
    ]
    assert ours == theirs


# ---- without augmentation


def doubled(splits):
    """Splits whose augmentation is hard to miss."""
    return dataclasses.replace(splits, augment=lambda inputs, generator: 2 * inputs.flip(3))


@pytest.fixture(scope="module")
def both_ways(splits, tmp_path_factory):
    """Scores with augmentation and without it, and the folder of their cache."""
    folder = tmp_path_factory.mktemp("cache")
    return scores(doubled(splits), folder, made(splits, AT_RANDOM), without_augmentation=True), folder


def test_training_without_augmentation_is_that_of_a_set_made_without(splits, tmp_path, both_ways):
    plain = dataclasses.replace(AT_RANDOM, is_augmented=False)
    both, never = both_ways[0], scores(doubled(splits), tmp_path, made(splits, plain))
    for arm in ("distilled", "random_real", "random_samples", "kmeans_real"):
        mine, theirs, augmented = (
            [(s.seed, s.split, s.metric, s.value, s.recipe) for s in found if (s.arm, s.protocol) == (arm, protocol)]
            for found, protocol in ((both, "unaugmented"), (never, "as_distilled"), (both, "as_distilled"))
        )
        assert mine == theirs and mine and mine != augmented
        assert not any("augmented" in recipe for *_, recipe in mine) and all(
            ", augmented" in one[-1] for one in augmented
        )


@pytest.mark.parametrize(
    ("training", "asked"),
    [(AT_RANDOM, False), (ORDERED, True), (dataclasses.replace(AT_RANDOM, is_augmented=False), True)],
)
def test_training_without_augmentation_needs_to_be_asked_for_and_to_have_one(splits, tmp_path, training, asked):
    found = scores(splits, tmp_path, made(splits, training), without_augmentation=asked)
    assert {protocol for _, protocol in arms(found)} == {"as_distilled", "ordinary"}


def test_scores_with_and_without_augmentation_are_cached_apart_and_read_again(splits, both_ways):
    first, folder = both_ways
    again = scores(doubled(splits), folder, made(splits, AT_RANDOM), without_augmentation=True)
    real = [score for score in again if score.arm == "random_real"]
    assert not any(score.cached for score in first) and all(score.cached for score in real)
    assert [score.value for score in again] == [score.value for score in first]


def test_lengths_are_those_of_the_training_as_distilled(both_ways):
    rows = summarise(both_ways[0])
    for protocol in ("as_distilled", "unaugmented"):
        at = by_length(rows, "mlp", protocol)
        assert list(at) == [2, 3, 5, 10] and {row.protocol for arm in at.values() for row in arm.values()} == {protocol}
    assert by_length(rows, "mlp") == by_length(rows, "mlp", "as_distilled")


# ---- other architectures


@pytest.fixture(scope="module")
def with_another(splits, tmp_path_factory):
    """Scores of two architectures, what each was measured on, and the folder of their cache."""
    looked_at, folder = set(), tmp_path_factory.mktemp("cache")
    confusion = lengths.confusion

    def watched(network, data, num_classes):
        looked_at.add((network.func.name, len(data)))
        return confusion(network, data, num_classes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lengths, "confusion", watched)
        return scores(splits, folder, made(splits, AT_RANDOM), students=("convnet",)), looked_at, folder


def test_other_architectures_are_measured_on_part_of_the_images_and_say_so(with_another):
    found, looked_at, _ = with_another
    assert looked_at == {("mlp", 100), ("convnet", 40)}
    for score in found:
        assert score.recipe.endswith(", measured on 40 test images") == (score.student == "convnet")
    tried = [s.recipe for s in found if (s.student, s.protocol) == ("convnet", "ordinary")]
    assert tried and all("of the rates 0.001, 0.003, 0.01 the best on validation data" in recipe for recipe in tried)


def test_no_limit_or_a_large_one_measures_other_architectures_on_everything(splits):
    assert fewer(splits, 0) is splits and fewer(splits, 100) is splits


def test_the_part_is_always_the_same_and_gives_each_class_its_share(splits):
    counts = torch.tensor([30, 20, 10])
    rows = torch.arange(60)
    data = LabelledSet(rows.view(60, 1, 1, 1), torch.arange(3).repeat_interleave(counts), lambda inputs: inputs)
    whole = dataclasses.replace(splits, validation=data, test=data)
    part, again = fewer(whole, 30), fewer(whole, 30)
    for some in (part.validation, part.test):
        assert some.targets.bincount().tolist() == [15, 10, 5]
        assert len(some.inputs.unique()) == 30
    assert torch.equal(part.test.inputs, again.test.inputs)
    assert part.fingerprint == again.fingerprint != whole.fingerprint != fewer(whole, 20).fingerprint
    assert part.train is whole.train


def test_scores_on_part_of_the_images_are_cached_apart_from_those_on_all(splits, with_another):
    first, _, folder = with_another
    again, all_of_them = (
        scores(splits, folder, made(splits, AT_RANDOM), students=("convnet",), other_images=images)
        for images in (40, 0)
    )
    for found, is_cached in ((again, True), (all_of_them, False)):
        real = [score for score in found if (score.arm, score.student) == ("random_real", "convnet")]
        assert real and all(score.cached == is_cached for score in real)
    assert [score.value for score in again] == [score.value for score in first]


@pytest.mark.parametrize(
    ("compares", "others", "expected"), [(True, False, {"mlp"}), (True, True, {"mlp", "convnet"}), (False, True, set())]
)
def test_other_architectures_see_the_full_set_only_if_asked(splits, tmp_path, compares, others, expected):
    found = scores(
        splits, tmp_path, made(splits, ORDERED), students=("convnet",), compare_full=compares, other_full=others
    )
    assert {score.student for score in found if score.arm == "full"} == expected


def test_every_arm_keeps_its_headline(splits, tmp_path):
    synthetic = made(splits, AT_RANDOM, soft=True)
    synthetic.beside = (made(splits, AT_RANDOM, soft=True),)
    found = scores(splits, tmp_path, synthetic, without_augmentation=True)
    assert {(row.arm, row.protocol) for row in headlines(summarise(found))} == {
        ("distilled_hard", "as_distilled"),
        *(
            (arm, protocol)
            for arm in ("distilled", "distilled_ema", "random_real", "random_samples", "kmeans_real")
            for protocol in ("as_distilled", "unaugmented", "ordinary")
        ),
    }
