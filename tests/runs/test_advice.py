"""What would save memory or disk in a run without labels is named by its own settings, its teacher's too."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from engine import METHODS, RunRequest, advice
from engine.core.config import Task
from engine.methods.bilevel.config import BilevelConfig
from engine.runs.estimate import Estimate

GB = 10**9
FULL = Estimate(memory_bytes=GB, available_memory=8 * GB, disk_bytes=10**7, available_disk=10**6)
SMALL = {
    "student": {"width": 8},
    "teacher": {"depth": 1, "width": 4, "batch_size": 4},
    "probing": {"pretrain_batch": 8},
}


@pytest.mark.parametrize(
    ("action", "config", "first"),
    [
        ("distill", {"num_images": 900, "inner_batch": 30}, "fewer distilled images (now 900)"),
        ("distill", {"num_images": 500, "augmentations": ["flip", "blur"]}, "a smaller inner batch (now 1,500)"),
        (
            "distill",
            {"num_images": 500, "augmentations": ["flip"], "num_optimal": 2},
            "a smaller inner batch (now 2,000)",
        ),
        (
            "distill",
            {"num_images": 20, "teacher": {"depth": 1, "width": 64, "batch_size": 512}},
            "a smaller batch of the teacher (now 512)",
        ),
        (
            "record",
            {"teacher": {"depth": 1, "width": 64, "batch_size": 512}},
            "a smaller batch of the teacher (now 512)",
        ),
        ("evaluate", {"probing": {"pretrain_batch": 2048}}, "a smaller batch of the pre-training (now 2,048)"),
    ],
)
def test_the_setting_that_saves_most_comes_first(action, config, first):
    asked = RunRequest(method="selfsup", action=action, config=SMALL | {"image_bases": 10, "basis_size": 4} | config)
    assert advice.advice(asked).startswith(first)


def test_no_image_of_a_class_is_named_where_there_are_no_classes():
    named = advice.advice(RunRequest(method="selfsup", config={"num_images": 300, "basis_size": 4, "image_bases": 10}))
    assert "per class" not in named and "distilled images" in named


class PerClass(BilevelConfig):
    """A method whose real batch is counted per class."""

    def real_samples_per_step(self, spec: Task) -> int:
        return self.real_batch * spec.num_outputs


def test_a_real_batch_that_is_per_class_counts_all_classes(monkeypatch):
    asked = RunRequest(config={"real_batch": 300, "passes": 30, "ipc": 10})
    assert advice.advice(asked).startswith("memory set to 'recompute'")
    monkeypatch.setitem(METHODS, "bilevel", dataclasses.replace(METHODS["bilevel"], config=PerClass))
    assert advice.advice(asked.model_copy(update={"config": asked.config | {"passes": 3}})).startswith(
        "a smaller real batch (now 3,000)"
    )


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("trajectory", "Start with experts of fewer epochs, or fewer of them, or delete old runs and experts."),
        ("selfsup", "Start with a narrower teacher, or delete old runs and teachers."),
    ],
)
def test_a_disk_that_is_full_of_networks_trained_beforehand_names_them(method, sentence):
    asked = RunRequest(method=method)
    assert advice.verdict(replace(FULL, expert_bytes=9 * 10**6), asked).endswith(sentence)
    assert advice.verdict(FULL, asked).endswith("Start with fewer pictures kept along the way, or delete old runs.")
