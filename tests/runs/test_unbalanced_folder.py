"""A folder of 95 % cats: 95.0 % of test images right stands beside what always answering "cats" reaches."""

from __future__ import annotations

import sys
from html import unescape
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "images"))  # trees of pictures

from draining import drained
from picture_trees import options, picture, written
from small_runs import SMALL, distilled

from engine.cli.sections import lines
from engine.core.context import data_root as root
from engine.data.images import import_path
from engine.evaluation.ratios import scales
from engine.figures import formats
from engine.results import Run, kind_of
from engine.runs import report
from engine.runs.store import Store
from pages.ui import cards


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """All pictures are the same, so that a network trained on all of them always answers "cats"."""
    monkeypatch.setenv("DISTILLERY_DATA", str(tmp_path / "data"))
    sizes = {"train/cats": 95, "train/dogs": 5, "test/cats": 19, "test/dogs": 1}
    same = picture(0)
    tree = {f"{folder}/{number}.png": same for folder, size in sizes.items() for number in range(size)}
    drained(import_path(written(tmp_path / "Pets", tree), options("Pets"), root()))
    store = Store(tmp_path / "runs")
    quick = SMALL["config"] | {"outer_steps": 2, "num_validations": 1}
    run_id = distilled(store, source="folder:pets", config=quick, data={"validation_fraction": 0.2})
    return Run(store.run(run_id), store)


def test_accuracy_of_a_constant_answer_stands_beside_its_share_and_balanced_accuracy(run, monkeypatch):
    kind, full = kind_of(run.row.method), run.best["full"]
    assert full.mean == 0.95 and run.judged_row(full).mean == 0.5
    printed = "\n".join(lines(kind.printed(run)))
    page = unescape(report.report_html(run.store, run.row.id))
    for told in (printed, page.replace("<strong>", "").replace("</strong>", "")):
        assert "Always answering 'cats' gives 95.0 %. Balanced accuracy: " in told
        assert "full data 50.0 %" in told and "are chosen by balanced accuracy on validation images" in told
        assert "Right by class" in told and "100.0 % taken for cats" in told
    assert "validation_balanced_accuracy" in run.series
    assert any(card.label == "Balanced accuracy, test" for card in kind.cards(run))
    table = kind._columns(run, run.own)
    assert table["Balanced accuracy"][table["Trained on"].index("Full data")] == "50.0 ± 0.0 %"
    monkeypatch.setattr(cards.services, "store", lambda: run.store)
    distilled = run.judged_row(run.best["distilled"])
    assert f", {formats.percent(distilled.mean)} balanced, distilled" in cards._score(run.row)
    assert "in balanced accuracy" in printed or "no gap to close" in printed
    real = run.judged_row(run.best["random_real"])
    assert all(scale.floor == real.mean for scale in scales(run.scores, run.student.name).values())
    if "Distilling added" in printed or "Distilling took away" in printed:
        gain = run.judged_row(run.best["distilled"]).mean - run.judged_row(run.best["start"]).mean
        assert f"{formats.points(abs(gain))} in balanced accuracy." in printed
    assert " % balanced accuracy on validation against " in printed or "Stored in **float32**" in printed
