"""Without validation data (`validation_fraction` 0) all images are trained on, and nothing is chosen on any others."""

from __future__ import annotations

import math
import re

import pytest
import torch
from contract import CASES
from draining import drained

from engine import Context, DataConfig, RunRequest, Store, evaluate, events, load
from engine.cli.pretrained import print_ends
from engine.cli.progress import Printer
from engine.core.config import checked
from engine.core.errors import ConfigError
from engine.data.source import TaskSpec
from engine.data.transforms.prepare import RawImages, prepare_images
from engine.results import Run, followed, kind_of, sections
from engine.run import resolve
from engine.runs.report import report_html
from engine.runs.sweep import expand
from engine.runs.worker import execute

ALL = {"validation_fraction": 0, "train_limit": 300}
EVALUATION = {"num_students": 1, "ordinary_steps": 2, "inner_steps": 4, "full_epochs": 1, "students": ("convnet",)}
OF_IMAGES = {case.method: case for case in CASES if case.source == "digits"}


def asked(method: str, **changes) -> RunRequest:
    values = {"source": "digits", "method": method, "config": OF_IMAGES[method].config, "data": ALL}
    return checked(RunRequest, values | {"evaluation": EVALUATION} | changes, "test")


@pytest.fixture(scope="module", params=OF_IMAGES)
def run(request, tmp_path_factory) -> Run:
    """A finished run of each method of images, in a store of its own."""
    store = Store(tmp_path_factory.mktemp("runs"))
    row = store.submit(asked(request.param), status="running")
    run_id = row if isinstance(row, str) else row.id
    execute(store, run_id)
    found = Run(store.run(run_id), store)
    assert found.row.status == "done", found.row.error
    return found


def test_every_method_trains_on_all_images_and_returns_its_last_step(run):
    assert (run.row.facts["train"], run.row.facts["validation"]) == (300, 0)
    assert load(run.store.result(run.row.id)).step == run.row.total_steps


def test_only_test_images_are_measured(run):
    assert {score.split for score in run.scores} == {"test"}
    assert not any(math.isnan(score.value) for score in run.scores)
    assert not [name for name in run.series if "validation" in name]
    assert [epoch.validation_accuracy for epoch in run.expert_epochs if epoch.validation_accuracy is not None] == []
    assert [epoch.knn_accuracy for epoch in run.teacher_epochs if epoch.knn_accuracy is not None] == []


def test_recipes_say_that_nothing_is_chosen(run):
    recipes = [score.recipe for score in run.scores if score.arm != "teacher"]
    assert all("nothing is chosen, for there is no validation set" in recipe for recipe in recipes)
    assert not any("best on validation" in recipe for recipe in recipes)
    if run.row.method == "rat_bptt":
        assert any("the last of 1, 2 and 4 steps" in recipe for recipe in recipes)


def test_pages_and_report_say_nothing_of_validation_scores(run):
    kind = kind_of(run.row.method)
    parts = [*kind.verdict(run), *kind.scores(run), *kind.measures(run), *kind.architectures(run)]
    said = " ".join(each.text for each in parts if isinstance(each, sections.Sentence))
    report = re.sub(r"<script.*?</script>", "", report_html(run.store, run.row.id), flags=re.DOTALL)
    for text in (said, report):
        assert not re.search(r"\bnan\b|scored best on validation|chosen on validation", text)
    assert "Validation images" not in report
    waiting = Run(run.row.__class__(**{**vars(run.row), "status": "running"}), run.store)
    assert not [card for card in kind.cards(waiting) if "alidation" in card.label + card.note]


def test_experts_and_teachers_have_no_validation_accuracy_anywhere(run, capsys):
    assert not [card for card in followed.cards(run) if "alidation" in card.label + card.note]
    printer = Printer(run.row.request)
    epochs = [*run.expert_epochs, *run.teacher_epochs]
    for epoch in epochs:
        printer(epoch)
    printer.close()
    print_ends(run.store, run.row.id)
    printed = "".join(capsys.readouterr())
    assert ("epoch" in printed) == bool(epochs) and "validation" not in printed and "None" not in printed


def test_a_result_is_evaluated_again_without_validation_images(run, tmp_path):
    values = run.row.request.model_dump(mode="json") | {"evaluation": EVALUATION | {"students": ()}}
    found: list[events.Event] = []
    synthetic = load(run.store.result(run.row.id))
    evaluate(checked(RunRequest, values, "test"), synthetic, Context(cache_root=tmp_path), found.append)
    assert {event.split for event in found if isinstance(event, events.Scored)} == {"test"}


def raw(validation=None) -> RawImages:
    images, targets = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(40, 1, 2, 2), torch.arange(40) % 2
    return RawImages(images, targets, images[:10], targets[:10], validation)


@pytest.mark.parametrize("given", [None, torch.arange(6)], ids=["undivided", "with validation images of its own"])
@pytest.mark.parametrize("settings", [{}, {"zca": True}, {"zca": True, "zca_kind": "podd"}], ids=str)
def test_a_fraction_of_nothing_leaves_every_image_for_training(given, settings):
    spec = TaskSpec("classification", (1, 2, 2), 2, ("even", "odd"))
    config = DataConfig(validation_fraction=0, **settings)
    splits = drained(prepare_images(raw(given), spec, "toy", "toy", config))[1]
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (40, 0, 10)
    assert list(splits.measured) == ["test"]


def test_a_sweep_of_settings_needs_validation_images_but_one_of_seeds_does_not():
    with pytest.raises(ConfigError, match="validation_fraction is 0; set a share for validation"):
        expand(asked("bilevel"), {"config.outer_lr": ["0.01", "0.02"]})
    with pytest.raises(ConfigError, match="validation_fraction is 0"):
        expand(asked("bilevel"), {"data.validation_fraction": ["0", "0.1"]})
    assert len(expand(asked("bilevel"), {"seed": ["0", "1"]})) == 2


def test_prices_keep_a_validation_part():
    with pytest.raises(ConfigError, match="windows.validation_fraction: input should be greater than or equal to 0.02"):
        checked(RunRequest, {"source": "simulated_prices", "data": {"windows": {"validation_fraction": 0}}}, "request")
    _, config = resolve(RunRequest(source="simulated_prices", method="ohlc", data={"validation_fraction": 0}))
    assert config.num_validations
