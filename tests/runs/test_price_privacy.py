"""Sequences that are close to real windows are told of before the scores, wherever a run is shown."""

from __future__ import annotations

import json
import re

import pytest
from forecast_runs import CONFIG, request
from test_report_forecasts import text_of

from engine.cli import main as cli
from engine.results import Run, kind_of
from engine.runs import export
from engine.runs.store import Store
from engine.runs.worker import execute

BRIEF = {"num_students": 1, "inner_steps": 4, "ordinary_steps": 4, "full_epochs": 1, "compare_full": False}
WARNING = (
    "6 of 6 sequences are close to copies of real windows (less than 0.5 times as far from one as real windows are "
    "from each other): do not share this set if the prices are secret. Start from noise to avoid this."
)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("private") / "runs")


def run_from(store: Store, images_from: str) -> str:
    """A run of two outer steps from real windows or from noise."""
    config = CONFIG | {"student": {"name": "linear"}, "outer_steps": 2, "images_from": images_from}
    run_id = store.submit(request(config=config, evaluation=BRIEF), status="running")
    execute(store, run_id)
    assert store.run(run_id).status == "done"
    return run_id


def told(store: Store, run_id: str, capsys) -> dict[str, str]:
    """What each place says of a run first."""
    row = store.run(run_id)
    where = ["show", run_id, "--runs", str(store.root)]
    assert cli.main(where) == 0
    printed = capsys.readouterr().out
    assert cli.main([*where, "--json"]) == 0
    kind, run = kind_of(row.method), Run(row, store)
    return {
        "page": " ".join(section.text for section in kind.verdict(run)),
        "cards": " ".join(f"{card.label} {card.value}" for card in kind.cards(run)),
        "report": " ".join(re.findall(r"<p[^>]*>(.*?)</p>", text_of(store, run_id).partition("<h2>")[0])),
        "terminal": printed.partition("Trained on")[0],
        "json": " ".join(json.loads(capsys.readouterr().out)["verdict"]),
    }


def test_a_run_from_real_windows_warns_in_every_headline_and_in_what_is_taken_home(store, capsys, tmp_path):
    run_id = run_from(store, "real")
    found = told(store, run_id, capsys)
    assert "Close to a real window 6 of 6" in found.pop("cards")
    for place, text in found.items():
        assert WARNING in text, place
    export.export(store, run_id, tmp_path / "home")
    assert WARNING in (tmp_path / "home" / "README.txt").read_text()


def test_a_run_from_noise_has_nothing_to_warn_of(store, capsys, tmp_path):
    run_id = run_from(store, "noise")
    for place, text in told(store, run_id, capsys).items():
        assert text and "do not share" not in text and "Close to a real window" not in text, place
    export.export(store, run_id, tmp_path / "home")
    assert "do not share" not in (tmp_path / "home" / "README.txt").read_text()
