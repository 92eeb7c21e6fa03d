"""A run is taken home from its page: everything at once, single files, or the line that repeats it."""

from __future__ import annotations

import io
import json
import shlex

import numpy as np
import pytest
import streamlit
import torch
from canned_runs import failed, finished, queued, words
from draining import drained
from PIL import Image

import engine
from engine.data import SOURCES, TaskSpec
from engine.data.transforms.preparation import Preparation
from engine.synthetic.base import Training
from engine.synthetic.pixels import PixelSet
from pages.ui import downloads

DIGITS = TaskSpec("classification", (1, 8, 8), 10, SOURCES["digits"].class_names)


def keep_result(store: engine.Store, run_id: str, preparation: Preparation | None) -> None:
    """Give a canned run the result that its checkpoint would have written."""
    synthetic = PixelSet(
        spec=DIGITS, training=Training("sgd", 2), ipc=1, num_batches=1, num_rates=2, soft_labels=False, learn_rates=True
    )
    drained(synthetic.start_from("noise", None, None, 0.1, torch.Generator().manual_seed(0)))
    synthetic.provided(preparation, store.run(run_id).request.model_dump(mode="json"))
    synthetic.save(store.folder(run_id) / "result.safetensors")


@pytest.fixture
def with_result(store) -> str:
    run_id = finished(store)
    keep_result(store, run_id, Preparation("standard", torch.tensor([0.5]), torch.tensor([0.25])))
    return run_id


def labels(app) -> list[str]:
    return [button.label for button in app.get("download_button")]


def test_gallery_offers_the_picture_everything_and_single_files(visit, with_result):
    app = visit("gallery", run=with_result)
    assert labels(app) == [
        "Download picture",
        "Download everything (.zip)",
        *(label for label, _, _ in downloads.FILES.values()),
    ]


def test_nothing_is_made_before_it_is_asked_for(visit, with_result, monkeypatch):
    def refuse(*arguments) -> bytes:
        raise AssertionError("made too early")

    for module, name in ((engine.export, "bundle"), (engine.export, "one"), (engine.report, "report_html")):
        monkeypatch.setattr(module, name, refuse)
    app = visit("gallery", run=with_result)
    app.run()
    assert not app.exception and "Download everything (.zip)" in labels(app)


def test_what_the_buttons_give_are_the_files(store, with_result):
    for name in downloads.FILES:
        assert engine.export.one(store, with_result, name)
    assert json.loads(engine.export.one(store, with_result, "request.json"))["source"] == "digits"


def test_command_shown_repeats_the_run(visit, store, with_result):
    app = visit("gallery", run=with_result)
    shown = [block.value for block in app.code if block.value.startswith("python -m engine")]
    assert shown == [engine.command_line(store.run(with_result).request)]
    assert shlex.split(shown[0])[:4] == ["python", "-m", "engine", "distill"]


@pytest.mark.parametrize("state", [failed, finished])
def test_run_without_a_result_offers_its_report(visit, store, state):
    app = visit("gallery", run=state(store))
    assert labels(app) == ["Download picture", "Download report (.html)"]
    assert any(block.value.startswith("python -m engine distill") for block in app.code)


def test_result_of_an_earlier_version_says_why_it_cannot_be_exported(visit, store):
    run_id = finished(store)
    keep_result(store, run_id, None)
    app = visit("gallery", run=run_id)
    assert labels(app) == ["Download picture", "Download report (.html)"]
    assert "does not say how its data were prepared" in words(app)


def test_result_that_is_no_set_says_so(visit, store):
    run_id = finished(store)
    (store.folder(run_id) / "result.safetensors").write_bytes(b"set")
    app = visit("gallery", run=run_id)
    assert not app.exception and "cannot be read as a distilled set" in words(app)


def test_time_lapse_can_be_downloaded_too(visit, with_result):
    app = visit("gallery", run=with_result)
    app.get("segmented_control")[0].set_value("Time-lapse").run()
    assert not app.exception
    assert labels(app)[:3] == ["Download GIF", "Download WebP", "Download everything (.zip)"]


@pytest.mark.parametrize("make", [finished, failed])
def test_picture_of_the_gallery_carries_the_request_as_the_exported_grid_does(visit, store, monkeypatch, make):
    given = {}
    monkeypatch.setattr(streamlit, "download_button", lambda label, data, *_, **__: given.setdefault(label, data))
    run_id = make(store)
    visit("gallery", run=run_id)
    picture = Image.open(io.BytesIO(given["Download picture"]()))
    said = json.loads(picture.text[engine.export.METADATA])
    assert engine.RunRequest.model_validate(said["request"]) == store.run(run_id).request
    assert (said["run"], said["result_step"]) == (run_id, store.previews(run_id)[-1])


def test_queued_run_is_no_trouble_for_the_report(store):
    assert "This run is queued" in engine.report.report_html(store, queued(store))


def test_exported_images_are_those_of_the_set(store, with_result):
    content = engine.export.one(store, with_result, "distilled.npz")
    found = np.load(io.BytesIO(content), allow_pickle=False)
    pixels = found["inputs"] * 0.25 + 0.5
    assert np.array_equal(found["images"][:, :, :, 0], (255 * pixels[:, 0]).round().clip(0, 255).astype(np.uint8))
