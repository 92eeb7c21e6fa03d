"""The health check finds what is broken, says what to do, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple

import pytest
import torch

from engine.cli.main import main
from engine.core.context import runs_root
from engine.core.errors import DataError
from engine.meta import ridge
from engine.runs import doctor

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def no_methods(monkeypatch) -> None:
    """The quick lines alone."""
    monkeypatch.setattr(doctor, "METHODS", {})


def found(name: str) -> doctor.Check:
    (check,) = (check for check in doctor.diagnose() if check.name == name)
    return check


def test_every_line_that_passes_needs_no_remedy(no_methods):
    checks = {check.name: check for check in doctor.diagnose()}
    assert all(check.ok and check.finding and not check.remedy for check in checks.values())
    wanted = {
        "versions",
        "device",
        "double backward",
        "ridge regression",
        "memory",
        "data folder",
        "runs folder",
        "cache folder",
        "source digits",
    }
    assert wanted <= set(checks)
    assert " free" in checks["memory"].finding and str(runs_root() / "cache") in checks["cache folder"].finding


def wrong_prediction(features, targets, queries, strength):
    return 1.001 * ridge_before(features, targets, queries, strength)


def wrong_gradient(features, targets, queries, strength):
    return ridge_before(features, targets, queries, strength) + (features - features.detach()).sum()


ridge_before = ridge.predict


@pytest.mark.parametrize(
    ("broken", "sentence"), [(wrong_prediction, "from a dense solve"), (wrong_gradient, "from finite differences")]
)
def test_a_wrong_regression_or_gradient_of_it_is_found(no_methods, monkeypatch, broken, sentence):
    monkeypatch.setattr(ridge, "predict", broken)
    check = found("ridge regression")
    assert not check.ok and sentence in check.finding and "Reinstall PyTorch" in check.remedy


def test_a_gradient_that_lacks_a_path_differs_from_finite_differences():
    def halved(x):
        return x.square().sum() / 2 + x.detach().square().sum() / 2

    at = torch.ones(3, dtype=torch.float64)
    doctor._check_gradient(lambda x: x.square().sum(), at)
    with pytest.raises(ArithmeticError, match="differs from finite differences"):
        doctor._check_gradient(halved, at)


@pytest.mark.slow
def test_an_inner_loop_that_cuts_the_graph_is_found(no_methods, monkeypatch):
    whole = doctor.inner_loop

    def cut(student, theta, batches, *rest, **options):
        yield from (end.detach() + batches[0].inputs.sum() for end in whole(student, theta, batches, *rest, **options))

    monkeypatch.setattr(doctor, "inner_loop", cut)
    check = found("double backward")
    assert not check.ok and "finite differences" in check.finding and "Reinstall PyTorch" in check.remedy


def test_a_missing_package_is_named(no_methods, monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    check = found("versions")
    assert not check.ok and "no-such-package" in check.finding and "requirements.txt" in check.remedy


def test_little_memory_is_said_with_what_is_left(no_methods, monkeypatch):
    monkeypatch.setattr(doctor.machine, "available_memory", lambda device: 250_000_000)
    check = found("memory")
    assert not check.ok and "only 250 MB" in check.finding and "Close other programs" in check.remedy


@pytest.mark.parametrize(
    ("name", "variable"),
    [("data folder", "DISTILLERY_DATA"), ("runs folder", "DISTILLERY_RUNS"), ("cache folder", "DISTILLERY_RUNS")],
)
def test_a_full_disk_is_said_with_the_variable_that_moves_the_folder(no_methods, monkeypatch, name, variable):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9, 1000))
    check = found(name)
    assert not check.ok and "only 1.00 kB are free" in check.finding and variable in check.remedy


def test_a_folder_that_cannot_be_written_is_said(no_methods, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DISTILLERY_RUNS", str(tmp_path / "file" / "runs"))
    check = found("runs folder")
    assert not check.ok and "NotADirectoryError" in check.finding and "Free some space" in check.remedy


def test_a_method_that_fails_is_one_line_and_the_others_go_on(monkeypatch, capsys):
    def broken(request, context):
        raise DataError("The digits are gone.") if request.method == "bilevel" else ValueError("no step")
        yield

    monkeypatch.setattr(doctor, "run", broken)
    checks = {check.name: check for check in doctor.diagnose() if check.name.startswith("method ")}
    assert len(checks) == len(doctor.METHODS) and not any(check.ok for check in checks.values())
    assert checks["method bilevel"].finding == "The digits are gone."
    assert checks["method podd"].finding == "ValueError: no step" and "report" in checks["method podd"].remedy

    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "FAILED method podd: ValueError: no step  -> Please report this" in printed and "ok     versions" in printed
    assert main(["doctor", "--json"]) == 1
    lines = json.loads(capsys.readouterr().out)
    assert {line["name"] for line in lines if not line["ok"]} == set(checks)
    assert all(line["remedy"] for line in lines if not line["ok"])


def test_json_and_status_of_a_sound_installation(no_methods, capsys):
    assert main(["doctor", "--json"]) == 0
    assert all(
        line["ok"] and set(line) == {"name", "ok", "finding", "remedy"} for line in json.loads(capsys.readouterr().out)
    )


def test_a_check_runs_the_methods_shortened_and_leaves_nothing_behind(monkeypatch):
    asked = []

    def noted(request, context):
        asked.append((request, context))
        assert context.cache_root.is_dir()
        yield from ()

    monkeypatch.setattr(doctor, "run", noted)
    assert all(check.ok for check in doctor.diagnose())
    for request, context in asked:
        assert request.config["outer_steps"] == 1 and request.evaluation == doctor.BRIEF
        assert not context.cache_root.exists()
    assert len(asked) == len(doctor.METHODS)
    (followed,) = (request for request, _ in asked if request.method == "trajectory")
    assert followed.config["experts"]["num_experts"] == 1
    assert not list((runs_root() / "cache").iterdir())
