"""Comparisons are fair: equal bytes, nothing chosen on test data, real arms measured once and shared."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from comparing import events_of, labelled
from draining import drained
from sklearn.cluster import KMeans

from engine import SOURCES, Context, DataConfig, EvaluationConfig, StudentConfig
from engine.core.events import Scored
from engine.data.source import LabelledSet, TaskSpec
from engine.evaluation import baselines
from engine.evaluation.baselines import DRAWS, fitting, kmeans_real, nearest_to_centres, num_bytes, random_real
from engine.evaluation.plan import full_passes
from engine.synthetic.base import Training
from engine.synthetic.pixels import PixelSet

QUICK = EvaluationConfig(num_students=2, ordinary_steps=8, full_epochs=2, batch_size=64)
MLP = StudentConfig(name="mlp")


@pytest.fixture(scope="module")
def splits():
    return drained(SOURCES["digits"].load(DataConfig(), Context().data_root))[1]


@pytest.fixture(scope="module")
def some(splits):
    """Enough to compare on."""
    parts = {"train": 300, "validation": 100, "test": 100}
    few = {name: getattr(splits, name).subset(torch.arange(count)) for name, count in parts.items()}
    return dataclasses.replace(splits, **few)


def pixel_set(splits, *, start_seed=None, soft=False, ipc=1):
    synthetic = PixelSet(
        spec=splits.spec, training=Training("sgd", 4, start_seed), ipc=ipc, num_batches=1, num_rates=4, soft_labels=soft
    )
    drained(synthetic.start_from("real", splits, None, 0.1, torch.Generator().manual_seed(0)))
    return synthetic


def scores(splits, context, synthetic=None, evaluation=QUICK):
    events = events_of(labelled(synthetic or pixel_set(splits), splits, MLP, evaluation, context))
    return [event for event in events if isinstance(event, Scored)]


@pytest.fixture(scope="module")
def compared(some, tmp_path_factory):
    """The scores of one comparison, and its context."""
    context = Context(seed=1, cache_root=tmp_path_factory.mktemp("cache"))
    return scores(some, context), context


def test_every_arm_under_every_protocol(compared):
    found, counts = compared[0], {}
    for score in found:
        counts[score.arm, score.protocol] = counts.get((score.arm, score.protocol), 0) + (score.split == "test")
        assert 0 <= score.value <= 1 and score.seconds > 0 and score.recipe and score.num_bytes > 0
    assert counts == {
        ("distilled", "as_distilled"): 2,
        ("distilled", "ordinary"): 2,
        ("random_real", "as_distilled"): 2,
        ("random_real", "ordinary"): 2,
        ("random_samples", "as_distilled"): 2,
        ("random_samples", "ordinary"): 2,
        ("kmeans_real", "as_distilled"): 2,
        ("kmeans_real", "ordinary"): 2,
        ("full", "ordinary"): 2,
    }
    tried = [(s.arm, s.protocol, s.seed) for s in found if s.split == "validation"]
    assert tried == [(s.arm, s.protocol, s.seed) for s in found if s.split == "test"]


def test_real_arms_are_cached_across_runs_and_the_distilled_is_not(some, compared):
    first, context = compared
    second = scores(some, dataclasses.replace(context, seed=2))
    assert not any(score.cached for score in first)
    for before, after in zip(first, second, strict=True):
        cacheable = before.arm == "full" or (before.arm in DRAWS and before.protocol == "ordinary")
        assert after.cached == cacheable
        assert after.value == before.value
        if cacheable:
            assert after.seconds == before.seconds


def test_another_recipe_is_another_cache_entry(some, compared):
    longer = QUICK.model_copy(update={"full_epochs": 3})
    found = scores(some, compared[1], evaluation=longer)
    assert not any(score.cached for score in found if score.arm == "full")
    assert all(score.cached for score in found if score.arm == "random_real" and score.protocol == "ordinary")


@pytest.mark.slow
def test_test_labels_choose_nothing(some, compared, tmp_path):
    """With every test label wrong, all recipes stay the same and only the scores change."""
    test = some.test
    wrong = LabelledSet(test.inputs, (test.targets + 1) % 10, test.prepare)
    honest, fooled = compared[0], scores(dataclasses.replace(some, test=wrong), Context(cache_root=tmp_path))
    assert [score.recipe for score in honest] == [score.recipe for score in fooled]
    assert [score.value for score in honest] != [score.value for score in fooled]


def test_fixed_start_is_scored_once_as_distilled_and_from_scratch_as_ordinary(some, tmp_path):
    found = [
        score
        for score in scores(some, Context(cache_root=tmp_path), pixel_set(some, start_seed=11))
        if score.split == "test"
    ]
    assert sum(score.arm == "distilled" and score.protocol == "as_distilled" for score in found) == 1
    assert sum(score.arm == "distilled" and score.protocol == "ordinary" for score in found) == 2


SPEC = TaskSpec("classification", (1, 28, 28), 10, tuple("0123456789"))


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [(10 * 785 + 3, 10), (10 * 785 - 1, 9), (20 * 785 - 1, 10), (100 * 794 + 30, 100), (785, 1), (1, 1)],
)
def test_real_samples_of_equal_bytes_never_take_more(allowed, expected):
    count = fitting(allowed, SPEC)
    assert count == expected
    assert count == 1 or num_bytes(count, SPEC) <= allowed


def test_random_real_is_balanced_and_repeats_with_its_seed(splits):
    drawn = random_real(splits.train, 30, 10, torch.Generator().manual_seed(0))
    again = random_real(splits.train, 30, 10, torch.Generator().manual_seed(0))
    other = random_real(splits.train, 30, 10, torch.Generator().manual_seed(1))
    assert torch.equal(drawn.targets.bincount(), torch.full((10,), 3))
    assert torch.equal(drawn.inputs, again.inputs) and not torch.equal(drawn.inputs, other.inputs)
    assert len(random_real(splits.train, 4, 10, torch.Generator().manual_seed(0)).targets.unique()) == 4


def test_the_centre_of_one_cluster_is_that_of_scikit_learn(splits):
    """Found without it, for it takes seconds to import."""
    inputs, targets = splits.train.batch(torch.arange(len(splits.train)))
    for label in range(10):
        values = inputs[targets == label].flatten(1)
        centre = torch.from_numpy(KMeans(1, n_init=1, random_state=0).fit(values.numpy()).cluster_centers_)
        nearest = torch.cdist(centre, values).argmin(1)
        assert torch.equal(nearest_to_centres(values, 1, torch.Generator()), nearest)


def test_kmeans_real_takes_different_samples_nearest_to_the_centres_of_their_class(splits):
    drawn = kmeans_real(splits.train, 30, 10, torch.Generator().manual_seed(0))
    assert torch.equal(drawn.targets, torch.arange(10).repeat_interleave(3))
    pixels = drawn.batch(torch.arange(30))[0].flatten(1)
    assert torch.pdist(pixels).min() > 0, "no sample is taken twice"
    again = kmeans_real(splits.train, 30, 10, torch.Generator().manual_seed(0))
    assert torch.equal(drawn.inputs, again.inputs)


def test_one_kmeans_sample_a_class_is_the_one_nearest_to_the_class_mean(splits):
    drawn = kmeans_real(splits.train, 10, 10, torch.Generator().manual_seed(3))
    inputs, targets = splits.train.batch(torch.arange(len(splits.train)))
    for label in range(10):
        mine = inputs[targets == label].flatten(1)
        nearest = (mine - mine.mean(0)).norm(dim=1).argmin()
        assert torch.equal(drawn.batch(torch.tensor([label]))[0][0].flatten(), mine[nearest])


def test_kmeans_real_looks_at_fewer_of_large_samples_but_at_as_many_as_it_takes(splits, monkeypatch):
    looked_at = []
    batch = LabelledSet.batch
    monkeypatch.setattr(LabelledSet, "batch", lambda data, rows: looked_at.append(len(rows)) or batch(data, rows))
    monkeypatch.setattr(baselines, "MOST_CLUSTERED_VALUES", 20 * 64)
    kmeans_real(splits.train, 10, 10, torch.Generator().manual_seed(0))
    assert looked_at == [20] * 10
    assert len(kmeans_real(splits.train, 300, 10, torch.Generator().manual_seed(0))) == 300
    assert looked_at[10:] == [30] * 10


def test_a_draw_from_classes_that_run_out_is_counted_as_it_is(splits):
    few = splits.train.subset(torch.arange(60))
    for name, draw in DRAWS.items():
        for count in (4, 10, 40, 1000):
            drawn = draw(few, count, 10, torch.Generator().manual_seed(0))
            assert len(drawn) == baselines.num_drawn(few, count, 10), (name, count)


def test_kmeans_real_below_one_sample_a_class_takes_as_many_classes(splits):
    drawn = kmeans_real(splits.train, 4, 10, torch.Generator().manual_seed(0))
    assert len(drawn.targets.unique()) == len(drawn) == 4


def test_the_full_set_is_trained_at_least_as_long_as_the_small_ones():
    evaluation = EvaluationConfig(full_epochs=5, batch_size=256, ordinary_steps=300)
    assert full_passes(evaluation, 54_000) == 5
    assert full_passes(evaluation, 20) == 300
    assert full_passes(evaluation, 600) == 150
