"""Price sequences with targets: networks trained on them are compared by the skill of their forecasts."""

from __future__ import annotations

from engine.core.config import RunRequest, Size
from engine.data.source import TaskSpec
from engine.figures import formats
from engine.results.kind import Kind

TARGETS = {
    "close": "next close",
    "both": "next close and direction",
    "volatility": "volatility",
    "direction": "direction",
}
"""What each target is called."""


def size(request: RunRequest, size: Size, spec: TaskSpec) -> str:
    """The target, and the number of sequences per token."""
    each = formats.counted(size.num_samples // max(1, len(spec.class_names)), "sequence")
    return f"{TARGETS[request.data.windows.target]}, {each} per token"


KIND = Kind("forecasts", "prices", "sequence", "window", "skill", False, size)
