"""Published numbers: each has a source and its marks, and none passes for one that was measured here."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))  # the canned runs of the pages

import canned_runs as canned

import engine
from engine.cli.main import main
from engine.cli.sections import lines
from engine.methods import METHODS
from engine.results import Run, kind_of, published
from engine.results.sections import Group, Sentence, Table
from engine.runs.report import report_html

DATA, ROWS = published.read()
CARDS = Path(engine.__file__).parent / "methods"
HEADING = f"### {published.TITLE}"


@pytest.fixture
def store(tmp_path, monkeypatch) -> engine.Store:
    """A store for canned runs, which are on CIFAR-10 here."""
    asked = canned.request().model_copy(update={"source": "cifar10"})
    monkeypatch.setattr(canned, "request", lambda: asked)
    return engine.Store(tmp_path / "runs")


def run_of(store: engine.Store, num_bytes: int) -> Run:
    """A finished run whose distilled set takes so many bytes."""
    found = Run(store.run(canned.finished(store)), store)
    scores = [replace(each, num_bytes=num_bytes) for each in found.scores]
    return Run(found.row, store, scores)


def test_every_score_has_a_source_a_network_and_a_range_that_it_can_have():
    for row in ROWS:
        assert row.about.source and row.network and 0 < row.value < 1 and not row.std > 0.1, row
        assert row.data in DATA and 0 < row.ipc <= 50 and row.num_bytes > 0, row
        assert not row.about.ours or row.about.ours in METHODS
        assert row.about.selection in published.SELECTED
        assert not row.about.audit or row.about.second_hand, "an audit is not the authors' own account"


def test_no_score_stands_there_twice():
    keys = [(row.about.method, row.data, row.network, row.ipc, row.about.audit, row.about.measure) for row in ROWS]
    assert len(keys) == len(set(keys)) > 250


def test_data_sets_have_the_shapes_and_classes_they_have_here():
    for key in DATA.keys() & engine.SOURCES.keys():
        source = engine.SOURCES[key]
        assert (DATA[key].shape, DATA[key].classes) == (source.sample_shape, len(source.class_names))
    assert {"mnist", "fashion_mnist", "cifar10", "cifar100"} <= DATA.keys() & engine.SOURCES.keys()


def test_a_row_without_a_source_or_with_an_unknown_mark_is_refused():
    good = {"method": "X", "network": "N", "recipe": "R", "selection": "best", "source": "S", "scores": {}}
    published.Publication.model_validate(good)
    for wrong in ({"source": ""}, {"selection": "luck"}, {"bits": 64}, {"colour": "red"}):
        with pytest.raises(ValidationError):
            published.Publication.model_validate(good | wrong)


def test_one_image_per_class_of_cifar_10_is_122_880_bytes_as_float32_and_fewer_bits_are_fewer_bytes():
    sizes = {(row.about.method, row.ipc): row.num_bytes for row in ROWS if row.data == "cifar10"}
    assert sizes["ATT", 1] == 122_880 and sizes["QuADD", 10] == 115_200


def test_scores_are_matched_by_data_set_and_stored_bytes_and_say_whose_they_are(store):
    (box,) = published.beside([run_of(store, 120_000)])
    assert isinstance(box, Group) and box.title == "Published elsewhere, not measured here"
    sentence, table, rest = box.of
    assert isinstance(sentence, Sentence) and isinstance(table, Table) and isinstance(rest, Group)
    assert "CIFAR-10, at 115,200 to 137,626 bytes as float32 images" in sentence.text
    assert "the 120,000 bytes stored here" in sentence.text
    found = dict(zip(table.columns["Method"], zip(*list(table.columns.values())[1:], strict=True), strict=True))
    score, size, network, recipe, marks, source = found["ATT\nas our Trajectory matching (MTT, FTD, ATT)"]
    assert (score, size) == ("48.3 ± 1.0 %", "1\n122,880 bytes")
    assert "D3" in network and recipe and marks.startswith("best test score kept") and "2407.14245" in source
    assert found["DM"][4].startswith("score of a fixed last step; second-hand")
    assert "74.5 ± 0.4 %" in rest.of[0].columns["Test accuracy"]


@pytest.mark.parametrize("source", ["digits", "folder:plants"])
def test_nothing_is_published_for_other_data(source):
    assert published.on(source) == published.marks(source) == []


def test_a_chart_gets_accuracies_alone():
    marks = published.marks("cifar10")
    assert any(mark.is_second_hand for mark in marks) and not all(mark.is_second_hand for mark in marks)
    assert not any("DD-Ranking" in mark.marks for mark in marks)


def test_report_and_terminal_show_them_apart_from_what_was_measured(store):
    run = run_of(store, 122_880)
    printed = "\n".join(lines(kind_of(run.row.method).printed(run)))
    assert published.TITLE in printed and "48.3 ± 1.0 %" in printed and "74.5" not in printed
    report = report_html(store, canned.finished(store))
    assert published.TITLE in report and "best test score kept" in report


def test_the_terminal_lists_what_was_published_for_a_method(capsys):
    assert main(["methods", "trajectory"]) == 0
    printed = capsys.readouterr().out
    assert published.TITLE in printed and "48.3 ± 1.0 %" in printed and "measured again by DC-BENCH" in printed
    assert main(["methods", "selfsup"]) == 0
    assert published.TITLE not in capsys.readouterr().out


@pytest.mark.parametrize("method", sorted({row.about.ours for row in ROWS} - {""}))
def test_cards_list_what_was_published_for_their_method(method):
    card = (CARDS / method / "README.md").read_text()
    assert f"{HEADING}\n\n{published.card(method)}\n" in card, f"put engine.results.published.card('{method}') there"
