"""Networks that are trained before a run and kept for others, experts and teachers: what they take, and the folders they lie in.

Each recording has a folder of its own in the cache, named by a digest of everything it depends on; `manifest.json` says what it
holds, and whoever adds to it holds its lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.events import Event, Progress

try:
    import fcntl
except ImportError:  # Windows: two processes that record the same at once are not kept apart there
    fcntl = None

MANIFEST = "manifest.json"
WAITING_SECONDS = 0.5
_HASHED_AT_ONCE = 2**24


@dataclass(frozen=True)
class RecordingPlan:
    """What a run needs of networks that are trained beforehand.

    num_networks: that it follows; num_bytes: of all of them on disk. num_recorded: how many are there; missing_bytes and
    seconds: what the others take.
    """

    num_networks: int
    num_bytes: int
    num_recorded: int = 0
    missing_bytes: int = 0
    seconds: float = 0.0


def folder_in(root: Path, key: dict[str, Any]) -> Path:
    """Where the recording with a key lies below a root; the folder's name is its digest."""
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
    return root / digest


def state_under(root: Path) -> frozenset[tuple[str, int]]:
    """What changes whenever a recording below a root is begun, added to, or deleted; cheap to ask for."""
    found = set()
    for path in root.glob(f"*/{MANIFEST}"):
        with contextlib.suppress(FileNotFoundError):
            found.add((path.parent.name, path.stat().st_mtime_ns))
    return frozenset(found)


def bytes_under(folder: Path) -> int:
    """Bytes of a folder's files, which may come and go meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Callable[[], bool]]:
    """Gives what tries to take the folder's lock, and says whether it has it. Let go at the end, or with the process."""
    with (folder / "lock").open("w") as file:

        def take() -> bool:
            if fcntl is None:
                return True
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield take


def taken(take: Callable[[], bool], phase: str) -> Generator[Event, None, bool]:
    """Wait until a lock can be taken, with Progress; whether that took any waiting."""
    has_waited = False
    while not take():
        has_waited = True
        yield Progress(phase, 0, 1)
        time.sleep(WAITING_SECONDS)
    return has_waited


def hash_of(path: Path) -> Iterator[str]:
    """The digest of a file as its last item; "" while it is still being read, so that a caller can show progress."""
    content = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_AT_ONCE):
            content.update(chunk)
            yield ""
    yield content.hexdigest()
