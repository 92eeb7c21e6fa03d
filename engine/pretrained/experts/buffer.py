"""Files of experts: a safetensors file each, "trajectory" (E + 1, P), the weights before training and after each epoch.

Files are memory-mapped: reading a row takes the memory of one row.
"""

import json
import math
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
    """Recorded experts. numbers: in the recording. accuracies: on validation images, if any, after the last epoch."""

    files: tuple[Path, ...]
    numbers: tuple[int, ...]
    accuracies: tuple[float, ...]
    num_epochs: int
    num_params: int

    def weights(self, expert: int, epoch: int, device: torch.device | str = "cpu") -> Tensor:
        """Weights (P,) float32 of an expert after an epoch. Raises DataError if its file is damaged."""
        try:
            with safe_open(self.files[expert], "pt") as file:
                return file.get_slice(TENSOR)[epoch].to(device, torch.float32)
        except (OSError, SafetensorError) as error:
            what = f"The expert file {self.files[expert].name} was deleted or damaged during this run."
            raise DataError(f"{what} Resume the run to record it again.") from error

    def describe(self) -> dict[str, Any]:
        """The summary of a run that only records."""
        return {
            "num_experts": len(self.files),
            "num_epochs": self.num_epochs,
            "num_params": self.num_params,
            "num_bytes": sum(path.stat().st_size for path in self.files),
            "accuracy": sum(self.accuracies) / len(self.accuracies) if self.accuracies else None,
        }


def create(path: Path, shape: tuple[int, int], dtype: str) -> None:
    """Make a safetensors file with a trajectory of zeros, or replace it. Raises OSError."""
    size = math.prod(shape) * DTYPES[dtype][0].itemsize
    header = json.dumps({TENSOR: {"dtype": DTYPES[dtype][1], "shape": shape, "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(file.tell() + size)


def write_row(path: Path, row: int, weights: Tensor, dtype: str) -> None:
    """Put weights (P,) into a row of a trajectory. Raises OSError if the disk is full."""
    content = weights.detach().to("cpu", DTYPES[dtype][0]).contiguous().numpy().tobytes()
    with path.open("r+b") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        file.seek(start + row * len(content))
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # the checkpoint that counts this row is written next
