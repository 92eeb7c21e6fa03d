"""A small teacher for tests."""

from __future__ import annotations

from patterns import toy_splits

from engine import Context
from engine.core.config import checked
from engine.pretrained.teachers import TeacherConfig, load_or_train

TOY = {
    "depth": 2,
    "width": 4,
    "num_dims": 6,
    "projector_width": 8,
    "epochs": 3,
    "batch_size": 20,
    "jitter": 0.0,
    "grey_share": 0.0,
    "blur_share": 0.0,
}


def config(**changes) -> TeacherConfig:
    return checked(TeacherConfig, TOY | changes, "test")


def teaching(root, settings=None, splits=None):
    """The events of a toy teacher; the run's seed is none of its own."""
    return load_or_train(splits or toy_splits(), settings or config(), Context(seed=9, cache_root=root))
