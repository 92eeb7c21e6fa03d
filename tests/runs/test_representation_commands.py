"""The command line tells runs without labels by their probes, and takes their results back in."""

from __future__ import annotations

import json

import pytest
from representation_runs import CONFIG, MEANS, finished, request

from engine import RunRequest
from engine.cli.main import main
from engine.cli.progress import Printer
from engine.core.context import runs_root
from engine.core.errors import DataError
from engine.core.events import Stopped, TeacherEpoch
from engine.runs.adopt import adopt
from engine.runs.store import Store
from engine.runs.worker import execute
from engine.synthetic.base import load


@pytest.fixture
def run_id() -> str:
    """A finished run in the folder that commands look into."""
    return finished(Store(runs_root()))


def printed(capsys, *arguments: str) -> str:
    assert main(arguments) == 0
    return capsys.readouterr().out


def test_show_has_protocols_transfer_likeness_approximation_and_the_teacher(run_id, capsys):
    lines = printed(capsys, "show", run_id).splitlines()
    for line in (
        "MLP 256-128, linear probe, n = 2",
        "Distilled 80.5 ± 0.7 % 74.1 to 86.9 % 75.0 %",
        "MLP 256-128, nearest neighbours, n = 2",
        "Teacher 90.5 ± 0.7 % 84.1 to 96.9 % 112.5 %",
        "Distilled 80.5 ± 0.7 % 60.5 ± 0.7 %",
        "Distilled 0.705 ± 0.007 0.785 ± 0.007",
        "Rotate 90 20.0 % 90.0 %",
        "teacher 80.0 % nearest neighbours, validation",
    ):
        assert any(" ".join(shown.split()).startswith(line) for shown in lines), line
    assert sum(line.startswith("MLP 256-128, ") for line in lines) == 2, "neither transfer nor likeness is an accuracy"


def test_json_has_the_same_as_numbers_and_none_of_labelled_sets(run_id, capsys):
    shown = json.loads(printed(capsys, "show", run_id, "--json"))
    assert shown["transfers"]["mnist"]["full"] == {
        "protocol": "linear_probe",
        "mean": pytest.approx(0.705),
        "std": pytest.approx(0.00707, abs=1e-4),
        "n": 2,
    }
    assert set(shown["likeness"]) == set(MEANS) and set(shown["likeness"]["full"]) == {"cosine", "cka"}
    assert set(shown["analyses"]) == {"spectrum", "approximation", "map"} and shown["ranking"] == {}
    assert (shown["teacher"]["epoch"], shown["teacher"]["knn_accuracy"]) == (2, 0.8)
    assert json.loads(printed(capsys, "list", "--json"))[0]["method"] == "selfsup"


def test_a_run_with_labels_tells_nothing_of_representations(capsys):
    labelled = Store(runs_root()).submit(RunRequest())
    shown = json.loads(printed(capsys, "show", labelled, "--json"))
    assert "transfers" not in shown and shown["teacher"] is None and shown["analyses"] == {}


def test_methods_have_the_teachers_and_the_probes_options(capsys):
    told = printed(capsys, "methods", "selfsup")
    assert "teacher.epochs" in told and "probing.transfer" in told and "digits" in told


def test_printer_tells_the_last_epoch_of_a_teacher_and_what_was_stopped(capsys):
    printer = Printer(request(action="record"))
    for epoch in range(4):
        printer(TeacherEpoch(epoch, 3, 1.0, 0.25 * epoch, 0.1))
    printer(TeacherEpoch(3, 3, 1.0, 0.75, 0.1, cached=True))
    printer(Stopped(0))
    assert capsys.readouterr().err.splitlines() == [
        "teacher, epoch 3 of 3: 75.0 % nearest neighbours, validation",
        "teacher, epoch 3 of 3: 75.0 % nearest neighbours, validation (trained earlier)",
        "stopped while the teacher was trained; `resume` goes on from there",
    ]


TEACHER = (
    "--source",
    "digits",
    "--preset",
    "none",
    "--set",
    "config.student.name=mlp",
    "--set",
    "config.teacher.epochs=1",
    "--set",
    "config.teacher.steps_per_epoch=1",
    "--set",
    "config.teacher.depth=2",
    "--set",
    "config.teacher.width=4",
    "--set",
    "config.teacher.projector_width=16",
)


def test_teachers_are_trained_listed_and_deleted(capsys):
    assert "no pretrained networks yet" in printed(capsys, "teachers", "--list")
    assert "nearest neighbours, validation" in printed(capsys, "teachers", *TEACHER)
    (row,) = json.loads(printed(capsys, "list", "--json"))
    assert Store(runs_root()).run(row["id"]).action == "record"
    (info,) = json.loads(printed(capsys, "teachers", "--list", "--json"))
    assert info["num_networks"] == 1 and info["digest"] in printed(capsys, "teachers", "--list")
    printed(capsys, "teachers", "--delete", info["digest"])
    assert json.loads(printed(capsys, "teachers", "--list", "--json")) == []


@pytest.mark.parametrize("parameterisation", ["low_rank", "full"])
def test_a_result_comes_back_from_its_file_as_a_run_without_labels(store, parameterisation):
    first = finished(store, config=CONFIG | {"parameterisation": parameterisation})
    content = store.result(first).read_bytes()
    again = adopt(store, content, "mine.safetensors")
    row = store.run(again)
    assert row.status == "done" and row.summary["labels"] == "none" and row.method == "selfsup"
    assert store.result(again).read_bytes() == content
    (step,) = store.previews(again)
    shown = store.preview(again, step)
    assert set(shown.labels) == {""} and ("bases" in shown.views) == (parameterisation == "low_rank")


def test_a_truncated_result_is_refused(store):
    content = store.result(finished(store)).read_bytes()
    with pytest.raises(DataError, match="cannot be read as a distilled set"):
        adopt(store, content[: len(content) // 2], "mine.safetensors")


def test_a_loaded_result_is_evaluated_again(store):
    """The teacher that the evaluation needs is trained again where it is not at hand."""
    brief = {
        "teacher": {"num_dims": 24, "epochs": 1, "steps_per_epoch": 1, "depth": 2, "width": 4, "projector_width": 16},
        "probing": {"pretrain_steps": 2, "probe_epochs": 1, "probe_images": 50},
    }
    loaded = adopt(store, store.result(finished(store, config=CONFIG | brief)).read_bytes(), "mine.safetensors")
    asked = store.run(loaded).request.model_dump() | {
        "action": "evaluate",
        "start": loaded,
        "evaluation": {"num_students": 1, "full_epochs": 1},
    }
    second = store.submit(RunRequest(**asked), status="running")
    execute(store, second)
    row = store.run(second)
    assert row.status == "done", row.error
    assert {score.arm for score in store.scores(second)} == {*MEANS, "random_samples"}
    assert {"linear_probe", "knn"} <= {score.protocol for score in store.scores(second)}
    assert load(store.result(second)).step == 40
