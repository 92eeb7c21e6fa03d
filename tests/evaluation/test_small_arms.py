"""Real samples of equal bytes and as many samples stand beside a set, and so does what it started as."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from comparing import events_of, labelled
from draining import drained
from test_arms import AT_RANDOM, MLP, ORDERED, QUICK, made
from test_arms import splits as splits  # a fixture

from engine import METHODS, Context, RunRequest, resolve
from engine.core.events import Begun, Scored, Warned
from engine.evaluation.comparison import baseline, run
from engine.evaluation.labelled import LabelledComparison
from engine.evaluation.plan import num_trainings
from engine.synthetic.base import Training
from engine.synthetic.pixels import PixelSet

IMAGE = 8 * 8 + 1  # bytes of a real digit with its label


class InBytes(PixelSet):
    """A set that stores a byte per pixel, an affine code, a byte per label and a rate."""

    def num_bytes(self) -> int:
        return len(self.classes) * IMAGE + 8 + 4


def sizes(trainings) -> dict[str, tuple[int, int]]:
    return {arm: (each.num_samples, each.num_bytes) for each in trainings for arm in (each.arm, *each.also)}


def plan_of(synthetic, splits, folder):
    return labelled(synthetic, splits, MLP, QUICK, Context(cache_root=folder)).plan()


def test_ten_uint8_images_are_compared_with_the_ten_real_ones_that_fit(splits, tmp_path):
    synthetic = InBytes(spec=splits.spec, training=ORDERED, ipc=1, num_rates=4)
    drained(synthetic.start_from("real", splits, None, 0.01, torch.Generator()))
    compared = labelled(synthetic, splits, MLP, QUICK, Context(cache_root=tmp_path))
    found = sizes(compared.plan())
    assert found["random_real"] == found["kmeans_real"] == found["random_samples"] == (10, 10 * IMAGE)
    drawn = [training for training in compared.plan() if training.draw and training.purpose == "score"]
    assert {training.arm for training in drawn} == {"random_real", "kmeans_real"}, "both random arms are one training"
    scores = [event for event in run(compared, compared.plan()) if isinstance(event, Scored)]
    apart = [[s for s in scores if s.arm == arm] for arm in ("random_real", "random_samples")]
    assert apart[1] and [dataclasses.replace(s, arm="random_samples") for s in apart[0]] == apart[1]


def test_too_few_bytes_for_a_real_image_of_every_class_are_said(splits, tmp_path, monkeypatch):
    monkeypatch.setattr(InBytes, "num_bytes", lambda self: 7 * IMAGE)
    synthetic = InBytes(spec=splits.spec, training=ORDERED, ipc=1, num_rates=4)
    (note,) = labelled(synthetic, splits, MLP, QUICK, Context(cache_root=tmp_path)).begin()
    assert note.message == (
        "Only 7 of the 10 classes have a real image within the bytes of the set. Training sets of equal bytes "
        "leave the others out."
    )


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("bilevel", {"passes": 2, "images_from": "real"}),
        ("bilevel", {"passes": 2, "images_from": "real", "labels": "soft"}),
        ("bilevel", {"stored_as": "low_rank", "low_rank": {"ipc": 3, "num_bases": 6, "basis_size": 4}}),
        ("podd", {"ipc": 0.8, "order": "listed"}),
    ],
)
def test_real_samples_fill_the_bytes_of_any_form_and_there_are_as_many_as_it_has(splits, tmp_path, method, config):
    config = {"student": {"name": "mlp"}, "outer_steps": 1} | config
    _, checked = resolve(RunRequest(method=method, config=config))
    events = METHODS[method].distill(splits, checked, Context(cache_root=tmp_path))
    synthetic = next(event.synthetic for event in events if isinstance(event, Begun))
    events.close()
    found = sizes(plan_of(synthetic, splits, tmp_path))
    count, num_bytes = found["random_real"]
    assert num_bytes == count * IMAGE <= synthetic.num_bytes()
    assert count + (10 if count >= 10 else 1) > synthetic.num_bytes() // IMAGE, "no further class of images would fit"
    assert found["random_samples"][0] == synthetic.num_samples
    assert found["distilled"] == (synthetic.num_samples, synthetic.num_bytes())


def test_all_real_images_are_used_where_more_would_fit_and_it_is_said(splits, tmp_path):
    few = dataclasses.replace(splits, train=splits.train.subset(torch.arange(25)))
    compared = labelled(made(few, ORDERED), few, MLP, QUICK, Context(cache_root=tmp_path))
    assert sizes(compared.plan())["random_real"] == (25, 25 * IMAGE)
    (note,) = [event for event in events_of(compared) if isinstance(event, Warned)]
    assert note.level == "note" and note.message.startswith("30 real images would fit into the bytes of the distilled")


def test_the_live_baseline_is_both_arms_sized_by_the_planned_bytes(splits, tmp_path):
    _, config = resolve(RunRequest(method="bilevel", config={"student": {"name": "mlp"}, "ipc": 2}))
    compared = LabelledComparison(splits, config, QUICK, Context(cache_root=tmp_path))
    planned = config.size(splits.spec)
    fitted = planned.num_bytes // IMAGE // 10 * 10
    assert sizes(compared.baseline()) == {"random_real": (fitted, fitted * IMAGE), "random_samples": (20, 20 * IMAGE)}
    assert {event.arm for event in baseline(compared) if isinstance(event, Scored)} == {"random_real", "random_samples"}


# ---- what a set started as


def with_start(synthetic, begun, splits, folder, **changes):
    evaluation, base = QUICK.model_copy(update=changes), labelled(synthetic, splits, MLP, QUICK, Context())
    return LabelledComparison(splits, base.config, evaluation, Context(cache_root=folder), synthetic, None, begun)


@pytest.mark.parametrize("training", [ORDERED, AT_RANDOM])
def test_the_starting_set_is_trained_and_scored_like_the_distilled_one(splits, tmp_path, training):
    synthetic, begun = made(splits, training, lr=0.02), made(splits, training, seed=1)
    found = [s for s in events_of(with_start(synthetic, begun, splits, tmp_path)) if isinstance(s, Scored)]
    counted = {
        arm: [(s.protocol, s.seed, s.split, s.metric) for s in found if s.arm == arm] for arm in ("distilled", "start")
    }
    assert counted["start"] == counted["distilled"] and not any(s.cached for s in found if s.arm == "start")
    assert {s.num_bytes for s in found if s.arm == "start"} == {begun.num_bytes()}
    same = [s for s in events_of(with_start(synthetic, synthetic, splits, tmp_path)) if isinstance(s, Scored)]
    standard = [[s.value for s in each if (s.arm, s.protocol) == ("start", "ordinary")] for each in (found, same)]
    assert standard[0] != standard[1] == [s.value for s in same if (s.arm, s.protocol) == ("distilled", "ordinary")]


def test_the_rate_of_a_starting_set_is_chosen_on_validation_data_among_the_learned_ones_and_constants(splits, tmp_path):
    """Or its score would tell what a learned rate adds, not what learned images add."""
    compared = with_start(made(splits, ORDERED), made(splits, ORDERED, seed=1), splits, tmp_path)
    tried = [t.lr for t in compared.plan() if (t.arm, t.protocol, t.purpose) == ("start", "as_distilled", "choose")]
    assert tried[0] is None and len(tried) > 3
    assert num_trainings([t for t in compared.plan() if (t.arm, t.purpose) == ("start", "score")]) == 4


def test_a_starting_set_of_one_start_is_scored_once_in_its_own_training(splits, tmp_path):
    synthetic, begun = (made(splits, Training("sgd", 4, 7), seed=seed) for seed in (0, 1))
    plan = with_start(synthetic, begun, splits, tmp_path).plan()
    assert sum((t.arm, t.protocol, t.purpose) == ("start", "as_distilled", "score") for t in plan) == 1


def test_a_starting_set_is_stored_in_as_many_bits_as_the_distilled_one(splits, tmp_path):
    synthetic, begun = made(splits, ORDERED).as_stored(8), made(splits, ORDERED, seed=1)
    compared = with_start(synthetic, begun, splits, tmp_path)
    found = sizes(compared.plan())
    assert compared.sets["start"].bits == 8 and found["start"] == found["distilled"]
    assert found["random_real"] == found["random_samples"] == (10, 10 * IMAGE), "8 bits a value: no more real ones fit"
