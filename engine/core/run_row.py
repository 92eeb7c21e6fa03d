"""One run as the store, the pages and the command line see it."""

from dataclasses import dataclass
from typing import Any, Literal

from engine.core.config import Action, RunRequest
from engine.core.course import Outlook

Status = Literal["queued", "running", "stopped", "interrupted", "failed", "done"]


@dataclass(frozen=True)
class RunRow:
    """One run as it stands now. Times are unix seconds, durations seconds.

    seconds: time spent working, over all resumes. step of total_steps outer steps are done. phase: what it does
    besides distilling, "" if none. seconds_per_step: moving average. epochs_done of epochs_total epochs of experts or a
    teacher are recorded. outlook: how far it is, and the time left. memory_bytes: peak. error: the message of a
    failed run, details its traceback. checkpoint_step: where a resume starts; None for the beginning. note and tags:
    written by people. action, start, sweep: as in the request.
    """

    id: str
    name: str
    status: Status
    stop_requested: bool
    source: str
    method: str
    preset: str
    seed: int
    request: RunRequest
    created: float
    started: float | None
    finished: float | None
    seconds: float
    step: int
    total_steps: int
    phase: str
    phase_done: int
    phase_total: int
    seconds_per_step: float | None
    epochs_done: int
    epochs_total: int
    outlook: Outlook
    memory_bytes: int
    error: str
    error_step: int
    details: str
    facts: dict[str, Any]
    summary: dict[str, Any]
    resumable: bool
    checkpoint_step: int | None
    note: str
    tags: tuple[str, ...]
    action: Action
    start: str
    sweep: str
