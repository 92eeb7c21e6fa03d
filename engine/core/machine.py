"""This machine: device, memory, threads, versions."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import os
import platform
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch

from engine.core.errors import ConfigError

if sys.platform != "win32":  # which has no limits of this kind
    import resource

CONTAINER = Path("/sys/fs/cgroup")
_SAMPLING_SECONDS = 0.01
LARGEST_RESERVE = 512 * 2**20
SMALLEST_ROOM = 64 * 2**20  # bytes a run may always take, so that it fails with a message and not on its first line


def pick_device(wanted: str = "auto") -> torch.device:
    """The device of a request. Raises ConfigError if it asks for CUDA and there is none."""
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        advice = "Choose device 'auto' or 'cpu'."
        raise ConfigError(f"This request asks for CUDA, but PyTorch sees no CUDA device here. {advice}")
    return torch.device("cuda" if has_cuda and wanted != "cpu" else "cpu")


def total_memory(device: torch.device) -> int:
    """Bytes of the card's memory, or of the machine's within its container's limit."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    total = psutil.virtual_memory().total
    limit = _container_limit()
    return total if limit is None else min(total, limit)


def available_memory(device: torch.device) -> int:
    """Bytes still free on the card, or in the machine within its container's limit; file caches count as free."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    available, limit = psutil.virtual_memory().available, _container_limit()
    if limit is None:
        return available
    stat = (CONTAINER / "memory.stat").read_text().split()
    caches = int(stat[stat.index("inactive_file") + 1])
    return max(0, min(available, limit - int((CONTAINER / "memory.current").read_text()) + caches))


def reserve(device: torch.device) -> int:
    """Bytes of a device's memory that a run leaves to everything else."""
    return min(LARGEST_RESERVE, total_memory(device) // 32)


class _DataBound:
    """The bound on this process's writable memory: set by the first user, lifted by the last one that leaves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = self._headroom = 0
        self._before = (0, 0)

    def enter(self, room: int) -> int:
        """Bytes that may be taken, at most `room`."""
        taken = psutil.Process().memory_info().data
        with self._lock:
            self._users += 1
            if self._users > 1:
                return min(room, resource.getrlimit(resource.RLIMIT_DATA)[0] - taken)
            self._before = resource.getrlimit(resource.RLIMIT_DATA)
            limits = [limit for limit in self._before if limit != resource.RLIM_INFINITY]
            bound = min([taken + room, *limits])
            resource.setrlimit(resource.RLIMIT_DATA, (bound, self._before[1]))
            self._headroom = max(0, min((bound - taken) // 16, LARGEST_RESERVE // 2))
            return bound - taken

    def near(self) -> int | None:
        """Bytes left, if few; then the bound is raised once so that small requests still succeed."""
        with self._lock:
            if not self._users or not self._headroom:
                return None
            bound, highest = resource.getrlimit(resource.RLIMIT_DATA)
            left = bound - psutil.Process().memory_info().data
            if left > self._headroom:
                return None
            raised, self._headroom = bound + self._headroom, 0
            raised = raised if highest == resource.RLIM_INFINITY else min(raised, highest)
            resource.setrlimit(resource.RLIMIT_DATA, (raised, highest))
            return max(0, left)

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                resource.setrlimit(resource.RLIMIT_DATA, self._before)


_data_bound = _DataBound()


@contextlib.contextmanager
def bounded_data(device: torch.device) -> Iterator[int]:
    """Make allocations raise beyond the main memory that is available now, less the reserve; yields those bytes.

    Linux grants more memory than there is, and kills a process that uses it; the bound turns that into an error. Does
    nothing on other systems, or for a GPU, whose driver maps more memory than it uses.
    """
    room = max(SMALLEST_ROOM, available_memory(device) - reserve(device))
    if not sys.platform.startswith("linux") or device.type == "cuda":
        yield room
        return
    room = _data_bound.enter(room)
    try:
        yield room
    finally:
        _data_bound.leave()


def shortage() -> int | None:
    """Bytes of main memory left, if even a small allocation may fail and end the process; else None."""
    main_memory = torch.device("cpu")
    left = available_memory(main_memory)
    return left if left < reserve(main_memory) else _data_bound.near()


def used_memory(device: torch.device) -> int:
    """Bytes this process holds: on the card, or resident in main memory."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the machine's or the card's memory is exhausted."""
    # on the CPU, torch raises a plain RuntimeError, of its allocator or of C++
    is_plain = any(name in str(error) for name in ("DefaultCPUAllocator: ", "bad_alloc"))
    return is_plain or isinstance(error, MemoryError | torch.OutOfMemoryError)


class PeakMemory:
    """The most memory taken since the start of a `with` block."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = self._peak = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak memory", daemon=True)

    def __enter__(self) -> PeakMemory:
        give_back()
        self._before = used_memory(self._device)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def bytes(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        self._peak = max(self._peak, used_memory(self._device))
        return self._peak - self._before

    def _watch(self) -> None:
        while not self._closed.wait(_SAMPLING_SECONDS):
            self._peak = max(self._peak, used_memory(self._device))


def give_back() -> None:
    """Return freed memory to the system; a no-op except on glibc."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@functools.cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32: the card, or the processor, has instructions for it."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def set_precision(precision: str) -> None:
    """How CUDA cards multiply: "float32" with 7 digits, which long unrolls need, or "tf32" with 3."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


SMALL_FLOPS = 1_000_000  # per sample; below it, a network's steps are too short to divide among cores


def set_threads(flops: int) -> None:
    """Set threads for a network of `flops` operations per sample, unless OMP_NUM_THREADS is set.

    One for a small network; otherwise all cores, less one for the pages if there are more than two. This depends on
    request and machine alone, because the number of threads changes the last bits of sums.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        cores = os.cpu_count() or 1
        many = cores - 1 if cores > 2 else cores
        torch.set_num_threads(1 if flops < SMALL_FLOPS else many)


def describe() -> dict[str, Any]:
    """Names and versions that a recorded number must carry."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": total_memory(torch.device("cpu")),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.system(),
    }


def _container_limit() -> int | None:
    """Bytes the container may use; None without a container or a limit."""
    limit = CONTAINER / "memory.max"
    text = limit.read_text().strip() if limit.exists() else ""
    return int(text) if text.isdigit() else None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = re.search("^model name.*?: *(.*)", info.read_text(), re.MULTILINE) if info.exists() else None
    return named[1].strip() if named else platform.processor() or platform.machine()
