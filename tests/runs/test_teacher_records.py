"""What a teacher and an analysis tell of themselves is kept, read back and counted, like the epochs of experts."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from store_tools import rebuild

from engine.core.config import RunRequest
from engine.core.errors import RunError
from engine.core.events import Analysed, Finished, Preview, Started, TeacherEpoch
from engine.runs import log
from engine.runs.store import Store
from engine.runs.worker import execute

RECORD = RunRequest(action="record", method="selfsup")


def told(epoch: int, cached: bool = False) -> TeacherEpoch:
    return TeacherEpoch(epoch, 3, None if epoch == 0 else 9.0 - epoch, 0.1 + 0.2 * epoch, 0.5, cached)


def trainer(before=lambda epoch: None):
    """A runner that tells of a teacher of three epochs."""

    def runner(request, context):
        yield Started(0, {"device": str(context.device)})
        for epoch in range(4):
            before(epoch)
            yield told(epoch)
        yield Finished({"num_epochs": 3})

    return runner


def carried_out(store: Store, runner, request: RunRequest = RECORD) -> str:
    run_id = store.submit(request, status="running")
    execute(store, run_id, runner=runner)
    return run_id


def full(epoch: int) -> None:
    if epoch == 2:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_teacher_keeps_every_epoch_and_survives_a_rebuilt_database(store):
    run_id = carried_out(store, trainer())
    row = store.run(run_id)
    assert (row.status, row.epochs_done, row.epochs_total) == ("done", 3, 3)
    assert store.teacher_epochs(run_id) == [told(epoch) for epoch in range(4)]
    assert store.expert_epochs(run_id) == []
    rebuild(store)
    assert store.run(run_id) == row and len(store.teacher_epochs(run_id)) == 4


def test_a_teacher_told_of_again_has_each_epoch_once_and_what_is_trained_anew_counts(store):
    run_id = store.submit(RECORD, status="running")
    store.append(run_id, [told(epoch) for epoch in range(3)])
    store.append(run_id, [*(told(epoch, cached=True) for epoch in range(3)), told(3)])
    assert store.teacher_epochs(run_id) == [told(epoch) for epoch in range(4)]
    anew = TeacherEpoch(2, 3, 0.25, 0.9, 0.5)
    store.append(run_id, [anew])
    assert store.teacher_epochs(run_id)[2] == anew


def test_time_left_is_counted_from_the_pace_of_the_epochs_trained_now(store):
    run_id = store.submit(RECORD, status="running")
    cached = [log.record(told(epoch, cached=True), 100.0) for epoch in range(2)]
    store.append(run_id, [*cached, log.record(told(2), 107.0)])
    row = store.run(run_id)
    assert (row.epochs_done, row.epochs_total) == (2, 3)
    assert row.outlook.seconds_left == pytest.approx(7.0)


def test_a_full_disk_says_that_the_teachers_epochs_are_kept(store):
    row = store.run(carried_out(store, trainer(full)))
    assert row.status == "failed" and "while the teacher was trained" in row.error
    assert "the teacher's epochs so far are kept" in row.error and "expert" not in row.error


def test_a_distilling_run_speaks_of_its_teacher_only_until_that_is_trained(store):
    def after(request, context):
        yield from (told(epoch) for epoch in range(4))
        raise OSError(errno.ENOSPC, "No space left on device")

    request = RECORD.model_copy(update={"action": "distill"})
    assert "while the teacher was trained" in store.run(carried_out(store, trainer(full), request)).error
    assert "the last checkpoint is kept" in store.run(carried_out(store, after, request)).error


def test_a_run_that_only_trained_a_teacher_says_why_it_has_no_result(store):
    run_id = carried_out(store, trainer())
    with pytest.raises(RunError, match="trained a teacher, so it has no result"):
        store.needed_result(run_id)


def test_the_last_analysis_of_each_name_is_read_back(store):
    run_id = store.submit(RunRequest(), status="running")
    first = Analysed("map", {"real": [[0.0, 1.0]], "classes": [3], "distilled": [[2.0, 3.0]], "way": "PCA"})
    spectrum = Analysed("spectrum", {"images": [0.5, 0.25], "representations": [1.0], "used": {"images": 1}})
    last = Analysed("map", {"real": [[4.0, 5.0]], "classes": [3], "distilled": [[6.0, 7.0]], "way": "t-SNE"})
    store.append(run_id, [first, spectrum, last])
    assert store.analyses(run_id) == {"map": last.values, "spectrum": spectrum.values}
    rebuild(store)
    assert store.analyses(run_id)["map"]["way"] == "t-SNE"


def test_further_pictures_of_a_preview_are_kept_beside_its_images(store):
    run_id = store.submit(RunRequest(), status="running")
    rng = np.random.default_rng(0)
    images, bases, real = (rng.integers(0, 256, (n, 4, 5, 3), dtype=np.uint8) for n in (2, 7, 2))
    store.append(
        run_id, [Preview(0, images, ("", ""), views={"bases": bases, "real": real}), Preview(4, images, ("", ""))]
    )
    found = store.preview(run_id, 0)
    assert set(found.views) == {"bases", "real"} and found.labels == ("", "")
    np.testing.assert_array_equal(found.views["bases"], bases)
    np.testing.assert_array_equal(found.views["real"], real)
    np.testing.assert_array_equal(found.images, images)
    assert store.preview(run_id, 4).views == {}


def test_a_teacher_told_of_again_by_the_comparison_is_still_one_teacher(store):
    run_id = store.submit(RunRequest(method="selfsup"), status="running")
    for _ in range(2):
        store.append(run_id, [told(epoch, cached=True) for epoch in range(4)])
    row = store.run(run_id)
    assert (row.epochs_done, row.epochs_total) == (3, 3)
