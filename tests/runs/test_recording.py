"""Recording experts is a run of its own kind: told, kept, stopped, resumed and refused like the others, and it
makes no set.
"""

from __future__ import annotations

import errno
import time

import pytest
from draining import drained
from store_tools import rebuild
from toy_runs import toy_runner

from engine import advice
from engine.core.config import EvaluationConfig, RunRequest
from engine.core.context import Context
from engine.core.errors import ConfigError, RunError
from engine.core.events import ExpertEpoch, Finished, Progress, Started
from engine.run import resolve, run
from engine.runs import export, log, report
from engine.runs.estimate import Estimate, estimate
from engine.runs.store import Store
from engine.runs.worker import execute

RECORD = RunRequest(
    action="record",
    method="trajectory",
    config={"student": {"name": "mlp"}, "experts": {"num_experts": 2, "epochs": 7}},
)
SHORT = {"num_experts": 2, "epochs": 7, "steps_per_epoch": 2}


def told(expert: int, epoch: int, cached: bool = False) -> ExpertEpoch:
    return ExpertEpoch(expert, epoch, 2, 3, None if epoch == 0 else 0.5, 0.1 + 0.2 * epoch, 0.5, cached)


def recorder(before=lambda expert, epoch: None, cached: int = 0):
    """A runner that tells of two experts of three epochs; the first `cached` of them were recorded earlier."""

    def runner(request: RunRequest, context: Context):
        yield Progress("prepare", 0, 1)
        yield Started(0, {"device": str(context.device)})
        for expert in range(2):
            for epoch in range(4):
                before(expert, epoch)
                yield told(expert, epoch, expert < cached)
        yield Finished({"num_experts": 2})

    return runner


def carried_out(store: Store, runner, request: RunRequest = RECORD) -> str:
    run_id = store.submit(request, status="running")
    execute(store, run_id, runner=runner)
    return run_id


def test_a_recording_ends_without_a_result_and_keeps_every_epoch(store):
    run_id = carried_out(store, recorder())
    row = store.run(run_id)
    assert (row.status, row.action, row.summary) == ("done", "record", {"num_experts": 2})
    assert (row.epochs_done, row.epochs_total, row.step, row.total_steps) == (6, 6, 0, 0)
    assert store.result(run_id) is None
    assert store.expert_epochs(run_id) == [told(expert, epoch) for expert in range(2) for epoch in range(4)]
    rebuild(store)
    assert store.run(run_id) == row and len(store.expert_epochs(run_id)) == 8


def test_a_recording_stops_between_two_epochs_and_resumes_with_what_the_cache_keeps(store):
    def stopped(request, context):
        for event in recorder()(request, context):
            yield event
            if event == told(1, 1):
                store.request_stop("0001")
                while True:  # an epoch that takes long
                    time.sleep(0.01)
                    yield Progress("record", 1, 3)

    run_id = carried_out(store, stopped)
    row = store.run(run_id)
    assert (row.status, row.resumable, row.epochs_done) == ("stopped", True, 4)
    store.resume(run_id, status="running")
    execute(store, run_id, runner=recorder(cached=1))
    row, epochs = store.run(run_id), store.expert_epochs(run_id)
    assert (row.status, row.epochs_done) == ("done", 6)
    assert [event.cached for event in epochs] == 4 * [True] + 4 * [False]


def test_a_run_that_goes_on_and_tells_of_its_experts_again_has_each_epoch_once(store):
    run_id = store.submit(RECORD, status="running")
    store.append(run_id, [told(0, epoch) for epoch in range(4)])
    store.append(run_id, [told(0, epoch, cached=True) for epoch in range(4)])
    assert store.expert_epochs(run_id) == [told(0, epoch) for epoch in range(4)]


def test_time_left_is_counted_from_the_pace_of_what_is_recorded_now(store):
    run_id = store.submit(RECORD, status="running")
    cached = [line(told(0, epoch, cached=True), time=100.0) for epoch in range(4)]
    store.append(run_id, [*cached, line(told(1, 0), time=101.0), line(told(1, 1), time=106.0)])
    row = store.run(run_id)
    assert (row.epochs_done, row.epochs_total) == (4, 6)
    assert row.outlook.seconds_left == pytest.approx(2 * 6.0), (
        "two epochs of the six seconds since the last one from the cache"
    )


def line(event, time: float) -> dict:
    return log.record(event, time)


def test_a_full_disk_says_that_recorded_experts_stay_usable(store):
    def fill(expert, epoch):
        if (expert, epoch) == (1, 2):
            raise OSError(errno.ENOSPC, "No space left on device")

    row = store.run(carried_out(store, recorder(fill)))
    assert row.status == "failed" and "the experts recorded so far stay usable" in row.error
    assert "outer step" not in row.error


def test_a_distilling_run_says_so_too_while_it_records_and_no_longer_then(store):
    full = OSError(errno.ENOSPC, "No space left on device")

    def recording(request, context):
        yield told(0, 0)
        raise full

    def distilling(step):
        if step == 3:
            raise full

    request = RECORD.model_copy(update={"action": "distill"})
    assert "experts recorded so far" in store.run(carried_out(store, recording, request)).error
    assert "the last checkpoint is kept" in store.run(carried_out(store, toy_runner(before=distilling), request)).error


def test_memory_that_runs_out_names_the_batch_of_the_experts(store):
    def exhaust(expert, epoch):
        if epoch == 1:
            raise MemoryError

    error = store.run(carried_out(store, recorder(exhaust))).error
    assert "Out of memory while experts were recorded" in error and "a smaller batch of the experts (now 256)" in error


def test_a_disk_too_small_for_experts_is_refused_before_the_start():
    found = Estimate(available_memory=10**12, disk_bytes=10**9, expert_bytes=9 * 10**8, available_disk=10**6)
    assert "Start with experts of fewer epochs, or fewer of them" in advice.verdict(found, RECORD)


def test_what_needs_a_result_refuses_a_recording_in_one_sentence(store):
    run_id = carried_out(store, recorder())
    for refused in (
        lambda: report.report_html(store, run_id),
        lambda: export.bundle(store, run_id),
        lambda: store.submit(RunRequest(action="evaluate", start=run_id)),
    ):
        with pytest.raises(RunError, match="recorded experts, so it has no result"):
            refused()
    assert "recorded experts" in export.refusal(store, run_id)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "bilevel", "config": {}}, "'bilevel' follows no experts"),
        ({"start": "0001"}, "Leave the start out"),
        ({"config": {"experts": {"num_experts": 0}}}, "num_experts"),
    ],
)
def test_recordings_that_cannot_be_are_refused_before_they_begin(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        resolve(RECORD.model_copy(update=changes))


def test_a_recording_does_not_mind_a_set_that_would_be_too_large_to_compare():
    config = RECORD.config | {"ipc": 500}
    with pytest.raises(ConfigError, match="images per class"):
        resolve(RECORD.model_copy(update={"config": config, "action": "distill"}))
    resolve(RECORD.model_copy(update={"config": config}))


# ---- with the real method ----


@pytest.fixture
def small(monkeypatch) -> RunRequest:
    """Two short experts; trials of it are shorter still."""
    monkeypatch.setattr("engine.runs.estimate.ENOUGH_SECONDS", 0.0)
    monkeypatch.setattr("engine.runs.estimate.SAMPLE_SECONDS", 0.01)
    monkeypatch.setattr("engine.pretrained.recording.TIMED_SECONDS", 0.01)
    evaluation = EvaluationConfig(num_students=1, inner_steps=20, ordinary_steps=3, compare_full=False)
    config = RECORD.config | {"experts": SHORT, "num_validations": 0}
    return RECORD.model_copy(update={"config": config, "evaluation": evaluation})


def test_the_engine_records_and_an_estimate_counts_what_is_missing(small, tmp_path):
    context = Context(cache_root=tmp_path)
    to_distil = small.model_copy(update={"action": "distill"})
    before = drained(estimate(to_distil, context))[1]
    assert (before.num_experts, before.num_recorded) == (2, 0)
    assert before.seconds_recording > 0 and before.disk_bytes > before.expert_bytes > 0
    assert before.seconds == pytest.approx(
        before.seconds_preparing + before.seconds_recording + before.seconds_distilling + before.seconds_evaluating
    )
    assert not list(tmp_path.rglob("*.safetensors")), "the experts of the trial are gone"

    events, result = drained(run(small, context))
    kinds = [event.kind for event in events]
    assert result is None and kinds[-1] == "finished" and not {"scored", "preview", "measured"} & set(kinds)
    assert kinds.count("expert_epoch") == 2 * 8
    assert events[-1].summary["num_experts"] == 2 and "machine" in events[-1].summary

    after = drained(estimate(to_distil, context))[1]
    assert (after.num_recorded, after.seconds_recording, after.expert_bytes) == (2, 0.0, 0)
    more = small.model_copy(update={"config": small.config | {"experts": SHORT | {"num_experts": 3}}})
    only = drained(estimate(more, context))[1]
    assert (only.num_recorded, only.num_steps, only.seconds_evaluating) == (2, 0, 0.0)
    assert only.disk_bytes == only.expert_bytes == before.expert_bytes // 2
