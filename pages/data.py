"""Data: choose a data set, look at it, see what preparation does to it, or import one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

import engine
from pages.ui import frame, image_intake, images, parts, price_intake, prices, services, words

frame.ensure()


@dataclass(frozen=True)
class Kind:
    """What this page does for one kind of data set.

    take: the import panel; the key of what was imported. look: shows a data set. greet: says what an import brought.
    """

    title: str
    icon: str
    take: Callable[[], str]
    look: Callable[[Any], None]
    greet: Callable[[Any], str]


KINDS = {
    "images": Kind("Images", ":material/image:", image_intake.panel, images.look, images.greeting),
    "prices": Kind("Prices", ":material/candlestick_chart:", price_intake.panel, prices.look, prices.greeting),
}


def choose() -> engine.Source:
    found = engine.sources()
    keys = list(found)
    wanted = st.query_params.get("source", "")
    if wanted and wanted not in keys:  # deleted, or an address of another installation
        st.query_params.clear()
    start = wanted if wanted in keys else keys[0]
    titles = "/".join(source.title for source in found.values())
    key = f"data source {wanted} {titles}"  # the titles are part of it, as a widget keeps showing an old name otherwise
    index, name = keys.index(start), engine.titles.source
    chosen = st.selectbox("Data set", keys, index=index, format_func=name, key=key, persist_state="session")
    return found[chosen if chosen in found else start]


def close_panel(source: str = "") -> None:
    st.query_params.from_dict({"source": source} if source else {})
    st.rerun()


def panel(title: str, source: str = "") -> None:
    """The title of a panel that replaces the page, with a button to close it."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.header(title, anchor=False)
        if st.button("Back", icon=":material/arrow_back:", key="close panel"):
            close_panel(source)


def settle(arrived: str) -> None:
    """Go to a data set that was imported just now."""
    if arrived:
        st.session_state["arrived"] = arrived
        close_panel(arrived)


def add() -> None:
    panel("Add your own data")
    kind = parts.pick("Kind of data", {key: (kind.title, kind.icon) for key, kind in KINDS.items()}, "import kind")
    settle(KINDS[kind].take())


def make_again(source: engine.images.FolderSource) -> None:
    """The panel that imports the same files with other options."""
    panel(f"{words.escaped(source.title)} at another size", source.key)
    st.markdown("Makes another data set from the same files. The current one stays as it is.")
    settle(image_intake.again(source))


with services.said_plainly():
    st.title("Data", anchor=False)
    again = engine.sources().get(st.query_params.get("source", "")) if "again" in st.query_params else None
    if "add" in st.query_params:
        add()
    elif isinstance(again, engine.images.FolderSource):
        make_again(again)
    else:
        with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
            source = choose()
            if st.button("Add your own", icon=":material/add:", key="add data"):
                st.query_params.from_dict({"add": "1"})
                st.rerun()
        if st.session_state.pop("arrived", "") == source.key:
            st.success(KINDS[source.kind].greet(source), icon=":material/check_circle:")
        KINDS[source.kind].look(source)
