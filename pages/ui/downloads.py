"""Downloads of a run: everything in one file, single files, and the command that repeats it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

import engine
from pages.ui import pictures, services, words

FILES = {
    "grid.png": ("Picture of all samples (.png)", "image/png", "image"),
    "result.safetensors": ("Distilled set (.safetensors)", "application/octet-stream", "deployed_code"),
    "distilled.npz": ("Arrays for NumPy (.npz)", "application/octet-stream", "data_array"),
    "train.py": ("Program that trains on it (train.py)", "text/x-python", "code"),
    "scores.csv": ("Scores (.csv)", "text/csv", "table"),
    "report.html": ("Report (.html)", "text/html", "article"),
    "request.json": ("Request (.json)", "application/json", "list_alt"),
}
"""Label, type and icon of each file of a result."""
EVERYTHING = ("Download everything (.zip)", "application/zip", "folder_zip")
REPORT = ("Download report (.html)", "text/html", "article")
BASES = {"bases.png": ("Picture of the bases (.png)", "image/png", "apps")}
NETWORKS = {
    "student": ("Network trained on it (.safetensors)", "application/octet-stream", "network_node"),
    "teacher": ("Its teacher's encoder (.safetensors)", "application/octet-stream", "school"),
}
FURTHER: dict[str, dict[str, tuple[str, str, str]]] = {
    "images": {},
    "prices": {
        "candles.csv": ("Bars of all sequences (.csv)", "text/csv", "candlestick_chart"),
        "targets.csv": ("Targets of all sequences (.csv)", "text/csv", "table"),
    },
}
"""The files that only sets of one kind of data have."""
TOGETHER = ("train.py", "distilled.npz")
"""Files that keep their names: the program reads the arrays."""


def show(row: engine.RunRow) -> None:
    """The downloads of a run in any state."""
    store = services.store()
    result = store.result(row.id)
    refused = _refusal(row.id, row.created, row.status) if result else ""
    with st.container(horizontal=True, gap="small"):
        if result and not refused:
            about = "Pictures, arrays, scores, the report, and a short program that trains a network on the set."
            bundle = partial(engine.export.bundle, store, row.id)
            button(row, EVERYTHING, bundle, f"run-{row.id}.zip", type="primary", help=about)
            single = st.popover("Single files", icon=":material/download:", key=f"single files {row.id}")
            further = BASES if pictures.has_bases(row) else {}
            further |= {path.name: NETWORKS[name] for name, path in store.networks(row.id).items()}
            with single, st.container(gap=None):
                for name, shown in (FILES | further | FURTHER[engine.kind_of(row.method).takes]).items():
                    saved_as = name if name in TOGETHER else f"run-{row.id}-{name}"
                    made = partial(engine.export.one, store, row.id, name)
                    button(row, shown, made, saved_as, type="tertiary")
        else:
            report = partial(engine.report.report_html, store, row.id)
            button(row, REPORT, report, f"run-{row.id}-report.html")
        with st.popover("Copy as command", icon=":material/terminal:", key=f"command of {row.id}"):
            st.write("Enter this in a terminal, in the program's folder, to repeat the run:")
            st.code(engine.command_line(row.request), language="bash", wrap_lines=True)
    if refused:
        st.caption(words.escaped(refused))


def button(
    row: engine.RunRow, shown: tuple[str, str, str], made: bytes | Callable[[], str | bytes], name: str, **look: Any
) -> None:
    """A download that is made when it is asked for. shown: label, type and icon."""
    label, mime, icon = shown
    look |= {"icon": f":material/{icon}:", "on_click": "ignore", "key": f"download {label} {row.id}"}
    st.download_button(label, made, name, mime, **look)


@st.cache_data(max_entries=256, show_spinner=False)
def _refusal(run_id: str, created: float, status: str) -> str:
    """Why a result cannot be downloaded; `created` and `status` are only part of the cache's key."""
    return engine.export.refusal(services.store(), run_id)
