"""One run as the store, the pages and the command line see it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from engine.core.config import Action, RunRequest
from engine.core.course import Outlook

Status = Literal["queued", "running", "stopped", "interrupted", "failed", "done"]


@dataclass(kw_only=True)
class RunProgress:
    """How far a run is, as its log says. Times are unix seconds, durations seconds.

    seconds: time spent working, over all resumes. claims: how often a process took it. step of total_steps outer steps
    are done. phase: what it does besides distilling, "" if nothing. seconds_per_step: moving average. epochs_done of
    epochs_total epochs of experts or of a teacher are recorded. memory_bytes: peak. error: the message of a failed run,
    details its traceback.
    """

    status: Status = "queued"
    stop_requested: bool = False
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    claims: int = 0
    seconds: float = 0.0
    step: int = 0
    total_steps: int = 0
    phase: str = ""
    phase_done: int = 0
    phase_total: int = 0
    seconds_per_step: float | None = None
    epochs_done: int = 0
    epochs_total: int = 0
    memory_bytes: int = 0
    error: str = ""
    error_step: int = 0
    details: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class RunRow(RunProgress):
    """One run as it stands now.

    outlook: progress and the time left. checkpoint_step: where a resume starts; None for the beginning. note and tags:
    written by the user. The other fields are as in the request.
    """

    id: str
    request: RunRequest
    name: str
    source: str
    method: str
    preset: str
    seed: int
    action: Action
    start: str
    sweep: str
    note: str
    tags: tuple[str, ...]
    outlook: Outlook
    checkpoint_step: int | None

    @property
    def resumable(self) -> bool:
        """Whether the run ended before it was done."""
        return self.status in ("stopped", "interrupted", "failed")

    @property
    def is_active(self) -> bool:
        """Whether it is queued or running."""
        return self.status in ("queued", "running")

    @property
    def loaded_from(self) -> str:
        """The name of the file that a loaded result came from; "" for a run of this program."""
        return self.facts.get("loaded_from", "")
