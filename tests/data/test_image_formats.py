"""The three formats: read back what was written, refuse everything else."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch
from making import cifar_batch, idx_bytes
from scipy.io import savemat

from engine.core.errors import DataError
from engine.data import SOURCES
from engine.data.images import formats, vision

VALUES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


class Evil:
    """Runs a command when unpickled."""

    def __reduce__(self):
        import os

        return os.system, ("exit 1",)


def test_idx_gives_back_the_values():
    assert np.array_equal(formats.idx(idx_bytes(VALUES), (2, 3, 4), "file").numpy(), VALUES)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "file is not an idx file of 2 x 3 x 4 bytes"),
        (b"PK\x03\x04" + idx_bytes(VALUES)[4:], "not an idx file"),
        (b"\x00\x00\x0d\x03" + idx_bytes(VALUES)[4:], "not an idx file"),  # floats
        (idx_bytes(VALUES.transpose(0, 2, 1)), "not an idx file"),
        (idx_bytes(VALUES)[:10], "not an idx file"),
        (idx_bytes(VALUES)[:-1], "file has 23 values instead of 24"),
        (idx_bytes(VALUES) + b"\x00", "file has 25 values instead of 24"),
    ],
)
def test_idx_refuses_other_headers_and_lengths(content, message):
    with pytest.raises(DataError, match=message):
        formats.idx(content, (2, 3, 4), "file")


def test_cifar_rows_are_red_green_blue_planes():
    batch = pickle.loads(cifar_batch(4, 0), encoding="bytes")
    images, targets = formats.cifar_batch(cifar_batch(4, 0), b"labels", "file")
    assert images.shape == (4, 3, 32, 32) and images.dtype == torch.uint8
    assert images[2, 1, 5, 7] == batch[b"data"][2, 1024 + 5 * 32 + 7]
    assert targets.tolist() == [0, 1, 2, 3] and targets.dtype == torch.int64


@pytest.mark.parametrize(
    "content",
    [
        b"",
        cifar_batch(4, 0)[:-5],
        pickle.dumps({b"labels": [0]}),
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [0, 1]}),
    ],
)
def test_anything_but_a_batch_is_refused(content):
    with pytest.raises(DataError, match="file is not a CIFAR batch"):
        formats.cifar_batch(content, b"labels", "file")


def test_a_pickle_that_would_run_something_is_not_run():
    with pytest.raises(DataError, match="it would call (posix|nt).system"):
        formats.cifar_batch(pickle.dumps({b"data": Evil()}), b"labels", "file")


def test_svhn_turns_the_label_10_into_the_digit_0():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    savemat(buffer, {"X": pixels, "y": np.array([[1], [10], [9], [10]], dtype=np.uint8)})
    images, targets = formats.svhn_mat(buffer.getvalue(), "file")
    assert targets.tolist() == [1, 0, 9, 0]
    assert images.shape == (4, 3, 32, 32) and images[3, 2, 10, 20] == pixels[10, 20, 2, 3]


@pytest.mark.parametrize("content", [b"", b"not a mat file" * 50])
def test_anything_but_a_mat_file_is_refused(content):
    with pytest.raises(DataError, match="file is not an SVHN file"):
        formats.svhn_mat(content, "file")


def test_cifar100_is_read_with_its_fine_labels():
    rng = np.random.default_rng(0)

    def batch(count):
        pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        fine, coarse = rng.integers(0, 100, count).tolist(), rng.integers(0, 20, count).tolist()
        return pixels, fine, pickle.dumps({b"data": pixels, b"fine_labels": fine, b"coarse_labels": coarse})

    pixels, fine, train = batch(5)
    test_pixels, test_fine, test = batch(3)
    raw = vision.decode_cifar(SOURCES["cifar100"], {"train": train, "test": test})
    assert torch.equal(raw.train_images, torch.as_tensor(pixels).view(5, 3, 32, 32))
    assert raw.train_targets.tolist() == fine and raw.test_targets.tolist() == test_fine
    assert torch.equal(raw.test_images, torch.as_tensor(test_pixels).view(3, 3, 32, 32))
