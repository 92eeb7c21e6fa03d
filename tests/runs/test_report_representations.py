"""The report of a run without labels says what a network learned of its teacher, and nothing that needs labels."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image
from plotly.offline import get_plotlyjs
from representation_runs import MEANS, finished, request, scores

from engine.core.events import Analysed, Failed, Started
from engine.figures import formats
from engine.runs import report
from engine.runs.store import Store
from engine.synthetic.base import load


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


def test_verdict_takes_the_linear_probe_of_every_arm(text):
    verdict = re.search(r'<p class="verdict">(.*?)</p>', text, re.DOTALL)[1]
    assert (
        "after pre-training on 60 distilled images, 15.1 kB." in verdict
        and "On 12 random real images of equal bytes with the teacher" in verdict
    )
    found = re.findall(r"<strong>(\d+\.\d) %</strong>", verdict)
    wanted = [MEANS[arm] for arm in ("distilled", "random_real", "untrained", "full", "teacher")]
    assert found == [f"{100 * mean + 0.5:.1f}" for mean in wanted]  # of two students, 1 % apart
    assert "The summary above uses the linear probe." in text and "scored best on validation images" not in text


def test_tables_have_every_protocol_the_transfer_and_the_likeness(text):
    assert "<td>Linear probe</td>" in text and "<td>Nearest neighbours</td>" in text
    transfer = text.partition("<h2>Transfer</h2>")[2].partition("</section>")[0]
    assert "<th>MNIST</th>" in transfer and "<td>60.5 ± 0.7 %</td>" in transfer and "<td>80.5 ± 0.7 %</td>" in transfer
    likeness = text.partition("<h2>Similarity to the teacher</h2>")[2].partition("</section>")[0]
    assert "<td>0.705 ± 0.007</td><td>0.785 ± 0.007</td>" in likeness and likeness.count("<tr>") == 1 + len(MEANS)


def test_nothing_that_needs_labels_is_told(text):
    assert "Benchmark scores" not in text and "DD-Ranking" not in text and "class names" not in text
    assert "hard" not in re.sub(r"<pre>.*?</pre>|<script.*?</script>", "", text, flags=re.DOTALL)


def test_analyses_and_the_teacher_are_charts(text):
    for title in (
        "Map of the representations, by PCA",
        "Spectrum of the principal components",
        "Representations of augmented images",
        "Nearest neighbours, validation",
        "Loss",
    ):
        assert f">{title}</h" in text
    assert "t-SNE" not in text
    # scores, bytes, five of the above, two curves
    assert text.count("data-chart=") == text.count('id="chart-') == 9


def test_bases_and_reconstruction_are_pictures_inside_the_page(text):
    pictures = dict(
        (alt, content) for content, alt in re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', text)
    )
    for meaning in ("Grid of the bases", "Real images above", "Grid of the distilled images"):
        (content,) = (content for alt, content in pictures.items() if alt.startswith(meaning))
        Image.open(io.BytesIO(base64.b64decode(content))).verify()


def test_ratios_against_the_full_data_are_told(store):
    run_id = finished(store, summary={"compression": 5.5})
    told = text_of(store, run_id).partition("<h2>Against the full data</h2>")[2].partition("</section>")[0]
    assert "<td>Retention</td><td>89.0 %</td>" in told and "<td>88.3 %</td><td>Nearest neighbours</td>" in told
    assert "<td>Gap closed</td><td>75.0 %</td><td>Linear probe. Share of the way from an untrained network" in told
    assert f"<td>{formats.ratio(5.5)}</td>" in told


def test_a_run_that_failed_early_is_reported_with_what_it_has(store):
    run_id = store.submit(request(), status="running")
    store.append(
        run_id,
        [
            Started(40, {}),
            Analysed("spectrum", {"images": [1.0], "representations": [1.0], "used": {}}),
            Failed("It diverged.", step=3),
        ],
    )
    told = text_of(store, run_id)
    assert "It diverged." in told and "Spectrum" in told and "The bases" not in told and "Transfer" not in told


def test_other_architectures_are_named_by_their_probes(store):
    run_id = finished(store)
    synthetic = load(store.result(run_id))
    store.append(run_id, [each.__class__(**(vars(each) | {"student": "lenet"})) for each in scores(synthetic)])
    told = text_of(store, run_id)
    across = told.partition("<h2>Across architectures</h2>")[2].partition("<h2>")[0]
    assert "LeNet" in across and "Each cell uses the linear probe." in across
