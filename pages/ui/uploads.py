"""Uploads of a folder or a zip file of any size, in parts of a few megabytes, to the server's disk.

`st.file_uploader` uploads all files of a folder at once, and browsers lose some past a thousand; it takes no file
larger than `server.maxUploadSize`, and keeps files in memory until the tab is closed. Here the browser (`upload.js`)
joins the files end to end and sends parts of the whole, one after the other, over Streamlit's own upload route. They go
into one unnamed temporary file, which the operating system removes when it is closed or this process ends.
"""

import contextlib
import io
import itertools
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFileManager, UploadedFileRec

import engine

PART_BYTES = 8 * 2**20
LIST = "list"
"""Name of the last part, which lists the files; the other parts are numbered."""
_CHANGING = threading.Lock()

HTML = """
<button type="button"></button>
<input type="file" hidden>
<span role="status"></span>
<progress max="1" value="0" aria-label="Upload" hidden></progress>
"""


@dataclass
class Spool:
    """A folder or a zip file as it arrives: its files end to end, then the list of their names and sizes.

    choice: tells one choice of the user from the next.
    """

    choice: str
    file: BinaryIO
    max_bytes: int
    size: int = 0
    files: list[tuple[str, int]] = field(default_factory=list)

    def put(self, part: str, data: bytes) -> None:
        """Write one part; a part that arrives twice overwrites itself.

        Raises ValueError for an impossible part, and for any part after the file was closed. If the disk is full,
        closes the file and raises OSError.
        """
        if self.file.closed:
            raise ValueError("an earlier part could not be written")
        if part == LIST:
            files = [(str(name), int(size)) for name, size in json.loads(data)]
            if any(size < 0 for _, size in files) or sum(size for _, size in files) != self.size:
                raise ValueError("the list of files does not fit what was sent")
            self.files = files
            return
        start = int(part) * PART_BYTES
        if start < 0 or len(data) > PART_BYTES or start + len(data) > self.max_bytes:
            raise ValueError("no such part")
        try:
            self.file.seek(start)
            self.file.write(data)
            self.file.flush()
        except OSError:
            self.close()
            raise
        self.size = max(self.size, start + len(data))

    def opened(self) -> list[tuple[str, BinaryIO]]:
        """(name, open file) of each file; `name` is the path that the browser gave."""
        starts = itertools.accumulate((size for _, size in self.files), initial=0)
        placed = zip(self.files, starts, strict=False)
        return [(name, cast(BinaryIO, Piece(self.file, start, size))) for (name, size), start in placed]

    def close(self) -> None:
        """Free the space on the disk."""
        with contextlib.suppress(OSError):  # closing flushes once more, which fails on a full disk
            self.file.close()


class Piece(io.RawIOBase):
    """One of the files: `size` bytes of the spool from `start`. Reading raises DataError once the spool is closed."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        room = max(0, min(len(buffer), self._size - self._position))
        try:
            self._file.seek(self._start + self._position)
            data = self._file.read(room)
        except ValueError:  # closed, by another choice or the end of the session
            raise engine.errors.DataError("The upload was replaced while it was being read; import it again.") from None
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class Keeper(MemoryUploadedFileManager):
    """Streamlit's store of uploads, which writes the parts of spools to the disk.

    owners: the session of each widget. spools: the latest choice of each widget.
    """

    owners: dict[str, str]
    spools: dict[str, Spool]

    def add_file(self, session_id: str, file: UploadedFileRec) -> None:
        widget, _, rest = file.file_id.partition(".")
        if self.owners.get(widget) != session_id:
            super().add_file(session_id, file)
            return
        choice, _, part = rest.partition("-")
        if widget not in self.spools or self.spools[widget].choice != choice:
            self.drop(widget)
            root = engine.data_root()
            root.mkdir(parents=True, exist_ok=True)
            place = tempfile.TemporaryFile(dir=root)  # noqa: SIM115 (`drop` closes it)
            self.spools[widget] = Spool(choice, place, engine.images.limits().max_bytes)
        self.spools[widget].put(part, file.data)

    def complete(self, widget: str) -> Spool | None:
        """The choice of a widget once all of it is here, until it is closed."""
        spool = self.spools.get(widget)
        return spool if spool and spool.files and not spool.file.closed else None

    def drop(self, widget: str) -> None:
        if spool := self.spools.pop(widget, None):
            spool.close()

    def remove_session_files(self, session_id: str) -> None:
        super().remove_session_files(session_id)
        for widget in [widget for widget, owner in self.owners.items() if owner == session_id]:
            del self.owners[widget]
            self.drop(widget)


def keeper_of(manager: UploadedFileManager) -> Keeper:
    """The process's keeper of uploads: Streamlit's own store with another class, since its upload route holds it."""
    with _CHANGING:
        if not isinstance(manager, Keeper):
            for name in ("owners", "spools"):
                setattr(manager, name, {})
            manager.__class__ = Keeper  # last: other threads use it at any moment
    return cast(Keeper, manager)


def chosen(key: str, kind: Literal["folder", "zip"]) -> Spool | None:
    """A widget that uploads a folder or a zip file; the upload once it is complete. Close it when it was read."""
    context = get_script_run_ctx()
    assert context is not None, "uploads work only on a page"
    widget = st.session_state.setdefault(f"{key} token", uuid.uuid4().hex)  # a name that nobody else can guess
    keeper = keeper_of(context.uploaded_file_mgr)
    keeper.owners[widget] = context.session_id
    spool = keeper.complete(widget)
    base, caps = st.get_option("server.baseUrlPath").strip("/"), engine.images.limits()
    url = f"{'/' + base if base else ''}/_stcore/upload_file/{context.session_id}"
    data = {"url": url, "widget": widget, "kind": kind, "is_here": spool is not None}
    data |= {"part_bytes": PART_BYTES, "max_bytes": caps.max_bytes, "max_files": caps.max_files}
    _component()(key=key, data=data, on_sent_change=lambda: None)
    return spool


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., Any]:
    css, js = (Path(__file__).with_name(name).read_text("utf-8") for name in ("upload.css", "upload.js"))
    return st.components.v2.component("distillery_upload", html=HTML, css=css, js=js)
