"""What a result says of how its values are stored."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))  # the canned runs of the pages

import canned_runs as canned

import engine
from engine.cli.main import main
from engine.cli.sections import lines
from engine.core.events import Analysed, Finished
from engine.results import Run, kind_of
from engine.runs.report import report_html

TRIED = {
    "32": {"bytes": 2610, "score": 0.783, "students": 3},
    "8": {"bytes": 698, "score": 0.782, "students": 3},
    "4": {"bytes": 378, "score": 0.701, "students": 3},
}


def run_with(tmp_path, bits: int, is_asked: bool, widths: dict[str, dict[str, float]]) -> Run:
    store = engine.Store(tmp_path / "runs")
    run_id = canned.running(store, canned.TOTAL)
    scores = [canned.score(*key, value, split="test") for key, value in canned.MEANS.items()]
    store.append(run_id, [*scores, Analysed("storage", {"bits": bits, "is_asked": is_asked, "widths": widths})])
    return Run(store.run(run_id), store)


@pytest.mark.parametrize(
    ("bits", "is_asked", "widths", "said"),
    [
        (8, False, TRIED, "Stored in **8 bits per value** (698 B): 78.2 % on validation against 78.3 % in float32."),
        (4, True, TRIED, "Stored in **4 bits per value** (378 B): 70.1 % on validation against 78.3 % in float32."),
        (8, False, {"8": {"bytes": 698}}, "(698 B): not tested, as there are no validation data."),
        (32, False, TRIED, "Stored in **float32** (2.61 kB): fewer bits cost more than 0.5 points."),
        (32, True, {"32": {"bytes": 2610}}, "Stored in **float32** (2.61 kB)."),
    ],
)
def test_the_width_and_what_it_costs_are_said_in_a_sentence(tmp_path, bits, is_asked, widths, said):
    run = run_with(tmp_path, bits, is_asked, widths)
    assert said.replace("**", "") in "\n".join(lines(kind_of("bilevel").measures(run))).replace("**", "")
    assert said.replace("**", "") in "\n".join(lines(kind_of("bilevel").printed(run))).replace("**", "")


def test_every_width_that_was_tried_is_in_the_report_with_bytes_and_score(tmp_path):
    run = run_with(tmp_path, 8, False, TRIED)
    html = report_html(run.store, run.row.id)
    for cell in ("float32", "8 bits, stored", "4 bits", "2.61 kB", "698 B", "378 B", "78.3 %", "78.2 %", "70.1 %"):
        assert cell in html
    (tmp_path / "none").mkdir()
    store = engine.Store(tmp_path / "none")
    run_id = canned.running(store, canned.TOTAL)
    assert "Storage" not in "\n".join(lines(kind_of("bilevel").measures(Run(store.run(run_id), store))))


def test_images_per_class_and_bytes_stand_in_the_report_and_in_the_terminal(tmp_path, capsys):
    run = run_with(tmp_path, 8, False, TRIED)
    run.store.append(run.row.id, [Finished({"num_bytes": 698, "num_samples": 10, "compression": 120.0})])
    assert "1 image per class, 698 B" in report_html(run.store, run.row.id)
    assert main(["show", run.row.id, "--runs", str(tmp_path / "runs")]) == 0
    assert "1 image per class, 698 B" in capsys.readouterr().out
