"""Distilled sequences are exported as price files, as arrays, and as a program that trains on them and forecasts."""

from __future__ import annotations

import csv
import io
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from forecast_runs import finished, made, prices, request

from engine.core.config import StudentConfig
from engine.core.context import Context
from engine.data.prices import building
from engine.data.prices.bars import to_csv
from engine.data.prices.importing import read_bars
from engine.evaluation.train import at_random, loss_of, outputs
from engine.nets import make_student
from engine.runs import export, tables
from engine.runs.adopt import adopt
from engine.runs.programs import forecast_script
from engine.runs.store import Store
from engine.synthetic.base import Training, load

NAMED = [
    "README.txt",
    "train.py",
    "distilled.npz",
    "result.safetensors",
    "grid.png",
    "scores.csv",
    "report.html",
    "request.json",
    "candles.csv",
    "targets.csv",
]
PRINTED = re.compile(r"RMSE (\d+\.\d+) % on (\d+) windows; (\d+\.\d+) % for the (?:mean of training|last close)\n")
DIRECTED = re.compile(r"direction: (\d+\.\d) % right; (\d+\.\d) % were up\n")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Store, str, Path]:
    """A store, its run, and the folder it was exported to."""
    root = tmp_path_factory.mktemp("sequences")
    store = Store(root / "runs")
    run_id = finished(store)
    export.export(store, run_id, root / "out")
    return store, run_id, root / "out"


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> Path:
    """The second simulated token as a CSV file."""
    path = tmp_path_factory.mktemp("prices") / "SIM-B.csv"
    path.write_text(to_csv(prices(request()).bars[1]))
    return path


def run_here(script: Path, *arguments: str) -> None:
    before = sys.argv
    sys.argv = [str(script), *arguments]
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_is_written_and_told_of(exported):
    _, _, out = exported
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    sequences = {f"sequences/SIM-{token}_{number}.csv" for token in "ABC" for number in (0, 1)}
    images = {f"images/00{number}-sim-{'aabbcc'[number]}.png" for number in range(6)}
    assert names == {*NAMED, *sequences, *images}
    said = (out / "README.txt").read_text()
    assert all(name in said for name in [*NAMED[1:], "sequences/", "images/"])
    assert "no real prices" in said and "Their dates are made\nup" in said


def test_each_sequence_reads_as_a_price_history_of_its_own(exported, monkeypatch):
    monkeypatch.setattr(building, "MIN_BARS", 2)  # one sequence is too short to distil from
    store, run_id, out = exported
    expected = load(store.result(run_id)).bars()
    for number, path in enumerate(sorted((out / "sequences").iterdir())):
        bars, repairs = read_bars(path, path.name)
        assert bars.token == path.stem and not repairs and bars.seconds == 86_400
        assert np.array_equal(bars.table, expected[number])


def test_one_table_has_all_bars_and_another_what_is_told_of_each(exported):
    store, run_id, out = exported
    synthetic = load(store.result(run_id))
    lines = rows_of(out / "candles.csv")
    assert list(lines[0]) == ["token", "sequence", "bar", "date", "open", "high", "low", "close", "volume"]
    table = np.array([[float(line[name]) for name in ("open", "high", "low", "close", "volume")] for line in lines])
    assert np.array_equal(table.reshape(6, 9, 5), synthetic.bars())
    assert [line["token"] for line in lines[::9]] == list(synthetic.sample_names())
    assert lines[9]["date"] == "2000-01-01" and lines[17]["date"] == "2000-01-09"
    told = rows_of(out / "targets.csv")
    assert list(told[0]) == ["token", "sequence", "volatility", "absolute_log_return"]
    values = synthetic.preparation.values(synthetic.targets()[:, 0], synthetic.tokens)
    assert np.allclose([float(line["absolute_log_return"]) for line in told], values)


def test_arrays_hold_the_set_and_how_it_was_scaled(exported):
    store, run_id, out = exported
    synthetic = load(store.result(run_id))
    arrays = np.load(out / "distilled.npz", allow_pickle=False)
    inputs, targets = synthetic.materialise()
    assert np.array_equal(arrays["inputs"], inputs.numpy()) and np.array_equal(arrays["targets"], targets.numpy())
    assert arrays["token_names"].tolist() == ["SIM-A", "SIM-B", "SIM-C"]
    assert arrays["tokens"].tolist() == [0, 0, 1, 1, 2, 2] and arrays["outputs"].tolist() == ["volatility"]
    assert (str(arrays["rule"]), int(arrays["num_steps"]), int(arrays["batch_size"])) == ("sgd", 5, 64)
    assert arrays["images"].shape[0] == 6 and arrays["images"].dtype == np.uint8
    raw = arrays["inputs"] * arrays["feature_scale"][arrays["tokens"]][:, None]
    moves = raw[..., 0] + raw[..., 1]  # gap and body
    closes = 100 * np.exp(moves.cumsum(1))
    assert np.allclose(closes, arrays["bars"][..., 3])


def test_scores_have_every_measure_and_the_naive_forecasts(exported):
    lines = rows_of(exported[2] / "scores.csv")
    assert {"skill", "rmse", "rmse@SIM-A"} <= {line["metric"] for line in lines}
    assert {"distilled", "full", "last_value", "train_mean"} <= {line["arm"] for line in lines}


def engines_own(asked, place: int, num_steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The engine's own forecasts of all real windows of a token after training on the set, and their targets."""
    splits = prices(asked)
    synthetic = made(asked, splits)
    student = make_student(StudentConfig(**asked.config["student"]), splits.spec)
    theta = student.init(torch.Generator().manual_seed(0))
    inputs, targets = synthetic.materialise()
    data = splits.train.subset(torch.arange(len(inputs)))
    data = type(data)(**(vars(data) | {"inputs": inputs, "targets": targets}))
    rate, generator = synthetic.rates[0].item(), Context().stream("batches")
    loss = loss_of(splits.spec)
    steps = at_random(student, theta, data, synthetic.own_training, rate, num_steps, generator, splits.augment, loss)
    *_, theta = steps
    found = []
    for part in (splits.train, splits.validation, splits.test):
        mine = part.subset((part.tokens == place).nonzero().flatten())
        found.append((outputs(student, theta, mine), mine.targets))
    said, told = (torch.cat(parts) for parts in zip(*found, strict=True))
    return said, told


@pytest.mark.parametrize(
    ("target", "options"),
    [("volatility", {}), ("close", {"features": "prices"}), ("both", {"token_identity": True}), ("direction", {})],
)
def test_script_forecasts_what_the_engine_does(store, history, tmp_path, capsys, target, options):
    """Full batches from the same start: the two differ by the windows of the embargoes, which only the script sees."""
    asked = request(target, **options)
    run_id = finished(store, asked)
    export.export(store, run_id, tmp_path / "out")
    run_here(tmp_path / "out" / "train.py", "SIM-B", str(history))
    printed = capsys.readouterr().out
    said, told = engines_own(asked, place=1, num_steps=7)  # chosen for the set by its scores
    if target in ("direction", "both"):
        right = 100 * (said[:, -2:].argmax(1) == told[:, -2:].argmax(1)).double().mean().item()
        assert abs(float(DIRECTED.search(printed)[1]) - right) < 1
    if target != "direction":
        scaling = prices(asked).scaling
        ones = torch.ones(len(said), dtype=torch.int64)
        error, usual, count = (float(number) for number in PRINTED.search(printed).group(1, 3, 2))
        assert 2100 < count < 2200 and usual > 0
        own = np.sqrt(np.mean((scaling.values(said[:, 0], ones) - scaling.values(told[:, 0], ones)) ** 2))
        assert error == pytest.approx(100 * own, rel=0.02)


@pytest.mark.slow
def test_script_runs_alone_and_imports_nothing_of_this_project(exported, history, tmp_path):
    command = [sys.executable, "-I", str(exported[2] / "train.py"), "SIM-B", str(history)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0 and PRINTED.fullmatch(done.stdout), done.stderr
    text = (exported[2] / "train.py").read_text()
    assert "(recorded: skill 10.5 ± 0.7 %)" in text and "for _ in range(7):" in text
    assert set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)) == {"csv", "sys", "pathlib", "numpy", "torch"}
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("lstm", "sgd"),
        ("lstm", "momentum"),
        ("lstm", "adam"),
        ("gru", "momentum"),
        ("transformer", "adam"),
        ("linear", "sgd"),
        ("mlp", "adam"),
    ],
)
def test_script_of_every_student_and_rule_trains(exported, history, tmp_path, capsys, name, rule):
    splits = prices(request())
    student = StudentConfig(name=name, width=8, depth=2, heads=2)
    script = forecast_script(student, splits.spec, 6, Training(rule, 2, batch_size=4), splits.config)
    (tmp_path / "train.py").write_text(script)
    (tmp_path / "distilled.npz").write_bytes((exported[2] / "distilled.npz").read_bytes())
    run_here(tmp_path / "train.py", "SIM-C", str(history))
    assert np.isfinite(float(PRINTED.fullmatch(capsys.readouterr().out)[1]))
    assert max(map(len, script.splitlines())) <= 120


@pytest.mark.parametrize(
    ("token", "text", "sentence"),
    [
        ("DOGE", "open,high,low,close,volume\n", "The tokens are: SIM-A, SIM-B, SIM-C."),
        ("SIM-A", None, "There is no file"),
        (
            "SIM-A",
            "open,high,low,close,volume\n" + "1,2,1,2,5\n" * 10,
            "needs the columns open, high, low, close in its first line, and 11 bars or more",
        ),
        ("SIM-A", "date,price\n" + "2020-01-01,1\n" * 20, "needs the columns open, high, low, close in its first line"),
        ("SIM-A", "open,high,low,close\n" + "1,2,1,?\n" * 20, "holds a bar that is not a number"),
        ("SIM-A", "sold by us\nopen,high,low,close\n" + "1,2,1,2\n" * 20, "needs the columns"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(exported, tmp_path, token, text, sentence):
    path = tmp_path / "prices.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit) as ended:
        run_here(exported[2] / "train.py", token, str(path))
    assert sentence in str(ended.value)


def test_zip_is_the_same_bytes_each_time_and_its_result_can_be_loaded_back(exported, tmp_path):
    store, run_id, out = exported
    assert export.bundle(store, run_id) == export.bundle(store, run_id)
    again = Store(tmp_path / "other")
    adopted = adopt(again, (out / "result.safetensors").read_bytes(), "result.safetensors")
    mine, theirs = (
        np.load(io.BytesIO(export.one(*each, "distilled.npz")))["bars"] for each in ((store, run_id), (again, adopted))
    )
    assert np.array_equal(mine, theirs) and export.refusal(again, adopted) == ""


def test_cells_that_a_spreadsheet_would_calculate_are_guarded():
    text = tables.to_csv(("token", "close"), [("=cmd|' /C calc'!A0", -0.5), ("@SUM", 1), ("BTC", 2)]).decode()
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[1] == ["'=cmd|' /C calc'!A0", "-0.5"] and rows[2][0] == "'@SUM" and rows[3] == ["BTC", "2"]
