"""The imported data sets under a data root: listed, added in one step, renamed, deleted.

imported/plants/dataset.json     what it is, and the report of its import
imported/plants/files.json       the names of its files, which lie by number in
imported/plants/files/000123     as they were uploaded; absent where a folder of this machine was read
imported/.partial-…/             an import under way; renamed when it is whole
decoded/<digest>.safetensors     see `decoded.py`
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import psutil

from engine.core.config import checked
from engine.core.errors import DataError
from engine.data.images import decoded, names
from engine.data.images.options import ImportOptions
from engine.data.images.source import KEY_PREFIX, FolderSource
from engine.data.shelf import LEFTOVER_SECONDS, RECORD, listed, moved

_PARTIAL = re.compile(r"\.partial-(?P<pid>\d+)-(?P<host>.*)-[0-9a-f]{12}")


def root_of(data_root: Path) -> Path:
    """Where imported data sets lie."""
    return data_root / "imported"


def saved(data_root: Path) -> dict[str, FolderSource]:
    """The imported data sets under a data root by key ("folder:plants"), oldest first. Quick: small files, remembered."""
    return listed(root_of(data_root), _read)


@lru_cache(maxsize=512)
def _read(path: Path, changed: int, size: int) -> FolderSource:
    """A record, remembered until its time of change or size is another."""
    return FolderSource.from_json(path.read_text(encoding="utf-8"), KEY_PREFIX + path.parent.name)


def find(key: str, data_root: Path) -> FolderSource:
    """The data set of a key. Raises DataError if there is none."""
    sources = saved(data_root)
    if key not in sources:
        raise DataError(
            f"There is no imported data set '{names.shown(key)}'; there are: {', '.join(sources) or 'none'}."
        )
    return sources[key]


def folder_of(key: str, data_root: Path) -> Path:
    """The folder of a data set that exists."""
    return root_of(data_root) / find(key, data_root).key.removeprefix(KEY_PREFIX)


def check_title(title: str, data_root: Path, own_key: str = "") -> None:
    """Raise DataError if another data set is called so."""
    for key, source in saved(data_root).items():
        if key != own_key and source.title.casefold() == title.casefold():
            raise DataError(f"There is a data set called '{source.title}' already; choose another name.")


def rename(key: str, title: str, data_root: Path) -> None:
    """Call a data set otherwise; its key, which runs know it by, stays. Raises DataError or ConfigError for a bad title."""
    source = find(key, data_root)
    options = checked(ImportOptions, source.options.model_dump() | {"name": title}, "name")
    check_title(options.name, data_root, key)
    renamed = replace(source, title=options.name, options=options)
    path = folder_of(key, data_root) / RECORD
    temporary = path.with_name(f".{RECORD}-{secrets.token_hex(6)}")
    temporary.write_text(renamed.to_json(), encoding="utf-8")
    os.replace(temporary, path)


def delete(key: str, data_root: Path) -> None:
    """Remove a data set, and its decoded images where no other data set is made of the same. Raises DataError."""
    source = find(key, data_root)
    going = _partial(data_root)
    folder_of(key, data_root).rename(going)  # gone from the list at once, whatever happens below
    shutil.rmtree(going, ignore_errors=True)
    if all(other.digest != source.digest for other in saved(data_root).values()):
        decoded.path_of(source.digest, data_root).unlink(missing_ok=True)


@contextlib.contextmanager
def workplace(data_root: Path) -> Iterator[Path]:
    """A folder to build a data set in, removed with all it holds unless `add` made it one."""
    sweep(data_root)
    place = _partial(data_root)
    (place / "files").mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def add(place: Path, source: FolderSource, data_root: Path) -> FolderSource:
    """Make the folder `place` the data set `source`, under a key that is free; `source.key` is the one it asks for."""
    (place / RECORD).write_text(source.to_json(), encoding="utf-8")
    target = moved(place, source.key.removeprefix(KEY_PREFIX), root_of(data_root))
    return find(KEY_PREFIX + target.name, data_root)


def sweep(data_root: Path) -> None:
    """Remove what imports of killed processes left behind: folders half built, decoded images that nobody lists."""
    now = time.time()
    for place in root_of(data_root).glob(".partial-*"):
        with contextlib.suppress(OSError):
            if _is_abandoned(place.name) or now - place.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(place, ignore_errors=True)
    used = {source.digest for source in saved(data_root).values()}
    for path in (data_root / "decoded").glob("*.safetensors"):
        with contextlib.suppress(OSError):
            if path.stem not in used and now - path.stat().st_mtime > LEFTOVER_SECONDS:
                path.unlink()


def _partial(data_root: Path) -> Path:
    """A new name for a folder under way, which says whose it is."""
    return root_of(data_root) / f".partial-{os.getpid()}-{socket.gethostname()}-{secrets.token_hex(6)}"


def _is_abandoned(name: str) -> bool:
    """Whether the process of this machine that made it is gone."""
    owner = _PARTIAL.fullmatch(name)
    return owner is not None and owner["host"] == socket.gethostname() and not psutil.pid_exists(int(owner["pid"]))
