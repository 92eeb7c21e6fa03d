"""The frame around every page: title, icon, logo and navigation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "assets"


def open_page() -> None:
    """Set the page up and run the one that the address names."""
    st.session_state["is framed"] = True
    st.set_page_config(page_title="Dataset Distillery", page_icon=str(ASSETS / "favicon.png"), layout="wide")
    st.logo(str(ASSETS / "logo.svg"), size="large", icon_image=str(ASSETS / "favicon.png"))
    st.navigation(
        [
            _page("home", "Home", "home", "What this program does, and a first run in one click.", default=True),
            _page(
                "data",
                "Data",
                "grid_on",
                "Choose a data set and look at it: samples, class balance, sizes, preparation.",
            ),
            _page("distill", "Distil", "science", "Choose a method, set its hyperparameters, start a run."),
            _page("runs", "Runs", "monitoring", "All runs, and the live view of one of them."),
            _page(
                "compare", "Compare", "compare_arrows", "Trained on distilled data against random real and full data."
            ),
            _page(
                "gallery", "Gallery", "photo_library", "The distilled images themselves: large, over time, to download."
            ),
            _page("system", "System", "memory", "Device, memory, disk, versions, folders and the queue."),
        ]
    ).run()


def ensure() -> None:
    """Put the frame around a page that was started without it.

    Until st.navigation has been called once, Streamlit takes the files in `pages/` for an app of its older kind and runs
    the one that the address names by itself. This happens to the first visitor after a start who does not come by the
    home page. Every page calls this first.
    """
    if "is framed" not in st.session_state:
        open_page()
        st.stop()


def go_to(name: str, query: Mapping[str, str | Sequence[str]] | None = None) -> NoReturn:
    """Open another page in place of this one, in answer to a button. query: what its address holds after the `?`.

    What refreshes itself goes on asking until the browser knows of the new page. A request on the way at that moment would
    be carried out for the old page: the browser would clear the new one for it, draw nothing, and break at the new page's
    first refresh. So what refreshes is forgotten first; Streamlit ignores requests for what it does not know.
    """
    get_script_run_ctx().fragment_storage.clear()
    st.switch_page(f"pages/{name}.py", query_params=query)


def _page(name: str, title: str, icon: str, meaning: str, default: bool = False) -> object:
    return st.Page(
        ROOT / "pages" / f"{name}.py",
        title=title,
        icon=f":material/{icon}:",
        url_path=name,
        default=default,
        help=meaning,
    )
