"""The panel that imports images from a folder, a zip file or a path on the server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import engine
from engine.figures import formats
from pages.ui import forms, intake, uploads, words

WAYS = {
    "folder": ("A folder on this computer", ":material/folder_open:"),
    "zip": ("A zip file", ":material/folder_zip:"),
    "server": ("A folder on the server", ":material/dns:"),
}
"""How images come in: title and icon."""
LAYOUT = """flowers/
    rose/      a.jpg  b.jpg  c.png …
    tulip/     1.jpg  2.webp …
    daffodil/  …"""
SPLIT_LAYOUT = """flowers/
    train/  rose/ …  tulip/ …
    test/   rose/ …  tulip/ …"""
MAX_SIZE = 256


@dataclass(frozen=True)
class Brought:
    """The chosen images: a name for the data set, their import, and what frees the upload afterwards."""

    name: str
    begin: Callable[[engine.images.ImportOptions], intake.Events]
    forget: Callable[[], None] = lambda: None


def panel() -> str:
    """The whole panel; the key of the new data set once it is imported, "" otherwise."""
    return intake.panel("Where the images are", WAYS, "import", _explain, _take)


def again(source: engine.images.FolderSource) -> str:
    """The panel that imports the files of a data set again with other options; returns as `panel` does."""
    st.markdown("Makes a second data set from the same files. The first one does not change.")
    intake.say_what_was_cancelled()
    key = f"import again/{source.key}"
    root = engine.data_root()
    larger = min(MAX_SIZE, 2 * source.options.image_size)
    size = st.session_state.get(f"{key}/image_size", larger)
    start = source.options.model_dump() | {"image_size": larger, "name": f"{source.title} {size}"}
    values = _ask_options(key, start)

    def begin(options: engine.images.ImportOptions) -> intake.Events:
        if source.path:  # checked, since the command line may import from any folder
            return engine.images.import_path(engine.images.checked_path(source.path, root), options, root)
        return engine.images.import_again(source.key, options, root)

    return intake.import_button("Make the data set", begin, values, engine.images.ImportOptions)


def _explain() -> None:
    st.subheader("How to sort the images", anchor=False)
    st.markdown("One folder per class, named after the class, with its images inside.")
    st.code(LAYOUT, language=None)
    st.markdown("If there is a test set, put the class folders into `train` and `test` (or `val`).")
    st.code(SPLIT_LAYOUT, language=None)
    st.caption(
        "JPEG, PNG, WebP and BMP of any size. Without a test folder, a fifth of each class is used for testing. "
        "Tiny ImageNet, CUB-200-2011 and the ten-class subsets of ImageNet are recognised in their published layout. "
        "Files that cannot be used are skipped and listed with the reason."
    )


def _take(way: str, key: str, below: DeltaGenerator) -> str:
    brought = _ask_path(key) if way == "server" else _ask_upload(key, "folder" if way == "folder" else "zip")
    if brought is None:
        st.caption("Choose the images to set the name, the image size and other options.")
        return ""
    values = _ask_options(key, {"name": brought.name})
    arrived = intake.import_button("Import", brought.begin, values, engine.images.ImportOptions)
    if arrived:
        brought.forget()
    return arrived


def _ask_upload(key: str, kind: Literal["folder", "zip"]) -> Brought | None:
    """The button that uploads a folder or a zip file; None until the upload is complete."""
    st.markdown(f":small[{'Folder' if kind == 'folder' else 'Zip file'} with a folder for each class]")
    sent = uploads.chosen(key, kind)
    if sent is not None:
        what = formats.counted(len(sent.files), "file") if kind == "folder" else words.escaped(sent.files[0][0])
        st.caption(f"{what}, {formats.num_bytes(sent.size)}.")
    st.caption("The import needs about twice the size of the upload on the server's disk.")
    if sent is None:
        return None
    files, root = sent.opened(), engine.data_root()
    name, file = files[0]
    if kind == "zip":
        return Brought(Path(name).stem, lambda options: engine.images.import_zip(file, options, root), sent.close)
    title = name.split("/")[0] if "/" in name else "My images"
    return Brought(title, lambda options: engine.images.import_upload(files, options, root), sent.close)


def _ask_path(key: str) -> Brought | None:
    path = intake.ask_path(key, _is_zip, "folder or zip file", "the decoded images", "/…/flowers")
    if path is None:
        return None
    name = path.stem if _is_zip(path) else path.name
    return Brought(name, lambda options: engine.images.import_path(path, options, engine.data_root()))


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _ask_options(key: str, start: Mapping[str, Any]) -> dict[str, Any]:
    """The form of ImportOptions. A new suggestion for the name is a new widget, so it replaces what was typed."""
    suggested = str(start["name"]).strip()[: intake.MAX_NAME]
    fields = forms.entries(engine.images.ImportOptions, {**start, "name": suggested})
    answers: dict[forms.Path, Any] = {}
    forms.ask([field for field in fields if field.name == "name"], f"{key}/{suggested}", answers, columns=1)
    forms.ask([field for field in fields if field.name != "name"], key, answers)
    return forms.nested(answers)
