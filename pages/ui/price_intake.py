"""The panel that imports price histories: it takes CSV files and shows how each is read before the import."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import engine
from engine.figures import formats
from pages.ui import imported, intake, prices, words

WAYS = {
    "upload": ("Files on this computer", ":material/upload_file:"),
    "server": ("Files on the server", ":material/dns:"),
}
"""How price files come in: title and icon."""
ENDINGS = ("csv", "tsv", "txt", "zip")
EXAMPLE = """date,open,high,low,close,volume
2024-01-01,4.22,4.41,4.21,4.41,2717
2024-01-02,4.41,4.58,4.40,4.49,6514"""
MAX_TOKEN = 40
MAX_PREVIEWS = 100

Content = bytes | Path


@dataclass(frozen=True)
class Brought:
    """The chosen files as (name, bytes or path), a name for the data set, and where the files come from."""

    files: tuple[tuple[str, Content], ...] = ()
    name: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Read:
    """A file to import and its token. mapping: the columns that the user chose, None for the detected ones."""

    name: str
    content: Content
    token: str
    is_renamed: bool
    mapping: engine.prices.Mapping | None


def panel() -> str:
    """The whole panel; the key of the new data set once it is imported, "" otherwise."""
    return intake.panel("Where the files are", WAYS, "prices", _explain, _take)


def _explain() -> None:
    st.subheader("What a file looks like", anchor=False)
    st.markdown("One CSV file per token, one row per bar.")
    st.code(EXAMPLE, language=None)
    st.caption(
        "Column names and order may differ. Unix timestamps, time zones, newest-first rows, lines above the header, "
        "semicolons, decimal commas, empty rows and a missing volume are handled; each repair is listed. Tokens with "
        "the same bar length form one data set, and one zip file can hold them all."
    )


def _take(way: str, key: str, below: DeltaGenerator) -> str:
    brought = _ask_upload(key) if way == "upload" else _ask_path(key)
    if not brought.files:
        st.caption("Choose files to see how they are read.")
        return ""
    opened = _opened(brought)
    most = engine.images.limits().max_tokens
    shown = opened.files[:most]
    with below:
        if len(opened.files) > most:
            st.warning(f"Only the first {most} of {len(opened.files):,} files are imported.", icon=":material/warning:")
        if opened.skipped:
            imported.show_skipped(opened.skipped)
        read = [_show_file(name, content, f"{key}/{name}", is_open=len(shown) == 1) for name, content in shown]
    taken = [file for file in read if file]
    if not taken:
        st.caption("None of these files can be imported.")
        return ""
    suggested = (brought.name or ", ".join(file.token for file in taken[:4]))[: intake.MAX_NAME]
    name = st.text_input("Name", value=suggested, max_chars=intake.MAX_NAME, key=f"{key}/name {suggested}")
    skipped = len(opened.files) - len(taken)
    st.caption(f"{formats.counted(len(taken), 'token')} to import" + (f", {skipped:,} skipped." if skipped else "."))
    values = {
        "name": name,
        "mappings": {file.name: file.mapping for file in taken if file.mapping},
        "tokens": {file.name: file.token for file in taken if file.is_renamed},
    }
    files = [(file.name, file.content) for file in taken] if skipped else brought.files

    def begin(options: engine.prices.PriceOptions) -> intake.Events:
        return engine.prices.import_prices(files, options, engine.data_root(), brought.origin)

    return intake.import_button("Import", begin, values, engine.prices.PriceOptions, ":material/candlestick_chart:")


def _ask_upload(key: str) -> Brought:
    label = "CSV files, one per token, or a zip file of them"
    sent = st.file_uploader(label, type=list(ENDINGS), accept_multiple_files=True, key=f"{key} files")
    if not sent:
        return Brought()
    first = Path(sent[0].name)
    name = first.stem if len(sent) == 1 and first.suffix.lower() == ".zip" else ""
    return Brought(tuple((file.name, file.getvalue()) for file in sent), name)


def _ask_path(key: str) -> Brought:
    path = intake.ask_path(key, _is_table, "CSV file, folder or zip file", "the bars", "/…/prices")
    if path is None:
        return Brought()
    is_many = path.is_dir() or path.suffix.lower() == ".zip"
    return Brought(((path.name, path),), path.stem if is_many else "", f"Read from {path}")


def _is_table(path: Path) -> bool:
    return path.suffix.lower().lstrip(".") in ENDINGS


def _opened(brought: Brought) -> engine.prices.Opened:
    if any(isinstance(content, Path) and content.is_dir() for _, content in brought.files):
        return engine.prices.expanded(brought.files)
    return _expanded(brought.files)


def _version(path: Path) -> tuple[str, ...]:
    """What changes with a file: its path, the time of its last change and its size."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return str(path), str(status.st_mtime_ns), str(status.st_size)
    return (str(path),)


BY_VERSION: dict[str | type, Callable[[Any], Any]] = {type(Path()): _version}


@st.cache_data(max_entries=4, show_spinner="Opening the files …", hash_funcs=BY_VERSION)
def _expanded(files: tuple[tuple[str, Content], ...]) -> engine.prices.Opened:
    return engine.prices.expanded(files)


@st.cache_data(max_entries=MAX_PREVIEWS, show_spinner="Reading the files …", hash_funcs=BY_VERSION)
def _preview(content: Content, name: str, mapping: dict[str, str] | None = None) -> engine.prices.PricePreview:
    return engine.prices.preview(content, name, None if mapping is None else engine.prices.Mapping(**mapping))


def _show_file(name: str, content: Content, key: str, is_open: bool) -> Read | None:
    """Show how a file is read, with widgets to change that; None if it is not to be imported."""
    try:
        first = _preview(content, name)
    except engine.UserError as error:
        with st.expander(words.escaped(name), expanded=True, icon=":material/error:"):
            st.error(words.escaped(str(error)), icon=":material/error:")
            st.caption("Skipped.")
        return None
    wanted = _chosen_mapping(first, key)
    is_mapped = wanted != first.mapping.model_dump()
    found = _preview(content, name, wanted) if is_mapped else first
    icon = ":material/error:" if found.problem else ":material/check_circle:"
    with st.expander(_headline(name, found), expanded=is_open or bool(found.problem), icon=icon):
        if found.problem:
            st.error(words.escaped(found.problem), icon=":material/error:")
            st.caption("Skipped, unless you choose other columns below.")
        else:
            bars = f"{formats.counted(found.num_bars, 'bar')} of {engine.prices.distance(found.seconds)}"
            span = f"{prices.day(found.first)} to {prices.day(found.last)}"
            st.markdown(f"{bars}, {span}, from {formats.counted(found.num_rows, 'row')}.")
        if found.repairs:
            st.markdown("\n".join(f"- {words.escaped(repair)}" for repair in found.repairs))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            typed = st.text_input("Token", found.token, MAX_TOKEN, f"{key}/token", width=220).strip()
            is_wanted = st.toggle("Use this file", value=True, key=f"{key}/use")
        _ask_mapping(found, key)
        columns = dict(zip(found.columns, zip(*found.rows, strict=True), strict=True)) if found.rows else {}
        st.dataframe(columns, hide_index=True, width="stretch", alt=f"First rows of {name}, unchanged")
    if found.problem or not is_wanted:
        return None
    token = typed or found.token
    return Read(name, content, token, token != found.token, found.mapping if is_mapped else None)


def _headline(name: str, found: engine.prices.PricePreview) -> str:
    if found.problem:
        return f"**{words.escaped(name)}** cannot be read like this"
    repairs = f", {formats.counted(len(found.repairs), 'repair')}" if found.repairs else ""
    return f"**{words.escaped(name)}** {words.escaped(found.token)}, {formats.counted(found.num_bars, 'bar')}{repairs}"


def _chosen_mapping(first: engine.prices.PricePreview, key: str) -> dict[str, str]:
    """{role: column}: what the widgets below hold; the detected columns at first."""
    detected, columns = first.mapping.model_dump(), ("", *first.columns)
    held: dict[str, Any] = {role: st.session_state.get(f"{key}/{role}", column) for role, column in detected.items()}
    return {role: column if column in columns else detected[role] for role, column in held.items()}


def _ask_mapping(found: engine.prices.PricePreview, key: str) -> None:
    st.markdown(":small[Columns]")
    columns = ["", *found.columns]
    with st.grid(4, min_column_width=130):
        for role, column in found.mapping.model_dump().items():
            meaning = engine.prices.Mapping.model_fields[role].description or ""
            index, name = columns.index(column), formats.words(role)
            st.selectbox(name, columns, index, lambda each: each or "none", f"{key}/{role}", help=f"{meaning}.")
