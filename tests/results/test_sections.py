"""What each kind of result says, once for all renderers: the verdict, its figures of merit, tables, charts and
findings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "pages"))  # the canned runs of the pages

import canned_forecasts as forecasts
import canned_runs as canned
import canned_selfsup as selfsup

import engine
from engine.cli.sections import lines
from engine.results import Run, kind_of, shared, together
from engine.results.sections import Chart, Choice, Code, File, Group, Metrics, Picture, Section, Sentence, Table
from engine.runs import html
from engine.runs.report import report_html

MADE = {"labelled": canned, "representations": selfsup, "forecasts": forecasts}


@pytest.fixture
def store(tmp_path) -> engine.Store:
    return engine.Store(tmp_path / "runs")


def finished(store: engine.Store, kind: str, **changes: object) -> Run:
    return Run(store.run(MADE[kind].finished(store, **changes)), store)


def flat(sections: list[Section]) -> list[Section]:
    """Every section, those inside groups and behind choices too."""
    found: list[Section] = []
    for section in sections:
        found.append(section)
        if isinstance(section, Group):
            found += flat(list(section.of))
        elif isinstance(section, Choice):
            for options in section.options.values():
                found += flat(list(options()))
    return found


def everything(run: Run) -> list[Section]:
    kind = kind_of(run.row.method)
    parts = (kind.verdict, kind.against_full, kind.scores, kind.measures, kind.architectures, kind.titled_findings)
    return flat([section for part in parts for section in part(run)])


def text(sections: list[Section]) -> str:
    return " ".join(section.text for section in flat(sections) if isinstance(section, Sentence)).replace("**", "")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "labelled",
            "Test accuracy is 85.1 % after training on 10 synthetic images, 2.61 kB (own recipe).\n"
            "On 10 random real images of equal bytes, it is 55.1 % (standard training).\n"
            "On all 1,294 real images, it is 97.0 % (standard training). ",
        ),
        (
            "representations",
            "Linear-probe accuracy on test images is 86.0 % after pre-training on 20 distilled images, 9.00 kB.\n"
            "On 25 random real images of equal bytes with the teacher's representations, it is 74.0 %.\n"
            "Without pre-training, it is 55.0 %.\nOn all 1,294 real images, it is 93.0 %.\n"
            "For the teacher itself, it is 95.0 %. ",
        ),
        (
            "forecasts",
            "Test skill relative to the last close is 3.1 % after training on 3 distilled sequences, 1.20 kB (own "
            "recipe).\n"
            "On 3 random real windows of equal bytes, it is −4.2 % (own recipe).\n",
        ),
    ],
)
def test_verdict_has_a_short_sentence_for_the_score_of_each_training_set(store, kind, said):
    assert said in text(kind_of(MADE[kind].request().method).verdict(finished(store, kind)))


def test_both_random_arms_and_what_distilling_added_are_named_wherever_results_are_told(store):
    run = finished(store, "labelled")
    small = {("random_samples", "ordinary"): 0.5, ("start", "ordinary"): 0.728}
    canned.scored(store, run.row.id, small)
    run, found = Run(store.run(run.row.id), store), kind_of(run.row.method)
    verdict = text(found.verdict(run))
    assert "On 10 random real images of equal bytes, it is 55.1 % (standard training)." in verdict
    assert "On 10 random real images (as many samples), it is 50.0 % (standard training)." in verdict
    assert "On the starting set, it is 72.8 % (standard training).\nDistilling added 12.3 points.\nOn all" in verdict
    names = ["Random real, equal bytes", "Random real, as many samples"]
    assert [card.label for card in found.cards(run)][1:3] == names
    table = next(section for section in everything(run) if isinstance(section, Table))
    assert {"Starting set", *names} <= set(table.columns["Trained on"])
    printed, told = "\n".join(lines(found.printed(run))), report_html(store, run.row.id)
    for name in (*names, "Starting set", "added"):
        assert name in printed and name in told


def test_both_live_baselines_are_figures_of_merit_and_lines_of_the_chart(store):
    run = Run(store.run(canned.running(store)), store)
    canned.scored(store, run.row.id, {("random_samples", "ordinary"): 0.5})
    run, found = Run(store.run(run.row.id), store), kind_of(run.row.method)
    assert {"Random real, equal bytes", "Random real, as many samples"} <= {card.label for card in found.cards(run)}
    assert found.references(run, "validation_accuracy")["random_samples"] == pytest.approx(0.45)


def test_how_far_a_recipe_is_shortened_is_said_once(store):
    run = finished(store, "labelled")
    short = {("distilled", "standard@10"): 0.96, ("random_real", "standard@10"): 0.6}
    canned.scored(store, run.row.id, short)
    run = Run(store.run(run.row.id), store)
    verdict = text(kind_of(run.row.method).verdict(run))
    assert "images, 2.61 kB (DC/DSA/MTT recipe, shortened: 100 of 1,000 epochs)." in verdict
    assert "it is 60.0 % (DC/DSA/MTT recipe)." in verdict and verdict.count("shortened") == 1


def test_distilling_that_made_a_set_worse_is_said(store):
    run = finished(store, "labelled")
    canned.scored(store, run.row.id, {("start", "ordinary"): 0.9})
    run = Run(store.run(run.row.id), store)
    assert "Distilling took away 4.9 points." in text(kind_of(run.row.method).verdict(run))


@pytest.mark.parametrize("kind", MADE)
def test_nothing_is_said_of_a_run_without_scores(store, kind):
    run, found = Run(store.run(MADE[kind].running(store)), store), kind_of(MADE[kind].request().method)
    assert not found.verdict(run) and not found.architectures(run) and not found.scores(run)


@pytest.mark.parametrize("kind", MADE)
def test_kind_says_what_its_samples_and_scores_are(store, kind):
    run, found = finished(store, kind), kind_of(MADE[kind].request().method)
    assert found.key == kind and found is kind_of(run.row.method)
    assert found.measure in {row.metric for row in run.rows}
    cards = found.cards(run)
    assert (
        cards[0].label.startswith("Distilled")
        and cards[1].label == "Random real, equal bytes"
        and cards[-1].label == "Full data"
    )
    at_work = found.cards(Run(store.run(MADE[kind].running(store)), store))
    assert any("validation" in card.label for card in at_work)


@pytest.mark.parametrize("kind", MADE)
def test_charts_can_be_drawn_have_names_for_the_blind_and_keys_of_their_own(store, kind):
    charts = [section for section in everything(finished(store, kind)) if isinstance(section, Chart)]
    assert len({chart.key for chart in charts}) == len(charts) > 0
    for chart in charts:
        assert chart.alt and len(chart.draw().data)


@pytest.mark.parametrize("kind", MADE)
def test_tables_have_columns_of_one_length(store, kind):
    tables = [section for section in everything(finished(store, kind)) if isinstance(section, Table)]
    assert tables
    for table in tables:
        assert table.alt and len({len(column) for column in table.columns.values()}) == 1


@pytest.mark.parametrize("kind", MADE)
def test_numbers_are_json_and_name_the_benchmark_scores_of_labelled_sets_alone(store, kind):
    numbers = kind_of(MADE[kind].request().method).numbers(finished(store, kind))
    assert bool(numbers["ranking"]) == (kind == "labelled") and json.loads(json.dumps(numbers))


def test_unknown_method_counts_as_labelled_images():
    assert kind_of("magic").key == "labelled"


def test_ratios_show_times_once_where_probes_share_one_pre_training(store):
    labels = [metric.label for metric in kind_of("selfsup").ratios(finished(store, "representations"))]
    assert labels.count("Speed-up") == 1 and labels.count("Retention") == labels.count("Gap closed") == 3
    labels = [metric.label for metric in kind_of("bilevel").ratios(finished(store, "labelled"))]
    assert labels.count("Speed-up") == labels.count("Retention") == labels.count("Gap closed") == 2


def test_runs_judged_by_different_measures_are_compared_apart(store):
    runs = [finished(store, kind) for kind in ("labelled", "forecasts", "representations")]
    choices = [section for section in together.compared(runs) if isinstance(section, Choice)]
    assert [choice.key for choice in choices] == ["compared protocol accuracy", "compared protocol skill"]


# ---- renderers: each record has its form, user text stays text ----

EVERY: list[Section] = [
    Sentence("Plain <b> with **emphasis**."),
    Sentence("A caption.", "caption"),
    Metrics([shared.Metric("Label", "1 %", "note", "help")]),
    Table({"Head & co": ["a\nb", "c"], "Other": ["1", "2"]}, "A table"),
    Code("x < y"),
    Group("Folded", [Sentence("inside")], "fold"),
    Choice("Pick", {"One": lambda: [Sentence("first")], "Two": lambda: [Sentence("second")]}, "pick"),
    Choice(
        "View", {"One": lambda: [Sentence("third")], "Two": lambda: [Sentence("fourth")]}, "view", is_another_view=True
    ),
    File("Label", "name", "text/csv", lambda: "content"),
    Picture(lambda: b"png", "Alt & text", "Below"),
]


def test_terminal_prints_sentences_figures_and_tables_and_the_first_of_several_views():
    assert lines(EVERY) == [
        "Plain <b> with emphasis.",
        "Label: 1 % (note)",
        "Head & co  Other",
        "a, b       1",
        "c          2",
        "",
        "Folded",
        "inside",
        "One:",
        "first",
        "Two:",
        "second",
        "third",
    ]


def test_terminal_has_a_line_per_sentence_of_a_verdict_and_tables_no_wider_than_it_is(store):
    assert lines([Sentence("One.\nTwo **bold**.", "verdict")]) == ["One.", "Two bold."]
    columns = {"Trained on": ["Distilled"], **{f"column {number}": ["cell"] for number in range(20)}}
    printed = lines([Table(columns, "Wide")])
    assert max(map(len, printed)) <= 120 and sum(line.startswith("Trained on") for line in printed) == 2
    assert all(any(name in line for line in printed) for name in columns)


@pytest.mark.parametrize("kind", MADE)
def test_tables_of_scores_fit_a_terminal_whole_and_their_headings_say_what_repeats(store, kind):
    run = finished(store, kind)
    printed = lines(kind_of(run.row.method).printed(run))
    heads = [line for line in printed if line.startswith("Trained on") and line.endswith("Stored")]
    assert len(heads) == len({(row.student, row.protocol) for row in run.rows})
    assert all("Protocol" not in head and "  n  " not in head for head in heads)
    own = {
        "labelled": "MLP 256-128, own recipe",
        "representations": "MLP 256-128, linear probe",
        "forecasts": "LSTM, own recipe",
    }
    assert f"{own[kind]}, n = 3" in printed


def test_report_writes_every_record_and_escapes_text():
    page = html.page("Title <i>", EVERY)
    body = page[page.index("<main>") : page.index("</main>")]
    for part in (
        "<p>Plain &lt;b&gt; with <strong>emphasis</strong>.</p>",
        '<p class="faint">A caption.</p>',
        "<td>Label</td><td>1 %</td><td>Note. help</td>",
        "<th>Head &amp; co</th>",
        '<td>a<br><span class="faint">b</span></td>',
        "<pre>x &lt; y</pre>",
        "<details><summary>Folded</summary><p>inside</p></details>",
        'alt="Alt &amp; text"><figcaption>Below</figcaption>',
    ):
        assert part in body, part
    assert "second" in body and "third" in body and "fourth" not in body and "<title>Title &lt;i&gt;</title>" in page


def test_a_run_that_names_no_student_has_the_one_of_its_method(tmp_path):
    store = engine.Store(tmp_path)
    row = store.run(store.submit(engine.RunRequest(method="ohlc")))
    assert engine.results.student_of(row) == engine.METHODS["ohlc"].config().student
