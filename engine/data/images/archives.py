"""Zip files: checked before anything is unpacked, and unpacked one member at a time under the same caps.

What a zip file says of its members need not be true, so every byte is counted again as it comes out.
"""

from __future__ import annotations

import lzma
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from engine.core.errors import DataError
from engine.core.events import Event, Progress
from engine.data.images import names
from engine.data.images.intake import Found, Skipped, check_count, check_total, store, too_large
from engine.data.images.limits import Limits, variable
from engine.data.images.parallel import PROGRESS_SECONDS

RATIO_FROM_BYTES = 1_000_000  # a small archive may well hold much air
LISTED_BYTES = 512  # of the list of files for each file that is allowed; its name and the tools' notes take about 100
MAX_COMMENT_BYTES = 1 << 16

# the records at the end of a zip file (APPNOTE 4.3.12 to 4.3.16), each with its signature first
ENTRY = struct.Struct("<4s24x3H12x")  # lengths of the name, the extra field and the comment, which follow
END_64 = struct.Struct("<4s36xQ8x")  # bytes of the list
LOCATOR_64 = struct.Struct("<4s4xQ4x")  # place of END_64
END = struct.Struct("<4s8xL6x")  # bytes of the list


def unpacked(file: BinaryIO, into: Path, caps: Limits) -> Generator[Event, None, Found]:
    """Unpack the images of a zip file to `into`, under numbers for names.

    Raises DataError: it is no zip file or cut off, or what it unpacks to is more than allowed.
    """
    with opened(file, caps) as archive:
        members = archive.infolist()
        found, reported = Found(), 0.0
        for number, member in enumerate(members):
            if time.monotonic() - reported >= PROGRESS_SECONDS:
                reported = time.monotonic()
                yield Progress("unpack files", number, len(members))
            _unpack(archive, member, into / f"{number:06d}", found, caps)
        yield Progress("unpack files", len(members), len(members))
    return found


def opened(file: BinaryIO, caps: Limits) -> zipfile.ZipFile:
    """A zip file, of which nothing is unpacked yet.

    Raises DataError: it is no zip file or cut off, or what it says that it unpacks to is more than allowed.
    """
    file.seek(0)  # an import that was refused has read it before
    try:
        _check_list(file, caps)
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"This is no zip file, or only a part of one ({str(error).rstrip('.').lower()}); zip the folder again and send that."
        ) from None
    _check(archive.infolist(), file, caps)
    return archive


def _check_list(file: BinaryIO, caps: Limits) -> None:
    """Raise DataError for too many members. `zipfile` would make an object of each first, whatever number is given.

    Raises BadZipFile where there is no list.
    """
    start, size = _list_place(file)
    allowed = LISTED_BYTES * caps.max_files
    if size > allowed:
        raise DataError(
            f"The list of files in this zip file takes {size:,} bytes and {allowed:,} are allowed; bring fewer files, or set "
            f"{variable('max_files')}."
        )
    file.seek(start)
    listed, place, counts = file.read(size), 0, {"files": 0, "folders": 0}
    while place + ENTRY.size <= len(listed):
        signature, *lengths = ENTRY.unpack_from(listed, place)
        if signature != b"PK\x01\x02":
            break  # `zipfile` says what is wrong
        end_of_name = place + ENTRY.size + lengths[0]
        counts["folders" if listed[end_of_name - 1 : end_of_name] == b"/" else "files"] += 1
        place += ENTRY.size + sum(lengths)
    for what, count in counts.items():
        check_count(count, caps, what)


def _list_place(file: BinaryIO) -> tuple[int, int]:
    """Where the list of members lies, and its bytes; found as `zipfile` finds it. Raises BadZipFile where there is none."""
    num_bytes = file.seek(0, 2)
    tail_start = max(0, num_bytes - MAX_COMMENT_BYTES - END.size - LOCATOR_64.size - END_64.size)
    file.seek(tail_start)
    tail = file.read(num_bytes - tail_start)
    end = len(tail) - END.size
    if end < 0 or not tail.startswith(b"PK\x05\x06", end) or not tail.endswith(b"\0\0"):  # a comment follows
        end = tail.rfind(b"PK\x05\x06", max(0, end - MAX_COMMENT_BYTES))
    if not 0 <= end <= len(tail) - END.size:
        raise zipfile.BadZipFile("File is not a zip file")
    _, size = END.unpack_from(tail, end)
    locator = end - LOCATOR_64.size
    if locator >= 0 and tail.startswith(b"PK\x06\x07", locator):
        _, place = LOCATOR_64.unpack_from(tail, locator)
        end = locator - END_64.size
        if end < 0 or place != tail_start + end or not tail.startswith(b"PK\x06\x06", end):
            raise zipfile.BadZipFile("Its end is not where it says")
        _, size = END_64.unpack_from(tail, end)
    if size > tail_start + end:
        raise zipfile.BadZipFile("Bad offset for central directory")
    return tail_start + end - size, size


def _check(members: list[zipfile.ZipInfo], file: BinaryIO, caps: Limits) -> None:
    """Raise DataError for a bomb, by what the archive itself says."""
    total = sum(member.file_size for member in members)
    check_total(total, caps)
    packed = file.seek(0, 2)
    if total > RATIO_FROM_BYTES and total > caps.max_ratio * packed:
        raise DataError(
            f"This zip file unpacks to {total // max(packed, 1):,} times its size and {caps.max_ratio:,} times is allowed; "
            f"bring the files in a folder, or set {variable('max_ratio')}."
        )


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, found: Found, caps: Limits) -> None:
    """Store one member, or note why not."""
    # the name as it is in the file: zipfile ends it at a NUL
    name = member.orig_filename
    if member.filename.endswith("/"):  # `is_dir` fails where there is no name
        _note_folder(name, found)
        return
    parts = found.named(name)
    if parts is None:
        return
    try:
        _refuse(member, caps)
        with archive.open(member) as packed:
            store(packed, parts, target, found, caps)
    except Skipped as reason:
        found.skip("/".join(parts), str(reason))
    except NotImplementedError:
        found.skip("/".join(parts), "is packed in a way that cannot be read here; make the zip file with deflate")
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's; bzip2's own have no number
            raise
        target.unlink(missing_ok=True)
        found.skip("/".join(parts), "is damaged inside the zip file")


def check_member(member: zipfile.ZipInfo) -> None:
    """Raise Skipped for a member that is encrypted, or no ordinary file."""
    if member.flag_bits & 0x1:
        raise Skipped("is encrypted; make the zip file without a password")
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Skipped("is a link or no ordinary file")


def _refuse(member: zipfile.ZipInfo, caps: Limits) -> None:
    """Raise Skipped for a member that is not opened at all."""
    check_member(member)
    if member.file_size > caps.max_file_bytes:
        raise Skipped(too_large(caps))


def _note_folder(name: str, found: Found) -> None:
    try:
        parts = names.cleaned(name)
    except names.Hostile as reason:
        found.skip(name, str(reason))
        return
    if not names.is_hidden(parts):
        found.folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
