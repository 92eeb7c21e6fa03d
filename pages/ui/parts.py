"""Small pieces that several pages draw in the same way."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

import engine
from pages.ui import forms, frame, words


def table(columns: Mapping[str, Sequence[Any]], alt: str, widths: Mapping[str, int] | None = None) -> None:
    """A scrolling table. widths: of text columns, in pixels."""
    config = {name: st.column_config.TextColumn(width=width) for name, width in (widths or {}).items()}
    st.dataframe(columns, hide_index=True, width="stretch", column_config=config, alt=alt)


def pick(label: str, ways: Mapping[str, tuple[str, str]], key: str) -> str:
    """Buttons to choose among `ways`, by key: (title, icon). The first is the default."""
    names = {way: f"{icon} {title}" for way, (title, icon) in ways.items()}
    look: dict[str, Any] = {"default": next(iter(ways)), "required": True, "wrap": True, "key": key}
    return st.segmented_control(label, list(ways), format_func=lambda way: names[way], **look)


def start_button() -> None:
    """The button of a page that has nothing to show yet."""
    if st.button("Start a run", type="primary", icon=":material/science:"):
        frame.go_to("distill")


def missing(source: engine.Source, message: str) -> None:
    """Say that a data set is not here, and what to do."""
    title = f"{words.escaped(source.title)} is not available"
    st.error(words.escaped(message), title=title, icon=":material/folder_off:")


def draw(title: str) -> int:
    """A heading with a button that draws other random samples; the seed of the draw."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(title, anchor=False)
        if st.button("Draw others", icon=":material/casino:", type="tertiary", key="draw others"):
            st.session_state["sample draw"] = st.session_state.get("sample draw", 0) + 1
    return st.session_state.get("sample draw", 0)


def may_show(source: engine.Source, config: engine.DataConfig, is_cheap: bool, cost: str, label: str) -> bool:
    """Whether to compute what a preparation does: at once if that is cheap, else when a button is pressed."""
    wanted = (source.key, config.model_dump_json())
    if is_cheap or st.session_state.get("prepared") == wanted:
        return True
    st.caption(cost)
    if st.button(label, icon=":material/visibility:", key="show preparation"):
        st.session_state["prepared"] = wanted
        return True
    return False


Asked = tuple[list[forms.Entry], dict[forms.Path, Any], engine.DataConfig]
"""A form of preparation: its options, the answers, and the config they make."""


def ask_preparation(source: engine.Source, where: str) -> Asked:
    """The form of a source's preparation. where: for errors."""
    answers: dict[forms.Path, Any] = {}
    fields = forms.fitting(forms.entries(engine.DataConfig, {}), source)
    forms.ask(fields, f"preparation/{source.key}", answers)
    return fields, answers, engine.checked(engine.DataConfig, forms.nested(answers), where)


def distil_prepared(label: str, source: engine.Source, asked: Asked) -> None:
    """A button that opens the Distil page with the preparation chosen here."""
    if st.button(label, icon=":material/science:", key="distil prepared"):
        fields, answers, _ = asked
        edited = {field.path: answers[field.path] for field in forms.changed(fields, answers)}
        st.session_state.setdefault("preparation", {})[source.key] = forms.nested(edited)
        frame.go_to("distill", {"source": source.key})


def confirmed(key: str, disabled: bool = False) -> bool:
    """The two buttons of a dialog that deletes something, Delete and Keep; whether to delete now."""
    with st.container(horizontal=True):
        is_confirmed = st.button("Delete", type="primary", key=f"confirm {key}", disabled=disabled)
        if st.button("Keep", key=f"keep {key}"):
            st.rerun()
    return is_confirmed
