"""A pixel set stores what it says, in the order it says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from draining import drained

from engine.core.errors import ConfigError, DataError
from engine.data.source import LabelledSet, TaskSpec
from engine.synthetic import load
from engine.synthetic.base import Training, inverse_softplus
from engine.synthetic.pixels import PixelSet

SPEC = TaskSpec("classification", (1, 4, 4), 3, ("a", "b", "c"))


def pixel_set(**changes):
    options = {
        "spec": SPEC,
        "training": Training("sgd", 6),
        "ipc": 2,
        "num_batches": 2,
        "num_rates": 6,
        "soft_labels": False,
    } | changes
    synthetic = PixelSet(**options)
    drained(synthetic.start_from("noise", None, None, 0.05, torch.Generator().manual_seed(0)))
    return synthetic


def test_batches_go_round_in_order_and_each_holds_every_class():
    synthetic = pixel_set()
    found = list(synthetic.batches())
    assert len(found) == 6
    for step, batch in enumerate(found):
        assert batch.targets.tolist() == [0, 1, 2]
        assert torch.equal(batch.inputs, synthetic.images[3 * (step % 2) : 3 * (step % 2) + 3])
        assert batch.lr.item() == pytest.approx(0.05)


@pytest.mark.parametrize("value", [1e-6, 0.02, 1.0, 9.0])
def test_rates_start_where_asked(value):
    assert torch.nn.functional.softplus(
        torch.tensor(inverse_softplus(value), dtype=torch.float64)
    ).item() == pytest.approx(value, rel=1e-9)


def test_soft_labels_are_distributions_that_start_at_the_class():
    labels = pixel_set(soft_labels=True).labels
    torch.testing.assert_close(labels.sum(1), torch.ones(6))
    assert labels.argmax(1).tolist() == [0, 1, 2, 0, 1, 2] and labels.max() < 1


def test_storage_is_counted_to_the_last_value():
    hard, soft, fixed = pixel_set(), pixel_set(soft_labels=True), pixel_set(training=Training("sgd", 6, start_seed=1))
    assert hard.num_stored_values() == 6 * 16 + 6 + 6
    assert hard.num_bytes() == 4 * (6 * 16 + 6) + 6
    assert soft.num_bytes() == 4 * (6 * 16 + 6 + 18)
    assert fixed.num_bytes() == hard.num_bytes() + 8


def test_start_from_real_takes_different_images_of_the_right_class():
    inputs = torch.arange(30 * 16, dtype=torch.float32).view(30, 1, 4, 4)
    real = LabelledSet(inputs, torch.arange(30) % 3, lambda x: x)
    synthetic = pixel_set()
    drained(synthetic.start_from("real", SimpleNamespace(train=real), None, 0.1, torch.Generator().manual_seed(0)))
    taken = (synthetic.images[:, 0, 0, 0] / 16).long()
    assert torch.equal(taken % 3, synthetic.classes) and len(taken.unique()) == 6


def test_too_few_real_images_are_refused_by_class_name():
    real = LabelledSet(torch.zeros(4, 1, 4, 4), torch.tensor([0, 0, 1, 2]), lambda x: x)
    with pytest.raises(ConfigError, match="Class 'b' has 1 training images, fewer than the 2"):
        drained(pixel_set().start_from("real", SimpleNamespace(train=real), None, 0.1, torch.Generator()))


@pytest.mark.parametrize(
    ("theirs", "ours", "kept"), [(6, 6, 0.05), (1, 1, 0.05), (6, 1, 0.05), (1, 6, 0.05), (4, 6, 0.01)]
)
def test_a_set_begun_from_another_keeps_its_rates_where_they_can_be_told(theirs, ours, kept):
    """(theirs, ours) rates, one of them for all steps or one a step."""
    steps = theirs if theirs > 1 else 6
    result = pixel_set(num_rates=theirs, training=Training("sgd", steps))
    synthetic = pixel_set(num_rates=ours)
    splits = Mock(reprepared=lambda inputs, made_by: inputs)
    drained(synthetic.start_from("result", splits, result, 0.01, torch.Generator()))
    assert synthetic.rates.tolist() == pytest.approx([kept] * ours)
    assert torch.equal(synthetic.images, result.images)


def test_random_batches_repeat_no_image_and_are_the_generators_own():
    synthetic = pixel_set(num_batches=1, num_rates=1, training=Training("adam", 9, batch_size=4))
    for batch in synthetic.batches():
        taken = [int((synthetic.images == image).flatten(1).all(1).nonzero()) for image in batch.inputs]
        assert len(set(taken)) == 4 and batch.targets.tolist() == synthetic.classes[taken].tolist()
        assert batch.lr.item() == pytest.approx(0.05)
    first, again, other = (
        torch.stack([batch.inputs for batch in synthetic.batches(generator)])
        for generator in (None, torch.Generator().manual_seed(0), torch.Generator().manual_seed(1))
    )
    assert len(first) == 9 and torch.equal(first, again) and not torch.equal(first, other)


def test_random_batches_follow_the_parameters_as_they_change():
    synthetic = pixel_set(num_batches=1, num_rates=1, soft_labels=True, training=Training("adam", 9, batch_size=6))
    drawn = synthetic.drawn(torch.Generator().manual_seed(0))
    before = next(drawn)
    ((before.inputs**2).sum() + (before.targets**2).sum() + before.lr).backward()
    assert all(bool((value.grad != 0).all()) for value in synthetic.parameters())
    with torch.no_grad():
        synthetic.images.fill_(7.0)
    assert (next(drawn).inputs == 7).all()


def test_a_set_of_an_earlier_version_is_read_as_stored_batches(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = tmp_path / "result.safetensors"
    pixel_set().save(path)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["distillery"])
    del header["training"]["batch_size"], header["training"]["is_augmented"]
    save_file(load_file(path), path, {"distillery": json.dumps(header)})
    again = load(path)
    assert again.own_training == Training("sgd", 6) and len(list(again.batches())) == 6


def test_clamp_cuts_to_the_range_and_nothing_else():
    synthetic = pixel_set()
    before = synthetic.images.detach().clone()
    synthetic.bounds = torch.full((1, 1, 1), -0.5), torch.full((1, 1, 1), 0.5)
    synthetic.project()
    assert torch.equal(synthetic.images, before.clamp(-0.5, 0.5))


def test_damaged_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "result.safetensors"
    pixel_set().save(path)
    assert torch.equal(load(path).images, pixel_set().images)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"result\.safetensors cannot be read"):
        load(path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="no distilled set"):
        load(tmp_path / "other.safetensors")
