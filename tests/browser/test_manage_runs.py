"""Runs that are there already, most of it at a phone's width: tick, tag and compare some, edit and delete one, look
at posters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser_steps import PHONE, open_home, wait_for_width
from playwright.sync_api import Page, expect
from posters import kept_poster

from engine import Store, request_from_preset
from engine.core.events import Finished, Measured, Preview, Scored, Started

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

FAR_AND_IMPATIENT = """
  const { setInterval } = window, listen = WebSocket.prototype.addEventListener
  window.setInterval = (what, pause, ...more) => setInterval(what, pause >= 1000 ? 40 : pause, ...more)
  WebSocket.prototype.addEventListener = function (kind, what, ...more) {
    listen.call(this, kind, kind === 'message' ? event => setTimeout(() => what(event), 300) : what, ...more)
  }"""
"""A browser that hears of everything 300 ms late and refreshes 25 times a second what refreshes itself."""


def finished(store: Store, name: str, accuracy: float, **changes: object) -> str:
    """A finished run with a curve, a picture and scores, as the worker would have left it."""
    run_id = store.submit(request_from_preset("digits", "bilevel", "quick", name=name, **changes), status="running")
    store.append(run_id, [Started(50, {"device": "cpu"})])
    store.append(run_id, [Measured(step, {"outer_loss": 1 / step + accuracy}) for step in range(1, 51)])
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    store.append(run_id, [Preview(50, images, tuple("0123456789"))])
    for arm, mean in (("distilled", accuracy), ("random_real", 0.5)):
        store.append(
            run_id, [Scored(arm, "ordinary", "mlp", seed, "accuracy", mean + seed / 100, 0.1) for seed in (0, 1)]
        )
    store.append(run_id, [Finished({"num_bytes": 2610, "step": 50})])
    return run_id


def tick(page: Page, run_id: str) -> None:
    page.locator(f'label:has(input[aria-label="Tick run {run_id}"])').click()


@pytest.fixture(scope="module")
def store(runs: Path) -> Store:
    return Store(runs)


def test_ticked_runs_are_tagged_and_compared(page: Page, console_errors: list[str], store: Store, url: str):
    first, second, third = (finished(store, name, accuracy) for name, accuracy in (("a", 0.7), ("b", 0.8), ("c", 0.9)))
    open_home(page, url)
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    page.set_viewport_size(PHONE)
    tick(page, first)
    expect(page.get_by_text("1 ticked")).to_be_visible()
    tick(page, third)
    expect(page.get_by_text("2 ticked")).to_be_visible()
    wait_for_width(page)

    page.get_by_role("button", name="Tag", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").fill("worth a look")
    page.keyboard.press("Enter")
    expect(dialog.get_by_text("worth a look").first).to_be_visible()
    page.keyboard.press("Tab")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("worth a look")).to_have_count(2)
    assert store.run(first).tags == store.run(third).tags == ("worth a look",)

    tick(page, second)
    expect(page.get_by_text("3 ticked")).to_be_visible()
    tick(page, third)
    expect(page.get_by_text("2 ticked")).to_be_visible()
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
    expect(page.locator(".scatterlayer path.js-line")).to_have_count(2)
    expect(page.get_by_text("have the same settings")).to_be_visible()
    expect(page.get_by_role("heading", name="Distilled images")).to_be_visible()
    wait_for_width(page)

    assert page.get_by_test_id("stException").count() == 0
    assert console_errors == []


def test_a_run_is_named_noted_and_deleted_from_its_menu(page: Page, store: Store, url: str):
    run_id = finished(store, "before", 0.8)
    page.set_viewport_size(PHONE)
    page.goto(f"{url}/runs?run={run_id}")
    page.get_by_role("button", name="More").click()
    page.get_by_text("Name, note and tags").last.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill("after")
    dialog.get_by_role("textbox", name="Note").fill("what I found")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="after")).to_be_visible()
    expect(page.get_by_text("what I found")).to_be_visible()
    wait_for_width(page)
    assert (store.run(run_id).name, store.run(run_id).note) == ("after", "what I found")

    page.get_by_role("button", name="More").click()
    page.get_by_text("Delete", exact=True).last.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    assert run_id not in [row.id for row in store.runs()]


def test_a_poster_fits_a_telephone(page: Page, runs: Path, url: str):
    run_id = kept_poster(runs)
    page.set_viewport_size(PHONE)
    for address in (f"runs?run={run_id}", f"gallery?run={run_id}", f"compare?run={run_id}"):
        page.goto(f"{url}/{address}")
        page.wait_for_function(
            """() => { const picture = document.querySelector('[data-testid="stImage"] img');
                       return picture && picture.complete && picture.naturalWidth
                           && picture.getBoundingClientRect().right <= innerWidth }"""
        )
        wait_for_width(page)


def test_a_new_page_is_not_cleared_by_refreshes_of_the_old_one(page: Page, store: Store, url: str):
    run_id = store.submit(request_from_preset("digits", "bilevel", "quick", name="running"), status="running")
    store.append(
        run_id, [Started(50, {"device": "cpu"}), Preview(0, np.zeros((10, 8, 8, 1), np.uint8), tuple("0123456789"))]
    )
    page.add_init_script(FAR_AND_IMPATIENT)
    for _ in range(2):
        page.goto(f"{url}/runs?run={run_id}")
        page.get_by_role("button", name="Gallery").click()
        heading = page.get_by_role("heading", name="Gallery", exact=True)
        expect(heading).to_be_visible()
        page.wait_for_timeout(1_500)
        assert heading.is_visible()
    assert page.get_by_test_id("stException").count() == 0
    store.append(run_id, [Finished({"num_bytes": 2610, "step": 50})])
