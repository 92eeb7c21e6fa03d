"""Presets as data: what they ask for, how their tables are merged, and that each is a valid request."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine import SOURCES, request_from_preset
from engine.core.config import RunRequest, checked
from engine.data import task_of
from engine.methods import METHODS
from engine.methods.presets import read_presets
from engine.run import resolve

BEFORE = json.loads((Path(__file__).parents[1] / "reference" / "presets" / "requests.json").read_text())
"""What every preset of every source asked for before presets were data."""

OF_IMAGES = [key for key, method in METHODS.items() if "classification" in method.tasks]


def exact(preset) -> str:
    """Title, cost and values as text, in which 1 and 1.0 differ."""
    fields = preset if isinstance(preset, dict) else vars(preset)
    names = ("title", "cost", "config", "data", "evaluation")
    return json.dumps({name: fields[name] for name in names}, sort_keys=True)


def read(tmp_path: Path, text: str):
    (tmp_path / "presets.toml").write_text(text)
    return read_presets(str(tmp_path / "method.py"))


@pytest.mark.parametrize("method", METHODS)
def test_presets_ask_for_what_they_always_asked_for(method):
    for before in (each for each in BEFORE if each["method"] == method):
        found = METHODS[method].presets_for(before["source"])
        assert exact(found[before["preset"]]) == exact(before), (before["source"], before["preset"])


@pytest.mark.parametrize("method", METHODS)
def test_the_first_presets_of_a_source_are_those_it_always_had_in_order(method):
    for source in {each["source"] for each in BEFORE if each["method"] == method}:
        keys = [each["preset"] for each in BEFORE if (each["method"], each["source"]) == (method, source)]
        assert list(METHODS[method].presets_for(source))[: len(keys)] == keys


@pytest.mark.parametrize("method", METHODS)
def test_every_preset_is_a_valid_request(method):
    for preset in METHODS[method].presets:
        values = {"config": preset.config, "data": preset.data, "evaluation": preset.evaluation}
        checked(RunRequest, values, preset.key)
        checked(METHODS[method].config, preset.config, preset.key)
        assert preset.title and preset.cost and bool(preset.source) != bool(preset.kinds)


@pytest.mark.parametrize("method", OF_IMAGES)
def test_published_presets_and_no_others_train_on_all_training_images(method):
    for preset in METHODS[method].presets:
        is_published = "published" in preset.title.lower() or preset.title.startswith("Later advice of its authors")
        assert (preset.data.get("validation_fraction") == 0) == is_published, (preset.key, preset.title)


def test_images_of_presets_of_bytes_take_those_of_one_float32_image_per_class():
    found = [preset for key in OF_IMAGES for preset in METHODS[key].presets if preset.key.startswith("bytes_")]
    for preset in found:
        count, bits = preset.config["ipc"], int(preset.config["store_bits"])
        assert count * bits == 32 and f" {count} " in preset.title and preset.title.endswith(f"in {bits} bits")
    assert found


def test_shared_tables_are_merged_in_order_and_the_presets_own_come_last(tmp_path):
    (preset,) = read(
        tmp_path,
        """
        [shared.small]
        config = { student = { name = "convnet", depth = 3 }, ipc = 1, outer_steps = 10 }
        [shared.deep]
        use = ["small"]
        config.student.depth = 4
        [shared.long]
        config.outer_steps = 99
        data.zca = true
        [[preset]]
        key = "quick"
        title = "Quick"
        sources = ["toy"]
        cost = "a minute"
        use = ["deep", "long"]
        config.ipc = 2
        """,
    )
    assert preset.config == {"student": {"name": "convnet", "depth": 4}, "ipc": 2, "outer_steps": 99}
    assert preset.data == {"zca": True} and preset.evaluation == {}


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ('use = ["nowhere"]', KeyError, "nowhere"),
        ('costs = "much"', TypeError, "preset 'quick' has unknown fields: costs"),
        ("kinds = [{ colors = 'grey' }]", ValidationError, "colors"),
        ("kinds = [{ colours = 'gray' }]", ValidationError, "'grey', 'colour' or 'any'"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(tmp_path, line, error, message):
    entry = '[[preset]]\nkey = "quick"\ntitle = "Quick"\nsources = ["toy"]\ncost = "a minute"\n'
    with pytest.raises(error, match=message):
        read(tmp_path, entry + line)


@pytest.mark.parametrize("method", OF_IMAGES)
@pytest.mark.parametrize(
    ("shape", "num_classes", "fewest_per_class"),
    [
        ((1, 8, 8), 10, 100),
        ((3, 8, 8), 4, 100),
        ((1, 16, 16), 26, 100),
        ((1, 28, 28), 2, 100),
        ((1, 28, 28), 200, 100),
        ((1, 105, 105), 20, 50),
        ((3, 24, 24), 10, 500),
        ((3, 32, 32), 200, 500),
        ((3, 28, 45), 5, 30),
        ((3, 64, 64), 200, 500),
        ((3, 224, 224), 37, 100),
    ],
)
def test_a_data_set_of_any_kind_has_a_quick_preset_that_resolves(
    method, shape, num_classes, fewest_per_class, monkeypatch
):
    names = tuple(map(str, range(num_classes)))
    num_train = num_classes * fewest_per_class
    source = replace(
        SOURCES["kmnist"],
        key="new",
        title="New",
        sample_shape=shape,
        class_names=names,
        num_train=num_train,
        fewest_per_class=fewest_per_class,
    )
    monkeypatch.setitem(SOURCES, "new", source)
    assert "judged" in (cost := METHODS[method].presets_for("new")["quick"].cost) or "not measured" in cost
    resolve(request_from_preset("new", method, "quick"))


def test_new_prices_have_a_quick_preset_and_none_of_images(monkeypatch):
    class OtherPrices(type(SOURCES["simulated_prices"])):
        key = "other_prices"

    monkeypatch.setitem(SOURCES, "other_prices", OtherPrices())
    assert list(METHODS["ohlc"].presets_for("other_prices")) == ["quick"]
    resolve(request_from_preset("other_prices", "ohlc", "quick"))
    assert all(not METHODS[key].presets_for("other_prices") for key in OF_IMAGES)


@pytest.mark.parametrize("method", [key for key in OF_IMAGES if METHODS[key].result == "labelled"])
@pytest.mark.parametrize("source", ["digits", "mnist", "fashion_mnist", "cifar10"])
@pytest.mark.parametrize(("bits", "ipc"), [(8, 4), (4, 8)])
def test_the_bytes_of_one_float32_image_per_class_hold_more_images_in_fewer_bits(method, source, bits, ipc):
    _, config = resolve(request_from_preset(source, method, f"bytes_{bits}"))
    size, spec = config.size(task_of(SOURCES[source])), SOURCES[source]
    budget = 4 * 10 * math.prod(spec.sample_shape)
    assert size.bits == bits and size.per_class(task_of(spec)) == pytest.approx(ipc, rel=0.02)
    samples = size.num_bytes - size.num_indices - 2 * size.num_label_values - 8 * size.num_channels
    assert samples == pytest.approx(budget, rel=0.02) and samples <= budget
