"""Runs: the list of all of them, or the live view of the one that the address names (?run=0007)."""

import streamlit as st

from pages.ui import cards, frame, live, services, words

frame.ensure()

PAGE_SIZE = 10


def show_list() -> None:
    """All runs, newest first, with a filter once there are several."""
    st.title("Runs", anchor=False)
    rows = services.store().runs()
    if not rows:
        st.write(
            "Runs appear here with their progress, time left and score. They go on when you close the browser, and can be stopped and resumed."
        )
        if st.button("Start a run", type="primary", icon=":material/science:"):
            st.switch_page("pages/distill.py")
        return
    states, text = (), ""
    if len(rows) > 3:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            text = st.text_input("Search", placeholder="Name or number", key="run search", width=260)
            states = tuple(
                st.pills(
                    "State",
                    list(words.STATES),
                    selection_mode="multi",
                    format_func=lambda state: words.STATES[state][0],
                    key="run states",
                )
            )
    found = cards.matching(rows, states, text)
    if not found:
        st.caption("No run fits this filter.")
    page = st.pagination(-(-len(found) // PAGE_SIZE), key="run page") if len(found) > PAGE_SIZE else 1
    cards.live_list(limit=PAGE_SIZE, states=states, text=text, page=page)


with services.said_plainly():
    if chosen := st.query_params.get("run"):
        live.show(chosen)
    else:
        show_list()
