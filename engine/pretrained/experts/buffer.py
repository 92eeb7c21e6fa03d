"""Files of experts: a safetensors file each, "trajectory" (E + 1, P), the weights before training and after each epoch.

Files are memory-mapped: reading one row of a hundred experts of fifty epochs costs one row of memory.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.core.errors import DataError

TENSOR = "trajectory"
DTYPES = {"float32": (torch.float32, "F32"), "float16": (torch.float16, "F16")}


@dataclass(frozen=True)
class Buffer:
    """Recorded experts: files, numbers in the recording, and final validation accuracies, fractions."""

    files: tuple[Path, ...]
    numbers: tuple[int, ...]
    accuracies: tuple[float, ...]
    num_epochs: int
    num_params: int

    def weights(self, expert: int, epoch: int, device: torch.device | str = "cpu") -> Tensor:
        """Weights (P,) float32 of one of these experts after an epoch. Raises DataError if its file is damaged."""
        try:
            with safe_open(self.files[expert], "pt") as file:
                return file.get_slice(TENSOR)[epoch].to(device, torch.float32)
        except (OSError, SafetensorError) as error:
            what = f"The expert file {self.files[expert].name} was deleted or damaged during this run."
            raise DataError(f"{what} Resume the run to record it again.") from error

    def describe(self) -> dict[str, Any]:
        """The summary of a run that only records. accuracy: mean."""
        return {
            "num_experts": len(self.files),
            "num_epochs": self.num_epochs,
            "num_params": self.num_params,
            "num_bytes": sum(path.stat().st_size for path in self.files),
            "accuracy": sum(self.accuracies) / len(self.accuracies),
        }


class ExpertFile:
    """A trajectory (rows, P) that is written row by row, and is a safetensors file from the start."""

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
        """Make the file with all rows 0; an existing file is replaced. Raises OSError."""
        with self._path.open("wb") as file:
            file.write(self._head)
            file.truncate(self._size)

    def write(self, row: int, weights: Tensor) -> None:
        """Put weights (P,) into a row. Raises OSError if the disk is full."""
        content = weights.detach().to("cpu", self._dtype).contiguous().numpy().tobytes()
        with self._path.open("r+b") as file:
            file.seek(self._start + row * self._row_bytes)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # the checkpoint that counts this row is written next
