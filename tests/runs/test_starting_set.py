"""What a run started as is kept in its folder and trained on too: after a resume, and when the run is evaluated."""

from __future__ import annotations

import json

import pytest
import torch
from test_results_again import SHORT, TINY, done, request

from engine import RunRequest, Store, execute, load
from engine.cli.main import main
from engine.evaluation.scores import headlines, summarise

REAL = TINY | {"images_from": "real"}


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def arms(store: Store, run_id: str) -> dict[tuple[str, str], float]:
    return {(row.arm, row.protocol): row.mean for row in headlines(summarise(store.scores(run_id)))}


def stopped(store: Store, asked: RunRequest) -> str:
    """A run that was stopped after its first step."""
    run_id = store.submit(asked, status="running")
    execute(store, run_id, on_event=lambda event: event.kind == "measured" and store.request_stop(run_id))
    assert store.run(run_id).status == "stopped"
    return run_id


def test_the_starting_set_is_the_same_after_a_resume(store):
    asked = request(config=REAL | {"outer_steps": 20})
    whole = done(store, asked)
    parted = stopped(store, asked)
    store.resume(parted, status="running")
    execute(store, parted)
    assert store.run(parted).status == "done"
    scores = arms(store, whole)
    assert {("start", "as_distilled"), ("start", "ordinary")} <= scores.keys() and arms(store, parted) == scores
    assert store.begun(whole).read_bytes() == store.begun(parted).read_bytes()
    begun, distilled = load(store.begun(whole)), load(store.result(whole))
    assert begun.step == 0 and not torch.equal(begun.materialise()[0], distilled.materialise()[0])


def test_an_evaluation_of_a_finished_run_has_its_starting_set(store, capsys):
    first = done(store, request(config=REAL))
    again = done(store, request(config=REAL, action="evaluate", start=first))
    assert arms(store, again)["start", "ordinary"] == arms(store, first)["start", "ordinary"]
    third = done(store, request(config=REAL, action="evaluate", start=again))
    assert arms(store, third).keys() == arms(store, first).keys()
    capsys.readouterr()
    assert main(["evaluate", first, "--json", "--runs", str(store.root)]) == 0
    assert "start" in {score["arm"] for score in json.loads(capsys.readouterr().out)}


def test_noise_is_no_starting_set(store):
    run_id = done(store, request())
    assert store.begun(run_id) is None and "start" not in {arm for arm, _ in arms(store, run_id)}


def test_a_result_without_a_starting_set_is_evaluated_without_one(store):
    first = done(store, request(config=REAL))
    store.begun(first).unlink()  # as in runs of earlier versions
    again = done(store, request(config=REAL, evaluation=SHORT, action="evaluate", start=first))
    assert "start" not in {arm for arm, _ in arms(store, again)}
