"""The store: what is written is read back, from any thread or process, and from the folders alone."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_tools import rebuild, records

from engine.core.config import RunRequest
from engine.core.errors import RunError
from engine.core.events import (
    CandleView,
    Failed,
    Finished,
    Measured,
    Preview,
    Progress,
    Scored,
    Started,
    Stopped,
    Warned,
)
from engine.runs import log, owners
from engine.runs.store import RunRow, Store

REQUEST = RunRequest(name="first", source="mnist", preset="quick", seed=3, config={"ipc": 2})
SCORE = Scored("distilled", "ordinary", "mlp", 0, "accuracy", 0.5, 0.1)


def everything(store: Store) -> dict:
    """All that can be read about all runs, comparable."""
    found = {}
    for row in store.runs():
        series = {
            name: (s.steps.tolist(), [repr(v) for v in s.values.tolist()]) for name, s in store.series(row.id).items()
        }
        found[row.id] = (
            row,
            series,
            store.scores(row.id),
            store.warnings(row.id),
            store.notes(row.id),
            store.previews(row.id),
            records(store, row.id),
        )
    return found


def start(store: Store, request: RunRequest = REQUEST) -> str:
    return store.submit(request, status="running")


def measured(step: int, **values: float) -> Measured:
    return Measured(step, values or {"loss": 1.0 / step})


def preview(step: int) -> Preview:
    return Preview(step, np.full((2, 3, 3, 1), step % 256, np.uint8), ("null", "<b>eins</b>"))


def test_a_new_run_is_queued_with_everything_that_was_asked_for(store):
    before = time.time()
    row = store.run(store.submit(REQUEST))
    assert (row.id, row.name, row.status) == ("0001", "first", "queued")
    assert (row.source, row.method, row.preset, row.seed) == ("mnist", "bilevel", "quick", 3)
    assert row.request == REQUEST
    assert before <= row.created <= time.time()
    assert (
        row.started is row.finished is row.outlook.seconds_left is row.seconds_per_step is row.checkpoint_step is None
    )
    assert not row.resumable and not row.stop_requested
    assert json.loads((store.folder(row.id) / "request.json").read_text())["source"] == "mnist"
    assert (
        store.series(row.id) == {}
        and store.scores(row.id) == []
        and store.previews(row.id) == []
        and store.result(row.id) is None
    )


def test_sequences_of_a_preview_are_read_back_as_they_were_and_pictures_without_them_too(tmp_path):
    store = Store(tmp_path)
    run_id = store.submit(REQUEST)
    bars = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)
    kept = CandleView(bars, ("BTC", "É=cmd"), np.array([[0.2, 0.8], [1, 0]], np.float32), ("down", "up"))
    store.append(run_id, [preview(0), Preview(4, np.zeros((2, 3, 3, 3), np.uint8), kept.tokens, candles=kept)])
    assert store.preview(run_id, 0).candles is None
    found = Store(tmp_path).preview(run_id, 4).candles
    assert (found.tokens, found.outputs) == (kept.tokens, kept.outputs)
    assert np.array_equal(found.bars, bars) and np.array_equal(found.targets, kept.targets)


def test_events_are_read_back_as_they_were(store):
    run_id = start(store)
    store.append(run_id, [Progress("download", 3, 9)])
    assert (store.run(run_id).phase, store.run(run_id).phase_done, store.run(run_id).phase_total) == ("download", 3, 9)
    store.append(
        run_id,
        [
            Started(20, {"device": "cpu"}),
            preview(0),
            measured(1, loss=2.0, rate=0.1),
            measured(2, loss=1.5),
            SCORE,
            Warned("Hm."),
        ],
    )
    row = store.run(run_id)
    assert (row.status, row.step, row.total_steps, row.phase, row.facts) == ("running", 2, 20, "", {"device": "cpu"})
    series = store.series(run_id)
    assert series["loss"].steps.tolist() == [1, 2] and series["loss"].values.tolist() == [2.0, 1.5]
    assert series["rate"].steps.tolist() == [1] and series["rate"].values.dtype == np.float64
    assert store.scores(run_id) == [SCORE] and store.warnings(run_id) == ["Hm."]
    shown = store.preview(run_id, 0)
    assert (
        shown.images.dtype == np.uint8
        and shown.images.shape == (2, 3, 3, 1)
        and shown.labels == ("null", "<b>eins</b>")
    )
    store.append(run_id, [Finished({"num_bytes": 7})])
    row = store.run(run_id)
    assert (row.status, row.summary, row.resumable) == ("done", {"num_bytes": 7}, False)
    assert row.finished >= row.started
    kinds = [record["kind"] for record in records(store, run_id)]
    assert kinds == [
        "submitted",
        "claimed",
        "progress",
        "started",
        "measured",
        "measured",
        "scored",
        "warned",
        "finished",
    ]


def test_values_that_are_not_finite_are_nan_in_the_series_and_null_in_the_log(store):
    run_id = start(store)
    store.append(
        run_id,
        [measured(1, loss=math.inf, norm=math.nan, fine=1.0), Finished({"ratio": math.nan, "count": np.int64(3)})],
    )
    assert np.isnan(store.series(run_id)["loss"].values).all() and store.series(run_id)["fine"].values.tolist() == [1.0]
    lines = (store.folder(run_id) / "events.jsonl").read_text().splitlines()
    strict = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert strict[2]["values"]["loss"] is None
    assert store.run(run_id).summary == {"ratio": None, "count": 3}


def test_an_event_that_json_cannot_hold_is_refused_and_nothing_is_kept(store):
    run_id = start(store)
    with pytest.raises(TypeError, match="cannot carry a object"):
        store.append(run_id, [measured(1), Started(3, {"what": object()})])
    assert store.series(run_id) == {}


def test_a_refresh_reads_only_new_rows_and_old_arrays_stay_as_they_were(store):
    run_id = start(store)
    store.append(run_id, [measured(step) for step in range(1, 101)])
    first = store.series(run_id)["loss"]
    store.append(run_id, [measured(step) for step in range(101, 301)])
    second = store.series(run_id)["loss"]
    assert len(first.steps) == 100 and second.steps.tolist() == list(range(1, 301))
    assert np.array_equal(first.values, second.values[:100])
    with pytest.raises(ValueError, match="read-only"):
        second.values[0] = 5.0


def test_two_stores_see_the_same_run_live(store):
    other = Store(store.root)
    run_id = start(store)
    for step in range(1, 4):
        store.append(run_id, [measured(step)])
        assert other.series(run_id)["loss"].steps[-1] == step
    other.request_stop(run_id)
    assert store.run(run_id).stop_requested
    assert everything(store) == everything(other)


# ---- queue ----


def test_the_oldest_queued_run_is_taken_first_and_a_resumed_one_goes_to_the_end(store):
    first, second = store.submit(REQUEST), store.submit(REQUEST)
    store.request_stop(first)
    store.resume(first)
    assert [store.claim(), store.claim(), store.claim()] == [second, first, None]


def test_a_named_run_is_claimed_once(store):
    run_id = store.submit(REQUEST)
    assert store.claim("1") == run_id
    assert store.claim(run_id) is None
    assert store.run(run_id).status == "running"


def test_each_of_many_queued_runs_goes_to_exactly_one_of_many_claimants(store):
    wanted = {store.submit(REQUEST) for _ in range(12)}
    stores = [store, Store(store.root), Store(store.root)]

    def claim_all(index: int) -> list[str]:
        return list(iter(stores[index % 3].claim, None))

    with ThreadPoolExecutor(6) as pool:
        taken = [run_id for found in pool.map(claim_all, range(6)) for run_id in found]
    assert len(taken) == 12 and set(taken) == wanted


def test_ids_are_given_once_even_when_many_submit_and_the_newest_is_deleted(store):
    stores = [store, Store(store.root)]
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda index: stores[index % 2].submit(REQUEST), range(12)))
    assert sorted(ids) == [f"{number:04d}" for number in range(1, 13)]
    store.delete("0012")
    assert store.submit(REQUEST) == "0013"


# ---- stop, resume, delete, rename ----


def test_a_queued_run_stops_at_once_and_stopping_twice_is_harmless(store):
    run_id = store.submit(REQUEST)
    for _ in range(2):
        store.request_stop(run_id)
        row = store.run(run_id)
        assert row.status == "stopped" and row.resumable and not row.stop_requested
    assert store.claim() is None


def test_stopping_a_running_run_is_only_a_wish(store):
    run_id = start(store)
    for _ in range(2):
        store.request_stop(run_id)
    assert store.run(run_id).status == "running" and store.run(run_id).stop_requested
    assert [record["kind"] for record in records(store, run_id)].count("stop_requested") == 1
    store.append(run_id, [Stopped(0)])
    assert not store.run(run_id).stop_requested


@pytest.mark.parametrize(
    ("ending", "sentence"), [(Finished({}), "is done"), (None, "is running already"), ("queued", "is queued already")]
)
def test_only_an_ended_unfinished_run_is_resumed(store, ending, sentence):
    run_id = store.submit(REQUEST, "queued" if ending == "queued" else "running")
    if isinstance(ending, Finished):
        store.append(run_id, [ending])
    with pytest.raises(RunError, match=sentence):
        store.resume(run_id)


def test_resuming_a_failed_run_clears_its_error(store):
    run_id = start(store)
    store.append(run_id, [Started(9), measured(4), Failed("NaN. Lower it.", "Traceback …", 4)])
    row = store.run(run_id)
    assert (row.status, row.error, row.error_step, row.details, row.resumable) == (
        "failed",
        "NaN. Lower it.",
        4,
        "Traceback …",
        True,
    )
    store.resume(run_id)
    row = store.run(run_id)
    assert (row.status, row.error, row.details, row.finished) == ("queued", "", "", None)


def test_a_resumed_run_can_be_claimed_in_the_same_breath(store):
    run_id = store.submit(REQUEST)
    store.request_stop(run_id)
    store.resume(run_id, status="running")
    assert store.run(run_id).status == "running" and store.claim() is None


def test_a_running_run_is_not_deleted_and_an_ended_one_leaves_nothing(store):
    run_id = start(store)
    store.append(run_id, [measured(1), preview(0), SCORE])
    with pytest.raises(RunError, match="Stop it first"):
        store.delete(run_id)
    store.append(run_id, [Stopped(1)])
    store.delete(run_id)
    assert store.runs() == []
    with pytest.raises(RunError, match="There is no run '0001'"):
        store.run(run_id)
    assert not list(store.root.glob("*0001*"))
    with sqlite3.connect(store.root / "runs.db") as db:
        assert db.execute("SELECT (SELECT count(*) FROM metrics) + (SELECT count(*) FROM notes)").fetchone() == (0,)


def test_a_name_can_be_any_text_of_120_characters_and_no_longer(store):
    run_id = store.submit(REQUEST)
    name = "ü'; DROP TABLE runs; -- \n" + "x" * 95
    store.rename(run_id, name)
    assert store.run(run_id).name == name == store.run(run_id).request.name
    with pytest.raises(RunError, match="121 characters"):
        store.rename(run_id, "x" * 121)
    rebuild(store)
    assert store.run(run_id).name == name


def test_note_and_tags_are_kept_apart_from_the_request_and_survive_a_rebuild(store):
    run_id = start(store)
    request = (store.folder(run_id) / "request.json").read_bytes()
    assert (store.run(run_id).note, store.run(run_id).tags) == ("", ())
    store.annotate(run_id, note="line one\n<b>two</b>", tags=["ü", "baseline"])
    store.annotate(run_id, note="other")
    store.annotate(run_id, tags=("baseline",))
    assert (store.run(run_id).note, store.run(run_id).tags) == ("other", ("baseline",))
    assert store.runs() == [store.run(run_id)] == Store(store.root).runs()
    before = everything(store)
    rebuild(store)
    assert everything(store) == before
    assert (store.folder(run_id) / "request.json").read_bytes() == request
    assert json.loads((store.folder(run_id) / "about.json").read_text()) == {"note": "other", "tags": ["baseline"]}


def test_tags_are_tidied_and_each_is_kept_once(store):
    run_id = start(store)
    store.annotate(run_id, tags=["  two   words ", "", " ", "Base", "x", "base", "BASE"])
    assert store.run(run_id).tags == ("two words", "Base", "x")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"note": "x" * 2001}, "2,001 characters"),
        ({"tags": ["y" * 31]}, "31 characters"),
        ({"tags": [str(number) for number in range(21)]}, "21 tags"),
    ],
)
def test_a_note_or_tags_that_are_too_long_are_refused_and_nothing_changes(store, changes, sentence):
    run_id = start(store)
    store.annotate(run_id, note="x" * 2000, tags=["y" * 30, *(str(number) for number in range(19))])
    before = store.run(run_id)
    with pytest.raises(RunError, match=sentence):
        store.annotate(run_id, **changes)
    assert store.run(run_id) == before


def test_a_note_that_cannot_be_read_costs_the_note_alone(store, caplog):
    run_id = start(store)
    store.append(run_id, [measured(1)])
    store.annotate(run_id, note="gone")
    (store.folder(run_id) / "about.json").write_text("{")
    rebuild(store)
    assert store.run(run_id).note == "" and store.series(run_id)["loss"].steps.tolist() == [1]
    assert "cannot be read" in caplog.text


def test_a_row_says_what_was_asked_for_and_where_it_comes_from(store):
    first = start(store)
    (store.folder(first) / "result.safetensors").write_bytes(b"set")
    row = store.run(store.submit(RunRequest(action="evaluate", start=first, sweep="abc")))
    assert (row.action, row.start, row.sweep) == ("evaluate", first, "abc")
    assert (store.run(first).action, store.run(first).start, store.run(first).sweep) == ("distill", "", "")


def test_a_database_of_an_older_version_is_made_again_from_the_folders(store):
    a_bit_of_everything(store)
    store.annotate("0001", note="kept", tags=["kept too"])
    before = everything(store)
    with sqlite3.connect(store.root / "runs.db") as db:
        db.execute("ALTER TABLE runs DROP COLUMN about")
        db.execute("PRAGMA user_version = 1")
    assert everything(Store(store.root)) == before


PATHS = ["../..", "..", "0001/../0001", "/etc", "", "0001\n", "٠٠٠١", "-1", "1e3", "9" * 30, "0001\0"]


@pytest.mark.parametrize("run_id", PATHS)
def test_nothing_but_a_known_number_reaches_the_disk(store, run_id):
    store.submit(REQUEST)
    (store.root.parent / "request.json").write_text("{}")
    calls = [
        store.run,
        store.series,
        store.previews,
        store.scores,
        store.warnings,
        store.notes,
        store.folder,
        store.result,
        store.delete,
    ]
    calls += [
        store.request_stop,
        store.resume,
        store.claim,
        store.log_position,
        lambda i: store.rename(i, "x"),
        lambda i: store.annotate(i, note="x"),
    ]
    calls += [
        lambda i: store.append(i, [preview(0)]),
        lambda i: store.preview(i, 0),
        lambda i: store.rewind(i, 0, None),
    ]
    for call in calls:
        with pytest.raises(RunError, match="There is no run"):
            call(run_id)
    assert store.run("0001").status == "queued"


def test_a_picture_that_was_not_kept_is_a_sentence(store):
    run_id = start(store)
    with pytest.raises(RunError, match="no picture of step 5"):
        store.preview(run_id, 5)


# ---- time left ----


def test_time_left_is_steps_left_times_pace_and_the_planned_comparison(store):
    run_id, began = start(store), time.time()
    beat = {"kind": "pulse", "time": began + 3, "seconds": 5.0, "step": 4, "memory_bytes": 9, "seconds_per_step": 0.5}
    lines = [log.record(event, began + place) for place, event in enumerate((Started(10), measured(2), measured(4)))]
    store.append(run_id, [*lines, beat | {"time": began + 2}])
    row = store.run(run_id)
    assert (row.outlook.part, row.seconds_per_step, row.seconds, row.memory_bytes) == ("distil", 0.5, 5.0, 9)
    assert row.outlook.seconds_left == pytest.approx(3.0)
    store.append(run_id, [beat | {"step": 10, "memory_bytes": 7}])
    assert store.run(run_id).memory_bytes == 9
    store.append(run_id, [Stopped(10)])
    assert store.run(run_id).outlook.share < 1


# ---- dead owners ----


def make_owner_dead(store: Store, run_id: str, **changes) -> None:
    """As if another process had claimed the run: the database and the log name that owner."""
    path = store.folder(run_id) / "events.jsonl"
    changed = [r if r["kind"] != "claimed" else r | {"owner": r["owner"] | changes} for r in records(store, run_id)]
    path.write_text("".join(json.dumps(record) + "\n" for record in changed))
    rebuild(store)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "running"),
        ({"pid": 2**22 + 1}, "interrupted"),
        ({"born": 1.0}, "interrupted"),  # the number was reused by another process
        ({"host": "elsewhere"}, "running"),  # heard of just now
    ],
)
def test_a_run_is_interrupted_exactly_if_its_owner_is_dead(store, changes, status):
    run_id = start(store)
    store.append(run_id, [Started(9), measured(3)])
    heard = records(store, run_id)[-1]["time"]
    make_owner_dead(store, run_id, **changes)
    row = Store(store.root).run(run_id)
    assert row.status == status and row.resumable == (status == "interrupted") and row.step == 3
    assert row.finished == (heard if status == "interrupted" else None)


def test_an_owner_on_another_machine_is_dead_after_a_minute_of_silence():
    owner = owners.this_process() | {"host": "elsewhere"}
    assert owners.is_alive(owner, time.time() - 50)
    assert not owners.is_alive(owner, time.time() - 70)


def test_a_killed_process_that_nobody_waited_for_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = owners.this_process() | {"pid": child.pid, "born": owners.psutil.Process(child.pid).create_time()}
    assert owners.is_alive(owner, time.time())
    child.kill()
    try:
        deadline = time.monotonic() + 5
        while owners.is_alive(owner, time.time()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not owners.is_alive(owner, time.time())  # a zombie until the next line
    finally:
        child.wait()


def test_a_dead_run_can_be_resumed_or_deleted_without_waiting_for_the_next_look(store):
    first, second = start(store), start(store)
    store.runs()
    make_owner_dead(store, first, pid=2**22 + 1)
    make_owner_dead(store, second, pid=2**22 + 1)
    store.resume(first)
    store.delete(second)
    assert [row.status for row in store.runs()] == ["queued"]


# ---- the log is the truth ----


def test_a_line_cut_off_by_a_kill_is_dropped_and_the_log_goes_on(store):
    run_id = start(store)
    store.append(run_id, [measured(1)])
    path = store.folder(run_id) / "events.jsonl"
    with path.open("ab") as file:
        file.write(b'{"kind": "measured", "time": 1.0, "step": 2, "val')
    assert len(records(store, run_id)) == 3
    store.append(run_id, [measured(2)])
    assert store.series(run_id)["loss"].steps.tolist() == [1, 2]
    assert [record["kind"] for record in records(store, run_id)][-2:] == ["measured", "measured"]


def test_lines_that_reached_the_log_but_not_the_database_are_found_again(store):
    run_id = start(store)
    store.append(run_id, [measured(1)])
    with (store.folder(run_id) / "events.jsonl").open("ab") as file:
        file.write(json.dumps(log.record(measured(2), 1.0)).encode() + b"\n")
    store.append(run_id, [measured(3)])
    assert store.series(run_id)["loss"].steps.tolist() == [1, 2, 3]


def test_a_damaged_line_costs_that_line_and_is_told(store):
    run_id = start(store)
    store.append(run_id, [measured(step) for step in (1, 2, 3)])
    path = store.folder(run_id) / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = b"\xff" * 20 + b"\n"
    path.write_bytes(b"".join(lines))
    rebuild(store)
    assert store.series(run_id)["loss"].steps.tolist() == [1, 3]
    assert store.warnings(run_id) == ["Line 4 of events.jsonl is damaged and was left out."]


def test_a_full_disk_while_submitting_is_a_sentence_and_does_not_block_the_next_run(store, monkeypatch):
    def full(*_arguments) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(log, "create", full)
        with pytest.raises(RunError, match="cannot be kept in .* \\(No space left on device\\)"):
            store.submit(REQUEST)
    assert [row.id for row in store.runs()] == [] and not list(store.root.glob(".new-*"))
    assert store.submit(REQUEST) == "0001"


def test_a_full_disk_while_appending_keeps_log_and_database_as_they_were(store, monkeypatch):
    run_id = start(store)
    store.append(run_id, [measured(1)])
    before = everything(store)
    whole = log._lines

    def full(records):
        monkeypatch.setattr(log, "_lines", whole)
        path = store.folder(run_id) / "events.jsonl"
        with path.open("ab") as file:
            file.write(whole(records)[:30])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log, "_lines", full)
    with pytest.raises(OSError, match="No space left"):
        store.append(run_id, [measured(2)])
    assert everything(store) == before
    store.append(run_id, [measured(2)])
    assert store.series(run_id)["loss"].steps.tolist() == [1, 2]


def test_notes_are_kept_apart_from_warnings_and_what_has_no_level_is_a_warning(store):
    run_id = start(store)
    old = log.record(Warned("Old."), 0.0)
    del old["level"]
    store.append(run_id, [Warned("A fact.", level="note"), Warned("Beware."), old])
    assert store.notes(run_id) == ["A fact."] and store.warnings(run_id) == ["Beware.", "Old."]
    rebuild(store)
    assert store.notes(run_id) == ["A fact."] and store.warnings(run_id) == ["Beware.", "Old."]


def a_bit_of_everything(store: Store) -> None:
    store.submit(REQUEST)
    done = start(store)
    store.append(
        done,
        [
            Started(3, {"a": [1, 2]}),
            preview(0),
            *(measured(step) for step in (1, 2, 3)),
            SCORE,
            Warned("Hm."),
            Finished({"b": 1.5}),
        ],
    )
    failed = start(store)
    store.append(failed, [Started(3), measured(1), Failed("No.", "Traceback", 1)])
    stopped = store.submit(RunRequest(name="ü"))
    store.request_stop(stopped)
    running = start(store)
    store.append(running, [Started(9), measured(1), Progress("train students", 1, 4)])
    store.request_stop(running)


def test_rebuilding_from_the_folders_changes_nothing(store):
    a_bit_of_everything(store)
    before = everything(store)
    assert {row.status for row, *_ in before.values()} == {"queued", "done", "failed", "stopped", "running"}
    rebuild(store)
    assert everything(store) == before


def test_a_missing_database_is_made_again(store):
    a_bit_of_everything(store)
    before = everything(store)
    for part in store.root.glob("runs.db*"):
        part.unlink()
    assert everything(Store(store.root)) == before


@pytest.mark.parametrize("damage", ["rubbish", "middle", "empty"])
def test_a_corrupt_database_is_set_aside_and_nothing_is_lost(store, damage):
    a_bit_of_everything(store)
    before = everything(store)
    path = store.root / "runs.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    if damage == "rubbish":
        path.write_bytes(os.urandom(len(content)))
    elif damage == "middle":
        path.write_bytes(content[:4096] + b"\x5a" * (len(content) - 4096))
    else:
        path.write_bytes(b"")
    assert everything(Store(store.root)) == before
    assert list(store.root.glob("runs.db.corrupt-*"))
    store.submit(REQUEST)  # a store that was open all the time goes on with the new database
    assert everything(store) == everything(Store(store.root)) and len(store.runs()) == len(before) + 1


def test_many_processes_worth_of_stores_open_a_corrupt_database_at_once(store):
    a_bit_of_everything(store)
    before = everything(store)
    (store.root / "runs.db").write_bytes(os.urandom(8192))
    for part in ("runs.db-wal", "runs.db-shm"):
        (store.root / part).unlink(missing_ok=True)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: everything(Store(store.root)), range(4)):
            assert found == before
    assert len(list(store.root.glob("runs.db.corrupt-*"))) == 1


def test_opening_adopts_copied_folders_forgets_removed_ones_and_clears_leftovers(store, caplog):
    a_bit_of_everything(store)
    shutil.copytree(store.folder("0002"), store.root / "0042")
    shutil.rmtree(store.folder("0003"))
    for leftover in (".new-0050", ".trash-0051", "0060"):
        (store.root / leftover).mkdir()
    again = Store(store.root)
    assert [row.id for row in again.runs()] == ["0042", "0005", "0004", "0002", "0001"]
    assert again.series("42")["loss"].steps.tolist() == [1, 2, 3]
    assert "Run 0060 is not shown" in caplog.text
    assert not list(store.root.glob(".[nt]*"))
    assert again.submit(REQUEST) == "0061"


# ---- rewinding ----


def test_rewinding_forgets_exactly_what_came_after_the_checkpoint(store):
    run_id = start(store)
    store.append(run_id, [Started(9), preview(0), measured(1), measured(2), preview(2), Warned("early")])
    position = store.log_position(run_id)
    beat = {
        "kind": "pulse",
        "time": time.time(),
        "seconds": 7.0,
        "step": 4,
        "memory_bytes": 99,
        "seconds_per_step": 1.0,
    }
    store.append(run_id, [measured(3), measured(4), preview(4), SCORE, Warned("late"), beat, Stopped(4)])
    started = store.run(run_id).started
    assert len(store.series(run_id)["loss"].steps) == 4
    store.resume(run_id, status="running")
    store.rewind(run_id, 2, position)

    row = store.run(run_id)
    assert (row.status, row.step, row.seconds, row.memory_bytes, row.started) == ("running", 2, 7.0, 99, started)
    assert store.series(run_id)["loss"].steps.tolist() == [1, 2]
    assert store.previews(run_id) == [0, 2] and store.scores(run_id) == [] and store.warnings(run_id) == ["early"]
    store.append(run_id, [measured(3, loss=-1.0)])
    assert store.series(run_id)["loss"].values.tolist()[2] == -1.0
    before = everything(store)
    rebuild(store)
    assert everything(store) == before


def test_rewinding_to_the_beginning_keeps_only_that_it_was_asked_for(store):
    run_id = start(store)
    created = store.run(run_id).created
    store.append(run_id, [Started(9), preview(0), preview(1), measured(1), Stopped(1)])
    store.resume(run_id, status="running")
    store.rewind(run_id, 0, None)
    row = store.run(run_id)
    assert (row.created, row.step, row.total_steps, row.status) == (created, 0, 0, "running")
    assert store.series(run_id) == {} and store.previews(run_id) == [0]
    assert [record["kind"] for record in records(store, run_id)] == ["submitted", "rewound"]


def test_a_reader_in_another_process_notices_a_rewind_even_to_the_same_length(store):
    reader = Store(store.root)
    run_id = start(store)
    position = store.log_position(run_id)
    store.append(run_id, [measured(1, loss=1.0), measured(2, loss=2.0)])
    assert reader.series(run_id)["loss"].values.tolist() == [1.0, 2.0]
    store.rewind(run_id, 0, position)
    store.append(run_id, [measured(1, loss=3.0), measured(2, loss=4.0)])
    assert reader.series(run_id)["loss"].values.tolist() == [3.0, 4.0]


# ---- any course of events ----

numbers = st.floats(allow_nan=True, allow_infinity=True)
happenings = st.one_of(
    st.builds(lambda v: ("append", [Measured(1, v)]), st.dictionaries(st.text(max_size=5), numbers, max_size=3)),
    st.builds(
        lambda t, f: ("append", [Started(t, f)]),
        st.integers(0, 10**6),
        st.dictionaries(st.text(max_size=5), numbers | st.text(max_size=9)),
    ),
    st.builds(lambda p, d: ("append", [Progress(p, d, 9), Warned(p)]), st.text(max_size=9), st.integers(0, 9)),
    st.builds(lambda v: ("append", [Scored("full", "ordinary", "mlp", 1, "accuracy", v, 0.5)]), st.floats(0, 1)),
    st.sampled_from(
        [
            ("append", [Stopped(1)]),
            ("append", [Failed("No.", "Trace", 2)]),
            ("append", [Finished({"x": 1})]),
            ("append", [preview(3)]),
        ]
    ),
    st.sampled_from([("stop",), ("resume",), ("claim",), ("rewind",), ("rename",), ("annotate",), ("mark",)]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(happenings, max_size=14))
def test_whatever_happens_the_folders_alone_give_the_same_rows(tmp_path_factory, course):
    store = Store(tmp_path_factory.mktemp("runs"))
    run_id = store.submit(REQUEST)
    position = None
    for what, *arguments in course:
        if what == "append":
            store.append(run_id, *arguments)
        elif what == "stop":
            store.request_stop(run_id)
        elif what == "resume" and store.run(run_id).resumable:
            store.resume(run_id)
        elif what == "claim":
            store.claim(run_id)
        elif what == "mark":
            position = store.log_position(run_id)
        elif what == "rewind" and store.run(run_id).status == "running":
            store.rewind(run_id, 1, position)
            position = None
        elif what == "rename":
            store.rename(run_id, "other")
        elif what == "annotate":
            store.annotate(run_id, note=f"{len(records(store, run_id))} events", tags=["seen"])
        store.series(run_id)  # so that the cache has something to get wrong
    before = everything(store)
    rebuild(store)
    assert everything(store) == before
    assert everything(Store(store.root)) == before


# ---- speed ----


def test_long_runs_and_long_lists_are_read_quickly(store):
    run_id = start(store)
    names = ("outer_loss", "gradient_norm", "student_lr", "student_lr_min", "student_lr_max")
    store.append(run_id, [measured(step, **dict.fromkeys(names, 0.5)) for step in range(1, 20_001)])
    for _ in range(99):
        store.submit(REQUEST)
    store.series(run_id)

    def best(call) -> float:
        found = []
        for _ in range(5):
            begun = time.thread_time()  # other programs may have the cores
            call()
            found.append(time.thread_time() - begun)
        return min(found)

    assert len(store.series(run_id)["outer_loss"].steps) == 20_000
    assert best(lambda: store.series(run_id)) < 0.005
    assert best(store.runs) < 0.020


def test_readers_and_a_writer_do_not_disturb_each_other(store):
    run_id = start(store)
    ended = threading.Event()

    def read() -> int:
        other = Store(store.root)
        while True:
            is_last = ended.is_set()
            series = other.series(run_id).get("loss")
            assert series is None or series.steps.tolist() == list(range(1, len(series.steps) + 1))
            other.runs()
            if is_last:
                return len(series.steps)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for step in range(1, 200):
            store.append(run_id, [measured(step)])
        ended.set()
        assert [reader.result() for reader in readers] == [199, 199]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files")
def test_threads_that_come_and_go_leave_no_files_open(store):
    def count_after(num_threads: int) -> int:
        for _ in range(num_threads):
            thread = threading.Thread(target=store.runs)
            thread.start()
            thread.join()
        return len(os.listdir("/proc/self/fd"))

    assert count_after(20) <= count_after(1) + 1


def test_rows_have_the_fields_that_pages_and_commands_rely_on():
    promised = """id name status stop_requested source method preset seed request created started finished seconds step
        total_steps phase phase_done phase_total seconds_per_step epochs_done epochs_total outlook memory_bytes error
        error_step details facts summary resumable checkpoint_step
        note tags action start sweep"""
    assert set(promised.split()) <= {field.name for field in fields(RunRow)} | {"resumable"}
