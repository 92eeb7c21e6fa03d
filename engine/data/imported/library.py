"""Imported data sets on disk: listed, added in one step, renamed, deleted.

<data root>/<folder>/<slug>/dataset.json    the record of a data set, beside its files
<data root>/<folder>/.partial-…/            being imported or deleted; not listed
"""

import contextlib
import itertools
import json
import logging
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Generic, Literal, Self, TypeVar

import psutil
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from engine.core.errors import ConfigError, DataError
from engine.core.options import Config
from engine.data.imported.names import Title, shown, slug
from engine.data.source import Availability

RECORD = "dataset.json"
MAX_RECORD_BYTES = 200_000_000
LEFTOVER_SECONDS = 24 * 3600  # age at which unfinished imports count as abandoned
_PARTIAL = re.compile(r"\.partial-(?P<pid>\d+)-(?P<host>.*)-[0-9a-f]{12}")
_LOG = logging.getLogger(__name__)


class Report(Config):
    """What an import found. notes: sentences about the whole data set. skipped: (file, reason)."""

    notes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


class Imported(Config):
    """The record of an imported data set, which is also its source. key: from the folder's name. created: unix time."""

    kind: ClassVar[Literal["images", "prices"]]
    schema_version: Literal[1] = 1
    key: Annotated[str, Field(exclude=True)] = ""
    title: Title
    origin: str
    created: float
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]

    def stored(self, data_root: Path) -> Path:
        """The file that runs read."""
        raise NotImplementedError

    def availability(self, data_root: Path) -> Availability:
        if self.stored(data_root).is_file():
            return Availability("present", f"{self.origin}, stored under {data_root.absolute()}.")
        return Availability("missing", f"Its {self.kind} are missing; delete it and import it again.")

    def renamed(self, title: str) -> Self:
        return self.model_copy(update={"title": title})


Kind = TypeVar("Kind", bound=Imported)


@dataclass(frozen=True)
class Library(Generic[Kind]):
    """The data sets of one kind. prefix: of their keys. fallback: slug for titles without ASCII letters."""

    kind: type[Kind]
    folder: str
    prefix: str
    fallback: str

    def root(self, data_root: Path) -> Path:
        return data_root / self.folder

    def saved(self, data_root: Path) -> dict[str, Kind]:
        """All data sets by key, oldest first. Unreadable ones are left out with a warning in the log."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            for folder in self.root(data_root).iterdir():
                path = folder / RECORD
                if folder.name.startswith(".") or not path.is_file():
                    continue
                try:
                    status = path.stat()
                    found.append(_read(self, path, status.st_mtime_ns, status.st_size))
                except (OSError, ValueError) as error:
                    _LOG.warning("%s cannot be read and is left out: %s", path, error)
        return {source.key: source for source in sorted(found, key=lambda source: (source.created, source.key))}

    def find(self, key: str, data_root: Path) -> Kind:
        """The data set of a key. Raises DataError if there is none."""
        sources = self.saved(data_root)
        if key not in sources:
            known = ", ".join(sources) or "none"
            raise DataError(f"There is no imported data set '{shown(key)}'. Imported so far: {known}.")
        return sources[key]

    def folder_of(self, key: str, data_root: Path) -> Path:
        return self.root(data_root) / key.removeprefix(self.prefix)

    def check_title(self, title: str, data_root: Path, own_key: str = "") -> None:
        """Raise DataError if another data set has this title."""
        for key, source in self.saved(data_root).items():
            if key != own_key and source.title.casefold() == title.casefold():
                raise DataError(f"There is already a data set called '{source.title}'; choose another name.")

    def rename(self, key: str, title: str, data_root: Path) -> None:
        """Change the title; the key, which runs refer to, stays. Raises DataError or ConfigError for a bad title."""
        source = self.find(key, data_root)
        try:
            title = TypeAdapter(Title).validate_python(title)
        except ValidationError as error:
            raise ConfigError(f"'{shown(title)}' is not a valid name: {error.errors()[0]['msg']}.") from None
        self.check_title(title, data_root, key)
        path = self.folder_of(key, data_root) / RECORD
        temporary = path.with_name(f".{RECORD}-{secrets.token_hex(6)}")
        temporary.write_text(source.renamed(title).model_dump_json(indent=1), encoding="utf-8")
        os.replace(temporary, path)

    def delete(self, key: str, data_root: Path) -> Kind:
        """Remove a data set from the library and return its record. Raises DataError if there is none."""
        source = self.find(key, data_root)
        going = self._partial(data_root)
        self.folder_of(key, data_root).rename(going)  # no longer listed, whatever happens below
        shutil.rmtree(going, ignore_errors=True)
        return source

    @contextlib.contextmanager
    def importing(self, title: str, data_root: Path) -> Iterator[Path]:
        """A folder to build a data set in, removed at the end unless `add` moved it. Turns OSErrors into DataErrors."""
        self.check_title(title, data_root)
        place = self._partial(data_root)
        try:
            for left in self.root(data_root).glob(".partial-*"):  # left behind by killed imports
                with contextlib.suppress(OSError):
                    if _is_abandoned(left.name) or time.time() - left.stat().st_mtime > LEFTOVER_SECONDS:
                        shutil.rmtree(left, ignore_errors=True)
            yield place
        except MemoryError:
            instead = "use fewer or smaller files, or wait until the current run has finished"
            raise DataError(f"There is not enough memory to import {title}; {instead}.") from None
        except OSError as error:
            what = f"{title} cannot be stored under {data_root.absolute()} ({error.strerror or error})"
            instead = "free some space, change its permissions, or set DISTILLERY_DATA to another folder"
            raise DataError(f"{what}; {instead}.") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def add(self, place: Path, source: Kind, data_root: Path) -> Kind:
        """Move the folder `place` into the library; the key is made from the title. Raises DataError if it is taken."""
        (place / RECORD).write_text(source.model_dump_json(indent=1), encoding="utf-8")
        self.check_title(source.title, data_root)
        name = slug(source.title, self.fallback)
        for number in itertools.count(1):
            target = self.root(data_root) / (name if number == 1 else f"{name}-{number}")
            try:
                if not target.exists():
                    place.rename(target)
                    break
            except OSError:
                if not target.exists():  # a real failure, not another import that was faster
                    raise
        return self.find(self.prefix + target.name, data_root)

    def _partial(self, data_root: Path) -> Path:
        """A new name for a temporary folder, which tells the process it belongs to."""
        return self.root(data_root) / f".partial-{os.getpid()}-{socket.gethostname()}-{secrets.token_hex(6)}"


@lru_cache(maxsize=1024)
def _read(library: Library[Kind], path: Path, changed: int, size: int) -> Kind:
    """A record, cached until its modification time or size changes. Raises ValueError if it is invalid."""
    if size > MAX_RECORD_BYTES:
        raise ValueError("larger than any record")
    values = json.loads(path.read_bytes())
    if not isinstance(values, dict):
        raise ValueError("not a record")
    return library.kind.model_validate(values | {"key": library.prefix + path.parent.name})


def _is_abandoned(name: str) -> bool:
    """Whether the process of this machine that made the folder has ended."""
    owner = _PARTIAL.fullmatch(name)
    return owner is not None and owner["host"] == socket.gethostname() and not psutil.pid_exists(int(owner["pid"]))
