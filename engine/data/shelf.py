"""Folders of imported data sets, a record in each: listed, and given a name that is free. Of images and of prices alike.

<root>/<slug>/dataset.json     what a data set is
<root>/.…                      one under way, or going; not listed
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.data.source import Source

RECORD = "dataset.json"
LEFTOVER_SECONDS = 24 * 3600
"""What is under way for longer was left behind by a process that was killed."""
_LOG = logging.getLogger(__name__)
Kind = TypeVar("Kind", bound=Source)


def listed(root: Path, read: Callable[[Path, int, int], Kind]) -> dict[str, Kind]:
    """The data sets under a root by key, oldest first; those that cannot be read are left out with a warning in the log.

    read: (record, its time of change in ns, its size) -> the data set, which has a time `created`.
    """
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(root) as all_:
        for entry in all_:
            path = Path(entry.path, RECORD)
            if entry.name.startswith(".") or not path.is_file():
                continue
            try:
                status = path.stat()
                found.append(read(path, status.st_mtime_ns, status.st_size))
            except (OSError, ValueError, KeyError, TypeError) as error:
                _LOG.warning("%s cannot be read and is left out: %s", path, error)
    return {source.key: source for source in sorted(found, key=lambda source: (source.created, source.key))}


def moved(place: Path, slug: str, root: Path) -> Path:
    """The folder `place` under its name, or with a number behind it where that is taken. Raises OSError for a true failure."""
    target, number = root / slug, 1
    while True:
        if not target.exists():
            try:
                return place.rename(target)
            except OSError:
                if not target.exists():  # not taken by another import in between
                    raise
        number += 1
        target = root / f"{slug}-{number}"
