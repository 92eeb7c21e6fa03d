"""The price files of an upload, a zip file or a folder, in memory or where they lie, and what is skipped with its reason."""

from __future__ import annotations

import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from engine.core.errors import DataError
from engine.data.images import archives, names
from engine.data.images.intake import Skipped, check_count
from engine.data.images.limits import limits
from engine.data.prices.tables import MAX_BYTES

Content = bytes | Path
"""A file's bytes, or where it lies."""

ENDINGS = (".csv", ".tsv", ".txt")
NO_PRICES = frozenset({"readme", "license", "licence", "notes", "checksum", "checksums", "sha256sums", "md5sums"})
MAX_TOTAL_BYTES = 2 * MAX_BYTES
"""Of all files of an archive together, which are unpacked to memory."""


@dataclass(frozen=True)
class Opened:
    """files: (clean name, content) of every price file. skipped: (name, reason)."""

    files: tuple[tuple[str, Content], ...]
    skipped: tuple[tuple[str, str], ...]


def expanded(brought: Sequence[tuple[str, Content]]) -> Opened:
    """Open zip files and folders among what was brought; every name is made clean, or its file skipped.

    Raises:
        DataError: an archive is damaged or too large, there are too many files, or one cannot be read.
    """
    found: dict[str, Content] = {}
    skipped: list[tuple[str, str]] = []
    for name, content, reason in _each(brought):
        try:
            clean = "/".join(names.cleaned(name))
        except names.Hostile as hostile:
            clean, reason = name, str(hostile)
        if reason or clean in found:
            skipped.append((names.shown(clean), reason or "is the second file of this name"))
        else:
            found[clean] = content
            check_count(len(found), limits())
    return Opened(tuple(found.items()), tuple(skipped))


def content_of(content: Content, name: str) -> bytes:
    """A file's bytes. Raises DataError where it cannot be read or is too large."""
    if isinstance(content, bytes):
        return content
    try:
        if not content.is_file():
            raise DataError(f"'{names.shown(name)}' is no file that can be read; choose a CSV file.")
        size = content.stat().st_size
        if size > MAX_BYTES:
            raise DataError(
                f"'{names.shown(name)}' holds {size:,} bytes and {MAX_BYTES:,} are allowed; bring longer bars or fewer."
            )
        return content.read_bytes()
    except OSError as error:
        raise DataError(f"'{names.shown(name)}' cannot be read ({error.strerror}); change its permissions.") from error


def _each(brought: Sequence[tuple[str, Content]]) -> Iterator[tuple[str, Content, str]]:
    """(name, content, why it is skipped or "") of every file."""
    for name, content in brought:
        if isinstance(content, Path) and content.is_dir():
            yield from _in_folder(content)
        elif _is_zip(name, content):
            try:
                with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                    yield from _in_zip(file)
            except PermissionError as error:
                raise DataError(
                    f"'{names.shown(name)}' cannot be read ({error.strerror}); change its permissions."
                ) from error
        else:
            yield name, content, ""


def _is_zip(name: str, content: Content) -> bool:
    """By its ending; a file of another is told from a table when it is read."""
    return name.casefold().endswith(".zip") and (isinstance(content, bytes) or content.is_file())


def _why_skipped(name: str) -> str:
    """Why a file of a folder or an archive is not tried, "" where it is."""
    path = PurePosixPath(name)
    if path.suffix.casefold() not in ENDINGS:
        return "is no CSV file, by its ending"
    return "is a note, by its name" if path.stem.casefold() in NO_PRICES else ""


def _in_folder(folder: Path) -> Iterator[tuple[str, Content, str]]:
    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}); change its permissions.") from error

    root, count = folder.resolve(), 0
    for here, below, inside in os.walk(root, onerror=fail):
        below[:] = sorted(name for name in below if not names.is_hidden((name,)))
        for file in sorted(inside):
            path = Path(here) / file
            if names.is_hidden((file,)):
                continue
            count += 1
            check_count(count, limits())
            name = os.fsencode(path.relative_to(root)).decode("utf-8", "replace")
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                yield name, path, "is a link that leads out of the folder"
            else:
                yield name, path, _why_skipped(name)


def _in_zip(file: BinaryIO) -> Iterator[tuple[str, Content, str]]:
    total = 0
    with archives.opened(file, limits()) as archive:
        for member in archive.infolist():
            # the name as it is in the file: zipfile ends it at a NUL
            name = member.orig_filename
            if member.filename.endswith("/") or _is_hidden(name):
                continue
            reason = _why_skipped(name)
            content = b""
            if not reason:
                try:
                    content = _unpacked(archive, member)
                except Skipped as why:
                    reason = str(why)
            total += len(content)
            if total > MAX_TOTAL_BYTES:
                raise DataError(
                    f"The price files in this zip file hold more than {MAX_TOTAL_BYTES:,} bytes; bring fewer at once."
                )
            yield name, content, reason


def _is_hidden(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return names.is_hidden(tuple(part for part in parts if part not in (".", "..")))


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member. Raises Skipped."""
    archives.check_member(member)
    too_large = f"is larger than the {MAX_BYTES:,} bytes allowed"
    if member.file_size > MAX_BYTES:
        raise Skipped(too_large)
    try:
        with archive.open(member) as packed:
            content = packed.read(MAX_BYTES + 1)
    except NotImplementedError:
        raise Skipped("is packed in a way that cannot be read here; make the zip file with deflate") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's; bzip2's own have no number
            raise
        raise Skipped("is damaged inside the zip file") from None
    if len(content) > MAX_BYTES:
        raise Skipped(too_large)
    return content
