"""What a run is given besides its request: a device, places on disk, and all of its randomness."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from engine.core import program


def data_root() -> Path:
    """Where data sets live: DISTILLERY_DATA, or `data/` in the program's home."""
    return Path(os.environ.get("DISTILLERY_DATA") or program.home() / "data")


def runs_root() -> Path:
    """Where runs are kept: DISTILLERY_RUNS, or `runs/` in the program's home."""
    return Path(os.environ.get("DISTILLERY_RUNS") or program.home() / "runs")


@dataclass(frozen=True)
class Context:
    """Device, folders, seed, and what there is to go on from.

    resume_from: what a Checkpoint's snapshot gave. start: the SyntheticSet that the request's `start` names. begun: the
    set before its first outer step, of the run that is resumed or evaluated, if it was kept.
    """

    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    data_root: Path = field(default_factory=data_root)
    cache_root: Path = field(default_factory=lambda: runs_root() / "cache")
    resume_from: dict[str, Any] | None = None
    start: Any = None
    begun: Any = None

    def stream(self, *names: str | int) -> torch.Generator:
        """A CPU generator that depends on the run's seed and on `names` alone.

        Step 17 draws the same from `context.stream("outer", 17)` whatever came before, so a resumed run repeats the
        same bits. Every device sees the same numbers.
        """
        text = "/".join(str(part) for part in (self.seed, *names))
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
