"""The imported price histories under a data root: listed, added in one step, renamed, deleted.

prices/coins/dataset.json      what it is, and the report of its import
prices/coins/bars.npz          its bars
prices/.partial-…/             an import under way; renamed when it is whole
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from engine.core.config import Config, checked
from engine.core.errors import DataError
from engine.data.images.names import shown
from engine.data.prices import kept
from engine.data.prices.bars import Bars
from engine.data.prices.options import Name, PriceOptions, Token
from engine.data.prices.report import PriceReport
from engine.data.prices.source import KEY_PREFIX, PriceSource
from engine.data.shelf import LEFTOVER_SECONDS, RECORD, listed, moved

MAX_RECORD_BYTES = 4_000_000


class Record(Config):
    """A data set as it lies on disk."""

    schema_version: Literal[1] = 1
    title: Name
    origin: str
    tokens: Annotated[tuple[Token, ...], Field(min_length=1)]
    report: PriceReport
    created: float
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


def root_of(data_root: Path) -> Path:
    """Where imported price histories lie."""
    return data_root / "prices"


def saved(data_root: Path) -> dict[str, PriceSource]:
    """The imported price histories under a data root by key ("prices:coins"), oldest first. Quick: small files, remembered."""
    return listed(root_of(data_root), _read)


@lru_cache(maxsize=512)
def _read(path: Path, changed: int, size: int) -> PriceSource:
    """A record, remembered until its time of change or size is another. Raises ValueError for anything else."""
    if size > MAX_RECORD_BYTES:
        raise ValueError("larger than any record")
    record = Record.model_validate_json(path.read_bytes())
    if len(record.tokens) != len(record.report.files):
        raise ValueError("its tokens and its report do not fit")
    values = {name: getattr(record, name) for name in Record.model_fields if name != "schema_version"}
    return PriceSource(key=KEY_PREFIX + path.parent.name, **values)


def find(key: str, data_root: Path) -> PriceSource:
    """The data set of a key. Raises DataError if there is none."""
    sources = saved(data_root)
    if key not in sources:
        raise DataError(f"There are no imported prices '{shown(key)}'; there are: {', '.join(sources) or 'none'}.")
    return sources[key]


def check_title(title: str, data_root: Path, own_key: str = "") -> None:
    """Raise DataError if other imported prices are called so."""
    for key, source in saved(data_root).items():
        if key != own_key and source.title.casefold() == title.casefold():
            raise DataError(f"There is a data set called '{source.title}' already; choose another name.")


def rename(key: str, title: str, data_root: Path) -> None:
    """Call a data set otherwise; its key, which runs know it by, stays. Raises DataError or ConfigError for a bad title."""
    source = find(key, data_root)
    title = checked(PriceOptions, {"name": title}, "name").name
    check_title(title, data_root, key)
    path = _folder(key, data_root) / RECORD
    temporary = path.with_name(f".{RECORD}-{secrets.token_hex(6)}")
    temporary.write_text(_record(source, title), encoding="utf-8")
    os.replace(temporary, path)


def delete(key: str, data_root: Path) -> None:
    """Remove a data set; the files that it was read from stay. Raises DataError if there is none."""
    find(key, data_root)
    going = _partial(data_root)
    _folder(key, data_root).rename(going)  # gone from the list at once, whatever happens below
    shutil.rmtree(going, ignore_errors=True)


def keep(source: PriceSource, bars: Sequence[Bars], data_root: Path) -> PriceSource:
    """Write a data set, under a key that is free; `source.key` is the one it asks for.

    Raises DataError where the name was taken meanwhile, or the disk does not take it; nothing of it stays then.
    """
    _sweep(data_root)
    place = _partial(data_root)
    try:
        place.mkdir(parents=True)
        kept.write(bars, place)
        (place / RECORD).write_text(_record(source, source.title), encoding="utf-8")
        check_title(source.title, data_root)
        return find(KEY_PREFIX + moved(place, source.key.removeprefix(KEY_PREFIX), root_of(data_root)).name, data_root)
    except OSError as error:
        raise DataError(
            f"{source.title} cannot be kept under {data_root.absolute()} ({error.strerror or error}); make room, change its "
            "permissions, or set DISTILLERY_DATA to another folder."
        ) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _record(source: PriceSource, title: str) -> str:
    values = {name: getattr(source, name) for name in Record.model_fields if name != "schema_version"}
    return Record(**values | {"title": title}).model_dump_json(indent=1)


def _folder(key: str, data_root: Path) -> Path:
    return root_of(data_root) / key.removeprefix(KEY_PREFIX)


def _partial(data_root: Path) -> Path:
    return root_of(data_root) / f".partial-{secrets.token_hex(6)}"


def _sweep(data_root: Path) -> None:
    """Remove what imports of killed processes left behind; one under way takes seconds."""
    for place in root_of(data_root).glob(".partial-*"):
        with contextlib.suppress(OSError):
            if time.time() - place.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(place, ignore_errors=True)
