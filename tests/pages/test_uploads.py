"""What a browser sends in parts lies on the disk, whole and in order; nothing else gets there."""

from __future__ import annotations

import errno
import io
import json
import shutil
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

import engine
from pages.ui import uploads
from pages.ui.uploads import LIST, PART_BYTES, Keeper, Piece

SESSION, WIDGET = "session", "widget"


@pytest.fixture
def keeper(tmp_path, monkeypatch) -> Keeper:
    """Streamlit's keeper of uploads, with one widget that expects something."""
    monkeypatch.setenv("DISTILLERY_DATA", str(tmp_path / "data"))
    found = uploads.keeper_of(MemoryUploadedFileManager("/upload"))
    found.owners[WIDGET] = SESSION
    return found


def put(keeper: Keeper, part: int | str, data: bytes, choice: str = "1", session: str = SESSION) -> None:
    """One part arrives."""
    file_id = f"{WIDGET}.{choice}-{part}"
    keeper.add_file(session, UploadedFileRec(file_id, file_id, "", data))


def send(keeper: Keeper, files: dict[str, bytes], choice: str = "1") -> None:
    """All of a folder arrives, as the browser sends it."""
    whole = b"".join(files.values())
    for start in range(0, len(whole), PART_BYTES):
        put(keeper, start // PART_BYTES, whole[start : start + PART_BYTES], choice)
    put(keeper, LIST, json.dumps([(name, len(content)) for name, content in files.items()]).encode(), choice)


def received(keeper: Keeper) -> dict[str, bytes]:
    """What is here."""
    return {name: file.read() for name, file in keeper.complete(WIDGET).opened()}


def test_files_come_out_as_they_went_in_over_several_parts(keeper, monkeypatch):
    monkeypatch.setattr(uploads, "PART_BYTES", 7)
    files = {f"a/{number}.png": bytes(range(number, number + 5)) for number in range(9)} | {"a/empty": b""}
    whole = b"".join(files.values())
    for number in reversed(range(-(-len(whole) // 7))):
        put(keeper, number, whole[7 * number : 7 * number + 7])
        put(keeper, number, whole[7 * number : 7 * number + 7])  # sent twice
    assert keeper.complete(WIDGET) is None
    put(keeper, LIST, json.dumps([(name, len(content)) for name, content in files.items()]).encode())
    assert received(keeper) == files


def test_content_is_on_the_disk_and_not_in_memory_under_no_name(keeper):
    send(keeper, {"a/1.png": b"x" * 100_000})
    assert keeper.file_storage == {}
    assert list(engine.data_root().iterdir()) == []


def test_a_second_choice_replaces_the_first(keeper):
    send(keeper, {"a": b"old"})
    old = keeper.complete(WIDGET)
    put(keeper, 0, b"new", choice="2")
    assert keeper.complete(WIDGET) is None and old.file.closed
    put(keeper, LIST, b'[["b", 3]]', choice="2")
    assert received(keeper) == {"b": b"new"}


def test_reading_on_after_another_choice_is_one_sentence(keeper):
    send(keeper, {"a": b"old", "b": b"older"})
    (_, first), (_, second) = keeper.complete(WIDGET).opened()
    assert first.read() == b"old"
    put(keeper, 0, b"new", choice="2")
    with pytest.raises(
        engine.errors.DataError, match=r"^The upload was replaced while it was being read; import it again\.$"
    ):
        second.read()


class FullDisk(io.RawIOBase):
    """A file on a disk with room for `room` bytes."""

    def __init__(self, room: int) -> None:
        self.room = room

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset

    def write(self, data) -> int:
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)
        return len(data)


def test_full_disk_gives_its_room_back_and_later_parts_make_no_whole(keeper, monkeypatch):
    disk = FullDisk(10)
    monkeypatch.setattr(uploads.tempfile, "TemporaryFile", lambda **_: io.BufferedRandom(disk))
    put(keeper, 0, b"x" * 10)
    with pytest.raises(OSError, match="No space left"):
        put(keeper, 1, b"y")
    assert disk.closed
    disk.room = 100
    for part, data in ((1, b"y"), (LIST, b'[["a", 10]]')):  # the browser tries again
        with pytest.raises(ValueError, match="could not be written"):
            put(keeper, part, data)
    assert keeper.complete(WIDGET) is None
    monkeypatch.undo()
    send(keeper, {"b": b"another choice"}, choice="2")
    assert received(keeper) == {"b": b"another choice"}


def test_end_of_the_session_closes_the_file(keeper):
    send(keeper, {"a": b"content"})
    spool = keeper.complete(WIDGET)
    keeper.remove_session_files("another")
    assert not spool.file.closed
    keeper.remove_session_files(SESSION)
    assert spool.file.closed and keeper.spools == {} and keeper.owners == {}


def test_another_session_cannot_send_to_a_widget(keeper):
    put(keeper, 0, b"stranger", session="another")
    assert keeper.spools == {}


def test_keeper_is_made_once_and_whole_however_many_ask_at_a_time():
    assigned = []

    class Watched(MemoryUploadedFileManager):
        def __setattr__(self, name, value) -> None:
            assigned.append(name)
            time.sleep(0.02)
            super().__setattr__(name, value)

    manager = Watched("/upload")
    assigned.clear()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(uploads.keeper_of, [manager] * 4))
    assert assigned == ["owners", "spools", "__class__"]
    assert all(keeper is manager and isinstance(keeper, Keeper) for keeper in found)


def test_other_uploads_are_kept_as_ever(keeper):
    record = UploadedFileRec("id", "result.safetensors", "", b"content")
    keeper.add_file(SESSION, record)
    assert keeper.get_files(SESSION, ["id"]) == [record]
    keeper.remove_file(SESSION, "id")
    assert keeper.get_files(SESSION, ["id"]) == []


@pytest.mark.parametrize(
    ("part", "data"),
    [
        (-1, b"x"),
        ("one", b"x"),
        (10**9, b"x"),
        (0, b"x" * (PART_BYTES + 1)),
        (LIST, b"[]"),
        (LIST, b'[["a", 99]]'),
        (LIST, b'[["a", -1], ["b", 4]]'),
        (LIST, b"nonsense"),
    ],
)
def test_nonsense_is_refused(keeper, part, data):
    put(keeper, 0, b"abc")
    with pytest.raises(ValueError):
        put(keeper, part, data)
    assert keeper.complete(WIDGET) is None


def test_more_than_the_cap_is_refused(keeper, monkeypatch):
    monkeypatch.setenv("DISTILLERY_MAX_BYTES", "1000")
    with pytest.raises(ValueError):
        put(keeper, 0, b"x" * 1001)


def test_a_piece_reads_like_a_file():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.txt", b"hello" * 1000)
    around = io.BytesIO(b"before" + content.getvalue() + b"after")
    piece = Piece(around, 6, len(content.getvalue()))
    with zipfile.ZipFile(piece) as archive:
        assert archive.read("a.txt") == b"hello" * 1000
    copied = io.BytesIO()
    piece.seek(0)
    shutil.copyfileobj(piece, copied)
    assert copied.getvalue() == content.getvalue()
    assert piece.read(1) == b""
