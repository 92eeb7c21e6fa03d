"""What the command line prints of a comparison: every arm and architecture, and the benchmark scores."""

from __future__ import annotations

import json

import pytest

from engine import Store, request_from_preset
from engine.cli.main import main
from engine.core.context import runs_root
from engine.core.events import Finished, Scored

MEANS = {
    ("distilled", "as_distilled"): 0.6,
    ("distilled", "unaugmented"): 0.5,
    ("distilled_ema", "as_distilled"): 0.62,
    ("random_real", "as_distilled"): 0.3,
    ("random_real", "unaugmented"): 0.3,
    ("full", "ordinary"): 0.8,
}


@pytest.fixture
def run_id():
    """A finished run whose set was scored with two architectures."""
    store = Store(runs_root())
    run_id = store.submit(request_from_preset("digits", "bilevel", "quick"), status="running")
    for student in ("mlp", "convnet"):
        found = [
            Scored(arm, protocol, student, 0, "accuracy", mean, 1.0, split)
            for (arm, protocol), mean in MEANS.items()
            for split in ("validation", "test")
        ]
        store.append(run_id, found)
    store.append(run_id, [Finished({"labels": "hard"})])
    return run_id


def test_show_has_rows_of_all_architectures_and_the_numbers_of_the_field(capsys, run_id):
    assert main(["show", run_id, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {(row["student"], row["arm"], row["protocol"]) for row in shown["scores"]} == {
        (student, *key) for student in ("mlp", "convnet") for key in MEANS
    }
    ranking = shown["ranking"]
    assert ranking["hard_label_recovery"] == pytest.approx(0.2)
    assert ranking["improvement_over_random"] == pytest.approx(0.3)
    assert 0.26 < ranking["label_robust_score"] < ranking["augmentation_robust_score"] < 1


def test_a_run_without_scores_has_no_numbers(capsys):
    run_id = Store(runs_root()).submit(request_from_preset("digits", "bilevel", "quick"))
    assert main(["show", run_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranking"] == {}


def test_lines_of_scores_stand_in_columns_however_long_an_arm_is_called(capsys, run_id):
    assert main(["show", run_id]) == 0
    printed = capsys.readouterr().out.splitlines()
    for title, num_rows in (("MLP 256-128, own recipe, n = 1", 3), ("ConvNet, own recipe, no augmentation, n = 1", 2)):
        place = printed.index(title) + 1
        head, *lines = printed[place : place + 1 + num_rows]
        assert head.startswith("Trained on") and [line[:9] for line in lines[:1]] == ["Distilled"]
        for column in ("Accuracy", "Samples", "Stored"):
            at = head.index(column)
            assert all(line[at - 1] == " " != line[at] for line in lines), column
