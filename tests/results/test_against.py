"""What a result says beside the score it keeps: the gap it closes, the work it saves, and when it pays off."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))  # the canned runs of the pages

import canned_forecasts as forecasts
import canned_runs as canned
import canned_selfsup as selfsup

import engine
from engine.cli.sections import lines
from engine.core.events import ExpertEpoch, Finished
from engine.figures import formats
from engine.results import Run, against, kind_of, together
from engine.results.sections import Table


@pytest.fixture
def store(tmp_path) -> engine.Store:
    return engine.Store(tmp_path / "runs")


def done(store: engine.Store, seconds: dict[str, float], *, cached: Sequence[str] = (), counts: bool = True) -> Run:
    """A finished run whose students took `seconds` per training set. counts: whether samples seen were counted."""
    run_id = canned.running(store, canned.TOTAL)
    for (arm, protocol), value in canned.MEANS.items():
        found = [canned.score(arm, protocol, value, split=split) for split in ("validation", "test")]
        timed = {"seconds": seconds.get(arm, 1.0), "cached": arm in cached} | ({} if counts else {"training": {}})
        store.append(run_id, [replace(each, **timed) for each in found])
    store.append(run_id, [Finished({"seconds_distilling": 60.0})])
    return Run(store.run(run_id), store)


@pytest.mark.parametrize(
    ("canned_run", "said"),
    [
        (canned, "closes **71.6 %** of the gap between random real data of equal bytes (55.1 %) and the full data"),
        (selfsup, "closes **81.6 %** of the gap between an untrained network (55.0 %) and the full data (93.0 %)"),
        (forecasts, "closes **86.1 %** of the gap between the naive forecast (0.0 %) and the full data (3.6 %)"),
    ],
)
def test_gap_closed_stands_in_verdict_card_table_terminal_and_comparison(store, canned_run, said):
    run = Run(store.run(canned_run.finished(store)), store)
    kind = kind_of(run.row.method)
    percent = said.split("**")[1]
    assert said in kind.verdict(run)[-1].text
    assert [card.value for card in kind.cards(run) if card.label == "Gap closed"] == [percent]
    assert percent in kind._columns(run, run.own)["Gap closed"]
    assert any(percent in line for line in lines(kind.printed(run)))
    (table,) = (each for each in together.scores([run], run.best["distilled"].protocol) if isinstance(each, Table))
    assert table.columns["Gap closed"] == [percent]
    assert against.numbers(run)["gap_closed"][run.best["distilled"].protocol] == pytest.approx(
        float(percent.removesuffix(" %")) / 100, abs=1e-3
    )


def test_no_gap_and_a_set_below_its_floor_are_said_plainly(store, monkeypatch):
    monkeypatch.setitem(canned.MEANS, ("full", "ordinary"), 0.5)
    run = Run(store.run(canned.finished(store)), store)
    assert "There is no gap to close: the full data (50.0 %) do no better" in against.gap(run)[0].text
    assert [each.value for each in against.metrics(run) if each.label == "Gap closed"] == ["undefined"] * 2
    monkeypatch.setitem(canned.MEANS, ("full", "ordinary"), 0.97)
    run = Run(store.run(canned.finished(store, better=-0.4)), store)
    said = (
        "The distilled set does worse than random real data of equal bytes (55.1 %): it closes none of the gap to the"
    )
    assert said in against.gap(run)[0].text


def test_seconds_stand_beside_the_work_where_this_run_measured_both(store):
    notes = [each.note for each in against.metrics(done(store, {"full": 4.0})) if each.label == "Speed-up"]
    assert notes == ["own recipe, 4.00 × in seconds", "standard training, 4.00 × in seconds"]
    notes = [
        each.note for each in against.metrics(done(store, {"full": 4.0}, cached=["full"])) if each.label == "Speed-up"
    ]
    assert notes == ["own recipe", "standard training"]


def test_pays_off_once_the_time_to_make_the_set_is_saved(store):
    paid = against.payoff(done(store, {"full": 5.0}))
    assert paid.trainings == 15 and paid.value == "15"
    assert (
        paid.sentence
        == "Distilling took 1 min. It pays off after 15 trainings: each takes 1.0 s instead of 5.0 s (own recipe)."
    )


def test_never_pays_off_where_training_on_the_set_is_not_faster(store):
    paid = against.payoff(done(store, {"full": 1.0}))
    assert paid.value == "never" and "It never pays off" in paid.sentence
    run = done(store, {"full": 0.5})
    assert any("It never pays off" in line for line in lines(kind_of("bilevel").printed(run)))
    assert against.numbers(run)["pays_off_after"] is None


def test_never_pays_off_where_real_data_that_took_no_time_do_better(store, monkeypatch):
    monkeypatch.setitem(canned.MEANS, ("distilled", "as_distilled"), 0.3)
    monkeypatch.setitem(canned.MEANS, ("distilled", "ordinary"), 0.3)
    paid = against.payoff(done(store, {"full": 5.0}))
    assert paid.value == "never"
    assert "never pays off: random real data of equal bytes took no time to make and did better" in paid.sentence


def test_times_of_the_cache_are_not_taken_for_those_of_today(store):
    for cached, counts, full in ((["full", "distilled"], True, 5.0), (["full"], False, 5.0), (["full"], True, 0.9)):
        paid = against.payoff(done(store, {"full": full}, cached=cached, counts=counts))
        assert paid.value == "not known" and "comes from an earlier run" in paid.sentence


@pytest.mark.parametrize(("full", "instead", "value"), [(5.0, "5.0 s", "about 15"), (50.0, "13 s", "about 6")])
def test_a_full_training_of_the_cache_counts_by_its_own_time_or_by_samples_seen_whichever_is_shorter(
    store, full, instead, value
):
    paid = against.payoff(done(store, {"full": full}, cached=["full"]))  # 32,000 samples instead of 2,500
    assert paid.value == value
    assert paid.sentence == (
        f"Distilling took 1 min. It pays off after {value} trainings: each takes 1.0 s instead of about {instead} (own "
        f"recipe). The training on the full data comes from an earlier run, where it took {formats.duration(full)}. By "
        "samples seen, 12.8 × as many, it would take 13 s. The shorter time counts."
    )


def test_experts_recorded_by_an_earlier_run_count_and_those_of_this_run_count_once(store):
    run = done(store, {"full": 5.0})
    store.append(run.row.id, [ExpertEpoch(0, 1, 1, 1, 0.5, 0.9, 20.0, cached=True)])
    again = Run(run.row, store)
    assert against.payoff(again).trainings == 20
    store.append(run.row.id, [ExpertEpoch(0, 1, 1, 1, 0.5, 0.9, 20.0)])
    assert against.payoff(Run(run.row, store)).trainings == 15, "part of the 60 seconds"
