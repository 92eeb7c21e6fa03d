"""Image files as they arrive: copied from an upload or a zip file, or read in place; skipped ones carry a reason."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, Literal, NamedTuple

from engine.core.events import Event, Progress
from engine.data.images.imagenet import SUBSETS, WORDNET_ID
from engine.data.imported import archives, names
from engine.data.imported.folders import check_count, check_total, walk
from engine.data.imported.limits import Limits, variable
from engine.data.imported.names import Skipped
from engine.data.imported.parallel import PROGRESS_SECONDS, in_threads

BLOCK_BYTES = 1 << 20
HEAD_BYTES = 512  # tell the type of a file; its extension is not trusted
LAYOUT_TEXTS = frozenset({"val_annotations.txt", "words.txt", "images.txt", "classes.txt"})
LAYOUT_TEXTS |= {"image_class_labels.txt", "train_test_split.txt"}

_IMAGES = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|BM", re.DOTALL)
_ARCHIVES = re.compile(rb"PK[\x03\x05\x07]|Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ|.{257}ustar", re.DOTALL)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")  # protocols 2 to 5; older ones are text
_OTHERS = {
    rb"GIF8": "is a GIF",
    rb"II[*+]\x00|MM\x00[*+]": "is a TIFF",
    rb"....ftyp(heic|heix|hevc|mif1|msf1|avif|avis)": "is a HEIC or AVIF photo",
    rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51": "is a JPEG 2000",
    rb"8BPS": "is a Photoshop file",
    rb"%PDF|%!PS": "is a PDF or PostScript file",
    rb"\s*(<\?xml[^>]*>)?\s*(<!--.*?-->\s*)?<svg": "is an SVG drawing",
}
DIGEST_BYTES = 16

Loading = Generator[Event, None, "Found"]


class Entry(NamedTuple):
    """A file that is used. name: cleaned, with "/" between folders. path: of its bytes. digest: of them, in hex."""

    name: str
    path: Path
    size: int
    digest: str

    @property
    def parts(self) -> names.Parts:
        return tuple(self.name.split("/"))


@dataclass
class Found:
    """The files of an import. texts: lists of published layouts. skipped: (name, reason). num_hidden: system files."""

    images: list[Entry] = field(default_factory=list)
    texts: list[Entry] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    num_hidden: int = 0
    num_bytes: int = 0
    _names: set[str] = field(default_factory=set, init=False)

    def named(self, name: str) -> names.Parts | None:
        """Note a file or folder. Returns the cleaned path of a file to use, None for folders and skipped files."""
        try:
            parts = names.cleaned(name)
        except Skipped as reason:
            self.skip(name, str(reason))
            return None
        clean, is_folder = "/".join(parts), name.endswith("/")
        if names.is_hidden(parts):
            self.num_hidden += not is_folder
            return None
        if not is_folder and clean in self._names:
            self.skip(clean, "is the second file of this name")
            return None
        self.folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + is_folder)}
        if is_folder:
            return None
        self._names.add(clean)
        return parts

    def skip(self, name: str, reason: str) -> None:
        self.skipped.append((names.shown(name), reason))

    def keep(self, entry: Entry, kind: str, caps: Limits) -> None:
        """Add a file. Raises DataError if the files are too large together."""
        (self.images if kind == "image" else self.texts).append(entry)
        self.num_bytes += entry.size
        check_total(self.num_bytes, caps)

    def to_json(self) -> str:
        """JSON for `from_json`; the files themselves are numbered, in one folder."""
        values = vars(self) | {"folders": sorted(self.folders)}
        del values["_names"]
        return json.dumps(values, default=lambda path: path.name)

    @classmethod
    def from_json(cls, text: str, folder: Path) -> Found:
        values = json.loads(text)
        for kind in ("images", "texts"):
            values[kind] = [Entry(name, folder / stored, *rest) for name, stored, *rest in values[kind]]
        return cls(**values | {"folders": set(values["folders"]), "skipped": list(map(tuple, values["skipped"]))})


def uploaded(files: Sequence[tuple[str, BinaryIO]], into: Path, caps: Limits) -> Loading:
    """Copy the uploaded (relative path, open file) to `into`, numbered. Raises DataError if there are too many."""
    check_count(len(files), caps)
    opened = ((name, contextlib.nullcontext(file)) for name, file in files)
    return (yield from _copied(opened, len(files), "copy files", into, caps))


def unpacked(file: BinaryIO, into: Path, caps: Limits) -> Loading:
    """Unpack the images of a zip file to `into`, numbered. Raises DataError if it is damaged or too large."""
    with archives.opened(file, caps) as archive:
        opened = ((name, archives.opened_member(archive, member)) for name, member in archives.members(archive))
        return (yield from _copied(opened, len(archive.filelist), "unpack files", into, caps))


def _copied(
    files: Iterable[tuple[str, AbstractContextManager[IO[bytes]]]], total: int, phase: str, into: Path, caps: Limits
) -> Loading:
    """Store each file in turn. files: (name, what opens it); the names of folders end in "/"."""
    found, reported = Found(), 0.0
    for number, (name, opened) in enumerate(files):
        if time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            yield Progress(phase, number, total)
        if (parts := found.named(name)) is not None:
            try:
                with opened as file:
                    store(file, parts, into / f"{number:06d}", found, caps)
            except Skipped as reason:
                found.skip("/".join(parts), str(reason))
    yield Progress(phase, total, total)
    return found


def store(file: IO[bytes], parts: names.Parts, target: Path, found: Found, caps: Limits) -> None:
    """Copy a file to `target` and add it to `found`. Raises Skipped, leaving no file, if it is not used."""
    if file.seekable():
        file.seek(0)  # a rejected import may have read it before
    try:
        with target.open("wb") as copy:
            kind, size, digest = _read(file, parts[-1], caps, copy)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    found.keep(Entry("/".join(parts), target, size, digest), kind, caps)


def _read(file: IO[bytes], name: str, caps: Limits, copy: IO[bytes] | None = None) -> tuple[str, int, str]:
    """Kind, size and digest of a file, which is written to `copy` if given. Raises Skipped if it is not used."""
    block = file.read(HEAD_BYTES)
    kind = kind_of(block, name)
    size, digest = 0, hashlib.blake2b(digest_size=DIGEST_BYTES)
    while block:
        size += len(block)
        if size > caps.max_file_bytes:
            raise Skipped(f"is larger than the {caps.max_file_bytes:,} bytes allowed ({variable('max_file_bytes')})")
        digest.update(block)
        if copy is not None:
            copy.write(block)
        block = file.read(BLOCK_BYTES)
    return kind, size, digest.hexdigest()


def on_disk(folder: Path, subset: str, caps: Limits) -> Loading:
    """List the files in a folder of this machine. Raises DataError: too many files, or they cannot be read.

    subset: of an ImageNet tree, only the folders of these classes are read.
    """
    found, num_bytes = Found(), [0]
    listed: list[tuple[names.Parts, Path]] = []
    classes = SUBSETS.get(subset)
    for name, path, reason in walk(folder, lambda at: not classes or at in classes or not WORDNET_ID.fullmatch(at)):
        if reason:
            found.skip(name, reason)
        elif (parts := found.named(name)) is not None:
            listed.append((parts, path))
            check_count(len(listed), caps)
            if len(listed) % 1000 == 1:
                yield Progress("read folder", 0, len(listed))

    def look(number: int) -> tuple[Entry, str] | str:
        parts, path = listed[number]
        try:
            with path.open("rb") as file:
                kind, size, digest = _read(file, parts[-1], caps)
        except Skipped as reason:
            return str(reason)
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        num_bytes[0] += size
        check_total(num_bytes[0], caps)  # here as well, so that nobody waits for terabytes to be read
        return Entry("/".join(parts), path, size, digest), kind

    looks = yield from in_threads(look, len(listed), "read files")
    for (parts, _), seen in zip(listed, looks, strict=True):
        if isinstance(seen, str):
            found.skip("/".join(parts), seen)
        else:
            found.keep(*seen, caps)
    return found


def kind_of(head: bytes, name: str) -> Literal["image", "text"]:
    """The type of a file by its name and first HEAD_BYTES; "text" is a list of a published layout. Raises Skipped."""
    if not head:
        raise Skipped("is empty (0 bytes)")
    if _IMAGES.match(head):
        return "image"
    if _ARCHIVES.match(head):
        raise Skipped("is a nested archive; unpack it first")
    if name in LAYOUT_TEXTS:
        return "text"
    if _PICKLE.match(head):
        raise Skipped("is a Python pickle, which is never opened")
    other = next((what for pattern, what in _OTHERS.items() if re.match(pattern, head, re.DOTALL)), "")
    raise Skipped(f"{other}; save it as JPEG or PNG" if other else "is not an image (JPEG, PNG, WebP or BMP)")
