"""The report of a run on prices, and what the command line tells of it."""

from __future__ import annotations

import json
import re

import pytest
from forecast_runs import CONFIG, NAIVE, SKILLS, finished, request
from plotly.offline import get_plotlyjs

from engine.cli import main as cli
from engine.core.events import Failed, Started
from engine.runs import report
from engine.runs.store import Store


def text_of(store: Store, run_id: str) -> str:
    """A report without the code that draws charts."""
    return report.report_html(store, run_id).replace(get_plotlyjs(), "")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Store, str]:
    store = Store(tmp_path_factory.mktemp("reported") / "runs")
    return store, finished(store)


@pytest.fixture(scope="module")
def text(made) -> str:
    return text_of(*made)


def section(text: str, title: str) -> str:
    return text.partition(f">{title}</h")[2].partition("</section>")[0]


def test_verdict_has_the_skill_of_every_arm_and_says_whether_a_naive_forecast_is_beaten(text):
    verdict = re.search(r'<p class="verdict">(.*?)</p>', text, re.DOTALL)[1]
    assert verdict.startswith(
        "Test skill relative to the training mean is <strong>12.5 %</strong> after training on 6 distilled "
        "sequences, 1.10 kB ("
    )
    assert (
        "On 6 random real windows of equal bytes, it is <strong>−29.5 %</strong> (standard training)." in verdict
        and "On all 5,000 real windows" in verdict
    )
    note = re.search(r'<p class="note">(.*?)</p>', text)[1]
    assert note == "Students trained on the distilled set forecast better than the training mean."


def test_table_has_every_measure_with_the_naive_forecasts_and_the_interval_over_time(text):
    told = section(text, "Forecast errors")
    head = re.findall(r"<th>(.*?)</th>", told)
    assert head[:4] == ["Trained on", "Skill (%)", "95 % interval (%)", "MAE (%)"]
    assert head[4:] == ["RMSE (%)", "R²", "Skill against last value (%)", "n"]
    told = told.replace("\u00a0", " ")
    lines = [re.findall(r"<td>(.*?)</td>", line) for line in re.findall(r"<tr>(<td>.*?)</tr>", told)]
    assert len(lines) == len(SKILLS) + len(NAIVE)
    assert lines[0][:4] == ["Distilled", "12.50 ± 0.71", "7.0 to 17.0", "2.130 ± 0.000"]
    assert lines[0][4:] == ["3.120 ± 0.000", "−0.010 ± 0.000", "40.00 ± 0.00", "2"]
    assert lines[-2][:2] == ["Last value, no network", "−80.00"] and lines[-1][0].startswith("Training mean")


def test_tokens_and_ratios_are_told(text):
    assert "<td>4.120\u00a0±\u00a00.000</td>" in section(text, "By token")
    ratios = section(text, "Against the full data")
    assert "<td>61.0 %</td>" in ratios and "1 : 500" in ratios


def test_sequences_are_candles_that_are_said_to_be_learned(text):
    assert "data-chart" in section(text, "The distilled sequences") and "they are no market history" in text
    assert "Grid of the distilled images" not in text and "outer step 0" in section(text, "Along the run")
    charts = [
        json.loads(chart)
        for chart in re.findall(r'<script type="application/json" id="chart-\d+">(.*?)</script>', text)
    ]
    candles = [chart for chart in charts if any(trace["type"] == "candlestick" for trace in chart["data"])]
    titles = [chart["layout"]["annotations"][0]["text"] for chart in candles]
    assert all(re.fullmatch(r"SIM-[ABC]: volatility \d+\.\d %", title) for title in titles), titles
    # scores, bytes, six sequences, three tokens, distances, three facts, adaptation, two curves
    assert len(candles) == 6 and len(charts) == text.count("data-chart=") == 18


def test_privacy_facts_and_adaptation_are_told_and_names_are_escaped(text):
    assert "None is close to a copy of a real one." in section(text, "Does it reveal real prices?")
    assert "0.47 to 0.58" in text and "Fat tails" in text
    assert "Does it help on SIM-D &lt;new&gt;?" in text and "SIM-D <new>" not in text


def test_nothing_speaks_of_images_accuracies_or_labels(text):
    said = re.sub(r"<pre>.*?</pre>|<script.*?</script>|<style>.*?</style>", "", text, flags=re.DOTALL)
    said = re.sub(r'src="[^"]*"', "", said)
    for word in ("accuracy", "image", "class name", "DD-Ranking", "Benchmark scores", "nan"):
        assert word not in re.sub(r"<[^>]*>", "", said).lower().replace("<", ""), word
    assert "Training windows" in said and "Test skill of GRU" in said


def test_skill_is_told_against_the_reference_of_each_target(store):
    for target, reference in (("close", "the last close"), ("direction", "the training frequencies")):
        told = text_of(store, finished(store, request(target)))
        assert f"Test skill relative to {reference} is" in told
        assert ("log loss" in section(told, "Forecast errors")) == (target == "direction")


def test_a_run_that_failed_early_is_reported_with_what_it_has(store):
    run_id = store.submit(request(), status="running")
    store.append(run_id, [Started(40, {}), Failed("It diverged.", step=3)])
    told = text_of(store, run_id)
    assert "It diverged." in told and "Forecast and truth" not in told and "The distilled sequences" not in told


def test_command_line_shows_measures_verdict_and_privacy(made, capsys):
    store, run_id = made
    assert cli.main(["show", run_id, "--runs", str(store.root)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"GRU, standard training, n = 2\nTrained on .*\nDistilled +12\.5 ± 0\.7 % ", said)
    assert re.search(r"Distilled +12\.50 ± 0\.71 +7\.0 to 17\.0 +2\.130 ± 0\.000 +3\.120 ± 0\.000", said)
    assert re.search(r"RMSE \(%\):\n.*\nDistilled +4\.120 ± 0\.000", said)
    assert "forecast better than the training mean." in said and "close to a copy" in said


def test_command_line_gives_the_same_as_json(made, capsys):
    store, run_id = made
    assert cli.main(["show", run_id, "--json", "--runs", str(store.root)]) == 0
    told, by = json.loads(capsys.readouterr().out), {"protocol": "ordinary"}
    assert told["forecasts"]["distilled"]["rmse@SIM-A"] == by | {"mean": 0.0412, "std": 0.0, "n": 2}
    assert told["forecasts"]["last_value"]["skill"] == {"protocol": "naive", "mean": -0.8, "std": None, "n": 1}
    assert told["ranking"] == {} and "transfers" not in told and told["analyses"]["verdict"]["beats_naive"]


def test_command_line_evaluates_again_and_gives_every_measure(store, capsys):
    brief = {"num_students": 2, "inner_steps": 4, "ordinary_steps": 4, "full_epochs": 1}
    asked = request("both", config=CONFIG | {"student": {"name": "linear"}}, evaluation=brief)
    run_id = finished(store, asked)
    assert cli.main(["evaluate", run_id, "--runs", str(store.root)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"own recipe, n = .*\nTrained on .*\nDistilled +−?\d", said) and "MCC" in said and "SIM-C" in said
    assert cli.main(["evaluate", run_id, "--runs", str(store.root), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"skill", "rmse", "mcc@SIM-B"} <= {row["metric"] for row in rows}
