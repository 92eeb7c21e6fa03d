"""A newcomer's way through the app, by clicking: start, watch, stop, resume; a server that is killed; compare."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from app_server import served
from browser_steps import open_home, set_number, start, wait_until
from playwright.sync_api import Page, expect

from engine import Store, request_from_preset

pytestmark = [pytest.mark.browser, pytest.mark.timeout(560)]

OUTER_STEPS = 5_000  # it is stopped in the middle, however slow the browser


def wait_for_step(page: Page, least: int) -> int:
    """Wait until the progress bar, by itself, names at least this outer step; the step it then names."""
    found = page.wait_for_function(
        """least => { const bar = document.querySelector('[data-testid="stProgress"]');
                      const found = bar && /outer step ([\\d,]+) of/i.exec(bar.innerText);
                      const step = found ? Number(found[1].replaceAll(',', '')) : 0;
                      return step >= least ? step : null }""",
        arg=least,
        timeout=120_000,
    )
    return found.json_value()


# What is drawn now, or null while it is being drawn again.
LOSS_LINE = """[...document.querySelectorAll('[data-testid="stPlotlyChart"]')].slice(0, 1)
               .flatMap(chart => [...chart.querySelectorAll('.scatterlayer path.js-line')])
               .at(-1)?.getAttribute('d') ?? null"""
GRID = """document.querySelector('[data-testid="stImage"] img')?.getAttribute('src') ?? null"""


def drawn(page: Page, what: str) -> str:
    """Wait until it is there at all; how it looks."""
    return page.wait_for_function(what).json_value()


def wait_for_change(page: Page, what: str, old: str) -> None:
    """Wait until something else is drawn."""
    page.wait_for_function(f"old => {{ const now = {what}; return now !== null && now !== old }}", arg=old)


# the first of all: nobody has been on the server's home page by then
def test_wrong_addresses_give_a_sentence(page: Page, url: str):
    for address in ("runs?run=9999", "runs?run=../../etc/passwd", "distill?from=0404", "compare?run=x"):
        page.goto(f"{url}/{address}")
        expect(page.get_by_role("alert").first).to_be_visible()
        assert page.get_by_test_id("stException").count() == 0, address
        assert "Traceback" not in page.content()


def test_start_watch_stop_resume(page: Page, console_errors: list[str], url: str):
    open_home(page, url)
    expect(page.get_by_role("heading", name="Dataset Distillery")).to_be_visible()
    expect(page.get_by_text("No runs yet")).to_be_visible()
    page.get_by_role("link", name="Distil", exact=True).click()
    set_number(page, "Outer steps", OUTER_STEPS)
    expect(page.get_by_text(f"{OUTER_STEPS:,} outer steps")).to_be_visible()
    run_id = start(page)

    first = wait_for_step(page, 5)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    line, grid = drawn(page, LOSS_LINE), drawn(page, GRID)
    assert wait_for_step(page, first + 40) > first
    wait_for_change(page, GRID, grid)
    wait_for_change(page, LOSS_LINE, line)

    stop = page.get_by_role("button", name="Stop")
    stop.click()
    resume = page.get_by_role("button", name=re.compile("Resume from step"))
    expect(resume).to_be_visible()
    expect(page.get_by_text("You stopped this run after")).to_be_visible()
    stopped_at = int(re.search(r"step ([\d,]+)", resume.inner_text()).group(1).replace(",", ""))
    assert stopped_at >= first

    other = page.context.new_page()  # a second tab sees the same run
    other.goto(f"{url}/runs?run={run_id}")
    expect(other.get_by_role("button", name=f"Resume from step {stopped_at:,}")).to_be_visible()
    other.close()

    resume.click()
    assert wait_for_step(page, stopped_at + 1) > stopped_at
    stop.click()
    expect(resume).to_be_visible()
    assert page.get_by_test_id("stException").count() == 0
    assert console_errors == []


def test_closing_the_browser_does_not_stop_a_run(browser, page: Page, runs: Path, url: str):
    tab = browser.new_page()
    open_home(tab, url)
    run_id = start(tab, "Distil the digits")
    seen = wait_for_step(tab, 2)
    tab.close()

    store = Store(runs)
    wait_until(lambda: store.run(run_id).step > seen + 50, "the run stood still without a browser")
    page.goto(f"{url}/runs?run={run_id}")
    expect(page.get_by_role("button", name=re.compile("Stop|Compare")).first).to_be_visible()
    store.request_stop(run_id)


def test_killed_server_leaves_an_interrupted_run_that_resumes_and_is_compared(page: Page, tmp_path):
    evaluation = {"num_students": 1, "ordinary_steps": 20, "full_epochs": 1}
    quick = request_from_preset("digits", "bilevel", "quick", evaluation=evaluation)
    store = Store(tmp_path / "runs")
    store.submit(quick.model_copy(update={"config": quick.config | {"outer_steps": 200}}))
    with served(tmp_path / "runs") as (url, process):
        page.goto(f"{url}/runs?run=0001")  # the first visitor sets the worker to work
        wait_until(lambda: store.run("0001").step >= 2, "the queued run did not begin")
        process.kill()
        process.wait(10)
    with served(tmp_path / "runs") as (url, _):
        page.goto(f"{url}/runs?run=0001")
        expect(page.get_by_text("Interrupted").first).to_be_visible()
        page.get_by_role("button", name=re.compile("Resume from step|Start again from step 0")).click()
        compare = page.get_by_role("button", name="Compare")
        expect(compare).to_be_visible(timeout=240_000)
        expect(page.get_by_text("Distilled, test")).to_be_visible()

        compare.click()
        expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
        for arm in ("Distilled", "Random real, equal bytes", "Full data"):
            expect(page.get_by_text(arm, exact=True).first).to_be_visible()
        expect(page.get_by_text(re.compile(r"after training on 10 synthetic images"))).to_be_visible()
        assert page.get_by_test_id("stException").count() == 0
