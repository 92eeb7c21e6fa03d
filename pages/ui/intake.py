"""What the import panels of images and prices share: where the files are, the import button, the limits."""

import contextlib
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import engine
from engine.figures import formats
from pages.ui import parts, services, words

MAX_FOUND = 300
MAX_NAME = 80

Events = Generator[engine.Event, None, engine.Source]
Options = TypeVar("Options", engine.images.ImportOptions, engine.prices.PriceOptions)


def panel(
    label: str,
    ways: Mapping[str, tuple[str, str]],
    key: str,
    explain: Callable[[], None],
    take: Callable[[str, str, DeltaGenerator], str],
) -> str:
    """An import panel; the key of the new data set once it is imported, "" otherwise.

    ways: key -> (title, icon) of each way to bring files. explain: says what the files must look like. take: (way, key
    of the widgets, place below the panel) -> key of the new data set.
    """
    say_what_was_cancelled()
    left, right = st.columns([3, 2], gap="large")
    below, arrived = st.container(), ""
    with right, st.container(border=True):
        explain()
    with left:
        way = parts.pick(label, ways, f"{key} way")
        number = st.session_state.get("import round", 0)
        with services.said_plainly():
            arrived = take(way, f"{key} {way} {number}", below)
    with below:
        _show_limits()
    if arrived:
        st.session_state["import round"] = number + 1  # the next uploader is a new, empty one
    return arrived


def ask_path(key: str, is_wanted: Callable[[Path], bool], kinds: str, kept: str, example: str) -> Path | None:
    """A file or folder on the server. Raises DataError if it is outside the folders that may be read.

    is_wanted: whether a file can be imported. kinds: of what can be imported. kept: what is copied from it.
    """
    root = engine.data_root()
    roots = engine.images.allowed_roots(root)
    found = _importable(roots, is_wanted)
    hint = f"Choose a {kinds}" if found else "Nothing found"
    chosen = st.selectbox("Found on the server", found, None, str, f"{key} found", placeholder=hint, disabled=not found)
    typed = st.text_input("Or its path", key=f"{key} path", placeholder=example).strip()
    places = ", ".join(f"`{path}`" for path in roots)
    st.caption(f"{places} can be read; set `DISTILLERY_FOLDERS` to allow other folders. Only {kept} are copied.")
    text = typed or (str(chosen) if chosen else "")
    return engine.images.checked_path(text, root, kinds) if text else None


def _importable(roots: tuple[Path, ...], is_wanted: Callable[[Path], bool]) -> list[Path]:
    found: list[Path] = []
    for root in roots:
        with contextlib.suppress(OSError):
            entries = sorted(path for path in root.iterdir() if not path.name.startswith("."))
            found += [path for path in entries if path.is_dir() or is_wanted(path)]
    return found[:MAX_FOUND]


def import_button(
    label: str,
    begin: Callable[[Options], Events],
    values: dict[str, Any],
    model: type[Options],
    icon: str = ":material/add_photo_alternate:",
) -> str:
    """A button that runs an import with `values` as its options; the key of the new data set, "" without one."""
    with st.container(horizontal=True):
        pressed = st.button(label, type="primary", icon=icon, key="import")
        cancel = st.empty()
    progress = st.empty()
    key = ""
    if not pressed:
        return key
    with services.said_plainly():
        options = engine.checked(model, values, "Options")
        engine.data.check_title(options.name, engine.data_root())
        cancel.button("Cancel", icon=":material/close:", key="cancel import")  # any click stops the import
        st.session_state["importing"] = options.name
        with services.said_plainly():
            key = services.followed(begin(options), progress).key
        del st.session_state["importing"]  # not reached by an import that is cancelled
        cancel.empty()
        progress.empty()
    return key


def say_what_was_cancelled() -> None:
    """Say once that a click cancelled an import."""
    name = st.session_state.pop("importing", None)
    if name:
        st.info(f"The import of {words.escaped(name)} was cancelled. Nothing was kept.", icon=":material/info:")


def _show_limits() -> None:
    with st.expander("Limits", icon=":material/rule:"):
        st.caption("Set an environment variable before the program starts to change its limit.")
        lines = []
        for variable, value, unit, said in engine.images.limits().rows():
            amount = formats.num_bytes(value) if unit == "bytes" else f"{value:,} {unit}"
            lines.append(f"- {words.escaped(said)}: **{amount}** `{variable}`")
        st.markdown("\n".join(lines))
