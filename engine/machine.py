"""What this machine is and has: device, memory, versions. No figure is measured here, only read."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import psutil
import torch

from engine.errors import ConfigError


def pick_device(wanted: str = "auto") -> torch.device:
    """The device of a request: CUDA where there is one and it was not refused.

    Raises ConfigError if CUDA is asked for and absent.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "This request asks for CUDA, but PyTorch sees no CUDA device here. Choose device 'auto' or 'cpu'."
        )
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda")


def total_memory(device: torch.device) -> int:
    """Bytes of memory of a device: of the card, or of the machine within its container's limit."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    total = psutil.virtual_memory().total
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
    return total


def used_memory(device: torch.device) -> int:
    """Bytes this process holds now: on the card, or resident in main memory."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


SMALL_FLOPS = 1_000_000
"""Operations a sample under which a network's single steps are too short to share out over cores."""


def set_threads(flops: int) -> None:
    """Threads for a network of `flops` operations a sample: one for a small one, else all cores, less one for the pages where
    there are more than two. OMP_NUM_THREADS, if set, decides instead.

    A function of the request and the machine alone: the number of threads changes the last bits of sums.
    """
    if "OMP_NUM_THREADS" in os.environ:
        return
    cores = os.cpu_count() or 1
    many = cores - 1 if cores > 2 else cores
    torch.set_num_threads(1 if flops < SMALL_FLOPS else many)


def describe() -> dict[str, Any]:
    """Names and versions that a recorded number must carry."""
    facts = {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": total_memory(torch.device("cpu")),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.system(),
    }
    return facts


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
