"""Runs are carried out, stopped, resumed to the same bits, and survive crashes, full disks and bad luck."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from store_tools import rebuild
from toy_runs import ToySet, result_values, toy_runner, wait_for

from engine import machine
from engine.core import checkpoint
from engine.core.config import RunRequest
from engine.core.errors import Diverged, RunError
from engine.core.events import Checkpoint, Finished, Measured, Started
from engine.runs.recorder import Pace, Recorder
from engine.runs.store import Store
from engine.runs.worker import Worker, execute

REQUEST = RunRequest(name="toy", seed=5)


def carry_out(store: Store, runner=None, run_id: str | None = None, **options) -> str:
    """Submit and execute, or resume and execute, in this thread."""
    if run_id is None:
        run_id = store.submit(REQUEST, status="running")
    else:
        store.resume(run_id, status="running")
    execute(store, run_id, runner=runner or toy_runner(), **options)
    return run_id


def losses(store: Store, run_id: str) -> list[float]:
    return store.series(run_id)["loss"].values.tolist()


RECORDERS: list[Recorder] = []
"""Of the runs of a test, the newest last."""


@pytest.fixture(autouse=True)
def known_recorders(monkeypatch) -> None:
    """Recorders that a test can ask what they have noticed."""

    class Known(Recorder):
        def __enter__(self) -> Recorder:
            RECORDERS.append(self)
            return super().__enter__()

    RECORDERS.clear()
    monkeypatch.setattr("engine.runs.worker.Recorder", Known)


def ask_for_a_stop(store: Store) -> None:
    """From within a run: ask for its stop and wait until that is noticed."""
    store.request_stop(store.runs()[0].id)
    wait_for(lambda: RECORDERS[-1].stop_wanted)


def stop_at(store: Store, step: int):
    """A `before` that asks for a stop ahead of outer step `step`."""

    def before(number: int) -> None:
        if number == step:
            ask_for_a_stop(store)

    return before


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Losses, result and scores of the toy run that nothing happened to."""
    store = Store(tmp_path_factory.mktemp("straight") / "runs")
    run_id = carry_out(store)
    return losses(store, run_id), result_values(store, run_id), store.scores(run_id), store.previews(run_id)


def assert_same_as(straight, store: Store, run_id: str) -> None:
    row = store.run(run_id)
    assert row.status == "done", row.error + row.details
    assert losses(store, run_id) == straight[0]
    assert store.series(run_id)["loss"].steps.tolist() == list(range(1, len(straight[0]) + 1))
    assert torch.equal(result_values(store, run_id), straight[1])
    assert store.scores(run_id) == straight[2] and store.previews(run_id) == straight[3]
    before = store.runs()
    rebuild(store)
    assert store.runs() == before


# ---- a run that nothing happens to ----


def test_a_run_is_done_with_all_it_said_and_its_result_on_disk(store):
    seen = []
    run_id = carry_out(store, on_event=seen.append)
    row = store.run(run_id)
    assert (row.status, row.step, row.total_steps, row.summary, row.facts) == (
        "done",
        10,
        10,
        {"num_bytes": 32},
        {"device": "cpu"},
    )
    assert row.checkpoint_step == 10 and row.phase == "" and not row.resumable
    assert row.memory_bytes > 10_000_000 and row.seconds > 0 and row.seconds_per_step > 0
    assert store.previews(run_id) == [0, 2, 4, 6, 8, 10] and len(store.scores(run_id)) == 2
    assert store.warnings(run_id) == ["That was a toy."]
    assert store.series(run_id)["accuracy"].steps.tolist() == [5, 10]
    pace = store.series(run_id)["seconds_per_step"]
    assert pace.steps.tolist() == list(range(1, 11)) and (pace.values >= 0).all()
    assert [event.kind for event in seen][:3] == ["progress", "started", "preview"] and seen[-1].kind == "finished"
    assert sum(event.kind == "checkpoint" for event in seen) == 10
    assert not [path for path in store.folder(run_id).rglob("*") if path.name.endswith(".tmp")]


def test_the_context_carries_seed_device_and_a_cache_shared_by_all_runs(store):
    given = []

    def runner(request, context):
        given.append(context)
        yield Started(1)
        return ToySet(torch.zeros(1))

    carry_out(store, runner)
    (context,) = given
    assert (context.seed, context.device.type, context.cache_root, context.resume_from) == (
        5,
        "cpu",
        store.root / "cache",
        None,
    )


def test_only_a_claimed_run_is_carried_out(store):
    with pytest.raises(RunError, match="is queued"):
        execute(store, store.submit(REQUEST), runner=toy_runner())


def test_a_result_that_cannot_be_written_is_a_failure_not_a_finished_run(store):
    class Unwritable:
        def save(self, path: Path) -> None:
            raise OSError(errno.EIO, "Input/output error")

    def runner(request, context):
        yield Started(1)
        yield Finished({})
        return Unwritable()

    run_id = carry_out(store, runner)
    assert store.run(run_id).status == "failed" and "Input/output error" in store.run(run_id).error
    assert store.result(run_id) is None and not list(store.folder(run_id).glob("*.tmp")) + list(
        store.folder(run_id).glob(".result*")
    )


def test_events_are_readable_while_a_slow_step_goes_on(store):
    run_id = store.submit(REQUEST)
    go_on = threading.Event()
    worker = Worker(store, toy_runner(before=lambda step: step == 3 and go_on.wait(60)))
    worker.start()
    try:
        wait_for(lambda: store.series(run_id).get("loss") is not None and len(losses(store, run_id)) == 3)
        wait_for(lambda: store.run(run_id).seconds > 0 and store.run(run_id).memory_bytes > 0)
        assert store.run(run_id).status == "running" and store.previews(run_id) == [0, 2]
    finally:
        go_on.set()
        wait_for(lambda: store.run(run_id).status == "done")
        assert worker.close(60)


# ---- stop and resume ----


@pytest.mark.parametrize("step", [0, 3, 9])
def test_stopped_and_resumed_gives_the_same_bits_as_never_stopped(store, straight, step):
    run_id = carry_out(store, toy_runner(before=stop_at(store, step)))
    row = store.run(run_id)
    assert (row.status, row.step, row.checkpoint_step) == ("stopped", step + 1, step + 1)  # within one outer step
    assert store.result(run_id) is not None and losses(store, run_id) == straight[0][: step + 1]
    carry_out(store, run_id=run_id)
    assert_same_as(straight, store, run_id)
    assert store.run(run_id).seconds > row.seconds > 0


def test_a_stop_before_the_first_step_does_not_wait_for_it(store, straight):
    def slow_start(request, context):
        ask_for_a_stop(store)
        yield from toy_runner(before=lambda step: pytest.fail("no step was wanted"))(request, context)

    run_id = carry_out(store, slow_start)
    row = store.run(run_id)
    assert (row.status, row.step, row.checkpoint_step, row.resumable) == ("stopped", 0, None, True)
    carry_out(store, run_id=run_id)
    assert_same_as(straight, store, run_id)


def test_a_stop_while_students_are_trained_keeps_the_distilled_set(store, straight):
    def runner(request, context):
        for event in toy_runner(num_students=100)(request, context):
            yield event
            if event.kind == "scored" and event.seed == 0:
                ask_for_a_stop(store)

    run_id = carry_out(store, runner)
    row = store.run(run_id)
    assert (row.status, row.step, row.checkpoint_step) == ("stopped", 10, 10)
    assert len(store.scores(run_id)) == 1
    assert torch.equal(result_values(store, run_id), straight[1])
    carry_out(store, toy_runner(before=lambda step: pytest.fail("distilling was over")), run_id)
    assert_same_as(straight, store, run_id)


def test_stopping_closes_the_generator_so_that_it_can_tidy_up(store):
    tidied = []

    def runner(request, context):
        try:
            yield from toy_runner(before=stop_at(store, 2))(request, context)
        finally:
            tidied.append(True)

    carry_out(store, runner)
    assert tidied == [True]


def test_checkpoints_are_written_now_and_then_and_always_at_the_end_of_distilling(store, monkeypatch):
    written, times = [], []
    save = checkpoint.save

    def noted(folder: Path, step: int, state: dict) -> None:
        written.append(step)
        times.append(time.monotonic())
        save(folder, step, state)

    monkeypatch.setattr(checkpoint, "save", noted)
    carry_out(store)
    assert written == [10]
    written.clear()
    times.clear()
    carry_out(store, toy_runner(pause=0.05), checkpoint_seconds=0.15)
    assert written[-1] == 10 and len(written) >= 2
    now_and_then = times[:-1]
    assert all(later - earlier >= 0.15 for earlier, later in zip(now_and_then, now_and_then[1:], strict=False))


# ---- the signals of a terminal ----


def test_ctrl_c_stops_after_the_step_and_the_run_can_be_resumed(store, straight):
    def press(step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    run_id = carry_out(store, toy_runner(before=press))
    assert signal.getsignal(signal.SIGINT) is handler
    assert (store.run(run_id).status, store.run(run_id).checkpoint_step) == ("stopped", 5)
    carry_out(store, run_id=run_id)
    assert_same_as(straight, store, run_id)


def test_ctrl_c_twice_stops_at_once_at_the_last_checkpoint(store, straight):
    def press(step: int) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("the second one was not heard")

    run_id = carry_out(store, toy_runner(before=press), checkpoint_seconds=0.0)
    row = store.run(run_id)
    assert row.status == "stopped" and 1 <= row.checkpoint_step <= 4
    carry_out(store, run_id=run_id)
    assert_same_as(straight, store, run_id)


# ---- failures ----


def raise_at(step: int, error: BaseException):
    def before(number: int) -> None:
        if number == step:
            raise error

    return before


def test_a_user_error_is_shown_as_it_is_and_keeps_the_last_good_state(store, straight):
    error = Diverged("The outer loss is NaN at outer step 6. Lower it.", quantity="outer loss", step=6)
    run_id = carry_out(store, toy_runner(before=raise_at(6, error)))
    row = store.run(run_id)
    assert (row.status, row.error, row.error_step) == ("failed", "The outer loss is NaN at outer step 6. Lower it.", 6)
    assert "Diverged" in row.details and row.checkpoint_step == 6 and row.resumable
    assert store.result(run_id) is not None
    carry_out(store, run_id=run_id)
    assert_same_as(straight, store, run_id)


def test_a_user_error_in_the_middle_of_a_step_does_not_keep_a_half_updated_state(store):
    def runner(request, context):
        for event in toy_runner()(request, context):
            yield event
            if event.kind == "measured" and event.step == 5:
                raise Diverged("No.", quantity="x", step=4)

    run_id = carry_out(store, runner)
    assert store.run(run_id).status == "failed" and store.run(run_id).checkpoint_step is None


def test_a_bug_is_a_sentence_with_its_traceback_kept(store):
    run_id = carry_out(store, toy_runner(before=raise_at(3, KeyError("weights"))))
    row = store.run(run_id)
    sentence = "Something went wrong inside the program after outer step 3: KeyError: 'weights'."
    assert row.error == f"{sentence} The details are kept with the run."
    assert "toy_runs.py" in row.details and row.error_step == 3 and losses(store, run_id)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 9 bytes."
        ),
    ],
)
def test_exhausted_memory_says_what_to_lower(store, error):
    run_id = carry_out(store, toy_runner(before=raise_at(3, error)))
    assert (
        store.run(run_id).error.startswith("Out of memory after outer step 3.")
        and "'recompute'" in store.run(run_id).error
    )


def test_torch_still_words_exhausted_memory_as_expected(store):
    def allocate(step: int) -> None:
        torch.empty(2**60, dtype=torch.uint8)

    run_id = carry_out(store, toy_runner(before=allocate))
    assert store.run(run_id).error.startswith("Out of memory")


SCARCE = """
import sys
sys.path[:0] = sys.argv[2:]
import torch
from pathlib import Path
from toy_runs import toy_runner
from engine import machine
from engine.core.config import RunRequest
from engine.runs.store import Store
from engine.runs.worker import execute
machine.available_memory = lambda device: machine.reserve(device) + 300_000_000
held = []
def hoard(step):
    if step >= 3:
        held.append(torch.zeros(25_000_000))  # 100 MB
store = Store(Path(sys.argv[1]))
for runner in (toy_runner(before=hoard, pause=0.3), toy_runner()):
    execute(store, store.claim(), runner=runner, checkpoint_seconds=0.0)
    held.clear()
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bounds memory as Linux does")
def test_a_run_that_takes_all_memory_fails_alone_and_the_next_one_works(store, straight):
    first, second = store.submit(REQUEST), store.submit(REQUEST)
    subprocess.run([sys.executable, "-c", SCARCE, str(store.root), *sys.path], check=True, timeout=240)
    row = store.run(first)
    assert row.status == "failed" and row.error.startswith(f"Out of memory after outer step {row.step}")
    assert 3 <= row.step < 8 and 1 <= row.checkpoint_step <= row.step and row.resumable
    assert_same_as(straight, store, second)
    carry_out(store, run_id=first)
    assert_same_as(straight, store, first)


def test_a_run_ends_at_a_checkpoint_when_the_machine_runs_short(store, straight, monkeypatch):
    monkeypatch.setattr("engine.core.machine.available_memory", lambda device: 2**40)

    def fill(step: int) -> None:
        if step == 4:
            monkeypatch.setattr("engine.core.machine.available_memory", lambda device: 1_000_000)
            wait_for(lambda: RECORDERS[-1].memory_left is not None)

    run_id = carry_out(store, toy_runner(before=fill))
    row = store.run(run_id)
    assert row.status == "failed" and row.checkpoint_step == row.step == 5 and row.resumable
    assert row.error.startswith("Out of memory after outer step 5: 1.00 MB were left. Start again with ")
    monkeypatch.setattr("engine.core.machine.available_memory", lambda device: 2**40)
    carry_out(store, run_id=run_id)
    assert_same_as(straight, store, run_id)


def test_a_machine_short_of_memory_ends_a_run_before_its_first_step(store, monkeypatch):
    monkeypatch.setattr("engine.core.machine.available_memory", lambda device: 1_000_000)

    def slow_start(request, context):
        wait_for(lambda: RECORDERS[-1].memory_left is not None)
        yield from toy_runner(before=lambda step: pytest.fail("no step was wanted"))(request, context)

    assert store.run(carry_out(store, slow_start)).error.startswith("Out of memory after outer step 0")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bounds memory as Linux does")
def test_the_bound_on_memory_is_lifted_by_the_last_run_that_ends():
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    one, other = machine.bounded_data(torch.device("cpu")), machine.bounded_data(torch.device("cpu"))
    with one:
        other.__enter__()
        bound = resource.getrlimit(resource.RLIMIT_DATA)
        assert bound != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == bound
    other.__exit__(None, None, None)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_full_disk_ends_the_run_in_a_sentence_and_keeps_the_previous_checkpoint(store, straight, monkeypatch):
    fsync = os.fsync

    def full(handle: int) -> None:
        if "step-00000010" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    run_id = carry_out(store, toy_runner(pause=0.01), checkpoint_seconds=0.0)
    monkeypatch.undo()
    row = store.run(run_id)
    assert (
        row.status == "failed"
        and row.error.startswith("The disk that holds")
        and "is full after outer step 10" in row.error
    )
    assert 1 <= row.checkpoint_step <= 9 and not list(store.folder(run_id).rglob("*.tmp"))
    carry_out(store, run_id=run_id)
    assert_same_as(straight, store, run_id)


def test_a_full_disk_under_the_event_log_ends_the_run_too(store, monkeypatch):
    append = Store.append

    def full(self, run_id, events):
        events = list(events)
        if any(event.get("step") == 3 and event["kind"] == "measured" for event in events if isinstance(event, dict)):
            monkeypatch.setattr(Store, "append", append)
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, run_id, events)

    monkeypatch.setattr(Store, "append", full)
    run_id = carry_out(store, toy_runner(steps=500, pause=0.02))
    row = store.run(run_id)
    assert row.status == "failed" and row.error.startswith("The disk that holds")
    assert 3 <= row.step < 100 and losses(store, run_id)[:3]  # what waited was not lost


def test_a_damaged_newest_checkpoint_costs_only_the_steps_since_the_one_before(store, straight):
    run_id = carry_out(store, toy_runner(before=stop_at(store, 4), pause=0.01), checkpoint_seconds=0.0)
    older, newest = sorted((store.folder(run_id) / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    carry_out(store, run_id=run_id)
    assert "The checkpoint of step 5 is damaged" in store.warnings(run_id)[0]
    assert_same_as(straight, store, run_id)


def test_with_no_sound_checkpoint_left_a_resume_starts_again(store, straight):
    run_id = carry_out(store, toy_runner(before=stop_at(store, 4)))
    for path in (store.folder(run_id) / "checkpoints").iterdir():
        path.write_bytes(b"")
    carry_out(store, run_id=run_id)
    assert len(store.warnings(run_id)) == 2
    assert_same_as(straight, store, run_id)


# ---- kill -9 ----

CHILD = """
import sys
sys.path[:0] = sys.argv[2:]
import torch
from pathlib import Path
from toy_runs import toy_runner
from engine.core.config import RunRequest
from engine.runs.store import Store
from engine.runs.worker import execute
store = Store(Path(sys.argv[1]))
execute(store, store.claim(), runner=toy_runner(pause=0.5), checkpoint_seconds=0.2)
"""


@pytest.mark.slow
def test_a_killed_run_is_interrupted_and_resumes_from_its_checkpoint_to_the_same_bits(store, straight):
    run_id = store.submit(REQUEST)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(store.root), *sys.path])
    try:
        wait_for(lambda: store.result(run_id) is not None, seconds=120)
        assert store.run(run_id).status == "running"
    finally:
        child.kill()
        child.wait()
    wait_for(lambda: store.run(run_id).status == "interrupted")
    row = store.run(run_id)
    assert row.resumable and 1 <= row.checkpoint_step <= 10 and row.finished is not None
    assert store.result(run_id) is not None
    carry_out(store, run_id=run_id)
    assert_same_as(straight, store, run_id)


# ---- the worker's thread ----


@pytest.fixture
def worker(store):
    made = Worker(store, toy_runner(pause=0.005))
    made.start()
    yield made
    assert made.close(60)


def test_a_worker_takes_runs_one_after_the_other(store, worker):
    ids = [worker.submit(REQUEST) for _ in range(3)]
    wait_for(lambda: all(row.status == "done" for row in store.runs()))
    rows = [store.run(run_id) for run_id in ids]
    assert all(before.finished <= after.started for before, after in zip(rows, rows[1:], strict=False))


def test_a_worker_wakes_without_waiting_to_look_again(store, monkeypatch):
    monkeypatch.setattr("engine.runs.worker._POLL_SECONDS", 3600.0)
    worker = Worker(store, toy_runner())
    worker.start()
    time.sleep(0.3)  # it has found nothing and sleeps
    run_id = worker.submit(REQUEST)
    wait_for(lambda: store.run(run_id).status == "done")
    assert worker.close(60)


def test_a_worker_goes_on_after_a_failure_and_takes_what_others_queue(store):
    attempts = []

    def runner(request, context):
        attempts.append(request.name)
        if request.name == "bad":
            raise ValueError("bad luck")
        return (yield from toy_runner()(request, context))

    worker = Worker(store, runner)
    worker.start()
    bad = worker.submit(RunRequest(name="bad"))
    good = Store(store.root).submit(RunRequest(name="good"))
    wait_for(lambda: store.run(good).status == "done")
    assert store.run(bad).status == "failed" and attempts == ["bad", "good"]
    store.resume(bad)
    wait_for(lambda: len(attempts) == 3)
    assert worker.close(60)


def test_stop_and_resume_through_the_worker(store, worker, straight):
    long = Worker(store, toy_runner(steps=10_000, pause=0.01))
    run_id = store.submit(REQUEST)
    wait_for(lambda: store.run(run_id).status == "done")
    assert_same_as(straight, store, run_id)
    assert worker.close(60)
    long.start()
    run_id = long.submit(REQUEST)
    wait_for(lambda: store.run(run_id).step >= 2)
    asked_at = store.run(run_id).step
    store.request_stop(run_id)
    wait_for(lambda: store.run(run_id).status == "stopped")
    assert store.run(run_id).step - asked_at < 500  # of 10 ms: a look at the flag, and what the store lags behind
    assert long.close(60)


def test_closing_a_worker_stops_its_run_at_a_checkpoint(store):
    worker = Worker(store, toy_runner(steps=10_000, pause=0.01))
    worker.start()
    first, second = worker.submit(REQUEST), worker.submit(REQUEST)
    wait_for(lambda: store.run(first).step > 3)
    assert worker.close(60)
    assert [store.run(first).status, store.run(second).status] == ["stopped", "queued"]
    assert store.run(first).checkpoint_step == store.run(first).step


def test_a_run_whose_ending_cannot_be_written_does_not_stay_running(store, monkeypatch):
    append, refusals = Store.append, []

    def full(self, run_id, events):
        if len(refusals) < 3:
            refusals.append(run_id)
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, run_id, events)

    monkeypatch.setattr(Store, "append", full)
    monkeypatch.setattr("engine.runs.worker._RETRY_SECONDS", 0.05)
    worker = Worker(store, toy_runner())
    worker.start()
    run_id = worker.submit(REQUEST)
    wait_for(lambda: store.run(run_id).status == "failed")
    assert "is full" in store.run(run_id).error
    assert worker.close(60)


def test_removing_the_folder_of_a_running_run_does_not_end_the_worker(store):
    worker = Worker(store, toy_runner(steps=10_000, pause=0.01))
    worker.start()
    run_id = worker.submit(REQUEST)
    wait_for(lambda: store.run(run_id).step > 3)
    shutil.rmtree(store.folder(run_id))
    next_id = store.submit(REQUEST)
    wait_for(lambda: store.run(next_id).status == "running")
    assert worker.close(60)


# ---- seconds a step ----


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_the_first_step_counts_from_the_event_before_it():
    clock = Clock()
    pace = Pace(clock=clock)
    assert pace.average is None
    pace.other()
    clock.wait(2.0)
    assert pace.measured(1) == pace.average == 2.0


def test_without_anything_before_it_the_first_step_has_no_length():
    clock = Clock()
    pace = Pace(clock=clock)
    assert pace.measured(1) is None and pace.average is None
    clock.wait(3.0)
    assert pace.measured(2) == pace.average == 3.0


def test_the_average_is_plain_at_first_and_then_follows_changes():
    clock = Clock()
    pace = Pace(clock=clock)
    pace.other()
    for step, seconds in enumerate([1.0, 2.0, 3.0], start=1):
        clock.wait(seconds)
        pace.measured(step)
    assert pace.average == pytest.approx(2.0)
    for step in range(4, 200):
        clock.wait(0.5)
        pace.measured(step)
    assert pace.average == pytest.approx(0.5, rel=1e-2)


def test_steps_measured_now_and_then_count_for_those_between():
    clock = Clock()
    pace = Pace(clock=clock)
    pace.other()
    clock.wait(1.0)
    pace.measured(1)
    clock.wait(20.0)
    assert pace.measured(11) == 2.0


def test_after_a_resume_the_old_pace_is_shown_until_there_is_a_new_one():
    clock = Clock()
    pace = Pace(9.0, clock)
    pace.other()
    assert pace.average == 9.0
    clock.wait(2.0)
    pace.measured(51)
    assert pace.average == 2.0


# ---- overhead ----


def test_recording_costs_the_run_little(store):
    """2,000 steps of 5 values each: the time of a core that the run's own thread pays, per step."""
    values = {name: 0.5 for name in "abcde"}

    def runner(request, context):
        yield Started(2_000)
        synthetic = ToySet(torch.zeros(4))
        for step in range(1, 2_001):
            yield Measured(step, values)
            yield Checkpoint(step, lambda step=step: {"step": step}, synthetic)
        return synthetic

    run_id = store.submit(REQUEST, status="running")
    begun = time.thread_time()
    execute(store, run_id, runner=runner)
    assert (time.thread_time() - begun) / 2_000 < 0.001
    assert len(store.series(run_id)["a"].steps) == 2_000
