"""Runs: the list of all runs, or the live view of the one in the address (?run=0007)."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

import engine
from pages.ui import actions, cards, frame, live, parts, services, words

frame.ensure()

PAGE_SIZE = 10


def show_list() -> None:
    """All runs, with a search once there are several, and buttons for the ticked ones."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title("Runs", anchor=False, width="content")
        load_result()
    rows = services.store().runs()
    if not rows:
        st.write("Runs appear here with their progress and scores. They continue when you close the browser.")
        parts.start_button()
        return
    choice = ask_choice(rows) if len(rows) > 3 else cards.EVERYTHING
    found = cards.matching(rows, choice)
    if not found:
        st.caption("No run matches.")
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
    asked = st.session_state.pop(cards.ASKED, "")
    if not chosen:
        return
    if asked == "Compare":
        frame.go_to("compare", {"run": [row.id for row in chosen]})
    elif asked == "Tag":
        actions.tag(chosen)
    elif asked == "Delete":
        actions.delete(chosen)


def load_result() -> None:
    """A button that asks for an exported file and opens it as a finished run."""
    with st.popover("Load a result", icon=":material/upload_file:", key="load a result"):
        st.write("Opens an exported result.safetensors as a finished run, to look at, evaluate again or start from.")
        file = st.file_uploader("Result file", type=["safetensors"], key="result file")
        if st.button("Load it", type="primary", disabled=file is None, key="load it") and file is not None:
            with services.said_plainly():
                run_id = engine.adopt(services.store(), file.getvalue(), file.name)
                frame.go_to("runs", {"run": run_id})


with services.said_plainly():
    if chosen := st.query_params.get("run"):
        live.show(chosen)
    else:
        show_list()
