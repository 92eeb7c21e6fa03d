"""A new data set needs no change of a method: its quick presets come from its kind, and they run."""

from __future__ import annotations

import pytest
from draining import drained
from making import tiny_emnist, tiny_idx, written

from engine import Context, events, request_from_preset
from engine.core.config import checked
from engine.evaluation.train import Recipe
from engine.methods import METHODS
from engine.methods.forms import distances

OF_IMAGES = [key for key, method in METHODS.items() if "classification" in method.tasks]
TOY = {
    "rat_bptt": {"unroll_length": 6, "window": 3},
    "podd": {"unroll_length": 6, "window": 3},
    "trajectory": {"experts": {"num_experts": 1, "epochs": 4, "steps_per_epoch": 2}, "validation_steps": 5}
    | {"student_steps": 5},
    "selfsup": {"teacher": {"epochs": 1, "steps_per_epoch": 2}, "prewarm": False, "approximation_steps": 2}
    | {"num_images": 16, "image_bases": 8, "representation_bases": 8},
}
"""Options that keep what precedes the first outer step short."""


def merged(values: dict, more: dict) -> dict:
    """`values` updated by `more`, tables within tables too."""
    nested = {name: values.get(name, {}) | value for name, value in more.items() if isinstance(value, dict)}
    return values | more | nested


@pytest.mark.parametrize("method", OF_IMAGES)
@pytest.mark.parametrize("key", ["kmnist", "emnist_balanced"])
def test_the_quick_preset_of_a_new_source_makes_its_first_outer_step(method, key, data_root, tmp_path, monkeypatch):
    monkeypatch.setattr(distances, "TRAINING", Recipe(num_steps=2, batch_size=64, lr=2e-3))
    request = request_from_preset(key, method, "quick")
    if key == "kmnist":
        source, contents = tiny_idx(key)
    else:
        source, archive, _ = tiny_emnist()
        contents = {"EMNIST/raw/gzip.zip": archive}
    written(data_root, contents)
    _, splits = drained(source.load(request.data.model_copy(update={"validation_fraction": 0.5}), data_root))
    toy = merged(request.config, TOY.get(method, {})) | {"outer_steps": 1, "num_validations": 0}
    context = Context(seed=0, cache_root=tmp_path)
    found, synthetic = drained(METHODS[method].distill(splits, checked(METHODS[method].config, toy, "toy"), context))
    assert [event.step for event in found if isinstance(event, events.Measured)] == [1]
    assert synthetic.spec.num_outputs == len(source.class_names)
