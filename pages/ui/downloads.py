"""Taking a run home: everything in one file, single files, and the line that repeats it."""

from __future__ import annotations

from functools import partial

import streamlit as st

import engine
from pages.ui import pictures, services, words

FILES = (
    ("grid.png", "Picture of all images (.png)", "image/png", ":material/image:"),
    ("result.safetensors", "Distilled set (.safetensors)", "application/octet-stream", ":material/deployed_code:"),
    ("distilled.npz", "Arrays for NumPy (.npz)", "application/octet-stream", ":material/data_array:"),
    ("train.py", "Program that trains on it (train.py)", "text/x-python", ":material/code:"),
    ("scores.csv", "Scores (.csv)", "text/csv", ":material/table:"),
    ("report.html", "Report (.html)", "text/html", ":material/article:"),
    ("request.json", "Request (.json)", "application/json", ":material/list_alt:"),
)
"""Of each single file: its name, what it is called, its type and icon."""
BASES = ("bases.png", "Picture of the bases (.png)", "image/png", ":material/apps:")
"""The same of the bases of a set that has some."""
SEQUENCES = (
    ("candles.csv", "Bars of all sequences (.csv)", "text/csv", ":material/candlestick_chart:"),
    ("targets.csv", "What each sequence is told of (.csv)", "text/csv", ":material/table:"),
)
"""The same of sequences of price bars."""
TOGETHER = ("train.py", "distilled.npz")
"""Names that are kept: the one reads the other."""


def show(row: engine.RunRow) -> None:
    """The downloads of one run in any state. What is downloaded is made when it is asked for."""
    result = services.store().result(row.id)
    refused = _refusal(row.id, row.created, row.status) if result else ""
    with st.container(horizontal=True, gap="small"):
        if result and not refused:
            _everything(row)
            with (
                st.popover("Single files", icon=":material/download:", key=f"single files {row.id}"),
                st.container(gap=None),
            ):
                for name, label, mime, icon in _files(row):
                    _file(row, name, label, mime, icon)
        else:
            _report(row)
        with st.popover("Copy as command", icon=":material/terminal:", key=f"command of {row.id}"):
            st.write("This line repeats the run in a terminal, in the folder of this program:")
            st.code(engine.command_line(row.request), language="bash", wrap_lines=True)
    if refused:
        st.caption(words.escaped(refused))


def _files(row: engine.RunRow) -> tuple[tuple[str, str, str, str], ...]:
    """The single files there are of a result."""
    if engine.kind_of(row.method).takes == "prices":
        return *FILES, *SEQUENCES
    return *FILES, *([BASES] if pictures.has_bases(row) else [])


def _everything(row: engine.RunRow) -> None:
    st.download_button(
        "Download everything (.zip)",
        partial(engine.export.bundle, services.store(), row.id),
        f"run-{row.id}.zip",
        "application/zip",
        type="primary",
        icon=":material/folder_zip:",
        on_click="ignore",
        key=f"download everything {row.id}",
        help="Images, arrays, scores, report, and a short program that trains a network on them.",
    )


def _file(row: engine.RunRow, name: str, label: str, mime: str, icon: str) -> None:
    st.download_button(
        label,
        partial(engine.export.one, services.store(), row.id, name),
        name if name in TOGETHER else f"run-{row.id}-{name}",
        mime,
        type="tertiary",
        icon=icon,
        on_click="ignore",
        key=f"download {name} {row.id}",
    )


def _report(row: engine.RunRow) -> None:
    """What a run without a result still has."""
    st.download_button(
        "Download report (.html)",
        partial(engine.report.report_html, services.store(), row.id),
        f"run-{row.id}-report.html",
        "text/html",
        icon=":material/article:",
        on_click="ignore",
        key=f"download report {row.id}",
    )


@st.cache_data(max_entries=256, show_spinner=False)
def _refusal(run_id: str, created: float, status: str) -> str:
    """Why a result cannot be downloaded; `created` and `status` only tell when to look again."""
    return engine.export.refusal(services.store(), run_id)
