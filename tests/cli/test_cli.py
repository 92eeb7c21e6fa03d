"""The command line does what the pages do: same runs, same store, clear exit statuses."""

from __future__ import annotations

import json

import pytest

from engine import RunRequest, Store, request_from_preset
from engine.cli.main import main
from engine.cli.progress import Printer
from engine.core.context import runs_root
from engine.core.events import Finished, Measured, Progress, Scored, Warned

QUICK = (
    "--source",
    "digits",
    "--set",
    "config.outer_steps=3",
    "--set",
    "config.passes=2",
    "--set",
    "evaluation.num_students=2",
    "--set",
    "evaluation.ordinary_steps=3",
    "--set",
    "evaluation.full_epochs=1",
)


def output(capsys, *arguments):
    status = main(arguments)
    return status, capsys.readouterr()


def test_a_teacher_comes_from_a_file_that_is_there(capsys):
    kind, file = "config.teacher.kind=torchvision", "config.teacher.file=nowhere.pth"
    status, printed = output(capsys, "distill", "--method", "selfsup", "--set", kind, "--set", file)
    assert status == 2 and "There is no teacher's weights file 'nowhere.pth'." in printed.err


def test_distill_list_show_evaluate_delete(capsys):
    status, printed = output(capsys, "distill", *QUICK, "--name", "three steps")
    assert status == 0 and "random real images" in printed.out and "step 3 of 3" in printed.err
    _, printed = output(capsys, "list", "--json")
    (row,) = json.loads(printed.out)
    assert (row["status"], row["step"], row["name"]) == ("done", 3, "three steps")
    _, printed = output(capsys, "show", row["id"], "--json")
    shown = json.loads(printed.out)
    assert shown["request"]["config"]["outer_steps"] == 3
    assert {(s["arm"], s["protocol"]) for s in shown["scores"]} >= {("distilled", "as_distilled"), ("full", "ordinary")}
    for score in shown["scores"]:
        assert score["n"] == 2 and 0 <= score["mean"] <= 1 and score["std"] is not None and score["seconds"] > 0
    assert shown["metrics"]["outer_loss"]["step"] == 3 and shown["summary"]["compression"] > 1
    status, printed = output(capsys, "evaluate", row["id"], "--students", "convnet", "--seeds", "1", "--json")
    assert status == 0 and {s["student"] for s in json.loads(printed.out)} == {"mlp", "convnet"}
    status, printed = output(capsys, "evaluate", row["id"], "--recipes", "ours,best")
    assert status == 2 and "recipes" in printed.err and "'frepo'" in printed.err
    assert output(capsys, "delete", row["id"])[0] == 0
    assert json.loads(output(capsys, "list", "--json")[1].out) == []


EXPERTS = (
    "--source",
    "digits",
    "--preset",
    "none",
    "--set",
    "config.student.name=mlp",
    "--set",
    "config.experts.num_experts=2",
    "--set",
    "config.experts.epochs=7",
    "--set",
    "config.experts.steps_per_epoch=2",
)


def test_experts_are_recorded_shown_listed_and_deleted(capsys):
    assert "no pretrained networks yet" in output(capsys, "experts", "--list")[1].out
    status, printed = output(capsys, "experts", *EXPERTS)
    assert status == 0 and printed.out.count("% validation") == 2
    assert "expert 2 of 2, epoch 7 of 7" in printed.err and "random_real" not in printed.out
    (row,) = json.loads(output(capsys, "list", "--json")[1].out)
    shown = json.loads(output(capsys, "show", row["id"], "--json")[1].out)
    assert (shown["request"]["action"], shown["request"]["method"]) == ("record", "trajectory")
    assert [(end["expert"], end["epoch"], end["cached"]) for end in shown["experts"]] == [(0, 7, False), (1, 7, False)]
    assert "expert 2 " in output(capsys, "show", row["id"])[1].out

    _, printed = output(capsys, "experts", *EXPERTS)
    assert printed.err.count("(recorded earlier)") == 2 and printed.out.count("trained earlier") == 2
    (info,) = json.loads(output(capsys, "experts", "--list", "--json")[1].out)
    assert (info["kind"], info["num_networks"], info["num_epochs"]) == ("experts", 2, 7)
    assert info["digest"] in output(capsys, "experts", "--list")[1].out
    assert output(capsys, "experts", "--delete", info["digest"])[0] == 0
    status, printed = output(capsys, "experts", "--delete", info["digest"])
    assert status == 2 and "There are no pretrained networks" in printed.err


def test_a_recording_has_no_result_to_evaluate(capsys):
    store = Store(runs_root())
    run_id = store.submit(RunRequest(action="record", method="trajectory"), status="running")
    store.append(run_id, [Finished({"num_experts": 2})])
    status, printed = output(capsys, "evaluate", run_id)
    assert status == 2 and "recorded experts, so it has no result" in printed.err


def test_request_file_of_a_run_repeats_it_to_the_bit(capsys, tmp_path):
    main(["distill", *QUICK, "--runs", str(tmp_path / "a")])
    main(["distill", str(tmp_path / "a" / "0001" / "request.json"), "--runs", str(tmp_path / "b")])
    first, second = ((tmp_path / name / "0001" / "result.safetensors").read_bytes() for name in "ab")
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["distill", "--source", "nowhere"], "no preset 'quick' for source 'nowhere'"),
        (["distill", "--method", "magic"], "There is no method 'magic'"),
        (["distill", "--preset", "slow"], "has no preset 'slow'"),
        (
            ["distill", "--set", "config.outer_steps=0"],
            "outer_steps: input should be greater than or equal to 1, not 0",
        ),
        (["distill", "--set", "config.speed=9"], "there is no option 'speed'"),
        (["distill", "--set", "config.student.name=resnet"], "student.name"),
        (["distill", "--set", "config.student.name=lenet"], "needs images of at least 28 x 28 pixels"),
        (["distill", "--set", 'evaluation.students=["lenet"]'], "needs images of at least 28 x 28 pixels"),
        (["distill", "--set", "nonsense"], "--set takes KEY=VALUE"),
        (["distill", "--set", "seed.deep=1"], "is a single value"),
        (["distill", "missing.json"], "There is no request file missing.json"),
        (["distill", "--set", "device=cuda"], "CUDA"),
        (["list", "--runs", "/dev/null/runs"], "Runs cannot be kept in /dev/null/runs"),
        (["show", "9999"], "9999"),
        (["show", "../../etc"], "../../etc"),
        (["resume", "0001"], "0001"),
        (["stop", "0001"], "0001"),
        (["evaluate", "0001"], "0001"),
        (["methods", "magic"], "There is no method 'magic'"),
    ],
)
def test_wrong_requests_give_one_line_and_status_2(capsys, arguments, sentence):
    status, printed = output(capsys, *arguments)
    assert status == 2
    assert sentence in printed.err and printed.err.count("\n") == 1 and printed.err.startswith("error: ")
    assert "Traceback" not in printed.err


def test_request_file_that_is_no_json_is_named(capsys, tmp_path):
    path = tmp_path / "request.json"
    for content, sentence in (
        ("{", "cannot be read as JSON"),
        ("[1]", "must hold a JSON object"),
        ('{"colour": 1}', "no option 'colour'"),
    ):
        path.write_text(content)
        status, printed = output(capsys, "distill", str(path))
        assert status == 2 and sentence in printed.err


def test_failed_run_has_status_1_and_can_be_shown(capsys):
    status, printed = output(capsys, "distill", *QUICK, "--set", "data.train_limit=15")
    assert status == 1 and "limit of 15 training images" in printed.err
    assert "failed" in output(capsys, "list")[1].out


def test_sources_methods_and_their_json(capsys):
    rows = json.loads(output(capsys, "sources", "--json")[1].out)
    assert [row["key"] for row in rows][:2] == ["digits", "mnist"] and rows[0]["state"] == "present"
    (method,) = json.loads(output(capsys, "methods", "bilevel", "--json")[1].out)
    assert method["options"]["properties"]["outer_lr"]["description"]
    assert "student.width" in output(capsys, "methods", "bilevel")[1].out


@pytest.mark.slow
def test_doctor_finds_nothing_wrong(capsys):
    status, printed = output(capsys, "doctor")
    assert status == 0 and "FAILED" not in printed.out
    for line in (
        "double backward: equals finite differences",
        "ridge regression: equals a dense solve",
        "method bilevel: one step",
        "method selfsup: one step",
        "runs folder",
    ):
        assert line in printed.out


def test_table_compares_whole_trainings_and_json_has_those_on_the_way_too(capsys, tmp_path):
    store = Store(tmp_path)
    run_id = store.submit(RunRequest(), status="running")
    half = Scored("distilled", "as_distilled", "mlp", 0, "accuracy@300", 0.25, 1.0)
    whole = Scored("distilled", "as_distilled", "mlp", 0, "accuracy", 0.5, 2.0)
    store.append(run_id, [half, whole, Warned("A fact.", level="note"), Warned("Beware."), Finished()])
    where = ("--runs", str(tmp_path))
    table = [line for line in output(capsys, "show", run_id, *where)[1].out.splitlines() if "Distilled" in line]
    assert len(table) == 1 and table[0].split()[:3] == ["Distilled", "50.0", "%"]
    shown = json.loads(output(capsys, "show", run_id, "--json", *where)[1].out)
    assert {row["metric"]: row["mean"] for row in shown["scores"]} == {"accuracy@300": 0.25, "accuracy": 0.5}
    assert shown["notes"] == ["A fact."] and shown["warnings"] == ["Beware."]


def test_printer_tells_each_stretch_once_and_levels_by_name(capsys):
    printer = Printer(request_from_preset("digits", "bilevel", "quick"))
    for event in (Warned("A fact.", level="note"), Warned("Beware.")):
        printer(event)
    for step in (1, 2):
        printer(Progress("train the student", 3, 9))
        printer(Measured(step, {"outer_loss": 1.0}))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["note: A fact.", "warning: Beware.", "train the student"]


def test_a_terminal_keeps_the_outer_step_beside_a_stretch_within_it(capsys):
    printer = Printer(request_from_preset("digits", "bilevel", "quick"))
    printer.live = True
    printer(Measured(1, {"outer_loss": 1.0}))
    printer(Progress("train the student", 3, 9))
    last = capsys.readouterr().err.rpartition("\r")[2]
    assert "step 1 of" in last and last.endswith("train the student 3 of 9")
