"""What the data page shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from draining import drained
from making import prepared, raw_images, tiny_mnist, written

from engine.core.config import DataConfig
from engine.data import SOURCES, describe


def test_class_counts_add_up():
    counts = describe.class_counts(prepared(DataConfig(), raw_images((30, 20, 50))))
    assert counts["train"].tolist() == [27, 18, 45]
    assert counts["validation"].tolist() == [3, 2, 5]
    assert counts["test"].tolist() == [5, 5, 5]


@pytest.mark.parametrize("config", [DataConfig(), DataConfig(normalisation="unit"), DataConfig(zca=True)], ids=str)
def test_statistics_are_of_pixels_whatever_the_preparation(config):
    raw = raw_images()
    mean, std = describe.channel_statistics(prepared(config, raw))
    train = prepared(DataConfig(), raw).train.inputs.double() / 255
    assert mean == pytest.approx(train.mean((0, 2, 3)).numpy(), abs=1e-6)
    assert std == pytest.approx(train.std((0, 2, 3), correction=0).numpy(), abs=1e-6)


@pytest.mark.parametrize("config", [DataConfig(), DataConfig(zca=True)], ids=str)
def test_grid_shows_real_training_images_of_each_class_in_order(config):
    raw = raw_images()
    images, labels = describe.sample_grid(prepared(config, raw), 4, torch.Generator().manual_seed(0))
    assert images.shape == (12, 8, 8, 3) and images.dtype == np.uint8
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    pictures = raw.train_images.permute(0, 2, 3, 1).numpy()
    for image, label in zip(images, labels, strict=True):
        match = (pictures == image).all((1, 2, 3)).nonzero()[0]
        assert len(match) == 1 and raw.train_targets[match[0]] == label


def test_grid_of_a_small_class_gives_what_there_is():
    splits = prepared(DataConfig(validation_fraction=0.5), raw_images((20, 4, 20)))
    _, labels = describe.sample_grid(splits, 5, torch.Generator().manual_seed(0))
    assert np.bincount(labels).tolist() == [5, 2, 5]


@pytest.mark.parametrize(
    "config",
    [DataConfig(), DataConfig(zca=True), DataConfig(train_limit=100), DataConfig(zca=True, train_limit=200)],
    ids=str,
)
def test_held_memory_is_what_the_splits_hold(config):
    source = SOURCES["digits"]
    _, splits = drained(source.load(config, None))
    held = sum(
        tensor.nbytes
        for part in (splits.train, splits.validation, splits.test)
        for tensor in (part.inputs, part.targets)
    )
    if config.zca:
        held += splits.preparation.whitening.forward.nbytes + splits.preparation.whitening.backward.nbytes
    need = describe.memory_needed(source, config)
    assert need.held == pytest.approx(held, rel=0.01)
    assert need.peak > need.held


def test_whitening_colour_images_needs_four_times_the_memory():
    plain, whitened = (describe.memory_needed(SOURCES["cifar10"], DataConfig(zca=zca)).held for zca in (False, True))
    assert 4 * plain < whitened < 5 * plain


def test_bytes_on_disk_count_the_files_that_are_there(data_root):
    source, contents = tiny_mnist()
    assert describe.bytes_on_disk(source, data_root) == 0
    written(data_root, contents)
    assert describe.bytes_on_disk(source, data_root) == sum(map(len, contents.values()))
    assert describe.bytes_on_disk(SOURCES["digits"], data_root) > 10_000
