"""Small pieces that several pages draw in the same way."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

import engine
from pages.ui import forms, frame, words


def table(columns: Mapping[str, Sequence[Any]], alt: str, widths: Mapping[str, int] | None = None) -> None:
    """A table to scroll. widths: of text columns, pixels."""
    config = {name: st.column_config.TextColumn(width=width) for name, width in (widths or {}).items()}
    st.dataframe(columns, hide_index=True, width="stretch", column_config=config, alt=alt)


def pick(label: str, ways: Mapping[str, tuple[str, str]], key: str) -> str:
    """Buttons for a few ways of doing something, by key: (title, icon). The first is the default."""
    names = {way: f"{icon} {title}" for way, (title, icon) in ways.items()}
    look: dict[str, Any] = {"default": next(iter(ways)), "required": True, "wrap": True, "key": key}
    return st.segmented_control(label, list(ways), format_func=lambda way: names[way], **look)


def missing(source: engine.Source, message: str) -> None:
    """Says that a data set is not here, and what to do."""
    title = f"{words.escaped(source.title)} is not available"
    st.error(words.escaped(message), title=title, icon=":material/folder_off:")


def draw(title: str) -> int:
    """A heading with a button that draws other random samples; the number of the draw."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(title, anchor=False)
        if st.button("Draw others", icon=":material/casino:", type="tertiary", key="draw others"):
            st.session_state["sample draw"] = st.session_state.get("sample draw", 0) + 1
    return st.session_state.get("sample draw", 0)


def confirm_work(wanted: tuple[str, str], cost: str, label: str) -> bool:
    """Say what something large costs, with a button for it; whether to do it now. wanted: (source, preparation)."""
    st.caption(cost)
    if not st.button(label, icon=":material/visibility:", key="show preparation"):
        return False
    st.session_state["prepared"] = wanted
    return True


def ask_preparation(
    source: engine.Source, where: str
) -> tuple[list[forms.Entry], dict[forms.Path, Any], engine.DataConfig]:
    """The form of a source's preparation: its options, the answers, and the config they make. where: for errors."""
    answers: dict[forms.Path, Any] = {}
    fields = forms.fitting(forms.entries(engine.DataConfig, {}), source)
    forms.ask(fields, f"preparation/{source.key}", answers)
    return fields, answers, engine.checked(engine.DataConfig, forms.nested(answers), where)


def distil_prepared(
    label: str, source: engine.Source, fields: list[forms.Entry], answers: dict[forms.Path, Any]
) -> None:
    """A button that opens the Distil page with the preparation chosen here."""
    if st.button(label, icon=":material/science:", key="distil prepared"):
        edited = {field.path: answers[field.path] for field in forms.changed(fields, answers)}
        st.session_state.setdefault("preparation", {})[source.key] = forms.nested(edited)
        frame.go_to("distill", {"source": source.key})
