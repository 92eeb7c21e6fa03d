"""Uploads of a folder or a zip file of any size, in parts of a few megabytes, to this machine's disk.

`st.file_uploader` starts the uploads of all files of a folder at once, and browsers lose some past a thousand; it takes
no file larger than `server.maxUploadSize`, and keeps files in memory until the tab is closed. Here the browser joins
the files end to end and sends the whole in parts, one after the other, by Streamlit's own route for uploads. The parts
go into one file without a name, which the operating system removes when it is closed or this process ends.
"""

import contextlib
import io
import itertools
import json
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, cast

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import ScriptRunContext, get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFileManager, UploadedFileRec

import engine

PART_BYTES = 8 * 2**20
LIST = "list"
"""In place of a part's number: the name of the last part, which lists the files."""
_CHANGING = threading.Lock()

HTML = """
<button type="button"></button>
<input type="file" hidden>
<span role="status"></span>
<progress max="1" value="0" aria-label="Upload" hidden></progress>
"""
CSS = """
:host, button { font-family: var(--st-font); font-size: 0.875rem; color: var(--st-text-color); }
button { cursor: pointer; padding: 0.5rem 0.9rem; border: 1px solid var(--st-border-color);
         border-radius: var(--st-button-radius, 0.5rem); background: var(--st-background-color); }
button:hover, button:focus-visible { border-color: var(--st-primary-color); color: var(--st-primary-color); }
button:focus-visible { outline: none; }
button:disabled { opacity: 0.5; cursor: progress; }
span { margin-left: 0.75rem; overflow-wrap: anywhere; }
progress { display: block; width: 100%; height: 0.5rem; margin-top: 0.75rem; accent-color: var(--st-primary-color); }
progress[hidden] { display: none; }
"""
JS = """
export default function ({ parentElement, data, setTriggerValue }) {
  const tags = ["button", "input", "span", "progress"];
  const [button, input, status, bar] = tags.map((tag) => parentElement.querySelector(tag));
  const noun = { folder: "folder", zip: "zip file" }[data.kind];
  input.webkitdirectory = input.multiple = data.kind === "folder";
  input.accept = data.kind === "zip" ? ".zip" : "";
  button.textContent = data.is_here ? `Choose another ${noun}` : `Choose a ${noun}`;

  async function put(name, blob) {
    const cookie = /(?:^|; )_streamlit_xsrf=([^;]*)/.exec(document.cookie);
    const form = new FormData();
    form.append("file", blob, name);
    for (let attempt = 0; ; attempt++) {
      try {
        const headers = cookie ? { "X-Xsrftoken": decodeURIComponent(cookie[1]) } : {};
        const answer = await fetch(`${data.url}/${name}`, { method: "PUT", body: form, headers });
        if (answer.ok) return;
        const why = answer.status < 500 ? "" : " and could not keep it; there may be no room left on its disk";
        throw new Error(`the server answered ${answer.status}${why}`);
      } catch (error) {
        if (attempt === 2) throw error;
        await new Promise((resume) => setTimeout(resume, 500 * (attempt + 1)));
      }
    }
  }

  async function send(files) {
    const whole = new Blob(files);
    const list = files.map((file) => [file.webkitRelativePath || file.name, file.size]);
    if (files.length > data.max_files || whole.size > data.max_bytes) {
      const size = `${files.length.toLocaleString("en")} files and ${(whole.size / 1e9).toFixed(1)} GB`;
      throw new Error(`it has ${size}, more than allowed; see Limits`);
    }
    const choice = `${Date.now()}`;
    const megabytes = (bytes) => Math.round(bytes / 1e6).toLocaleString("en");
    for (let start = 0, number = 0; start < whole.size; start += data.part_bytes, number++) {
      status.textContent = `${megabytes(start)} of ${megabytes(whole.size)} MB`;
      bar.value = start / whole.size;
      await put(`${data.widget}.${choice}-${number}`, whole.slice(start, start + data.part_bytes));
    }
    await put(`${data.widget}.${choice}-list`, new Blob([JSON.stringify(list)]));
    return choice;
  }

  button.onclick = () => input.click();
  input.onchange = async () => {
    const files = [...input.files];
    if (!files.length) return;
    button.disabled = true;
    bar.hidden = false;
    try {
      setTriggerValue("sent", await send(files));
      status.textContent = "";
    } catch (error) {
      status.textContent = `This ${noun} could not be uploaded: ${error.message}.`;
    } finally {
      button.disabled = false;
      bar.hidden = true;
      input.value = "";
    }
  };
}
"""


@dataclass
class Spool:
    """A folder or a zip file as it arrives: its files end to end, then their names and sizes."""

    file: BinaryIO
    max_bytes: int
    size: int = 0
    files: list[tuple[str, int]] = field(default_factory=list)

    def put(self, part: str, data: bytes) -> None:
        """Write one part. A part that is sent twice goes to the same place.

        Raises ValueError for a part that cannot be right. If the disk is full, raises OSError and lets go of
        everything; later parts then raise ValueError.
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
        """The files: (name, open for reading) each."""
        starts = itertools.accumulate((size for _, size in self.files), initial=0)
        placed = zip(self.files, starts, strict=False)
        return [(name, cast(BinaryIO, Piece(self.file, start, size))) for (name, size), start in placed]

    def close(self) -> None:
        """Free the space on the disk."""
        with contextlib.suppress(OSError):  # a full disk refuses once more what was not written yet
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

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        room = max(0, min(len(buffer), self._size - self._position))
        try:
            self._file.seek(self._start + self._position)
            data = self._file.read(room)
        except ValueError:  # closed, by `Keeper.drop`
            raise engine.errors.DataError("The upload was replaced while it was being read; import it again.") from None
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@dataclass(frozen=True)
class Sent:
    """What was uploaded: (name as the browser gave it, open file) of each file, and their total size."""

    files: Sequence[tuple[str, BinaryIO]]
    num_bytes: int


class Keeper(MemoryUploadedFileManager):
    """Streamlit's store of uploads, which writes parts to the disk.

    owners: session of each widget. spools: by (widget, choice of its user).
    """

    owners: dict[str, str]
    spools: dict[tuple[str, str], Spool]

    def add_file(self, session_id: str, file: UploadedFileRec) -> None:
        widget, _, rest = file.file_id.partition(".")
        if self.owners.get(widget) != session_id:
            super().add_file(session_id, file)
            return
        choice, _, part = rest.partition("-")
        if (widget, choice) not in self.spools:
            self.drop(widget)
            root = engine.data_root()
            root.mkdir(parents=True, exist_ok=True)
            place = tempfile.TemporaryFile(dir=root)  # noqa: SIM115 (`drop` closes it)
            self.spools[widget, choice] = Spool(place, engine.images.limits().max_bytes)
        self.spools[widget, choice].put(part, file.data)

    def complete(self, widget: str) -> Spool | None:
        mine = (spool for key, spool in list(self.spools.items()) if key[0] == widget and spool.files)
        return next(mine, None)

    def drop(self, widget: str) -> None:
        for key in [key for key in self.spools if key[0] == widget]:
            self.spools.pop(key).close()

    def remove_session_files(self, session_id: str) -> None:
        super().remove_session_files(session_id)
        for widget in [widget for widget, owner in self.owners.items() if owner == session_id]:
            del self.owners[widget]
            self.drop(widget)


def chosen(key: str, kind: Literal["folder", "zip"]) -> Sent | None:
    """A widget that uploads a folder or a zip file; what was uploaded, once it is complete."""
    context = _context()
    keeper, widget = keeper_of(context.uploaded_file_mgr), _widget(key)
    keeper.owners[widget] = context.session_id
    spool = keeper.complete(widget)
    base, caps = st.get_option("server.baseUrlPath").strip("/"), engine.images.limits()
    url = f"{'/' + base if base else ''}/_stcore/upload_file/{context.session_id}"
    data = {"url": url, "widget": widget, "kind": kind, "is_here": spool is not None}
    data |= {"part_bytes": PART_BYTES, "max_bytes": caps.max_bytes, "max_files": caps.max_files}
    _component()(key=key, data=data, on_sent_change=lambda: None)
    return None if spool is None else Sent(spool.opened(), spool.size)


def forget(key: str) -> None:
    keeper_of(_context().uploaded_file_mgr).drop(_widget(key))


def _context() -> ScriptRunContext:
    context = get_script_run_ctx()
    if context is None:
        raise RuntimeError("uploads work only on a page")
    return context


def _widget(key: str) -> str:
    """The widget's name in the browser, which nobody else can guess."""
    return st.session_state.setdefault(f"{key} token", uuid.uuid4().hex)


def keeper_of(manager: UploadedFileManager) -> Keeper:
    """The process's keeper of uploads. The route that receives them holds this very object, so its class is changed."""
    with _CHANGING:
        if not isinstance(manager, Keeper):
            for name in ("owners", "spools"):
                setattr(manager, name, {})
            manager.__class__ = Keeper  # last: other threads use it at any moment
    return cast(Keeper, manager)


@st.cache_resource(show_spinner=False)
def _component() -> Callable[..., Any]:
    return st.components.v2.component("distillery_upload", html=HTML, css=CSS, js=JS)
