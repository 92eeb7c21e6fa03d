"""A poster by clicking: start it, look at its areas and patches, compare it, take it home; and one that changes."""

from __future__ import annotations

import re

import canned_runs as canned
import pytest
from browser_steps import compare_one_student, open_form, point_at, set_number, start
from playwright.sync_api import Page, expect
from posters import poster_preview, poster_view

from engine import Store
from engine.core.events import Finished

pytestmark = [pytest.mark.browser, pytest.mark.timeout(560)]

OUTER_STEPS = 10
PICTURE = "document.querySelector('[data-testid=\"stImage\"] img')"


def wait_for_another_picture(page: Page, old: str) -> str:
    """Wait until the first picture is another one than `old` and drawn; where it comes from."""
    found = page.wait_for_function(
        f"old => {{ const now = {PICTURE}; return now && now.complete && now.naturalWidth && now.src !== old ? "
        f"now.src : null }}",
        arg=old,
    )
    return found.json_value()


def aspect(page: Page) -> float:
    """Width over height of the first picture as it is drawn."""
    return page.evaluate(f"(box => box.width / box.height)({PICTURE}.getBoundingClientRect())")


def test_a_poster_is_started_compared_and_taken_home(page: Page, console_errors: list[str], runs, url: str):
    open_form(page, url, "PoDD")
    expect(page.get_by_text(re.compile("one poster of", re.IGNORECASE)).first).to_be_visible()
    set_number(page, "Outer steps", OUTER_STEPS)
    expect(page.get_by_text(f"{OUTER_STEPS} outer steps")).to_be_visible()
    compare_one_student(page)
    run_id = start(page)

    expect(page.get_by_role("button", name="Compare")).to_be_visible(timeout=240_000)
    chosen_step = Store(runs).run(run_id).summary["step"]
    expect(page.get_by_alt_text(f"The poster of run {run_id} at step {chosen_step}")).to_be_visible()
    result = wait_for_another_picture(page, "")
    areas = page.get_by_text("Class areas", exact=True)
    expect(areas).to_have_count(1)  # while a page is drawn again, old and new may stand beside each other
    areas.click()
    wait_for_another_picture(page, result)
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text(re.compile(r"after training on one poster of \d+ patches"))).to_be_visible()
    expect(page.get_by_text("Accuracy by inner steps")).to_be_visible()

    page.get_by_role("link", name="Gallery", exact=True).click()
    page.get_by_role("radio", name="Patches").click()
    point_at(page, ".dd-poster", 3, 3, "Patch in row 1, column 1:")
    assert page.locator(".dd-poster i:visible").count() == 1, "one patch is outlined"
    page.get_by_role("radio", name="Labels").click()
    expect(page.get_by_role("heading", name="The learned map")).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(12)
    page.get_by_role("radio", name="Time-lapse").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download WebP").click()
    assert download.value.path().read_bytes()[8:12] == b"WEBP"
    assert page.get_by_test_id("stException").count() == 0
    assert console_errors == []


def test_a_poster_changes_while_it_is_watched(page: Page, runs, url: str):
    store = Store(runs)
    run_id = canned.poster_running(store)
    page.goto(f"{url}/runs?run={run_id}")
    expect(page.get_by_role("heading", name="Poster", exact=True)).to_be_visible()
    first = wait_for_another_picture(page, "")
    assert aspect(page) > 1.5, "a poster, not a square grid"
    store.append(run_id, [poster_preview(130, poster_view(seed=130))])
    wait_for_another_picture(page, first)
    store.append(run_id, [Finished({})])
