"""Networks that are kept on disk for later runs, experts and teachers: asking once before one is deleted."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

import engine
from pages.ui import services


def confirm(recorded: str, one: str, are: str, about: str, delete: Callable[[], None]) -> None:
    """What is lost, which runs may still want it, and the two buttons of a dialog.

    recorded: what a method follows, as `Method.recorded` has it: while a run of such a method waits or works, nothing is
    deleted. one: what is deleted, in keys. are: how runs refer to it, "it" or "them". about: the question's text.
    """
    st.write(about)
    following = {key for key, method in engine.METHODS.items() if method.recorded == recorded}
    active = [
        row.id for row in services.store().runs() if row.status in ("queued", "running") and row.method in following
    ]
    if active:
        st.info(
            f"Runs that may use {are} are waiting or working: {', '.join(active)}. Stop them first.",
            icon=":material/play_circle:",
        )
    with st.container(horizontal=True):
        if st.button("Delete", type="primary", key=f"confirm delete {one}", disabled=bool(active)):
            with services.said_plainly():
                delete()
                st.rerun()
        if st.button("Keep", key=f"keep {one}"):
            st.rerun()
