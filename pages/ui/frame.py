"""The frame around every page: title, icon, logo and navigation."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn, ParamSpec

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui import sections

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "assets"
ICON = sections.data_url((ASSETS / "favicon.png").read_bytes())
"""Within the page, as a file beside it is gone after a rerun, loaded or not."""
SOON = 1.5
"""A refresh that begins within so many seconds after a run of the page was on its way before."""
P = ParamSpec("P")
PAGES = (
    ("home", "Home", "home", "What this program does, and a first run in one click."),
    ("data", "Data", "grid_on", "Look at a data set: samples, class balance, sizes, preparation; import your own."),
    ("distill", "Distil", "science", "Choose a method, set its hyperparameters, start a run."),
    ("runs", "Runs", "monitoring", "All runs, and the live view of each."),
    ("compare", "Compare", "compare_arrows", "Training on distilled data against random real and full data."),
    ("gallery", "Gallery", "photo_library", "The distilled samples: large, over time, to download."),
    ("system", "System", "memory", "Device, memory, disk, versions, folders and the queue."),
)
"""File and address, title, icon and tooltip of each page."""


def open_page() -> None:
    """Set the page up and run the one that the address names."""
    st.set_page_config(page_title="Dataset Distillery", page_icon=ICON, layout="wide")
    st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=ICON)
    pages = []
    for name, title, icon, about in PAGES:
        look: dict[str, Any] = {"title": title, "icon": f":material/{icon}:", "help": about}
        pages.append(st.Page(ROOT / "pages" / f"{name}.py", url_path=name, default=name == "home", **look))
    page = st.navigation(pages)
    st.session_state["is framed"] = True  # only now: a click may interrupt this run before
    try:
        page.run()
    finally:
        is_repeated = st.session_state.pop("drawing again", False)
        st.session_state["drawn"] = time.monotonic(), threading.current_thread(), is_repeated


def ensure() -> None:
    """Put the frame around a page that was started without it. Every page calls this first.

    Until st.navigation was called once, Streamlit treats `pages/` as an older kind of app and runs the page in the
    address alone: for the first visitor after a start who does not enter by the home page.
    """
    if "is framed" not in st.session_state:
        open_page()
        st.stop()


def refreshing(draw: Callable[P, None], every: float | None) -> Callable[P, None]:
    """A fragment that is drawn again every so many seconds, or never.

    Where a refresh comes right after a run of the whole page, in a thread of its own, Streamlit ignores what that run
    has not sent yet: a part of the page stays as it was before. Without further refreshes it would stay so for good, so
    the late one draws the whole page once more.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        if every is None and _is_late():
            st.session_state["drawing again"] = True
            st.rerun()
        draw(*args, **kwargs)

    return st.fragment(drawn, run_every=every)


def _is_late() -> bool:
    """Whether this is a refresh right after a run of the page that is not itself a repetition."""
    context = get_script_run_ctx()
    if context is None or not context.fragment_ids_this_run or "drawn" not in st.session_state:
        return False
    ended, thread, is_repeated = st.session_state["drawn"]
    return not is_repeated and thread is not threading.current_thread() and time.monotonic() - ended < SOON


def go_to(name: str, query: Mapping[str, str | Sequence[str]] | None = None) -> NoReturn:
    """Open another page in answer to a button. query: what its address holds after the `?`.

    Fragments refresh until the browser has the new page. A late refresh would run for the old page, and the browser
    would clear the new one. So the fragments are forgotten first; Streamlit ignores refreshes of unknown fragments.
    """
    if context := get_script_run_ctx():
        context.fragment_storage.clear()
    st.switch_page(f"pages/{name}.py", query_params=query)
