"""A browser, and one server that all journeys share: both take seconds to start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_server import served

PATIENCE_MILLISECONDS = 120_000
"""How long the browser waits for what it is told to expect: a busy machine draws slowly."""


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator:
    """Debian's chromium with an empty profile, patient with a busy machine; skips where it is not installed.

    All tabs share the profile, so that the program of the pages is loaded and compiled once.
    """
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs chromium: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            viewport={"width": 1440, "height": 900},
        )
        yield context
        context.close()


@pytest.fixture
def console_errors() -> list[str]:
    """What the browser's console complained about, filled while `page` is used."""
    return []


@pytest.fixture
def page(browser, console_errors: list[str]) -> Iterator:
    """A desktop tab."""
    tab = browser.new_page()
    tab.set_default_timeout(PATIENCE_MILLISECONDS)

    def note(said) -> None:
        if said.type == "error":
            console_errors.append(f"{said.text} {said.location}")

    tab.on("console", note)
    tab.on("pageerror", lambda error: console_errors.append(str(error)))
    yield tab
    tab.close()


@pytest.fixture(scope="session")
def root(tmp_path_factory) -> Path:
    """The folder of the server: runs/ and data/."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="session")
def runs(root: Path) -> Path:
    """The folder of runs, which each test finds as earlier ones left it."""
    return root / "runs"


@pytest.fixture(scope="session")
def url(root: Path) -> Iterator[str]:
    """The server's address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISTILLERY_DATA", str(root / "data"))
        with served(root / "runs") as server:
            yield server.url
