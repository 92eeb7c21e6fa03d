"""Where experts are kept: a folder a recording, one safetensors file an expert, and a manifest with their hashes.

    <cache>/experts/<digest>/manifest.json             what was recorded, and the curve and hash of each expert
    <cache>/experts/<digest>/expert-0000.safetensors   "trajectory" (E + 1, P): the weights before training and after each epoch
    <cache>/experts/<digest>/expert-0001.part          one that is being recorded, the same file with rows still missing
    <cache>/experts/<digest>/expert-0001.state/        where its training stands
    <cache>/experts/<digest>/lock                      held by whoever records

Files are memory-mapped: reading one row of a hundred experts of fifty epochs costs one row of memory.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import MinLen
from pydantic import Field, PositiveInt, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from engine.core.checkpoint import write_atomically
from engine.core.errors import DataError
from engine.pretrained.recording import MANIFEST, bytes_under, state_under

FOLDER = "experts"
TENSOR = "trajectory"
DTYPES = {"float32": (torch.float32, "F32"), "float16": (torch.float16, "F16")}


class Point(TypedDict):
    """An expert after an epoch, as in ExpertEpoch."""

    epoch: int
    train_loss: float | None
    validation_accuracy: float
    seconds: float


class Expert(TypedDict):
    """One expert that is complete: its file's name and hash, and its accuracy over the epochs."""

    file: str
    hash: str
    curve: Annotated[list[Point], MinLen(1)]


@dataclass(frozen=True)
class Manifest:
    """What a folder of experts holds. key: everything that the recording depends on. experts: by number, as text."""

    key: dict[str, Any]
    source: str
    student: str
    num_params: int
    num_epochs: PositiveInt
    dtype: Literal["float32", "float16"]
    experts: dict[Annotated[str, Field(pattern=r"^\d+$")], Expert] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Keep it in its folder, all or nothing."""
        write_atomically(folder / MANIFEST, json.dumps(vars(self), indent=1).encode())


_MANIFEST = TypeAdapter(Manifest)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none that can be read."""
    try:
        manifest = _MANIFEST.validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None
    inside = all(Path(expert["file"]).name == expert["file"] for expert in manifest.experts.values())
    return manifest if inside else None


@dataclass(frozen=True)
class Buffer:
    """Recorded experts. numbers: of each in its recording; accuracies: of each on validation images at its end, fractions."""

    files: tuple[Path, ...]
    numbers: tuple[int, ...]
    accuracies: tuple[float, ...]
    num_epochs: int
    num_params: int

    def weights(self, expert: int, epoch: int, device: torch.device | str = "cpu") -> Tensor:
        """Weights (P,) float32 of expert 0, 1, ... of these after `epoch` epochs; nothing else of its file is read.

        Raises DataError where the file is no longer there.
        """
        try:
            with safe_open(self.files[expert], "pt") as file:
                return file.get_slice(TENSOR)[epoch].to(device, torch.float32)
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"{self.files[expert].name} of the experts was deleted or damaged while this run used it. Resume the run: it is "
                f"recorded again."
            ) from error

    def describe(self) -> dict[str, Any]:
        """What it is, for people: {"num_experts", "num_epochs", "num_params", "num_bytes", "accuracy"}."""
        size = sum(path.stat().st_size for path in self.files)
        return {
            "num_experts": len(self.files),
            "num_epochs": self.num_epochs,
            "num_params": self.num_params,
            "num_bytes": size,
            "accuracy": sum(self.accuracies) / len(self.accuracies),
        }


@dataclass(frozen=True)
class BufferInfo:
    """One folder of experts, for people. accuracy: mean over the experts on validation images at their end, a fraction."""

    digest: str
    source: str
    student: str
    num_experts: int
    num_epochs: int
    num_bytes: int
    accuracy: float


def buffers_root(cache_root: Path) -> Path:
    """Where all recordings are."""
    return cache_root / FOLDER


def list_buffers(cache_root: Path) -> list[BufferInfo]:
    """Every recording under a cache, by folder name."""
    found = []
    for folder in sorted(buffers_root(cache_root).glob("*")):
        manifest = read_manifest(folder)
        if manifest is not None:
            ends = [expert["curve"][-1]["validation_accuracy"] for expert in manifest.experts.values()]
            size = bytes_under(folder)
            mean = sum(ends) / len(ends) if ends else 0.0
            found.append(
                BufferInfo(folder.name, manifest.source, manifest.student, len(ends), manifest.num_epochs, size, mean)
            )
    return found


def state_of_buffers(cache_root: Path) -> frozenset[tuple[str, int]]:
    """What changes whenever an expert is added or a recording deleted; cheap to ask for."""
    return state_under(buffers_root(cache_root))


def delete_buffer(cache_root: Path, digest: str) -> None:
    """Remove a recording. Raises DataError if there is none of this name."""
    if digest not in {info.digest for info in list_buffers(cache_root)}:
        raise DataError(f"There are no recorded experts '{digest}'. They may have been deleted already.")
    shutil.rmtree(buffers_root(cache_root) / digest)


class ExpertFile:
    """A trajectory (rows, P) that is written row by row, and is a safetensors file from the first on."""

    def __init__(self, path: Path, num_rows: int, num_params: int, dtype: str) -> None:
        self._path, (self._dtype, code) = path, DTYPES[dtype]
        self._row_bytes = num_params * self._dtype.itemsize
        size = num_rows * self._row_bytes
        header = json.dumps({TENSOR: {"dtype": code, "shape": [num_rows, num_params], "data_offsets": [0, size]}})
        header = header.ljust(-(-len(header) // 8) * 8)
        self._start = 8 + len(header)
        self._head = len(header).to_bytes(8, "little") + header.encode()
        self._size = self._start + size

    def create(self) -> None:
        """Make the file with all rows 0, in place of whatever there was. Raises OSError where the disk refuses."""
        with self._path.open("wb") as file:
            file.write(self._head)
            file.truncate(self._size)

    def write(self, row: int, weights: Tensor) -> None:
        """Put weights (P,) into a row. Raises OSError where the disk is full."""
        content = weights.detach().to("cpu", self._dtype).contiguous().numpy().tobytes()
        with self._path.open("r+b") as file:
            file.seek(self._start + row * self._row_bytes)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before the state says that it is there


def shape_of(path: Path) -> tuple[int, int]:
    """(rows, P) of an expert's file. Raises DataError where it is none."""
    try:
        with safe_open(path, "pt") as file:
            rows, num_params = file.get_slice(TENSOR).get_shape()
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read ({error})") from error
    return rows, num_params
