"""Files as they come: copied out of an upload, or looked at where they lie. What is left out is said, with the reason."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.images import contents, names
from engine.data.images.imagenet import SUBSETS
from engine.data.images.limits import Limits, variable
from engine.data.images.parallel import PROGRESS_SECONDS, in_threads

BLOCK_BYTES = 1 << 20
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Entry:
    """A file that is kept. name: cleaned, "/" between folders. path: where its bytes lie. digest: of its bytes, in hex."""

    name: str
    path: Path
    size: int
    digest: str

    @property
    def parts(self) -> names.Parts:
        return tuple(self.name.split("/"))


@dataclass
class Found:
    """All that was brought: images by their first bytes, the texts of published layouts, folders, and what is skipped.

    skipped: (name, reason). num_hidden: files that a system put there, left out without a word each.
    """

    images: list[Entry] = field(default_factory=list)
    texts: list[Entry] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    num_hidden: int = 0
    num_bytes: int = 0

    def __post_init__(self) -> None:
        self._names: set[str] = set()

    def named(self, name: str) -> names.Parts | None:
        """The clean parts of a name, None where the file is not wanted; notes why."""
        try:
            parts = names.cleaned(name)
        except names.Hostile as reason:
            self.skip(name, str(reason))
            return None
        if names.is_hidden(parts):
            self.num_hidden += 1
            return None
        clean = "/".join(parts)
        if clean in self._names:
            self.skip(clean, "is the second file of this name")
            return None
        self._names.add(clean)
        self.folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        return parts

    def skip(self, name: str, reason: str) -> None:
        """Leave a file out."""
        self.skipped.append((names.shown(name), reason))

    def keep(self, entry: Entry, kind: str, caps: Limits) -> None:
        """Add a file. Raises DataError where all of them together are too large."""
        (self.images if kind == "image" else self.texts).append(entry)
        self.num_bytes += entry.size
        check_total(self.num_bytes, caps)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads; the files lie by number in one folder, images first."""
        return {
            "images": [(entry.name, entry.path.name, entry.size, entry.digest) for entry in self.images],
            "texts": [(entry.name, entry.path.name, entry.size, entry.digest) for entry in self.texts],
            "folders": sorted(self.folders),
            "skipped": self.skipped,
            "num_hidden": self.num_hidden,
            "num_bytes": self.num_bytes,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], folder: Path) -> Found:
        """The same files, lying in `folder`."""

        def entries(rows: list) -> list[Entry]:
            return [Entry(name, folder / stored, size, digest) for name, stored, size, digest in rows]

        return cls(
            entries(values["images"]),
            entries(values["texts"]),
            set(values["folders"]),
            [(name, reason) for name, reason in values["skipped"]],
            values["num_hidden"],
            values["num_bytes"],
        )


class Skipped(Exception):
    """A file that is left out; the message says why."""


def check_count(count: int, caps: Limits, what: str = "files") -> None:
    """Raise DataError for too many files, or folders where those are counted."""
    if count > caps.max_files:
        raise DataError(
            f"There are {count:,} {what} and {caps.max_files:,} are allowed; bring fewer, or set {variable('max_files')}."
        )


def check_total(num_bytes: int, caps: Limits) -> None:
    """Raise DataError for too many bytes in all."""
    if num_bytes > caps.max_bytes:
        raise DataError(
            f"The files hold more than {caps.max_bytes:,} bytes together; bring fewer, or set {variable('max_bytes')}."
        )


def uploaded(files: Sequence[tuple[str, BinaryIO]], into: Path, caps: Limits) -> Generator[Event, None, Found]:
    """Copy the files of a directory upload to `into`, one after the other, under numbers for names.

    files: (relative name as the browser gave it, open file). Raises DataError where there are too many.
    """
    check_count(len(files), caps)
    found, reported = Found(), 0.0
    for number, (name, file) in enumerate(files):
        if time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            yield Progress("copy files", number, len(files))
        if (parts := found.named(name)) is not None:
            file.seek(0)  # an import that was refused has read it before
            store(file, parts, into / f"{number:06d}", found, caps)
    yield Progress("copy files", len(files), len(files))
    return found


def store(file: BinaryIO, parts: names.Parts, target: Path, found: Found, caps: Limits) -> None:
    """Copy one file to `target` if it is one to keep, else note why it is not. Raises DataError past the total."""
    name = "/".join(parts)
    try:
        kind, size, digest = _copied(file, parts[-1], target, caps)
    except Skipped as reason:
        target.unlink(missing_ok=True)
        found.skip(name, str(reason))
    else:
        found.keep(Entry(name, target, size, digest), kind, caps)


def _copied(file: BinaryIO, name: str, target: Path, caps: Limits) -> tuple[str, int, str]:
    """Kind, size and digest of a file that is now at `target`. Raises Skipped; no more than the cap is ever written."""
    block = file.read(contents.HEAD_BYTES)
    kind, reason = contents.kind(block, name)
    if kind == "other":
        raise Skipped(reason)
    size, digest = 0, hashlib.blake2b(digest_size=DIGEST_BYTES)
    with target.open("wb") as copy:
        while block:
            size += len(block)
            if size > caps.max_file_bytes:
                raise Skipped(too_large(caps))
            digest.update(block)
            copy.write(block)
            block = file.read(BLOCK_BYTES)
    return kind, size, digest.hexdigest()


def too_large(caps: Limits) -> str:
    return f"is larger than the {caps.max_file_bytes:,} bytes allowed ({variable('max_file_bytes')})"


def on_disk(folder: Path, subset: str, caps: Limits) -> Generator[Event, None, Found]:
    """Look at the files under a folder of this machine, where they stay.

    subset: of an ImageNet tree, only folders of these classes are looked into. Links are followed where they lead to a
    file inside the folder. Raises DataError where there are too many files, or where the folder cannot be read.
    """
    found, reported, num_bytes = Found(), 0.0, [0]
    listed: list[tuple[names.Parts, Path]] = []
    for parts, path in _walk(folder, subset, found):
        listed.append((parts, path))
        check_count(len(listed), caps)
        if time.monotonic() - reported >= PROGRESS_SECONDS:
            reported = time.monotonic()
            yield Progress("read folder", 0, len(listed))

    def look(number: int) -> tuple[str, int, str]:
        parts, path = listed[number]
        try:
            kind, size, digest = _looked_at(path, parts[-1], caps)
        except Skipped as reason:
            return str(reason), 0, ""
        except OSError as error:
            return f"cannot be read ({error.strerror})", 0, ""
        num_bytes[0] += size
        check_total(num_bytes[0], caps)  # here too: nobody should wait for terabytes to be read first
        return kind, size, digest

    looks = yield from in_threads(look, len(listed), "read files")
    for (parts, path), (kind, size, digest) in zip(listed, looks, strict=True):
        if digest:
            found.keep(Entry("/".join(parts), path, size, digest), kind, caps)
        else:
            found.skip("/".join(parts), kind)
    return found


def _walk(folder: Path, subset: str, found: Found) -> Generator[tuple[names.Parts, Path], None, None]:
    """Files under a folder with clean names, in order of their names; notes folders and what is skipped."""

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}); change its permissions.") from error

    root = folder.resolve()
    for here, below, files in os.walk(root, onerror=fail):
        place = Path(here).relative_to(root)
        for name in list(below):
            if (Path(here) / name).is_symlink():
                below.remove(name)
                found.skip(_text(place / name), "is a link to a folder")
            elif names.is_hidden((name,)) or _is_other_class(name, subset):
                below.remove(name)
        below.sort()
        found.folders |= {"/".join(parts) for name in below if (parts := _parts(place / name)) is not None}
        for name in sorted(files):
            path = Path(here) / name
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                found.skip(_text(place / name), "is a link that leads out of the folder")
            elif not path.is_file():
                found.skip(_text(place / name), "is no ordinary file")
            elif (parts := found.named(_text(place / name))) is not None:
                yield parts, path


def _is_other_class(name: str, subset: str) -> bool:
    """Whether a folder is an ImageNet class, by its WordNet id, that the subset does not have."""
    return (
        subset != "all" and len(name) == 9 and name[0] == "n" and name[1:].isdecimal() and name not in SUBSETS[subset]
    )


def _text(place: Path) -> str:
    """A path as text; bytes that are no text show as question marks."""
    return os.fsencode(place).decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "?")


def _parts(place: Path) -> names.Parts | None:
    try:
        return names.cleaned(_text(place))
    except names.Hostile:
        return None


def _looked_at(path: Path, name: str, caps: Limits) -> tuple[str, int, str]:
    """Kind, size and digest of a file. Raises Skipped."""
    with path.open("rb") as file:
        head = file.read(contents.HEAD_BYTES)
        kind, reason = contents.kind(head, name)
        if kind == "other":
            raise Skipped(reason)
        size = os.fstat(file.fileno()).st_size
        if size > caps.max_file_bytes:
            raise Skipped(too_large(caps))
        file.seek(0)
        return kind, size, hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()
