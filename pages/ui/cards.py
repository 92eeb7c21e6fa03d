"""The list of runs: one card each with state, progress, time left and score."""

from __future__ import annotations

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import live, services, words

REFRESH = 2.0
"""Seconds between refreshes of the list while a run is queued or running."""


def live_list(*, limit: int | None = None, states: tuple[str, ...] = (), text: str = "", page: int = 1) -> None:
    """Cards of the newest runs, refreshed while any of them is queued or running.

    limit: cards shown; page: which `limit` of them, from 1. states and text: only runs in these states, with this in
    their name.
    """
    is_active = any(row.status in ("queued", "running") for row in services.store().runs())
    st.fragment(_cards, run_every=REFRESH if is_active else None)(limit, states, text, page, is_active)


def matching(rows: list[engine.RunRow], states: tuple[str, ...], text: str) -> list[engine.RunRow]:
    """The runs in one of `states` (all if empty) whose name or number holds `text`."""
    wanted = text.strip().lower()
    return [
        row
        for row in rows
        if (not states or row.status in states) and (wanted in words.run_title(row).lower() or wanted in row.id)
    ]


@services.said_plainly()
def _cards(limit: int | None, states: tuple[str, ...], text: str, page: int, was_active: bool) -> None:
    services.spare_the_collector()
    rows = services.store().runs()
    if was_active and not any(row.status in ("queued", "running") for row in rows):
        st.rerun()
    found = matching(rows, states, text)
    first = (page - 1) * limit if limit else 0
    for row in found[first : first + limit if limit else None]:
        _card(row)


def _card(row: engine.RunRow) -> None:
    with st.container(border=True, key=f"card {row.id}", gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(horizontal=True, vertical_alignment="center", width="content", gap="small"):
                live.badge(row.status, row.stop_requested)
                st.page_link("pages/runs.py", label=words.escaped(words.run_title(row)), query_params={"run": row.id})
            st.markdown(_score(row), width="content")
        if row.status in ("queued", "running"):
            st.progress(words.progress_share(row), text=words.progress_text(row))
            st.caption(_facts(row))
        else:
            st.caption(f"{_facts(row)} · {words.progress_text(row)}")
        if row.status == "failed":
            st.markdown(f":small[:red[{words.escaped(row.error)}]]")


def _facts(row: engine.RunRow) -> str:
    return f"{row.id} · {words.clock(row.created)} · {words.escaped(words.student_name(row))} · seed {row.seed}"


def _score(row: engine.RunRow) -> str:
    """The test accuracy of a finished run beside that of random real data, each under the protocol that suits it best."""
    if row.status != "done":
        return ""
    best = engine.best_by_arm(engine.summarise(services.store().scores(row.id)), live.row_student(row))
    if "distilled" not in best:
        return ""
    distilled, random_real = best["distilled"], best.get("random_real")
    beside = f" · random real {formats.percent(random_real.mean)}" if random_real else ""
    return f"**{formats.percent_spread(distilled.mean, distilled.std, distilled.n)}** distilled{beside}"
