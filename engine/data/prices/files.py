"""Price files from uploads, zip files and folders, in memory or on disk; skipped files carry a reason."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from engine.core.errors import DataError
from engine.data.imported import archives, names
from engine.data.imported.folders import check_count, walk
from engine.data.imported.limits import limits
from engine.data.imported.names import Skipped, shown

Content = bytes | Path  # a file's bytes, or its path

ENDINGS = (".csv", ".tsv", ".txt")
NO_PRICES = frozenset({"readme", "license", "licence", "notes", "checksum", "checksums", "sha256sums", "md5sums"})
MAX_FILES_IN_MEMORY = 2  # total size of the files of a zip file, in multiples of the limit for one file

_File = tuple[str, Content, str]  # name, content, why it is skipped or ""


@dataclass(frozen=True)
class Opened:
    """files: (clean name, content) of every price file. skipped: (name, reason)."""

    files: tuple[tuple[str, Content], ...]
    skipped: tuple[tuple[str, str], ...]


def expanded(brought: Sequence[tuple[str, Content]]) -> Opened:
    """The price files among files, zip files and folders, by clean names. Raises DataError if one cannot be opened."""
    found: dict[str, Content] = {}
    skipped: list[tuple[str, str]] = []
    for name, content, reason in _each(brought):
        try:
            parts = names.cleaned(name)
        except Skipped as why:
            skipped.append((shown(name), str(why)))
            continue
        clean = "/".join(parts)
        if name.endswith("/") or names.is_hidden(parts):
            continue
        if reason or clean in found:
            skipped.append((shown(clean), reason or "is the second file of this name"))
        else:
            found[clean] = content
            check_count(len(found), limits())
    return Opened(tuple(found.items()), tuple(skipped))


def content_of(content: Content, name: str) -> bytes:
    """A file's bytes. Raises DataError if it cannot be read or is too large."""
    if isinstance(content, bytes):
        return content
    try:
        if not content.is_file():
            raise DataError(f"'{shown(name)}' is not a readable file; choose a CSV file.")
        check_size(content.stat().st_size, name)
        return content.read_bytes()
    except OSError as error:
        raise DataError(f"'{shown(name)}' cannot be read ({error.strerror}); change its permissions.") from error


def check_size(size: int, name: str) -> None:
    instead = "use longer bars or a shorter history"
    limits().check("max_price_bytes", size, f"'{shown(name)}' has {size:,} bytes", instead)


def _each(brought: Sequence[tuple[str, Content]]) -> Iterator[_File]:
    for name, content in brought:
        if isinstance(content, Path) and content.is_dir():
            for count, (inside, path, reason) in enumerate(walk(content), 1):
                check_count(count, limits())
                yield inside, path, reason or _why_skipped(inside)
        elif name.casefold().endswith(".zip") and (isinstance(content, bytes) or content.is_file()):
            try:
                with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                    yield from _in_zip(file)
            except PermissionError as error:
                reason = f"cannot be read ({error.strerror}); change its permissions."
                raise DataError(f"'{shown(name)}' {reason}") from error
        else:
            yield name, content, ""


def _why_skipped(name: str) -> str:
    """Why a file in a folder or zip file is not read, "" if it is."""
    path = PurePosixPath(name)
    if path.suffix.casefold() not in ENDINGS:
        return "is not a CSV file, by its extension"
    return "is a note, by its name" if path.stem.casefold() in NO_PRICES else ""


def _in_zip(file: IO[bytes]) -> Iterator[_File]:
    caps = limits()
    total, allowed = 0, MAX_FILES_IN_MEMORY * caps.max_price_bytes
    with archives.opened(file, caps) as archive:
        for name, member in archives.members(archive):
            content, reason = b"", _why_skipped(name)
            if not reason:
                try:
                    with archives.opened_member(archive, member) as packed:
                        content = packed.read(caps.max_price_bytes + 1)
                except Skipped as why:
                    reason = str(why)
            if len(content) > caps.max_price_bytes:
                content, reason = b"", f"is larger than the {caps.max_price_bytes:,} bytes allowed"
            total += len(content)
            if total > allowed:
                more = f"The price files in this zip file have more than {allowed:,} bytes"
                raise DataError(f"{more}; import fewer at once.")
            yield name, content, reason
