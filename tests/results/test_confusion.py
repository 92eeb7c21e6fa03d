"""Every result of labelled images shows what it gets right of each class."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))  # the canned runs of the pages

import canned_runs as canned

import engine
from engine.cli.sections import lines
from engine.core.events import Analysed
from engine.results import Run, kind_of
from engine.results.confusion import MOST_LISTED, sections
from engine.results.sections import Chart, Choice, Table
from engine.runs import html


@pytest.fixture
def store(tmp_path) -> engine.Store:
    return engine.Store(tmp_path / "runs")


def confused(store: engine.Store, classes: list[str], right: list[int], counts: list[list[int]] | None) -> Run:
    """A run whose 10 test images per class were right so often, by one student."""
    run_id = canned.finished(store)
    arm = {"protocol": "ordinary", "students": 1, "right": right, "total": [10] * len(classes), "counts": counts}
    values = {"classes": classes, "judged_by": "accuracy", "arms": {"full": arm, "distilled": arm}}
    store.append(run_id, [Analysed("confusion", values)])
    return Run(store.run(run_id), store)


def test_map_and_table_say_what_is_taken_for_what(store):
    run = confused(store, ["cat", "<dog>"], [9, 4], [[9, 1], [6, 4]])
    (group,) = sections(run)
    said, choice, table = group.of
    assert said.text == (
        "Always answering 'cat' gives 50.0 %. Balanced accuracy, the mean over classes: distilled 65.0 % (standard "
        "training); full data 65.0 % (standard training)."
    )
    assert isinstance(choice, Choice) and list(choice.options) == ["Distilled", "Full data"]
    chart, _ = choice.options["Distilled"]()
    assert isinstance(chart, Chart) and chart.draw().data[0].z[1][0] == 60
    assert isinstance(table, Table) and table.columns["Distilled"] == [
        "90.0 %\n10.0 % taken for <dog>",
        "40.0 %\n60.0 % taken for cat",
    ]
    assert any("60.0 % taken for cat" in line for line in lines(kind_of("bilevel").printed(run)))
    assert "&lt;dog&gt;" in html.page("A report", [group])


def test_of_many_classes_the_table_lists_those_that_are_right_least_often(store):
    names = [f"class {number}" for number in range(120)]
    (group,) = sections(confused(store, names, [number % 10 + 1 for number in range(120)], None))
    said, table, note = group.of
    assert len(table.columns["Class"]) == MOST_LISTED and set(table.columns["Full data"]) == {"10.0 %", "20.0 %"}
    assert "The 20 of 120 classes" in note.text


def test_runs_of_earlier_versions_have_no_such_section(store):
    assert not sections(Run(store.run(canned.finished(store)), store))
