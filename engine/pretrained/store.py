"""Networks trained beforehand: the cache that all runs share.

    <cache>/experts/<digest>/manifest.json             what the networks depend on; each one's file, hash and curve
    <cache>/experts/<digest>/expert-0000.safetensors   a finished network
    <cache>/experts/<digest>/expert-0001.part          the file of a network in training
    <cache>/experts/<digest>/expert-0001.state/        the checkpoints of its training
    <cache>/experts/<digest>/lock                      held by the process that trains
    <cache>/teachers/<digest>/...                      the same for a teacher: teacher.safetensors, state/

The digest is the hash of the key: everything that the networks depend on besides their number.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal, Self, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from engine.core.checkpoint import latest_step, write_atomically
from engine.core.errors import DataError
from engine.core.events import Event, Progress

if sys.platform != "win32":
    import fcntl

Kind = Literal["experts", "teachers"]
Split = Literal["validation", "test"]
MANIFEST = "manifest.json"


class Record(BaseModel):
    """A part of the manifest."""

    model_config = ConfigDict(frozen=True)


class Point(Record):
    """A network after an epoch; 0: before training. train_loss: mean of the epoch. accuracy: on validation, if any."""

    epoch: int
    train_loss: float | None
    accuracy: float | None = Field(validation_alias=AliasChoices("accuracy", "validation_accuracy", "knn_accuracy"))
    seconds: float


class Probed(Record):
    """The accuracy of a linear probe of a teacher's representations, a fraction."""

    split: Split
    accuracy: float


class Network(Record):
    """A finished network. curve: empty if it was not trained here. scale, probed: of teachers, see `Teacher`."""

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
        """On validation images: of a teacher's linear probe, or of an expert after its last epoch."""
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
        """Experts and teachers once had a format each."""
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
        """Replace the manifest on disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / MANIFEST, self.manifest.model_dump_json(indent=1).encode())

    def holding(self, networks: dict[int, Network]) -> Recording:
        """The same recording with these networks alone; nothing is written."""
        return Recording(self.folder, self.manifest.model_copy(update={"networks": networks}))

    def add(self, number: int, network: Network) -> Recording:
        """Register a network whose file is in the folder; the new recording."""
        recording = self.holding(self.manifest.networks | {number: network})
        recording.write()
        return recording

    def problem(self, number: int) -> str:
        """What is wrong with a network's file, as the end of a sentence; "" if nothing is."""
        network = self.manifest.networks[number]
        path = self.folder / network.file
        if not path.is_file():
            return "is missing"
        return "" if hash_of(path) == network.hash else "is damaged: its hash is not the recorded one"

    @property
    def digest(self) -> str:
        return self.folder.name

    @property
    def partial_epochs(self) -> int | None:
        """Epochs done of a network whose training is under way or was stopped; None if there is none."""
        return min((latest_step(folder) or 0 for folder in self.folder.glob("*state")), default=None)

    @property
    def accuracy(self) -> float | None:
        """Mean over the networks."""
        ends = [found for network in self.manifest.networks.values() if (found := network.accuracy) is not None]
        return sum(ends) / len(ends) if ends else None

    @property
    def num_bytes(self) -> int:
        """On disk."""
        total = 0
        for path in self.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                total += path.stat().st_size
        return total

    def describe(self) -> dict[str, Any]:
        """For JSON."""
        shown = self.manifest.model_dump(include={"kind", "source", "title", "num_dims", "num_epochs"})
        shown |= {name: getattr(self, name) for name in ("digest", "partial_epochs", "accuracy", "num_bytes")}
        networks = self.manifest.networks.values()
        return shown | {"num_networks": len(networks), "seconds": sum(network.seconds for network in networks)}


def folder_of(kind: Kind, key: dict[str, Any], cache_root: Path) -> Path:
    """The folder of the recording with a key."""
    return cache_root / kind / hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()


def read(folder: Path) -> Recording | None:
    """The recording in a folder; None if it has no readable manifest."""
    try:
        return Recording(folder, Manifest.model_validate_json((folder / MANIFEST).read_bytes()))
    except (OSError, ValidationError):
        return None


def _manifests(cache_root: Path) -> list[Path]:
    """Their paths, experts first."""
    return [path for kind in get_args(Kind) for path in sorted((cache_root / kind).glob(f"*/{MANIFEST}"))]


def recordings(cache_root: Path) -> list[Recording]:
    """Everything in the store, recordings whose training was stopped included."""
    return [recording for path in _manifests(cache_root) if (recording := read(path.parent)) is not None]


def find(cache_root: Path, digest: str) -> Recording:
    """The recording with a digest. Raises DataError if there is none."""
    for recording in recordings(cache_root):
        if recording.digest == digest:
            return recording
    raise DataError(f"There are no pretrained networks '{digest}'. They may have been deleted already.")


def delete(cache_root: Path, digest: str) -> None:
    """Remove the recording with a digest. Raises DataError if there is none."""
    shutil.rmtree(find(cache_root, digest).folder)


def verify(recording: Recording) -> Generator[Event, None, dict[int, str]]:
    """Compare every file with its hash: what is wrong, by the number of the network. Yields Progress."""
    found, numbers = {}, sorted(recording.manifest.networks)
    for done, number in enumerate(numbers):
        yield Progress("check the files", done, len(numbers))
        if problem := recording.problem(number):
            found[number] = problem
    return found


def state(cache_root: Path) -> frozenset[tuple[str, int]]:
    """A cheap fingerprint that changes whenever a recording is begun, added to or deleted."""
    found = set()
    for path in _manifests(cache_root):
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            found.add((str(path), path.stat().st_mtime_ns))
    return frozenset(found)


def took_lock(file: IO[str]) -> bool:
    """Try to lock an open file until it is closed. Always True on Windows, where processes are not kept apart."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
