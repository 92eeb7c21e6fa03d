"""What networks that are trained before a run, and kept for others, take: experts, a teacher."""

from __future__ import annotations

from dataclasses import dataclass


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
