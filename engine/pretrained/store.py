"""Networks trained beforehand: the cache that all runs share.

    <cache>/experts/<digest>/manifest.json             what the networks depend on; each one's file, hash and curve
    <cache>/experts/<digest>/expert-0000.safetensors   a finished network
    <cache>/experts/<digest>/expert-0001.part          the file of a network in training
    <cache>/experts/<digest>/expert-0001.state/        the checkpoints of its training
    <cache>/experts/<digest>/lock                      held by the process that trains
    <cache>/teachers/<digest>/...                      the same for a teacher: teacher.safetensors, state/

The digest hashes the key: everything the networks depend on besides their number. Nothing here trains: whoever has a
network's file registers it with `Recording.add`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from engine.core.checkpoint import latest_step, write_atomically
from engine.core.errors import DataError
from engine.core.events import Event
from engine.core.progress import paced

if sys.platform != "win32":
    import fcntl

Kind = Literal["experts", "teachers"]
Split = Literal["validation", "test"]
MANIFEST = "manifest.json"
_HASHED_AT_ONCE = 2**24


class Record(BaseModel):
    """A part of the manifest."""

    model_config = ConfigDict(frozen=True)


class Point(Record):
    """A network after an epoch, 0 before training; train_loss: its mean. accuracy: on validation images, a fraction."""

    epoch: int
    train_loss: float | None
    accuracy: float = Field(validation_alias=AliasChoices("accuracy", "validation_accuracy", "knn_accuracy"))
    seconds: float


class Probed(Record):
    """The accuracy of a linear probe of a teacher's representations, a fraction."""

    split: Split
    accuracy: float


class Network(Record):
    """A finished network; its curve is empty if it was not trained here. scale, probed: of teachers, see `Teacher`."""

    file: str = Field(pattern=r"^[\w.-]*\w$")  # a name, not a path
    hash: str = Field(min_length=1)
    curve: tuple[Point, ...]
    scale: float = 1.0
    probed: tuple[Probed, ...] = ()

    @property
    def seconds(self) -> float:
        """Of training."""
        return sum(point.seconds for point in self.curve)

    @property
    def accuracy(self) -> float | None:
        """Of a teacher's linear probe, or of the expert at the end of training, on validation images."""
        end = self.curve[-1].accuracy if self.curve else None
        return next((found.accuracy for found in self.probed if found.split == "validation"), end)


class Manifest(Record):
    """What a recording holds. title: of the architecture. networks: by number. num_epochs: 0 if not trained here."""

    kind: Kind
    key: dict[str, Any]
    source: str
    title: str
    num_params: int
    num_epochs: int = Field(ge=0)
    num_dims: PositiveInt | None = None
    networks: dict[Annotated[int, Field(ge=0)], Network] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_earlier_formats(cls, values: Any) -> Any:
        """Earlier programs had one format for experts and another for teachers."""
        if not isinstance(values, dict) or "kind" in values:
            return values
        if "experts" in values:
            return values | {"kind": "experts", "title": values.get("student"), "networks": values["experts"]}
        teacher = values | {"file": "teacher.safetensors"}
        return values | {"kind": "teachers", "networks": {"0": teacher} if values.get("hash") else {}}

    @model_validator(mode="after")
    def _trained_networks_have_curves(self) -> Self:
        if self.num_epochs and not all(network.curve for network in self.networks.values()):
            raise ValueError("a trained network has a curve")
        return self


@dataclass(frozen=True)
class Recording:
    """A folder of networks that were trained alike, and its manifest."""

    folder: Path
    manifest: Manifest

    def write(self) -> None:
        """Replace the manifest on disk, all or nothing. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / MANIFEST, self.manifest.model_dump_json(indent=1).encode())

    def holding(self, networks: dict[int, Network]) -> Recording:
        """The same recording with these networks alone; nothing is written."""
        return Recording(self.folder, self.manifest.model_copy(update={"networks": networks}))

    def add(self, number: int, network: Network) -> Recording:
        """Register a network whose file lies in the folder; the new recording. Raises OSError."""
        recording = self.holding(self.manifest.networks | {number: network})
        recording.write()
        return recording

    def problem(self, number: int) -> Generator[Event, None, str]:
        """What is wrong with a network's file, as the end of a sentence; "" if it is sound. Yields Progress."""
        network = self.manifest.networks[number]
        path = self.folder / network.file
        if not path.is_file():
            return "is missing"
        return "" if (yield from hash_of(path)) == network.hash else "is damaged: its hash is not the recorded one"

    @property
    def digest(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def partial_epochs(self) -> int | None:
        """Epochs done of a network in training, or whose training was stopped; None if there is none."""
        return min((latest_step(folder) or 0 for folder in self.folder.glob("*state")), default=None)

    @property
    def accuracy(self) -> float | None:
        """The mean over the networks."""
        ends = [found for network in self.manifest.networks.values() if (found := network.accuracy) is not None]
        return sum(ends) / len(ends) if ends else None

    @property
    def num_bytes(self) -> int:
        """On disk; files may come and go meanwhile."""
        total = 0
        for path in self.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        shown = self.manifest.model_dump(include={"kind", "source", "title", "num_dims", "num_epochs"})
        shown |= {name: getattr(self, name) for name in ("digest", "partial_epochs", "accuracy", "num_bytes")}
        networks = self.manifest.networks.values()
        return shown | {"num_networks": len(networks), "seconds": sum(network.seconds for network in networks)}


def folder_of(kind: Kind, key: dict[str, Any], cache_root: Path) -> Path:
    """Where the recording with a key lies."""
    return cache_root / kind / hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()


def read(folder: Path) -> Recording | None:
    """The recording in a folder; None if it has no readable manifest."""
    try:
        return Recording(folder, Manifest.model_validate_json((folder / MANIFEST).read_bytes()))
    except (OSError, ValidationError):
        return None


def _folders(cache_root: Path) -> list[Path]:
    """Experts first."""
    return [folder for kind in get_args(Kind) for folder in sorted((cache_root / kind).glob("*"))]


def recordings(cache_root: Path) -> list[Recording]:
    """Everything in the store; recordings whose training was stopped too."""
    return [recording for folder in _folders(cache_root) if (recording := read(folder)) is not None]


def find(cache_root: Path, digest: str) -> Recording:
    """The recording with a name. Raises DataError if there is none."""
    found = [recording for recording in recordings(cache_root) if recording.digest == digest]
    if not found:
        raise DataError(f"There are no pretrained networks '{digest}'. They may have been deleted already.")
    return found[0]


def delete(cache_root: Path, digest: str) -> None:
    """Remove a recording. Raises DataError if there is none with this name."""
    shutil.rmtree(find(cache_root, digest).folder)


def verify(recording: Recording) -> Generator[Event, None, dict[int, str]]:
    """Compare every file with its hash: what is wrong, by the number of the network. Yields Progress."""
    found = {}
    for number in sorted(recording.manifest.networks):
        if problem := (yield from recording.problem(number)):
            found[number] = problem
    return found


def state(cache_root: Path) -> frozenset[tuple[str, int]]:
    """A cheap fingerprint that changes whenever a recording is begun, added to or deleted."""
    found = set()
    for folder in _folders(cache_root):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found.add((str(folder), (folder / MANIFEST).stat().st_mtime_ns))
    return frozenset(found)


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[Callable[[], bool]]:
    """Yields a function that tries to take the folder's lock, to be polled; it ends with the block or the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:

        def take() -> bool:
            if sys.platform == "win32":  # no flock: processes are not kept apart
                return True
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield take


def hash_of(path: Path) -> Generator[Event, None, str]:
    """The hash of a file. Yields Progress."""
    pieces = path.stat().st_size // _HASHED_AT_ONCE + 1
    return (yield from paced(f"check {path.name}", _hashes(path), pieces))


def _hashes(path: Path) -> Iterator[str]:
    """The hash of the file so far, piece by piece."""
    content = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_AT_ONCE):
            content.update(chunk)
            yield content.hexdigest()
    yield content.hexdigest()
