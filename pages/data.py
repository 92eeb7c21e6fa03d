"""Data: look at a data set and at what preparation does to it, or import one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

import engine
from pages.ui import frame, image_intake, images, parts, price_intake, prices, services, words

frame.ensure()


@dataclass(frozen=True)
class Kind:
    """One kind of data. take: the import panel. look: shows a data set. greet: says what an import brought."""

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


def leave_panel(source: str = "") -> None:
    """Show a data set, or the first one, in place of a panel."""
    st.query_params.from_dict({"source": source} if source else {})
    st.rerun()


def panel(title: str, take: Callable[[], str], source: str = "") -> None:
    """An import in place of the page, with a button back to `source`. take: draws it; the key of what was imported."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.header(title, anchor=False)
        if st.button("Back", icon=":material/arrow_back:", key="close panel"):
            leave_panel(source)
    if arrived := take():
        st.session_state["arrived"] = arrived
        leave_panel(arrived)


def take_any() -> str:
    kind = parts.pick("Kind of data", {key: (kind.title, kind.icon) for key, kind in KINDS.items()}, "import kind")
    return KINDS[kind].take()


with services.said_plainly():
    st.title("Data", anchor=False)
    again = engine.sources().get(st.query_params.get("source", "")) if "again" in st.query_params else None
    if "add" in st.query_params:
        panel("Add your own data", take_any)
    elif isinstance(again, engine.images.FolderSource):
        panel(f"{words.escaped(again.title)} at another size", partial(image_intake.again, again), again.key)
    else:
        with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
            source = choose()
            if st.button("Add your own", icon=":material/add:", key="add data"):
                st.query_params.from_dict({"add": "1"})
                st.rerun()
        if st.session_state.pop("arrived", "") == source.key:
            st.success(KINDS[source.kind].greet(source), icon=":material/check_circle:")
        KINDS[source.kind].look(source)
