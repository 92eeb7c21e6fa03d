"""Zip files: checked before they are unpacked, and their bytes counted meanwhile, as the stated sizes may be false."""

import contextlib
import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from engine.core.errors import DataError
from engine.data.imported.folders import check_count, check_total
from engine.data.imported.limits import Limits, variable
from engine.data.imported.names import Skipped

RATIO_FROM_BYTES = 1_000_000  # small archives may compress very well
BLOCK_BYTES = 1 << 20
ENTRY = b"PK\x01\x02"  # begins the entry of each file and folder in the list at the end (APPNOTE 4.3.12)


def opened(file: IO[bytes], caps: Limits) -> zipfile.ZipFile:
    """Open a zip file. Raises DataError: it is damaged, has too many members, or would unpack to too many bytes."""
    _check_entries(file, caps)
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        why = str(error).rstrip(".").lower()
        raise DataError(f"This is not a complete zip file ({why}); zip the folder again.") from None
    for what, is_folder in (("files", False), ("folders", True)):
        check_count(sum(member.filename.endswith("/") is is_folder for member in archive.infolist()), caps, what)
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
        try:
            packed = archive.open(member)
        except ValueError as error:  # a place before the file's first byte
            raise zipfile.BadZipFile from error
        with packed:
            yield packed
    except NotImplementedError:
        raise Skipped("uses an unsupported compression method; make the zip file with deflate") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # from the disk; bzip2's own have no number
            raise
        raise Skipped("is damaged inside the zip file") from None


def _check_entries(file: IO[bytes], caps: Limits) -> None:
    """Raise DataError for too many members, before `zipfile` makes an object of each."""
    file.seek(0)  # a rejected import may have read it before
    count, before = 0, b""
    while block := file.read(BLOCK_BYTES):
        seen = before + block
        count += seen.count(ENTRY)
        before = seen[-len(ENTRY) + 1 :]
    if count > 2 * caps.max_files:  # files and folders, each within the limit
        check_count(count, caps, "files and folders")
