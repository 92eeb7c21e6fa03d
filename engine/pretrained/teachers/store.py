"""Where teachers are kept: a folder each, its weights in one safetensors file, and a manifest with its hash.

<cache>/teachers/<digest>/manifest.json         what it depends on; its curve, its accuracy and the hash of its file
<cache>/teachers/<digest>/teacher.safetensors   the encoder's weights and the statistics of its batch norms
<cache>/teachers/<digest>/train.safetensors     what it says of the training images, once it was asked
<cache>/teachers/<digest>/state/                where its training stands, while it is trained
<cache>/teachers/<digest>/lock                  held by whoever trains it
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from engine.core.checkpoint import latest_step, write_atomically
from engine.core.errors import DataError
from engine.pretrained.recording import MANIFEST, bytes_under, folder_in, state_under

FOLDER, WEIGHTS, STATE = "teachers", "teacher.safetensors", "state"


class Point(TypedDict):
    """A teacher after an epoch, as in TeacherEpoch."""

    epoch: int
    train_loss: float | None
    knn_accuracy: float
    seconds: float


class Probed(TypedDict):
    """The accuracy of a linear probe of its representations on a split, a fraction."""

    split: Literal["validation", "test"]
    accuracy: float


@dataclass(frozen=True)
class Manifest:
    """What a folder holds. key: everything that the teacher depends on. Without a hash it is not complete.

    num_epochs: that it is trained for, 0 for one that is brought along. scale: as in Teacher.
    """

    key: dict[str, Any]
    source: str
    title: str
    num_dims: PositiveInt
    num_params: int
    num_epochs: int
    hash: str = ""
    scale: float = 1.0
    curve: list[Point] = field(default_factory=list)
    probed: list[Probed] = field(default_factory=list)

    def completed(self, digest: str, scale: float, curve: list[Point], probed: list[Probed]) -> Manifest:
        """The same of a teacher that is there."""
        return replace(self, hash=digest, scale=scale, curve=curve, probed=probed)

    def accuracy(self, split: str) -> float | None:
        """Of the linear probe on a split."""
        return next((found["accuracy"] for found in self.probed if found["split"] == split), None)

    @property
    def seconds(self) -> float:
        """Of its training alone."""
        return sum(point["seconds"] for point in self.curve)

    def write(self, folder: Path) -> None:
        """Keep it in its folder, all or nothing."""
        write_atomically(folder / MANIFEST, json.dumps(asdict(self), indent=1).encode())


_MANIFEST = TypeAdapter(Manifest)


@dataclass(frozen=True)
class TeacherInfo:
    """One folder, for people.

    epochs_done: of num_epochs, which is 0 for a teacher that was brought along. knn_accuracy: at the end of training;
    probe_accuracy: of a linear probe; both on validation images, fractions, None where not known.
    """

    digest: str
    source: str
    title: str
    num_dims: int
    num_epochs: int
    epochs_done: int
    is_complete: bool
    num_bytes: int
    seconds: float
    knn_accuracy: float | None
    probe_accuracy: float | None


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none that can be read."""
    try:
        return _MANIFEST.validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def folder_of(key: dict[str, Any], cache_root: Path) -> Path:
    """Where a teacher lies in the cache; the folder's name is its digest."""
    return folder_in(cache_root / FOLDER, key)


def list_teachers(cache_root: Path) -> list[TeacherInfo]:
    """Every teacher under a cache, by folder name; those whose training was stopped too."""
    found = []
    for folder in sorted((cache_root / FOLDER).glob("*")):
        manifest = read_manifest(folder)
        if manifest is None:
            continue
        is_complete = bool(manifest.hash)
        done = manifest.num_epochs if is_complete else latest_step(folder / STATE) or 0
        found.append(
            TeacherInfo(
                digest=folder.name,
                source=manifest.source,
                title=manifest.title,
                num_dims=manifest.num_dims,
                num_epochs=manifest.num_epochs,
                epochs_done=done,
                is_complete=is_complete,
                num_bytes=bytes_under(folder),
                seconds=manifest.seconds,
                knn_accuracy=manifest.curve[-1]["knn_accuracy"] if manifest.curve else None,
                probe_accuracy=manifest.accuracy("validation"),
            )
        )
    return found


def state_of_teachers(cache_root: Path) -> frozenset[tuple[str, int]]:
    """What changes whenever a teacher is begun, complete or deleted; cheap to ask for."""
    return state_under(cache_root / FOLDER)


def delete_teacher(cache_root: Path, digest: str) -> None:
    """Remove a teacher. Raises DataError if there is none of this name."""
    if digest not in {info.digest for info in list_teachers(cache_root)}:
        raise DataError(f"There is no teacher '{digest}'. It may have been deleted already.")
    shutil.rmtree(cache_root / FOLDER / digest)
