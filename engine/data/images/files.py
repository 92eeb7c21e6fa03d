"""Published files: found on disk, checked by md5, downloaded, read without unpacking.

A `Published` file is offered for download. Its `parts` are the files that a reader wants: itself, or members of an
archive. Parts that lie unpacked where torchvision puts them are read from there, others from the archive in memory.
"""

import gzip
import hashlib
import os
import ssl
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Literal

from engine.core.errors import DataError
from engine.core.events import Event, Progress

CONNECT_SECONDS = 15
PROGRESS_SECONDS = 0.25
BLOCK_BYTES = 1 << 18


@dataclass(frozen=True)
class Part:
    """A file that a reader wants. md5: of its content, "" if none is published."""

    name: str
    md5: str


@dataclass(frozen=True)
class Published:
    """A file for download.

    path: relative to the data root. urls: mirrors, tried in order. packing: "zip" is a zip archive of gzip files.
    folder: where its parts lie when unpacked, relative to the data root, and within a tar archive.
    """

    path: str
    md5: str
    urls: tuple[str, ...]
    packing: Literal["none", "gzip", "tar", "zip"]
    folder: str
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        return Path(self.path).name


def check_root(data_root: Path) -> None:
    """Raise DataError unless the data root is a folder that can be read, or does not exist yet."""
    try:
        if data_root.exists():
            if not data_root.is_dir():
                raise DataError(f"The data folder {data_root} is a file; set DISTILLERY_DATA to a folder.")
            next(data_root.iterdir(), None)
    except OSError as error:
        instead = "change its permissions or set DISTILLERY_DATA to another folder."
        raise DataError(f"The data folder {data_root} cannot be read ({error.strerror}); {instead}") from error


def is_present(published: Published, data_root: Path) -> bool:
    """Whether all parts can be read now, unpacked or from the archive. Raises DataError for a damaged file."""
    parts = [(data_root / published.folder / part.name, part.md5) for part in published.parts]
    unpacked = [_is_sound(path, md5) for path, md5 in parts]
    return all(unpacked) or _is_sound(data_root / published.path, published.md5)


def paths(published: Published, data_root: Path) -> tuple[Path, ...]:
    """Its files that are on disk now, archive and parts."""
    candidates = [data_root / published.folder / part.name for part in published.parts]
    return tuple(path for path in dict.fromkeys([*candidates, data_root / published.path]) if os.path.isfile(path))


def read_parts(published: Published, data_root: Path, title: str) -> Generator[Event, None, dict[str, bytes]]:
    """The content of each part by name, downloaded if need be. Raises DataError: a file is damaged or unreachable."""
    contents: dict[str, bytes] = {}
    for done, part in enumerate(published.parts):
        yield Progress(f"read {title}: {part.name}", done, len(published.parts))
        path = data_root / published.folder / part.name
        if _is_sound(path, part.md5):
            contents[part.name] = path.read_bytes()
    md5s = {part.name: part.md5 for part in published.parts if part.name not in contents}
    if not md5s:
        return contents
    archive = data_root / published.path
    if not _is_sound(archive, published.md5):
        yield from download(published, data_root, title)
    yield Progress(f"read {title}: {published.name}", 0, 1)
    for name, content in _unpacked(published, md5s, archive):
        yield Progress(f"read {title}: {name}", len(contents), len(published.parts))
        if md5s[name] and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5s[name]:
            what = f"{archive.absolute()} holds a {name} that is not the published one, its md5 differs"
            raise DataError(f"{what}; delete the archive and start again.")
        contents[name] = content
    if absent := [name for name in md5s if name not in contents]:
        raise DataError(f"{archive.absolute()} holds no {', '.join(absent)}; delete it and start again.")
    return contents


def download(published: Published, data_root: Path, title: str) -> Generator[Event, None, None]:
    """Download a file to `<name>.part`, resuming an earlier download, and rename it once its md5 is right.

    Yields Progress in kilobytes. Raises DataError: no address answers, the connection broke, or the md5 differs.
    """
    target = data_root / published.path
    part = target.with_name(target.name + ".part")
    phase = f"download {title}: {published.name}"
    yield Progress(phase, 0, 1)
    reasons = []
    addresses = list(published.urls)
    while addresses:
        url = addresses.pop(0)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            is_continued = part.exists()
            yield from _fetch(url, part, phase)
            if _hash(part) == published.md5:
                part.replace(target)
                return
            part.unlink()
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
            reasons.append(_reason(error))
        except OSError as error:
            what = f"{title}: {published.name} cannot be written to {target.parent.absolute()}"
            instead = "free some space, change its permissions, or set DISTILLERY_DATA."
            raise DataError(f"{what} ({error.strerror or error}); {instead}") from error
        else:
            if is_continued:  # the earlier part may be wrong: once more from the start
                addresses.insert(0, url)
            else:
                reasons.append("what came is not the published file, its md5 differs")
    what = f"{title}: {published.name} could not be downloaded ({'; '.join(reasons)})"
    by_hand = f"fetch it from {' or '.join(published.urls)} and put it in {target.parent.absolute()}"
    raise DataError(f"{what}; try again, or {by_hand}.")


def _fetch(url: str, part: Path, phase: str) -> Generator[Event, None, None]:
    """Download one address into `part`, resuming if the server can. Raises OSError for the network or the disk."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "dataset-distillery"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=CONNECT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == 416:  # nothing after `start`: it is whole, and its md5 decides
            return
        raise
    with response:
        if response.status != 206:  # the server sends the whole file again
            start = 0
        total = start + int(response.headers.get("Content-Length") or 0)
        done, reported = start, 0.0
        with part.open("ab" if start else "wb") as file:
            while block := response.read1(BLOCK_BYTES):
                file.write(block)
                done += len(block)
                if time.monotonic() - reported >= PROGRESS_SECONDS:
                    reported = time.monotonic()
                    yield Progress(phase, done // 1000, max(total, done) // 1000)
        yield Progress(phase, done // 1000, max(total, done) // 1000)
    if done < total:
        raise ConnectionError(f"the connection broke after {done:,} of {total:,} bytes")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection: {error.reason}"
    return str(error) or type(error).__name__


def _unpacked(published: Published, wanted: Collection[str], archive: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the wanted parts of an archive, in one pass, in memory."""
    try:
        if published.packing == "none":
            yield published.parts[0].name, archive.read_bytes()
        elif published.packing == "gzip":
            yield published.parts[0].name, gzip.decompress(archive.read_bytes())
        elif published.packing == "zip":
            with zipfile.ZipFile(archive) as members:
                for path in members.namelist():
                    name = Path(path).name.removesuffix(".gz")
                    if name in wanted:
                        yield name, gzip.decompress(members.read(path))
        else:
            with tarfile.open(archive, mode="r|gz") as members:
                for member in members:
                    folder, _, name = member.name.rpartition("/")
                    if folder == published.folder and name in wanted and (file := members.extractfile(member)):
                        yield name, file.read()
    except (EOFError, OSError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{archive.absolute()} cannot be unpacked ({error}); delete it and start again.") from error


def _is_sound(path: Path, md5: str) -> bool:
    """Whether a file is there. Raises DataError if it cannot be read or is not the published one."""
    try:
        if not path.exists():
            return False
        if not path.is_file():
            what = f"{path.absolute()} is a folder where a file should be"
            raise DataError(f"{what}; rename or delete it and start again.")
        status = path.stat()
        found = _md5_of_version(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        raise DataError(f"{path.absolute()} cannot be read ({error.strerror}); change its permissions.") from error
    if md5 and found != md5:
        what = f"{path.absolute()} is incomplete or damaged: its {status.st_size:,} bytes have md5 {found}"
        instead = "delete it and start again, or put a good copy in its place."
        raise DataError(f"{what}, the published file has {md5}; {instead}")
    return True


@lru_cache(maxsize=256)
def _md5_of_version(path: Path, size: int, changed: int, inode: int) -> str:
    """The md5 of a file, cached until its size, modification time or inode changes."""
    return _hash(path)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
