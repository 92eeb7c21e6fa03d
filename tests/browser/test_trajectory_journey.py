"""Trajectory matching by clicking: record experts, distil with them, see the step that was chosen, compare across
architectures.
"""

from __future__ import annotations

import re

import pytest
from browser_steps import START_MILLISECONDS, compare_one_student, look_on_a_phone, open_form, set_number, settle, start
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(560)]

DONE_MILLISECONDS = 240_000
OUTER_STEPS = 30


def test_experts_are_recorded_followed_and_compared_across_architectures(
    page: Page, console_errors: list[str], url: str
):
    open_form(page, url, "Trajectory matching")
    expect(page.get_by_text(re.compile("to record: .* and about")).first).to_be_visible()
    first = start(page, "Record experts only")

    expect(page.get_by_role("heading", name="Experts", exact=True)).to_be_visible()
    distil = page.get_by_role("button", name="Distil with these experts")
    expect(distil).to_be_visible(timeout=DONE_MILLISECONDS)
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    expect(page.get_by_text("mean of 5")).to_be_visible()
    look_on_a_phone(page, page.get_by_text("mean of 5"))
    distil.click()

    expect(page.get_by_text(f"Filled in from run {first}.")).to_be_visible()
    expect(page.get_by_text(re.compile("All 5 experts are recorded already"))).to_be_visible(timeout=START_MILLISECONDS)
    set_number(page, "Outer steps", OUTER_STEPS)
    expect(page.get_by_text(f"{OUTER_STEPS} outer steps for")).to_be_visible()
    compare_one_student(page)
    panel = page.get_by_role("tabpanel", name="Evaluation")
    set_number(page, "Longest training with its own recipe", 20)
    settle(page)
    panel.get_by_role("combobox", name="Other architectures").click()
    page.get_by_role("option", name=re.compile("^ConvNet")).first.click()
    page.keyboard.press("Escape")
    start(page)

    compare = page.get_by_role("button", name="Compare", exact=True)
    expect(compare).to_be_visible(timeout=DONE_MILLISECONDS)
    result = page.get_by_role("tab", name="Result", exact=True)  # which a finished run opens on, once it is drawn
    expect(result).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Student's path").click()
    expect(page.get_by_text("Step of the student nearest to the expert")).to_be_visible()
    page.get_by_role("tab", name="Experts").click()
    expect(page.get_by_text("mean of 5")).to_be_visible()
    look_on_a_phone(page, page.get_by_text("mean of 5"))
    compare.click()
    expect(page.get_by_role("heading", name="Across architectures")).to_be_visible()

    page.get_by_role("link", name="System", exact=True).click()
    expect(page.get_by_text(re.compile("5 experts trained for 10 epochs"))).to_be_visible()
    look_on_a_phone(page, page.get_by_text(re.compile("5 experts trained for 10 epochs")))
    assert console_errors == []
