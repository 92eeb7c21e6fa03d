"""Sections of results on a page: each record of `engine.results.sections` as Streamlit elements."""

import re
from collections.abc import Sequence
from typing import Any, Literal

import plotly.graph_objects as go
import streamlit as st

from engine import figures
from engine.results.sections import Chart, Choice, Code, File, Group, Metric, Metrics, Picture, Section, Sentence, Table
from pages.ui import words

HARMLESS = re.compile(r"(?!.*www\.)[^\\`*_{}\[\]#<>$:^&@~|!]*", re.DOTALL)
"""Texts of cells without Markdown."""
ACROSS = {2: 3, 3: 3, 4: 4, 6: 3, 7: 4, 8: 4}
"""Metrics per row, by their number; 5 otherwise."""
SHORT_NOTE, LONG_NOTE = 30, 44
"""Characters of a note for which cards are wide enough beside several others, and at their widest."""
FIGURE = re.compile(r"[\d−][^\n·]{0,17}")
"""Cells that are numbers with their units, whose words stay on one line."""


def show(sections: Sequence[Section], key: str, is_nested: bool = False) -> None:
    """Draw sections below each other. key: begins the keys of their elements; unique for a run and a place."""
    for section in sections:
        _one(section, key, is_nested)


def _one(section: Section, key: str, is_nested: bool) -> None:
    match section:
        case Sentence():
            _sentence(section)
        case Metrics():
            show_metrics(section.of, section.is_explained)
        case Table():
            show_table(section)
        case Chart():
            show_chart(section.draw(), f"{key} {section.key}", section.alt)
        case Picture():
            image(section.png(), section.alt, section.caption)
        case Code():
            st.code(section.text, language=None)
        case File(label, name, mime, content):
            st.download_button(label, content, name, mime, f"{key} {name}", icon=":material/table:")
        case Group():
            _group(section, key, is_nested)
        case Choice():
            _choice(section, key, is_nested)


def image(picture: bytes, alt: str, caption: str = "", width: int | Literal["stretch"] = "stretch") -> None:
    """A PNG or GIF within the page itself: a file beside it is gone once a refresh replaces it, loaded or not."""
    st.image(figures.data_url(picture), caption=caption or None, width=width, alt=alt)


def _sentence(sentence: Sentence) -> None:
    text = "**".join(words.escaped(part) for part in sentence.text.split("**"))  # the only markup
    if sentence.tone == "note":
        st.info(text, icon=":material/balance:")
    elif sentence.tone == "warning":
        st.warning(text, icon=":material/warning:")
    elif sentence.tone == "caption":
        st.caption(text)
    else:
        st.markdown(text)


def show_metrics(metrics: Sequence[Metric], is_explained: bool = False) -> None:
    """Figures of merit, equally high; fewer in a row where notes are long, which a card does not wrap."""
    is_long = any(len(metric.note) > SHORT_NOTE for metric in metrics)
    across = 4 if is_explained else 3 if is_long else ACROSS.get(len(metrics), 5)
    with st.grid(across, min_column_width=270 if is_long else 210 if is_explained else 165):
        for metric in metrics:
            if is_explained:
                with st.container(border=True, height="stretch"):
                    st.metric(metric.label, metric.value)
                    st.caption(words.escaped(metric.help))
            else:
                look: dict[str, Any] = {"delta_color": "off", "delta_arrow": "off", "border": True, "height": "stretch"}
                whole = f"({words.escaped(metric.note)})" if len(metric.note) > LONG_NOTE else ""
                told = " ".join(filter(None, (metric.help, whole)))
                st.metric(metric.label, metric.value, metric.note or None, help=told or None, **look)


def show_chart(figure: go.Figure, key: str, alt: str) -> None:
    """A figure without a toolbar; the mouse wheel scrolls the page and does not zoom."""
    st.plotly_chart(figure, key=key, config={"displayModeBar": False, "scrollZoom": False}, alt=alt)


def show_table(table: Table) -> None:
    """Columns of plain text; the second line of a cell is small and grey."""
    columns = {_plain(title): [cell(text) for text in cells] for title, cells in table.columns.items()}
    st.table(columns, border="horizontal", hide_index=True, alt=table.alt)


def cell(text: str) -> str:
    """Plain text as a cell, with its second line small and grey."""
    first, remark = (_plain(_joined(part)) for part in (*text.split("\n", 1), "")[:2])
    return f"{first}  \n:small[:gray[{remark}]]" if remark else first


def _joined(text: str) -> str:
    return text.replace(" ", "\u00a0") if FIGURE.fullmatch(text) else text


def _plain(text: str) -> str:
    return text if HARMLESS.fullmatch(text) else words.escaped(text)


def _group(group: Group, key: str, is_nested: bool) -> None:
    if group.layout == "fold":
        with st.expander(words.escaped(group.title), icon=":material/table_rows:"):
            show(group.of, f"{key} {group.title}", is_nested=True)
    elif group.layout == "grid":
        _title(group.title, is_nested)
        with st.grid(min(3, len(group.of)), min_column_width=280):
            for section in group.of:
                with st.container():
                    _one(section, key, is_nested=True)
    else:
        with st.container(border=group.layout == "box", height="stretch"):
            _title(group.title, is_nested)
            show(group.of, key, is_nested=True)


def _title(title: str, is_nested: bool) -> None:
    if title and is_nested:
        st.markdown(f"**{words.escaped(title)}**")
    elif title:
        st.subheader(words.escaped(title), anchor=False)


def _choice(choice: Choice, key: str, is_nested: bool) -> None:
    """The chosen sections, below a widget if there is a choice."""
    names = list(choice.options)
    name = names[0]
    if choice.is_list:
        name = st.selectbox(choice.label, names, key=f"{key} {choice.key}", width=220)
    elif len(names) > 1:
        where = f"{key} {choice.key}"
        name = st.segmented_control(choice.label, names, default=names[0], required=True, key=where)
    show(choice.options[name](), key, is_nested)
