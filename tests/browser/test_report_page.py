"""A report opened as a file, without a network: every chart is drawn, nothing is asked for, nothing sticks out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import RunRequest, Store
from engine.core.events import Finished, Measured, Preview, Scored, Started
from engine.runs.report import report_html

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> tuple[Path, int]:
    """A report with a long name, two architectures and many classes; and how many charts it has."""
    root = tmp_path_factory.mktemp("report")
    store = Store(root / "runs")
    run_id = store.submit(RunRequest(name="a" * 100, config={"student": {"name": "mlp"}}), status="running")
    names = tuple(f"a class with a long name {number}" for number in range(12))
    store.append(run_id, [Started(300, {"device": "cpu", "train": 1294})])
    rng = np.random.default_rng(0)
    store.append(
        run_id,
        [
            Measured(
                step,
                {
                    "outer_loss": float(np.exp(-step / 90) + 0.1 * rng.random()),
                    "student_lr": 0.1,
                    "student_lr_min": 0.05,
                    "student_lr_max": 0.2,
                },
            )
            for step in range(1, 301)
        ],
    )
    for step in range(0, 301, 30):
        store.append(run_id, [Preview(step, rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), names)])
    for student in ("mlp", "convnet"):
        for arm, protocol in (
            ("distilled", "as_distilled"),
            ("random_real", "ordinary"),
            ("kmeans_real", "ordinary"),
            ("full", "ordinary"),
        ):
            store.append(
                run_id,
                [
                    Scored(arm, protocol, student, seed, "accuracy", 0.7 + seed / 50, 0.2, recipe=f"recipe of {arm}")
                    for seed in range(3)
                ],
            )
    store.append(run_id, [Finished({"step": 300, "num_bytes": 147_000, "compression": 130.0})])
    path = root / "report.html"
    text = report_html(store, run_id)
    path.write_text(text, encoding="utf-8")
    return path, text.count("data-chart=")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_report_is_whole_without_a_network(browser, report, width, scheme):
    path, num_charts = report
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    asked, said = [], []

    def refuse(route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route(lambda url: not url.startswith(("file:", "data:")), refuse)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(path.as_uri())
        page.wait_for_function(f"document.querySelectorAll('[data-chart] .main-svg').length >= {num_charts}")
        drawn = page.evaluate(
            "[...document.querySelectorAll('[data-chart]')].map(place => place.querySelectorAll('.scatterlayer "
            "path, .barlayer path, .heatmaplayer image').length)"
        )
        assert num_charts >= 4 and len(drawn) == num_charts and all(drawn)
        pictures = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert len(pictures) > 2 and all(pictures)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
        assert dark == (scheme == "dark")
        colours = page.evaluate(
            "[...document.querySelectorAll('.scatterlayer path.js-line')].map(line => getComputedStyle(line).stroke)"
        )
        assert ("rgb(226, 147, 90)" if scheme == "dark" else "rgb(180, 95, 36)") in colours
        assert not asked and not said
    finally:
        page.close()
