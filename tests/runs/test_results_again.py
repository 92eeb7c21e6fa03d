"""A finished result goes on: it says what it is, comes back from its file, is evaluated again, and is begun from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from draining import drained
from safetensors.torch import load_file, save_file
from store_tools import rebuild

from engine import Context, RunRequest, Store, UserError, distill, execute, load, resolve
from engine.run import run as run_events
from engine.runs.adopt import adopt
from engine.synthetic.base import read_header

TINY = {"student": {"name": "mlp"}, "passes": 2, "outer_steps": 2, "real_batch": 16, "num_validations": 1}
SHORT = {"num_students": 1, "ordinary_steps": 2, "compare_full": False}


def request(**changes) -> RunRequest:
    return RunRequest(**({"source": "digits", "config": TINY, "evaluation": SHORT} | changes))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Store:
    """A store with one run of `request()`, done, that no test changes."""
    store = Store(tmp_path_factory.mktemp("finished") / "runs")
    done(store, request())
    return store


@pytest.fixture
def first(finished, store) -> str:
    """That run as the first one of the store."""
    shutil.copytree(finished.folder("0001"), store.root / "0001")
    rebuild(store)
    return "0001"


def done(store: Store, asked: RunRequest) -> str:
    run_id = store.submit(asked, status="running")
    execute(store, run_id)
    row = store.run(run_id)
    assert row.status == "done", row.error
    return run_id


def test_a_result_file_says_what_was_asked_for_and_how_its_pixels_were_made(store):
    run_id = done(store, request(data={"normalisation": "standard"}))
    result = load(store.result(run_id))
    assert result.request["config"]["outer_steps"] == 2
    last = store.previews(run_id)[-1]
    shown = result.preparation.to_display(result.materialise()[0])
    assert np.array_equal(shown, store.preview(run_id, last).images)


def test_a_stopped_run_keeps_a_result_that_stands_alone(store):
    asked = request(config=TINY | {"outer_steps": 50})
    run_id = store.submit(asked, status="running")
    execute(
        store,
        run_id,
        on_event=lambda event: event.kind == "measured" and event.step == 3 and store.request_stop(run_id),
    )
    assert store.run(run_id).status == "stopped"
    assert load(store.result(run_id)).preparation is not None


@pytest.mark.slow
def test_a_result_is_evaluated_again_with_other_students(store, first):
    second = done(store, request(action="evaluate", start=first, evaluation=SHORT | {"students": ["convnet"]}))
    assert {score.student for score in store.scores(second)} == {"mlp", "convnet"}
    same = [(score.arm, score.protocol, score.value) for score in store.scores(first) if score.split == "test"]
    again = [(s.arm, s.protocol, s.value) for s in store.scores(second) if s.student == "mlp" and s.split == "test"]
    assert same == again, "the same set and students give the same scores"
    assert store.previews(second) == [load(store.result(first)).step]


def test_deleting_the_first_run_does_not_take_the_result_from_the_second(store, first):
    second = store.submit(request(action="evaluate", start=first), status="running")
    store.delete(first)
    execute(store, second)
    assert store.run(second).status == "done"


def test_a_run_begins_from_the_result_of_another_to_the_same_pixels(store, first):
    second = done(store, request(start=first, config=TINY | {"images_from": "result"}))
    before = load(store.result(first))
    assert np.array_equal(store.preview(second, 0).images, before.preparation.to_display(before.materialise()[0]))


def test_a_result_of_another_normalisation_is_prepared_anew(store):
    exact = TINY | {"images_from": "real", "outer_steps": 1, "outer_lr": 1e-6, "store_bits": "float32"}
    first = done(store, request(config=exact))
    second = done(store, request(start=first, config=TINY | {"images_from": "result"}, data={"normalisation": "unit"}))
    assert np.array_equal(store.preview(second, 0).images, store.preview(first, 0).images)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"config": TINY | {"images_from": "result"}}, "no result to start from"),
        (
            {"config": TINY, "start": "0001"},
            "starts from noise, but names run '0001' to start from. Set config.images_from",
        ),
        ({"action": "evaluate"}, "names no run with a result"),
        ({"action": "evaluate", "start": "0001", "data": {"normalisation": "unit"}}, "prepared differently"),
        (
            {"config": TINY | {"images_from": "result", "ipc": 2}, "start": "0001"},
            "has 1 samples of class '0', fewer than the 2 needed. Lower the images per class",
        ),
    ],
)
def test_what_does_not_fit_is_told(store, first, changes, sentence):
    run_id = store.submit(request(**changes), status="running")
    execute(store, run_id)
    assert store.run(run_id).status == "failed" and sentence in store.run(run_id).error


def test_a_run_without_a_result_cannot_be_begun_from(store):
    queued = store.submit(request())
    with pytest.raises(UserError, match="has no result"):
        store.submit(request(start=queued, config=TINY | {"images_from": "result"}))
    assert [row.id for row in store.runs()] == [queued], "nothing was queued"


def test_a_result_comes_back_from_its_file(store, first):
    content = store.result(first).read_bytes()
    run_id = adopt(store, content, "mine.safetensors")
    row = store.run(run_id)
    assert row.status == "done" and row.name == "mine" and row.request.config == store.run(first).request.config
    assert store.result(run_id).read_bytes() == content
    step = store.previews(run_id)[-1]
    assert np.array_equal(store.preview(run_id, step).images, store.preview(first, step).images)
    assert row.facts["loaded_from"] == "mine.safetensors"
    again = done(store, request(action="evaluate", start=run_id))
    assert store.scores(again)


def test_a_run_that_had_a_name_keeps_it_when_its_result_comes_back(store):
    content = store.result(done(store, request(name="best so far"))).read_bytes()
    assert store.run(adopt(store, content, "run-0001-result.safetensors")).name == "best so far"


def test_a_file_that_is_no_result_is_refused_with_a_sentence_and_leaves_nothing(store, first, tmp_path):
    good = store.result(first)
    tensors = load_file(good)
    broken = {
        "not safetensors": b"PK\x03\x04 nothing",
        "truncated": good.read_bytes()[:-40],
        "another program's": _saved(tmp_path / "other.safetensors", {"x": torch.zeros(3)}, {"format": "pt"}),
        "a pickle": b"\x80\x04\x95",
        "a lying header": _saved(
            tmp_path / "liar.safetensors", tensors, {"distillery": '{"schema_version": 1, "spec": {"task": "x"}}'}
        ),
        "no JSON": _saved(tmp_path / "text.safetensors", tensors, {"distillery": "{"}),
    }
    for kind, content in broken.items():
        with pytest.raises(UserError, match="up.safetensors"):
            adopt(store, content, "up.safetensors")
        assert [row.id for row in store.runs()] == [first], kind


def test_a_header_that_claims_a_huge_image_allocates_nothing(store, first, tmp_path):
    from safetensors import safe_open

    with safe_open(store.result(first), "pt") as file:
        header = file.metadata()["distillery"].replace(
            '"sample_shape": [1, 8, 8]', '"sample_shape": [1, 900000, 900000]'
        )
    assert "900000" in header
    content = _saved(tmp_path / "huge.safetensors", load_file(store.result(first)), {"distillery": header})
    with pytest.raises(UserError, match="does not hold what its header says"):
        adopt(store, content, "huge.safetensors")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("step", "abc"),
        ("step", -5),
        ("step", 1.5),
        ("training", {"rule": "sgd", "num_steps": 10**12, "start_seed": None}),
        ("training", {"rule": "evil", "num_steps": 2, "start_seed": None}),
        ("training", {"rule": "sgd", "num_steps": 2, "start_seed": "0)\nprint('owned')#"}),
        ("spec", {"task": "classification", "sample_shape": [1, 8, 8], "num_outputs": 10, "class_names": ["a"]}),
        ("description", {"ipc": 1, "num_batches": 0, "num_rates": 2, "soft_labels": False, "learn_rates": True}),
    ],
)
def test_a_header_that_holds_nonsense_becomes_neither_a_run_nor_a_program(store, first, tmp_path, part, value):
    path = store.result(first)
    header = read_header(path) | {part: value}
    content = _saved(tmp_path / "up.safetensors", load_file(path), {"distillery": json.dumps(header)})
    with pytest.raises(UserError, match="up.safetensors does not hold what its header says"):
        adopt(store, content, "up.safetensors")
    assert len(store.runs()) == 1


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> dict[bool, Path]:
    """Results on normalised data, by whether these are whitened."""
    store = Store(tmp_path_factory.mktemp("prepared") / "runs")
    data = {"normalisation": "standard"}
    return {zca: store.result(done(store, request(data=data | {"zca": zca}))) for zca in (False, True)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", torch.full((10,), 99)),
        ("images", torch.zeros(10, 1, 8, 8, dtype=torch.float64)),
        ("preparation.standard.mean", torch.zeros(1000)),
        ("preparation.whitening.backward", torch.zeros(3, 3)),
    ],
)
def test_tensors_that_do_not_fit_their_header_are_refused(store, prepared, tmp_path, name, value):
    path = prepared["whitening" in name]
    tensors = load_file(path)
    assert name in tensors
    header = {"distillery": json.dumps(read_header(path))}
    with pytest.raises(UserError, match="up.safetensors does not hold what its header says"):
        adopt(store, _saved(tmp_path / "up.safetensors", tensors | {name: value}, header), "up.safetensors")


def test_a_full_disk_leaves_no_run_of_a_loaded_file(store, first, monkeypatch):
    content = store.result(first).read_bytes()

    def full(*_arguments) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.runs.adopt.write_atomically", full)
    with pytest.raises(UserError, match="mine.safetensors cannot be kept in .* \\(No space left on device\\)"):
        adopt(store, content, "mine.safetensors")
    assert [row.id for row in store.runs()] == ["0001"]


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    """A data set that is imported again under its name is divided anew: what was trained on may be tested on."""
    asked = request()
    taken = []
    for event in run_events(asked, Context(cache_root=tmp_path)):
        if event.kind == "checkpoint" and event.step == 1:
            taken.append(event.snapshot())
            break
    changed = request(data={"validation_fraction": 0.2})
    with pytest.raises(UserError, match="The data set has changed since this run began"):
        drained(run_events(changed, Context(cache_root=tmp_path, resume_from=taken[0])))
    assert drained(run_events(asked, Context(cache_root=tmp_path, resume_from=taken[0])))[0][-1].kind == "finished"


def test_a_result_is_not_evaluated_on_classes_of_other_names(tmp_path):
    synthetic, _ = distill(request(), Context(cache_root=tmp_path))
    names = ("1", "0", *"23456789")
    synthetic.spec = replace(synthetic.spec, class_names=names)
    with pytest.raises(UserError, match="Class 1 of this result is '1', of the data set '0'"):
        drained(run_events(request(action="evaluate"), Context(cache_root=tmp_path, start=synthetic)))


def _saved(path, tensors, metadata) -> bytes:
    save_file(tensors, path, metadata)
    return path.read_bytes()


def test_more_synthetic_images_than_real_ones_are_refused_before_the_start():
    with pytest.raises(
        UserError, match="smallest class has 139 training images, 14 of them for validation.*125 or less"
    ):
        resolve(request(config=TINY | {"ipc": 126}))
    resolve(request(config=TINY | {"ipc": 125}))
    with pytest.raises(UserError, match="a limit of 20 training images leaves 2 of each class.*raise the limit"):
        resolve(request(config=TINY | {"ipc": 3}, data={"train_limit": 20}))
    resolve(request(config=TINY | {"ipc": 2}, data={"train_limit": 20}))
    with pytest.raises(
        UserError, match="takes the bytes of 1 real image per class, so it would be no smaller. Raise the limit."
    ):
        resolve(RunRequest(method="podd", config={"ipc": 0.5, "order": "listed"}, data={"train_limit": 5}))


def test_a_set_of_few_bits_may_have_more_images_than_there_are_and_one_of_many_bits_not(store):
    """What counts is that it takes fewer bytes than the real images it stands for."""
    resolve(request(config=TINY | {"ipc": 200, "store_bits": "4"}))
    with pytest.raises(
        UserError, match="takes the bytes of 1[0-9][0-9] real images per class, so it would be no smaller"
    ):
        resolve(request(config=TINY | {"ipc": 40, "store_bits": "float32"}))


def test_an_imported_data_set_that_is_gone_is_told_by_name():
    with pytest.raises(UserError, match="'folder:plants' is not on this machine.*Import it again"):
        resolve(request(source="folder:plants"))


def test_evaluating_from_python_needs_a_set_in_the_context(tmp_path):
    synthetic, _ = distill(request(), Context(cache_root=tmp_path))
    found, again = drained(run_events(request(action="evaluate"), Context(cache_root=tmp_path, start=synthetic)))
    assert again is synthetic and found[-1].kind == "finished"
