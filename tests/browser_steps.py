"""What people do in the browser again and again, in steps that tests share. They wait as long as a busy machine may
take.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

PHONE = {"width": 390, "height": 844}
START_MILLISECONDS = 150_000
"""Start waits for a trial: a process that has to begin, and a minute at most of its own."""


def open_home(page: Page, url: str) -> None:
    """Open the first page of a server. A new one shows the names of files for a moment, where its navigation follows;
    a click on them may be lost.
    """
    page.goto(url)
    expect(page.get_by_role("link", name="Home", exact=True)).to_be_visible()


def open_form(page: Page, url: str, method: str) -> None:
    """From the first page of a server to the form of a run, and choose a method by a part of its name."""
    open_home(page, url)
    page.get_by_role("link", name="Distil", exact=True).click()
    page.get_by_role("combobox", name="Method").click()
    page.get_by_role("option", name=re.compile(method)).click()


def settle(page: Page) -> None:
    """Wait until the page is drawn: a click on a menu that is drawn again at that moment is lost."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def set_number(page: Page, label: str, value: int) -> None:
    """Type a number into a field and leave it."""
    field = page.get_by_role("spinbutton", name=label)
    field.fill(str(value))
    field.press("Tab")


def compare_one_student(page: Page) -> None:
    """Ask for a short comparison: one student an arm, of few steps. Leaves the evaluation's further options open."""
    page.get_by_role("tab", name="Evaluation").click()
    page.get_by_role("tabpanel", name="Evaluation").get_by_text("Advanced", exact=True).click()
    for label, few in (
        ("Steps of standard training", 20),
        ("Epochs on the full set", 2),
        ("Students per training set", 1),
    ):
        if page.get_by_role("spinbutton", name=label).is_enabled():  # greyed out where the method does not read it
            set_number(page, label, few)
    expect(page.get_by_text("1 student per training set")).to_be_visible()


def start(page: Page, button: str = "Start") -> str:
    """Press a button that starts a run and wait for the page of the run; its id."""
    page.get_by_role("button", name=button, exact=True).click()
    wanted = re.compile(r"/runs\?run=(\d+)")
    page.wait_for_url(wanted, timeout=START_MILLISECONDS)
    return wanted.search(page.url).group(1)


def point_at(page: Page, selector: str, x: int, y: int, text: str) -> None:
    """Move the pointer to a place of an element until `text` is shown; the element may move while the page is laid
    out.
    """
    element, shown = page.locator(selector), page.get_by_text(text)
    deadline = time.monotonic() + 60
    while not shown.is_visible():
        assert time.monotonic() < deadline, f"{text} was not shown"
        element.hover(position={"x": x, "y": y})
        page.wait_for_timeout(100)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something outside the browser; fail with `what` after two minutes."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def look_on_a_phone(page: Page, shown: Locator) -> None:
    """See the page that is open at a phone's width: it has what is to be shown, no error, and nothing sticks out."""
    desktop = page.viewport_size
    page.set_viewport_size(PHONE)
    expect(shown).to_be_visible()
    wait_for_width(page)
    assert page.get_by_test_id("stException").count() == 0
    page.set_viewport_size(desktop)


def wait_for_width(page: Page) -> None:
    """Wait until nothing sticks out sideways: charts and the sidebar take a moment to find their width."""
    page.wait_for_function(
        """() => { const main = document.querySelector('[data-testid="stMain"]');
                   return main.scrollWidth <= main.clientWidth
                       && document.documentElement.scrollWidth <= innerWidth }"""
    )
