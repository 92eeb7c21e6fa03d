"""The report of a run is one file that says all of it, shows user text as text, and names no address to load."""

from __future__ import annotations

import base64
import io
import re
import shutil
from html.parser import HTMLParser

import pytest
from PIL import Image
from plotly.offline import get_plotlyjs
from small_runs import failed, stopped
from store_tools import rebuild

import engine
from engine.core.events import Finished, Scored, Warned
from engine.runs import command, report
from engine.runs.store import Store


def text_of(store: Store, run_id: str) -> str:
    """A report without the code that draws charts."""
    text = report.report_html(store, run_id)
    assert text.count(get_plotlyjs()) == 1
    return text.replace(get_plotlyjs(), "")


@pytest.fixture(scope="module")
def text(finished) -> str:
    return text_of(*finished)


class Addresses(HTMLParser):
    """What a page's tags point at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        loading = ("src", "srcset", "href", "action", "data", "poster", "background", "xlink:href")
        self.found += [value for name, value in attributes if name in loading]


def test_report_loads_nothing(text):
    addresses = Addresses(text).found
    assert len(addresses) > 2 and all(address.startswith("data:") for address in addresses), addresses
    assert not re.search(r"https?:|url\(|@import", re.sub('base64,[^"]*', "", text))
    assert "default-src 'none'" in text


def test_user_text_is_shown_as_text(text):
    assert "<script>alert" not in text and "<img src=x" not in text
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text and "$title ${body}" in text
    scripts = [kind for kind in re.findall(r"<script([^>]*)>", text)]
    assert len(scripts) == text.count("</script>")


def test_report_says_verdict_scores_recipe_and_command(finished, text):
    store, run_id = finished
    best = engine.best_by_arm(store.scores(run_id), "mlp")
    verdict = re.search(r'<p class="verdict">(.*?)</p>', text, re.DOTALL)[1]
    assert "after training on 10 synthetic images" in verdict
    for arm in ("distilled", "random_real", "full"):
        assert f"<strong>{100 * best[arm].mean:.1f} %</strong>" in verdict
    for row in engine.summarise(store.scores(run_id)):
        assert f"{100 * row.mean:.1f} ± {100 * row.std:.1f} %" in text and f"{100 * row.low:.1f} to" in text
        assert row.recipe in text
    for setting in ("config.student_lr", "config.outer_steps", "evaluation.ordinary_steps"):
        assert f"<td>{setting}</td>" in text
    assert "<td>config.adam_beta1</td>" not in text
    assert re.sub("<[^>]*>", "", command.command_line(store.run(run_id).request))[:60] in text
    for fact in ("PyTorch", "Processor", "Training images", "Student weights"):
        assert f"<td>{fact}</td>" in text


def test_report_shows_the_result_and_the_way_there(finished, text):
    store, run_id = finished
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', text)
    assert len(pictures) == 1 + len(store.previews(run_id))
    for content, alt in pictures:
        Image.open(io.BytesIO(base64.b64decode(content))).verify()
        assert alt
    assert "outer step 0<" in text and "outer step 40<" in text


def test_every_curve_and_comparison_is_a_chart(finished, text):
    store, run_id = finished
    names = engine.figures.chart_names([name for name, line in store.series(run_id).items() if len(line.steps) > 1])
    # scores, bytes, bits per value, and the confusion of classes after training on the distilled and on the full set
    assert text.count("data-chart=") == text.count('id="chart-') == 5 + len(names)
    assert all(f"<h3>{engine.figures.chart_of(name).title}</h3>" in text for name in names)


MEANS = {
    ("distilled", "as_distilled"): 0.6,
    ("distilled", "ordinary"): 0.5,
    ("distilled_ema", "as_distilled"): 0.62,
    ("random_real", "as_distilled"): 0.3,
    ("random_real", "ordinary"): 0.35,
}


def scored_run(store: Store, students: dict[str, float], **more: float) -> str:
    """A finished run with two students an arm of each architecture, as much worse as said."""
    run_id = store.submit(engine.request_from_preset("digits", "bilevel", "quick"), status="running")
    means = MEANS | {(arm, "ordinary"): mean for arm, mean in more.items()}
    for student, worse in students.items():
        for (arm, protocol), mean in means.items():
            found = [
                Scored(arm, protocol, student, seed, "accuracy", mean - worse + shift, 1.0, split)
                for seed, shift in enumerate((-0.01, 0.01))
                for split in ("validation", "test")
            ]
            store.append(run_id, found)
    store.append(run_id, [Finished({"labels": "hard"})])
    return run_id


def test_several_architectures_are_a_map_and_a_table(store):
    text = text_of(store, scored_run(store, {"mlp": 0.0, "convnet": 0.1}))
    # scores, bytes, and the confusion of classes after training on the distilled and on the full set
    assert text.count("data-chart=") == 3 and "<h2>Across architectures</h2>" in text
    assert '<td>52.0\u00a0±\u00a01.4\u00a0% (n\u00a0=\u00a02)<br><span class="faint">Own recipe</span></td>' in text
    assert "<th>Distilled, moving average</th>" in text
    assert "Across architectures" not in text_of(store, scored_run(store, {"mlp": 0.0}))


def test_benchmark_scores_are_told_or_what_they_lack(store):
    text = text_of(store, scored_run(store, {"mlp": 0.0}, full=0.8))
    assert re.search(r"<td>Hard-label recovery</td><td>20.0 points</td><td>Accuracy lost against the full data", text)
    assert "<td>Improvement over random</td><td>30.0 points</td>" in text
    assert "<td>Augmentation-robust score</td><td>not measured</td>" in text and "Also without augmentation" in text


def test_report_is_the_same_each_time(finished, text):
    assert text_of(*finished) == text


@pytest.mark.parametrize(
    ("ended", "sentence"),
    [
        (stopped, "This run is stopped; there are no scores yet."),
        (failed, "The run failed at outer step 8. The loss became NaN."),
    ],
)
def test_run_that_ended_early_is_reported(finished, store, ended, sentence):
    theirs, done = finished
    shutil.copytree(theirs.folder(done), store.root / done)
    rebuild(store)
    assert sentence in text_of(store, ended(store, done))


def test_queued_run_is_reported_with_its_recipe(store):
    run_id = store.submit(engine.request_from_preset("digits", "bilevel", "quick"))
    text = text_of(store, run_id)
    assert "This run is queued" in text and "--preset quick" in text and "data-chart=" not in text


def test_warnings_and_notes_are_shown_as_text(store):
    run_id = store.submit(engine.RunRequest(), status="running")
    store.append(run_id, [Warned("beware <i>"), Warned("a fact <b>", level="note")])
    store.annotate(run_id, note="first <u>\nsecond")
    text = text_of(store, run_id)
    assert '<p class="note">beware &lt;i&gt;</p>' in text and '<p class="faint">a fact &lt;b&gt;</p>' in text
    assert "first &lt;u&gt;\nsecond" in text


def test_unknown_method_is_refused_with_a_sentence(store):
    run_id = store.submit(engine.RunRequest(method="magic"))
    with pytest.raises(engine.UserError, match="There is no method 'magic'"):
        report.report_html(store, run_id)
