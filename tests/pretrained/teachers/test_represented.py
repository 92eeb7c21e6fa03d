"""Representations of the training images: made once, kept beside their teacher, and made again where they are
damaged.
"""

from __future__ import annotations

import pytest
import torch
from draining import drained
from patterns import toy_splits

from engine import Context
from engine.core.config import checked
from engine.pretrained.teachers import TeacherConfig, load_or_train, of_training
from engine.pretrained.teachers.trainer import FILE

TINY = {
    "width": 4,
    "depth": 2,
    "num_dims": 6,
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 16,
    "projector_width": 8,
}


@pytest.fixture
def made(tmp_path):
    splits, context = toy_splits(), Context(cache_root=tmp_path)
    _, teacher = drained(load_or_train(splits, checked(TeacherConfig, TINY, "test"), context))
    return splits, context, teacher


def test_the_second_time_nobody_asks_the_teacher(made, monkeypatch):
    splits, context, teacher = made
    _, first = drained(of_training(teacher, splits, context))
    inputs, _ = splits.train.batch(torch.arange(len(splits.train)))
    assert torch.allclose(first, teacher.represent(inputs), atol=1e-5)
    monkeypatch.setattr(type(teacher), "represent", None)
    _, again = drained(of_training(teacher, splits, context))
    assert torch.equal(first, again)


@pytest.mark.parametrize("content", [b"", b"not a file of tensors"])
def test_a_damaged_file_is_made_again(made, content):
    splits, context, teacher = made
    _, first = drained(of_training(teacher, splits, context))
    (path,) = context.cache_root.rglob(FILE)
    path.write_bytes(content)
    _, again = drained(of_training(teacher, splits, context))
    assert torch.equal(first, again) and path.stat().st_size > len(content)
