"""Price histories in: the panel that takes CSV files, shows how each of them is read, and makes a data set of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import imported, intake, prices, services, words

WAYS = {
    "upload": ("Files on this computer", ":material/upload_file:"),
    "server": ("Files on the server", ":material/dns:"),
}
"""How price files come in: what the way is called, and its icon."""
ENDINGS = ("csv", "tsv", "txt", "zip")
EXAMPLE = """date,open,high,low,close,volume
2024-01-01,4.22,4.41,4.21,4.41,2717
2024-01-02,4.41,4.58,4.40,4.49,6514"""
MAX_FILES = 50
"""Files shown and imported at once, one a token."""
MAX_NAME, MAX_TOKEN = 80, 40


@dataclass(frozen=True)
class Brought:
    """What was chosen: (name, bytes or path) as it came, the name it suggests, and where it is from in words."""

    files: tuple[tuple[str, Any], ...] = ()
    name: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Read:
    """A file as it would be imported: its columns and token, as they were detected or chosen; problem: why it cannot be."""

    name: str
    content: Any
    mapping: Any
    token: str
    is_wanted: bool = True
    is_mapped: bool = False
    is_named: bool = False
    problem: str = ""


def panel() -> str:
    """Everything it takes to add price histories. The new data set's key in the draw in which it arrived, "" otherwise."""
    intake.say_what_was_broken_off()
    round_number = st.session_state.get("import round", 0)
    left, right = st.columns([3, 2], gap="large")
    with right:
        _explain()
    with left:
        way = st.segmented_control(
            "Where the files are", list(WAYS), default="upload", required=True, wrap=True, key="prices way",
            format_func=lambda way: f"{WAYS[way][1]} {WAYS[way][0]}",
        )  # fmt: skip
        brought, key = Brought(), f"prices {way} {round_number}"
        with services.said_plainly():
            brought = _ask_upload(key) if way == "upload" else _ask_path(key)
        if not brought.files:
            st.caption("How each file is read, its token and the name of the data set follow once they are chosen.")
            return ""
        place = st.container()
    arrived = ""
    with services.said_plainly():
        arrived = _take(brought, key, place)
    if arrived:
        st.session_state["import round"] = round_number + 1  # the next uploader is a new, empty one
    return arrived


def _explain() -> None:
    """What a file has to look like."""
    with st.container(border=True):
        st.subheader("What a file looks like", anchor=False)
        st.markdown("One CSV file a token, one line a bar, as exchanges and data sellers write them.")
        st.code(EXAMPLE, language=None)
        st.caption(
            "Other names and orders of columns, dates in seconds, time zones, newest first, lines above the header, semicolons, "
            "decimal commas, empty rows and a missing volume are understood. Every repair is told before and after the import. "
            "Several tokens make one data set if their bars are of one length; a zip file may hold them all."
        )


def _ask_upload(key: str) -> Brought:
    """Files from the browser."""
    sent = st.file_uploader(
        "CSV files, one a token, or a zip of them", type=list(ENDINGS), accept_multiple_files=True, key=f"{key} files"
    )
    if not sent:
        return Brought()
    first = sent[0].name
    name = Path(first).stem if len(sent) == 1 and first.lower().endswith(".zip") else ""
    return Brought(tuple((file.name, file.getvalue()) for file in sent), name)


def _ask_path(key: str) -> Brought:
    """A file, folder or zip under one of the allowed folders. Raises DataError for any other."""
    root = engine.data_root()
    roots = engine.images.allowed_roots(root)
    found = _importable(roots)
    chosen = st.selectbox(
        "Found there", found, index=None, format_func=str, key=f"{key} found",
        placeholder="Choose a file, a folder or a zip" if found else "Nothing is there yet", disabled=not found,
    )  # fmt: skip
    typed = st.text_input("Or its path", key=f"{key} path", placeholder="/…/prices").strip()
    places = ", ".join(f"`{path}`" for path in roots)
    st.caption(
        f"Files under {places} may be read. The environment variable `DISTILLERY_FOLDERS` names other places. Their bars are copied."
    )
    text = typed or (str(chosen) if chosen else "")
    if not text:
        return Brought()
    path = engine.images.checked_path(text, root, "CSV file, folder or zip file")
    is_many = path.is_dir() or path.suffix.lower() == ".zip"
    return Brought(((path.name, path),), path.stem if is_many else "", f"Read from {path}")


def _importable(roots: Sequence[Path]) -> list[Path]:
    """What lies directly in the allowed folders and may hold prices, hidden ones left out."""
    found: list[Path] = []
    for root in roots:
        with contextlib.suppress(OSError):
            entries = sorted(path for path in root.iterdir() if not path.name.startswith("."))
            found += [path for path in entries if path.is_dir() or path.suffix.lower().lstrip(".") in ENDINGS]
    return found[: intake.MAX_FOUND]


def _take(brought: Brought, key: str, place: Any) -> str:
    """Show every file as it would be read; ask for the name and import, in `place` above the files.

    The new data set's key, "" where there is none yet.
    """
    opened = _opened(brought)
    shown = opened.files[:MAX_FILES]
    if len(opened.files) > MAX_FILES:
        st.warning(
            f"There are {len(opened.files):,} files; the first {MAX_FILES} are imported.", icon=":material/warning:"
        )
    if opened.skipped:
        imported.show_skipped(opened.skipped)
    read = [_show_file(name, content, f"{key}/{name}", is_open=len(shown) == 1) for name, content in shown]
    taken = [file for file in read if file.is_wanted and not file.problem]
    if not taken:
        place.caption("There is nothing to import yet: no file can be read as it is.")
        return ""
    suggested = (brought.name or ", ".join(file.token for file in taken[:4]))[:MAX_NAME]
    name = place.text_input("Name", value=suggested, max_chars=MAX_NAME, key=f"{key}/name {suggested}")
    left_out = len(opened.files) - len(taken)
    place.caption(
        f"{formats.counted(len(taken), 'token')} to import" + (f", {left_out:,} left out." if left_out else ".")
    )
    values = {
        "name": name,
        "mappings": {file.name: file.mapping for file in taken if file.is_mapped},
        "tokens": {file.name: file.token for file in taken if file.is_named},
    }
    files = [(file.name, file.content) for file in taken] if left_out else brought.files

    def begin(options: Any) -> intake.Events:
        return engine.prices.import_prices(files, options, engine.data_root(), brought.origin)

    with place:
        return intake.import_button("Import", begin, values, engine.prices.PriceOptions, ":material/candlestick_chart:")


def _opened(brought: Brought) -> Any:
    """The price files among what was brought. Raises DataError for an archive that cannot be opened."""
    if any(isinstance(content, Path) and content.is_dir() for _, content in brought.files):
        return engine.prices.expanded(brought.files)
    return _expanded(tuple((name, _mark(content)) for name, content in brought.files), brought.files)


@st.cache_data(max_entries=4, show_spinner="Opening the files …")
def _expanded(marks: tuple, _files: tuple[tuple[str, Any], ...]) -> Any:
    return engine.prices.expanded(_files)


@st.cache_data(max_entries=2 * MAX_FILES, show_spinner="Reading the files …")
def _preview(mark: Any, name: str, _content: Any, mapping: dict[str, str] | None) -> Any:
    chosen = None if mapping is None else engine.prices.Mapping(**mapping)
    return engine.prices.preview(_content, name, chosen)


def _mark(content: Any) -> Any:
    """What tells a file's content from another: the bytes themselves, or where they lie and since when."""
    if not isinstance(content, Path):
        return content
    with contextlib.suppress(OSError):
        status = content.stat()
        return str(content), status.st_mtime_ns, status.st_size
    return str(content)


def _show_file(name: str, content: Any, key: str, is_open: bool) -> Read:
    """One file: what it holds, the columns and the token, which can be changed, its repairs or why it cannot be used."""
    try:
        first = _preview(_mark(content), name, content, None)
    except engine.UserError as error:
        with st.expander(words.escaped(name), expanded=True, icon=":material/error:"):
            st.error(words.escaped(str(error)), icon=":material/error:")
            st.caption("It is left out.")
        return Read(name, content, None, "", problem=str(error))
    wanted = _chosen_mapping(first, key)
    is_mapped = wanted != first.mapping.model_dump()
    found = _preview(_mark(content), name, content, wanted) if is_mapped else first
    icon = ":material/error:" if found.problem else ":material/check_circle:"
    with st.expander(_headline(name, found), expanded=is_open or bool(found.problem), icon=icon):
        if found.problem:
            st.error(words.escaped(found.problem), icon=":material/error:")
            st.caption("It is left out, unless other columns are chosen below.")
        else:
            st.markdown(
                f"{formats.counted(found.num_bars, 'bar')} of {engine.prices.distance(found.seconds)} from "
                f"{prices.day(found.first)} to {prices.day(found.last)}, of {formats.counted(found.num_rows, 'row')}."
            )
        if found.repairs:
            st.markdown("\n".join(f"- {words.escaped(repair)}" for repair in found.repairs))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            token = st.text_input(
                "Token", value=found.token, max_chars=MAX_TOKEN, key=f"{key}/token", width=220
            ).strip()
            is_wanted = st.toggle("Use this file", value=True, key=f"{key}/use")
        _show_mapping(found, key)
        columns = dict(zip(found.columns, zip(*found.rows, strict=True), strict=True)) if found.rows else {}
        st.dataframe(columns, hide_index=True, width="stretch", alt=f"First rows of {name} as they stand in the file")
    read = Read(name, content, found.mapping, token or found.token, is_wanted, is_mapped, problem=found.problem)
    return replace(read, is_named=read.token != found.token)


def _headline(name: str, found: Any) -> str:
    """A file in one line, as it stands folded up."""
    if found.problem:
        return f"**{words.escaped(name)}** cannot be read like this"
    repairs = f", {formats.counted(len(found.repairs), 'repair')}" if found.repairs else ""
    return f"**{words.escaped(name)}** {words.escaped(found.token)}, {formats.counted(found.num_bars, 'bar')}{repairs}"


def _chosen_mapping(first: Any, key: str) -> dict[str, str]:
    """{role: column}: what the widgets below hold already, the detected columns at first."""
    detected, columns = first.mapping.model_dump(), ("", *first.columns)
    held = {role: st.session_state.get(f"{key}/{role}", column) for role, column in detected.items()}
    return {role: column if column in columns else detected[role] for role, column in held.items()}


def _show_mapping(found: Any, key: str) -> None:
    """Which column is what, each to be changed."""
    st.markdown(":small[Which column is what]")
    columns = ["", *found.columns]
    with st.grid(4, min_column_width=130):
        for role, column in found.mapping.model_dump().items():
            st.selectbox(
                formats.words(role), columns, index=columns.index(column), key=f"{key}/{role}",
                format_func=lambda column: column or "none", help=f"{_meaning(role)}.",
            )  # fmt: skip


def _meaning(role: str) -> str:
    return (engine.prices.Mapping.model_fields[role].description or "").rstrip(".")
