"""Parts of a page that refresh: a late refresh, after the run that ended them, draws the whole page once more."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest
import streamlit as st

from pages.ui import frame


class Rerun(Exception):
    """In place of Streamlit's."""


@pytest.fixture
def page(monkeypatch):
    """A page that has just been drawn by another thread, and a refresh of one of its fragments."""
    state = {"drawn": (time.monotonic(), threading.Thread(), False)}

    def rerun():
        raise Rerun

    context = SimpleNamespace(fragment_ids_this_run=["one"])
    monkeypatch.setattr(st, "session_state", state)
    monkeypatch.setattr(st, "rerun", rerun)
    monkeypatch.setattr(st, "fragment", lambda draw, run_every: draw)
    monkeypatch.setattr(frame, "get_script_run_ctx", lambda: context)
    return SimpleNamespace(state=state, context=context)


def refreshed(every=None) -> list[int]:
    """What a refresh drew."""
    drawn: list[int] = []
    frame.refreshing(drawn.append, every)(7)
    return drawn


def test_a_late_refresh_draws_the_page_once_more(page):
    with pytest.raises(Rerun):
        refreshed()
    assert page.state["drawing again"]


def test_parts_that_go_on_refreshing_need_no_further_run(page):
    assert refreshed(2.0) == [7]


def test_a_click_into_a_part_draws_that_part_alone(page):
    ended, thread, _ = page.state["drawn"]
    page.state["drawn"] = ended - frame.SOON, thread, False
    assert refreshed() == [7]


def test_a_page_is_drawn_once_more_only_once(page):
    ended, thread, _ = page.state["drawn"]
    page.state["drawn"] = ended, thread, True
    assert refreshed() == [7]


def test_a_refresh_in_the_thread_of_the_run_follows_all_it_sent(page):
    page.state["drawn"] = time.monotonic(), threading.current_thread(), False
    assert refreshed() == [7]


def test_a_run_of_the_whole_page_is_no_refresh(page):
    page.context.fragment_ids_this_run = None
    assert refreshed() == [7]
