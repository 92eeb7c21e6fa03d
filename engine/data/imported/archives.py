"""Zip files: checked before anything is unpacked, then unpacked one member at a time.

What a zip file says about its members may be false, so their bytes are counted again as they are unpacked.
"""

import contextlib
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from engine.core.errors import DataError
from engine.data.imported.folders import Skipped, check_count, check_total
from engine.data.imported.limits import Limits, variable

RATIO_FROM_BYTES = 1_000_000  # small archives may compress very well
LISTED_BYTES = 512  # of the central directory, per allowed file; names and attributes take about 100
MAX_COMMENT_BYTES = 1 << 16

# records of the zip format (APPNOTE 4.3.12 to 4.3.16), each beginning with its signature
ENTRY = struct.Struct("<4s24x3H12x")  # lengths of the name, the extra field and the comment, which follow
END_64 = struct.Struct("<4s36xQ8x")  # size of the central directory
LOCATOR_64 = struct.Struct("<4s4xQ4x")  # position of END_64
END = struct.Struct("<4s8xL6x")  # size of the central directory


def opened(file: IO[bytes], caps: Limits) -> zipfile.ZipFile:
    """Open a zip file without unpacking anything.

    Raises DataError: it is not a zip file, is truncated, or claims to unpack to more than allowed.
    """
    file.seek(0)  # a rejected import may have read it before
    try:
        _check_directory(file, caps)
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        why = str(error).rstrip(".").lower()
        raise DataError(f"This is not a complete zip file ({why}); zip the folder again.") from None
    total, packed = sum(member.file_size for member in archive.infolist()), file.seek(0, 2)
    check_total(total, caps)
    if total > RATIO_FROM_BYTES and total > caps.max_ratio * packed:
        ratio = f"This zip file unpacks to {total // max(packed, 1):,} times its size"
        instead = f"import the unpacked folder, or set {variable('max_ratio')}"
        raise DataError(f"{ratio}, but at most {caps.max_ratio:,} times is allowed; {instead}.")
    return archive


def members(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """(name, member) of each file and folder; the names of folders end in "/"."""
    for member in archive.infolist():
        # the stored name: `filename` is cut off at a NUL; `is_dir` fails for empty names
        yield member.orig_filename + ("/" if member.filename.endswith("/") else ""), member


@contextlib.contextmanager
def opened_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[IO[bytes]]:
    """A member, open for reading. Raises Skipped if it is encrypted, not a regular file, or damaged."""
    if member.flag_bits & 0x1:
        raise Skipped("is encrypted; make the zip file without a password")
    mode = member.external_attr >> 16
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Skipped("is a link or not a regular file")
    try:
        with archive.open(member) as packed:
            yield packed
    except NotImplementedError:
        raise Skipped("uses an unsupported compression method; make the zip file with deflate") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # from the disk; bzip2's own have no number
            raise
        raise Skipped("is damaged inside the zip file") from None


def _check_directory(file: IO[bytes], caps: Limits) -> None:
    """Raise DataError for too many members, before `zipfile` makes an object of each.

    Raises BadZipFile if there is no central directory.
    """
    start, size = _directory(file)
    allowed = LISTED_BYTES * caps.max_files
    if size > allowed:
        taken = f"The list of files in this zip file takes {size:,} bytes, but at most {allowed:,} are allowed"
        raise DataError(f"{taken}; use fewer files, or set {variable('max_files')}.")
    file.seek(start)
    listed, place, counts = file.read(size), 0, {"files": 0, "folders": 0}
    while place + ENTRY.size <= len(listed):
        signature, *lengths = ENTRY.unpack_from(listed, place)
        if signature != b"PK\x01\x02":
            break  # `zipfile` reports what is wrong
        end_of_name = place + ENTRY.size + lengths[0]
        counts["folders" if listed[end_of_name - 1 : end_of_name] == b"/" else "files"] += 1
        place += ENTRY.size + sum(lengths)
    for what, count in counts.items():
        check_count(count, caps, what)


def _directory(file: IO[bytes]) -> tuple[int, int]:
    """Position and size of the central directory, found as `zipfile` finds it. Raises BadZipFile if there is none."""
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
