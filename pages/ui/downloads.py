"""Downloads of a run: everything in one file, single files, and the command that repeats it."""

from functools import partial
from typing import NamedTuple

import streamlit as st

import engine
from pages.ui import pictures, services, words


class File(NamedTuple):
    """One file of a result: its name, label, type and icon."""

    name: str
    label: str
    mime: str
    icon: str


FILES = (
    File("grid.png", "Picture of all samples (.png)", "image/png", ":material/image:"),
    File("result.safetensors", "Distilled set (.safetensors)", "application/octet-stream", ":material/deployed_code:"),
    File("distilled.npz", "Arrays for NumPy (.npz)", "application/octet-stream", ":material/data_array:"),
    File("train.py", "Program that trains on it (train.py)", "text/x-python", ":material/code:"),
    File("scores.csv", "Scores (.csv)", "text/csv", ":material/table:"),
    File("report.html", "Report (.html)", "text/html", ":material/article:"),
    File("request.json", "Request (.json)", "application/json", ":material/list_alt:"),
)
BASES = File("bases.png", "Picture of the bases (.png)", "image/png", ":material/apps:")
SEQUENCES = (
    File("candles.csv", "Bars of all sequences (.csv)", "text/csv", ":material/candlestick_chart:"),
    File("targets.csv", "Targets of all sequences (.csv)", "text/csv", ":material/table:"),
)
FURTHER = {"images": (), "prices": SEQUENCES}
"""The files that only sets of a kind of data have."""
TOGETHER = ("train.py", "distilled.npz")
"""Files that keep their names, since the one reads the other."""


def show(row: engine.RunRow) -> None:
    """The downloads of a run in any state. Files are made when they are asked for."""
    store = services.store()
    result = store.result(row.id)
    refused = _refusal(row.id, row.created, row.status) if result else ""
    with st.container(horizontal=True, gap="small"):
        if result and not refused:
            st.download_button(
                "Download everything (.zip)",
                partial(engine.export.bundle, store, row.id),
                f"run-{row.id}.zip",
                "application/zip",
                type="primary",
                icon=":material/folder_zip:",
                on_click="ignore",
                key=f"download everything {row.id}",
                help="Pictures, arrays, scores, the report, and a short program that trains a network on the samples.",
            )
            single = st.popover("Single files", icon=":material/download:", key=f"single files {row.id}")
            with single, st.container(gap=None):
                for file in _files(row):
                    _file(row, file)
        else:
            st.download_button(
                "Download report (.html)",
                partial(engine.report.report_html, store, row.id),
                f"run-{row.id}-report.html",
                "text/html",
                icon=":material/article:",
                on_click="ignore",
                key=f"download report {row.id}",
            )
        with st.popover("Copy as command", icon=":material/terminal:", key=f"command of {row.id}"):
            st.write("This command repeats the run, in a terminal in the program's folder:")
            st.code(engine.command_line(row.request), language="bash", wrap_lines=True)
    if refused:
        st.caption(words.escaped(refused))


def _files(row: engine.RunRow) -> tuple[File, ...]:
    bases = (BASES,) if pictures.has_bases(row) else ()
    return *FILES, *bases, *FURTHER[engine.kind_of(row.method).takes]


def _file(row: engine.RunRow, file: File) -> None:
    st.download_button(
        file.label,
        partial(engine.export.one, services.store(), row.id, file.name),
        file.name if file.name in TOGETHER else f"run-{row.id}-{file.name}",
        file.mime,
        type="tertiary",
        icon=file.icon,
        on_click="ignore",
        key=f"download {file.name} {row.id}",
    )


@st.cache_data(max_entries=256, show_spinner=False)
def _refusal(run_id: str, created: float, status: str) -> str:
    """Why a result cannot be downloaded; `created` and `status` are only part of the cache's key."""
    return engine.export.refusal(services.store(), run_id)
