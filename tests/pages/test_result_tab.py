"""A run at work opens on its curves, a finished one on its result, whatever its kind; the tabs stand in a fixed
order.
"""

from __future__ import annotations

import canned_forecasts as forecasts
import canned_runs as canned
import canned_selfsup as selfsup
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.core.events import Finished

KINDS = [
    pytest.param(canned, (), "Accuracy", id="labelled"),
    pytest.param(selfsup, ("Representations", "Teacher"), "Accuracy", id="representations"),
    pytest.param(forecasts, ("Privacy and fidelity",), "Skill (%)", id="forecasts"),
]


def bar(app: AppTest):
    """The tabs of a run's page, with the titles and which one is open."""
    (found,) = [block.proto.tab_container for block in app.get("tab_container")]
    return found


@pytest.mark.parametrize(("made", "more", "column"), KINDS)
def test_tabs_stand_in_a_fixed_order_and_open_on_curves_then_on_the_result(store, visit, made, more, column):
    at_work, done = made.running(store), made.finished(store)
    for run_id, opens_on in ((at_work, "Curves"), (done, "Result")):
        app = visit("runs", run=run_id)
        assert [tab.label for tab in app.tabs] == ["Result", "Curves", *more]
        assert [tab.label for tab in app.tabs][bar(app).default_tab_index] == opens_on
    assert column in app.tabs[0].table[0].value


@pytest.mark.parametrize(("made", "more", "column"), KINDS)
def test_verdict_of_a_finished_run_stands_above_the_tabs(store, visit, made, more, column):
    app = visit("runs", run=made.finished(store))
    inside = {part.value for tab in app.tabs for part in tab.markdown}
    assert any(" is **" in part.value and part.value not in inside for part in app.markdown)


def test_tab_that_was_open_at_work_is_not_kept_when_the_run_ends(store, visit, monkeypatch):
    keys, tabs = [], st.tabs
    monkeypatch.setattr(st, "tabs", lambda *titles, **options: keys.append(options["key"]) or tabs(*titles, **options))
    run_id = canned.running(store, canned.TOTAL)
    app = visit("runs", run=run_id)
    canned.scored(store, run_id, canned.MEANS)
    app.run()
    store.append(run_id, [Finished({"labels": "hard"})])
    app.run()
    assert keys[0] == keys[1] != keys[2], "tabs of another key are other tabs, which open on their own default"
    assert [tab.label for tab in app.tabs][bar(app).default_tab_index] == "Result"


def test_result_tab_of_a_run_at_work_says_when_the_scores_come(store, visit):
    app = visit("runs", run=canned.running(store))
    assert "Scores appear here after the last outer step." in [caption.value for caption in app.tabs[0].caption]
