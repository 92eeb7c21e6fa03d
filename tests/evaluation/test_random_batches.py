"""Sets for random minibatches: trained at several lengths, the length chosen on validation data, real images beside
them.
"""

from __future__ import annotations

import dataclasses
from itertools import islice, pairwise

import pytest
import torch
from comparing import events_of, labelled
from draining import drained

from engine import SOURCES, Context, DataConfig, EvaluationConfig, StudentConfig
from engine.core.events import Progress, Scored
from engine.data.source import LabelledSet
from engine.evaluation import comparison
from engine.evaluation.baselines import DRAWS
from engine.evaluation.labelled import lengths_of
from engine.evaluation.ratios import against_full
from engine.evaluation.scores import RANDOM, after, baselines, best_by_arm, by_length, headlines, summarise
from engine.evaluation.supervised import own_rate, rates_for_real
from engine.evaluation.train import at_random, follow
from engine.nets import make_student
from engine.synthetic.base import Training
from engine.synthetic.pixels import PixelSet

QUICK = EvaluationConfig(num_students=2, ordinary_steps=5, inner_steps=40, batch_size=64, compare_full=False)
MLP = StudentConfig(name="mlp")
MARKS = [6, 12, 20, 40]


@pytest.fixture(scope="module")
def splits():
    found = drained(SOURCES["digits"].load(DataConfig(), Context().data_root))[1]
    some, few = torch.arange(300), torch.arange(100)
    return dataclasses.replace(
        found, train=found.train.subset(some), validation=found.validation.subset(few), test=found.test.subset(few)
    )


def pixel_set(splits, *, lr=0.003, is_augmented=False, start_seed=None):
    training = Training("adam", 50, start_seed, batch_size=8, is_augmented=is_augmented)
    synthetic = PixelSet(spec=splits.spec, training=training, ipc=2, num_batches=1, num_rates=1, soft_labels=True)
    drained(synthetic.start_from("real", splits, None, lr, torch.Generator().manual_seed(0)))
    return synthetic


def events(splits, context, synthetic=None, evaluation=QUICK):
    return events_of(labelled(synthetic or pixel_set(splits), splits, MLP, evaluation, context))


def labelled_plan(splits, folder):
    return labelled(pixel_set(splits), splits, MLP, QUICK, Context(cache_root=folder)).plan()


def scores(*arguments, **options):
    return [event for event in events(*arguments, **options) if isinstance(event, Scored)]


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """Where `found` left what may be shared."""
    return Context(cache_root=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def found(splits, cached):
    """The scores of one comparison."""
    return scores(splits, cached)


@pytest.mark.parametrize(("longest", "expected"), [(2000, [300, 600, 1000, 2000]), (40, MARKS), (2, [1, 2]), (1, [1])])
def test_lengths_are_the_published_shares_each_once(longest, expected):
    assert list(lengths_of(longest)) == expected


def test_training_at_random_sees_what_the_set_itself_draws(splits):
    synthetic = pixel_set(splits)
    student = make_student(MLP, splits.spec, "cpu")
    theta = student.init(torch.Generator().manual_seed(1))
    data = LabelledSet(*synthetic.materialise(), lambda inputs: inputs)
    rate = synthetic.rates[0].item()
    *_, ours = at_random(student, theta, data, synthetic.own_training, rate, 9, torch.Generator().manual_seed(2), None)
    batches = islice(synthetic.drawn(torch.Generator().manual_seed(2)), 9)
    assert torch.allclose(ours, follow(student, theta, batches, synthetic.own_training), atol=1e-6)


def test_every_length_is_told_and_the_headline_is_one_of_them(found):
    for arm in ("distilled", "random_real", "random_samples", "kmeans_real"):
        mine = [score for score in found if (score.arm, score.protocol) == (arm, "as_distilled")]
        for seed in range(2):
            for split in ("validation", "test"):
                values = {score.metric: score for score in mine if (score.seed, score.split) == (seed, split)}
                assert set(values) == {"accuracy", *map(after, MARKS)}
                headline = values["accuracy"]
                chosen = values[after(headline.training["num_steps"])]
                assert headline.recipe == f"{chosen.recipe}, the best on validation data of 6, 12, 20 and 40 steps"
                assert dataclasses.replace(headline, metric=chosen.metric, recipe=chosen.recipe) == chosen
        seconds = [score.seconds for score in mine if score.split == "test" and score.seed == 0]
        assert min(seconds) > 0 and len(set(seconds)) == len(MARKS)


def test_length_is_the_best_on_validation_images_over_all_students(found):
    rows = by_length(summarise(found, "validation"), "mlp")
    assert list(rows) == MARKS
    for headline in headlines(summarise(found, "validation")):
        if headline.protocol == "as_distilled":
            assert headline.mean == max(at[headline.arm].mean for at in rows.values())
            assert headline.mean == rows[headline.training["num_steps"]][headline.arm].mean


def test_lengths_do_not_mix_with_the_comparison(found):
    rows = summarise(found)
    assert {(row.arm, row.protocol) for row in rows if row.metric != "accuracy"} == {
        (arm, "as_distilled") for arm in ("distilled", "distilled_hard", *DRAWS)
    }
    assert len(headlines(rows)) == 9 and {row.n for row in rows} == {2}
    assert {row.metric for row in best_by_arm(found, "mlp").values()} == {"accuracy"}
    assert {arm: row.metric for arm, row in baselines(found).items()} == dict.fromkeys(RANDOM, "accuracy")
    full = dataclasses.replace(found[0], arm="full", protocol="ordinary", value=0.5, metric="accuracy", split="test")
    retention = against_full([full, *found], "mlp")["retention"]
    assert retention == {row.protocol: row.mean / 0.5 for row in headlines(rows) if row.arm == "distilled"}


def test_test_labels_choose_neither_rate_nor_length(splits, found, tmp_path):
    test = splits.test
    wrong = LabelledSet(test.inputs, (test.targets + 1) % 10, test.prepare)
    fooled = scores(dataclasses.replace(splits, test=wrong), Context(cache_root=tmp_path))
    assert [score.recipe for score in found] == [score.recipe for score in fooled]
    assert [score.value for score in found] != [score.value for score in fooled]


def test_real_arms_are_measured_once_for_sets_of_one_training(splits, found, cached):
    second = scores(splits, dataclasses.replace(cached, seed=2))
    for before, again in zip(found, second, strict=True):
        assert not before.cached and again.cached == (before.arm in DRAWS)
        assert again.value == before.value and again.recipe == before.recipe
    other = scores(splits, cached, pixel_set(splits, lr=0.01))
    real = [score for score in other if score.protocol == "as_distilled" and score.arm == "random_real"]
    assert real and len({score.training["lr"] for score in real}) == 1
    longer = QUICK.model_copy(update={"inner_steps": 41})
    again = scores(splits, cached, evaluation=longer)
    assert not any(score.cached for score in again if score.protocol == "as_distilled")


@pytest.mark.parametrize("is_augmented", [True, False])
def test_random_batches_are_augmented_where_the_set_was_made_so(splits, tmp_path, is_augmented):
    seen = []
    watched = dataclasses.replace(splits, augment=lambda inputs, generator: seen.append(len(inputs)) or inputs)
    found = scores(watched, Context(cache_root=tmp_path), pixel_set(splits, is_augmented=is_augmented))
    assert (8 in seen) == is_augmented  # ordinary training augments all 20 samples at once
    recipes = {score.recipe for score in found if score.protocol == "as_distilled"}
    assert all(("8 random samples each, augmented," in recipe) == is_augmented for recipe in recipes)


def test_set_of_one_start_is_scored_once_as_distilled(splits, tmp_path):
    found = scores(splits, Context(cache_root=tmp_path), pixel_set(splits, start_seed=7))
    mine = [s for s in found if (s.arm, s.protocol, s.metric) == ("distilled", "as_distilled", "accuracy")]
    assert [score.seed for score in mine] == [0, 0]


def test_own_rate_is_tried_first_and_constant_rates_once(splits):
    synthetic = pixel_set(splits, lr=0.001)
    assert own_rate(synthetic) == 0.001
    assert rates_for_real(synthetic.own_training.rule, 0.001) == [0.001, 0.0003, 0.003]


def test_long_trainings_say_how_far_they_are(splits, tmp_path, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: next(clock))  # a second a look
    said = [event for event in events(splits, Context(cache_root=tmp_path)) if isinstance(event, Progress)]
    mine = [event for event in said if event.phase.endswith(" on the distilled set, its own training")]
    assert [event.done for event in mine] == [0] * 41 + [1] * 41, "trainings are counted, one message a step"
    assert {event.total for event in mine} == {len(labelled_plan(splits, tmp_path))}
    assert all(after.seconds_left <= before.seconds_left for before, after in pairwise(mine[:41]))
