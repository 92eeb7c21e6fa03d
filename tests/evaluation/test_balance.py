"""Where one class is most of the data, accuracy is shown beside what says more, and does not decide."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from comparing import events_of, labelled
from draining import drained
from sklearn.metrics import balanced_accuracy_score, confusion_matrix

from engine import SOURCES, Context, DataConfig, EvaluationConfig, StudentConfig
from engine.core.events import Analysed, Scored
from engine.data.source import LabelledSet
from engine.evaluation.balance import added, balanced_accuracy, compact, confusion, deciding, is_unbalanced, validated
from engine.evaluation.comparison import Outcome
from engine.evaluation.lengths import Accuracies, Length
from engine.evaluation.plan import Training
from engine.evaluation.scores import BALANCED, RECIPES, best_by_arm
from engine.evaluation.train import accuracy
from engine.synthetic.base import Training as OwnTraining
from engine.synthetic.pixels import PixelSet

QUICK = EvaluationConfig(num_students=2, ordinary_steps=20, full_epochs=2, batch_size=64)
MLP = StudentConfig(name="mlp")


def of_sizes(*sizes):
    """Samples that are their own logits, right in part."""
    targets = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    logits = torch.randn(len(targets), len(sizes), generator=torch.Generator().manual_seed(0))
    return LabelledSet(logits + torch.nn.functional.one_hot(targets, len(sizes)), targets, lambda inputs: inputs)


def asis(inputs):
    return inputs


@pytest.mark.parametrize("sizes", [(300, 20, 5), (95, 5), (40, 0, 10)])
def test_confusion_and_balanced_accuracy_are_those_of_scikit_learn(sizes):
    data = of_sizes(*sizes)
    truth, said = data.targets.numpy(), data.inputs.argmax(1).numpy()
    found = confusion(asis, data, len(sizes))
    assert found.tolist() == confusion_matrix(truth, said, labels=range(len(sizes))).tolist()
    assert found.diagonal().sum().item() / len(data) == accuracy(asis, data)
    with pytest.warns(UserWarning) if 0 in sizes else torch.no_grad():  # it warns of answers with an absent class
        wanted = balanced_accuracy_score(truth, said)
    assert balanced_accuracy(found.diagonal(), found.sum(1)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("sizes", "is_so"),
    [((10, 10, 10), False), ((20, 5, 5), False), ((21, 5, 5), True), ((95, 5), True), ((60, 40), False)],
)
def test_classes_are_unbalanced_where_the_largest_exceeds_twice_the_mean(sizes, is_so):
    assert is_unbalanced(of_sizes(*sizes), len(sizes)) == is_so


@pytest.fixture(scope="module")
def digits():
    return drained(SOURCES["digits"].load(DataConfig(), Context().data_root))[1]


@pytest.fixture(scope="module")
def unbalanced(digits):
    """Digits of which most are zeros."""

    def thinned(data, keep):
        rows = torch.arange(len(data))
        return data.subset(rows[(data.targets == 0) | (rows % keep == 0)])

    parts = {"train": thinned(digits.train, 8), "validation": thinned(digits.validation, 4)}
    return dataclasses.replace(digits, **parts, test=thinned(digits.test, 8), fingerprint="mostly zeros")


def pixel_set(splits):
    synthetic = PixelSet(
        spec=splits.spec, training=OwnTraining("sgd", 4), ipc=1, num_batches=1, num_rates=4, soft_labels=False
    )
    drained(synthetic.start_from("real", splits, None, 0.1, torch.Generator().manual_seed(0)))
    return synthetic


def compared(splits, cache):
    comparison = labelled(pixel_set(splits), splits, MLP, QUICK, Context(cache_root=cache))
    found = events_of(comparison)
    return comparison, found, [event for event in found if isinstance(event, Scored)]


def test_every_score_of_unbalanced_classes_has_a_balanced_one_and_the_cache_keeps_them(unbalanced, tmp_path):
    _, found, scores = compared(unbalanced, tmp_path)
    pairs = {metric: [s for s in scores if s.metric == metric] for metric in ("accuracy", BALANCED)}
    assert len(pairs["accuracy"]) == len(pairs[BALANCED]) > 0
    assert any(one.value != other.value for one, other in zip(*pairs.values(), strict=True))
    (table,) = (event.values for event in found if isinstance(event, Analysed))
    assert set(table["arms"]) == {"distilled", "full"} and table["judged_by"] == BALANCED
    full = table["arms"]["full"]
    assert full["total"] == [2 * count for count in unbalanced.test.targets.bincount(minlength=10).tolist()]
    assert full["right"] == [full["counts"][label][label] for label in range(10)]
    values = [s.value for s in pairs["accuracy"] if (s.arm, s.split) == ("full", "test")]
    assert sum(full["right"]) / sum(full["total"]) == pytest.approx(sum(values) / 2)
    _, found, scores = compared(unbalanced, tmp_path)
    assert all(score.cached for score in scores if score.arm == "full")
    (again,) = (event.values for event in found if isinstance(event, Analysed))
    assert again == table


def test_balanced_data_are_judged_by_accuracy_alone_from_the_same_cache(digits, tmp_path):
    comparison, found, scores = compared(digits, tmp_path)
    assert {score.metric for score in scores} == {"accuracy"}
    assert comparison.cache_facts(comparison.bench("mlp")) == {}
    (table,) = (event.values for event in found if isinstance(event, Analysed))
    assert table["judged_by"] == "accuracy" and len(table["classes"]) == 10


def test_rates_and_lengths_are_chosen_by_balanced_accuracy(unbalanced, tmp_path):
    comparison = labelled(pixel_set(unbalanced), unbalanced, MLP, QUICK, Context(cache_root=tmp_path))
    constant, better = Length(10, 0.95, None, 1.0, 0.5), Length(20, 0.8, None, 1.0, 0.7)
    assert comparison.merit(Accuracies((constant,))) < comparison.merit(Accuracies((better,)))
    assert Length(10, 0.95, None, 1.0).merit == 0.95


def test_without_validation_images_the_confusion_is_that_of_the_published_recipe(digits, tmp_path):
    nothing = digits.validation.subset(torch.arange(0))
    splits = dataclasses.replace(digits, validation=nothing)
    comparison = labelled(pixel_set(digits), splits, MLP, QUICK, Context(cache_root=tmp_path))
    found = Accuracies((Length(10, None, 0.5, 1.0, confusion=((1,) * 10,) * 10),))
    for protocol in ("ordinary", next(iter(RECIPES))):
        comparison.outcomes.append(Outcome(Training("mlp", "full", protocol, (0,), 10, 64, 100, 100), found))
    (event,) = comparison.findings()
    assert event.values["arms"]["full"]["protocol"] in RECIPES


def test_protocol_is_chosen_by_balanced_accuracy_and_validation_rows_are_balanced():
    def scored(protocol, metric, value, split):
        return Scored("distilled", protocol, "mlp", 0, metric, value, 1.0, split)

    values = {("ordinary", "accuracy"): 0.95, ("ordinary", BALANCED): 0.5}
    values |= {("as_distilled", "accuracy"): 0.8, ("as_distilled", BALANCED): 0.75}
    scores = [scored(*key, value, split) for key, value in values.items() for split in ("validation", "test")]
    best = best_by_arm(scores, "mlp")["distilled"]
    assert (best.protocol, best.metric, best.mean) == ("as_distilled", "accuracy", 0.8)
    assert best_by_arm(scores, "mlp", "validation")["distilled"].mean == 0.75


def test_steps_of_a_run_are_chosen_by_balanced_accuracy(digits, unbalanced):
    def zeros(inputs):
        return torch.nn.functional.one_hot(torch.zeros(len(inputs), dtype=torch.int64), 10)

    values = validated([zeros, zeros], unbalanced)
    assert values["validation_accuracy"] > 0.25 and deciding(values) == pytest.approx(0.1)
    assert list(values) == ["validation_accuracy", "validation_balanced_accuracy"]
    values = validated([zeros], digits)
    assert list(values) == ["validation_accuracy"] and deciding(values) == accuracy(zeros, digits.validation)


def test_of_many_classes_only_the_right_ones_are_counted():
    counts = torch.arange(101 * 101).view(101, 101)
    kept = compact(counts)
    assert len(kept) == 2 and compact(counts[:100, :100]) == tuple(map(tuple, counts[:100, :100].tolist()))
    summed = added([kept, kept])
    assert summed["counts"] is None and summed["right"] == (2 * counts.diagonal()).tolist()
    assert summed["total"] == (2 * counts.sum(1)).tolist()
