"""Your own data in: the panel that takes a folder, a zip or a path on the server, and makes a data set of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

import engine
from engine.figures import formats
from pages.ui import forms, services, uploads, words

WAYS = {
    "folder": ("A folder on this computer", ":material/folder_open:"),
    "zip": ("A zip file", ":material/folder_zip:"),
    "server": ("A folder on the server", ":material/dns:"),
}
"""How images come in: what the way is called, and its icon."""

LAYOUT = """flowers/
    rose/      a.jpg  b.jpg  c.png …
    tulip/     1.jpg  2.webp …
    daffodil/  …"""
SPLIT_LAYOUT = """flowers/
    train/  rose/ …  tulip/ …
    test/   rose/ …  tulip/ …"""

REDRAW_SECONDS = 0.1
MAX_FOUND = 300
MAX_NAME = 80
MAX_SIZE = 256

Events = Generator[engine.Event, None, Any]


@dataclass(frozen=True)
class Asked:
    """What is to come in: the name it suggests, how its import begins (None: nothing is chosen), how it is let go of."""

    name: str = ""
    begin: Callable[[Any], Events] | None = None
    forget: Callable[[], None] = lambda: None


def panel() -> str:
    """Everything it takes to add a data set. The new data set's key in the draw in which it arrived, "" otherwise."""
    say_what_was_broken_off()
    left, right = st.columns([3, 2], gap="large")
    with right:
        _explain()
    with left:
        way = st.segmented_control(
            "Where the images are", list(WAYS), default="folder", required=True, wrap=True, key="import way",
            format_func=lambda way: f"{WAYS[way][1]} {WAYS[way][0]}",
        )  # fmt: skip
        round_number = st.session_state.get("import round", 0)
        asked = {"folder": _ask_folder, "zip": _ask_zip, "server": _ask_path}[way](f"{way} {round_number}")
        if asked.begin is None:
            key = ""
            st.caption("Its name, the size of the images and other options follow once it is chosen.")
        else:
            values = _ask_options(f"import/{way}/{round_number}", {"name": asked.name})
            key = import_button("Import", asked.begin, values)
    show_limits()
    if key:
        st.session_state["import round"] = round_number + 1  # the next uploader is a new, empty one
        asked.forget()
    return key


def again(source: Any) -> str:
    """The same files with other options, as another data set. Its key in the draw in which it arrived, "" otherwise."""
    say_what_was_broken_off()
    key = f"import again/{source.key}"
    root = engine.data_root()
    larger = min(MAX_SIZE, 2 * source.options.image_size)
    size = st.session_state.get(f"{key}/image_size", larger)
    values = _ask_options(key, source.options.model_dump() | {"image_size": larger, "name": f"{source.title} {size}"})

    def begin(options: Any) -> Events:
        if source.path:  # it may have come in by the command line, which reads any place
            return engine.images.import_path(engine.images.checked_path(source.path, root), options, root)
        return engine.images.import_again(source.key, options, root)

    return import_button("Make the data set", begin, values)


def show_limits() -> None:
    """The caps of an import, and how each is changed."""
    rows = [(variable, _amount(value, unit), said) for variable, value, unit, said in engine.images.limits().rows()]
    with st.expander("Limits", icon=":material/rule:"):
        st.caption("Each is changed by its environment variable, before the program starts.")
        st.markdown("\n".join(f"- {words.escaped(said)}: **{amount}** `{variable}`" for variable, amount, said in rows))


def _amount(value: int, unit: str) -> str:
    return formats.num_bytes(value) if unit == "bytes" else f"{value:,} {unit}"


def _explain() -> None:
    """What the folders have to look like."""
    with st.container(border=True):
        st.subheader("How to sort the images", anchor=False)
        st.markdown("One sub-folder a class, the images in it. The folders' names are the classes' names.")
        st.code(LAYOUT, language=None)
        st.markdown("With a test set of your own, put the class folders into `train` and `test` (or `val`).")
        st.code(SPLIT_LAYOUT, language=None)
        st.caption(
            "JPEG, PNG, WebP and BMP of any size. Without a test folder a fifth of each class is set aside for tests. "
            "Tiny ImageNet, CUB-200-2011 and the ten-class subsets of ImageNet are recognised as they are published. "
            "What cannot be used is skipped and listed with its reason."
        )


def _ask_folder(key: str) -> Asked:
    sent = _ask_upload(key, "folder", "Folder with a sub-folder for each class")
    if sent is None:
        return Asked()
    first = sent.files[0][0]

    def begin(options: Any) -> Events:
        return engine.images.import_upload(sent.files, options, engine.data_root())

    return Asked(first.split("/")[0] if "/" in first else "My images", begin, lambda: uploads.forget(key))


def _ask_zip(key: str) -> Asked:
    sent = _ask_upload(key, "zip", "Zip file with a folder for each class")
    if sent is None:
        return Asked()
    name, file = sent.files[0]

    def begin(options: Any) -> Events:
        return engine.images.import_zip(file, options, engine.data_root())

    return Asked(Path(name).stem, begin, lambda: uploads.forget(key))


def _ask_upload(key: str, kind: str, label: str) -> uploads.Sent | None:
    """The button that sends a folder or a zip, and how much of it is here."""
    st.markdown(f":small[{label}]")
    sent = uploads.chosen(key, kind)
    if sent is not None:
        what = formats.counted(len(sent.files), "file") if kind == "folder" else words.escaped(sent.files[0][0])
        st.caption(f"{what}, {formats.num_bytes(sent.num_bytes)}.")
    st.caption("On the server's disk it takes about twice its size while it is imported, and then the decoded images.")
    return sent


def _ask_path(key: str) -> Asked:
    """A folder or zip under one of the allowed folders; it is read in place."""
    root = engine.data_root()
    found = _importable(engine.images.allowed_roots(root))
    chosen = st.selectbox(
        "Found there", found, index=None, format_func=str, key=f"{key} found",
        placeholder="Choose a folder or a zip" if found else "Nothing is there yet", disabled=not found,
    )  # fmt: skip
    typed = st.text_input("Or its path", key=f"{key} path", placeholder="/…/flowers").strip()
    places = ", ".join(f"`{path}`" for path in engine.images.allowed_roots(root))
    st.caption(
        f"Folders and zips under {places} may be read. The environment variable `DISTILLERY_FOLDERS` names other places. "
        "Nothing is copied but the decoded images."
    )
    text = typed or (str(chosen) if chosen else "")
    if not text:
        return Asked()

    def begin(options: Any) -> Events:
        return engine.images.import_path(engine.images.checked_path(text, root), options, root)

    return Asked(Path(text).stem if text.lower().endswith(".zip") else Path(text).name, begin)


def _importable(roots: Sequence[Path]) -> list[Path]:
    """What lies directly in the allowed folders and can be imported: folders and zips, hidden ones left out."""
    found: list[Path] = []
    for root in roots:
        with contextlib.suppress(OSError):
            entries = sorted(path for path in root.iterdir() if not path.name.startswith("."))
            found += [path for path in entries if path.is_dir() or path.suffix.lower() == ".zip"]
    return found[:MAX_FOUND]


def _ask_options(key: str, start: dict[str, Any]) -> dict[str, Any]:
    """The form of ImportOptions. What is chosen suggests the name; choosing something else suggests another."""
    suggested = start["name"].strip()[:MAX_NAME]
    fields = forms.entries(engine.images.ImportOptions, start | {"name": suggested})
    answers: dict[tuple[str, ...], Any] = {}
    forms.ask([field for field in fields if field.name == "name"], f"{key}/{suggested}", answers, columns=1)
    forms.ask([field for field in fields if field.name != "name"], key, answers)
    return forms.nested(answers)


def import_button(
    label: str,
    begin: Callable[[Any], Events],
    values: dict[str, Any],
    model: type[engine.Config] = engine.images.ImportOptions,
    icon: str = ":material/add_photo_alternate:",
) -> str:
    """Run the import when the button is pressed, with `values` as options. The new data set's key, "" where there is none."""
    with st.container(horizontal=True):
        pressed = st.button(label, type="primary", icon=icon, key="import")
        cancel = st.empty()
    progress = st.empty()
    if not pressed:
        return ""
    with services.said_plainly():
        options = engine.checked(model, values, "Options")
        engine.data.check_title(options.name, engine.data_root())
        cancel.button("Cancel", icon=":material/close:", key="cancel import")  # any click breaks the import off
        st.session_state["importing"] = options.name
        try:
            key = _shown(begin(options), progress).key
        except engine.UserError:
            _tidy(cancel, progress)
            raise
        _tidy(cancel, progress)
        return key
    return ""


def _tidy(*places: Any) -> None:
    """After an import that ended, well or with a sentence. One that is broken off does not come here."""
    del st.session_state["importing"]
    for place in places:
        place.empty()


def _shown(events: Events, place: Any) -> Any:
    """Run an import to its end with a bar that says how far it is; broken off, it leaves nothing behind."""
    bar, drawn = place.progress(0.0, text="Starting …"), 0.0
    with contextlib.closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            if event.kind == "progress" and time.monotonic() - drawn > REDRAW_SECONDS:
                drawn = time.monotonic()
                share = f" · {formats.count(event.done)} of {formats.count(event.total)}" if event.total else ""
                done = min(1.0, event.done / event.total) if event.total else 0.0
                bar.progress(done, text=words.escaped(f"{event.phase[:1].upper()}{event.phase[1:]}{share}"))


def say_what_was_broken_off() -> None:
    """An import that a click broke off, said once."""
    name = st.session_state.pop("importing", None)
    if name:
        st.info(
            f"The import of {words.escaped(name)} was stopped before its end. Nothing of it was kept.",
            icon=":material/info:",
        )
