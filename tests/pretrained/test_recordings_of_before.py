"""Folders in the earlier formats are found, used and continued; `before/` holds some of digits, made by the earlier
program.

They are two experts of two epochs, the second stopped after one, a teacher, and another one stopped after one epoch.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from draining import drained

from engine import Context, sources
from engine.core.config import DataConfig, StudentConfig
from engine.core.context import data_root
from engine.core.events import ExpertEpoch, Scored, TeacherEpoch, Warned
from engine.pretrained import recordings, verify
from engine.pretrained.experts import ExpertsConfig
from engine.pretrained.experts import load_or_record as load_experts
from engine.pretrained.teachers import TeacherConfig, trainer
from engine.pretrained.teachers import load_or_train as load_teacher

STUDENT = StudentConfig(name="convnet", depth=1, width=4)
TEACHER = {"depth": 1, "width": 4, "num_dims": 4, "projector_width": 8, "epochs": 2, "steps_per_epoch": 2}


@pytest.fixture
def cache(tmp_path) -> Path:
    return shutil.copytree(Path(__file__).parent / "before", tmp_path / "cache")


@pytest.fixture(scope="module")
def digits():
    return drained(sources()["digits"].load(DataConfig(), data_root()))[1]


def experts(splits, cache, folder=""):
    config = ExpertsConfig(num_experts=2, epochs=2, steps_per_epoch=2, folder=folder)
    return drained(load_experts(splits, STUDENT, config, Context(cache_root=cache)))


def epochs(found, kind):
    return [(event.epoch, event.cached) for event in found if isinstance(event, kind)]


def test_all_are_listed_with_sound_files(cache):
    found = recordings(cache)
    assert [(one.manifest.kind, len(one.manifest.networks), one.partial_epochs) for one in found] == [
        ("experts", 1, 1),
        ("teachers", 0, 1),
        ("teachers", 1, None),
    ]
    assert [drained(verify(one))[1] for one in found] == [{}, {}, {}]
    assert found[0].accuracy == pytest.approx(0.1048951) and found[2].accuracy == pytest.approx(0.5804196)


def test_experts_are_reused_and_one_that_was_stopped_goes_on(cache, digits):
    found, buffer = experts(digits, cache)
    assert epochs(found, ExpertEpoch) == [(0, True), (1, True), (2, True), (0, True), (1, True), (2, False)]
    assert buffer.accuracies[0] == pytest.approx(0.1048951) and not any(
        isinstance(e, Warned) and "damaged" in e.message for e in found
    )
    again, same = experts(digits, cache)
    assert all(cached for _, cached in epochs(again, ExpertEpoch)) and same == buffer


def test_experts_serve_as_a_folder_of_ones_own(cache, digits, tmp_path):
    (folder,) = (cache / "experts").iterdir()
    found, buffer = experts(digits, tmp_path / "elsewhere", str(folder))
    assert buffer.numbers == (0,) and all(cached for _, cached in epochs(found, ExpertEpoch))


def test_a_teacher_is_reused_and_one_that_was_stopped_goes_on(cache, digits, monkeypatch):
    monkeypatch.setattr(trainer, "RECIPE", 1)  # that of the teachers in `before/`
    context = Context(cache_root=cache)
    found, teacher = drained(load_teacher(digits, TeacherConfig(**TEACHER), context))
    assert epochs(found, TeacherEpoch) == [(0, True), (1, True), (2, True)]
    assert teacher.scale == pytest.approx(5.831737488) and teacher.summary["seconds"] == pytest.approx(0.0322170615)
    assert [event.value for event in found if isinstance(event, Scored)] == pytest.approx([0.5804196, 0.5933148])
    found, _ = drained(load_teacher(digits, TeacherConfig(**TEACHER, seed=1), context))
    assert epochs(found, TeacherEpoch) == [(0, True), (1, True), (2, False)]
