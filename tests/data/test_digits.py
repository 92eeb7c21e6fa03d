"""The embedded digits."""

from __future__ import annotations

import torch
from draining import drained

from engine.core.config import DataConfig
from engine.data import SOURCES

DIGITS = SOURCES["digits"]


def test_sizes_are_the_promised_ones_and_nothing_is_needed(tmp_path):
    assert DIGITS.availability(tmp_path / "nowhere").state == "present"
    _, splits = drained(DIGITS.load(DataConfig(), tmp_path / "nowhere"))
    assert len(splits.train) + len(splits.validation) == DIGITS.num_train
    assert len(splits.test) == DIGITS.num_test
    assert splits.train.inputs.shape[1:] == DIGITS.sample_shape == splits.spec.sample_shape
    assert splits.spec.class_names == DIGITS.class_names and splits.spec.num_outputs == 10


def test_pixels_use_the_whole_byte():
    raw = DIGITS.read()
    assert raw.train_images.dtype == torch.uint8
    assert int(raw.train_images.min()) == 0 and int(raw.train_images.max()) == 255
    assert len(raw.train_images.unique()) == 17


def test_the_test_part_is_a_fifth_of_each_class():
    raw = DIGITS.read()
    test, train = torch.bincount(raw.test_targets), torch.bincount(raw.train_targets)
    assert ((test / (test + train) - 0.2).abs() < 0.005).all()


def test_every_image_is_in_exactly_one_part():
    from sklearn.datasets import load_digits

    raw = DIGITS.read()
    both = torch.cat([raw.train_images, raw.test_images]).flatten(1).sort(0).values
    pixels = torch.from_numpy(load_digits().data)
    assert torch.equal(both, (pixels * 255 / 16).round().to(torch.uint8).sort(0).values)


def test_read_twice_is_the_same():
    assert DIGITS.read().digest() == DIGITS.read().digest()


def test_digits_look_like_digits():
    """A nearest-mean classifier on the prepared pixels gets the test set mostly right: labels and pixels belong
    together.
    """
    _, splits = drained(DIGITS.load(DataConfig(), None))
    inputs, targets = splits.train.batch(torch.arange(len(splits.train)))
    means = torch.stack([inputs[targets == label].mean(0) for label in range(10)]).flatten(1)
    test_inputs, test_targets = splits.test.batch(torch.arange(len(splits.test)))
    guesses = torch.cdist(test_inputs.flatten(1), means).argmin(1)
    assert (guesses == test_targets).float().mean() > 0.85
