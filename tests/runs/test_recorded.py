"""Recorded results are one compact file per table, which a command writes and reads."""

from __future__ import annotations

import json
import math

import pytest
from benchmarks import record
from forecast_runs import finished, request
from small_runs import SMALL

from engine.cli import main as cli
from engine.core.errors import RunError
from engine.runs.store import Store


def test_results_lie_in_few_small_files_whose_lines_are_all_of_one_form():
    files = list(record.RESULTS.iterdir())
    assert {file.suffix for file in files} == {".jsonl"} and len(files) < 20
    assert sum(file.stat().st_size for file in files) < 900_000
    for file in files:
        lines = record.read(file.stem)
        assert len({record._key(line) for line in lines}) == len(lines), "no run stands in a table twice"
        for line in lines:
            assert {*record.NAMED, "bits", "num_bytes", "seconds", "machine", "version"} <= set(line)
            distilled = [score for score in line["scores"] if score["arm"] == "distilled"]
            assert line["num_bytes"] == distilled[0]["num_bytes"] and line["request"]["method"] == line["method"]
            assert all(len(score.get("accuracy", score.get("skill", "..."))) == 3 for score in distilled)


def test_a_finished_run_is_one_line_and_recorded_again_it_takes_the_place_of_the_first(tmp_path, capsys):
    store = Store(tmp_path / "runs")
    run_id, where = finished(store), ["--to", str(tmp_path), "--runs", str(tmp_path / "runs")]
    record.main(["add", "prices", run_id, *where])
    (text,) = (tmp_path / "prices.jsonl").read_text().splitlines()
    line = json.loads(text)
    assert (line["method"], line["source"], line["seed"]) == ("ohlc", "simulated_prices", 0)
    assert line["request"] == store.run(run_id).request.model_dump(mode="json")
    first = line["scores"][0]
    assert (first["arm"], first["num_bytes"], line["num_bytes"]) == ("distilled", 1100, 1100)
    assert (
        first["skill"] == [pytest.approx(0.125), pytest.approx(0.00707107, abs=1e-6), 2] and "rmse@SIM-A" not in first
    )
    assert "facts" not in line["analyses"] and line["analyses"]["privacy"]["nearest"]["distilled"] == [1.0, 1.2]
    assert len(text) < 8000

    capsys.readouterr()
    cli.main(["show", run_id, "--json", "--runs", str(tmp_path / "runs")])
    (tmp_path / "elsewhere.json").write_text(capsys.readouterr().out)
    record.main(["add", "prices", str(tmp_path / "elsewhere.json"), *where])
    (again,) = record.read("prices", tmp_path)
    assert {**again, "version": ""} == {**line, "version": ""}

    waiting = store.submit(request(seed=1))
    with pytest.raises(RunError, match="is queued. Only finished runs are recorded."):
        record.main(["add", "prices", waiting, *where])


def test_a_table_puts_seeds_together_and_keeps_protocols_apart(tmp_path, capsys):
    store = Store(tmp_path / "runs")
    for seed in (0, 1):
        finished(store, request(seed=seed))
    where = ["--to", str(tmp_path)]
    record.main(["add", "prices", "0001", "0002", *where, "--runs", str(tmp_path / "runs")])
    capsys.readouterr()
    record.main(["show", "prices", *where])
    head, _, *rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2 and {row[head.index("seeds")] for row in rows} == {"2"}
    by_protocol = {row[head.index("protocol")]: row for row in rows}
    ordinary = by_protocol["Standard training"]
    spread = 100 * math.sqrt(4 * 0.005**2 / 3)  # of four students, 12.0 and 13.0 twice
    assert ordinary[head.index("Distilled")] == f"12.5 ± {spread:.1f}"
    assert by_protocol["Own recipe"][head.index("Full data")] == ordinary[head.index("Full data")]


def test_a_preset_is_run_once_per_seed_and_not_again(tmp_path, capsys):
    path = tmp_path / "request.json"
    path.write_text(json.dumps(SMALL | {"config": SMALL["config"] | {"outer_steps": 2}}))
    command = ["run", "small", str(path), "--seeds", "0", "1", "--to", str(tmp_path), "--runs", str(tmp_path / "runs")]
    record.main(command)
    lines = record.read("small", tmp_path)
    assert [line["seed"] for line in lines] == [0, 1] and lines[0]["machine"]["cores"] and lines[0]["version"]
    record.main(command)
    assert capsys.readouterr().err.count("recorded already") == 2 and len(Store(tmp_path / "runs").runs()) == 2
