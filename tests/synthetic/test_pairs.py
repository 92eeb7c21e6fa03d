"""Whole pairs: every number of an image and of its representation is stored and learns."""

from __future__ import annotations

import pytest
import torch
from draining import drained
from patterns import toy_splits

from engine.core.errors import ConfigError, DataError
from engine.methods.selfsup.config import SelfsupConfig
from engine.synthetic import PairSet, load
from engine.synthetic.base import Training

SPLITS = toy_splits()
REPRESENTATIONS = torch.randn(60, 6, generator=torch.Generator().manual_seed(1))


def pair_set(**changes) -> PairSet:
    options = {
        "spec": SPLITS.spec,
        "training": Training("momentum", 5, batch_size=4),
        "num_dims": 6,
        "num_images": 10,
        "rate": 0.1,
    } | changes
    synthetic = PairSet(**options)
    start = synthetic.start_from_real(SPLITS.train, REPRESENTATIONS, torch.Generator().manual_seed(0), "start")
    drained(start)
    return synthetic


def test_pairs_begin_as_random_real_images_with_their_own_representations():
    synthetic = pair_set()
    inputs = SPLITS.train.batch(torch.arange(60))[0]
    taken = [int((inputs == image).flatten(1).all(1).nonzero()) for image in synthetic.images()]
    assert len(set(taken)) == 10
    assert torch.equal(synthetic.representations(), REPRESENTATIONS[taken])
    assert torch.equal(synthetic.real_images, synthetic.images())


def test_more_pairs_than_real_images_are_refused():
    with pytest.raises(ConfigError, match="60 training images, fewer than the 61"):
        pair_set(num_images=61)


def test_both_halves_learn_through_random_batches():
    synthetic = pair_set(training=Training("momentum", 5, batch_size=10))
    batch = next(synthetic.drawn(torch.Generator().manual_seed(0)))
    (batch.inputs.square().sum() + batch.targets.square().sum()).backward()
    assert all(bool((value.grad != 0).all()) for value in synthetic.parameters())
    assert {name for name, _ in synthetic.named_parameters()} == {"inputs", "targets"}


def test_what_a_network_is_pretrained_on_is_the_pairs_and_no_more():
    synthetic = pair_set()
    inputs, targets = synthetic.pairs()
    assert torch.equal(inputs, synthetic.images()) and torch.equal(targets, synthetic.representations())
    assert not inputs.requires_grad and synthetic.augmentations == () and synthetic.spectrum == {}


def test_pairs_do_not_follow_the_set_after_they_were_taken():
    synthetic = pair_set()
    inputs, _ = synthetic.pairs()
    with torch.no_grad():
        synthetic.inputs.add_(1)
    assert not torch.equal(inputs, synthetic.images())


def test_storage_is_what_the_config_says_and_what_the_file_takes(tmp_path):
    config = SelfsupConfig(parameterisation="full")
    synthetic = PairSet(
        spec=SPLITS.spec, training=config.training(), num_dims=config.num_dims, num_images=config.num_images, rate=0.1
    )
    assert synthetic.as_stored(8).num_bytes() == config.size(SPLITS.spec).num_bytes
    synthetic.save(tmp_path / "set.safetensors")
    assert (tmp_path / "set.safetensors").stat().st_size == pytest.approx(synthetic.num_bytes(), rel=0.01)


def test_pairs_survive_their_file_to_the_bit(tmp_path):
    synthetic = pair_set()
    synthetic.save(tmp_path / "set.safetensors")
    again = load(tmp_path / "set.safetensors")
    assert isinstance(again, PairSet) and again.describe() == synthetic.describe() and again.real_images is None
    assert all(torch.equal(a, b) for a, b in zip(synthetic.pairs(), again.pairs(), strict=True))
    assert all(value.requires_grad for value in again.parameters())


def test_representations_that_are_no_numbers_are_refused(tmp_path):
    synthetic = pair_set()
    with torch.no_grad():
        synthetic.targets[0, 0] = float("nan")
    synthetic.save(tmp_path / "set.safetensors")
    with pytest.raises(DataError, match="representations that are no numbers"):
        load(tmp_path / "set.safetensors")


def test_previews_show_pictures_without_classes_and_at_the_start_the_real_ones():
    first, later = pair_set().preview(0, SPLITS), pair_set().preview(2, SPLITS)
    assert first.images.shape == (10, 8, 8, 1) and first.labels == ("",) * 10
    assert first.views.keys() == {"real"} and later.views == {}
