"""Runs: the list of all of them, or the live view of the one that the address names (?run=0007)."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

import engine
from pages.ui import actions, cards, frame, live, loading, services, words

frame.ensure()

PAGE_SIZE = 10


def show_list() -> None:
    """All runs with what finds them once there are several, and what can be done with ticked ones."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Runs", anchor=False, width="content")
        loading.ask()
    rows = services.store().runs()
    if not rows:
        st.write(
            "Runs appear here with their progress, time left and score. They continue when you close the browser, and "
            "can be stopped and resumed."
        )
        if st.button("Start a run", type="primary", icon=":material/science:"):
            frame.go_to("distill")
        return
    choice = ask_choice(rows) if len(rows) > 3 else cards.EVERYTHING
    found = cards.matching(rows, choice)
    if not found:
        st.caption("No run fits this search and filter.")
    num_pages = -(-len(found) // PAGE_SIZE)
    page = st.pagination(num_pages, key="run page") if num_pages > 1 else 1
    cards.live_list(limit=PAGE_SIZE, choice=choice, page=page, can_tick=True)
    do_with_ticked(cards.ticked(rows))


def ask_choice(rows: Sequence[engine.RunRow]) -> cards.Choice:
    sources = sorted({row.source for row in rows})
    tags = sorted({tag for row in rows for tag in row.tags}, key=str.casefold)
    wanted_sources: list[str] = []
    wanted_tags: list[str] = []
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Search", placeholder="Name, number, note, tag, data set", key="run search", width=280)
        order = st.selectbox("Sort by", cards.ORDERS, key="run order", persist_state="session", width=150)
        if len(sources) > 1 or tags:
            count = len(st.session_state.get("run sources", [])) + len(st.session_state.get("run tags", []))
            label = f"Filter · {count}" if count else "Filter"
            with st.popover(label, icon=":material/filter_list:", key="run filter"):
                if len(sources) > 1:
                    name, key = engine.titles.source, "run sources"
                    wanted_sources = st.multiselect("Data set", sources, None, name, key, placeholder="All")
                if tags:
                    wanted_tags = st.multiselect("Tags", tags, key="run tags", placeholder="All")
        names = {state: title for state, (title, _, _) in words.STATES.items()}
        look: dict[str, Any] = {"format_func": lambda state: names[state], "key": "run states", "wrap": True}
        states = st.pills("State", list(names), selection_mode="multi", **look)
    return cards.Choice(text, tuple(states), tuple(wanted_sources), tuple(wanted_tags), order)


def do_with_ticked(chosen: Sequence[engine.RunRow]) -> None:
    asked = st.session_state.pop(cards.ASKED, None)
    if not asked or not chosen:
        return
    if asked == "compare":
        frame.go_to("compare", {"run": [row.id for row in chosen]})
    elif asked == "tag":
        actions.tag(chosen)
    elif asked == "delete":
        actions.delete(chosen)


with services.said_plainly():
    if chosen := st.query_params.get("run"):
        live.show(chosen)
    else:
        show_list()
